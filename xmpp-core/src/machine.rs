//! A protocol as a machine: input and time in, outputs out.

use std::time::Instant;

use crate::time::Now;

/// A protocol as a pure state machine. It never blocks, fails, panics on input
/// or reads a clock, and it owns no socket, task or lock.
///
/// To extend a machine, wrap it in another of the same `Input` and `Output`:
/// the wrapper sees every input first and every output last.
///
/// * Outputs are appended to `out` and complete when the call returns; there is
///   nothing to drain afterwards.
/// * Waiting for the outside (credentials, a free resource) is a state of its
///   own, entered with an `Ask` output and left by the answer as an input.
/// * Randomness enters by the constructor.
pub trait Machine: Send {
    /// What happens to the machine.
    type Input;
    /// What the machine wants done.
    type Output;

    /// Takes one input. Every input has a defined result in every state.
    fn handle(&mut self, input: Self::Input, now: Now, out: &mut Vec<Self::Output>);

    /// The time of [`next_timeout`](Machine::next_timeout) has come. Calling it
    /// early or twice is harmless.
    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Self::Output>);

    /// When to call [`handle_timeout`](Machine::handle_timeout) at the latest.
    fn next_timeout(&self) -> Option<Instant>;
}

impl<I, O> Machine for Box<dyn Machine<Input = I, Output = O>> {
    type Input = I;
    type Output = O;

    fn handle(&mut self, input: I, now: Now, out: &mut Vec<O>) {
        (**self).handle(input, now, out);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<O>) {
        (**self).handle_timeout(now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        (**self).next_timeout()
    }
}

//! What the machines of both sides do alike with what they are told.

use super::link::{Ending, Link};
use super::{Input, Output};
use crate::sasl::Channel;
use crate::stream::{self, NotResumed, StreamCondition, StreamError};
use crate::time::Now;
use crate::xml::Received;

/// How far a stream has come, as far as it matters to both sides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no connection yet.
    Idle,
    /// It is not open.
    Negotiating,
    /// It was open, and is not yet again: what is to be sent waits.
    Renewing,
    /// The TLS handshake is to come.
    Securing,
    /// Stanzas may flow.
    Open,
    /// Our side is closed.
    Closing,
    /// The end.
    Closed,
}

/// One side of a connection.
pub(super) trait Side {
    /// Behind what nothing may stand when TLS begins, for the error.
    const LAST: &'static str;

    fn phase(&self) -> Phase;

    fn link(&mut self) -> &mut Link;

    /// The peer has sent this.
    fn received(
        &mut self,
        received: Received,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending>;

    /// What happens to streams between servers alone.
    fn told(&mut self, input: Input, now: Now, out: &mut Vec<stream::Output>)
    -> Result<(), Ending>;

    /// The handshake is over.
    fn secured(&mut self, channel: &Channel, out: &mut Vec<stream::Output>);

    /// Closes our side, and waits for the peer's.
    fn part(&mut self, now: Now, out: &mut Vec<stream::Output>);

    /// Ends the stream with what is to be written then.
    fn end(&mut self, ending: Ending, out: &mut Vec<stream::Output>);

    /// The end.
    fn closed(&mut self, error: Option<StreamCondition>, out: &mut Vec<stream::Output>);

    /// Takes one input.
    fn input(&mut self, input: stream::Input, now: Now, out: &mut Vec<stream::Output>) {
        let done = match input {
            stream::Input::Received(received) => self.received(received, now, out),
            stream::Input::S2s(input) => self.told(input, now, out),
            stream::Input::Send(envelope) => {
                match self.phase() {
                    Phase::Open => self.link().send(envelope, now, out),
                    Phase::Renewing => self.link().hold(envelope),
                    _ => out.push(stream::Output::S2s(Output::Unsent(envelope))),
                }
                Ok(())
            }
            stream::Input::Secured(channel) => {
                self.secured(&channel, out);
                Ok(())
            }
            stream::Input::Injected if self.phase() == Phase::Securing => {
                let error = StreamError::new(StreamCondition::PolicyViolation);
                Err(error.with_text(Self::LAST).into())
            }
            stream::Input::Unreadable(error) => match self.phase() {
                Phase::Closed | Phase::Idle => Ok(()),
                Phase::Closing => {
                    self.closed(None, out);
                    Ok(())
                }
                _ => Err(StreamError::from(error).into()),
            },
            stream::Input::Close(error) => {
                self.close(error, now, out);
                Ok(())
            }
            stream::Input::Eof => {
                if self.phase() != Phase::Closed {
                    self.closed(None, out);
                }
                Ok(())
            }
            // There is no layer that resumes.
            stream::Input::Resumed(_) => {
                out.push(stream::Output::Refuse(NotResumed::Unknown(None)));
                Ok(())
            }
            stream::Input::Injected
            | stream::Input::Answered(_)
            | stream::Input::Resume(_)
            | stream::Input::Settled
            | stream::Input::Copied(_)
            | stream::Input::Safe(_)
            | stream::Input::Suspend
            | stream::Input::Restore(_)
            | stream::Input::Flush => Ok(()),
        };
        if let Err(ending) = done {
            self.end(ending, out);
        }
    }

    /// The server wants the stream to end.
    fn close(&mut self, error: Option<StreamError>, now: Now, out: &mut Vec<stream::Output>) {
        match (self.phase(), error) {
            (Phase::Closed, _) | (Phase::Closing, None) => {}
            (Phase::Closing, Some(_)) | (Phase::Idle, _) => self.closed(None, out),
            (_, Some(error)) => self.end(error.into(), out),
            (_, None) => self.part(now, out),
        }
    }
}

//! Layers around a managed stream (XEP-0198) that make it break its promise.

use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::module::{Hooks, Module};
use xmpp_core::stream::{BoxStream, Input, Layer, Output};
use xmpp_core::time::Now;
use xmpp_core::xml::Received;

use super::Fault;

/// Wraps every stream. It is registered behind the layer that manages streams, so that it is
/// around it.
pub struct Streams(pub Fault);

impl Module for Streams {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.layer(self);
    }
}

impl Layer for Streams {
    fn wrap(&self, inner: BoxStream) -> BoxStream {
        Box::new(Faulty {
            fault: self.0,
            inner,
            open: 0,
            acked: 0,
        })
    }
}

struct Faulty {
    fault: Fault,
    inner: BoxStream,
    /// Stanzas that were received and are not settled.
    open: u32,
    /// What the client said last in an `<a/>`.
    acked: u32,
}

impl Faulty {
    fn hand(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        self.inner.handle(input, now, out);
        self.mind(before, now, out);
    }

    fn mind(&mut self, before: usize, now: Now, out: &mut Vec<Output>) {
        match self.fault {
            Fault::Boast => {
                let received = out[before..].iter().filter(|output| is_delivery(output));
                for _ in 0..received.count() {
                    self.inner.handle(Input::Settled, now, out);
                }
            }
            Fault::Skip => {
                let resent = out[before..]
                    .iter()
                    .position(|output| matches!(output, Output::Reattach(_)))
                    .map(|at| before + at + 1);
                if let Some(at) = resent
                    && matches!(out.get(at), Some(Output::Send(_)))
                {
                    out.remove(at);
                }
            }
            Fault::Abandon => out.retain(|output| !matches!(output, Output::Return(_))),
            Fault::Hurry => {
                let received = out[before..].iter().filter(|output| is_delivery(output));
                self.open += received.count() as u32;
            }
            _ => {}
        }
    }

    /// The stream goes on at once, and says that what is not handled was never received.
    fn hurry(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let open = std::mem::take(&mut self.open);
        let mut outputs = Vec::new();
        for _ in 0..open {
            self.inner.handle(Input::Settled, now, &mut outputs);
        }
        self.inner.handle(input, now, &mut outputs);
        for output in &mut outputs {
            if let Output::Reattach(bytes) = output {
                *bytes = with_less(bytes, open);
            }
        }
        out.append(&mut outputs);
    }
}

impl Machine for Faulty {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match (self.fault, input) {
            // They have been counted.
            (Fault::Boast, Input::Settled) => {}
            (Fault::Hurry, Input::Settled) if self.open == 0 => {}
            (Fault::Hurry, Input::Settled) => {
                self.open -= 1;
                self.hand(Input::Settled, now, out);
            }
            (Fault::Hurry, resumed @ Input::Resumed(_)) => self.hurry(resumed, now, out),
            (Fault::Repeat, Input::Received(Received::Element(element)))
                if element.name() == "a" =>
            {
                let h = element.attr("h").and_then(|h| h.parse().ok());
                self.acked = h.unwrap_or(self.acked);
                self.hand(Input::Received(Received::Element(element)), now, out);
            }
            (Fault::Repeat, Input::Resumed(mut resume)) => {
                resume.h = self.acked;
                self.hand(Input::Resumed(resume), now, out);
            }
            (Fault::Forget, Input::Restore(mut suspended)) => {
                if let Some(resumption) = &mut suspended.resumption {
                    let sent = std::mem::take(&mut resumption.sent);
                    resumption.acked = resumption.acked.wrapping_add(sent.len() as u32);
                }
                self.hand(Input::Restore(suspended), now, out);
            }
            (_, input) => self.hand(input, now, out),
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        self.inner.handle_timeout(now, out);
        self.mind(before, now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.inner.next_timeout()
    }
}

fn is_delivery(output: &Output) -> bool {
    matches!(output, Output::Deliver(_, Some(_)))
}

/// `<resumed/>` with a smaller count.
fn with_less(resumed: &[u8], less: u32) -> Vec<u8> {
    let text = String::from_utf8_lossy(resumed).into_owned();
    let Some((before, behind)) = text.split_once(" h='") else {
        return text.into_bytes();
    };
    let Some((h, rest)) = behind.split_once('\'') else {
        return text.into_bytes();
    };
    let h = h.parse::<u32>().unwrap_or_default().wrapping_sub(less);
    format!("{before} h='{h}'{rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_made_smaller() {
        let resumed = b"<resumed xmlns='urn:xmpp:sm:3' previd='x' h='12'/>";
        let smaller = with_less(resumed, 3);
        assert_eq!(
            smaller,
            b"<resumed xmlns='urn:xmpp:sm:3' previd='x' h='9'/>"
        );
    }
}

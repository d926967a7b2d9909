//! Client state indication (XEP-0352): what a client that nobody looks at can do without
//! for now is held back.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::machine::Machine;
use crate::mailbox::{Budget, Envelope};
use crate::module::{Hooks, Module};
use crate::server::{BuildError, Server};
use crate::stanza::{Child, Kind, MessageType, Payload, PresenceType, Stanza};
use crate::stream::{BoxStream, Feature, FeatureContext, Input, Layer, Output};
use crate::time::Now;
use crate::xml::{Element, Received, ns};

/// The namespace.
pub const NS: &str = "urn:xmpp:csi:0";

const CARBONS: &str = "urn:xmpp:carbons:2";
const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
const HINTS: &str = "urn:xmpp:hints";

/// Senders whose presence is held for one client.
const HELD: usize = 500;
/// Bytes of presence that are held for one client; then they are sent after all.
const HELD_BYTES: usize = 64 << 10;

/// The module, a layer.
///
/// What is held has not been sent: a layer that counts what is sent (XEP-0198) sees it when
/// it is let go, at the latest when the stream ends, as [`Input::Send`] if it is further in
/// and as [`Output::Send`] if it is further out.
///
/// What is held counts as memory that waits ([`Server::budget`]); when there is no more of
/// that, it is let go.
#[derive(Debug, Default)]
pub struct ClientState {
    budget: OnceLock<Arc<Budget>>,
}

impl Module for ClientState {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.layer(self);
    }

    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        self.budget.get_or_init(|| server.budget().clone());
        Ok(())
    }
}

impl Layer for ClientState {
    fn wrap(&self, inner: BoxStream) -> BoxStream {
        Box::new(Csi {
            inner,
            logged_in: false,
            budget: self.budget.get().cloned(),
            inactive: None,
        })
    }

    fn feature(&self) -> Option<Arc<dyn Feature>> {
        Some(Arc::new(Offer))
    }
}

struct Offer;

impl Feature for Offer {
    /// §4.1: "in the stream features after the client has authenticated"
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        to.account.map(|_| Element::new("csi", NS))
    }
}

/// A stream that knows whether anybody looks.
///
/// While the client is inactive, the newest presence of each sender is held and messages
/// with nothing but a chat state go nowhere (§3.2). Whatever else comes is sent, and what
/// is held goes before it, so that nothing overtakes (RFC 6120 §10.1).
struct Csi {
    inner: BoxStream,
    logged_in: bool,
    /// What is held is taken from it; none outside a server.
    budget: Option<Arc<Budget>>,
    /// What is held, while the client is inactive. §4.2: "A stream always begins in 'active'
    /// state."
    inactive: Option<Box<Held>>,
}

/// The newest presence of each sender, in the order in which they came.
struct Held {
    presences: Vec<Envelope>,
    /// Their size, as taken from the budget.
    bytes: usize,
    budget: Option<Arc<Budget>>,
}

impl Held {
    fn new(budget: Option<Arc<Budget>>) -> Held {
        Held {
            presences: Vec::new(),
            bytes: 0,
            budget,
        }
    }

    /// Takes a presence; `false` if everything is to be sent now, since it is too much.
    fn put(&mut self, presence: Envelope) -> bool {
        // The old one is passed over rather than replaced in its place: what others said
        // between the two came earlier.
        if let Some(at) = self
            .presences
            .iter()
            .position(|held| held.stanza.from() == presence.stanza.from())
        {
            let old = self.presences.remove(at);
            self.give_back(old.stanza.size());
        }
        let size = presence.stanza.size();
        let fits = self.budget.as_ref().is_none_or(|budget| budget.take(size));
        if fits {
            self.bytes += size;
        }
        self.presences.push(presence);
        fits && self.presences.len() <= HELD && self.bytes <= HELD_BYTES
    }

    fn take(&mut self) -> Vec<Envelope> {
        self.give_back(self.bytes);
        std::mem::take(&mut self.presences)
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some(budget) = &self.budget {
            budget.give(bytes);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// What is done with a stanza for an inactive client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Importance {
    /// Sent at once, behind what is held.
    Now,
    /// Held until then.
    Later,
    /// Forgotten.
    Never,
}

impl Csi {
    fn send(&mut self, envelope: Envelope, now: Now, out: &mut Vec<Output>) {
        let Some(held) = &mut self.inactive else {
            return self.inner.handle(Input::Send(envelope), now, out);
        };
        match importance(&envelope.stanza) {
            Importance::Never => {}
            Importance::Later => {
                if !held.put(envelope) {
                    self.flush(now, out);
                }
            }
            Importance::Now => {
                self.flush(now, out);
                self.inner.handle(Input::Send(envelope), now, out);
            }
        }
    }

    /// Sends what is held.
    fn flush(&mut self, now: Now, out: &mut Vec<Output>) {
        for envelope in self
            .inactive
            .as_mut()
            .map(|held| held.take())
            .unwrap_or_default()
        {
            self.inner.handle(Input::Send(envelope), now, out);
        }
    }

    /// §5.1: "all actions triggered by a CSI nonza sent to the server must happen before
    /// processing further requests from the same client to the server"
    fn indicated(&mut self, active: bool, now: Now, out: &mut Vec<Output>) {
        if active {
            self.flush(now, out);
            self.inactive = None;
        } else {
            let budget = &self.budget;
            self.inactive
                .get_or_insert_with(|| Box::new(Held::new(budget.clone())));
        }
    }
}

impl Machine for Csi {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Send(envelope) => self.send(envelope, now, out),
            // §5.2: the state "always defaults to 'active' for new and resumed streams"
            input @ Input::Resumed(_) => {
                self.inner.handle(input, now, out);
                self.indicated(true, now, out);
            }
            Input::Received(Received::Element(element))
                if self.logged_in && element.ns() == NS && is_state(&element) =>
            {
                // §4.2: "There is no reply from the server to either of these elements"
                self.indicated(element.name() == "active", now, out);
            }
            input => {
                // At the end of the stream nothing is left behind: a layer further in may
                // keep for another connection what this one did not take.
                if matches!(
                    input,
                    Input::Close(_) | Input::Eof | Input::Unreadable(_) | Input::Suspend
                ) {
                    self.flush(now, out);
                }
                self.logged_in |= matches!(input, Input::Restore(_));
                let before = out.len();
                self.inner.handle(input, now, out);
                self.logged_in |= out[before..]
                    .iter()
                    .any(|output| matches!(output, Output::LoggedIn { .. }));
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        self.inner.handle_timeout(now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.inner.next_timeout()
    }
}

fn is_state(element: &Element) -> bool {
    matches!(element.name(), "active" | "inactive")
}

fn importance(stanza: &Stanza) -> Importance {
    match stanza.kind() {
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => Importance::Later,
        Kind::Message(MessageType::Error) => Importance::Now,
        Kind::Message(_) if says_nothing(stanza.payload()) => Importance::Never,
        _ => Importance::Now,
    }
}

/// Whether there is a chat state, perhaps in a carbon copy, and nothing besides. XEP-0085 §2:
/// "since it contains only a child element qualified by the
/// "http://jabber.org/protocol/chatstates" namespace (or possibly also the XMPP <thread/>
/// element".
fn says_nothing(payload: &Payload) -> bool {
    let mut states = 0;
    for child in payload.children() {
        match child.ns() {
            CHAT_STATES => states += 1,
            CARBONS if is_copy_of_nothing(child) => states += 1,
            HINTS => {}
            ns::CLIENT if child.name() == "thread" => {}
            _ => return false,
        }
    }
    states > 0
}

fn is_copy_of_nothing(copy: Child<'_>) -> bool {
    // Most copies hold text; a tree is made of the others only.
    copy.raw().contains(CHAT_STATES)
        && copy
            .element()
            .children()
            .flat_map(Element::children)
            .all(|message| {
                Stanza::from_element(message).is_ok_and(|message| says_nothing(message.payload()))
            })
}

#[cfg(test)]
mod tests;

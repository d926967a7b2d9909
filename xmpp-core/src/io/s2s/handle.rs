//! A connection as it is seen from outside its task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::BareJid;
use crate::io::control::Control;
use crate::mailbox::Envelope;
use crate::s2s::links::LinkId;
use crate::s2s::{self, Compression, Found, Pair, Session};
use crate::stream::Input;

/// Reaches a connection, and shows it.
pub(super) struct Handle {
    pub(super) id: LinkId,
    pub(super) control: Arc<Control>,
    direction: Direction,
    inputs: Mutex<Inputs>,
    facts: Mutex<Facts>,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Default)]
struct Inputs {
    queue: VecDeque<Input>,
    closed: bool,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other server.
    Incoming,
    /// We have.
    Outgoing,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing is proven yet, by neither side.
    #[default]
    Opening,
    /// A pair is proven.
    Open,
    /// The stream has ended.
    Closing,
}

/// What is known of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) state: State,
    /// The address of one that was accepted, the server that one was opened to.
    pub(super) peer: String,
    pub(super) domain: Option<BareJid>,
    pub(super) encrypted: bool,
    pub(super) certified: bool,
    pub(super) compression: Option<Compression>,
    granted: Vec<Pair>,
    accepted: Vec<Pair>,
}

/// One connection between servers, for an operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkView {
    /// Its number; the log has it too.
    pub id: LinkId,
    /// Who opened it.
    pub direction: Direction,
    /// How far it has come.
    pub state: State,
    /// The domain on the other side: the one it was opened to, or the first that has proven itself.
    pub domain: Option<BareJid>,
    /// The peer's address, or the server that was dialled.
    pub peer: String,
    /// Whether there is TLS.
    pub encrypted: bool,
    /// Whether the peer has shown a certificate that is right for a domain of its own. A pair is proven by dialback otherwise.
    pub certified: bool,
    /// How it is compressed (XEP-0138).
    pub compression: Option<Compression>,
    /// The pairs that we may send.
    pub granted: Vec<Pair>,
    /// The pairs that the peer may send.
    pub accepted: Vec<Pair>,
    /// What waits for the task of the connection: stanzas, and what else the stream is to do.
    pub waiting: usize,
    /// Bytes of XML from the peer.
    pub received: u64,
    /// Bytes of XML for it.
    pub sent: u64,
}

impl LinkView {
    /// Whether stanzas go both ways (XEP-0288).
    pub fn is_bidi(&self) -> bool {
        !self.granted.is_empty() && !self.accepted.is_empty()
    }
}

impl Handle {
    pub(super) fn new(
        id: LinkId,
        direction: Direction,
        peer: String,
        domain: Option<BareJid>,
    ) -> Handle {
        Handle {
            id,
            control: Arc::default(),
            direction,
            inputs: Mutex::default(),
            facts: Mutex::new(Facts {
                peer,
                domain,
                ..Facts::default()
            }),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Hands something to the stream. Where the connection has come to its end, what must not get lost comes back.
    pub(super) fn push(&self, input: Input) -> Option<Back> {
        let mut inputs = self.lock();
        if inputs.closed {
            return Back::of(input);
        }
        inputs.queue.push_back(input);
        let first = inputs.queue.len() == 1;
        drop(inputs);
        if first {
            self.control.wake();
        }
        None
    }

    /// Takes all that waits for the stream, for memory in which nothing does.
    pub(super) fn take(&self, empty: &mut VecDeque<Input>) {
        std::mem::swap(&mut self.lock().queue, empty);
    }

    /// Takes nothing more; what waits is handed out, the first time.
    pub(super) fn close(&self) -> Option<VecDeque<Input>> {
        let mut inputs = self.lock();
        let first = !std::mem::replace(&mut inputs.closed, true);
        first.then(|| std::mem::take(&mut inputs.queue))
    }

    /// Waits until the connection is not wanted any more; for when there is none yet.
    pub(super) async fn unwanted(&self) {
        std::future::poll_fn(|cx| {
            self.control.register(cx);
            let is_close = |input: &Input| matches!(input, Input::Close(_));
            match self.control.answer().is_some() || self.lock().queue.iter().any(is_close) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    pub(super) fn count(&self, received: u64, sent: u64) {
        self.received.fetch_add(received, Ordering::Relaxed);
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> LinkView {
        let waiting = self.lock().queue.len();
        let facts = self.facts().clone();
        LinkView {
            id: self.id,
            direction: self.direction,
            state: facts.state,
            domain: facts.domain,
            peer: facts.peer,
            encrypted: facts.encrypted,
            certified: facts.certified,
            compression: facts.compression,
            granted: facts.granted,
            accepted: facts.accepted,
            waiting,
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }

    /// Nothing that runs under this lock can panic half way through a change.
    fn lock(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes back if it does not reach the stream.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(super) enum Back {
    Stanza(Envelope),
    Session(Box<Session>),
}

impl Back {
    pub(super) fn of(input: Input) -> Option<Back> {
        match input {
            Input::Send(envelope) => Some(Back::Stanza(envelope)),
            Input::S2s(s2s::Input::Session(Found::Session(session))) => {
                Some(Back::Session(session))
            }
            _ => None,
        }
    }
}

impl Facts {
    /// We may send a pair.
    pub(super) fn granted(&mut self, pair: &Pair) {
        self.proven(pair.to());
        if !self.granted.contains(pair) {
            self.granted.push(pair.clone());
        }
    }

    /// The peer may.
    pub(super) fn accepted(&mut self, pair: &Pair) {
        self.proven(pair.from());
        if !self.accepted.contains(pair) {
            self.accepted.push(pair.clone());
        }
    }

    fn proven(&mut self, domain: &BareJid) {
        if self.state == State::Opening {
            self.state = State::Open;
        }
        self.domain.get_or_insert_with(|| domain.clone());
    }
}

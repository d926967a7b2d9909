//! The links between this server and others, as a machine: which stream carries a stanza, and what becomes of it without one.
//!
//! [`Links`] stands between routing, which gives it what is for other domains, and the connections, each with its
//! [`Outgoing`](super::Outgoing) or [`Incoming`](super::Incoming) stream. It has connections opened and pairs requested, queues what waits for
//! a pair, takes back what a connection that is lost has not written, finds the streams over which keys are verified, and keeps the
//! [sessions](super::Session) that are to be resumed. It opens no socket and looks nothing up: that is its driver's part.
//!
//! Within a [pair](super::Pair) stanzas keep their order (RFC 6120 §10.1), over connections too: those of one pair are never on two
//! connections at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::{Pair, Sessions};
use crate::BareJid;
use crate::machine::Machine;
use crate::mailbox::Budget;
use crate::server::Random;
use crate::time::Now;

mod event;
mod held;
mod last_word;
mod life;
mod limits;
mod line;
mod pause;
mod queue;
mod seam;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod verify;
mod way;

pub use event::{Down, LinkEvent};
pub use limits::{Backoff, Limits};
pub use seam::{Ended, Input, LinkId, Output};

use held::Held;
use line::{Depth, Domain, Line};
use table::Table;
use timers::Timer;
use verify::{Pace, Verification};

/// The link manager. See the [module](self).
pub struct Links {
    limits: Limits,
    random: Arc<dyn Random>,
    budget: Arc<Budget>,
    lines: HashMap<Pair, Line>,
    domains: HashMap<BareJid, Domain>,
    links: Table,
    /// Connections that were opened so far.
    dials: u64,
    timers: BTreeSet<(Instant, Timer)>,
    /// Domains of which there is nothing but that they have failed, by when that is forgotten.
    remembered: BTreeSet<(Instant, BareJid)>,
    /// All that waits.
    depth: Depth,
    /// What waits until there may be one connection more.
    short: VecDeque<Pair>,
    /// The keys that are being verified, the oldest first.
    verifications: Vec<Verification>,
    key_dials: Pace,
    /// The sessions that others have with us.
    sessions: Sessions<LinkId>,
    /// Those that we have with others and that wait for a connection.
    held: BTreeMap<Arc<str>, Held>,
    /// How many times longer than others these domains are waited for.
    patience: HashMap<BareJid, u32>,
    closed: bool,
}

/// How much there is of everything at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that others have opened.
    pub incoming: usize,
    /// Connections that we have opened, or open.
    pub outgoing: usize,
    /// Stanzas that wait for a link.
    pub stanzas: usize,
    /// Bytes of XML that wait for a link.
    pub bytes: usize,
    /// Sessions that wait for a connection, of both directions.
    pub sessions: usize,
    /// Keys that are being verified.
    pub verifications: usize,
}

impl Links {
    /// No links yet. What waits is taken from `budget`.
    pub fn new(limits: Limits, random: Arc<dyn Random>, budget: Arc<Budget>) -> Links {
        Links {
            limits,
            random,
            sessions: Sessions::new(limits.sessions, budget.clone()),
            budget,
            lines: HashMap::new(),
            domains: HashMap::new(),
            links: Table::default(),
            dials: 0,
            timers: BTreeSet::new(),
            remembered: BTreeSet::new(),
            depth: Depth::default(),
            short: VecDeque::new(),
            verifications: Vec::new(),
            key_dials: Pace::default(),
            held: BTreeMap::new(),
            patience: HashMap::new(),
            closed: false,
        }
    }

    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        Counts {
            incoming: self.links.incoming(),
            outgoing: self.links.outgoing,
            stanzas: self.depth.stanzas,
            bytes: self.depth.bytes,
            sessions: self.held.len() + self.sessions.len(),
            verifications: self.verifications.len(),
        }
    }

    /// Whether all is closed ([`Input::Close`]) and every connection gone.
    pub fn is_over(&self) -> bool {
        self.closed && self.links.len() == 0
    }

    fn told(&mut self, link: LinkId, output: super::Output, now: Now, out: &mut Vec<Output>) {
        match output {
            super::Output::Accepted(pair) => self.accepted(link, pair, now, out),
            super::Output::Granted(pair) => self.granted(link, pair, now, out),
            super::Output::Refused(pair, why) => self.refused(link, &pair, why, now, out),
            super::Output::Unsent(envelope) => self.unsent(link, envelope, now, out),
            super::Output::Bounce(stanza) => self.send(stanza.into(), now, out),
            super::Output::PeerError(error) => {
                if let Some(link) = self.links.by_id(link) {
                    let condition = error.children().next();
                    link.error = condition.map(|condition| condition.name().to_owned());
                }
            }
            super::Output::Ask(super::Ask::Verify(verify)) => {
                self.verify(link, verify, now, out);
            }
            super::Output::Verified(verify, verdict) => {
                self.verified(link, &verify, verdict, now, out);
            }
            super::Output::Ask(super::Ask::Session(claim)) => {
                self.with_sessions(now, out, |sessions, todo| sessions.claim(link, claim, todo));
            }
            super::Output::Acked(stanzas) => {
                out.push(Output::Event(LinkEvent::Acked(link, stanzas)));
            }
            super::Output::Session(session) => self.suspended(link, session, now, out),
            super::Output::Ended(ended) => {
                let session = self.links.by_id(link).and_then(|link| link.session.clone());
                if session.as_ref() == Some(&ended.id) {
                    self.resolve(link, now, out);
                }
                self.with_sessions(now, out, |sessions, todo| sessions.ended(ended, todo));
            }
            super::Output::Denied(claim) => {
                self.with_sessions(now, out, |sessions, todo| {
                    sessions.denied(link, &claim, todo);
                });
            }
            // The driver's.
            super::Output::Ask(super::Ask::Pair(_) | super::Ask::Stream(_))
            | super::Output::Compress(_) => {}
        }
    }
}

impl Machine for Links {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Send(envelope) => self.send(envelope, now, out),
            Input::Again(envelope) => self.send_again(envelope, now, out),
            Input::Written(link, bytes) => self.written(link, bytes, now, out),
            Input::Hold(link, hold) => self.hold(link, hold, now, out),
            Input::Accepted(link) => self.incoming(link, out),
            Input::Connected(link) => self.connected(link, now, out),
            Input::NotConnected(link, why) => self.not_connected(link, why, now, out),
            Input::Stream(link, output) => self.told(link, output, now, out),
            Input::Resumable(link, id) => self.resumable(link, id, now, out),
            Input::Lost(_, envelope) => {
                self.give_back(envelope, crate::stanza::Condition::RemoteServerTimeout, out);
            }
            Input::Ended(link, ended) => self.ended(link, ended, now, out),
            Input::Patience(patience) => self.patience = patience,
            Input::Close => self.close(now, out),
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        self.expire(now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let timers = self.timers.first().map(|(at, _)| *at);
        let remembered = self.remembered.first().map(|(at, _)| *at);
        let verification = self.verifications.first().map(|it| it.until);
        [
            timers,
            remembered,
            verification,
            self.sessions.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

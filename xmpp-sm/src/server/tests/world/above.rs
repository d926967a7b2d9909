//! A link manager that is too simple to be wrong.

use xmpp_core::mailbox::Envelope;
use xmpp_core::s2s::{self, Ask, Do, Known, Pair, Policy, Proof, Session, Verdict};
use xmpp_core::stream::{Input, StreamCondition, StreamError};

use super::{Fault, Side, World, key};

impl World {
    /// What was sent goes before what waits.
    pub(super) fn put_back(&mut self, back: Vec<Envelope>) {
        for envelope in back.into_iter().rev() {
            let pair = self.records[self.number(&envelope.stanza)].pair.clone();
            self.queues.entry(pair).or_default().push_front(envelope);
        }
    }

    pub(super) fn perform_s2s(&mut self, side: Side, link: u64, output: s2s::Output) {
        let mut out = Vec::new();
        let conn = self.conns.get_mut(&key(side, link)).unwrap();
        match output {
            s2s::Output::Ask(Ask::Stream(pair)) => {
                conn.asking = true;
                let mut policy = self.policy();
                if side == Side::B && self.refused.contains(&pair) {
                    policy.proof = Proof::Dialback;
                }
                self.known(side, link, pair, Some(policy));
            }
            s2s::Output::Ask(Ask::Pair(pair)) => {
                let refused = side == Side::B && self.refused.contains(&pair);
                let policy = self.policy();
                self.known(side, link, pair, (!refused).then_some(policy));
            }
            s2s::Output::Ask(Ask::Verify(verify)) => {
                self.tell(side, link, s2s::Input::Verified(verify, Verdict::Valid));
            }
            s2s::Output::Ask(Ask::Session(claim)) => {
                conn.asking = true;
                self.table.claim(link, claim, &mut out);
            }
            // What is written stays as it is, which nobody here would notice.
            s2s::Output::Compress(_) => conn.reader.restart(),
            s2s::Output::Granted(pair) => self.granted(side, link, pair, &mut out),
            s2s::Output::Session(session) => self.keep(side, session),
            s2s::Output::Ended(ended) => self.table.ended(ended, &mut out),
            s2s::Output::Denied(claim) => self.table.denied(link, &claim, &mut out),
            s2s::Output::Accepted(_)
            | s2s::Output::Acked(_)
            | s2s::Output::Refused(..)
            | s2s::Output::PeerError(_) => {}
            other => panic!("{other:?}"),
        }
        self.do_all(out);
    }

    fn known(&mut self, side: Side, link: u64, pair: Pair, policy: Option<Policy>) {
        let known = Known {
            ours: true,
            certified: true,
            policy,
            patient: true,
        };
        self.tell(side, link, s2s::Input::Known(pair, known));
    }

    /// A pair goes one way: what would still have sent it is over.
    fn granted(&mut self, side: Side, link: u64, pair: Pair, out: &mut Vec<Do<u64>>) {
        let others: Vec<u64> = self
            .conns
            .iter()
            .filter(|((other, is_b), conn)| {
                *is_b == (side == Side::B) && *other != link && conn.granted.contains(&pair)
            })
            .map(|((other, _), _)| *other)
            .collect();
        for other in others {
            let error = StreamError::new(StreamCondition::Conflict);
            self.input(side, other, Input::Close(Some(error)));
        }
        if side == Side::B {
            let waiting = self.table.waiting();
            let theirs = waiting.filter(|session| session.granted.contains(&pair));
            let names: Vec<_> = theirs.map(|session| session.id.clone()).collect();
            for name in names {
                self.table.give_up(&name, out);
            }
        }
        if let Some(conn) = self.conns.get_mut(&key(side, link)) {
            conn.granted.push(pair);
        }
    }

    pub(super) fn keep(&mut self, side: Side, mut session: Box<Session>) {
        if self.rules.fault == Fault::Skip && session.queue.pop_front().is_some() {
            session.acked += 1;
        }
        if self.rules.fault == Fault::Repeat {
            session.handled = session.handled.saturating_sub(1);
        }
        match side {
            Side::A => {
                assert!(self.session.is_none(), "one at a time");
                self.session = Some(session);
            }
            Side::B => {
                let mut out = Vec::new();
                self.table.keep(session, self.now, &mut out);
                self.do_all(out);
            }
        }
    }

    pub(super) fn do_all(&mut self, all: Vec<Do<u64>>) {
        let mut back = Vec::new();
        for it in all {
            match it {
                Do::Tell(link, input) => self.tell(Side::B, link, input),
                Do::Late(envelope) => back.push(envelope),
                Do::Over(..) => {}
                other => panic!("{other:?}"),
            }
        }
        self.put_back(back);
    }

    /// Sends what can be sent; `true` if something was.
    pub(super) fn pump(&mut self) -> bool {
        let mut sent = false;
        let links: Vec<_> = self.conns.keys().copied().collect();
        for (link, is_b) in links {
            let side = if is_b { Side::B } else { Side::A };
            while let Some(conn) = self.conns.get(&(link, is_b)) {
                if conn.hold || !conn.open || !s2s::Stream::is_open(&conn.machine) {
                    break;
                }
                let mut granted = conn.granted.iter();
                let waits = |pair: &&Pair| self.queues.get(*pair).is_some_and(|q| !q.is_empty());
                let Some(pair) = granted.find(waits).cloned() else {
                    break;
                };
                let envelope = self.queues.get_mut(&pair).unwrap().pop_front().unwrap();
                self.input(side, link, Input::Send(envelope));
                sent = true;
            }
        }
        sent
    }
}

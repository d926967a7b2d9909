//! The initiating server (XEP-0220 §2.1): we want to send a pair's stanzas to the peer, or to know whether a key is its own.

use std::time::Instant;

use super::dialback::{Dialback, Says};
use super::link::{Context, write};
use super::{Output, Pair, Refusal, Verdict, Verify};
use crate::Jid;
use crate::stream;

/// The pairs that we may send, and those that we ask for.
#[derive(Default)]
pub(super) struct Initiator {
    granted: Vec<Pair>,
    requests: Vec<(Pair, Instant)>,
    verifies: Vec<(Verify, Instant)>,
    /// The peer handles dialback errors (§2.4.2), so that one pair's failure is not that of all.
    pub(super) multiplexes: bool,
    /// The stream begins anew: what is asked is written when the next one is open.
    paused: bool,
}

impl Initiator {
    /// For a peer that is known to handle dialback errors.
    pub(super) fn multiplexing() -> Initiator {
        Initiator {
            multiplexes: true,
            ..Initiator::default()
        }
    }

    pub(super) fn may_send(&self, from: &Jid, to: &Jid) -> bool {
        self.granted.iter().any(|pair| pair.covers(from, to))
    }

    pub(super) fn is_granted(&self) -> bool {
        !self.granted.is_empty()
    }

    /// The pair is proven to the peer.
    pub(super) fn grant(&mut self, pair: Pair, out: &mut Vec<stream::Output>) {
        if !self.granted.contains(&pair) {
            self.granted.push(pair.clone());
            self.requests.retain(|(requested, _)| *requested != pair);
            out.push(stream::Output::S2s(Output::Granted(pair)));
        }
    }

    /// Step 1: sends our key.
    pub(super) fn request(&mut self, pair: Pair, cx: &Context<'_>, out: &mut Vec<stream::Output>) {
        if self.granted.contains(&pair) {
            return out.push(stream::Output::S2s(Output::Granted(pair)));
        }
        if !cx.dialback {
            return refuse(pair, Refusal::NoMethod, out);
        }
        let requested = || self.requests.iter().map(|(pair, _)| pair);
        // §2.1.1: whoever "is currently not attempting to get a verified connection for this domain pair, it sends a new
        // dialback key"
        if requested().any(|requested| *requested == pair) {
            return;
        }
        let mut others = self.granted.iter().chain(requested());
        // §2.6.2: "The Initiating Server SHOULD NOT use target multiplexing unless the Receiving Server has signalled
        // support for dialback error handling"
        if !self.multiplexes && others.any(|other| other.to() != pair.to()) {
            return refuse(pair, Refusal::Multiplexing, out);
        }
        if self.granted.len() + self.requests.len() >= cx.settings.limits.pairs {
            return refuse(pair, Refusal::Full, out);
        }
        if !self.paused {
            ask(&pair, cx, out);
        }
        self.requests
            .push((pair, cx.now + cx.settings.limits.answer));
    }

    /// Step 2: asks the peer as the authoritative server.
    pub(super) fn verify(
        &mut self,
        verify: Verify,
        cx: &Context<'_>,
        out: &mut Vec<stream::Output>,
    ) {
        // XEP-0288 §2.2: "the receiving server MUST NOT attempt to verify a dialback key on the same connection where the
        // corresponding request was issued."
        let here = verify.id == cx.id;
        if here || !cx.dialback || self.verifies.len() >= cx.settings.limits.verifies {
            return verified(verify, Verdict::NotFound, out);
        }
        if !self.paused {
            ask_to_verify(&verify, out);
        }
        self.verifies
            .push((verify, cx.now + cx.settings.limits.answer));
    }

    /// Step 3 or 4: what the peer says.
    ///
    /// §2.1.1, §2.1.2: "MUST ensure that the 'from' and 'to' attributes in this response correlate to a request that was
    /// sent over the same XML stream (see Section 3.1)". One that does not is of no effect: it may be late.
    pub(super) fn answered(&mut self, answer: Dialback, out: &mut Vec<stream::Output>) {
        match &answer.id {
            None => {
                let mut requests = self.requests.iter();
                let Some(at) = requests.position(|(pair, _)| *pair == answer.pair) else {
                    return;
                };
                let (pair, _) = self.requests.remove(at);
                match answer.says {
                    Says::Valid => self.grant(pair, out),
                    Says::Error(error) => refuse(pair, Refusal::Error(error.condition), out),
                    Says::Invalid | Says::Key(_) => refuse(pair, Refusal::Invalid, out),
                }
            }
            Some(id) => {
                let mut verifies = self.verifies.iter();
                let asked = |verify: &Verify| verify.pair == answer.pair && verify.id == *id;
                let Some(at) = verifies.position(|(verify, _)| asked(verify)) else {
                    return;
                };
                let (verify, _) = self.verifies.remove(at);
                let verdict = match answer.says {
                    Says::Valid => Verdict::Valid,
                    Says::Invalid | Says::Key(_) => Verdict::Invalid,
                    Says::Error(_) => Verdict::NotFound,
                };
                verified(verify, verdict, out);
            }
        }
    }

    /// The stream begins anew.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// The next stream is open: asks all that is not answered, with keys for its ID.
    pub(super) fn go_on(&mut self, cx: &Context<'_>, out: &mut Vec<stream::Output>) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        for (pair, _) in &self.requests {
            ask(pair, cx, out);
        }
        for (verify, _) in &self.verifies {
            ask_to_verify(verify, out);
        }
    }

    /// §2.1.1: "it ought to consider dialback operations as having failed when there is no response after a certain amount
    /// of time."
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<stream::Output>) {
        let late = |until: Instant| until <= now;
        for (pair, _) in self.requests.extract_if(.., |(_, until)| late(*until)) {
            refuse(pair, Refusal::Timeout, out);
        }
        for (verify, _) in self.verifies.extract_if(.., |(_, until)| late(*until)) {
            verified(verify, Verdict::Timeout, out);
        }
    }

    /// The stream ends. §2.1.1: "If the stream or the underlying TCP connection is closed by the Receiving Server while the
    /// Initiating Server is waiting for the verification result, the Initiating Server shall behave as it does when
    /// receiving a dialback error"
    pub(super) fn end(&mut self, out: &mut Vec<stream::Output>) {
        for (pair, _) in self.requests.drain(..) {
            refuse(pair, Refusal::Timeout, out);
        }
        for (verify, _) in self.verifies.drain(..) {
            verified(verify, Verdict::Timeout, out);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let requests = self.requests.iter().map(|(_, until)| *until);
        requests
            .chain(self.verifies.iter().map(|(_, until)| *until))
            .min()
    }
}

fn ask(pair: &Pair, cx: &Context<'_>, out: &mut Vec<stream::Output>) {
    let key = cx.settings.secret.key(pair, cx.id);
    write(&Dialback::key(pair.clone(), key), out);
}

fn ask_to_verify(verify: &Verify, out: &mut Vec<stream::Output>) {
    let Verify { pair, id, key } = verify.clone();
    let question = Dialback {
        pair,
        id: Some(id),
        says: Says::Key(key),
    };
    write(&question, out);
}

pub(super) fn refuse(pair: Pair, why: Refusal, out: &mut Vec<stream::Output>) {
    out.push(stream::Output::S2s(Output::Refused(pair, why)));
}

pub(super) fn verified(verify: Verify, verdict: Verdict, out: &mut Vec<stream::Output>) {
    out.push(stream::Output::S2s(Output::Verified(verify, verdict)));
}

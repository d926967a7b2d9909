//! The receiving server (XEP-0220 §2.2): the peer wants to send a pair's stanzas to us, or to know whether a key is ours.

use std::time::Instant;

use super::dialback::{Dialback, Says};
use super::link::{Context, Ending, write};
use super::{Ask, Known, Output, Pair, Proof, Verdict, Verify};
use crate::stanza::Condition;
use crate::stream;
use crate::{BareJid, Jid};

/// The pairs that the peer may send, and those that it asks for.
#[derive(Default)]
pub(super) struct Receiver {
    proven: Vec<Pair>,
    open: Vec<Open>,
}

/// A request that is not answered.
struct Open {
    request: Dialback,
    key: String,
    /// The authoritative server is asked.
    verifying: bool,
    until: Instant,
}

impl Receiver {
    pub(super) fn proves(&self, from: &Jid, to: &Jid) -> bool {
        self.proven.iter().any(|pair| pair.covers(from, to))
    }

    pub(super) fn is_proven(&self) -> bool {
        !self.proven.is_empty()
    }

    /// Whether the peer has proven that it may send for this domain.
    pub(super) fn has_sender(&self, domain: &BareJid) -> bool {
        self.proven.iter().any(|pair| pair.from() == domain)
    }

    /// Whether nothing has happened yet.
    pub(super) fn is_idle(&self) -> bool {
        self.proven.is_empty() && self.open.is_empty()
    }

    /// Whether nothing is to be answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.open.is_empty()
    }

    /// The stream begins anew: what has been asked is asked again, with a key for the next stream's ID.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// The pair is proven.
    pub(super) fn accept(&mut self, pair: Pair, out: &mut Vec<stream::Output>) {
        if !self.proven.contains(&pair) {
            self.proven.push(pair.clone());
            out.push(stream::Output::S2s(Output::Accepted(pair)));
        }
    }

    /// Step 1 or 2: a key. `<db:result/>` is for this stream; `<db:verify/>` is about a key of ours on another one.
    pub(super) fn request(
        &mut self,
        request: Dialback,
        key: String,
        cx: &Context<'_>,
        out: &mut Vec<stream::Output>,
    ) {
        let is_result = request.id.is_none();
        if self.open.iter().any(|open| open.request.is_about(&request)) {
            // The answer to the first is the answer to both.
            return;
        }
        let proven = is_result && self.proven.contains(&request.pair);
        if proven {
            return write(&request.answer(Says::Valid), out);
        }
        let same = |open: &&Open| open.request.id.is_none() == is_result;
        let open = self.open.iter().filter(same).count();
        let full = match is_result {
            true => open + self.proven.len() >= cx.settings.limits.pairs,
            false => open >= cx.settings.limits.verifies,
        };
        if full {
            // XEP-0220 §2.5: "The Receiving Server lacks the resources to add the requested domain pair"
            return write(
                &request.answer(Says::error(Condition::ResourceConstraint)),
                out,
            );
        }
        // The pair as the question has it: the peer's side first.
        let asked = request.ends();
        self.open.push(Open {
            request,
            key,
            verifying: false,
            until: cx.now + cx.settings.limits.answer,
        });
        out.push(stream::Output::S2s(Output::Ask(Ask::Pair(asked))));
    }

    /// The answer to [`Ask::Pair`].
    pub(super) fn known(
        &mut self,
        pair: &Pair,
        known: Known,
        cx: &Context<'_>,
        out: &mut Vec<stream::Output>,
    ) {
        let mut at = 0;
        while at < self.open.len() {
            let open = &mut self.open[at];
            if open.verifying || open.request.ends() != *pair {
                at += 1;
                continue;
            }
            let answer = match (decide(open, known, cx), &open.request.id) {
                (Err(condition), _) => Says::error(condition),
                (Ok(_), Some(id)) => {
                    match cx
                        .settings
                        .secret
                        .has_made(&open.key, &open.request.pair, id)
                    {
                        true => Says::Valid,
                        false => Says::Invalid,
                    }
                }
                (Ok(Next::Accept), None) => Says::Valid,
                (Ok(Next::Verify), None) => {
                    open.verifying = true;
                    let verify = open.verify(cx.id);
                    out.push(stream::Output::S2s(Output::Ask(Ask::Verify(verify))));
                    at += 1;
                    continue;
                }
            };
            let open = self.open.remove(at);
            self.answer(&open.request, answer, out);
        }
    }

    /// The answer to [`Ask::Verify`].
    pub(super) fn verified(
        &mut self,
        verify: &Verify,
        verdict: Verdict,
        cx: &Context<'_>,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        // XEP-0220 §2.1.2: "If no inbound connection is found that matches this combination, the verification result
        // SHOULD be dropped silently."
        let found = self
            .open
            .iter()
            .position(|open| open.verifying && open.verify(cx.id) == *verify);
        let Some(at) = found else {
            return Ok(());
        };
        let request = self.open.remove(at).request;
        let answer = match verdict {
            Verdict::Valid => Says::Valid,
            // XEP-0220 §2.2.1: "If there exist other valid domain pairs for this connection [...] the Receiving Server MAY
            // (instead of closing the connection) return an error condition of <forbidden/>"
            Verdict::Invalid if self.is_proven() => Says::error(Condition::Forbidden),
            Verdict::Invalid => {
                // §2.2.1: "If no other valid domain pairs exist for this connection [...], the Receiving Server SHOULD send
                // a result with type "invalid" and MUST close the XML stream."
                write(&request.answer(Says::Invalid), out);
                return Err(Ending::Clean);
            }
            // §2.5: "If an error is encountered in Step 3 of the dialback negotiation, the Receiving Server MUST send a
            // <remote-server-not-found/> dialback error to the Initiating Server."
            Verdict::NotFound => Says::error(Condition::RemoteServerNotFound),
            Verdict::Timeout => Says::error(Condition::RemoteServerTimeout),
        };
        self.answer(&request, answer, out);
        Ok(())
    }

    /// Answers what has waited for too long.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<stream::Output>) {
        while let Some(at) = self.open.iter().position(|open| open.until <= now) {
            let request = self.open.remove(at).request;
            self.answer(&request, Says::error(Condition::RemoteServerTimeout), out);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.iter().map(|open| open.until).min()
    }

    fn answer(&mut self, request: &Dialback, says: Says, out: &mut Vec<stream::Output>) {
        let valid = says == Says::Valid && request.id.is_none();
        write(&request.answer(says), out);
        if valid {
            self.accept(request.pair.clone(), out);
        }
    }
}

impl Open {
    /// What the authoritative server is asked. §2.1.2: "an 'id' attribute whose value is the stream ID of the response
    /// stream header sent from the Receiving Server to the Initiating Server"
    fn verify(&self, id: &str) -> Verify {
        Verify {
            pair: self.request.pair.clone(),
            id: id.to_owned(),
            key: self.key.clone(),
        }
    }
}

enum Next {
    Accept,
    Verify,
}

/// What is to be done with a key, or the condition of the error (§2.5).
fn decide(open: &Open, known: Known, cx: &Context<'_>) -> Result<Next, Condition> {
    if !known.ours {
        // §2.2.1, §2.2.2: this "results in a dialback error. This error [...] is not a stream error and therefore MUST NOT
        // result in closing of the stream"
        return Err(Condition::ItemNotFound);
    }
    let Some(policy) = known.policy else {
        return Err(Condition::PolicyViolation);
    };
    if policy.tls && !cx.tls {
        return Err(Condition::PolicyViolation);
    }
    if open.request.id.is_some() {
        return Ok(Next::Accept);
    }
    match (policy.proof, known.certified) {
        (Proof::Certificate | Proof::Either, true) => Ok(Next::Accept),
        (Proof::Either | Proof::Dialback, _) | (Proof::Both, true) => Ok(Next::Verify),
        // §2.5: "a policy requiring either a valid PKIX certificate containing the identity of the Sender Domain or some
        // other proof of authorization [...], and the Initiating Server did not provide proof of authorization"
        (Proof::Certificate | Proof::Both, false) => Err(Condition::NotAuthorized),
    }
}

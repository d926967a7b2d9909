//! What both sides of a stream do alike: stanzas and dialback once it is open, silence, and its end.

use std::sync::Arc;
use std::time::Instant;

use super::dialback::{self, Dialback, Malformed, Says};
use super::initiator::{Initiator, refuse, verified};
use super::receiver::Receiver;
use super::{Compression, Known, Output, Pair, Refusal, Settings, Verdict, Verify, header};
use crate::mailbox::Envelope;
use crate::stanza::{self, Cause, Stanza};
use crate::stream::{self, StreamCondition, StreamError};
use crate::time::Now;
use crate::xml::{Element, ns};
use crate::{BareJid, Jid};

/// A stream between servers, as far as it does not matter which side we are.
pub(super) struct Link {
    pub(super) settings: Arc<Settings>,
    pub(super) tls: bool,
    /// Whether this is the stream behind `<compressed/>` (XEP-0138), or is about to be.
    pub(super) compressed: bool,
    /// The ID that the stream has from the side that accepted the connection.
    pub(super) id: String,
    /// The peer declares dialback: in its header, or in its features.
    pub(super) dialback: bool,
    /// Whether our header is out.
    pub(super) greeted: bool,
    /// `xml:lang` of the peer's header.
    pub(super) lang: Option<Arc<str>>,
    /// There if the peer may ask for pairs.
    pub(super) receiver: Option<Receiver>,
    /// There if we may.
    pub(super) initiator: Option<Initiator>,
    /// What was to be sent between two streams.
    held: Vec<Envelope>,
    /// When the peer spoke, or was last asked whether it is there.
    heard: Instant,
    /// When there was something to say, either way.
    busy: Instant,
}

/// What the roles of dialback know of the stream.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) id: &'a str,
    pub(super) tls: bool,
    pub(super) dialback: bool,
    pub(super) now: Instant,
}

/// How a stream ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// With this error.
    Error(StreamError),
    /// With `</stream:stream>` alone.
    Clean,
}

impl<E: Into<StreamError>> From<E> for Ending {
    fn from(error: E) -> Ending {
        Ending::Error(error.into())
    }
}

impl Link {
    pub(super) fn new(settings: Arc<Settings>, tls: bool, now: Now) -> Link {
        Link {
            settings,
            tls,
            compressed: false,
            id: String::new(),
            dialback: false,
            greeted: false,
            lang: None,
            receiver: None,
            initiator: None,
            held: Vec::new(),
            heard: now.instant,
            busy: now.instant,
        }
    }

    pub(super) fn heard(&mut self, now: Now) {
        self.heard = now.instant;
    }

    /// A stanza from the peer.
    pub(super) fn stanza(
        &mut self,
        mut stanza: Stanza,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), StreamCondition> {
        self.busy = now.instant;
        self.check(stanza.from(), stanza.to())?;
        // RFC 6120 §8.1.5: what has no language is in the stream's.
        if stanza.lang().is_none()
            && let Some(lang) = &self.lang
        {
            stanza.set_lang(Some(lang.clone()));
        }
        out.push(stream::Output::Deliver(stanza, None));
        Ok(())
    }

    /// What was to be a stanza.
    pub(super) fn malformed(
        &mut self,
        malformed: &stanza::Malformed,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), StreamCondition> {
        let address = |raw: &Option<String>| Jid::new(raw.as_deref()?).ok();
        let (from, to) = (address(&malformed.from), address(&malformed.to));
        if self.receiver.as_ref().is_some_and(Receiver::is_proven)
            && matches!(malformed.cause, Cause::From | Cause::To)
        {
            // RFC 6120 §4.9.3.7: "or the value violates the rules for XMPP addresses"
            return Err(StreamCondition::ImproperAddressing);
        }
        self.check(from.as_ref(), to.as_ref())?;
        if let Some(reply) = malformed.reply() {
            out.push(stream::Output::S2s(Output::Bounce(reply)));
        }
        Ok(())
    }

    fn check(&self, from: Option<&Jid>, to: Option<&Jid>) -> Result<(), StreamCondition> {
        // RFC 6120 §4.9.3.12: "The entity has attempted to send XML stanzas or other outbound data before the stream has been authenticated"
        let Some(receiver) = self.receiver.as_ref().filter(|r| r.is_proven()) else {
            return Err(StreamCondition::NotAuthorized);
        };
        // RFC 6120 §4.9.3.7: "A stanza sent between two servers lacks a 'to' or 'from' attribute"
        let (Some(from), Some(to)) = (from, to) else {
            return Err(StreamCondition::ImproperAddressing);
        };
        // RFC 6120 §4.9.3.9: "The data provided in a 'from' attribute does not match an authorized JID or validated domain
        // as negotiated (1) between two servers using SASL or Server Dialback"
        match receiver.proves(from, to) {
            true => Ok(()),
            false => Err(StreamCondition::InvalidFrom),
        }
    }

    /// A stanza for the peer.
    pub(super) fn send(&mut self, envelope: Envelope, now: Now, out: &mut Vec<stream::Output>) {
        let stanza = &envelope.stanza;
        let may = match (&self.initiator, stanza.from(), stanza.to()) {
            (Some(initiator), Some(from), Some(to)) => initiator.may_send(from, to),
            _ => false,
        };
        if may {
            self.busy = now.instant;
            out.push(stream::Output::Send(envelope));
        } else {
            out.push(stream::Output::S2s(Output::Unsent(envelope)));
        }
    }

    /// A stanza for the peer, which goes out when the next stream is open. There are no more of them than a link is handed before it has written
    /// any ([`window`](super::links::Limits::window)).
    pub(super) fn hold(&mut self, envelope: Envelope) {
        self.held.push(envelope);
    }

    /// The stream is to be compressed. XEP-0138 §2: "Both entities MUST now consider the previous (uncompressed) stream to be null and void, just as
    /// with TLS negotiation and SASL negotiation". As with SASL, what has been proven stays proven; what has been asked has not been.
    pub(super) fn compress(&mut self, method: Compression, out: &mut Vec<stream::Output>) {
        out.push(stream::Output::S2s(Output::Compress(method)));
        self.compressed = true;
        self.greeted = false;
        self.lang = None;
        if let Some(receiver) = &mut self.receiver {
            receiver.forget();
        }
        if let Some(initiator) = &mut self.initiator {
            initiator.pause();
        }
    }

    /// The stream behind that is open.
    pub(super) fn go_on(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        if let (cx, _, Some(initiator)) = self.roles(now) {
            initiator.go_on(&cx, out);
        }
        for envelope in std::mem::take(&mut self.held) {
            self.send(envelope, now, out);
        }
    }

    /// An element of dialback.
    pub(super) fn dialback(
        &mut self,
        element: &Element,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        self.busy = now.instant;
        let dialback = Dialback::read(element).map_err(|malformed| match malformed {
            Malformed::Address => StreamCondition::ImproperAddressing,
            Malformed::Name => StreamCondition::UnsupportedStanzaType,
            _ => StreamCondition::BadFormat,
        })?;
        let before = out.len();
        let (cx, receiver, initiator) = self.roles(now);
        // XEP-0220 §3.1: "sending verify (STEP 3) or result (STEP 4) responses without an associated request, in an
        // unexpected direction and/or on an unexpected XML stream"
        match (&dialback.says, receiver, initiator) {
            (Says::Key(key), Some(receiver), _) => {
                let key = key.clone();
                receiver.request(dialback, key, &cx, out);
            }
            (Says::Valid | Says::Invalid | Says::Error(_), _, Some(initiator)) => {
                initiator.answered(dialback, out);
            }
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        self.mirror(before, out);
        Ok(())
    }

    /// We want to send a pair.
    pub(super) fn request(&mut self, pair: Pair, now: Now, out: &mut Vec<stream::Output>) {
        self.busy = now.instant;
        match self.roles(now) {
            (cx, _, Some(initiator)) => initiator.request(pair, &cx, out),
            _ => refuse(pair, Refusal::Direction, out),
        }
    }

    /// We want to know of a key.
    pub(super) fn verify(&mut self, verify: Verify, now: Now, out: &mut Vec<stream::Output>) {
        self.busy = now.instant;
        match self.roles(now) {
            (cx, _, Some(initiator)) => initiator.verify(verify, &cx, out),
            _ => verified(verify, Verdict::NotFound, out),
        }
    }

    pub(super) fn known(
        &mut self,
        pair: &Pair,
        known: Known,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) {
        let before = out.len();
        if let (cx, Some(receiver), _) = self.roles(now) {
            receiver.known(pair, known, &cx, out);
        }
        self.mirror(before, out);
    }

    pub(super) fn verified(
        &mut self,
        verify: &Verify,
        verdict: Verdict,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        let before = out.len();
        if let (cx, Some(receiver), _) = self.roles(now) {
            receiver.verified(verify, verdict, &cx, out)?;
        }
        self.mirror(before, out);
        Ok(())
    }

    /// SASL has proven the pair, which the peer wants to send.
    pub(super) fn accept(&mut self, pair: Pair, out: &mut Vec<stream::Output>) {
        let before = out.len();
        if let Some(receiver) = &mut self.receiver {
            receiver.accept(pair, out);
        }
        self.mirror(before, out);
    }

    /// SASL has proven the pair, which we want to send.
    pub(super) fn grant(&mut self, pair: Pair, out: &mut Vec<stream::Output>) {
        let before = out.len();
        if let Some(initiator) = &mut self.initiator {
            initiator.grant(pair, out);
        }
        self.mirror(before, out);
    }

    /// XEP-0288 §2.2: "the receiving server MUST only send stanzas for which it has been authenticated - in the case of
    /// TLS/SASL based authentication, this is the value of the stream's 'to' attribute, whereas in the case of Server
    /// Dialback this is the inverse of any domain pair that has been used in a dialback request."
    fn mirror(&mut self, before: usize, out: &mut Vec<stream::Output>) {
        let (Some(receiver), Some(initiator)) = (&mut self.receiver, &mut self.initiator) else {
            return;
        };
        for at in before..out.len() {
            match &out[at] {
                stream::Output::S2s(Output::Accepted(pair)) => initiator.grant(pair.inverse(), out),
                stream::Output::S2s(Output::Granted(pair)) => receiver.accept(pair.inverse(), out),
                _ => {}
            }
        }
    }

    fn roles(&mut self, now: Now) -> (Context<'_>, Option<&mut Receiver>, Option<&mut Initiator>) {
        let cx = Context {
            settings: &self.settings,
            id: &self.id,
            tls: self.tls,
            dialback: self.dialback,
            now: now.instant,
        };
        (cx, self.receiver.as_mut(), self.initiator.as_mut())
    }

    /// Whether a pair is proven in any direction.
    pub(super) fn is_proven(&self) -> bool {
        self.receiver.as_ref().is_some_and(Receiver::is_proven)
            || self.initiator.as_ref().is_some_and(Initiator::is_granted)
    }

    /// Minds the time on an open stream.
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<stream::Output>) -> Result<(), Ending> {
        let times = self.settings.timeouts;
        if let Some(receiver) = &mut self.receiver {
            receiver.expire(now.instant, out);
        }
        if let Some(initiator) = &mut self.initiator {
            initiator.expire(now.instant, out);
        }
        // Nobody has failed: there is nothing to say.
        if times
            .idle
            .is_some_and(|idle| now.instant >= self.busy + idle)
        {
            return Err(Ending::Clean);
        }
        // RFC 6120 §4.6.1: whitespace keeps the connection, or finds it dead.
        if now.instant >= self.heard + times.keepalive {
            out.push(stream::Output::Write(b" ".to_vec()));
            self.heard = now.instant;
        }
        Ok(())
    }

    pub(super) fn next_timeout(&self) -> Instant {
        let times = self.settings.timeouts;
        let roles = [
            self.receiver.as_ref().and_then(Receiver::next_timeout),
            self.initiator.as_ref().and_then(Initiator::next_timeout),
            times.idle.map(|idle| self.busy + idle),
        ];
        let space = self.heard + times.keepalive;
        roles.into_iter().flatten().fold(space, Instant::min)
    }

    /// Writes what ends the stream; the machine says the rest.
    pub(super) fn end(
        &mut self,
        ending: Ending,
        from: Option<&BareJid>,
        to: Option<&BareJid>,
        out: &mut Vec<stream::Output>,
    ) -> Option<StreamCondition> {
        let error = match ending {
            Ending::Error(error) => {
                // RFC 6120 §4.9.1.2: an error before our header needs one first.
                if !self.greeted {
                    self.greet(from, to, true, out);
                }
                let mut bytes = Vec::new();
                error.write(&mut bytes);
                out.push(stream::Output::Write(bytes));
                Some(error.condition)
            }
            Ending::Clean => None,
        };
        if self.greeted {
            out.push(stream::Output::Write(b"</stream:stream>".to_vec()));
        }
        self.abandon(out);
        error
    }

    /// Nothing will be answered any more.
    pub(super) fn abandon(&mut self, out: &mut Vec<stream::Output>) {
        let unsent = |envelope| stream::Output::S2s(Output::Unsent(envelope));
        out.extend(self.held.drain(..).map(unsent));
        if let Some(initiator) = &mut self.initiator {
            initiator.end(out);
        }
    }

    /// Our header; with an ID if one is set.
    pub(super) fn greet(
        &mut self,
        from: Option<&BareJid>,
        to: Option<&BareJid>,
        version: bool,
        out: &mut Vec<stream::Output>,
    ) {
        let bytes = header::write(&self.id, from, to, version);
        out.push(stream::Output::Write(bytes));
        self.greeted = true;
    }
}

/// Whether the element is the end of the peer's patience (RFC 6120 §4.9).
pub(super) fn is_error(element: &Element) -> bool {
    element.is("error", ns::STREAM)
}

/// Whether the element belongs to dialback.
pub(super) fn is_dialback(element: &Element) -> bool {
    element.ns() == dialback::NS
}

pub(super) fn write(dialback: &Dialback, out: &mut Vec<stream::Output>) {
    let mut bytes = Vec::with_capacity(256);
    dialback.write(&mut bytes);
    out.push(stream::Output::Write(bytes));
}

pub(super) fn nonza(element: &Element, out: &mut Vec<stream::Output>) {
    let mut bytes = Vec::with_capacity(128);
    element.write(ns::CLIENT, &mut bytes);
    out.push(stream::Output::Write(bytes));
}

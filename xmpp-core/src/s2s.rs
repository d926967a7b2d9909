//! Streams between servers: RFC 6120 with `jabber:server`, Server Dialback (XEP-0220), bidirectional streams (XEP-0288), and where a
//! peer's [`Policy`] has it compression (XEP-0138).
//!
//! What such a stream carries are [pairs](Pair): a domain on one side that may send to a domain on the other. Each is proven by
//! itself, by the certificate of the connection or by dialback, as the [`Policy`] for the peer has it.
//!
//! [`Incoming`] is the machine for a connection that was accepted, [`Outgoing`] for one that was opened. Both speak
//! [`stream::Input`] and [`stream::Output`], as a client's stream does; what only they
//! have is [`Input`] and [`Output`] here. Questions do not stop a stream: any number can be open at once, and an answer names what was asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::mailbox::Envelope;
use crate::server::{Random, Timeouts};
use crate::stanza::{Condition, Stanza};
use crate::stream;
use crate::time::Now;
use crate::xml::Element;
use crate::{BareJid, Jid};

pub mod compression;
pub mod dialback;
mod header;
mod incoming;
mod initiator;
mod link;
pub mod links;
mod outgoing;
mod receiver;
mod session;
mod sessions;
mod side;
#[cfg(test)]
mod testing;

pub use incoming::Incoming;
pub use links::Links;
pub use outgoing::Outgoing;
pub use session::{Claim, Ended, Found, Sent, Session};
pub use sessions::{Do, SessionLimits, Sessions};

/// A stream between servers, perhaps in layers.
pub type BoxStream = Box<dyn Stream>;

/// A stream between servers, as a [`Layer`] around it sees it.
pub trait Stream: Machine<Input = stream::Input, Output = stream::Output> {
    /// Whether a layer may write elements of its own: the features are there, and the end is not.
    fn is_open(&self) -> bool;

    /// Whether the connection is encrypted.
    fn is_encrypted(&self) -> bool;
}

impl Machine for BoxStream {
    type Input = stream::Input;
    type Output = stream::Output;

    fn handle(&mut self, input: stream::Input, now: Now, out: &mut Vec<stream::Output>) {
        (**self).handle(input, now, out);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<stream::Output>) {
        (**self).handle_timeout(now, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        (**self).next_timeout()
    }
}

impl Stream for BoxStream {
    fn is_open(&self) -> bool {
        (**self).is_open()
    }

    fn is_encrypted(&self) -> bool {
        (**self).is_encrypted()
    }
}

/// Wraps all streams between servers, to see their inputs first and their outputs last.
pub trait Layer: Send + Sync + 'static {
    /// A stream that another server has opened, in this layer.
    fn incoming(&self, inner: BoxStream) -> BoxStream;

    /// A stream that we open, in this layer.
    fn outgoing(&self, inner: BoxStream) -> BoxStream;

    /// What belongs into [`Settings::features`] for it.
    fn feature(&self) -> Option<Element> {
        None
    }
}

/// A Domain Pair (XEP-0220 §1.3): the Sender Domain and the Target Domain. Stanzas go from the one to the other; the way back
/// is another pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    from: BareJid,
    to: BareJid,
}

impl Pair {
    /// The pair of the domains of these two addresses.
    pub fn new(from: &BareJid, to: &BareJid) -> Pair {
        Pair {
            from: from.domain_jid(),
            to: to.domain_jid(),
        }
    }

    /// The Sender Domain.
    pub fn from(&self) -> &BareJid {
        &self.from
    }

    /// The Target Domain.
    pub fn to(&self) -> &BareJid {
        &self.to
    }

    /// The pair for the other direction.
    pub fn inverse(&self) -> Pair {
        Pair {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }

    /// Whether a stanza with these addresses belongs to it.
    pub fn covers(&self, from: &Jid, to: &Jid) -> bool {
        self.from.as_str() == from.domain() && self.to.as_str() == to.domain()
    }
}

/// What happens to a stream between servers alone.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// The connection of an [`Outgoing`] stream is there: begin.
    Open,
    /// We want to send this pair's stanzas. Answered by [`Output::Granted`] or [`Output::Refused`].
    Request(Pair),
    /// Ask the peer whether this key is one of its own. Answered by [`Output::Verified`].
    Verify(Verify),
    /// The answer to [`Ask::Pair`] and to [`Ask::Stream`].
    Known(Pair, Known),
    /// The answer to [`Ask::Verify`].
    Verified(Verify, Verdict),
    /// The answer to [`Ask::Session`]. An [`Outgoing`] stream is given [`Found::Session`] before [`Input::Open`] if there is one to go on with: it resumes it
    /// when one of its pairs is granted. A session that a stream has no use for comes back at once ([`Output::Session`]).
    Session(Found),
    /// Another connection claims the session of this stream. If the claim is [good](Claim::is_good), the stream ends with `<conflict/>`, and
    /// the session comes out when all that has been delivered is settled; else [`Output::Denied`].
    Claimed(Claim),
}

/// What a stream between servers alone wants done, or tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Find out.
    Ask(Ask),
    /// The peer has proven the pair, and may send its stanzas.
    Accepted(Pair),
    /// We have proven the pair, and may send its stanzas.
    Granted(Pair),
    /// We may not send this pair's stanzas on this stream.
    Refused(Pair, Refusal),
    /// What the peer says to [`Input::Verify`].
    Verified(Verify, Verdict),
    /// This was to be sent, and belongs to no pair that was [granted](Output::Granted). It is not written. Or it was sent by a session, and
    /// goes the way of what waits for its pair, before all that waits already. Where several come out, the oldest comes first.
    Unsent(Envelope),
    /// The peer sent what is no stanza, and this goes back to it, on whichever stream there is for that.
    Bounce(Stanza),
    /// The peer ends the stream with this error.
    PeerError(Box<Element>),
    /// The stream's session, which outlives it: the connection was lost, or another one takes it over. All that was delivered is settled. On an
    /// [`Outgoing`] stream it is to be given to the next one for its peer, also after its [`max`](Session::max), as that is how it is
    /// learned what the peer has handled. [`stream::Output::Close`] follows.
    Session(Box<Session>),
    /// The peer has acknowledged so many stanzas more (XEP-0198). Whoever waits for one of them has been told.
    Acked(u32),
    /// The stream's session, of which [`stream::Output::Resumable`] told, is over.
    Ended(Ended),
    /// The claim ([`Input::Claimed`]) is not good, or there is no session; nothing has changed.
    Denied(Claim),
    /// What is written from here on is compressed, and so is what comes behind what was read; a new stream header comes next. What comes and
    /// cannot be inflated is [`compression::Failure::Processing`], as the detail of the stream error
    /// [`UndefinedCondition`](stream::StreamCondition::UndefinedCondition), with which the stream is to be [closed](stream::Input::Close).
    Compress(Compression),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// What is known of these two: [`from`](Pair::from) is a domain on the peer's side, [`to`](Pair::to) one on ours, whoever
    /// wants to send. Answered by [`Input::Known`].
    Pair(Pair),
    /// The same for the domains of the stream itself. Until it is answered, nothing more is to be read from the peer.
    Stream(Pair),
    /// Ask the authoritative server, on another stream. Answered by [`Input::Verified`].
    Verify(Verify),
    /// Is there a session that this connection may go on with? If another connection still has it, that one is asked
    /// ([`Input::Claimed`]). Answered by [`Input::Session`]; until then nothing more is to be read from the peer.
    Session(Claim),
}

/// What is known of a domain on the peer's side and one on ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether the domain on our side is ours.
    pub ours: bool,
    /// Whether the peer's certificate is trusted, and is right for the domain on its side (RFC 6120 §13.7.2).
    pub certified: bool,
    /// The policy for the peer; `None`: there are no streams with it, as there are none with a domain of our own.
    pub policy: Option<Policy>,
    /// Whether it has the longer times of its [`patience`](Policy::patience) before it has proven anything; afterwards it always has.
    pub patient: bool,
}

/// What a peer is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether the connection has to be encrypted. Default: yes.
    pub tls: bool,
    /// What proves that the peer is who it says. Default: [`Proof::Either`].
    pub proof: Proof,
    /// Whether a stream may be used in both directions (XEP-0288). Default: yes.
    pub bidi: bool,
    /// How a stream is compressed, if the peer wants it as well (XEP-0138): offered to a peer that connects, asked of one that offers it. It is for links on
    /// which every byte counts, and for peers all of whose stanzas may be known to each other: how well something can be compressed tells what stood before
    /// it, and encryption does not hide that. Only behind TLS. Default: not at all.
    pub compression: Option<Compression>,
    /// How many times longer than for others it is waited for: until it is connected to and has proven itself, until it answers, until what
    /// waits for it comes back. For a link on which a handshake takes minutes. Default: 1; 0 is 1.
    ///
    /// A peer that has opened a connection is not known before its stream header, which has to come in the time that all have. The header proves nothing: of
    /// one address only so many connections have these times before their proof that together they are there no longer than all that an address may have
    /// (`before_login_per_address` divided by this, and one in any case). It is said of single peers
    /// (`Rules::exceptions`): what holds for all is a matter of the times themselves.
    pub patience: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            tls: true,
            proof: Proof::Either,
            bidi: true,
            compression: None,
            patience: 1,
        }
    }
}

/// How a stream is compressed (XEP-0138 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// ZLIB (RFC 1950), one stream of it in each direction.
    Zlib,
}

impl Compression {
    /// The name that is registered for it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Zlib => "zlib",
        }
    }
}

/// What proves that the peer is who it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its certificate.
    Certificate,
    /// Its certificate, or else dialback.
    Either,
    /// Dialback; certificates count for nothing.
    Dialback,
    /// Its certificate and dialback.
    Both,
}

impl Proof {
    /// Whether SASL EXTERNAL is enough.
    pub(crate) fn is_external(self, certified: bool) -> bool {
        certified && matches!(self, Proof::Certificate | Proof::Either)
    }

    /// Whether a peer without the right certificate can prove itself at all.
    pub(crate) fn is_possible(self, certified: bool) -> bool {
        certified || matches!(self, Proof::Either | Proof::Dialback)
    }
}

/// A key to be verified (XEP-0220 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// What it proves.
    pub pair: Pair,
    /// The ID of the stream on which it came, and for which alone it is good.
    pub id: String,
    /// The key.
    pub key: String,
}

/// What has become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the Sender Domain's.
    Valid,
    /// It is not.
    Invalid,
    /// The authoritative server could not be found or reached, or it answered with an error.
    NotFound,
    /// It gave no answer: its stream has ended, or it took too long.
    Timeout,
}

/// Why a pair is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer says that our key is invalid (XEP-0220 §2.1.1). It will end the stream.
    Invalid,
    /// The peer could not or did not want to find out (§2.5).
    Error(Condition),
    /// The peer gave no answer in time, or the stream has ended.
    Timeout,
    /// We have asked for as many pairs as a stream may carry ([`Limits::pairs`]).
    Full,
    /// The peer does not say that it can take another Target Domain on this stream (§2.6.2).
    Multiplexing,
    /// The stream is not in a state, or of a kind, in which we could ask.
    Direction,
    /// The policy wants encryption, and the peer has none.
    Unencrypted,
    /// The policy wants a certificate, and the peer's is not right.
    Certificate,
    /// There are no streams with this peer, or the domain is not ours.
    Policy,
    /// There is no way to prove it that both sides know.
    NoMethod,
}

impl Refusal {
    /// The error that stanzas get that waited for the pair, if there is no other way for them.
    pub fn condition(&self) -> Condition {
        match self {
            // §2.1.1: "MUST return such stanzas to the respective senders at the Sender Domain with an
            // <internal-server-error/> stanza error"
            Refusal::Invalid => Condition::InternalServerError,
            // §2.5: "the Initiating Server MUST return queued stanzas to the respective senders with a
            // <remote-server-timeout/> stanza error"
            _ => Condition::RemoteServerTimeout,
        }
    }
}

/// What all streams between this server and others share.
pub struct Settings {
    /// What our keys are made of.
    pub secret: dialback::Secret,
    /// Whether there is a certificate, so that STARTTLS can be offered, and asked for.
    pub starttls: bool,
    /// Times: [`header`](Timeouts::header), [`login`](Timeouts::login) (until a pair is proven), [`keepalive`](Timeouts::keepalive),
    /// [`idle`](Timeouts::idle) (without any stanza either way, then the stream is closed without an error) and [`close`](Timeouts::close).
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// What layers advertise, in all features in which a pair can be proven or is.
    pub features: Vec<Element>,
    /// Randomness for stream IDs.
    pub random: Arc<dyn Random>,
}

impl Settings {
    /// With times for a peer for which it is waited so much longer.
    fn patient(self: Arc<Settings>, patience: u32) -> Arc<Settings> {
        if patience <= 1 {
            return self;
        }
        let longer = |time: Duration| time.saturating_mul(patience);
        let (mut timeouts, mut limits) = (self.timeouts, self.limits);
        for time in [
            &mut timeouts.header,
            &mut timeouts.login,
            &mut timeouts.keepalive,
            &mut timeouts.close,
            &mut limits.answer,
        ] {
            *time = longer(*time);
        }
        timeouts.idle = timeouts.idle.map(longer);
        Arc::new(Settings {
            secret: self.secret.clone(),
            starttls: self.starttls,
            timeouts,
            limits,
            features: self.features.clone(),
            random: self.random.clone(),
        })
    }
}

/// What one stream may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pairs in each direction, proven or not; default 100. More are `<resource-constraint/>`.
    pub pairs: usize,
    /// Keys that are being verified at once, in each direction, for streams other than this; default 100.
    pub verifies: usize,
    /// How long a pair or a key waits for its answer; default 30 s.
    pub answer: Duration,
    /// Failed attempts at SASL before the stream is closed; default 3.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            pairs: 100,
            verifies: 100,
            answer: Duration::from_secs(30),
            attempts: 3,
        }
    }
}

//! The links between this server and others, as a machine: which stream carries a stanza, and what becomes of it without one.
//!
//! [`Links`] stands between routing, which gives it what is for other domains, and the connections, each with its
//! [`Outgoing`](super::Outgoing) or [`Incoming`](super::Incoming) stream. It has connections opened and pairs requested, queues what waits for
//! a pair, takes back what a connection that is lost has not written, finds the streams over which keys are verified, and keeps the
//! [sessions](super::Session) that are to be resumed. It opens no socket and looks nothing up: that is its driver's part.
//!
//! Within a [pair](Pair) stanzas keep their order (RFC 6120 §10.1), over connections too: those of one pair are never on two
//! connections at once.

use std::fmt;
use std::sync::Arc;

use super::Pair;
use crate::BareJid;
use crate::mailbox::Envelope;
use crate::stanza::Condition;
use crate::stream::{self, StreamCondition};

mod limits;

pub use limits::{Backoff, Limits};

/// One connection to another server, from the first attempt to its end. A number is not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkId {
    /// One that another server has opened; who accepts it counts them.
    In(u64),
    /// One that we open; [`Links`](super::Links) counts them.
    Out(u64),
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkId::In(n) => write!(f, "in {n}"),
            LinkId::Out(n) => write!(f, "out {n}"),
        }
    }
}

/// What happens to the links.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A stanza for another domain. It has both addresses.
    Send(Envelope),
    /// Another server has opened a connection; its [`Incoming`](super::Incoming) stream is there.
    Accepted(LinkId),
    /// The connection that was to be opened ([`Output::Dial`]) is there, and its [`Outgoing`](super::Outgoing) stream is made. What is
    /// to be done first comes out, [`Open`](super::Input::Open) last.
    Connected(LinkId),
    /// It cannot be opened: [`Condition::RemoteServerNotFound`] if the domain has no server, and what waits for it comes
    /// back at once; else [`Condition::RemoteServerTimeout`], and it is tried again.
    NotConnected(LinkId, Condition),
    /// What the stream of a link tells: all but what its driver answers itself, [`Ask::Pair`](super::Ask::Pair) and
    /// [`Ask::Stream`](super::Ask::Stream).
    ///
    /// [`Unsent`](super::Output::Unsent) is what was handed over and comes back. What comes back of a pair does so in the order in
    /// which it was handed over, with what [`Ended`](Input::Ended) brings behind it.
    Stream(LinkId, super::Output),
    /// From now on another connection can go on with the session of this one
    /// ([`stream::Output::Resumable`]).
    Resumable(LinkId, Arc<str>),
    /// Of what was handed over, so many bytes of XML ([`Stanza::size`](crate::stanza::Stanza::size)) are written, or in the
    /// keeping of a layer that waits for the acknowledgement. Room for as many more.
    Written(LinkId, usize),
    /// The peer has acknowledged so many stanzas (XEP-0198). For [`LinkEvent::Acked`] alone: who waits for a stanza hears of it from
    /// its envelope.
    Acked(LinkId, u32),
    /// Whether the stream has enough that is not acknowledged ([`stream::Output::Hold`]).
    Hold(LinkId, bool),
    /// This was sent and is not acknowledged, and the stream ends without a session ([`stream::Output::Return`]): it may
    /// have arrived.
    Lost(LinkId, Envelope),
    /// The connection is gone, and with it the stream; nothing more comes from it.
    Ended(LinkId, Ended),
    /// The server stops: all links are closed, and what waits comes back.
    Close,
}

/// The end of a connection that was there.
#[derive(Debug, Default)]
pub struct Ended {
    /// The stream error that we have sent, if any.
    pub error: Option<StreamCondition>,
    /// What was handed over and was not [written](Input::Written), in that order.
    pub returned: Vec<Envelope>,
}

/// What is to be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Open a connection for a stream from the one domain to the other. Answered by [`Input::Connected`] or
    /// [`Input::NotConnected`].
    Dial(LinkId, Pair),
    /// This is for the stream of the link. Before [`Input::Connected`] it can only be [`Close`](stream::Input::Close): then the
    /// attempt is given up, and answered all the same. What is for a link that is gone is of no effect, but for
    /// [`Send`](stream::Input::Send): that comes back with [`Input::Ended`].
    Stream(LinkId, stream::Input),
    /// This stanza is not delivered: back to its sender with this error, if it may be
    /// [answered](crate::stanza::Stanza::error_reply) so.
    Return(Envelope, Condition),
    /// For those above.
    Event(LinkEvent),
}

/// What those who send to other servers may want to know of the links.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The peer has proven that it may send for [`Pair::from`].
    Authenticated(LinkId, Pair),
    /// The pair's stanzas go over this link from now on.
    Up {
        /// The link.
        link: LinkId,
        /// The pair.
        pair: Pair,
        /// Whether it goes on with a session: nothing is lost or doubled. Else what was on its way when the link before it ended may be.
        resumed: bool,
    },
    /// The pair's stanzas do not go over this link any more.
    Down {
        /// The link.
        link: LinkId,
        /// The pair.
        pair: Pair,
        /// Why.
        why: Down,
    },
    /// The peer has acknowledged so many stanzas.
    Acked(LinkId, u32),
    /// So much waits for this domain. Told when it begins to be, doubles, halves, or is nothing any more.
    Waiting {
        /// The domain.
        to: BareJid,
        /// Bytes of XML.
        bytes: usize,
    },
}

/// Why a link carries nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Down {
    /// The connection was lost, and another one may go on with the session.
    Suspended,
    /// One of the two has ended the stream, with nothing to say, or the connection was lost.
    Ended,
    /// We have ended it with this error.
    Error(StreamCondition),
    /// The peer has, with the error of that name.
    Peer(String),
}

//! What goes into the link manager, and what comes out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::LinkEvent;
use crate::BareJid;
use crate::mailbox::Envelope;
use crate::s2s::{self, Pair};
use crate::stanza::Condition;
use crate::stream::{self, StreamCondition};

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
    /// One that waited for its link in an earlier run. It is taken whatever the bounds are: there is as much of it as there was room for
    /// where it was kept.
    Again(Envelope),
    /// Another server has opened a connection; its [`Incoming`](crate::s2s::Incoming) stream is there. How many there may be is for those to say
    /// who accept them.
    Accepted(LinkId),
    /// The connection that was to be opened ([`Output::Dial`]) is there, and its [`Outgoing`](crate::s2s::Outgoing) stream is made. What is
    /// to be done first comes out, [`Open`](s2s::Input::Open) last.
    Connected(LinkId),
    /// It cannot be opened: [`Condition::RemoteServerNotFound`] if the domain has no server, and what waits for it comes
    /// back at once; else [`Condition::RemoteServerTimeout`], and it is tried again.
    NotConnected(LinkId, Condition),
    /// What the stream of a link tells: all but what its driver answers itself, [`Ask::Pair`](s2s::Ask::Pair) and
    /// [`Ask::Stream`](s2s::Ask::Stream).
    ///
    /// [`Unsent`](s2s::Output::Unsent) is what was handed over and comes back. What comes back of a pair does so in the order in
    /// which it was handed over, with what [`Ended`](Input::Ended) brings behind it.
    Stream(LinkId, s2s::Output),
    /// From now on another connection can go on with the session of this one
    /// ([`stream::Output::Resumable`]).
    Resumable(LinkId, Arc<str>),
    /// Of what was handed over, so many bytes of XML ([`Stanza::size`](crate::stanza::Stanza::size)) are written, or in the
    /// keeping of a layer that waits for the acknowledgement. Room for as many more.
    Written(LinkId, usize),
    /// Whether the stream has enough that is not acknowledged ([`stream::Output::Hold`]).
    Hold(LinkId, bool),
    /// This was sent and is not acknowledged, and the stream ends without a session ([`stream::Output::Return`]): it may
    /// have arrived.
    Lost(LinkId, Envelope),
    /// The connection is gone, and with it the stream; nothing more comes from it.
    Ended(LinkId, Ended),
    /// How many times longer these domains are waited for than others ([`Policy::patience`](s2s::Policy::patience)), instead of what was said before.
    Patience(HashMap<BareJid, u32>),
    /// The server stops: all links are closed, and what waits comes back.
    Close,
}

/// The end of a connection that was there.
#[derive(Debug, Default)]
pub struct Ended {
    /// The stream error that we have sent, if any.
    pub error: Option<StreamCondition>,
    /// Nobody has ended the stream: the connection was lost.
    pub lost: bool,
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
    /// [`Send`](stream::Input::Send), which comes back with [`Input::Ended`], and for a session
    /// ([`Found`](s2s::Found::Session)), which does as one that [comes out](s2s::Output::Session) of the stream.
    Stream(LinkId, stream::Input),
    /// This stanza is not delivered: back to its sender with this error, if it may be
    /// [answered](crate::stanza::Stanza::error_reply) so.
    Return(Envelope, Condition),
    /// For those above.
    Event(LinkEvent),
}

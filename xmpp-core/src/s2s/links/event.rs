//! What the links tell those above.

use super::LinkId;
use crate::BareJid;
use crate::s2s::Pair;
use crate::stream::StreamCondition;

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
    /// One of the two has ended the stream, with nothing to say.
    Ended,
    /// The connection was lost, and nobody goes on with a session.
    Lost,
    /// We have ended it with this error.
    Error(StreamCondition),
    /// The peer has, with the error of that name.
    Peer(String),
}

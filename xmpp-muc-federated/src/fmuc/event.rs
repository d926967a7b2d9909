//! What happens in a federated room, as its nodes tell each other.

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;

use crate::log::{Dot, Stamp};
use crate::room::elsewhere::{Occupant, Parting};

/// Something that all nodes of a room come to know. The nick in it is the one that this node knows the author by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Somebody is there: new, under another nick, in another role, or in another way.
    Here(Occupant),
    /// Somebody is gone.
    Gone {
        jid: Jid,
        nick: String,
        parting: Parting,
    },
    /// Somebody says something to all.
    Said {
        by: Jid,
        nick: String,
        /// Without addresses, and without what is a room's to say.
        message: Arc<Stanza>,
    },
    /// Somebody changes the subject.
    Subject {
        by: Jid,
        nick: String,
        message: Arc<Stanza>,
        stamp: Stamp,
    },
}

/// An event on its way through a node.
#[derive(Clone, Debug)]
pub(super) struct Passing {
    pub(super) event: Event,
    /// Its name, if it is one that is kept.
    pub(super) dot: Option<Dot>,
    /// When it happened, if that was before now.
    pub(super) late: Option<Timestamp>,
}

impl Event {
    /// Whose it is.
    pub(super) fn author(&self) -> &Jid {
        match self {
            Event::Here(occupant) => &occupant.jid,
            Event::Gone { jid, .. } => jid,
            Event::Said { by, .. } | Event::Subject { by, .. } => by,
        }
    }

    /// Under which nick.
    pub(super) fn nick(&self) -> &str {
        match self {
            Event::Here(Occupant { nick, .. })
            | Event::Gone { nick, .. }
            | Event::Said { nick, .. }
            | Event::Subject { nick, .. } => nick,
        }
    }

    /// Whether it is something that somebody says: who has missed it is told; of all else it is enough to know what has become of it.
    pub(super) fn is_said(&self) -> bool {
        matches!(self, Event::Said { .. })
    }

    /// What it costs to keep, in bytes.
    pub(super) fn size(&self) -> usize {
        let content = match self {
            Event::Here(occupant) => occupant.presence.size(),
            Event::Gone { parting, .. } => {
                let farewell = parting.farewell.as_ref().map_or(0, Stanza::size);
                farewell + parting.reason.as_ref().map_or(0, String::len)
            }
            Event::Said { message, .. } | Event::Subject { message, .. } => message.size(),
        };
        size_of::<Event>() + self.author().as_str().len() + self.nick().len() + content
    }
}

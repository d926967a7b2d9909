//! Federated rooms (XEP-0289): several rooms on several servers that are one conversation.
//!
//! * [`Node`] is the machine: a [`Room`](crate::Room), and what it has to do with the rooms that it has joined or that have joined it. It sends nothing and
//!   stores nothing itself.
//! * [`Federation`] is what a room's owner decides, [`Settings`] what is so for all federated rooms of a service.
//! * [`Fmuc`] is what stands in the stanzas between rooms.
//!
//! Rooms that have joined each other are a tree. Whoever is in one of them is *owned* by the link by which one hears of them: nothing is accepted of
//! them from elsewhere, so nothing goes in circles and nobody speaks for another.

mod alias;
mod base36;
mod child;
mod collision;
mod crowd;
mod dedupe;
mod event;
mod guard;
mod legacy;
mod link;
mod lives;
mod local;
mod node;
mod pace;
mod parent;
mod private;
mod receive;
mod record;
mod reference;
mod replica;
mod request;
mod roster;
mod settings;
mod split;
mod sync;
mod tell;
#[cfg(test)]
mod tests;
mod view;
mod wire;

pub use alias::{Alias, Aliases};
pub use lives::Lives;
pub use node::{Input, LinkState, Matter, Node, Notice, Output};
pub use settings::{
    Accept, Backoff, Bandwidth, Collision, Dialect, Federation, Limits, LinkProfile, OnLoss,
    Payloads, Peer, PresenceLevel, Settings, SpeakFor, Timers,
};
pub use view::{Direction, LinkView, Stage};
pub use wire::{Extension, Fmuc, Have, Hello, Mode, Origin, WireError};

use xmpp_core::stanza::Stanza;
use xmpp_core::xml::Element;

use crate::log::Dot;
use crate::ns;

/// Whether this is between rooms.
pub(crate) fn is_between_rooms(stanza: &Stanza) -> bool {
    stanza.payload().has("fmuc", ns::FMUC)
}

/// Whether the other room waits for this before it goes on, and nothing comes after it that could go with it: it begins a session, or ends what is caught up with in
/// one.
pub(crate) fn is_waited_for(stanza: &Stanza) -> bool {
    let fmuc = stanza.payload().child("fmuc", ns::FMUC);
    let ends = |child: &Element| {
        child.ns() == ns::SYNC && matches!(child.name(), "join" | "rejoin" | "synced")
    };
    fmuc.is_some_and(|fmuc| fmuc.element().children().any(ends))
}

//! One room (XEP-0045), as a machine.

use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::stanza::{Condition, IqType, Kind, MessageType, PresenceType, Stanza, StanzaError};
use xmpp_core::time::Now;
use xmpp_core::{BareJid, Jid};

use crate::settings::Settings;
use crate::store::Change;

mod affiliation;
mod affiliations;
mod config;
mod occupants;
mod outline;
mod presence;
mod privilege;

pub use affiliation::{Affiliation, Role};
pub use config::{AllowPm, Config, Whois};
pub use outline::Listing;

use affiliations::Affiliations;
use occupants::Occupants;

/// One room. See the [module](self).
pub struct Room {
    jid: BareJid,
    settings: Arc<Settings>,
    config: Config,
    /// Its owner has not accepted or changed the configuration yet (§10.1). As long as it has no owner, it is not even created: whoever
    /// enters first becomes one.
    locked: bool,
    affiliations: Affiliations,
    occupants: Occupants,
}

/// What happens to a room.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// Somebody has sent this, to the room or to one of its occupants. `from` is who they really are, as their stream or their server has
    /// proven it.
    Stanza(Stanza),
    /// The service stops (§11.2).
    Close,
}

/// What is to be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send this. It has both addresses.
    Send(Stanza),
    /// Send this when all changes before it are stored; if they cannot be, an error in its place.
    Answer(Stanza),
    /// Send this to each of them. It has no `to`.
    Broadcast(Stanza, Arc<[Jid]>),
    /// Send these to this one, in their order and before anything that comes later. They have no `to`.
    Burst(Jid, Vec<Stanza>),
    /// Store this.
    Store(Change),
    /// The room is no more (§10.9); nothing comes after this.
    Destroyed,
}

/// What a room is shown while it does something.
struct Turn<'a> {
    now: Now,
    out: &'a mut Vec<Output>,
}

impl Turn<'_> {
    fn send(&mut self, stanza: Stanza) {
        self.out.push(Output::Send(stanza));
    }

    /// To each of them, if there are any.
    fn broadcast(&mut self, stanza: Stanza, to: Arc<[Jid]>) {
        if !to.is_empty() {
            self.out.push(Output::Broadcast(stanza, to));
        }
    }

    fn burst(&mut self, to: Jid, stanzas: Vec<Stanza>) {
        if !stanzas.is_empty() {
            self.out.push(Output::Burst(to, stanzas));
        }
    }

    /// Back to its sender with an error, if it may be answered.
    fn refuse(&mut self, stanza: &Stanza, error: impl Into<StanzaError>) {
        if let Some(reply) = stanza.error_reply(&error.into()) {
            self.send(reply);
        }
    }
}

impl Room {
    /// A room that nobody has entered yet: with the first one it is created, and theirs (§10.1).
    pub fn new(jid: BareJid, settings: Arc<Settings>) -> Room {
        Room {
            jid,
            config: settings.defaults.clone(),
            settings,
            locked: true,
            affiliations: Affiliations::default(),
            occupants: Occupants::default(),
        }
    }

    /// Its address.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Whether nobody is in it, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.occupants.is_empty()
    }

    /// What a user is to the room, whether they are in it or not.
    fn affiliation(&self, user: &BareJid) -> Affiliation {
        match self.settings.admins.contains(user) {
            true => Affiliation::Owner,
            false => self.affiliations.of(user),
        }
    }

    fn stanza(&mut self, stanza: Stanza, turn: &mut Turn<'_>) {
        let (Some(from), Some(to)) = (stanza.from().cloned(), stanza.to().cloned()) else {
            return;
        };
        let _ = (
            &from,
            &self.config,
            self.locked,
            &self.affiliations,
            &self.settings,
        );
        match (stanza.kind(), to.resource()) {
            (Kind::Presence(PresenceType::Available), None) => {
                // §7.2.1: "If the user does not specify a room nickname [...] the service MUST return a <jid-malformed/> error"
                turn.refuse(&stanza, Condition::JidMalformed);
            }
            (Kind::Message(MessageType::Groupchat), Some(_)) => {
                turn.refuse(&stanza, Condition::BadRequest)
            }
            (Kind::Iq(IqType::Get | IqType::Set), _) => {
                turn.refuse(&stanza, Condition::ServiceUnavailable)
            }
            _ => {}
        }
    }
}

impl Machine for Room {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        let mut turn = Turn { now, out };
        match input {
            Input::Stanza(stanza) => self.stanza(stanza, &mut turn),
            Input::Close => {}
        }
    }

    fn handle_timeout(&mut self, _now: Now, _out: &mut Vec<Output>) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

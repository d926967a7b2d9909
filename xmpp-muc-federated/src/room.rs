//! One room (XEP-0045), as a machine.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::stanza::{
    Condition, IqType, Kind, MessageType, Payload, PresenceType, Stanza, StanzaError,
};
use xmpp_core::time::Now;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use crate::ns;
use crate::settings::Settings;
use crate::store::Change;

mod admin;
mod affiliation;
mod affiliations;
mod burst;
mod change;
mod config;
mod disco;
pub mod elsewhere;
mod enter;
mod exit;
mod federate;
mod form;
mod ghost;
mod history;
mod invite;
mod list;
mod live;
mod message;
mod nick;
mod occupants;
mod outline;
mod owner;
mod plan;
mod presence;
mod private;
mod privilege;
mod rate;
mod record;
mod register;
mod relay;
mod request;
mod subject;
#[cfg(test)]
mod tests;
mod voice;

pub use affiliation::{Affiliation, Role};
pub use config::{AllowPm, Config, Whois};
pub use federate::FederatedBy;
pub use outline::Listing;
pub use record::RecordError;
pub(crate) use record::creator_of;

use affiliations::Affiliations;
use history::History;
pub(crate) use history::{Wanted, stamped};
use invite::Invitations;
use occupants::Occupants;
use presence::Notice;
pub(crate) use presence::status;
use private::Sent;
use rate::Rates;
use register::Applicants;
use relay::Requests;
use subject::Subject;
use voice::{VoiceRequests, Voices};

/// One room. See the [module](self).
pub struct Room {
    jid: BareJid,
    settings: Arc<Settings>,
    config: Config,
    federated: FederatedBy,
    /// Its owner has not accepted or changed the configuration yet (§10.1). As long as it has no owner, it is not even created: whoever
    /// enters first becomes one.
    locked: bool,
    /// As long as it is: when it is destroyed.
    setup: Option<Instant>,
    /// Who has made it.
    creator: Option<BareJid>,
    /// There is no place for it where persistent rooms are kept.
    transient: bool,
    affiliations: Affiliations,
    occupants: Occupants,
    subject: Option<Subject>,
    history: History,
    /// [Events](Output::Event) are wanted.
    watched: bool,
    /// Something of what is stored of the room itself is another than it was when this turn began: configuration or subject.
    changed: bool,
    rates: Rates,
    sent: Sent,
    requests: Requests,
    invitations: Invitations,
    voices: Voices,
    voice_requests: VoiceRequests,
    applicants: Applicants,
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
    /// Send these to this one, in their order and before anything that comes later. They have no `to`, and are shared with all who
    /// enter: one who has not taken theirs yet costs a pointer for each.
    Burst(Jid, Vec<Arc<Stanza>>),
    /// Store this.
    Store(Change),
    /// Other nodes have to know of this: told to [`fmuc::Node`](crate::fmuc) alone, and only if it watches.
    Event(elsewhere::Event),
    /// The room is no more, since it was destroyed (§10.9), or is not persistent and nobody is in it (§7.14); nothing comes after this.
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

    fn burst(&mut self, to: Jid, stanzas: Vec<Arc<Stanza>>) {
        if !stanzas.is_empty() {
            self.out.push(Output::Burst(to, stanzas));
        }
    }

    /// Back to its sender with an error, if it may be answered. What went to an occupant's address says that it is the room that
    /// answers (RFC 6120 §8.3.1).
    fn refuse(&mut self, stanza: &Stanza, error: impl Into<StanzaError>) {
        let mut error = error.into();
        let occupant = stanza.to().filter(|to| !to.is_bare());
        error.by = occupant.map(|to| to.to_bare().into());
        if let Some(reply) = refusal(stanza, &error) {
            self.send(reply);
        }
    }
}

/// The stanza with an error, if it may be answered. Of a presence it says that it came of a room, as the examples of §7.2 do: there are
/// clients (slixmpp) that wait for an answer until one does.
pub(crate) fn refusal(stanza: &Stanza, error: &StanzaError) -> Option<Stanza> {
    let reply = stanza.error_reply(error)?;
    if !matches!(stanza.kind(), Kind::Presence(_)) {
        return Some(reply);
    }
    let children = [&Element::new("x", ns::MUC), &error.to_element()];
    Some(
        reply
            .with_payload(Payload::default())
            .with_children(children),
    )
}

impl Room {
    /// A room that nobody has entered yet: with the first one it is created, and theirs (§10.1).
    pub fn new(jid: BareJid, settings: Arc<Settings>) -> Room {
        Room {
            jid,
            config: settings.defaults.clone(),
            federated: FederatedBy::default(),
            settings,
            locked: true,
            setup: None,
            creator: None,
            transient: false,
            affiliations: Affiliations::default(),
            occupants: Occupants::default(),
            subject: None,
            history: History::default(),
            watched: false,
            changed: false,
            rates: Rates::default(),
            sent: Sent::default(),
            requests: Requests::default(),
            invitations: Invitations::default(),
            voices: Voices::default(),
            voice_requests: VoiceRequests::default(),
            applicants: Applicants::default(),
        }
    }

    /// Its address.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// Whether nobody is in it, and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.occupants.is_empty() && self.requests.next_timeout().is_none()
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
        let nick = to.as_full();
        match (stanza.kind(), &nick) {
            (Kind::Presence(PresenceType::Available), Some(nick)) => {
                self.present(&stanza, &from, nick, turn);
            }
            // §7.2.1: "If the user does not specify a room nickname [...], the service MUST return a <jid-malformed/> error"
            (Kind::Presence(PresenceType::Available), None) => {
                turn.refuse(&stanza, Condition::JidMalformed);
            }
            (Kind::Presence(PresenceType::Unavailable), _) => self.absent(&stanza, &from, turn),
            (Kind::Presence(PresenceType::Error) | Kind::Message(MessageType::Error), _) => {
                self.bounced(&stanza, &from, &to, turn);
            }
            // §17.3: "MUST NOT treat a presence stanza with a 'type' attribute (e.g., a presence probe) as a request to join"
            (Kind::Presence(_), _) => {}
            (Kind::Message(MessageType::Groupchat), None) => self.groupchat(&stanza, &from, turn),
            // §7.5: "the service MUST refuse to deliver the message [...] and return a <bad-request/> error"
            (Kind::Message(MessageType::Groupchat), Some(_)) => {
                turn.refuse(&stanza, Condition::BadRequest);
            }
            (Kind::Message(_), Some(nick)) => self.private(&stanza, &from, nick, turn),
            (Kind::Message(_), None) => self.told_the_room(&stanza, &from, turn),
            (Kind::Iq(IqType::Get | IqType::Set), Some(nick)) => {
                self.ask(&stanza, &from, nick, turn);
            }
            (Kind::Iq(IqType::Get | IqType::Set), None) => self.request(&stanza, &from, turn),
            (Kind::Iq(IqType::Result | IqType::Error), _) => self.answered(&stanza, &from, turn),
        }
    }

    /// What is left to do when something has happened.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        if mem::take(&mut self.changed) {
            self.keep(vec![self.state()], turn);
        }
        self.end_if_empty(turn);
    }

    /// §7.14: "If the room is not persistent and this occupant is the last to exit, the service is responsible for destroying the
    /// room." So is one that nobody was let into.
    fn end_if_empty(&self, turn: &mut Turn<'_>) {
        let stays = self.config.persistent && !self.locked;
        if self.occupants.is_empty() && !stays {
            turn.out.push(Output::Destroyed);
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
            // §11.2: "it SHOULD inform its participant by sending presences containing the 332 status code"
            Input::Close => self.dismiss_all(&Notice::code(332), &mut turn),
        }
        self.settle(&mut turn);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut turn = Turn { now, out };
        self.expire(&mut turn);
        if self.setup.is_some_and(|until| until <= now.instant) {
            self.give_up_setup(&mut turn);
            self.end_if_empty(&mut turn);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.requests
            .next_timeout()
            .into_iter()
            .chain(self.setup)
            .min()
    }
}

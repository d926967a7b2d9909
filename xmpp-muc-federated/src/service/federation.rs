//! Which rooms of a service are federated, and who says how.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use xmpp_core::BareJid;
use xmpp_core::module::{OutboundFilter, Verdict};
use xmpp_core::server::Server;
use xmpp_core::session::Session;
use xmpp_core::stanza::{Condition, Kind, PresenceType, Stanza};

use crate::fmuc::{self, Fmuc};
use crate::ns;
use crate::room::FederatedBy;

/// How the rooms of a service are federated (XEP-0289).
///
/// Whoever is in a federated room is known to every server that has a part in it, by their real address, whatever the room says of
/// anonymity: that holds towards clients.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Federating {
    /// What is so for all of them.
    pub settings: fmuc::Settings,
    /// Rooms that whoever runs the service federates: they are made with the service if they do not exist, and their owners have no say
    /// in it. Default none.
    pub rooms: Vec<(BareJid, Arc<fmuc::Federation>)>,
    /// Whether owners of all other rooms say how theirs is federated; default no.
    pub by_owners: bool,
}

/// The same as the tasks of a service share it.
pub(super) struct Federal {
    options: Federating,
    /// With all domains that are ours, as soon as these are known.
    settings: OnceLock<Arc<fmuc::Settings>>,
    pub(super) lives: fmuc::Lives,
}

/// Keeps what is between rooms from being said by clients.
pub(super) struct Filter {
    pub(super) service: BareJid,
}

impl Federal {
    pub(super) fn new(options: Federating) -> Federal {
        Federal {
            options,
            settings: OnceLock::new(),
            lives: fmuc::Lives::default(),
        }
    }

    /// What is so for all rooms, on this server.
    pub(super) fn begin(&self, service: &BareJid, server: &Server) {
        let mut settings = self.options.settings.clone();
        let ours = server.config().domains.iter().map(|domain| &domain.name);
        for domain in ours.chain([service]) {
            if !settings.is_local(domain.as_str()) {
                settings.local.push(domain.clone());
            }
        }
        // A service begins once.
        let _ = self.settings.set(Arc::new(settings));
    }

    pub(super) fn settings(&self) -> Arc<fmuc::Settings> {
        let settings = self.settings.get().cloned();
        settings.unwrap_or_else(|| Arc::new(self.options.settings.clone()))
    }

    /// Who says how this room is federated.
    pub(super) fn by(&self, room: &BareJid) -> FederatedBy {
        let all = self.options.rooms.iter();
        let mut named = all.filter(|(named, _)| named == room);
        match named.next() {
            Some((_, federation)) => FederatedBy::Operator(federation.clone()),
            None if self.options.by_owners => FederatedBy::Owners,
            None => FederatedBy::Nobody,
        }
    }

    /// For how long what goes to this peer waits for more, to be sent together.
    pub(super) fn pause(&self, peer: &BareJid, federation: &fmuc::Federation) -> Duration {
        let Some(settings) = self.settings.get() else {
            return Duration::ZERO;
        };
        federation.link(&settings.peer(peer)).timers().batch
    }

    /// The rooms that are there without anybody's having made them.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &BareJid> {
        self.options.rooms.iter().map(|(room, _)| room)
    }
}

/// What another room is told by one that does not exist (XEP-0289 §3): it is rejected, or has left. What it says in its own name, such as that this one is
/// rejected or has left, is no request: two rooms that do not exist would never stop.
pub(super) fn nobody_here(stanza: &Stanza) -> Option<Stanza> {
    let fmuc = stanza.payload().child("fmuc", ns::FMUC)?.element();
    let is_of_somebody = Fmuc::read(&fmuc).is_ok_and(|fmuc| fmuc.from.is_some());
    let fmuc = match stanza.kind() {
        Kind::Presence(PresenceType::Available) if is_of_somebody => Fmuc {
            reject: Some("There is no such room".to_owned()),
            ..Fmuc::default()
        },
        Kind::Presence(PresenceType::Unavailable) => Fmuc {
            left: true,
            ..Fmuc::default()
        },
        _ => return None,
    };
    let (room, peer) = (stanza.to()?.to_bare(), stanza.from()?.to_bare());
    // What comes from no room is from nobody who could read it.
    peer.local()?;
    let answer = Stanza::presence(PresenceType::Available)
        .with_from(xmpp_core::Jid::from(room))
        .with_to(xmpp_core::Jid::from(peer));
    Some(answer.with_child(&fmuc.to_element()))
}

impl OutboundFilter for Filter {
    fn outbound(&self, stanza: &mut Stanza, _: &Arc<Session>, server: &Server) -> Verdict {
        let ours = |ns: &str| matches!(ns, ns::FMUC | ns::SYNC);
        if !stanza.payload().children().any(|child| ours(child.ns())) {
            return Verdict::Pass;
        }
        let is_here = |to: &xmpp_core::Jid| {
            to.domain() == self.service.as_str() || server.is_local(to.domain())
        };
        if !stanza.to().is_none_or(is_here) {
            return Verdict::Refuse(Condition::NotAcceptable.into());
        }
        let rest = stanza.payload().without(|child| ours(child.ns()));
        stanza.set_payload(rest);
        Verdict::Pass
    }
}

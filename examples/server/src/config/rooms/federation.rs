//! `[rooms.federation]` and `[[rooms.federated]]`: rooms that are one with rooms of other servers (XEP-0289).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::fmuc;
use xmpp_muc_federated::service::Federating;

use super::super::mirror::{NodeLimits, NodeLog, NodeMemory};
use super::super::value::Text;
use super::Rooms;

/// `[rooms.federation]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federation {
    /// Whether there are any.
    pub enabled: bool,
    /// Whether owners say how theirs is.
    pub by_owners: bool,
    /// What one link may take.
    pub limits: NodeLimits,
    /// What is kept for those who have missed it.
    pub log: NodeLog,
    /// What is known of other nodes.
    pub have: NodeMemory,
    /// What is so for single peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
}

/// `[[rooms.federation.peers]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// A room, or a domain with all of its rooms.
    pub address: Text<Jid>,
    #[serde(default)]
    pub dialect: Dialect,
    pub link: Option<Link>,
    /// Domains of which it may introduce occupants.
    pub speak_for: Option<Vec<Text<BareJid>>>,
    #[serde(default = "yes")]
    pub honour_kicks: bool,
    #[serde(default)]
    pub trust_roles: bool,
    #[serde(default)]
    pub on_loss: OnLoss,
    #[serde(default)]
    pub collision: Collision,
}

/// `[[rooms.federated]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    pub room: Text<BareJid>,
    /// The rooms of which it joins one.
    #[serde(default)]
    pub parents: Vec<Text<BareJid>>,
    #[serde(default)]
    pub mode: Mode,
    /// The rooms that may join it.
    #[serde(default)]
    pub accept: Accept,
    #[serde(default)]
    pub link: Link,
}

/// Which rooms may join: `"none"`, `"any"`, or a list of rooms and domains.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Accept {
    All(Kind),
    Only(Vec<Text<Jid>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    None,
    Any,
}

/// An enum of the settings, and the one of the library that it stands for.
macro_rules! same {
    ($name:ident of $core:ty { $first:ident $(, $rest:ident)* }) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            #[default]
            $first,
            $($rest,)*
        }

        impl From<$name> for $core {
            fn from(it: $name) -> $core {
                match it {
                    $name::$first => <$core>::$first,
                    $($name::$rest => <$core>::$rest,)*
                }
            }
        }
    };
}

same!(Dialect of fmuc::Dialect { Auto, Ext, Xep, Openfire });
same!(Link of fmuc::LinkProfile { Lan, Sat, Hf });
same!(Mode of fmuc::Mode { Primary, Replica });
same!(OnLoss of fmuc::OnLoss { Remove, Away, Keep });
same!(Collision of fmuc::Collision { Rename, Kick });

fn yes() -> bool {
    true
}

impl Default for Accept {
    fn default() -> Accept {
        Accept::All(Kind::None)
    }
}

impl From<Accept> for fmuc::Accept {
    fn from(accept: Accept) -> fmuc::Accept {
        match accept {
            Accept::All(Kind::None) => fmuc::Accept::None,
            Accept::All(Kind::Any) => fmuc::Accept::Any,
            Accept::Only(these) => fmuc::Accept::Only(these.into_iter().map(|jid| jid.0).collect()),
        }
    }
}

impl From<&Federated> for fmuc::Federation {
    fn from(table: &Federated) -> fmuc::Federation {
        let mut federation = fmuc::Federation::default();
        federation.parents = table.parents.iter().map(|room| room.0.clone()).collect();
        federation.mode = table.mode.into();
        federation.accept = table.accept.clone().into();
        federation.profile = table.link.into();
        federation
    }
}

impl From<&Peer> for fmuc::Peer {
    fn from(table: &Peer) -> fmuc::Peer {
        let mut peer = fmuc::Peer::new(table.address.0.clone());
        peer.dialect = table.dialect.into();
        peer.link = table.link.map(fmuc::LinkProfile::from);
        if let Some(domains) = &table.speak_for {
            let domains = domains.iter().map(|domain| domain.0.clone());
            peer.speak_for = fmuc::SpeakFor::Only(domains.collect());
        }
        peer.honour_kicks = table.honour_kicks;
        peer.trust_roles = table.trust_roles;
        peer.on_loss = table.on_loss.into();
        peer.collision = table.collision.into();
        peer
    }
}

impl Rooms {
    /// How the rooms at this address are federated; `None` if they are not.
    pub fn federating(&self, address: &BareJid) -> Option<Federating> {
        let table = &self.federation;
        if !table.enabled {
            return None;
        }
        let mut settings = fmuc::Settings::default();
        settings.peers = table.peers.iter().map(fmuc::Peer::from).collect();
        settings.limits = table.limits.clone().into();
        settings.log = table.log.clone().into();
        settings.have = table.have.clone().into();
        let mut federating = Federating::default();
        federating.settings = settings;
        federating.by_owners = table.by_owners;
        let here = self.federated.iter();
        let here = here.filter(|one| one.room.0.domain() == address.as_str());
        federating.rooms = here
            .map(|one| (one.room.0.clone(), Arc::new(one.into())))
            .collect();
        Some(federating)
    }
}

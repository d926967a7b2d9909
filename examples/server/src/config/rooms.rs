//! `[rooms]`: rooms (XEP-0045).

use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;
use xmpp_muc_federated::service;

use super::federated::{FederatedRoom, RoomFederation};
use super::mirror::{NewRoom, Room, RoomService};
use super::value::Text;
use super::{Config, Domain};

/// What stands for the domain in [`Rooms::address`].
const DOMAIN: &str = "{domain}";

/// `[rooms]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rooms {
    /// Whether there are any.
    pub enabled: bool,
    /// Where those of each domain are, `{domain}` being the domain.
    pub address: String,
    /// What the service is called.
    pub name: String,
    /// Who may make rooms.
    pub creation: Creation,
    /// What a new room is like.
    pub new: NewRoom,
    /// What one room may hold.
    pub room: Room,
    /// What all rooms of a domain may hold.
    pub limits: RoomService,
    /// How rooms are one with rooms of other servers.
    pub federation: RoomFederation,
    /// Rooms that are.
    pub federated: Vec<FederatedRoom>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            enabled: true,
            address: "rooms.{domain}".into(),
            name: "Rooms".into(),
            creation: Creation::Local,
            new: NewRoom::default(),
            room: Room::default(),
            limits: RoomService::default(),
            federation: RoomFederation::default(),
            federated: Vec::new(),
        }
    }
}

/// `[domains.rooms]`: where a domain differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DomainRooms {
    pub enabled: Option<bool>,
    pub address: Option<Text<BareJid>>,
    pub creation: Option<Creation>,
}

/// Who may make rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Creation {
    Anyone,
    /// Who has an account on this server.
    Local,
    /// The administrators of the domain.
    Admins,
    Nobody,
}

impl From<Creation> for service::Creation {
    fn from(creation: Creation) -> service::Creation {
        match creation {
            Creation::Anyone => service::Creation::Anyone,
            Creation::Local => service::Creation::Local,
            Creation::Admins => service::Creation::Admins,
            Creation::Nobody => service::Creation::Nobody,
        }
    }
}

impl Config {
    /// Where the rooms of a domain are; `None` if it has none.
    ///
    /// # Errors
    /// If that is no address.
    pub fn rooms_of(&self, domain: &Domain) -> Result<Option<BareJid>, String> {
        let enabled = domain.rooms.enabled.unwrap_or(self.rooms.enabled);
        if !enabled {
            return Ok(None);
        }
        if let Some(address) = &domain.rooms.address {
            return Ok(Some(address.0.clone()));
        }
        let name = domain.name.0.as_str();
        // Nothing is below an address of a machine.
        if name.starts_with('[') {
            return Ok(None);
        }
        let address = self.rooms.address.replace(DOMAIN, name);
        let parsed = address.parse::<BareJid>();
        parsed
            .map(Some)
            .map_err(|error| format!("{address}: {error}"))
    }
}

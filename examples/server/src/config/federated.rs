//! `[rooms.federation]` and `[[rooms.federated]]`: rooms that are one with rooms of other servers (XEP-0289).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::fmuc;
use xmpp_muc_federated::room;
use xmpp_muc_federated::service::Federating;

use super::mirror::{FederationLimits, FederationLog};
use super::value::Text;

/// `[rooms.federation]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomFederation {
    /// Whether owners say of their rooms how they are federated.
    pub owners: bool,
    /// Other servers' rooms, or domains with all of theirs, where they differ from others.
    #[serde(deserialize_with = "peers")]
    pub peers: BTreeMap<String, RoomPeer>,
    /// What one link may take.
    pub limits: FederationLimits,
    /// What is kept for those who have missed it.
    pub log: FederationLog,
}

/// `[[rooms.federated]]`: a room that is federated whatever its owner says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedRoom {
    /// Its address: it is made if it is not there.
    pub room: Text<BareJid>,
    /// The rooms that it joins, each if the one before it cannot be had.
    #[serde(default)]
    pub parents: Vec<Text<BareJid>>,
    #[serde(default)]
    pub mode: Mode,
    /// Rooms, and domains with all of theirs, that may join it.
    #[serde(default)]
    pub accept: Vec<Text<Jid>>,
    /// Whether any may.
    #[serde(default)]
    pub accept_any: bool,
    #[serde(default)]
    pub profile: Profile,
}

/// What is so for a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomPeer {
    pub dialect: Dialect,
    /// What the link there is like, if that is not said of the room.
    pub profile: Option<Profile>,
    /// The domains whose people it may introduce; all but ours if there are none.
    pub speak_for: Vec<Text<BareJid>>,
    pub honour_kicks: Option<bool>,
    pub trust_roles: Option<bool>,
    /// The highest role, and the highest affiliation, in which its occupants are shown.
    pub shown_role: Option<ShownRole>,
    pub shown_affiliation: Option<ShownAffiliation>,
    /// What of occupants it is told, if that is not as its profile has it.
    pub presence: Option<Presence>,
    pub on_loss: OnLoss,
    pub collision: Collision,
}

/// Text of a setting that is one of a library.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident of $core:ty, { $($(#[$default:meta])? $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$default])? $variant),* }

        impl From<$name> for $core {
            fn from(setting: $name) -> $core {
                match setting { $($name::$variant => <$core>::$variant),* }
            }
        }
    };
}

named!(
    /// How a room is one with the room that it joins.
    Mode of fmuc::Mode, { #[default] Primary, Replica }
);
named!(
    /// What a link is like.
    Profile of fmuc::LinkProfile, { #[default] Lan, Sat, Hf }
);
named!(
    /// What a peer speaks.
    Dialect of fmuc::Dialect, { #[default] Auto, Ext, Xep, Openfire }
);
named!(
    /// What becomes of occupants whose link is down.
    OnLoss of fmuc::OnLoss, { #[default] Remove, Away, Keep }
);
named!(
    /// What becomes of somebody here whose nick is somebody else's there.
    Collision of fmuc::Collision, { #[default] Rename, Kick }
);

named!(
    /// A role in which somebody is shown. Nobody is there without one.
    ShownRole of room::Role, { Visitor, Participant, #[default] Moderator }
);
named!(
    /// An affiliation in which somebody is shown. Outcasts are not there.
    ShownAffiliation of room::Affiliation, { None, Member, Admin, #[default] Owner }
);
named!(
    /// What of occupants is told.
    Presence of fmuc::PresenceLevel, { #[default] Full, Joins, None }
);

impl RoomFederation {
    /// How the rooms of one service are federated; `None` if none is.
    pub fn of(
        &self,
        service: &BareJid,
        ours: &[BareJid],
        rooms: &[FederatedRoom],
    ) -> Option<Federating> {
        let rooms = rooms
            .iter()
            .filter(|one| one.room.0.domain() == service.as_str());
        let rooms: Vec<_> = rooms.map(FederatedRoom::federation).collect();
        if rooms.is_empty() && !self.owners {
            return None;
        }
        let mut federating = Federating::default();
        federating.settings.local = ours.to_vec();
        federating.settings.limits = self.limits.clone().into();
        federating.settings.log = self.log.clone().into();
        let peers = self.peers.iter();
        let peers = peers.filter_map(|(jid, peer)| Some(peer.of(Jid::new(jid).ok()?)));
        federating.settings.peers = peers.collect();
        federating.rooms = rooms;
        federating.by_owners = self.owners;
        Some(federating)
    }
}

impl FederatedRoom {
    fn federation(&self) -> (BareJid, Arc<fmuc::Federation>) {
        let mut federation = fmuc::Federation::default();
        federation.parents = self.parents.iter().map(|room| room.0.clone()).collect();
        federation.mode = self.mode.into();
        federation.accept = match (self.accept_any, self.accept.is_empty()) {
            (true, _) => fmuc::Accept::Any,
            (false, true) => fmuc::Accept::None,
            (false, false) => {
                fmuc::Accept::Only(self.accept.iter().map(|one| one.0.clone()).collect())
            }
        };
        federation.profile = self.profile.into();
        (self.room.0.clone(), Arc::new(federation))
    }
}

impl RoomPeer {
    fn of(&self, jid: Jid) -> fmuc::Peer {
        let mut peer = fmuc::Peer::new(jid);
        peer.dialect = self.dialect.into();
        peer.link = self.profile.map(Into::into);
        if !self.speak_for.is_empty() {
            let domains = self.speak_for.iter().map(|domain| domain.0.clone());
            peer.speak_for = fmuc::SpeakFor::Only(domains.collect());
        }
        peer.honour_kicks = self.honour_kicks.unwrap_or(peer.honour_kicks);
        peer.trust_roles = self.trust_roles.unwrap_or(peer.trust_roles);
        peer.shown_role = self.shown_role.map_or(peer.shown_role, Into::into);
        let affiliation = self.shown_affiliation.map(Into::into);
        peer.shown_affiliation = affiliation.unwrap_or(peer.shown_affiliation);
        peer.presence = self.presence.map(Into::into);
        peer.on_loss = self.on_loss.into();
        peer.collision = self.collision.into();
        peer
    }
}

/// Names of peers are addresses.
fn peers<'de, D>(deserializer: D) -> Result<BTreeMap<String, RoomPeer>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let peers = BTreeMap::<String, RoomPeer>::deserialize(deserializer)?;
    let bare = |jid: &Jid| jid.is_bare();
    for name in peers.keys() {
        match Jid::new(name) {
            Ok(jid) if bare(&jid) => {}
            Ok(_) => return Err(serde::de::Error::custom(format!("{name:?} is no room"))),
            Err(error) => return Err(serde::de::Error::custom(format!("{name:?}: {error}"))),
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    #[test]
    fn a_room_is_federated_as_it_is_said_and_only_at_its_service() {
        #[derive(Deserialize)]
        struct All {
            federation: RoomFederation,
            federated: Vec<FederatedRoom>,
        }
        let text = r#"
            [federation]
            peers."rooms.b.example" = { dialect = "xep", profile = "hf", speak_for = ["b.example"], honour_kicks = false, shown_role = "visitor", shown_affiliation = "none", presence = "joins" }
            peers."rooms.d.example" = {}
            [[federated]]
            room = "quay@rooms.a.example"
            parents = ["quay@rooms.b.example"]
            mode = "replica"
            accept = ["rooms.c.example"]
            profile = "sat"
        "#;
        let all: All = toml::from_str(text).unwrap();
        let ours = [bare("a.example")];
        let of = |service: &str| all.federation.of(&bare(service), &ours, &all.federated);
        assert!(of("rooms.z.example").is_none());
        let federating = of("rooms.a.example").unwrap();
        let (room, federation) = &federating.rooms[0];
        assert_eq!(room.as_str(), "quay@rooms.a.example");
        assert_eq!(federation.parents, [bare("quay@rooms.b.example")]);
        assert_eq!(federation.mode, fmuc::Mode::Replica);
        assert!(federation.accept.admits(&bare("x@rooms.c.example")));
        assert_eq!(federation.profile, fmuc::LinkProfile::Sat);
        let peer = federating.settings.peer(&bare("quay@rooms.b.example"));
        assert_eq!(peer.dialect, fmuc::Dialect::Xep);
        assert_eq!(peer.link, Some(fmuc::LinkProfile::Hf));
        assert!(!peer.honour_kicks && !peer.trust_roles);
        assert_eq!(peer.shown_role, room::Role::Visitor);
        assert_eq!(peer.shown_affiliation, room::Affiliation::None);
        assert_eq!(peer.presence, Some(fmuc::PresenceLevel::Joins));
        let other = Jid::new("rooms.d.example").unwrap();
        let as_by_default = federating.settings.peer(&bare("quay@rooms.d.example"));
        assert_eq!(as_by_default, fmuc::Peer::new(other));
        assert_eq!(
            peer.speak_for,
            fmuc::SpeakFor::Only(vec![bare("b.example")])
        );
    }

    #[test]
    fn what_is_no_address_is_no_peer() {
        for name in ["a b", "room@rooms.example/nick"] {
            let text = format!("peers.{name:?} = {{}}");
            assert!(toml::from_str::<RoomFederation>(&text).is_err(), "{name}");
        }
    }
}

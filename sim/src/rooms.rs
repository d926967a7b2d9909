//! Rooms in a world.

use std::sync::Arc;

use xmpp_core::BareJid;
use xmpp_muc_federated::store::memory::Memory;
use xmpp_muc_federated::{Service, Settings, room, service};

use crate::rng::{Rng, SeededRandom};
use crate::world::DOMAIN;

/// Rooms at `rooms.` and the domain of every world, for one of this seed. Everybody may make them.
pub fn rooms(seed: u64) -> Service {
    let bare = |name: &str| BareJid::new(name).expect("it is a domain");
    let settings = Settings {
        admins: Vec::new(),
        defaults: room::Config::default(),
        limits: Default::default(),
        secret: [7; 32],
        random: Arc::new(SeededRandom::new(Rng::new(seed))),
    };
    let address = bare(&format!("rooms.{DOMAIN}"));
    let store = Arc::new(Memory::new());
    let mut options = service::Options::new(address, Arc::new(settings), store);
    options.listed_by = vec![bare(DOMAIN)];
    Service::new(options)
}

//! Rooms, as the settings have them.

use std::sync::Arc;

use anyhow::anyhow;
use xmpp_core::io::OsRandom;
use xmpp_muc_federated::service::{Options, View};
use xmpp_muc_federated::{Service, Settings, store};

use crate::certificate::Identities;
use crate::config::Config;

/// The rooms of all domains.
#[derive(Clone, Default)]
pub struct Rooms {
    services: Vec<Service>,
}

impl Rooms {
    /// Rooms that are kept there; the secret is the same in every run.
    pub fn new(
        config: &Config,
        store: &Arc<dyn store::Rooms>,
        secret: [u8; 32],
    ) -> anyhow::Result<Rooms> {
        let settings = &config.rooms;
        let ours = config.domains.iter().map(|domain| domain.name.0.clone());
        let ours: Vec<_> = ours.collect();
        let mut services = Vec::new();
        for domain in &config.domains {
            let address = config.rooms_of(domain).map_err(|error| anyhow!(error))?;
            let Some(address) = address else {
                continue;
            };
            let admins = domain.administrators.iter().map(|jid| jid.0.clone());
            let of_room = Settings {
                admins: admins.collect(),
                defaults: settings.new.clone().into(),
                limits: settings.room.clone().into(),
                secret,
                random: Arc::new(OsRandom),
            };
            let mut options = Options::new(address, Arc::new(of_room), store.clone());
            options.listed_by = vec![domain.name.0.clone()];
            options.name = settings.name.clone();
            options.creation = domain.rooms.creation.unwrap_or(settings.creation).into();
            options.limits = settings.limits.clone().into();
            options.federation =
                settings
                    .federation
                    .of(&options.address, &ours, &settings.federated);
            services.push(Service::new(options));
        }
        Ok(Rooms { services })
    }

    /// One for each domain that has rooms.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The rooms in memory.
    pub fn view(&self) -> Vec<View> {
        self.services.iter().flat_map(Service::rooms).collect()
    }

    /// Everybody who is in a room hears that it is being shut down.
    pub async fn close(&self) {
        futures::future::join_all(self.services.iter().map(Service::close)).await;
    }
}

/// The certificates with which other servers are spoken with: rooms have those of their domains.
pub fn with_rooms(mut identities: Identities, config: &Config) -> Identities {
    for domain in &config.domains {
        let name = domain.name.0.as_str();
        let identity = identities.iter().find(|(of, _)| of == name);
        if let (Ok(Some(rooms)), Some((_, identity))) = (config.rooms_of(domain), identity) {
            identities.push((rooms.to_string(), identity.clone()));
        }
    }
    identities
}

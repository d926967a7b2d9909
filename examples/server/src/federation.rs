//! Other servers, as the settings have them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use xmpp_core::io::dial::{Dialer, Dns, Resolver, Srv, Unresolved};
use xmpp_core::io::s2s::{Authorities, Federation, Gate, PeerTls, Peers, Setup};
use xmpp_core::io::{OsRandom, Security};
use xmpp_core::server::Server;

use crate::certificate::Identities;
use crate::config::{Addresses, Config, S2s};
use crate::listen::{Bound, is_without_ipv6};

/// What it takes to speak with other servers, before there is a server of ours.
pub struct Embassy {
    gate: Gate,
    dialer: Dialer,
    tls: PeerTls,
}

impl Embassy {
    /// None if the settings say so.
    pub fn new(config: &Config, identities: Identities) -> anyhow::Result<Option<Embassy>> {
        if !config.s2s.enabled {
            return Ok(None);
        }
        let resolver = resolver(&config.s2s)?;
        Ok(Some(Embassy {
            gate: Gate::default(),
            dialer: Dialer::new(resolver, Arc::new(OsRandom), config.s2s.dial()),
            tls: PeerTls::new(identities, authorities(config)?)?,
        }))
    }

    /// Where stanzas for other servers enter.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How other servers are reached.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// Opens it, without anybody to be heard yet.
    pub fn open(self, config: &Config, server: &Server) -> Federation {
        let setup = Setup {
            gate: self.gate,
            dial: Arc::new(self.dialer),
            tls: Some(self.tls),
            peers: Arc::new(Peers::new(config.s2s.rules())),
            config: config.s2s.config(),
        };
        Federation::start(server.clone(), setup)
    }
}

/// Reads the authorities that vouch for other servers.
pub fn authorities(config: &Config) -> anyhow::Result<Authorities> {
    let Some(path) = &config.s2s.authorities else {
        return Ok(Authorities::native()?);
    };
    let name = || path.display().to_string();
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", name()))?;
    Authorities::from_pem(&pem).with_context(name)
}

/// Reads in the settings again who the peers are and how they are reached. With an error there all stay as they are.
pub fn reload(config: &Config, file: Option<&Path>, federation: &Federation, dialer: &Dialer) {
    let mut new = match Config::load(file) {
        Ok(new) => new,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "peers not reloaded; those before stay");
            return;
        }
    };
    federation.peers().replace(new.s2s.rules());
    dialer.replace(new.s2s.dial());
    tracing::info!("peers reloaded");
    new.s2s = new.s2s.with_peers_of(&config.s2s);
    if new != *config {
        tracing::warn!("other settings have changed; they take effect at the next start");
    }
}

/// Listens for other servers.
pub async fn listen(
    federation: &Federation,
    config: &Config,
    bound: &mut Bound,
) -> anyhow::Result<()> {
    let (settings, default) = (&config.s2s, S2s::default());
    let mut add = async |kind, addresses: &Addresses, default: &Addresses, security| {
        let by_default = addresses == default;
        for address in addresses.iter().copied() {
            let listened = federation.listen(address, security).await;
            if let Err(error) = &listened
                && by_default
                && is_without_ipv6(address, error)
            {
                tracing::warn!(%address, %error, "not listening");
                continue;
            }
            let address = listened.with_context(|| {
                format!("cannot listen on {address} ({kind}); [s2s] in the settings has the addresses for other servers")
            })?;
            bound.push((kind, address));
        }
        anyhow::Ok(())
    };
    add("s2s", &settings.listen, &default.listen, Security::StartTls).await?;
    let direct_tls = &settings.direct_tls;
    add(
        "s2s, direct TLS",
        direct_tls,
        &default.direct_tls,
        Security::Direct,
    )
    .await
}

fn resolver(settings: &S2s) -> anyhow::Result<Arc<dyn Resolver>> {
    if !settings.name_servers.is_empty() {
        let dns = Dns::servers(&settings.name_servers).context("s2s.name_servers")?;
        return Ok(Arc::new(dns));
    }
    match Dns::system() {
        Ok(dns) => Ok(Arc::new(dns)),
        Err(error) => {
            tracing::warn!(%error, "other servers are found only if the settings say where they are");
            Ok(Arc::new(NoNames))
        }
    }
}

/// A machine without a name service.
struct NoNames;

#[async_trait]
impl Resolver for NoNames {
    async fn srv(&self, _: &str) -> Result<Vec<Srv>, Unresolved> {
        Err(Unresolved)
    }

    async fn addresses(&self, _: &str) -> Result<Vec<std::net::IpAddr>, Unresolved> {
        Err(Unresolved)
    }
}

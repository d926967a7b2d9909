//! From a domain to a connection (RFC 6120 §3.2, XEP-0368).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::addresses::Addresses;
use super::order::{Offer, order};
use super::race::race;
use super::resolver::{Resolver, Srv};
use super::{Dial, DialError, Dialled};
use crate::BareJid;
use crate::io::listener::tune;
use crate::server::Random;

/// RFC 6120 §14.7: the registered port of servers.
const PORT: u16 = 5269;
/// Servers of a domain that are tried, the best of however many it names.
const TARGETS_MAX: usize = 16;
/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 16;

/// How a [`Dialer`] connects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DialConfig {
    /// Which addresses are dialled. Default: those of the public internet.
    pub addresses: Addresses,
    /// Where the servers of some domains are, whatever DNS says of them. Their addresses are the operator's choice, and not held to
    /// [`addresses`](DialConfig::addresses). Default: none.
    pub hosts: HashMap<BareJid, Target>,
    /// How long an address is waited for before the next is tried beside it. Default: 250 ms (RFC 8305 §5).
    pub stagger: Duration,
    /// How long a connection to one address may take. Default: 10 s.
    pub attempt: Duration,
    /// How long it all may take, with the questions to the name service. Default: 30 s.
    pub total: Duration,
    /// How many times longer than that it may take to reach these domains. Default: none.
    pub patience: HashMap<BareJid, u32>,
}

impl Default for DialConfig {
    fn default() -> DialConfig {
        DialConfig {
            addresses: Addresses::default(),
            hosts: HashMap::new(),
            stagger: Duration::from_millis(250),
            attempt: Duration::from_secs(10),
            total: Duration::from_secs(30),
            patience: HashMap::new(),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its name in DNS, or its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes first there (XEP-0368).
    pub direct_tls: bool,
}

/// Connects by TCP to the servers that DNS names for a domain.
///
/// At most 16 servers of a domain and 16 addresses of a server are tried: servers one after another, in the order of
/// RFC 2782; the addresses of one by RFC 8305. Clone is cheap, and names the same one.
#[derive(Clone)]
pub struct Dialer {
    resolver: Arc<dyn Resolver>,
    random: Arc<dyn Random>,
    config: Arc<ArcSwap<DialConfig>>,
}

impl Dialer {
    /// Asks `resolver`; `random` chooses among servers by their weights.
    pub fn new(resolver: Arc<dyn Resolver>, random: Arc<dyn Random>, config: DialConfig) -> Dialer {
        Dialer {
            resolver,
            random,
            config: Arc::new(ArcSwap::from_pointee(config)),
        }
    }

    /// Changes how it connects from now on.
    pub fn replace(&self, config: DialConfig) {
        self.config.store(config.into());
    }

    /// How many times longer than for others it may take to reach a domain.
    fn patience(&self, domain: &BareJid) -> u32 {
        let patience = self
            .config
            .load()
            .patience
            .get(&domain.domain_jid())
            .copied();
        patience.unwrap_or(1).max(1)
    }

    /// How long it all may take.
    fn total(&self, domain: &BareJid) -> Duration {
        let total = self.config.load().total;
        total.saturating_mul(self.patience(domain))
    }

    async fn connect(&self, domain: &BareJid) -> Result<Dialled, DialError> {
        // RFC 6120 §3.2.3: what was "explicitly configured to associate a particular FQDN (and potentially port) with the origin
        // domain" is used "instead of performing the preferred SRV resolution process".
        let patience = self.patience(domain);
        let pinned = self.config.load().hosts.get(&domain.domain_jid()).cloned();
        if let Some(target) = pinned {
            return self.reach(&target, Trust::Pinned, patience).await;
        }
        let domain = domain.domain();
        if address_of(domain).is_some() {
            return self.fall_back(domain, patience).await;
        }
        // The domain was prepared when the address was read, so it has A-labels.
        let domain = idna::domain_to_ascii(domain).map_err(|_| DialError::NotFound)?;
        let offers = match self.offers(&domain).await {
            Ok(offers) if offers.is_empty() => return self.fall_back(&domain, patience).await,
            Ok(offers) => offers,
            // §3.2.1: "If the initiating entity does not receive a response to its SRV query, it SHOULD attempt the fallback
            // process". If that does not help, it is not the domain that is to blame.
            Err(error) => {
                let fallen_back = self.fall_back(&domain, patience).await;
                return fallen_back.map_err(|e| error.max(e));
            }
        };
        let offers: Vec<Offer> = offers
            .into_iter()
            // §3.2.1: a Target of "." means "that the service is decidedly not available at this domain". XEP-0368 §5: if it is the
            // one with direct TLS, the other is left, and there is no fallback.
            .filter(|offer| !matches!(&*offer.record.target, "." | ""))
            .collect();
        // §3.2.1: who "is not able to establish an XMPP connection using the data received in the response [...] SHOULD NOT attempt
        // the fallback process".
        let offers = order(offers, TARGETS_MAX, &*self.random);
        self.first_of(offers.into(), patience).await
    }

    /// The first of these that is reached; those behind it come along.
    async fn first_of(
        &self,
        mut offers: VecDeque<Offer>,
        patience: u32,
    ) -> Result<Dialled, DialError> {
        let mut failure = DialError::NotFound;
        while let Some(offer) = offers.pop_front() {
            let Srv { port, target, .. } = offer.record;
            let target = Target {
                host: target,
                port,
                direct_tls: offer.direct_tls,
            };
            match self.reach(&target, Trust::Domain, patience).await {
                Ok(mut dialled) => {
                    let dialer = self.clone();
                    let others = (!offers.is_empty()).then_some(Others { dialer, offers });
                    dialled.others = others.map(|others| Arc::new(others) as Arc<dyn Dial>);
                    return Ok(dialled);
                }
                Err(error) => failure = failure.max(error),
            }
        }
        Err(failure)
    }

    /// What the domain says of its servers. If the name service fails for one kind of them, the other is the answer.
    async fn offers(&self, domain: &str) -> Result<Vec<Offer>, DialError> {
        let (plain, direct) = (
            format!("_xmpp-server._tcp.{domain}."),
            format!("_xmpps-server._tcp.{domain}."),
        );
        let (plain, direct) = tokio::join!(self.resolver.srv(&plain), self.resolver.srv(&direct));
        let failed = plain.is_err() || direct.is_err();
        let offers = |records: Vec<Srv>, direct_tls| {
            records
                .into_iter()
                .map(move |record| Offer { record, direct_tls })
        };
        let offers: Vec<Offer> = offers(plain.unwrap_or_default(), false)
            .chain(offers(direct.unwrap_or_default(), true))
            .collect();
        if offers.is_empty() && failed {
            return Err(DialError::Unresolved);
        }
        Ok(offers)
    }

    /// RFC 6120 §3.2.2: the addresses of the domain itself, "where the port used is [...] the 'xmpp-server' port of 5269".
    async fn fall_back(&self, domain: &str, patience: u32) -> Result<Dialled, DialError> {
        let target = Target {
            host: domain.to_owned(),
            port: PORT,
            direct_tls: false,
        };
        let dialled = self.reach(&target, Trust::Domain, patience).await;
        dialled.map_err(|error| match error {
            DialError::Unreachable | DialError::TimedOut => DialError::NoAnswer,
            other => other,
        })
    }

    async fn reach(
        &self,
        target: &Target,
        trust: Trust,
        patience: u32,
    ) -> Result<Dialled, DialError> {
        let config = self.config.load_full();
        let name = target.host.trim_end_matches('.');
        let addresses = match address_of(name) {
            Some(address) => vec![address],
            None => {
                let host = idna::domain_to_ascii(name).map_err(|_| DialError::NotFound)?;
                let found = self.resolver.addresses(&format!("{host}.")).await;
                found.map_err(|_| DialError::Unresolved)?
            }
        };
        if addresses.is_empty() {
            return Err(DialError::NotFound);
        }
        let addresses: Vec<SocketAddr> = addresses
            .into_iter()
            .filter(|&address| trust == Trust::Pinned || config.addresses.allow(address))
            .take(ADDRESSES_MAX)
            .map(|address| SocketAddr::new(address, target.port))
            .collect();
        if addresses.is_empty() {
            tracing::debug!(host = name, "no address that may be dialled");
            return Err(DialError::Forbidden);
        }
        let DialConfig {
            stagger, attempt, ..
        } = *config;
        let attempt = attempt.saturating_mul(patience);
        let (stream, address) = race(&addresses, stagger, attempt, TcpStream::connect).await?;
        // One that went away meanwhile is noticed when it is read.
        let _ = tune(&stream);
        Ok(Dialled {
            stream: Box::new(stream),
            direct_tls: target.direct_tls,
            target: format!("{name}:{} ({})", target.port, address.ip()),
            others: None,
        })
    }
}

#[async_trait]
impl Dial for Dialer {
    async fn dial(&self, _from: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let connecting = timeout(self.total(to), self.connect(to));
        connecting.await.unwrap_or(Err(DialError::TimedOut))
    }
}

/// The servers of a domain that are left when one was reached.
struct Others {
    dialer: Dialer,
    offers: VecDeque<Offer>,
}

#[async_trait]
impl Dial for Others {
    async fn dial(&self, _from: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let patience = self.dialer.patience(to);
        let connecting = self.dialer.first_of(self.offers.clone(), patience);
        let connecting = timeout(self.dialer.total(to), connecting);
        connecting.await.unwrap_or(Err(DialError::TimedOut))
    }
}

/// Who says where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Our operator.
    Pinned,
    /// The domain's DNS, which may say anything.
    Domain,
}

/// The address that this is instead of a name.
fn address_of(host: &str) -> Option<IpAddr> {
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match literal {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests;

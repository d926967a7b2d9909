//! Ranges of the settings, and what they have to do with each other: whatever a file can say
//! that TOML and its types let pass.

use std::fmt::Display;
use std::net::SocketAddr;

use anyhow::anyhow;
use xmpp_core::BareJid;
use xmpp_core::server::BuildError;

use super::environment::Override;
use super::{Addresses, Config, Span, place};

/// A setting that cannot be taken as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its path: `limits.xml.depth`, `domains.0.name`.
    pub setting: String,
    pub reason: String,
}

impl Refused {
    /// With where the setting stands: in the environment, or in the text, or nowhere.
    pub fn at(&self, text: &str, overrides: &[Override]) -> anyhow::Error {
        let Refused { setting, reason } = self;
        if let Some(variable) = overrides.iter().find(|one| one.sets(setting)) {
            return anyhow!("environment: {variable}: {reason}");
        }
        match place::line(text, setting) {
            Some(line) => anyhow!("line {line}: {setting}: {reason}"),
            None => anyhow!("{setting}: {reason}"),
        }
    }
}

type Checked = Result<(), Refused>;

/// Whether the settings are within their ranges and fit together; tells the first that is not.
pub fn check(config: &Config) -> Checked {
    check_library(config)?;
    check_login(config)?;
    check_domains(config)?;
    check_registration(config)?;
    check_listen(config)?;
    check_s2s(config)?;
    check_rooms(config)?;
    check_cluster(config)?;
    let accept = &config.accept;
    positive("accept.connections", accept.connections)?;
    positive("accept.before_login", accept.before_login)?;
    positive(
        "accept.before_login_per_address",
        accept.before_login_per_address,
    )?;
    positive("throttle.pending", config.throttle.pending)?;
    positive("throttle.remembered", config.throttle.remembered)?;
    positive("postgresql.readers", config.postgresql.readers)?;
    lasts("postgresql.timeout", config.postgresql.timeout)
}

/// What the library says to its settings.
fn check_library(config: &Config) -> Checked {
    match config.server().check() {
        Ok(()) => Ok(()),
        Err(BuildError::Setting { name, reason }) => match name {
            "login_attempts" => refuse("login.attempts", reason),
            name if name.starts_with("timeouts.") => refuse(name, reason),
            name => refuse(format!("limits.{name}"), reason),
        },
        Err(error) => refuse("limits", error),
    }
}

fn check_login(config: &Config) -> Checked {
    match config.login.mechanisms.is_empty() {
        true => refuse("login.mechanisms", "nobody could log in without"),
        false => Ok(()),
    }
}

fn check_domains(config: &Config) -> Checked {
    for (i, domain) in config.domains.iter().enumerate() {
        if domain.account.from(&config.limits.account).resources == 0 {
            return refuse(format!("domains.{i}.account.resources"), "0 is less than 1");
        }
        for (n, administrator) in domain.administrators.iter().enumerate() {
            if administrator.0.is_domain() {
                let reason = format!("{} is a domain, not an account", administrator.0);
                return refuse(format!("domains.{i}.administrators.{n}"), reason);
            }
        }
    }
    Ok(())
}

fn check_registration(config: &Config) -> Checked {
    for (i, domain) in config.registration.domains.iter().enumerate() {
        if config.domain(domain.0.as_str()).is_none() {
            let reason = format!("{} is not a domain of this server", domain.0);
            return refuse(format!("registration.domains.{i}"), reason);
        }
    }
    positive("registration.attempts", config.registration.attempts)?;
    positive("registration.remembered", config.registration.remembered)?;
    lasts("registration.window", config.registration.window)
}

fn check_cluster(config: &Config) -> Checked {
    let checked = config.cluster.check();
    checked.or_else(|(setting, reason)| refuse(format!("cluster.{setting}"), reason))
}

/// What holds for clients' streams holds for those of servers.
fn check_s2s(config: &Config) -> Checked {
    let settings = config.s2s.config();
    let mut server = xmpp_core::server::Config::default();
    server.xml_before_login = settings.xml_before_proof;
    server.xml = settings.xml;
    server.timeouts = settings.timeouts;
    server.session_queue = settings.links.pair;
    server.memory = usize::MAX;
    if let Err(BuildError::Setting { name, reason }) = server.check() {
        let name = name.replace("xml_before_login.", "xml_before_proof.");
        let name = name.replace("session_queue.", "links.pair.");
        return refuse(format!("s2s.limits.{name}"), reason);
    }
    let (accept, links) = (settings.accept, settings.links);
    positive("s2s.limits.accept.connections", accept.connections)?;
    positive("s2s.limits.accept.before_login", accept.before_login)?;
    let name = "s2s.limits.accept.before_login_per_address";
    positive(name, accept.before_login_per_address)?;
    positive("s2s.limits.stream.pairs", settings.stream.pairs)?;
    positive("s2s.limits.stream.attempts", settings.stream.attempts)?;
    positive("s2s.limits.links.window", links.window)?;
    positive("s2s.limits.links.pairs", links.pairs)?;
    positive("s2s.limits.links.domains", links.domains)?;
    positive("s2s.limits.links.backoff.factor", links.backoff.factor)?;
    match settings.stall.is_zero() {
        true => refuse("s2s.limits.stall", "no time at all"),
        false => Ok(()),
    }
}

fn check_rooms(config: &Config) -> Checked {
    let mut all: Vec<BareJid> = Vec::new();
    for (i, domain) in config.domains.iter().enumerate() {
        let setting = match domain.rooms.address {
            Some(_) => format!("domains.{i}.rooms.address"),
            None => "rooms.address".to_owned(),
        };
        let address = match config.rooms_of(domain) {
            Ok(Some(address)) => address,
            Ok(None) => continue,
            Err(error) => return refuse(setting, error),
        };
        if !address.is_domain() {
            return refuse(setting, format!("{address} is not a domain"));
        }
        if config.domain(address.as_str()).is_some() {
            return refuse(setting, format!("{address} is a domain with accounts"));
        }
        if all.contains(&address) {
            return refuse(
                setting,
                format!("{address} has the rooms of another domain"),
            );
        }
        all.push(address);
    }
    let (room, limits) = (&config.rooms.room, &config.rooms.limits);
    for (setting, value) in [
        ("rooms.room.occupants", room.occupants),
        ("rooms.room.sessions", room.sessions),
        ("rooms.room.affiliations", room.affiliations),
        ("rooms.room.nick", room.nick.0),
        ("rooms.room.page", room.page.0),
        ("rooms.limits.rooms", limits.rooms),
        ("rooms.limits.loading", limits.loading),
        ("rooms.limits.page", limits.page),
        ("rooms.limits.queue.stanzas", limits.queue.stanzas),
        ("rooms.limits.unsaved", limits.unsaved),
    ] {
        positive(setting, value)?;
    }
    check_federated(config, &all)?;
    let (client, server) = (&config.limits.xml, &config.s2s.limits.xml);
    let stanza = client.stanza_bytes.0.max(server.stanza_bytes.0);
    if limits.queue.bytes.0 < stanza {
        let reason = format!("a stanza of the largest size ({stanza}) would never fit");
        return refuse("rooms.limits.queue.bytes", reason);
    }
    lasts("rooms.room.request", room.request)?;
    lasts("rooms.room.setup", room.setup)?;
    lasts("rooms.limits.retry", limits.retry)
}

/// Rooms that are federated are those of a service here, each of them once.
fn check_federated(config: &Config, services: &[BareJid]) -> Checked {
    let limits = &config.rooms.federation.limits;
    for (setting, value) in [
        ("rooms.federation.limits.children", limits.children),
        ("rooms.federation.limits.nodes", limits.nodes),
        ("rooms.federation.limits.occupants", limits.occupants),
        ("rooms.federation.limits.stanza", limits.stanza.0),
        ("rooms.federation.limits.outbox", limits.outbox),
    ] {
        positive(setting, value)?;
    }
    let mut all = Vec::new();
    for (i, federated) in config.rooms.federated.iter().enumerate() {
        let (setting, room) = (format!("rooms.federated.{i}.room"), &federated.room.0);
        let is_here = services
            .iter()
            .any(|service| service.as_str() == room.domain());
        if room.is_domain() || !is_here {
            return refuse(setting, format!("{room} is no room of this server"));
        }
        if all.contains(&room) || federated.parents.iter().any(|parent| parent.0 == *room) {
            return refuse(setting, format!("{room} stands there twice"));
        }
        all.push(room);
    }
    Ok(())
}

fn check_listen(config: &Config) -> Checked {
    let listen = &config.listen;
    let name = |kind: &'static str| move |(i, address)| (format!("listen.{kind}.{i}"), address);
    let plain = |kind, addresses: &Addresses| -> Vec<(String, SocketAddr)> {
        let each = addresses.iter().copied().enumerate();
        each.map(name(kind)).collect()
    };
    let starttls = listen.starttls.iter().map(|door| door.address);
    let mut all: Vec<_> = starttls.enumerate().map(name("starttls")).collect();
    all.extend(plain("direct_tls", &listen.direct_tls));
    all.extend(plain("plaintext", &listen.plaintext));
    all.extend(plain("monitoring", &listen.monitoring));
    if config.s2s.enabled {
        let name = |kind: &'static str| move |(i, address)| (format!("s2s.{kind}.{i}"), address);
        let starttls = config.s2s.listen.iter().copied().enumerate();
        all.extend(starttls.map(name("listen")));
        let direct_tls = config.s2s.direct_tls.iter().copied().enumerate();
        all.extend(direct_tls.map(name("direct_tls")));
    }
    for (i, (setting, address)) in all.iter().enumerate() {
        // With port 0 the system chooses one that is free.
        let same = |(_, other): &&(String, SocketAddr)| other == address && address.port() != 0;
        if let Some((first, _)) = all[..i].iter().find(same) {
            return refuse(setting, format!("{address} is there already ({first})"));
        }
    }
    Ok(())
}

fn positive(setting: &str, value: impl TryInto<usize>) -> Checked {
    match value.try_into() {
        Ok(0) => refuse(setting, "0 is less than 1"),
        _ => Ok(()),
    }
}

fn lasts(setting: &str, span: Span) -> Checked {
    match span.0.is_zero() {
        true => refuse(setting, "no time at all"),
        false => Ok(()),
    }
}

fn refuse(setting: impl Display, reason: impl Display) -> Checked {
    Err(Refused {
        setting: setting.to_string(),
        reason: reason.to_string(),
    })
}

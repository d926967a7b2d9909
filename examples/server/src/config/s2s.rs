//! `[s2s]`: other servers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;
use xmpp_core::io::dial::{DialConfig, Network, Target};
use xmpp_core::io::s2s::Rules;
use xmpp_core::s2s::dialback::Secret;
use xmpp_core::{io, s2s};

use super::listen::{Addresses, loopback};
use super::mirror::{PeerManagement, PeerPolicy, S2sLimits};
use super::value::{Hidden, Text};

/// `[s2s]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct S2s {
    /// Whether there is anybody but this server.
    pub enabled: bool,
    /// Where other servers connect that secure the stream by STARTTLS.
    pub listen: Addresses,
    /// Where those connect that begin with TLS.
    pub direct_tls: Addresses,
    /// Authorities (PEM) that vouch for other servers, instead of the operating system's.
    pub authorities: Option<PathBuf>,
    /// What dialback keys are made of; random at each start without.
    pub secret: Option<Hidden>,
    /// Asked instead of those of the operating system.
    pub name_servers: Vec<SocketAddr>,
    /// Whether addresses are dialled that are not of the public internet.
    pub private_addresses: bool,
    /// Networks that are dialled all the same.
    pub allow_networks: Vec<Text<Network>>,
    /// Networks that are not.
    pub deny_networks: Vec<Text<Network>>,
    /// What every server is held to that is not among `peers`.
    pub policy: PeerPolicy,
    /// Whether those that are not among `peers` are spoken with at all.
    pub strangers: bool,
    /// By domain.
    #[serde(deserialize_with = "domains")]
    pub peers: BTreeMap<String, Peer>,
    /// Streams that are acknowledged and can be resumed.
    pub stream_management: PeerManagement,
    pub limits: S2sLimits,
}

/// What differs for one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// There are no streams with it.
    pub blocked: bool,
    /// Where its server is, whatever DNS says: `name:port`.
    pub host: Option<Text<Host>>,
    /// Whether TLS comes first there.
    pub direct_tls: bool,
    pub tls: Option<bool>,
    pub proof: Option<Proof>,
    pub bidi: Option<bool>,
    /// How streams with it are compressed. There is no such setting for everybody.
    pub compression: Option<Compression>,
    /// How many times longer than others it is waited for. For everybody there are the times themselves.
    pub patience: Option<NonZeroU32>,
}

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Zlib,
}

impl From<Compression> for s2s::Compression {
    fn from(compression: Compression) -> s2s::Compression {
        match compression {
            Compression::Zlib => s2s::Compression::Zlib,
        }
    }
}

/// What proves who a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    Certificate,
    Either,
    Dialback,
    Both,
}

impl From<s2s::Proof> for Proof {
    fn from(proof: s2s::Proof) -> Proof {
        match proof {
            s2s::Proof::Certificate => Proof::Certificate,
            s2s::Proof::Either => Proof::Either,
            s2s::Proof::Dialback => Proof::Dialback,
            s2s::Proof::Both => Proof::Both,
        }
    }
}

impl From<Proof> for s2s::Proof {
    fn from(proof: Proof) -> s2s::Proof {
        match proof {
            Proof::Certificate => s2s::Proof::Certificate,
            Proof::Either => s2s::Proof::Either,
            Proof::Dialback => s2s::Proof::Dialback,
            Proof::Both => s2s::Proof::Both,
        }
    }
}

/// `name:port`; the name can be an address, one of IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    name: String,
    port: u16,
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Host, Self::Err> {
        const EXPECTED: &str = "expected a host and a port such as \"xmpp.example.net:5269\"";
        let (name, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let name = match bare {
            Some(address) if address.parse::<Ipv6Addr>().is_ok() => address,
            None if !name.is_empty() && !name.contains([':', '[', ']', ' ']) => name,
            _ => return Err(EXPECTED),
        };
        Ok(Host {
            name: name.to_owned(),
            port: port.parse().map_err(|_| EXPECTED)?,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

impl Default for S2s {
    fn default() -> S2s {
        S2s {
            enabled: true,
            listen: loopback(5269).into(),
            direct_tls: [].into(),
            authorities: None,
            secret: None,
            name_servers: Vec::new(),
            private_addresses: false,
            allow_networks: Vec::new(),
            deny_networks: Vec::new(),
            strangers: true,
            policy: PeerPolicy::default(),
            peers: BTreeMap::new(),
            stream_management: PeerManagement::default(),
            limits: S2sLimits::default(),
        }
    }
}

impl S2s {
    /// What other servers are held to.
    pub fn rules(&self) -> Rules {
        let policy = s2s::Policy::from(self.policy.clone());
        let mut rules = Rules {
            default: self.strangers.then_some(policy),
            ..Rules::default()
        };
        for (domain, peer) in self.known() {
            let policy = s2s::Policy {
                tls: peer.tls.unwrap_or(policy.tls),
                proof: peer.proof.map_or(policy.proof, Into::into),
                bidi: peer.bidi.unwrap_or(policy.bidi),
                compression: peer.compression.map(Into::into),
                patience: peer.patience.map_or(1, NonZeroU32::get),
            };
            let policy = (!peer.blocked).then_some(policy);
            rules.exceptions.insert(domain, policy);
        }
        rules
    }

    /// How they are reached.
    pub fn dial(&self) -> DialConfig {
        let networks = |all: &[Text<Network>]| all.iter().map(|network| network.0).collect();
        let mut dial = DialConfig::default();
        dial.addresses.private = self.private_addresses;
        dial.addresses.allow = networks(&self.allow_networks);
        dial.addresses.deny = networks(&self.deny_networks);
        for (domain, peer) in self.known() {
            if let Some(patience) = peer.patience {
                dial.patience.insert(domain.clone(), patience.get());
            }
            let Some(Text(host)) = &peer.host else {
                continue;
            };
            let target = Target {
                host: host.name.clone(),
                port: host.port,
                direct_tls: peer.direct_tls,
            };
            dial.hosts.insert(domain, target);
        }
        dial
    }

    /// These settings with another's peers: what can change while the server runs.
    pub fn with_peers_of(self, other: &S2s) -> S2s {
        let other = other.clone();
        S2s {
            private_addresses: other.private_addresses,
            allow_networks: other.allow_networks,
            deny_networks: other.deny_networks,
            policy: other.policy,
            strangers: other.strangers,
            peers: other.peers,
            ..self
        }
    }

    /// How connections are treated.
    pub fn config(&self) -> io::s2s::Config {
        let mut config = io::s2s::Config::from(self.limits.clone());
        let secret = self.secret.as_ref();
        config.secret = secret.map(|secret| Secret::new(secret.0.as_bytes()));
        config
    }

    fn known(&self) -> impl Iterator<Item = (BareJid, &Peer)> {
        let peers = self.peers.iter();
        peers.filter_map(|(domain, peer)| Some((BareJid::new(domain).ok()?, peer)))
    }
}

/// As it is derived, but that the keys have to be domains.
fn domains<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Peer>, D::Error> {
    let peers = BTreeMap::<String, Peer>::deserialize(deserializer)?;
    let is_domain = |name: &str| BareJid::new(name).is_ok_and(|jid| jid.is_domain());
    match peers.keys().find(|name| !is_domain(name)) {
        Some(name) => Err(de::Error::custom(format!("{name:?} is not a domain"))),
        None => Ok(peers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_or_an_address_and_a_port() {
        for text in ["xmpp.example.net:5269", "192.0.2.1:1", "[2001:db8::1]:5270"] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), text);
        }
        for text in [
            "",
            "a",
            ":1",
            "a:",
            "a:65536",
            "2001:db8::1",
            "[a]:1",
            "[::1]",
            "a b:1",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    /// What is so for everybody is a matter of the times themselves: a factor for all would not hold until there is a connection.
    #[test]
    fn patience_is_had_with_single_peers() {
        assert!(toml::from_str::<S2s>("policy.patience = 2").is_err());
        assert!(toml::from_str::<S2s>("peers.\"a.example\".patience = 0").is_err());
        let settings: S2s = toml::from_str("peers.\"a.example\".patience = 2").unwrap();
        assert_eq!(settings.rules().default.unwrap().patience, 1);
    }

    #[test]
    fn a_peer_differs_in_what_is_said_of_it_and_in_nothing_else() {
        let text = "policy.proof = \"both\"\nstrangers = false\n\
            peers.\"a.example\" = { bidi = false, compression = \"zlib\", patience = 20 }\n\
            peers.\"B.example\" = { blocked = true, host = \"b:1\", direct_tls = true }";
        let settings: S2s = toml::from_str(text).unwrap();
        let rules = settings.rules();
        assert_eq!(rules.default, None);
        let [a, b] = ["a.example", "b.example"].map(|name| BareJid::new(name).unwrap());
        let policy = s2s::Policy {
            tls: true,
            proof: s2s::Proof::Both,
            bidi: false,
            compression: Some(s2s::Compression::Zlib),
            patience: 20,
        };
        assert_eq!(rules.exceptions[&a], Some(policy));
        assert_eq!(rules.exceptions[&b], None);
        let dial = settings.dial();
        let a = BareJid::new("a.example").unwrap();
        assert_eq!(dial.patience, [(a, 20)].into());
        let hosts = dial.hosts;
        let target = Target {
            host: "b".into(),
            port: 1,
            direct_tls: true,
        };
        assert_eq!(hosts, [(b, target)].into());
        let error = toml::from_str::<S2s>("peers.\"a@b\" = {}").unwrap_err();
        assert!(error.to_string().contains("not a domain"), "{error}");
    }
}

//! `[cluster]`: this server as one node of several that serve the same domains.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xmpp_cluster::membership::Timers;
use xmpp_cluster::node::{NodeId, SiteId};

use super::value::{Hidden, Span, Text};

/// Bytes of a secret, at least.
const SECRET: usize = 16;

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// What this node is called; without a name it is alone.
    pub node: Option<Text<NodeId>>,
    /// What the nodes have in common, and no other cluster that uses the same engine.
    pub name: Text<NodeId>,
    /// Where this node stands.
    pub site: Text<SiteId>,
    /// What is to be the same on all nodes is made of this: without it, of what each has for itself.
    pub secret: Option<Hidden>,
    /// What carries bytes between nodes.
    pub engine: Engine,
    pub times: Times,
    pub zenoh: Zenoh,
    pub nats: Nats,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            node: None,
            name: Text("xmpp".parse().expect("a label")),
            site: Text("main".parse().expect("a label")),
            secret: None,
            engine: Engine::default(),
            times: Times::default(),
            zenoh: Zenoh::default(),
            nats: Nats::default(),
        }
    }
}

/// What carries bytes between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Nothing else is needed: the nodes connect to each other.
    #[default]
    Zenoh,
    /// Servers of NATS.
    Nats,
}

/// `[cluster.times]`: the same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Between two heartbeats.
    pub beat: Span,
    /// After which a node that is silent is held to be dead.
    pub dead: Span,
    /// By which clocks may differ.
    pub drift: Span,
}

impl Default for Times {
    fn default() -> Times {
        let timers = Timers::default();
        Times {
            beat: timers.beat.into(),
            dead: timers.dead.into(),
            drift: timers.drift.into(),
        }
    }
}

impl From<&Times> for Timers {
    fn from(times: &Times) -> Timers {
        let mut timers = Timers::default();
        timers.beat = times.beat.into();
        timers.dead = times.dead.into();
        timers.drift = times.drift.into();
        timers
    }
}

/// `[cluster.zenoh]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zenoh {
    /// Where other nodes connect: `host:port`.
    pub listen: Vec<String>,
    /// Where other nodes are, some of them at least.
    pub connect: Vec<String>,
    /// The names of all nodes; without, a certificate of the authority is enough to say anything.
    pub nodes: Vec<Text<NodeId>>,
    /// The authority (PEM) that vouches for the nodes, and for nobody else.
    pub authority: Option<PathBuf>,
    /// This node's certificate (PEM), which bears its name, and its key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Default for Zenoh {
    fn default() -> Zenoh {
        Zenoh {
            listen: vec!["127.0.0.1:7447".into()],
            connect: Vec::new(),
            nodes: Vec::new(),
            authority: None,
            certificate: None,
            key: None,
        }
    }
}

/// `[cluster.nats]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// Servers, any of which will do.
    pub servers: Vec<String>,
    /// The user of this node, and its password.
    pub user: Option<String>,
    pub password: Option<Hidden>,
    /// Or a file with its credentials.
    pub credentials: Option<PathBuf>,
    /// Authorities (PEM) that vouch for the servers, instead of those of the operating system.
    pub authorities: Option<PathBuf>,
    /// A certificate (PEM) that the servers know this node by, and its key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Default for Nats {
    fn default() -> Nats {
        Nats {
            servers: vec!["127.0.0.1:4222".into()],
            user: None,
            password: None,
            credentials: None,
            authorities: None,
            certificate: None,
            key: None,
        }
    }
}

impl Cluster {
    /// What is wrong: the setting, and why.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let times = &self.times;
        if times.beat.0 < Duration::from_millis(10) {
            return Err(("times.beat", "less than 10 ms"));
        }
        if times.dead.0 < times.beat.0 * 2 {
            return Err((
                "times.dead",
                "less than two beats: a node that lives would be held to be dead",
            ));
        }
        if times.drift.0.is_zero() {
            return Err(("times.drift", "no two clocks are the same"));
        }
        let Some(_) = &self.node else { return Ok(()) };
        let secret = self.secret.as_ref();
        if secret.is_some_and(|secret| secret.0.len() < SECRET) {
            return Err(("secret", "less than 16 bytes: it could be guessed"));
        }
        match self.engine {
            Engine::Zenoh => self.zenoh.check(),
            Engine::Nats => self.nats.check(),
        }
    }

    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut Option<PathBuf>> {
        let Zenoh {
            authority,
            certificate,
            key,
            ..
        } = &mut self.zenoh;
        let nats = &mut self.nats;
        [authority, certificate, key].into_iter().chain([
            &mut nats.credentials,
            &mut nats.authorities,
            &mut nats.certificate,
            &mut nats.key,
        ])
    }
}

impl Zenoh {
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        const WITHOUT: &str = "without it strangers would be let in";
        if self.listen.is_empty() && self.connect.is_empty() {
            return Err((
                "zenoh.listen",
                "nobody connects, and nobody is connected to",
            ));
        }
        for (setting, path) in [
            ("zenoh.authority", &self.authority),
            ("zenoh.certificate", &self.certificate),
            ("zenoh.key", &self.key),
        ] {
            if path.is_none() {
                return Err((setting, WITHOUT));
            }
        }
        Ok(())
    }
}

impl Nats {
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.servers.is_empty() {
            return Err(("nats.servers", "there is none"));
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(("nats.user", "`user` and `password` go together"));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err(("nats.certificate", "`certificate` and `key` go together"));
        }
        if self.user.is_none() && self.credentials.is_none() && self.certificate.is_none() {
            return Err((
                "nats.user",
                "neither `user`, `credentials` nor `certificate` says who this node is",
            ));
        }
        Ok(())
    }
}

//! What the engine is told.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::frame::FRAME;
use crate::node::NodeId;

/// How a node takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the cluster is called: nodes of another one on the same network are nobody to this one.
    pub cluster: NodeId,
    /// Whether it stands between others.
    pub role: Role,
    /// Where others connect, `host:port`; on every address with `0.0.0.0` or `[::]`.
    pub listen: Vec<String>,
    /// Where it connects. Those it is told of need not be here.
    pub connect: Vec<String>,
    /// The authority (PEM) that vouches for all nodes of the cluster and for nobody else.
    pub authority: PathBuf,
    /// This node's certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM). Files are read when the node joins, and its certificate for connections that it makes again for each: a new
    /// one is used for all of them when the node has left and joined again.
    pub key: PathBuf,
    /// Who may say what; default: whoever has a certificate is believed whatever name it uses.
    pub names: Option<Names>,
    /// How long a connection may be silent before the engine gives it up; default 3 s. Between sites more, e.g. 8 s.
    pub lease: Duration,
}

/// Whether a node stands between others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It connects to all nodes of its site, and to the routers.
    #[default]
    Peer,
    /// It hands on to its site what comes from others, and to them what they want to have of its site.
    Router,
}

/// The nodes that there may be, each with the common name of its certificate: who it says it is, is proven by that. Certificates of
/// the authority with other names open no door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// These say only what is their own, and hear only what is for them.
    pub nodes: Vec<NodeId>,
    /// These stand between others and hand on what those say ([`Role::Router`]): they are believed.
    pub routers: Vec<NodeId>,
}

/// Batches of 64 KiB that wait for one peer, of one class: the greatest frame has room.
const BATCHES: usize = 16;
/// How long a frame waits for room, in microseconds, on the thread of whoever sends it; and one that has to be cut into several.
const WAIT: u64 = 500;
const WAIT_FOR_PARTS: u64 = 5_000;

impl Config {
    /// A peer of a cluster that listens nowhere and connects to nobody.
    pub fn new(cluster: NodeId, authority: PathBuf, certificate: PathBuf, key: PathBuf) -> Config {
        Config {
            cluster,
            role: Role::default(),
            listen: Vec::new(),
            connect: Vec::new(),
            authority,
            certificate,
            key,
            names: None,
            lease: Duration::from_secs(3),
        }
    }

    pub(super) fn to_zenoh(&self) -> Result<zenoh::Config, String> {
        let mut config = zenoh::Config::default();
        for (key, value) in self.settings() {
            let set = config.insert_json5(key, &value.to_string());
            set.map_err(|error| format!("{key} = {value}: {error}"))?;
        }
        Ok(config)
    }

    fn settings(&self) -> Vec<(&'static str, Value)> {
        let tls = |all: &[String]| -> Vec<String> {
            all.iter().map(|address| format!("tls/{address}")).collect()
        };
        let mode = match self.role {
            Role::Peer => "peer",
            Role::Router => "router",
        };
        let lease = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        let names = self.names.as_ref();
        let batches = json!({
            "control": BATCHES, "real_time": BATCHES, "interactive_high": 1, "interactive_low": 1,
            "data_high": 1, "data": BATCHES, "data_low": 1, "background": BATCHES,
        });
        vec![
            ("mode", json!(mode)),
            ("listen/endpoints", json!(tls(&self.listen))),
            ("listen/exit_on_failure", json!(true)),
            ("connect/endpoints", json!(tls(&self.connect))),
            // Who is not there is tried again, for ever.
            ("connect/timeout_ms", json!(-1)),
            ("connect/exit_on_failure", json!(false)),
            (
                "connect/retry",
                json!({ "period_init_ms": 250, "period_max_ms": 1000, "period_increase_factor": 2 }),
            ),
            ("scouting/multicast/enabled", json!(false)),
            ("scouting/gossip/enabled", json!(true)),
            // How long joining waits for connections; where nobody is, all of it.
            ("scouting/delay", json!(2000)),
            ("adminspace/enabled", json!(false)),
            (
                "access_control",
                names.map_or_else(|| json!({}), |names| names.rules(&self.cluster)),
            ),
            ("transport/unicast/open_timeout", json!(lease)),
            ("transport/unicast/accept_timeout", json!(lease)),
            ("transport/link/protocols", json!(["tls"])),
            ("transport/link/tx/lease", json!(lease)),
            ("transport/link/tx/queue/size", batches),
            (
                "transport/link/tx/queue/congestion_control/drop/wait_before_drop",
                json!(WAIT),
            ),
            (
                "transport/link/tx/queue/congestion_control/drop/max_wait_before_drop_fragments",
                json!(WAIT_FOR_PARTS),
            ),
            // What the engine itself has to say to a peer that is gone waits on a thread of ours.
            (
                "transport/link/tx/queue/congestion_control/block/wait_before_close",
                json!(500_000),
            ),
            ("transport/link/rx/max_message_size", json!(FRAME + 4096)),
            ("transport/link/tls/enable_mtls", json!(true)),
            // Who has a certificate of this authority is a node, whatever address it has.
            ("transport/link/tls/verify_name_on_connect", json!(false)),
            (
                "transport/link/tls/root_ca_certificate",
                json!(self.authority),
            ),
            (
                "transport/link/tls/listen_certificate",
                json!(self.certificate),
            ),
            ("transport/link/tls/listen_private_key", json!(self.key)),
            (
                "transport/link/tls/connect_certificate",
                json!(self.certificate),
            ),
            ("transport/link/tls/connect_private_key", json!(self.key)),
            ("transport/link/tls/close_link_on_expiration", json!(true)),
        ]
    }
}

impl Names {
    /// What is not allowed to somebody here is refused: both what comes from it, and what would go to it.
    fn rules(&self, cluster: &NodeId) -> Value {
        const SAYS: [&str; 3] = ["put", "query", "liveliness_token"];
        const ANSWERS: [&str; 3] = ["declare_subscriber", "declare_queryable", "reply"];
        const ASKS: [&str; 3] = ["query", "declare_liveliness_subscriber", "liveliness_query"];
        let keys = |keys: &[String]| -> Vec<String> {
            keys.iter().map(|key| format!("{cluster}/{key}")).collect()
        };
        let rule = |id: &str, messages: &[&str], flows: &[&str], all: &[String]| {
            json!({
                "id": id, "permission": "allow", "messages": messages, "flows": flows, "key_exprs": keys(all),
            })
        };
        let everything = [&SAYS[..], &ANSWERS, &ASKS[1..]].concat();
        let all = ["**".to_owned()];
        let mut rules = vec![
            rule("hears", &everything, &["egress"], &all),
            rule("hands on", &everything, &["ingress"], &all),
            rule(
                "asks",
                &ASKS,
                &["ingress"],
                &["who/*", "up/*"].map(str::to_owned),
            ),
        ];
        let (mut subjects, mut policies) = (Vec::new(), Vec::new());
        for node in &self.nodes {
            let own =
                ["to/*/", "ask/*/", "site/*/", "all/", "up/"].map(|key| format!("{key}{node}"));
            let mut heard = ["to", "ask"].map(|key| format!("{key}/{node}/*")).to_vec();
            heard.extend([format!("who/{node}"), "site/*/*".into(), "all/*".into()]);
            let (says, answers) = (format!("{node} says"), format!("{node} answers"));
            rules.push(rule(&says, &SAYS, &["ingress"], &own));
            rules.push(rule(&answers, &ANSWERS, &["ingress"], &heard));
            subjects.push(json!({ "id": node.as_str(), "cert_common_names": [node.as_str()] }));
            policies.push(
                json!({ "subjects": [node.as_str()], "rules": ["hears", "asks", says, answers] }),
            );
        }
        for node in &self.routers {
            let id = format!("{node}, a router");
            subjects.push(json!({ "id": id, "cert_common_names": [node.as_str()] }));
            policies.push(json!({ "subjects": [id], "rules": ["hears", "hands on"] }));
        }
        json!({
            "enabled": true, "default_permission": "deny",
            "rules": rules, "subjects": subjects, "policies": policies,
        })
    }
}

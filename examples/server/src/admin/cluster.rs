//! What is said of a cluster.

use serde::{Deserialize, Serialize};
use xmpp_cluster::cluster::Traffic;
use xmpp_cluster::io::{Member, Status};
use xmpp_cluster::membership::Reach;

/// The cluster as one node sees it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// That node, and the others.
    pub nodes: Vec<Node>,
    pub counts: Vec<Count>,
}

/// A node.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    pub incarnation: u64,
    pub site: String,
    /// `here`, `up`, `down`, or by way of which other node it is reached.
    pub state: String,
    /// Resources that are bound there.
    pub resources: usize,
    /// How long nothing was heard of it, in milliseconds.
    pub silent: u64,
    /// What goes between it and the node that tells; `None` of that one itself.
    pub link: Option<Link>,
}

/// A link to another node.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Parcels that the other node is not known to have.
    pub waiting: usize,
    pub waiting_bytes: usize,
    /// In microseconds.
    pub round_trip: Option<u64>,
    /// Parcels that were sent again.
    pub resent: u64,
}

/// A number of things that have happened.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub what: String,
    pub count: u64,
}

/// Where a resource is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub jid: String,
    pub node: String,
    pub priority: Option<i8>,
    /// The address is the domain of another server, and the node the one over which it is reached.
    pub outlet: bool,
}

impl From<&Status> for Cluster {
    fn from(status: &Status) -> Cluster {
        let me = Node {
            name: status.me.life.node.to_string(),
            incarnation: status.me.life.incarnation.0,
            site: status.me.site.to_string(),
            state: "here".into(),
            resources: status.resources,
            silent: 0,
            link: None,
        };
        let others = status.members.iter().map(Node::from);
        let counts = &status.counts;
        let counts = [
            ("damaged", counts.damaged),
            ("forged", counts.forged),
            ("strays", counts.strays),
            ("unknown", counts.unknown),
            ("nonsense", counts.nonsense),
            ("refused", counts.refused),
            ("handed-on", counts.handed_on),
            ("unsent", status.unsent),
        ];
        let counts = counts.map(|(what, count)| Count {
            what: what.into(),
            count,
        });
        Cluster {
            nodes: [me].into_iter().chain(others).collect(),
            counts: counts.into(),
        }
    }
}

impl From<&Member> for Node {
    fn from(member: &Member) -> Node {
        let state = match &member.reach {
            Some(Reach::Direct) => "up".into(),
            Some(Reach::Via(node)) => format!("up by {node}"),
            None => "down".into(),
        };
        Node {
            name: member.info.life.node.to_string(),
            incarnation: member.info.life.incarnation.0,
            site: member.info.site.to_string(),
            state,
            resources: member.resources,
            silent: whole(member.silent.as_millis()),
            link: Some(Link::from(&member.traffic)),
        }
    }
}

impl From<&Traffic> for Link {
    fn from(traffic: &Traffic) -> Link {
        Link {
            sent_bytes: traffic.bytes_sent,
            received_bytes: traffic.bytes_received,
            waiting: traffic.waiting,
            waiting_bytes: traffic.waiting_bytes,
            round_trip: traffic.round_trip.map(|time| whole(time.as_micros())),
            resent: traffic.link.resent,
        }
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Node {
    /// For a person.
    pub fn line(&self) -> String {
        let head = format!(
            "{:<20} {:<12} {:<8} resources {}",
            self.name, self.site, self.state, self.resources
        );
        let Some(link) = &self.link else { return head };
        let round_trip = match link.round_trip {
            Some(time) => format!("{}.{:03} ms", time / 1000, time % 1000),
            None => "-".into(),
        };
        format!(
            "{head} silent {} ms round-trip {round_trip} waiting {} ({} B) sent {} B received {} B resent {}",
            self.silent,
            link.waiting,
            link.waiting_bytes,
            link.sent_bytes,
            link.received_bytes,
            link.resent
        )
    }
}

impl Count {
    /// For a person.
    pub fn text(&self) -> String {
        format!("{} {}", self.what, self.count)
    }
}

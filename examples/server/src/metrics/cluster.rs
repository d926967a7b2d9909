//! Figures of the cluster, as this node sees it.

use std::fmt;

use xmpp_cluster::cluster::Traffic;
use xmpp_cluster::io::{Member, Status};
use xmpp_cluster::membership::Reach;
use xmpp_cluster::node::NodeInfo;

use super::Text;

/// What a node can be: this one, up, up by way of a third, down.
const STATES: [&str; 4] = ["here", "up", "relayed", "down"];

type Find<T> = fn(&Traffic) -> T;
type Count = fn(&Status) -> u64;

/// All of it; of a server that is alone, the families without samples.
pub(super) fn cluster(status: Option<&Status>, text: &mut Text) {
    nodes(status, text);
    tables(status, text);
    links(status, text);
    counts(status, text);
}

fn nodes(status: Option<&Status>, text: &mut Text) {
    let here = status.map(|status| (&status.me, "here"));
    let others = members(status).map(|member| (&member.info, state(member)));
    let all: Vec<(&NodeInfo, &str)> = here.into_iter().chain(others).collect();

    let name = "xmpp_cluster_nodes";
    text.family(name, "gauge", "Nodes of the cluster, by how they are.");
    for state in STATES.iter().filter(|_| status.is_some()) {
        let number = all.iter().filter(|(_, is)| is == state).count();
        text.sample(name, &[("state", state)], number);
    }
    let name = "xmpp_cluster_node_state";
    let help = "1 for the state that a node is in, 0 for the others.";
    text.family(name, "gauge", help);
    for (node, is) in &all {
        for state in STATES {
            let labels = [("node", node.life.node.as_str()), ("state", state)];
            text.sample(name, &labels, u8::from(state == *is));
        }
    }
    let name = "xmpp_cluster_node_start_seconds";
    let help = "When the life of a node began, in seconds since 1970.";
    text.family(name, "gauge", help);
    for (node, _) in &all {
        let site = node.site.as_str();
        let labels = [("node", node.life.node.as_str()), ("site", site)];
        let began = node.life.incarnation.0 as f64 / 1000.0;
        text.sample(name, &labels, format_args!("{began:.3}"));
    }
    let name = "xmpp_cluster_node_silent_seconds";
    text.family(name, "gauge", "How long nothing was heard of a node.");
    for member in members(status) {
        let silent = member.silent.as_secs_f64();
        text.sample(name, &[label(member)], format_args!("{silent:.3}"));
    }
}

fn tables(status: Option<&Status>, text: &mut Text) {
    let name = "xmpp_cluster_resources";
    text.family(name, "gauge", "Resources that are bound at a node.");
    if let Some(status) = status {
        let here = [("node", status.me.life.node.as_str())];
        text.sample(name, &here, status.resources);
    }
    for member in members(status) {
        text.sample(name, &[label(member)], member.resources);
    }
    let name = "xmpp_cluster_readings_total";
    let help = "Times that the entries of a node were read from the beginning.";
    each(status, name, "counter", help, |link| link.readings, text);
    let name = "xmpp_cluster_reading";
    let help = "Whether the entries of a node are being read.";
    let reading = |link: &Traffic| u8::from(link.is_reading);
    each(status, name, "gauge", help, reading, text);
}

fn links(status: Option<&Status>, text: &mut Text) {
    let frames: [(&str, Find<u64>); 2] = [
        ("received", |link| link.frames_received),
        ("sent", |link| link.frames_sent),
    ];
    let bytes: [(&str, Find<u64>); 2] = [
        ("received", |link| link.bytes_received),
        ("sent", |link| link.bytes_sent),
    ];
    for (name, help, both) in [
        (
            "xmpp_cluster_link_frames_total",
            "Frames of another node and to it, heartbeats aside.",
            frames,
        ),
        (
            "xmpp_cluster_link_bytes_total",
            "Bytes of frames of another node and to it, heartbeats aside.",
            bytes,
        ),
    ] {
        text.family(name, "counter", help);
        for member in members(status) {
            for (direction, find) in both {
                let labels = [label(member), ("direction", direction)];
                text.sample(name, &labels, find(&member.traffic));
            }
        }
    }

    let queues: [(&str, &str, Find<usize>); 2] = [
        (
            "xmpp_cluster_link_queue_parcels",
            "Parcels that another node is not known to have.",
            |link| link.waiting,
        ),
        (
            "xmpp_cluster_link_queue_bytes",
            "Bytes of parcels that another node is not known to have.",
            |link| link.waiting_bytes,
        ),
    ];
    for (name, help, find) in queues {
        each(status, name, "gauge", help, find, text);
    }

    let name = "xmpp_cluster_link_round_trip_seconds";
    text.family(name, "gauge", "How long an acknowledgement takes.");
    for member in members(status) {
        if let Some(time) = member.traffic.round_trip {
            let time = time.as_secs_f64();
            text.sample(name, &[label(member)], format_args!("{time:.6}"));
        }
    }

    let counters: [(&str, &str, Find<u64>); 4] = [
        (
            "xmpp_cluster_link_resent_total",
            "Parcels that were sent once more.",
            |link| link.link.resent,
        ),
        (
            "xmpp_cluster_link_copies_total",
            "Parcels that had come already, or whose epoch is over.",
            |link| link.link.copies,
        ),
        (
            "xmpp_cluster_link_early_total",
            "Frames that came before their turn.",
            |link| link.link.early,
        ),
        (
            "xmpp_cluster_link_given_up_total",
            "Parcels that were given up when the node went down.",
            |link| link.given_up,
        ),
    ];
    for (name, help, find) in counters {
        each(status, name, "counter", help, find, text);
    }
}

fn counts(status: Option<&Status>, text: &mut Text) {
    let name = "xmpp_cluster_frames_dropped_total";
    let help = "Frames and parcels of other nodes that were dropped.";
    text.family(name, "counter", help);
    if let Some(counts) = status.map(|status| &status.counts) {
        for (reason, value) in [
            ("damaged", counts.damaged),
            ("forged", counts.forged),
            ("stray", counts.strays),
            ("unknown", counts.unknown),
            ("nonsense", counts.nonsense),
        ] {
            text.sample(name, &[("reason", reason)], value);
        }
    }
    let counters: [(&str, &str, Count); 5] = [
        (
            "xmpp_cluster_heartbeats_refused_total",
            "Heartbeats of nodes that were not let in.",
            |status| status.counts.refused,
        ),
        (
            "xmpp_cluster_frames_handed_on_total",
            "Frames between two other nodes that were handed on.",
            |status| status.counts.handed_on,
        ),
        (
            "xmpp_cluster_frames_unsent_total",
            "Frames that the engine has not taken.",
            |status| status.unsent,
        ),
        (
            "xmpp_cluster_changes_untold_total",
            "Changes of the session table that a node could not be told of at once.",
            |status| status.counts.untold,
        ),
        (
            "xmpp_cluster_pages_late_total",
            "Pages of the session table that were asked for again.",
            |status| status.counts.pages_late,
        ),
    ];
    for (name, help, find) in counters {
        text.family(name, "counter", help);
        if let Some(status) = status {
            text.sample(name, &[], find(status));
        }
    }
}

/// A family with one sample for each other node.
fn each<T: fmt::Display>(
    status: Option<&Status>,
    name: &str,
    kind: &str,
    help: &str,
    find: Find<T>,
    text: &mut Text,
) {
    text.family(name, kind, help);
    for member in members(status) {
        text.sample(name, &[label(member)], find(&member.traffic));
    }
}

fn members(status: Option<&Status>) -> impl Iterator<Item = &Member> {
    status.into_iter().flat_map(|status| &status.members)
}

fn label(member: &Member) -> (&'static str, &str) {
    ("node", member.info.life.node.as_str())
}

fn state(member: &Member) -> &'static str {
    match &member.reach {
        Some(Reach::Direct) => "up",
        Some(Reach::Via(_)) => "relayed",
        None => "down",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures::future::BoxFuture;
    use xmpp_cluster::frame::{Entry, VERSIONS};
    use xmpp_cluster::io::{Cluster, Ended};
    use xmpp_cluster::node::{Incarnation, Life};
    use xmpp_cluster::transport::local::Net;
    use xmpp_core::session::SessionId;
    use xmpp_core::time::{Clock, Now, Timestamp};

    use super::*;

    /// The runtime's clock, which passes while nobody has anything to do.
    struct Paused(Instant);

    impl Clock for Paused {
        fn now(&self) -> Now {
            let instant = tokio::time::Instant::now().into_std();
            let utc = Timestamp(1_700_000_000_250).plus(instant - self.0);
            Now { instant, utc }
        }

        fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
            Box::pin(tokio::time::sleep(time))
        }
    }

    async fn node(
        net: &Net,
        clock: &Arc<dyn Clock>,
        name: &str,
    ) -> (Cluster, tokio::task::JoinHandle<Ended>) {
        let me = NodeInfo {
            life: Life {
                node: name.parse().unwrap(),
                incarnation: Incarnation::begin(clock.now().utc, None),
            },
            site: "home".parse().unwrap(),
            versions: VERSIONS,
        };
        let engine = Arc::new(net.node(clock.clone()));
        let cluster = Cluster::new(me, Default::default(), engine, clock.clone());
        let driver = cluster.join(Vec::new()).await.unwrap();
        (cluster, tokio::spawn(driver.run()))
    }

    fn render(cluster: &Cluster) -> String {
        let mut text = Text(String::new());
        super::cluster(Some(&cluster.status()), &mut text);
        text.0
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_status_shows_is_measured() {
        let clock: Arc<dyn Clock> = Arc::new(Paused(tokio::time::Instant::now().into_std()));
        let net = Net::new();
        let (a, _) = node(&net, &clock, "a").await;
        let (b, driver) = node(&net, &clock, "b").await;
        let balcony = Entry {
            jid: "juliet@example.org/balcony".parse().unwrap(),
            session: SessionId { run: 1, n: 1 },
            since: Timestamp(0),
            generation: 0,
            resumable: None,
            priority: Some(0),
            presence: None,
            interested: false,
            carbons: false,
            block_list: false,
        };
        b.put(balcony);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let has = |text: &str, sample: &str| {
            assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
        };
        let text = render(&a);
        for sample in [
            r#"xmpp_cluster_nodes{state="here"} 1"#,
            r#"xmpp_cluster_nodes{state="up"} 1"#,
            r#"xmpp_cluster_nodes{state="down"} 0"#,
            r#"xmpp_cluster_node_state{node="a",state="here"} 1"#,
            r#"xmpp_cluster_node_state{node="b",state="up"} 1"#,
            r#"xmpp_cluster_node_state{node="b",state="down"} 0"#,
            r#"xmpp_cluster_node_start_seconds{node="b",site="home"} 1700000000.250"#,
            r#"xmpp_cluster_resources{node="a"} 0"#,
            r#"xmpp_cluster_resources{node="b"} 1"#,
            r#"xmpp_cluster_readings_total{node="b"} 1"#,
            r#"xmpp_cluster_reading{node="b"} 0"#,
            r#"xmpp_cluster_link_queue_parcels{node="b"} 0"#,
            r#"xmpp_cluster_link_given_up_total{node="b"} 0"#,
            r#"xmpp_cluster_frames_dropped_total{reason="forged"} 0"#,
            "xmpp_cluster_heartbeats_refused_total 0",
        ] {
            has(&text, sample);
        }
        let traffic = a.status().members[0].traffic;
        assert!(traffic.bytes_received > 0 && traffic.frames_sent > 0);
        let bytes = traffic.bytes_received;
        let sample =
            format!(r#"xmpp_cluster_link_bytes_total{{node="b",direction="received"}} {bytes}"#);
        has(&text, &sample);
        let frames = traffic.frames_sent;
        let sample =
            format!(r#"xmpp_cluster_link_frames_total{{node="b",direction="sent"}} {frames}"#);
        has(&text, &sample);

        driver.abort();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let text = render(&a);
        for sample in [
            r#"xmpp_cluster_nodes{state="up"} 0"#,
            r#"xmpp_cluster_nodes{state="down"} 1"#,
            r#"xmpp_cluster_resources{node="b"} 0"#,
        ] {
            has(&text, sample);
        }
    }
}

//! What the server counts, as Prometheus reads it (text format 0.0.4).

mod cluster;
mod rooms;

use std::fmt::{self, Write as _};

use xmpp_cluster::io::Status;
use xmpp_core::mailbox::Depths;
use xmpp_core::metrics::{Federation, Metrics, Traffic};
use xmpp_core::server::Server;
use xmpp_core::time::Timestamp;
use xmpp_store::{MAX_QUEUED, MAX_QUEUED_OCTETS, Waiting, Writing};

use crate::rooms::Rooms;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A certificate: its domain, and when it expires.
pub type Expiry = (String, Option<Timestamp>);

/// All figures. Labels have few values, all known beforehand: none comes from a client. `cluster` is `None` for a server
/// that is alone.
pub fn render(
    server: &Server,
    rooms: &Rooms,
    cluster: Option<&Status>,
    queues: Depths,
    (store, writing): (Waiting, Writing),
    expiries: &[Expiry],
) -> String {
    let metrics = server.metrics();
    let mut text = Text(String::with_capacity(8 * 1024));
    connections(metrics, &mut text);
    logins(metrics, &mut text);
    traffic(metrics, &mut text);
    errors(metrics, &mut text);
    federation(&metrics.s2s, &mut text);
    rooms::rooms(rooms, &mut text);
    cluster::cluster(cluster, &mut text);

    waiting(server, queues, store, &mut text);
    let name = "xmpp_store_changes_failed_total";
    text.family(name, "counter", "Changes that the store could not make.");
    text.sample(name, &[], writing.failed);

    let name = "xmpp_certificate_expiry_days";
    text.family(
        name,
        "gauge",
        "Days until a certificate expires; negative when it has.",
    );
    for (domain, expires) in expiries {
        if let Some(expires) = expires {
            let left = expires.0.saturating_sub(server.now().utc.0) as f64 / 86_400_000.0;
            text.sample(name, &[("domain", domain)], format_args!("{left:.2}"));
        }
    }
    text.0
}

fn connections(metrics: &Metrics, text: &mut Text) {
    text.family("xmpp_connections", "gauge", "Connections of clients.");
    text.sample("xmpp_connections", &[], metrics.connections.value());

    let name = "xmpp_connections_accepted_total";
    text.family(name, "counter", "Connections accepted, by how they began.");
    for (kind, counter) in [
        ("starttls", &metrics.starttls_connections),
        ("direct_tls", &metrics.direct_tls_connections),
        ("plaintext", &metrics.plaintext_connections),
    ] {
        text.sample(name, &[("kind", kind)], counter.value());
    }

    let name = "xmpp_connections_refused_total";
    text.family(name, "counter", "Connections that the limits turned away.");
    text.sample(name, &[], metrics.refused_connections.value());

    let name = "xmpp_connections_evicted_total";
    let help = "Connections before login that gave way to newcomers.";
    text.family(name, "counter", help);
    text.sample(name, &[], metrics.evicted_connections.value());

    let name = "xmpp_tls_handshakes_total";
    text.family(name, "counter", "TLS handshakes.");
    for (result, counter) in [
        ("ok", &metrics.handshakes),
        ("failed", &metrics.failed_handshakes),
    ] {
        text.sample(name, &[("result", result)], counter.value());
    }
}

fn logins(metrics: &Metrics, text: &mut Text) {
    text.family("xmpp_logins_total", "counter", "Logins, by mechanism.");
    let ok = metrics.logins().map(|(how, n)| (how, "ok", n));
    let failed = metrics.failed_logins().map(|(how, n)| (how, "failed", n));
    for (mechanism, result, value) in ok.chain(failed) {
        let labels = [("mechanism", mechanism.name()), ("result", result)];
        text.sample("xmpp_logins_total", &labels, value);
    }

    text.family("xmpp_sessions", "gauge", "Resources that are bound.");
    text.sample("xmpp_sessions", &[], metrics.sessions.value());
    text.family(
        "xmpp_sessions_bound_total",
        "counter",
        "Resources bound so far.",
    );
    text.sample("xmpp_sessions_bound_total", &[], metrics.sessions.total());
}

fn traffic(metrics: &Metrics, text: &mut Text) {
    let both: [(&str, &Traffic); 2] = [("received", &metrics.received), ("sent", &metrics.sent)];

    text.family(
        "xmpp_stanzas_total",
        "counter",
        "Stanzas of clients and to clients.",
    );
    for (direction, traffic) in both {
        stanzas("xmpp_stanzas_total", direction, traffic, text);
    }

    text.family(
        "xmpp_bytes_total",
        "counter",
        "Bytes of XML, before encryption.",
    );
    for (direction, traffic) in both {
        let labels = [("direction", direction)];
        text.sample("xmpp_bytes_total", &labels, traffic.bytes.value());
    }
}

fn errors(metrics: &Metrics, text: &mut Text) {
    let name = "xmpp_stream_errors_total";
    text.family(name, "counter", "Streams that ended with an error.");
    for (condition, value) in metrics.stream_errors() {
        text.sample(name, &[("condition", condition)], value);
    }
    let name = "xmpp_store_errors_total";
    text.family(name, "counter", "Times that the store failed a connection.");
    text.sample(name, &[], metrics.store_errors.value());
    let name = "xmpp_unreadable_messages_total";
    let help = "Times that a stored message could not be read; it stays in the store.";
    text.family(name, "counter", help);
    text.sample(name, &[], metrics.unreadable_messages.value());
    let name = "xmpp_overflowed_sessions_total";
    let help = "Sessions that ended because there was no room for an answer.";
    text.family(name, "counter", help);
    text.sample(name, &[], metrics.overflowed_sessions.value());
    let name = "xmpp_kept_sessions_total";
    let help = "Sessions over a restart: written down, taken up again, not readable.";
    text.family(name, "counter", help);
    for (result, value) in [
        ("kept", metrics.kept_sessions.value()),
        ("restored", metrics.restored_sessions.value()),
        ("unreadable", metrics.unreadable_sessions.value()),
    ] {
        text.sample(name, &[("result", result)], value);
    }
}

fn federation(metrics: &Federation, text: &mut Text) {
    let name = "xmpp_s2s_connections";
    text.family(name, "gauge", "Connections with other servers.");
    text.sample(name, &[], metrics.connections.value());
    for (name, help, counter) in [
        (
            "xmpp_s2s_connections_refused_total",
            "Connections of other servers that the limits turned away.",
            &metrics.refused,
        ),
        (
            "xmpp_s2s_connections_evicted_total",
            "Connections of other servers that had proven nothing and gave way to newcomers.",
            &metrics.evicted,
        ),
        (
            "xmpp_s2s_dials_failed_total",
            "Connections to other servers that could not be opened.",
            &metrics.failed_dials,
        ),
        (
            "xmpp_s2s_stanzas_returned_total",
            "Stanzas for other servers that went back to their senders.",
            &metrics.returned,
        ),
        (
            "xmpp_s2s_outbox_stored_total",
            "Stanzas for other servers that were not delivered in time and were stored.",
            &metrics.stored,
        ),
        (
            "xmpp_s2s_outbox_failed_total",
            "Stanzas for other servers that were to be stored and could not be.",
            &metrics.not_stored,
        ),
    ] {
        text.family(name, "counter", help);
        text.sample(name, &[], counter.value());
    }

    for (name, help, level) in [
        (
            "xmpp_s2s_queue_stanzas",
            "Stanzas that wait for other servers.",
            &metrics.waiting,
        ),
        (
            "xmpp_s2s_queue_bytes",
            "Bytes of XML that wait for other servers.",
            &metrics.waiting_bytes,
        ),
        (
            "xmpp_s2s_outbox_stanzas",
            "Stanzas for other servers that are kept in the store.",
            &metrics.outbox,
        ),
        (
            "xmpp_s2s_outbox_bytes",
            "Bytes of XML for other servers that are kept in the store.",
            &metrics.outbox_bytes,
        ),
        (
            "xmpp_s2s_sessions_waiting",
            "Sessions with other servers that wait to be resumed.",
            &metrics.sessions,
        ),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], level.value());
    }

    let name = "xmpp_s2s_tls_handshakes_total";
    text.family(name, "counter", "TLS handshakes with other servers.");
    for (result, counter) in [
        ("ok", &metrics.handshakes),
        ("failed", &metrics.failed_handshakes),
    ] {
        text.sample(name, &[("result", result)], counter.value());
    }

    let both = [("received", &metrics.received), ("sent", &metrics.sent)];
    let name = "xmpp_s2s_stanzas_total";
    text.family(name, "counter", "Stanzas of other servers and to them.");
    for (direction, traffic) in both {
        stanzas(name, direction, traffic, text);
    }
    let name = "xmpp_s2s_bytes_total";
    let help = "Bytes of XML of other servers and to them, before compression and encryption.";
    text.family(name, "counter", help);
    for (direction, traffic) in both {
        text.sample(name, &[("direction", direction)], traffic.bytes.value());
    }

    let name = "xmpp_s2s_compression_bytes_total";
    let help = "Bytes of streams with other servers that are compressed, as XML and as they went.";
    text.family(name, "counter", help);
    let compression = &metrics.compression;
    for (direction, bytes) in [
        ("received", &compression.received),
        ("sent", &compression.sent),
    ] {
        for (form, counter) in [("xml", &bytes.xml), ("packed", &bytes.packed)] {
            let labels = [("direction", direction), ("form", form)];
            text.sample(name, &labels, counter.value());
        }
    }

    let name = "xmpp_s2s_stream_errors_total";
    let help = "Streams with other servers that this one ended with an error.";
    text.family(name, "counter", help);
    for (condition, value) in metrics.stream_errors() {
        text.sample(name, &[("condition", condition)], value);
    }
}

fn stanzas(name: &str, direction: &str, traffic: &Traffic, text: &mut Text) {
    for (kind, counter) in [
        ("message", &traffic.messages),
        ("presence", &traffic.presences),
        ("iq", &traffic.iqs),
    ] {
        let labels = [("direction", direction), ("kind", kind)];
        text.sample(name, &labels, counter.value());
    }
}

fn waiting(server: &Server, queues: Depths, store: Waiting, text: &mut Text) {
    let session = server.config().session_queue;
    for (name, help, value) in [
        (
            "xmpp_queue_bytes",
            "Memory held by all queues.",
            server.budget().used(),
        ),
        (
            "xmpp_queue_bytes_limit",
            "The cap of xmpp_queue_bytes.",
            server.config().memory,
        ),
        (
            "xmpp_session_queue_stanzas",
            "Stanzas that wait for clients to read.",
            queues.stanzas,
        ),
        (
            "xmpp_session_queue_bytes",
            "Bytes of XML that wait for clients to read.",
            queues.bytes,
        ),
        (
            "xmpp_session_queue_most_stanzas",
            "Stanzas that wait for the one client for which the most do.",
            queues.most_stanzas,
        ),
        (
            "xmpp_session_queue_most_stanzas_limit",
            "The cap of xmpp_session_queue_most_stanzas.",
            session.stanzas,
        ),
        (
            "xmpp_session_queue_most_bytes",
            "Bytes of XML that wait for the one client for which the most do.",
            queues.most_bytes,
        ),
        (
            "xmpp_session_queue_most_bytes_limit",
            "The cap of xmpp_session_queue_most_bytes.",
            session.bytes,
        ),
        (
            "xmpp_store_queue_changes",
            "Changes that wait to be written to the store.",
            store.calls,
        ),
        (
            "xmpp_store_queue_changes_limit",
            "The cap of xmpp_store_queue_changes.",
            MAX_QUEUED,
        ),
        (
            "xmpp_store_queue_bytes",
            "Bytes of text of xmpp_store_queue_changes.",
            store.octets,
        ),
        (
            "xmpp_store_queue_bytes_limit",
            "The cap of xmpp_store_queue_bytes.",
            MAX_QUEUED_OCTETS,
        ),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], value);
    }
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0 += name;
        for (i, (label, value)) in labels.iter().enumerate() {
            let before = if i == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xmpp_core::io::surroundings;
    use xmpp_core::sasl::{Mechanism, Secret};
    use xmpp_core::server::Domain;

    fn server() -> Server {
        let name = "localhost".parse().unwrap();
        let domain = Domain::new(name, Secret::from([0; 32]));
        Server::builder()
            .domain(domain)
            .build(surroundings())
            .unwrap()
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_a_declared_family() {
        let server = server();
        server.metrics().logged_in(Mechanism::ScramSha256Plus);
        let mut queues = Depths::default();
        queues.add((3, 500));
        queues.add((1, 600));
        let expiries = [("localhost".into(), Some(Timestamp(0))), ("a".into(), None)];
        let text = render(
            &server,
            &Rooms::default(),
            None,
            queues,
            Default::default(),
            &expiries,
        );
        let mut family = "";
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# HELP ") {
                family = comment.split(' ').next().unwrap();
            } else if let Some(comment) = line.strip_prefix("# TYPE ") {
                assert!(comment.starts_with(family));
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(name.split('{').next().unwrap(), family, "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        let login = r#"xmpp_logins_total{mechanism="SCRAM-SHA-256-PLUS",result="ok"} 1"#;
        assert!(text.lines().any(|line| line == login), "{text}");
        assert!(text.contains(r#"xmpp_certificate_expiry_days{domain="localhost"} -"#));
        assert!(!text.contains(r#"domain="a""#));
        for sample in [
            "xmpp_session_queue_stanzas 4",
            "xmpp_session_queue_bytes 1100",
            "xmpp_session_queue_most_stanzas 3",
            "xmpp_session_queue_most_bytes 600",
            "xmpp_store_queue_changes 0",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}: {text}");
        }
    }

    #[test]
    fn every_family_is_documented_and_nothing_else() {
        let text = render(
            &server(),
            &Rooms::default(),
            None,
            Depths::default(),
            Default::default(),
            &[],
        );
        let families = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .map(|family| {
                let (name, kind) = family.split_once(' ').unwrap();
                format!("| `{name}` | {kind} |")
            });
        let families: Vec<String> = families.collect();
        let document = include_str!("../../../docs/metrics.md");
        let documented: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with("| `xmpp_"))
            .collect();
        for family in &families {
            let times = documented.iter().filter(|row| row.starts_with(family));
            assert_eq!(times.count(), 1, "{family}");
        }
        assert_eq!(documented.len(), families.len());
    }

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text(String::new());
        text.sample("n", &[("l", "a\"\\\n"), ("m", "b")], 1);
        assert_eq!(text.0, "n{l=\"a\\\"\\\\\\n\",m=\"b\"} 1\n");
    }
}

use std::sync::Mutex;

use tokio::net::TcpListener;

use super::super::resolver::Unresolved;
use super::*;

const FROM: &str = "romeo.example";

/// Nothing is left to chance here.
struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// What a name service is told to know, and what it was asked.
#[derive(Default)]
struct Known {
    srv: HashMap<&'static str, Result<Vec<Srv>, Unresolved>>,
    addresses: HashMap<&'static str, Result<Vec<IpAddr>, Unresolved>>,
    silent: bool,
    asked: Mutex<Vec<String>>,
}

impl Known {
    fn srv(mut self, name: &'static str, records: &[(u16, u16, &str)]) -> Known {
        let records = records.iter().map(|&(priority, port, target)| Srv {
            priority,
            weight: 0,
            port,
            target: target.to_owned(),
        });
        self.srv.insert(name, Ok(records.collect()));
        self
    }

    fn srv_fails(mut self, name: &'static str) -> Known {
        self.srv.insert(name, Err(Unresolved));
        self
    }

    fn host(mut self, name: &'static str, addresses: &[&str]) -> Known {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        self.addresses.insert(name, Ok(addresses.collect()));
        self
    }

    fn host_fails(mut self, name: &'static str) -> Known {
        self.addresses.insert(name, Err(Unresolved));
        self
    }
}

#[async_trait]
impl Resolver for Known {
    async fn srv(&self, name: &str) -> Result<Vec<Srv>, Unresolved> {
        self.asked.lock().unwrap().push(name.to_owned());
        if self.silent {
            std::future::pending::<()>().await;
        }
        self.srv.get(name).cloned().unwrap_or(Ok(Vec::new()))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        self.asked.lock().unwrap().push(host.to_owned());
        self.addresses.get(host).cloned().unwrap_or(Ok(Vec::new()))
    }
}

fn loopback() -> DialConfig {
    let mut config = DialConfig::default();
    config.addresses.private = true;
    config.attempt = Duration::from_secs(2);
    config
}

struct Attempt {
    outcome: Result<Dialled, DialError>,
    asked: Vec<String>,
}

async fn dial(known: Known, config: DialConfig, to: &str) -> Attempt {
    let known = Arc::new(known);
    let dialer = Dialer::new(known.clone(), Arc::new(Zeros), config);
    let (from, to) = (BareJid::new(FROM).unwrap(), BareJid::new(to).unwrap());
    let outcome = dialer.dial(&from, &to).await;
    let asked = known.asked.lock().unwrap().clone();
    Attempt { outcome, asked }
}

async fn outcome(known: Known, config: DialConfig, to: &str) -> Result<String, DialError> {
    let outcome = dial(known, config, to).await.outcome;
    outcome.map(|dialled| {
        let tls = if dialled.direct_tls { " tls" } else { "" };
        format!("{}{tls}", dialled.target)
    })
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port where nobody listens.
async fn closed() -> u16 {
    listen().await.1
}

const PLAIN: &str = "_xmpp-server._tcp.juliet.example.";
const DIRECT: &str = "_xmpps-server._tcp.juliet.example.";

#[tokio::test]
async fn the_server_that_the_domain_names_is_reached() {
    let (_listener, port) = listen().await;
    let known = Known::default()
        .srv(PLAIN, &[(0, port, "xmpp.juliet.example.")])
        .host("xmpp.juliet.example.", &["127.0.0.1"]);
    let dialled = dial(known, loopback(), "juliet.example").await;
    let target = format!("xmpp.juliet.example:{port} (127.0.0.1)");
    assert_eq!(dialled.outcome.unwrap().target, target);
    assert_eq!(dialled.asked, [PLAIN, DIRECT, "xmpp.juliet.example."]);
}

#[tokio::test(start_paused = true)]
async fn a_domain_with_patience_has_so_many_times_longer() {
    for (domain, seconds) in [("juliet.example", 30), ("slow.example", 600)] {
        let known = Known {
            silent: true,
            ..Known::default()
        };
        let mut config = loopback();
        config
            .patience
            .insert(BareJid::new("slow.example").unwrap(), 20);
        let began = tokio::time::Instant::now();
        assert_eq!(
            outcome(known, config, domain).await,
            Err(DialError::TimedOut)
        );
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

/// XEP-0368 §3: "all priorities and weights are mixed".
#[tokio::test]
async fn servers_with_direct_tls_take_their_place_among_the_others() {
    let (_first, first) = listen().await;
    let (_second, second) = listen().await;
    let known = || {
        Known::default()
            .host("a.example.", &["127.0.0.1"])
            .host("b.example.", &["127.0.0.1"])
    };
    let direct_first = known()
        .srv(PLAIN, &[(10, first, "a.example.")])
        .srv(DIRECT, &[(5, second, "b.example.")]);
    assert_eq!(
        outcome(direct_first, loopback(), "juliet.example").await,
        Ok(format!("b.example:{second} (127.0.0.1) tls"))
    );
    let direct_last = known()
        .srv(PLAIN, &[(10, first, "a.example.")])
        .srv(DIRECT, &[(15, second, "b.example.")]);
    assert_eq!(
        outcome(direct_last, loopback(), "juliet.example").await,
        Ok(format!("a.example:{first} (127.0.0.1)"))
    );
}

/// Whoever answers there may not speak TLS; what else the domain names has not been in vain then.
#[tokio::test]
async fn the_servers_behind_the_one_that_is_reached_can_be_dialled_too() {
    let (_first, first) = listen().await;
    let (_second, second) = listen().await;
    let known = Known::default()
        .host("a.example.", &["127.0.0.1"])
        .srv(DIRECT, &[(0, first, "a.example.")])
        .srv(
            PLAIN,
            &[(1, closed().await, "a.example."), (2, second, "a.example.")],
        );
    let dialled = dial(known, loopback(), "juliet.example").await.outcome;
    let dialled = dialled.unwrap();
    assert!(dialled.direct_tls);
    let [from, to] = [FROM, "juliet.example"].map(|domain| BareJid::new(domain).unwrap());
    let others = dialled.others.expect("there are others");
    let dialled = others.dial(&from, &to).await.unwrap();
    assert!(!dialled.direct_tls);
    assert_eq!(dialled.target, format!("a.example:{second} (127.0.0.1)"));
    assert!(dialled.others.is_none());
}

/// RFC 6120 §3.2.1: "fails to connect using all resolved IP addresses for a given FQDN, then it repeats the process of resolution and
/// connection for the next FQDN returned by the SRV lookup".
#[tokio::test]
async fn the_next_server_is_tried_when_one_is_closed_unknown_or_forbidden() {
    let (_listener, port) = listen().await;
    let known = Known::default()
        .srv(
            PLAIN,
            &[
                (0, closed().await, "closed.example."),
                (1, 5269, "unknown.example."),
                (2, 5269, "broken.example."),
                (3, 5269, "forbidden.example."),
                (4, port, "open.example."),
            ],
        )
        .host("closed.example.", &["127.0.0.1", "127.0.0.2"])
        .host_fails("broken.example.")
        .host("forbidden.example.", &["0.0.0.0"])
        .host("open.example.", &["127.0.0.1"]);
    assert_eq!(
        outcome(known, loopback(), "juliet.example").await,
        Ok(format!("open.example:{port} (127.0.0.1)"))
    );
}

/// RFC 6120 §3.2.1: it "SHOULD NOT attempt the fallback process".
#[tokio::test]
async fn there_is_no_fallback_when_the_servers_of_the_domain_do_not_answer() {
    let known = Known::default()
        .srv(PLAIN, &[(0, closed().await, "closed.example.")])
        .host("closed.example.", &["127.0.0.1"])
        .host("juliet.example.", &["127.0.0.1"]);
    let dialled = dial(known, loopback(), "juliet.example").await;
    assert_eq!(dialled.outcome.unwrap_err(), DialError::Unreachable);
    assert_eq!(dialled.asked, [PLAIN, DIRECT, "closed.example."]);
}

/// RFC 6120 §3.2.1: "the initiating entity MUST abort SRV processing at this point"; XEP-0368 §5: "The initiating party MUST NOT
/// perform A/AAAA fallback".
#[tokio::test]
async fn a_service_that_is_decidedly_not_there_is_not_looked_for() {
    let cases: [(&[_], &[_]); 3] = [
        (&[(0, 0, ".")], &[]),
        (&[], &[(0, 0, ".")]),
        (&[(0, 0, ".")], &[(0, 0, ".")]),
    ];
    for (plain, direct) in cases {
        let known = Known::default()
            .srv(PLAIN, plain)
            .srv(DIRECT, direct)
            .host("juliet.example.", &["127.0.0.1"]);
        let dialled = dial(known, loopback(), "juliet.example").await;
        assert_eq!(dialled.outcome.unwrap_err(), DialError::NotFound);
        assert_eq!(dialled.asked, [PLAIN, DIRECT]);
    }
    let (_listener, port) = listen().await;
    let known = Known::default()
        .srv(PLAIN, &[(9, port, "a.example.")])
        .srv(DIRECT, &[(0, 0, ".")])
        .host("a.example.", &["127.0.0.1"]);
    assert_eq!(
        outcome(known, loopback(), "juliet.example").await,
        Ok(format!("a.example:{port} (127.0.0.1)"))
    );
}

/// RFC 6120 §3.2.2.
#[tokio::test]
async fn a_domain_that_names_no_server_is_looked_for_at_its_own_address() {
    let known = Known::default().host("juliet.example.", &["127.53.53.53"]);
    let dialled = dial(known, loopback(), "juliet.example").await;
    assert_eq!(dialled.outcome.unwrap_err(), DialError::NoAnswer);
    assert_eq!(dialled.asked, [PLAIN, DIRECT, "juliet.example."]);
    let listener = TcpListener::bind(("127.53.53.54", PORT)).await;
    let Ok(_listener) = listener else {
        return; // the system has no other loopback addresses
    };
    let known = Known::default().host("juliet.example.", &["127.53.53.54"]);
    assert_eq!(
        outcome(known, loopback(), "juliet.example").await,
        Ok("juliet.example:5269 (127.53.53.54)".to_owned())
    );
}

#[tokio::test]
async fn an_address_is_dialled_as_it_is() {
    for domain in ["127.53.53.55", "[::1]"] {
        let dialled = dial(Known::default(), loopback(), domain).await;
        assert_eq!(dialled.outcome.unwrap_err(), DialError::NoAnswer);
        assert_eq!(dialled.asked, [""; 0]);
        let refused = outcome(Known::default(), DialConfig::default(), domain).await;
        assert_eq!(refused, Err(DialError::Forbidden));
    }
}

#[tokio::test]
async fn a_domain_that_is_not_there_is_told_from_a_name_service_that_fails() {
    let nothing = Known::default();
    let found = outcome(nothing, loopback(), "juliet.example").await;
    assert_eq!(found, Err(DialError::NotFound));
    for known in [
        Known::default().srv_fails(PLAIN),
        Known::default().srv_fails(DIRECT),
        Known::default().host_fails("juliet.example."),
    ] {
        let dialled = dial(known, loopback(), "juliet.example").await;
        assert_eq!(dialled.outcome.unwrap_err(), DialError::Unresolved);
        assert_eq!(dialled.asked.len(), 3, "the fallback was tried");
    }
}

#[tokio::test]
async fn one_answer_is_enough_if_the_other_fails() {
    let (_listener, port) = listen().await;
    let known = Known::default()
        .srv_fails(DIRECT)
        .srv(PLAIN, &[(0, port, "a.example.")])
        .host("a.example.", &["127.0.0.1"]);
    assert_eq!(
        outcome(known, loopback(), "juliet.example").await,
        Ok(format!("a.example:{port} (127.0.0.1)"))
    );
}

#[tokio::test]
async fn a_domain_cannot_make_us_connect_to_our_own_network() {
    let (listener, port) = listen().await;
    let known = Known::default()
        .srv(PLAIN, &[(0, port, "a.example."), (1, port, "127.0.0.1")])
        .srv(DIRECT, &[(0, port, "b.example.")])
        .host("a.example.", &["127.0.0.1", "::ffff:127.0.0.1"])
        .host("b.example.", &["10.0.0.1", "fd00::1"]);
    let found = outcome(known, DialConfig::default(), "juliet.example").await;
    assert_eq!(found, Err(DialError::Forbidden));
    let connected = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(connected.is_err(), "somebody connected");
}

/// RFC 6120 §3.2.3.
#[tokio::test]
async fn a_pinned_host_is_used_whatever_dns_and_the_policy_say() {
    let (_listener, port) = listen().await;
    for (host, shown) in [
        ("127.0.0.1", "127.0.0.1"),
        ("peer.internal", "peer.internal"),
        ("peer.internal.", "peer.internal"),
    ] {
        let mut config = DialConfig::default();
        let target = Target {
            host: host.to_owned(),
            port,
            direct_tls: true,
        };
        let domain = BareJid::new("juliet.example").unwrap();
        config.hosts.insert(domain, target);
        let known = Known::default()
            .srv(PLAIN, &[(0, 0, ".")])
            .host("peer.internal.", &["127.0.0.1"]);
        assert_eq!(
            outcome(known, config, "juliet.example").await,
            Ok(format!("{shown}:{port} (127.0.0.1) tls"))
        );
    }
}

#[tokio::test]
async fn what_may_be_dialled_can_change() {
    let (_listener, port) = listen().await;
    let known = Known::default()
        .srv(PLAIN, &[(0, port, "a.example.")])
        .host("a.example.", &["127.0.0.1"]);
    let dialer = Dialer::new(Arc::new(known), Arc::new(Zeros), DialConfig::default());
    let (from, to) = (
        BareJid::new(FROM).unwrap(),
        BareJid::new("juliet.example").unwrap(),
    );
    let refused = dialer.dial(&from, &to).await.unwrap_err();
    assert_eq!(refused, DialError::Forbidden);
    dialer.clone().replace(loopback());
    let dialled = dialer.dial(&from, &to).await.unwrap();
    assert_eq!(dialled.target, format!("a.example:{port} (127.0.0.1)"));
}

#[tokio::test]
async fn names_are_asked_for_in_a_labels() {
    let dialled = dial(Known::default(), loopback(), "bücher.example").await;
    assert_eq!(
        dialled.asked,
        [
            "_xmpp-server._tcp.xn--bcher-kva.example.",
            "_xmpps-server._tcp.xn--bcher-kva.example.",
            "xn--bcher-kva.example."
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn it_all_ends_in_time() {
    let known = Known {
        silent: true,
        ..Known::default()
    };
    let began = tokio::time::Instant::now();
    let found = outcome(known, loopback(), "juliet.example").await;
    assert_eq!(found, Err(DialError::TimedOut));
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn however_many_servers_and_addresses_there_are_some_are_tried() {
    let port = closed().await;
    let records: Vec<_> = (0..100).map(|n| (n, port, "many.example.")).collect();
    let addresses: Vec<_> = (1..=100).map(|n| format!("127.0.1.{n}")).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let known = Known::default()
        .srv(PLAIN, &records)
        .host("many.example.", &addresses);
    let dialled = dial(known, loopback(), "juliet.example").await;
    assert_eq!(dialled.outcome.unwrap_err(), DialError::Unreachable);
    assert_eq!(dialled.asked.len(), 2 + TARGETS_MAX);
}

#[test]
fn what_senders_are_told() {
    use crate::stanza::Condition::{RemoteServerNotFound, RemoteServerTimeout};
    for (error, condition) in [
        (DialError::NotFound, RemoteServerNotFound),
        (DialError::NoAnswer, RemoteServerNotFound),
        (DialError::Forbidden, RemoteServerNotFound),
        (DialError::Unresolved, RemoteServerTimeout),
        (DialError::Unreachable, RemoteServerTimeout),
        (DialError::TimedOut, RemoteServerTimeout),
    ] {
        assert_eq!(error.condition(), condition, "{error}");
    }
}

#![allow(clippy::disallowed_methods)] // clocks and tasks of tests

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::frame::VERSIONS;
use crate::node::{Incarnation, Life};
use crate::transport::conformance;
use crate::transport::network::{free_address, swallower};

/// A cluster's certificates, in a folder.
struct Site {
    folder: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
    listening: Mutex<Vec<String>>,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let names = &mut parameters.distinguished_name;
        names.push(DnType::CommonName, "nodes of a cluster");
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("authority.crt.pem"), certificate).unwrap();
        Site {
            folder,
            authority: Issuer::new(parameters, key),
            listening: Mutex::default(),
        }
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    /// A node with a certificate of this site's authority, that connects to all that were made before.
    fn config(&self, name: &str) -> Config {
        let mut parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let names = &mut parameters.distinguished_name;
        names.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.authority).unwrap().pem();
        let (crt, pem) = (format!("{name}.crt.pem"), format!("{name}.key.pem"));
        std::fs::write(self.path(&crt), certificate).unwrap();
        std::fs::write(self.path(&pem), key.serialize_pem()).unwrap();
        let mut config = Config::new(
            "test".parse().unwrap(),
            self.path("authority.crt.pem"),
            self.path(&crt),
            self.path(&pem),
        );
        let mut listening = self.listening.lock().unwrap();
        config.connect = listening.clone();
        config.listen = vec![free_address().to_string()];
        listening.extend(config.listen.clone());
        config
    }
}

fn info(name: &str) -> NodeInfo {
    NodeInfo {
        life: Life {
            node: name.parse().unwrap(),
            incarnation: Incarnation(1),
        },
        site: "main".parse().unwrap(),
        versions: VERSIONS,
    }
}

async fn join(config: Config, name: &str) -> (Zenoh, mpsc::Receiver<Event>) {
    let node = Zenoh::new(config);
    let (sender, events) = mpsc::channel(1024);
    node.join(info(name), sender).await.unwrap();
    (node, events)
}

/// The next frame, within so long.
async fn frame(events: &mut mpsc::Receiver<Event>, within: Duration) -> Option<(NodeId, Bytes)> {
    let next = async {
        loop {
            match events.next().await {
                Some(Event::Frame(from, frame)) => return (from, frame),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    };
    tokio::time::timeout(within, next).await.ok()
}

async fn hint(events: &mut mpsc::Receiver<Event>, up: bool, node: &str) {
    let next = async {
        loop {
            match events.next().await.unwrap() {
                Event::Up(who) if up && who.as_str() == node => return,
                Event::Down(who) if !up && who.as_str() == node => return,
                _ => {}
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), next).await;
    waited.unwrap_or_else(|_| panic!("{node} is not said to be up: {up}"));
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_an_engine() {
    let (site, n) = (Site::new(), AtomicUsize::new(0));
    conformance::transport(|| {
        let n = n.fetch_add(1, Ordering::Relaxed);
        Zenoh::new(site.config(&format!("n{n}")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_were_told_of_one_find_each_other() {
    let site = Site::new();
    let (_a, mut of_a) = join(site.config("a"), "a").await;
    let mut config = site.config("b");
    let first = config.connect.clone();
    let (b, _of_b) = join(config, "b").await;
    config = site.config("c");
    config.connect = first;
    let (_c, mut of_c) = join(config, "c").await;
    hint(&mut of_a, true, "c").await;
    hint(&mut of_c, true, "b").await;
    let c = "c".parse().unwrap();
    b.send(&c, Class::Live, Bytes::from_static(b"hello"))
        .unwrap();
    let heard = frame(&mut of_c, SOON).await;
    assert_eq!(
        heard,
        Some(("b".parse().unwrap(), Bytes::from_static(b"hello")))
    );
}

/// Of another authority, or with none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_not_let_in_and_hears_nothing() {
    let (site, elsewhere) = (Site::new(), Site::new());
    let (a, mut of_a) = join(site.config("a"), "a").await;
    let mut forged = elsewhere.config("b");
    forged.connect = site.listening.lock().unwrap().clone();
    // It would believe anybody.
    forged.authority = site.path("authority.crt.pem");
    let (b, mut of_b) = join(forged, "b").await;
    let (to_a, to_b) = ("a".parse().unwrap(), "b".parse().unwrap());
    for _ in 0..10 {
        b.send(&to_a, Class::Control, Bytes::from_static(b"let me in"))
            .unwrap();
        b.publish(Scope::All, Bytes::from_static(b"let me in"))
            .unwrap();
        a.send(&to_b, Class::Control, Bytes::from_static(b"secret"))
            .unwrap();
        a.publish(Scope::All, Bytes::from_static(b"secret"))
            .unwrap();
        assert_eq!(frame(&mut of_a, Duration::from_millis(100)).await, None);
        assert_eq!(frame(&mut of_b, Duration::from_millis(100)).await, None);
    }
    let asked = b.request(&to_a, Bytes::new(), Duration::from_millis(500));
    assert!(asked.await.is_err());
    // One that is of the cluster is let in meanwhile: the test would notice.
    let (c, _of_c) = join(site.config("c"), "c").await;
    c.send(&to_a, Class::Control, Bytes::from_static(b"hello"))
        .unwrap();
    let heard = frame(&mut of_a, SOON).await;
    assert_eq!(heard.unwrap().0.as_str(), "c");
}

fn names(nodes: &[&str], routers: &[&str]) -> Option<Names> {
    let all = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    Some(Names {
        nodes: all(nodes),
        routers: all(routers),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_names_it_is_an_engine() {
    let (site, n) = (Site::new(), AtomicUsize::new(0));
    let certified = ["conformance-a", "conformance-b", "conformance-c"];
    conformance::transport(|| {
        let n = n.fetch_add(1, Ordering::Relaxed);
        let mut config = site.config(certified.get(n).unwrap_or(&certified[0]));
        config.names = names(&certified, &[]);
        // Later ones are a's twin and b's next life.
        if n > 3 {
            config = site.config(certified[1]);
            config.names = names(&certified, &[]);
        }
        Zenoh::new(config)
    })
    .await;
}

/// A certificate of the authority is not enough to be another, or to be anybody who is not named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_in_the_name_of_another_or_hears_what_is_for_another() {
    let site = Site::new();
    let start = async |certified: &str, name: &str| {
        let mut config = site.config(certified);
        config.names = names(&["a", "b", "c"], &[]);
        join(config, name).await
    };
    let (a, mut of_a) = start("a", "a").await;
    let (forged, mut of_forged) = start("b", "c").await;
    let (nobody, mut of_nobody) = start("d", "d").await;
    let (as_b, mut of_as_b) = start("e", "b").await;
    let (to_a, to_c) = ("a".parse().unwrap(), "c".parse().unwrap());
    for _ in 0..5 {
        for stranger in [&forged, &nobody, &as_b] {
            let text = Bytes::from_static(b"believe me");
            let _ = stranger.send(&to_a, Class::Live, text.clone());
            let _ = stranger.publish(Scope::All, text);
        }
        a.send(&to_c, Class::Live, Bytes::from_static(b"for c"))
            .unwrap();
        a.publish(
            Scope::Site("main".parse().unwrap()),
            Bytes::from_static(b"for the site"),
        )
        .unwrap();
        assert_eq!(frame(&mut of_a, Duration::from_millis(100)).await, None);
        for of in [&mut of_nobody, &mut of_as_b] {
            assert_eq!(frame(of, Duration::from_millis(50)).await, None);
        }
        // It is of the site, whatever it says.
        while let Some((from, text)) = frame(&mut of_forged, Duration::from_millis(50)).await {
            assert_eq!((from.as_str(), &text[..]), ("a", &b"for the site"[..]));
        }
    }
    for stranger in [&forged, &nobody, &as_b] {
        let asked = stranger.request(&to_a, Bytes::new(), Duration::from_millis(300));
        assert!(asked.await.is_err());
    }
    // The real one is heard, and hears: the test would notice.
    let (c, mut of_c) = start("c", "c").await;
    let hello = Bytes::from_static(b"hello");
    let meet = async {
        loop {
            c.send(&to_a, Class::Live, hello.clone()).unwrap();
            a.send(&to_c, Class::Live, hello.clone()).unwrap();
            let of_a = frame(&mut of_a, Duration::from_millis(200)).await;
            let of_c = frame(&mut of_c, Duration::from_millis(200)).await;
            if let (Some(of_a), Some(of_c)) = (of_a, of_c) {
                return (of_a, of_c);
            }
        }
    };
    let (at_a, at_c) = tokio::time::timeout(SOON, meet).await.unwrap();
    assert_eq!((at_a.0, at_a.1), (to_c.clone(), hello.clone()));
    assert_eq!((at_c.0, at_c.1), (to_a.clone(), hello.clone()));
}

/// What stands between sites is believed: it hands on what others say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_are_joined_by_routers() {
    let site = Site::new();
    let all = || names(&["a", "b"], &["north", "south"]);
    let start = async |name: &str, role, connect: Option<&str>| {
        let mut config = site.config(name);
        config.names = all();
        config.role = role;
        config.connect = connect.iter().map(|at| (*at).to_owned()).collect();
        let at = config.listen[0].clone();
        (join(config, name).await, at)
    };
    let (_north, at_north) = start("north", Role::Router, None).await;
    let (_south, at_south) = start("south", Role::Router, Some(&at_north)).await;
    let ((a, mut of_a), _) = start("a", Role::Peer, Some(&at_north)).await;
    let ((b, mut of_b), _) = start("b", Role::Peer, Some(&at_south)).await;
    hint(&mut of_a, true, "b").await;
    hint(&mut of_b, true, "a").await;
    let (to_a, to_b): (NodeId, NodeId) = ("a".parse().unwrap(), "b".parse().unwrap());
    a.send(&to_b, Class::Live, Bytes::from_static(b"there"))
        .unwrap();
    assert_eq!(
        frame(&mut of_b, SOON).await,
        Some((to_a.clone(), Bytes::from_static(b"there")))
    );
    b.send(&to_a, Class::Live, Bytes::from_static(b"back"))
        .unwrap();
    assert_eq!(
        frame(&mut of_a, SOON).await,
        Some((to_b, Bytes::from_static(b"back")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_peer_that_is_gone_and_it_is_found_again() {
    let site = Site::new();
    let (_a, mut of_a) = join(site.config("a"), "a").await;
    let at: SocketAddr = site.listening.lock().unwrap()[0].parse().unwrap();
    let (by, mute) = swallower(at).await;
    let mut config = site.config("b");
    config.listen = Vec::new();
    config.connect = vec![by.to_string()];
    let (b, mut of_b) = join(config, "b").await;
    let a: NodeId = "a".parse().unwrap();
    hint(&mut of_b, true, "a").await;
    b.send(&a, Class::Live, Bytes::from_static(b"before"))
        .unwrap();
    assert!(frame(&mut of_a, SOON).await.is_some());

    mute.store(true, Ordering::Relaxed);
    let (mut longest, began) = (Duration::ZERO, Instant::now());
    let mut noticed = None;
    while began.elapsed() < Duration::from_secs(8) {
        let asked = Instant::now();
        let frame = Bytes::from(vec![0; 2000]);
        for class in [Class::Control, Class::Live, Class::CatchUp] {
            let _ = b.send(&a, class, frame.clone());
        }
        longest = longest.max(asked.elapsed());
        while let Ok(event) = of_b.try_recv() {
            if matches!(&event, Event::Down(node) if *node == a) {
                noticed.get_or_insert(began.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("cut of 8 s: the longest send {longest:?}, noticed after {noticed:?}");
    // Its own bound is 3 x 0.5 ms; a blocking one would be 5 s.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(noticed.is_some());
    let healed = Instant::now();
    mute.store(false, Ordering::Relaxed);
    let back = async {
        loop {
            let _ = b.send(&a, Class::Live, Bytes::from_static(b"after"));
            if let Some((_, text)) = frame(&mut of_a, Duration::from_millis(50)).await
                && text == "after"
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back)
        .await
        .unwrap();
    println!("back {:?} after the heal", healed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_files_says_what_is_missing() {
    let site = Site::new();
    let mut config = site.config("a");
    config.certificate = Path::new("nowhere.pem").into();
    let joined = Zenoh::new(config).join(info("a"), mpsc::channel(1).0).await;
    let Err(JoinError::Engine(what)) = joined else {
        panic!("{joined:?}")
    };
    assert!(
        what.contains("nowhere.pem") || what.contains("No such file"),
        "{what}"
    );
}

#![allow(clippy::disallowed_methods)] // clocks and tasks of tests

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::frame::VERSIONS;
use crate::node::{Incarnation, Life};
use crate::transport::conformance;
use crate::transport::network::{free_address, swallower};

const SOON: Duration = Duration::from_secs(20);

/// A server, in a folder of its own.
struct Server {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// With these settings; what there is in them of "FOLDER" is its folder.
    fn start(settings: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nats.conf");
        let path = folder.path().to_str().unwrap();
        std::fs::write(&file, settings.replace("FOLDER", path)).unwrap();
        Server::run(folder, &file, free_address())
    }

    fn run(folder: tempfile::TempDir, file: &Path, address: SocketAddr) -> Server {
        let arguments = vec![
            "--config".to_owned(),
            file.to_str().unwrap().to_owned(),
            "--addr".to_owned(),
            address.ip().to_string(),
            "--port".to_owned(),
            address.port().to_string(),
        ];
        let child = spawn(&arguments, folder.path());
        let server = Server {
            folder,
            arguments,
            address,
            child,
        };
        server.wait();
        server
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(begun.elapsed() < SOON, "it does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = spawn(&self.arguments, self.folder.path());
        self.wait();
    }

    fn config(&self) -> Config {
        let servers = vec![self.address.to_string()];
        Config::new("xmpp".parse().unwrap(), servers)
    }

    fn of(&self, user: &str, password: &str) -> Config {
        let mut config = self.config();
        config.login = Some(Login::Password {
            user: user.into(),
            password: password.into(),
        });
        config
    }
}

fn spawn(arguments: &[String], folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("nats-server");
    command.args(arguments).stdout(Stdio::null()).stderr(log);
    command.spawn().expect(
        "these tests run nats-server (Debian's package nats-server; .ci/install brings it in)",
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn info(name: &str, site: &str) -> NodeInfo {
    NodeInfo {
        life: Life {
            node: name.parse().unwrap(),
            incarnation: Incarnation(1),
        },
        site: site.parse().unwrap(),
        versions: VERSIONS,
    }
}

async fn join(config: Config, name: &str) -> (Nats, mpsc::Receiver<Event>) {
    let node = Nats::new(config);
    let (sender, events) = mpsc::channel(1024);
    node.join(info(name, "main"), sender).await.unwrap();
    (node, events)
}

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

/// Sends until it comes, or the time is over.
async fn arrives(from: &Nats, to: &str, events: &mut mpsc::Receiver<Event>, text: &'static str) {
    let to = to.parse().unwrap();
    let sending = async {
        loop {
            let _ = from.send(&to, Class::Live, Bytes::from_static(text.as_bytes()));
            let heard = frame(events, Duration::from_millis(50)).await;
            if heard.is_some_and(|(_, heard)| heard == text) {
                return;
            }
        }
    };
    let arrived = tokio::time::timeout(SOON, sending).await;
    arrived.unwrap_or_else(|_| panic!("{text} does not arrive"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_an_engine() {
    let server = Server::start("");
    conformance::transport(|| Nats::new(server.config())).await;
}

fn shipped() -> Server {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster/nats.conf");
    Server::run(tempfile::tempdir().unwrap(), &file, free_address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_permissions_of_the_example_all_that_a_node_needs_is_allowed() {
    let server = shipped();
    let (a, mut of_a) = join(server.of("a", "password of a"), "a").await;
    let (b, mut of_b) = join(server.of("b", "password of b"), "b").await;
    let first = of_a.next().await;
    assert!(matches!(first, Some(Event::Up(node)) if node.as_str() == "b"));
    for class in [Class::Control, Class::Live, Class::CatchUp] {
        b.send(&"a".parse().unwrap(), class, Bytes::from_static(b"hello"))
            .unwrap();
        let heard = frame(&mut of_a, SOON).await;
        assert_eq!(
            heard,
            Some(("b".parse().unwrap(), Bytes::from_static(b"hello")))
        );
    }
    a.publish(Scope::All, Bytes::from_static(b"all")).unwrap();
    assert_eq!(frame(&mut of_b, SOON).await.unwrap().1, "all");
    a.publish(
        Scope::Site("main".parse().unwrap()),
        Bytes::from_static(b"main"),
    )
    .unwrap();
    assert_eq!(frame(&mut of_b, SOON).await.unwrap().1, "main");
    let to_b = "b".parse().unwrap();
    let answer = async {
        loop {
            if let Event::Request(_, question, answer) = of_b.next().await.unwrap() {
                return answer.give(question);
            }
        }
    };
    let asked = a.request(&to_b, Bytes::from_static(b"?"), SOON);
    let (answered, ()) = futures::join!(asked, answer);
    assert_eq!(answered, Ok(Bytes::from_static(b"?")));
    // One that is dropped is no answer.
    let dropped = async { while !matches!(of_b.next().await.unwrap(), Event::Request(..)) {} };
    let asked = a.request(&to_b, Bytes::new(), SOON);
    let (answered, ()) = futures::join!(asked, dropped);
    assert_eq!(answered, Err(RequestError::Unreachable));
    let twin = Nats::new(server.of("a", "password of a"));
    let joined = twin.join(info("a", "main"), mpsc::channel(1).0).await;
    assert_eq!(joined, Err(JoinError::Taken));
    b.leave().await;
    let gone = async {
        while !matches!(of_a.next().await.unwrap(), Event::Down(node) if node.as_str() == "b") {}
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_and_nobody_speaks_in_the_name_of_another() {
    let server = shipped();
    for config in [
        server.config(),
        server.of("a", "password of b"),
        server.of("d", ""),
    ] {
        let joined = Nats::new(config)
            .join(info("a", "main"), mpsc::channel(1).0)
            .await;
        assert!(matches!(joined, Err(JoinError::Engine(_))), "{joined:?}");
    }
    let (_a, mut of_a) = join(server.of("a", "password of a"), "a").await;
    // The user b, as the node c: what it hears is not its own, what it says is not let through.
    let (forged, mut heard) = join(server.of("b", "password of b"), "c").await;
    let (c, mut of_c) = join(server.of("c", "password of c"), "c").await;
    forged
        .send(
            &"a".parse().unwrap(),
            Class::Live,
            Bytes::from_static(b"I am c"),
        )
        .unwrap();
    forged
        .publish(Scope::All, Bytes::from_static(b"I am c"))
        .unwrap();
    let secret = Bytes::from_static(b"for c");
    let (b, _of_b) = join(server.of("b", "password of b"), "b").await;
    b.send(&"c".parse().unwrap(), Class::Live, secret.clone())
        .unwrap();
    assert_eq!(frame(&mut of_c, SOON).await.unwrap().1, secret);
    assert_eq!(frame(&mut heard, Duration::from_millis(200)).await, None);
    assert_eq!(frame(&mut of_a, Duration::from_millis(200)).await, None);
    // The real one is heard: the test would notice.
    c.send(
        &"a".parse().unwrap(),
        Class::Live,
        Bytes::from_static(b"I am c"),
    )
    .unwrap();
    assert_eq!(frame(&mut of_a, SOON).await.unwrap().0.as_str(), "c");
}

/// Whoever asks says where the answer goes. If that was believed, a node could have others say what it likes, in their names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_another_speak_for_it() {
    let server = shipped();
    let (_a, mut of_a) = join(server.of("a", "password of a"), "a").await;
    let (_b, mut of_b) = join(server.of("b", "password of b"), "b").await;
    let c = server.of("c", "password of c");
    let c = c.connect(&"c".parse().unwrap(), "by hand").await.unwrap();
    for what in ["ask", "who"] {
        let subject = format!("xmpp.from.c.{what}.b");
        let said = Bytes::from_static(b"?");
        c.publish_with_reply(subject, "xmpp.from.b.to.a.live", said)
            .await
            .unwrap();
    }
    let answered = tokio::spawn(async move {
        while let Some(event) = of_b.next().await {
            if let Event::Request(.., answer) = event {
                answer.give(Bytes::from_static(b"I am b"));
            }
        }
    });
    assert_eq!(frame(&mut of_a, Duration::from_millis(500)).await, None);
    // To itself it may be answered.
    let request = Request::new().timeout(Some(SOON));
    let asked = c.send_request("xmpp.from.c.ask.b", request).await;
    assert_eq!(asked.unwrap().payload, "I am b");
    answered.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_another_from_the_next_connection_on() {
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("a.nk");
    let new_key = || {
        let key = nkeys::KeyPair::new_user();
        std::fs::write(&seed, format!("{}\n", key.seed().unwrap())).unwrap();
        format!(
            "authorization {{ users: [ {{ nkey: {} }} ] }}",
            key.public_key()
        )
    };
    let mut server = Server::start(&new_key());
    let mut config = server.config();
    config.login = Some(Login::Key(seed.clone()));
    let (a, mut of_a) = join(config.clone(), "a").await;
    let (b, _of_b) = join(config.clone(), "b").await;
    arrives(&b, "a", &mut of_a, "before").await;
    server.kill();
    std::fs::write(server.folder.path().join("nats.conf"), new_key()).unwrap();
    server.again();
    arrives(&b, "a", &mut of_a, "after").await;
    drop((a, b));
    // One that the server does not know, and none.
    new_key();
    let refused = Nats::new(config);
    let joined = refused.join(info("a", "main"), mpsc::channel(1).0).await;
    assert!(matches!(joined, Err(JoinError::Engine(_))), "{joined:?}");
    std::fs::remove_file(&seed).unwrap();
    let joined = refused.join(info("a", "main"), mpsc::channel(1).0).await;
    let Err(JoinError::Engine(why)) = joined else {
        panic!("{joined:?}")
    };
    assert!(why.contains("a.nk"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_server_that_says_nothing_and_it_is_found_again() {
    let server = Server::start("");
    let (by, mute) = swallower(server.address).await;
    let mut config = server.config();
    config.servers = vec![by.to_string()];
    let (a, _of_a) = join(config, "a").await;
    let (_b, mut of_b) = join(server.config(), "b").await;
    arrives(&a, "b", &mut of_b, "before").await;

    mute.store(true, Ordering::Relaxed);
    let (b, began) = ("b".parse().unwrap(), Instant::now());
    let within = Duration::from_millis(300);
    let mut longest = Duration::ZERO;
    // Until the client itself says so: it asks the server, and waits for the answer.
    let noticed = loop {
        let asked = Instant::now();
        let frame = Bytes::from(vec![0; 2000]);
        let sent = a.send(&b, Class::Live, frame.clone());
        let _ = a.send(&b, Class::Control, frame);
        longest = longest.max(asked.elapsed());
        if sent == Err(SendError::Unreachable) {
            break began.elapsed();
        }
        let asked = Instant::now();
        assert!(a.request(&b, Bytes::new(), within).await.is_err());
        assert!(asked.elapsed() < within + Duration::from_secs(2));
        assert!(began.elapsed() < SOON, "it is not noticed");
    };
    println!("the longest send {longest:?}, noticed after {noticed:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let asked = a.request(&b, Bytes::new(), SOON).await;
    assert_eq!(asked, Err(RequestError::Unreachable), "and at once");
    mute.store(false, Ordering::Relaxed);
    let healed = Instant::now();
    arrives(&a, "b", &mut of_b, "after").await;
    println!("back {:?} after the heal", healed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_holds_up_nobody_and_is_found_again() {
    let mut server = Server::start("");
    let (a, _of_a) = join(server.config(), "a").await;
    let (_b, mut of_b) = join(server.config(), "b").await;
    arrives(&a, "b", &mut of_b, "before").await;
    server.kill();
    let refused = async {
        let b = "b".parse().unwrap();
        while a.send(&b, Class::Live, Bytes::from_static(b"lost")).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    server.again();
    arrives(&a, "b", &mut of_b, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_of_servers_goes_to_another_when_its_own_is_killed() {
    let routes: Vec<SocketAddr> = (0..3).map(|_| free_address()).collect();
    let all: Vec<String> = routes
        .iter()
        .map(|at| format!("\"nats-route://{at}\""))
        .collect();
    let mut servers: Vec<Server> = routes
        .iter()
        .map(|at| {
            Server::start(&format!(
                "cluster {{ name: site, listen: \"{at}\", routes: [{}] }}",
                all.join(", ")
            ))
        })
        .collect();
    let mut config = servers[0].config();
    config.servers = servers
        .iter()
        .map(|server| server.address.to_string())
        .collect();
    let (a, _of_a) = join(config.clone(), "a").await;
    let (_b, mut of_b) = join(config, "b").await;
    arrives(&a, "b", &mut of_b, "before").await;
    for n in 0..3 {
        servers[n].kill();
        arrives(&a, "b", &mut of_b, ["0", "1", "2"][n]).await;
        servers[n].again();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_are_joined_by_a_leaf_node() {
    let door = free_address();
    let hub = Server::start(&format!("leafnodes {{ listen: \"{door}\" }}"));
    let leaf = Server::start(&format!(
        "leafnodes {{ remotes: [ {{ url: \"nats-leaf://{door}\" }} ] }}"
    ));
    let (a, _of_a) = join(hub.config(), "a").await;
    let (_b, mut of_b) = join(leaf.config(), "b").await;
    arrives(&a, "b", &mut of_b, "from the other site").await;
}

/// Certificates: one of the server, one of the user, of one authority.
fn certificates(folder: &Path) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap().pem();
    std::fs::write(folder.join("authority.pem"), authority).unwrap();
    let issuer = Issuer::new(parameters, key);
    for name in ["server", "a"] {
        let names = vec!["127.0.0.1".to_owned(), name.to_owned()];
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap().pem();
        std::fs::write(folder.join(format!("{name}.crt")), certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_says_who_a_node_is() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let settings = format!(
        "tls {{ cert_file: \"{0}/server.crt\", key_file: \"{0}/server.key\", ca_file: \"{0}/authority.pem\", verify_and_map: true }}
         authorization {{ users: [ {{ user: \"CN=a\" }}, {{ user: \"a\" }} ] }}",
        folder.path().display()
    );
    let server = Server::start(&settings);
    let path = |file: &str| -> PathBuf { folder.path().join(file) };
    let mut config = server.config();
    let mut tls = Tls {
        authorities: Some(path("authority.pem")),
        certificate: Some((path("a.crt"), path("a.key"))),
    };
    config.tls = Some(tls.clone());
    let (a, mut of_a) = join(config.clone(), "a").await;
    let (b, _of_b) = join(config.clone(), "b").await;
    arrives(&b, "a", &mut of_a, "encrypted").await;
    a.leave().await;
    tls.certificate = None;
    config.tls = Some(tls);
    let joined = Nats::new(config)
        .join(info("c", "main"), mpsc::channel(1).0)
        .await;
    assert!(matches!(joined, Err(JoinError::Engine(_))), "{joined:?}");
}

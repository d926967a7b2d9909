//! Two servers in one process, and cables between them that are cut after some bytes, again and again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // they run on tokio

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use xmpp_core::io::dial::{Dial, DialError, Dialled};
use xmpp_core::io::s2s::{Authorities, Config, Federation, Gate, PeerTls, Peers, Rules, Setup};
use xmpp_core::io::{Identity, Security, surroundings};
use xmpp_core::mailbox::{Origin, Outcome, Settlement, SmPoint};
use xmpp_core::module::{Hooks, LinkWatcher, Module};
use xmpp_core::s2s::links::LinkEvent;
use xmpp_core::s2s::{Compression, Policy};
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Domain, Server};
use xmpp_core::session::Session;
use xmpp_core::stanza::{Kind, Stanza};
use xmpp_core::{BareJid, FullJid, Jid, im};
use xmpp_sm::StreamManagement;

/// Nothing here takes so long, on a machine that does many other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who vouches for servers: then a key needs no call back, which would fail when the cable the other way is cut.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    Authority { issuer, pem }
});

impl Authority {
    /// The certificate of this domain, and trust in those of others.
    fn tls(&self, domain: &str) -> PeerTls {
        let parameters = CertificateParams::new(vec![domain.into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let chain = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let authorities = Authorities::from_pem(self.pem.as_bytes()).unwrap();
        PeerTls::new(vec![(domain.into(), identity)], authorities).unwrap()
    }
}

/// Which server has a domain, and after how many bytes the next cable is cut.
#[derive(Clone, Default)]
struct Net(Arc<Wires>);

#[derive(Default)]
struct Wires {
    sites: Mutex<Vec<(String, Federation)>>,
    dialled: AtomicUsize,
    random: AtomicU64,
    /// At most so many bytes go through a cable; zero: no cable is cut.
    cut: AtomicU64,
}

impl Wires {
    /// Some number below this; splitmix64.
    fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let x = self
            .random
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

#[async_trait]
impl Dial for Net {
    async fn dial(&self, _: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let sites = self.0.sites.lock().unwrap();
        let site = sites.iter().find(|(domain, _)| domain == to.as_str());
        let (_, site) = site.ok_or(DialError::NotFound)?;
        let (ours, near) = tokio::io::duplex(64 * 1024);
        let (far, theirs) = tokio::io::duplex(64 * 1024);
        site.connect(theirs, Some([192, 0, 2, 1].into()), Security::StartTls);
        self.0.dialled.fetch_add(1, Ordering::Relaxed);
        let cut = self.0.cut.load(Ordering::Relaxed);
        let bytes = if cut == 0 {
            u64::MAX
        } else {
            self.0.below(cut)
        };
        tokio::spawn(cable(near, far, bytes));
        Ok(Dialled {
            stream: Box::new(ours),
            direct_tls: false,
            target: to.to_string(),
            others: None,
        })
    }
}

/// Carries so many bytes, in small pieces, and is gone.
async fn cable(near: impl AsyncRead + AsyncWrite, far: impl AsyncRead + AsyncWrite, bytes: u64) {
    let left = AtomicU64::new(bytes);
    let (near_in, near_out) = tokio::io::split(near);
    let (far_in, far_out) = tokio::io::split(far);
    tokio::select! {
        () = carry(near_in, far_out, &left) => {}
        () = carry(far_in, near_out, &left) => {}
    }
}

async fn carry(from: impl AsyncRead, to: impl AsyncWrite, left: &AtomicU64) {
    let (mut from, mut to) = (Box::pin(from), Box::pin(to));
    let mut chunk = [0; 512];
    loop {
        let read = from.read(&mut chunk).await.unwrap_or(0) as u64;
        let may = left.load(Ordering::Relaxed).min(read);
        left.fetch_sub(may, Ordering::Relaxed);
        if to.write_all(&chunk[..may as usize]).await.is_err() || read == 0 || may < read {
            return;
        }
    }
}

/// Counts what is told of the links.
#[derive(Default)]
struct Told {
    resumed: AtomicUsize,
    acked: AtomicUsize,
}

struct Watch(Arc<Told>);

impl Module for Watch {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.watch_links(self);
    }
}

impl LinkWatcher for Watch {
    fn link(&self, event: &LinkEvent, _: &Server) {
        match event {
            LinkEvent::Up { resumed: true, .. } => {
                self.0.resumed.fetch_add(1, Ordering::Relaxed);
            }
            LinkEvent::Acked(_, n) => {
                self.0.acked.fetch_add(*n as usize, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

struct Site {
    server: Server,
    session: Arc<Session>,
    told: Arc<Told>,
}

impl Site {
    /// A server of this domain, with somebody who is there.
    async fn new(net: &Net, domain: &str, policy: Policy) -> Site {
        let gate = Gate::default();
        let told = Arc::new(Told::default());
        let server = Server::builder()
            .domain(Domain::new(domain.parse().unwrap(), Secret::from([7; 32])))
            .modules(im::all())
            .module(StreamManagement::default())
            .module(Watch(told.clone()))
            .remote(gate.mailbox())
            .build(surroundings())
            .unwrap();
        let mut config = Config::default();
        config.links.backoff.start = Duration::from_millis(2);
        config.links.backoff.max = Duration::from_millis(20);
        let setup = Setup {
            gate,
            dial: Arc::new(net.clone()),
            tls: Some(AUTHORITY.tls(domain)),
            peers: Arc::new(Peers::new(Rules {
                default: Some(policy),
                ..Rules::default()
            })),
            config,
        };
        let federation = Federation::start(server.clone(), setup);
        let site = (domain.to_owned(), federation);
        net.0.sites.lock().unwrap().push(site);
        let jid = FullJid::new(&format!("x@{domain}/y")).unwrap();
        let accounts = server.stores().accounts.clone();
        let (bare, secrets) = (jid.to_bare(), Credentials::default());
        let _ = accounts.create(&bare, &secrets).await;
        let account = server.account(&jid.to_bare()).await.unwrap();
        let bound = server.bind(account, Some(jid.resource())).unwrap();
        Site {
            server,
            session: bound.session,
            told,
        }
    }

    /// Sends that many messages, and waits until each is settled; answers how many were answered with an error instead.
    async fn send(&self, to: &str, count: usize) -> usize {
        let mut open = Vec::new();
        for n in 0..count {
            let text =
                format!("<message to='{to}' type='chat' id='{n}'><body>{n}</body></message>");
            let stanza = Stanza::parse(&text).unwrap();
            let stanza = stanza.with_from(Jid::from(self.session.jid()));
            let mut origin = Origin::session(self.session.id());
            let id = "client".into();
            origin.sm = Some(SmPoint { id, n: n as u32 });
            let sent = self.server.submit(stanza, &self.session, origin);
            match sent.finish().await {
                Settlement::Later(later) => open.push(later),
                other => panic!("{other:?}"),
            }
            if n % 8 == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        let mut returned = 0;
        for later in open {
            let outcome = timeout(PATIENCE, later).await.expect("it settles");
            returned += usize::from(outcome == Outcome::Returned);
        }
        returned
    }

    /// The `id`s of that many messages from the other side, as they come.
    async fn receive(&self, count: usize) -> Vec<usize> {
        let mut ids = Vec::new();
        let receiving = async {
            while ids.len() < count {
                for envelope in self.session.queue().next(1).await.unwrap() {
                    if let Kind::Message(_) = envelope.stanza.kind() {
                        ids.push(envelope.stanza.id().unwrap().parse().unwrap());
                    }
                    // Not in the order in which it came from the network.
                    tokio::task::yield_now().await;
                    envelope.settle(Outcome::Settled);
                }
            }
        };
        let done = timeout(PATIENCE, receiving).await;
        done.unwrap_or_else(|_| {
            panic!("{}: {} of {count}: {ids:?}", self.session.jid(), ids.len())
        });
        ids
    }
}

async fn talk(policy: Policy, cut: u64, seed: u64) {
    const COUNT: usize = 400;
    let net = Net::default();
    net.0.random.store(seed, Ordering::Relaxed);
    net.0.cut.store(cut, Ordering::Relaxed);
    let a = Site::new(&net, "a.example", policy).await;
    let b = Site::new(&net, "b.example", policy).await;
    let (one, two, at_b, at_a) = tokio::join!(
        a.send("x@b.example/y", COUNT),
        b.send("x@a.example/y", COUNT),
        b.receive(COUNT),
        a.receive(COUNT),
    );
    let all: Vec<usize> = (0..COUNT).collect();
    assert_eq!(at_b, all, "seed {seed}");
    assert_eq!(at_a, all, "seed {seed}");
    assert_eq!((one, two), (0, 0), "seed {seed}");
    let acked = a.told.acked.load(Ordering::Relaxed) + b.told.acked.load(Ordering::Relaxed);
    assert_eq!(acked, 2 * COUNT, "seed {seed}");
    let resumed = a.told.resumed.load(Ordering::Relaxed) + b.told.resumed.load(Ordering::Relaxed);
    let dialled = net.0.dialled.load(Ordering::Relaxed);
    let sent = &a.server.metrics().s2s.compression.sent;
    let (xml, packed) = (sent.xml.value(), sent.packed.value());
    match policy.compression {
        Some(_) => assert!(0 < packed && packed < xml, "seed {seed}: {xml} {packed}"),
        None => assert_eq!((xml, packed), (0, 0)),
    }
    println!("seed {seed}: {dialled} connections, {resumed} times resumed");
    if cut > 0 {
        assert!(resumed > 0, "seed {seed}: {dialled} connections");
    }
    for site in [a, b] {
        timeout(PATIENCE, site.server.close())
            .await
            .expect("it ends");
    }
}

fn one_way() -> Policy {
    Policy {
        bidi: false,
        ..Policy::default()
    }
}

#[tokio::test]
async fn what_one_sends_the_other_gets() {
    talk(one_way(), 0, 1).await;
    talk(Policy::default(), 0, 1).await;
}

#[tokio::test]
async fn cables_are_cut_and_all_comes_once_and_in_order_one_way() {
    for seed in 0..3 {
        talk(one_way(), 20_000, seed).await;
    }
}

#[tokio::test]
async fn cables_are_cut_and_all_comes_once_and_in_order_both_ways() {
    for seed in 0..3 {
        talk(Policy::default(), 20_000, seed).await;
    }
}

/// XEP-0138: each connection is compressed anew, and the session goes on over it.
#[tokio::test]
async fn cables_are_cut_and_all_comes_once_and_in_order_compressed() {
    for seed in 0..2 {
        for policy in [one_way(), Policy::default()] {
            let policy = Policy {
                compression: Some(Compression::Zlib),
                ..policy
            };
            talk(policy, 20_000, seed).await;
        }
    }
}

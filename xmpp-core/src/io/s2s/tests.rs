//! Servers in one process, with connections of the test between them.
#![allow(clippy::disallowed_methods)] // they run on tokio

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::im;
use crate::io::dial::{Dial, DialError, Dialled};
use crate::io::{Identity, Security, surroundings};
use crate::mailbox::Origin;
use crate::module::Module;
use crate::s2s::{Policy, Proof};
use crate::sasl::{Credentials, Secret};
use crate::server::Domain;
use crate::session::Session;
use crate::stanza::Stanza;
use crate::store::Stores;
use crate::{FullJid, Jid};

mod certificates;
mod compression;
mod hostile;
mod links;
mod outbox;
mod people;

/// Nothing here takes so long, on a machine that does many other things too.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is not to come has not come in that time.
const QUIET: Duration = Duration::from_millis(300);

/// Who vouches for servers.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Authority {
    fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Authority { issuer, pem }
    }

    /// A certificate for this name, and its key.
    fn vouch(&self, name: &str) -> Identity {
        self.vouch_with(name, |_| {})
    }

    fn vouch_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut parameters = CertificateParams::new(vec![name.into()]).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
    }
}

/// A certificate that nobody vouches for.
fn unknown(name: &str) -> Identity {
    Authority::new().vouch(name)
}

/// Which server has a domain, and the cables between them.
#[derive(Clone, Default)]
struct Net(Arc<Wires>);

#[derive(Default)]
struct Wires {
    sites: Mutex<HashMap<String, Federation>>,
    /// Ends that the test itself holds, by domain.
    strange: Mutex<HashMap<String, Vec<DuplexStream>>>,
    cables: Mutex<Vec<JoinHandle<()>>>,
    dialled: AtomicUsize,
    security: Mutex<Option<Security>>,
    /// So many servers of each domain, the first ones, hang up.
    mute: AtomicUsize,
}

impl Net {
    /// Every cable between servers is cut.
    fn cut(&self) {
        self.0
            .cables
            .lock()
            .unwrap()
            .drain(..)
            .for_each(|cable| cable.abort());
    }

    /// How often a server was dialled.
    fn dialled(&self) -> usize {
        self.0.dialled.load(Ordering::Relaxed)
    }

    /// The next connection to this domain ends at the test.
    fn expect(&self, domain: &str) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let mut strange = self.0.strange.lock().unwrap();
        strange.entry(domain.into()).or_default().push(theirs);
        ours
    }
}

#[async_trait]
impl Dial for Net {
    async fn dial(&self, from: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        Servers(self.clone(), 0).dial(from, to).await
    }
}

/// The servers of a domain from that one on.
struct Servers(Net, usize);

#[async_trait]
impl Dial for Servers {
    async fn dial(&self, _: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let Servers(net, nth) = self;
        let mut dialled = net.connect(to)?;
        if *nth < net.0.mute.load(Ordering::Relaxed) {
            dialled.stream = Box::new(tokio::io::duplex(1).0);
            dialled.others = Some(Arc::new(Servers(net.clone(), nth + 1)));
        }
        Ok(dialled)
    }
}

impl Net {
    fn connect(&self, to: &BareJid) -> Result<Dialled, DialError> {
        let security = self
            .0
            .security
            .lock()
            .unwrap()
            .unwrap_or(Security::StartTls);
        let dialled = |stream: DuplexStream| Dialled {
            stream: Box::new(stream),
            direct_tls: security == Security::Direct,
            target: format!("{to} (test)"),
            others: None,
        };
        let mut strange = self.0.strange.lock().unwrap();
        if let Some(end) = strange.get_mut(to.as_str()).and_then(Vec::pop) {
            return Ok(dialled(end));
        }
        let site = self.0.sites.lock().unwrap().get(to.as_str()).cloned();
        let site = site.ok_or(DialError::NotFound)?;
        let (ours, mut near) = tokio::io::duplex(64 * 1024);
        let (mut far, theirs) = tokio::io::duplex(64 * 1024);
        site.connect(theirs, Some([192, 0, 2, 1].into()), security);
        self.0.dialled.fetch_add(1, Ordering::Relaxed);
        self.0.cables.lock().unwrap().push(tokio::spawn(async move {
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }));
        Ok(dialled(ours))
    }
}

/// A server.
struct Site {
    server: Server,
    federation: Federation,
}

/// How one differs from the others.
struct With {
    identity: Option<Identity>,
    rules: Rules,
    config: Config,
    modules: Vec<Arc<dyn Module>>,
    stores: Stores,
    /// For how long a count waits for a stanza.
    settle: Duration,
}

impl With {
    /// A certificate that all trust, and this policy for everybody.
    fn policy(domain: &str, policy: Policy) -> With {
        With {
            identity: Some(AUTHORITY.vouch(domain)),
            rules: Rules {
                default: Some(policy),
                ..Rules::default()
            },
            config: Config::default(),
            modules: im::all(),
            stores: Stores::memory(),
            settle: crate::server::Timeouts::default().settle,
        }
    }

    /// As it is by default, with a certificate that all trust.
    fn default(domain: &str) -> With {
        With::policy(domain, Policy::default())
    }

    /// Without TLS.
    fn plain() -> With {
        let policy = Policy {
            tls: false,
            ..Policy::default()
        };
        With {
            identity: None,
            ..With::policy("plain.example", policy)
        }
    }
}

impl Site {
    fn new(net: &Net, domain: &str) -> Site {
        Site::with(net, domain, With::default(domain))
    }

    fn with(net: &Net, domain: &str, with: With) -> Site {
        let gate = Gate::default();
        let server = Server::builder()
            .domain(Domain::new(domain.parse().unwrap(), Secret::from([7; 32])))
            .configure(|config| config.timeouts.settle = with.settle)
            .stores(with.stores)
            .modules(with.modules)
            .remote(gate.mailbox())
            .build(surroundings())
            .unwrap();
        let authorities = Authorities::from_pem(AUTHORITY.pem.as_bytes()).unwrap();
        let tls = with.identity.map(|identity| {
            PeerTls::new(vec![(domain.to_owned(), identity)], authorities).unwrap()
        });
        let setup = Setup {
            gate,
            dial: Arc::new(net.clone()),
            tls,
            peers: Arc::new(Peers::new(with.rules)),
            config: with.config,
        };
        let federation = Federation::start(server.clone(), setup);
        let mut sites = net.0.sites.lock().unwrap();
        sites.insert(domain.to_owned(), federation.clone());
        Site { server, federation }
    }

    /// Makes an account, unless it is there.
    async fn account(&self, jid: &BareJid) {
        let accounts = &self.server.stores().accounts;
        accounts.create(jid, &Credentials::default()).await.unwrap();
    }

    /// Binds a resource of an account, which is made if need be.
    async fn login(&self, jid: &str) -> Person {
        let jid = FullJid::new(jid).unwrap();
        self.account(&jid.to_bare()).await;
        let account = self.server.account(&jid.to_bare()).await.unwrap();
        let bound = self.server.bind(account, Some(jid.resource())).unwrap();
        Person {
            server: self.server.clone(),
            session: bound.session,
            heard: Mutex::default(),
        }
    }

    /// Asks until it is so.
    async fn until(&self, what: &str, is: impl Fn(&[LinkView]) -> bool) {
        let waiting = async {
            while !is(&self.federation.links()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("{what}: {:?}", self.federation.links());
        }
    }

    async fn close(self) {
        timeout(PATIENCE, self.server.close())
            .await
            .expect("it ends");
    }
}

/// A client that is logged in.
struct Person {
    server: Server,
    session: Arc<Session>,
    heard: Mutex<VecDeque<Stanza>>,
}

impl Person {
    /// Sends a stanza and waits for what follows from it here.
    async fn send(&self, stanza: &str) {
        let stanza = Stanza::parse(stanza).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let origin = Origin::session(self.session.id());
        let dispatch = self.server.submit(stanza, &self.session, origin);
        let _ = dispatch.finish().await;
    }

    /// The next stanza it is sent.
    async fn next(&self) -> Stanza {
        let next = async {
            loop {
                if let Some(stanza) = self.heard.lock().unwrap().pop_front() {
                    return stanza;
                }
                self.wait().await;
            }
        };
        timeout(PATIENCE, next).await.expect("something comes")
    }

    /// Waits for stanzas, as its connection does.
    async fn wait(&self) {
        let session = &self.session;
        let taken = std::future::poll_fn(|cx| {
            session.queue().register(cx);
            let burst = session.take_feed().map(Err);
            burst
                .or_else(|| session.take(1).map(Ok))
                .map_or(Poll::Pending, Poll::Ready)
        });
        let mut heard = Vec::new();
        match taken.await {
            Ok(envelopes) => heard.extend(envelopes.into_iter().map(|envelope| envelope.stanza)),
            Err(mut feed) => loop {
                let page = feed.next().await;
                if page.is_empty() {
                    break;
                }
                heard.extend(page);
            },
        }
        self.heard.lock().unwrap().extend(heard);
    }

    /// Becomes available, and hears so.
    async fn appear(&self) {
        self.send("<presence/>").await;
        self.hears("<presence").await;
    }

    /// Ends its session, as when its connection is gone for good.
    async fn leave(self) {
        let _ = self.server.end(&self.session).finish().await;
    }

    /// The next stanza, if it is one that says this.
    #[track_caller]
    fn hears(&self, text: &str) -> impl Future<Output = Stanza> {
        let place = std::panic::Location::caller();
        async move {
            let stanza = self.next().await;
            assert!(
                stanza.to_string().contains(text),
                "{place}: {text}: {stanza}"
            );
            stanza
        }
    }

    /// Nothing comes.
    async fn hears_nothing(&self) {
        let more = timeout(QUIET, self.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

/// Two servers, and somebody at each.
async fn pair(net: &Net) -> (Site, Person, Site, Person) {
    let (a, b) = (Site::new(net, "a.example"), Site::new(net, "b.example"));
    let romeo = a.login("romeo@a.example/orchard").await;
    let juliet = b.login("juliet@b.example/balcony").await;
    (a, romeo, b, juliet)
}

fn message(to: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>")
}

/// A server's stream that the test writes itself.
struct Raw {
    io: DuplexStream,
    read: String,
}

impl Raw {
    /// Connects to a server.
    fn to(site: &Site) -> Raw {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Some([192, 0, 2, 66].into());
        site.federation.connect(theirs, peer, Security::Plain);
        Raw::on(ours)
    }

    fn on(io: DuplexStream) -> Raw {
        let read = String::new();
        Raw { io, read }
    }

    async fn send(&mut self, text: &str) {
        // It may have closed the connection.
        let _ = self.io.write_all(text.as_bytes()).await;
    }

    /// A stream header, and what it is answered with, up to the features; tells the stream's ID.
    async fn open(&mut self, from: &str, to: &str) -> String {
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='{from}' to='{to}'>"
        ))
        .await;
        let header = self.until("</stream:features>").await;
        let (_, id) = header.split_once(" id='").unwrap();
        id.split_once('\'').unwrap().0.to_owned()
    }

    /// Everything up to this.
    async fn until(&mut self, end: &str) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.read.find(end) {
                    let rest = self.read.split_off(at + end.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                let mut chunk = vec![0; 4096];
                let length = self.io.read(&mut chunk).await.unwrap_or(0);
                assert!(length > 0, "the connection ends, not {end}: {}", self.read);
                self.read += &String::from_utf8_lossy(&chunk[..length]);
            }
        };
        match timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => panic!("not {end}"),
        }
    }
}

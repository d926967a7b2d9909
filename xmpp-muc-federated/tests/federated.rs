//! Rooms of several servers in one process that are one conversation, over streams between them that are cut and come back.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // they run on tokio

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::sync::watch;
use tokio::time::timeout;
use xmpp_core::io::dial::{Dial, DialError, Dialled};
use xmpp_core::io::s2s::{
    Authorities, Config, Federation as Peering, Gate, PeerTls, Peers, Rules, Setup,
};
use xmpp_core::io::{Identity, OsRandom, Security, surroundings};
use xmpp_core::mailbox::{Origin, Outcome};
use xmpp_core::s2s::Policy;
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Domain, Server};
use xmpp_core::session::Session;
use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, FullJid, Jid, im};
use xmpp_muc_federated::fmuc::{Accept, Federation, Stage};
use xmpp_muc_federated::room::Config as RoomConfig;
use xmpp_muc_federated::service::{Federating, Options};
use xmpp_muc_federated::store::Rooms;
use xmpp_muc_federated::store::memory::Memory;
use xmpp_muc_federated::{Service, Settings};

/// Nothing here takes so long, on a machine that does many other things too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who vouches for servers.
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
    fn tls(&self, domains: [String; 2]) -> PeerTls {
        let parameters = CertificateParams::new(domains.to_vec()).unwrap();
        let key = KeyPair::generate().unwrap();
        let chain = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        let identity = || Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let authorities = Authorities::from_pem(self.pem.as_bytes()).unwrap();
        let identities = domains.map(|domain| (domain, identity()));
        PeerTls::new(identities.into(), authorities).unwrap()
    }
}

/// Which server has a domain, and whether there are cables.
#[derive(Clone)]
struct Net {
    sites: Arc<Mutex<Vec<(String, Peering)>>>,
    up: watch::Sender<bool>,
}

impl Net {
    fn new() -> Net {
        Net {
            sites: Arc::default(),
            up: watch::Sender::new(true),
        }
    }

    fn set(&self, up: bool) {
        self.up.send_replace(up);
    }
}

#[async_trait]
impl Dial for Net {
    async fn dial(&self, _: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let mut up = self.up.subscribe();
        if !*up.borrow() {
            return Err(DialError::Unreachable);
        }
        let sites = self.sites.lock().unwrap();
        let site = sites
            .iter()
            .find(|(domain, _)| to.as_str().ends_with(domain));
        let (_, site) = site.ok_or(DialError::NotFound)?;
        let (ours, mut near) = tokio::io::duplex(64 * 1024);
        let (mut far, theirs) = tokio::io::duplex(64 * 1024);
        site.connect(theirs, Some([192, 0, 2, 1].into()), Security::StartTls);
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = up.wait_for(|up| !up) => {}
            }
        });
        Ok(Dialled {
            stream: Box::new(ours),
            direct_tls: false,
            target: to.to_string(),
            others: None,
        })
    }
}

/// A server with rooms, and somebody who has an account there.
struct Site {
    server: Server,
    service: Service,
    session: Arc<Session>,
    store: Arc<Memory>,
    /// What was read and not asked for yet.
    read: Mutex<Vec<String>>,
}

fn bare(text: &str) -> BareJid {
    BareJid::new(text).unwrap()
}

fn room(site: &str) -> BareJid {
    bare(&format!("r@rooms.{site}.example"))
}

impl Site {
    /// A server of this name, whose room is federated so.
    async fn new(net: &Net, name: &str, federation: Federation) -> Site {
        let domain = format!("{name}.example");
        let random = Arc::new(OsRandom);
        let settings = Settings {
            admins: Vec::new(),
            defaults: RoomConfig::default(),
            limits: Default::default(),
            secret: [7; 32],
            random,
        };
        let store = Arc::new(Memory::new());
        let address = bare(&format!("rooms.{domain}"));
        let mut options = Options::new(address, Arc::new(settings), store.clone());
        let mut federating = Federating::default();
        // Of what is said of no room, its owner may say it.
        match federation.is_none() {
            true => federating.by_owners = true,
            false => federating.rooms = vec![(room(name), Arc::new(federation))],
        }
        options.federation = Some(federating);
        let service = Service::new(options);
        let gate = Gate::default();
        let server = Server::builder()
            .domain(Domain::new(bare(&domain), Secret::from([7; 32])))
            .modules(im::all())
            .module(service.clone())
            .remote(gate.mailbox())
            .build(surroundings())
            .unwrap();
        let mut config = Config::default();
        config.links.backoff.start = Duration::from_millis(2);
        config.links.backoff.max = Duration::from_millis(20);
        let rules = Rules {
            default: Some(Policy::default()),
            ..Rules::default()
        };
        let setup = Setup {
            gate,
            dial: Arc::new(net.clone()),
            tls: Some(AUTHORITY.tls([domain.clone(), format!("rooms.{domain}")])),
            peers: Arc::new(Peers::new(rules)),
            config,
        };
        let peering = Peering::start(server.clone(), setup);
        net.sites.lock().unwrap().push((domain.clone(), peering));
        let jid = FullJid::new(&format!("{name}@{domain}/y")).unwrap();
        let accounts = server.stores().accounts.clone();
        let _ = accounts
            .create(&jid.to_bare(), &Credentials::default())
            .await;
        let account = server.account(&jid.to_bare()).await.unwrap();
        let bound = server.bind(account, Some(jid.resource())).unwrap();
        Site {
            server,
            service,
            session: bound.session,
            store,
            read: Mutex::default(),
        }
    }

    async fn send(&self, text: &str) {
        let stanza = Stanza::parse(text).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let origin = Origin::session(self.session.id());
        let sent = self.server.submit(stanza, &self.session, origin);
        let _ = sent.finish().await;
    }

    /// Enters the room here, under the name of the server.
    async fn enter(&self, name: &str) {
        let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
        self.send(&format!(
            "<presence to='{}/{name}'>{x}</presence>",
            room(name)
        ))
        .await;
        self.hears("<subject").await;
    }

    async fn say(&self, name: &str, body: &str) {
        let room = room(name);
        self.send(&format!(
            "<message to='{room}' type='groupchat' id='{body}'><body>{body}</body></message>"
        ))
        .await;
    }

    /// What there is for the client, bursts and single stanzas, in its order.
    async fn take(&self) -> Vec<Stanza> {
        if let Some(mut feed) = self.session.take_feed() {
            let mut all = Vec::new();
            loop {
                let page = feed.next().await;
                if page.is_empty() {
                    return all;
                }
                all.extend(page);
            }
        }
        let taken = self.session.take(usize::MAX).unwrap_or_default();
        let taken = taken.into_iter().map(|envelope| {
            let stanza = envelope.stanza.clone();
            envelope.settle(Outcome::Settled);
            stanza
        });
        taken.collect()
    }

    /// Waits for a stanza in which all of this stands, parts with `|` between them; what came before it is forgotten.
    async fn hears(&self, parts: &str) -> String {
        let fits = |stanza: &String| parts.split('|').all(|part| stanza.contains(part));
        let waiting = async {
            loop {
                let found = {
                    let mut read = self.read.lock().unwrap();
                    let found = read.iter().position(fits);
                    found.map(|at| read.drain(..=at).next_back().unwrap())
                };
                if let Some(found) = found {
                    return found;
                }
                let new = self.take().await;
                if new.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                for stanza in new {
                    let text = stanza.to_string();
                    assert!(!text.contains("fmuc"), "a client is sent {text}");
                    self.read.lock().unwrap().push(text);
                }
            }
        };
        let heard = timeout(PATIENCE, waiting).await;
        heard.unwrap_or_else(|_| {
            let read = self.read.lock().unwrap();
            panic!(
                "{} does not hear {parts}, but {read:#?}",
                self.session.jid()
            )
        })
    }

    /// Waits until all links of the room are so far.
    async fn is_so_far(&self, links: usize, stage: Stage) {
        let reached = async {
            loop {
                let rooms = self.service.rooms();
                let lines: Vec<_> = rooms.iter().flat_map(|room| &room.links).collect();
                let all = lines.iter().all(|line| line.link.stage == stage);
                if lines.len() == links && all {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("no {stage:?}: {:#?}", self.service.rooms()));
    }
}

fn accepts(any: bool) -> Federation {
    let mut federation = Federation::default();
    if any {
        let peers = ["rooms.b.example", "rooms.c.example"];
        let peers = peers.map(|peer| Jid::new(peer).unwrap());
        federation.accept = Accept::Only(peers.into());
    }
    federation
}

fn joins(site: &str) -> Federation {
    let mut federation = accepts(true);
    federation.parents = vec![room(site)];
    federation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_rooms_are_one_conversation() {
    let net = Net::new();
    let a = Site::new(&net, "a", accepts(true)).await;
    let b = Site::new(&net, "b", joins("a")).await;
    let c = Site::new(&net, "c", joins("b")).await;
    a.enter("a").await;
    c.enter("c").await;
    // Each is seen under the address of the room where one is.
    a.hears("<presence|rooms.a.example/c").await;
    b.enter("b").await;
    a.hears("<presence|rooms.a.example/b").await;
    c.hears("<presence|rooms.c.example/a").await;
    for (from, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        from.say(name, &format!("from-{name}")).await;
        for (site, at) in [(&a, "a"), (&b, "b"), (&c, "c")] {
            let parts = format!("rooms.{at}.example/{name}|<body>from-{name}</body>");
            site.hears(&parts).await;
        }
    }
    assert_eq!(b.service.metrics().links(Stage::Joined), 2);
    assert!(a.service.metrics().nodes_received.value() > 0);
    // Who leaves last takes the link along, and the room leaves memory.
    c.send("<presence type='unavailable' to='r@rooms.c.example/c'/>")
        .await;
    a.hears("unavailable|rooms.a.example/c").await;
    c.is_so_far(1, Stage::Idle).await;
    b.is_so_far(1, Stage::Joined).await;
    for site in [a, b, c] {
        timeout(PATIENCE, site.server.close()).await.unwrap();
        assert_eq!(site.service.metrics().links(Stage::Joined), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_while_the_cable_is_cut_is_heard_when_it_is_whole() {
    let net = Net::new();
    let a = Site::new(&net, "a", accepts(true)).await;
    let b = Site::new(&net, "b", joins("a")).await;
    a.enter("a").await;
    b.enter("b").await;
    b.hears("<presence|rooms.b.example/a").await;
    a.hears("<presence|rooms.a.example/b").await;
    b.is_so_far(1, Stage::Joined).await;
    net.set(false);
    b.is_so_far(1, Stage::Suspect).await;
    a.say("a", "alone-1").await;
    b.say("b", "alone-2").await;
    b.hears("rooms.b.example/b|<body>alone-2</body>").await;
    net.set(true);
    b.hears("rooms.b.example/a|<body>alone-1</body>").await;
    a.hears("rooms.a.example/b|<body>alone-2</body>").await;
    a.is_so_far(1, Stage::Joined).await;
    b.is_so_far(1, Stage::Joined).await;
    let stored = a.store.federation(&room("a")).await.unwrap();
    assert!(!stored.events.is_empty() && stored.links.len() == 1);
    for site in [a, b] {
        timeout(PATIENCE, site.server.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_not_expected_is_not_let_in() {
    let net = Net::new();
    let a = Site::new(&net, "a", accepts(false)).await;
    let b = Site::new(&net, "b", joins("a")).await;
    b.enter("b").await;
    b.is_so_far(1, Stage::Backoff).await;
    assert!(b.service.metrics().rejected.value() > 0);
    b.say("b", "to-myself").await;
    b.hears("<body>to-myself</body>").await;
    // Nor by a room that does not exist, and none is made.
    let stanza = "<presence to='new@rooms.a.example/x'><fmuc xmlns='http://isode.com/protocol/fmuc' from='x@b.example/y'/></presence>";
    b.send(stanza).await;
    b.hears("error|not-acceptable").await;
    for site in [a, b] {
        timeout(PATIENCE, site.server.close()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_has_a_room_that_somebody_is_in_join_another() {
    let net = Net::new();
    let a = Site::new(&net, "a", accepts(true)).await;
    let b = Site::new(&net, "b", accepts(false)).await;
    a.enter("a").await;
    b.enter("b").await;
    let field =
        |var: &str, value: &str| format!("<field var='{var}'><value>{value}</value></field>");
    let configure = |parent: &str| {
        let fields = [
            field("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig"),
            field("muc#roomconfig_persistentroom", "1"),
            field("x-fmuc#parent", parent),
        ];
        format!(
            "<iq type='set' id='1' to='{}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>{}</x></query></iq>",
            room("b"),
            fields.concat()
        )
    };
    b.send(&configure(room("a").as_str())).await;
    // Who was there before is there for the others.
    a.hears("<presence|rooms.a.example/b").await;
    b.hears("<presence|rooms.b.example/a").await;
    a.say("a", "welcome").await;
    b.hears("rooms.b.example/a|<body>welcome</body>").await;
    b.send(&configure("")).await;
    a.hears("unavailable|rooms.a.example/b").await;
    b.hears("unavailable|rooms.b.example/a").await;
    for site in [a, b] {
        timeout(PATIENCE, site.server.close()).await.unwrap();
    }
}

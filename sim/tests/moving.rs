//! Sessions that go from one node of a domain to another, with streams resumed there.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::disallowed_methods)] // tasks of a test

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use sim::client::{Client, Heard};
use sim::link::End;
use sim::rng::Rng;
use sim::world::quiet;
use sim::{World, run, xml};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use xmpp_core::directory::{Directory, LocalDirectory, Resources, find};
use xmpp_core::io::{Driver, Elsewhere, HandedOut, Offer};
use xmpp_core::mailbox::{Envelope, Inbox, Mailbox, Node, Origin, Outcome, Settlement};
use xmpp_core::module::Dispatch;
use xmpp_core::server::Server;
use xmpp_core::session::{Change, Resource, Session, SessionId};
use xmpp_core::stanza::Stanza;
use xmpp_core::store::Stores;
use xmpp_core::stream::NotResumed;
use xmpp_core::{BareJid, FullJid, Jid};

const SM: &str = "xmlns='urn:xmpp:sm:3'";

/// How what one node says gets to the other: in order, a while later.
#[derive(Clone)]
struct Way(UnboundedSender<Box<dyn FnOnce(Server) -> Job + Send>>);

type Job = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Way {
    fn to(server: Server, seed: u64) -> Way {
        let (sender, mut jobs) = unbounded_channel::<Box<dyn FnOnce(Server) -> Job + Send>>();
        tokio::spawn(async move {
            let mut rng = Rng::new(seed);
            while let Some(job) = jobs.recv().await {
                sleep(Duration::from_millis(rng.below(3) as u64)).await;
                job(server.clone()).await;
            }
        });
        Way(sender)
    }

    /// Waits until all that was said before has arrived.
    async fn pass(&self) {
        let (done, is_done) = tokio::sync::oneshot::channel();
        let job = move |_: Server| {
            Box::pin(async move {
                let _ = done.send(());
            }) as Job
        };
        let _ = self.0.send(Box::new(job));
        let _ = is_done.await;
    }
}

/// A session on the other node.
struct There {
    to: FullJid,
    id: SessionId,
    way: Way,
}

impl Inbox for There {
    fn push(&self, mut envelope: Envelope) -> Settlement {
        let settlement = envelope.pledged();
        let (to, id) = (self.to.clone(), self.id);
        let _ = self.way.0.send(Box::new(move |server| {
            Box::pin(async move {
                let (stanza, origin) = (envelope.stanza.clone(), envelope.origin.clone());
                let dispatch = server.accept_for(&to, id, stanza, origin, None);
                answer(server, dispatch, envelope).await;
            })
        }));
        settlement
    }

    fn node(&self) -> Option<&dyn Node> {
        Some(self)
    }
}

impl Node for There {
    fn route(&self, mut envelope: Envelope) -> Settlement {
        let settlement = envelope.pledged();
        let _ = self.way.0.send(Box::new(move |server| {
            Box::pin(async move {
                let (stanza, origin) = (envelope.stanza.clone(), envelope.origin.clone());
                let dispatch = server.accept(stanza, origin);
                answer(server, dispatch, envelope).await;
            })
        }));
        settlement
    }
}

/// The next one waits for what is pending (order), but not for its settlement.
async fn answer(server: Server, dispatch: Dispatch, envelope: Envelope) {
    let settlement = dispatch.finish().await;
    tokio::spawn(async move {
        let _ = server.outcome(Dispatch::Done(settlement)).await;
        envelope.settle(Outcome::Settled);
    });
}

/// The directory of one of two nodes.
#[derive(Default)]
struct Half {
    here: LocalDirectory,
    there: OnceLock<Weak<Half>>,
    way: OnceLock<Way>,
    order: Arc<Mutex<()>>,
}

impl Half {
    fn there(&self) -> Arc<Half> {
        self.there.get().unwrap().upgrade().unwrap()
    }

    fn held(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        find(&self.here.resources(jid.bare_str()), jid.as_str()).filter(|r| r.id() == id)
    }

    /// Shows a session of the other node.
    fn show(&self, original: &Resource) {
        let (jid, id) = (original.jid().clone(), original.id());
        let way = self.way.get().unwrap().clone();
        let there = There {
            to: jid.clone(),
            id,
            way,
        };
        let image = Resource::remote(jid, id, Mailbox::new(Arc::new(there)));
        if let (Some(presence), Some(priority)) = (original.presence(), original.priority()) {
            image.apply(Change::Available(presence, priority));
        }
        let _ = self.here.bind(Arc::new(image));
    }
}

impl Directory for Half {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let _order = self.order.lock().unwrap();
        self.here.bind(resource.clone())?;
        self.there().show(&resource);
        Ok(())
    }

    fn adopt(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let _order = self.order.lock().unwrap();
        if let Some(holder) = find(
            &self.resources(resource.jid().bare_str()),
            resource.jid().as_str(),
        ) {
            if holder.id() != resource.id() || holder.session().is_some() {
                return Err(holder);
            }
            self.here.unbind(holder.jid(), holder.id());
        }
        self.here.bind(resource.clone())?;
        self.there().show(&resource);
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        if let Some(image) = self.there().held(resource.jid(), resource.id())
            && image.session().is_none()
        {
            image.apply(change.clone());
        }
        self.here.update(resource, change);
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let _order = self.order.lock().unwrap();
        let gone = self.here.unbind(jid, id)?;
        match self.there().held(jid, id) {
            // It has moved.
            Some(other) if other.session().is_some() => self.show(&other),
            Some(_) => drop(self.there().here.unbind(jid, id)),
            None => {}
        }
        Some(gone)
    }

    fn resources(&self, account: &str) -> Resources {
        self.here.resources(account)
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        self.here.serve(address, mailbox)
    }

    fn withdraw(&self, address: &Jid) {
        self.here.withdraw(address);
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        self.here.entity(addresses)
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        self.here.sessions(show);
    }

    fn len(&self) -> usize {
        self.here.len()
    }
}

/// What goes wrong between the nodes.
#[derive(Default)]
struct Trouble {
    /// The other node does not answer.
    silent: AtomicBool,
    /// What says that a session was taken gets lost, and its node keeps it.
    refused: AtomicBool,
    /// A fault that must be found: the session is taken in, but the other node goes on with it as well.
    twice: AtomicBool,
    /// A fault that must be found: what comes meanwhile is dropped.
    forgetful: AtomicBool,
}

/// Asks the other node.
struct Port {
    there: Driver,
    /// From there to here.
    back: Way,
    /// The other way.
    forth: Way,
    trouble: Arc<Trouble>,
}

impl Port {
    fn offer(&self, handed_out: HandedOut) -> Offer {
        let state = handed_out.state().to_owned();
        let there = There {
            to: handed_out.jid().clone(),
            id: handed_out.id(),
            way: self.back.clone(),
        };
        let (trouble, forth, back) = (self.trouble.clone(), self.forth.clone(), self.back.clone());
        Offer::new(state, async move {
            forth.pass().await;
            if trouble.refused.load(Ordering::Relaxed) {
                handed_out.keep();
                return Err(NotResumed::Unknown(None));
            }
            if trouble.twice.load(Ordering::Relaxed) {
                handed_out.keep();
                return Ok(());
            }
            let to: Arc<dyn Inbox> = match trouble.forgetful.load(Ordering::Relaxed) {
                true => Arc::new(Nowhere),
                false => Arc::new(there),
            };
            let taken = handed_out.taken(Mailbox::new(to)).await;
            back.pass().await;
            taken
        })
    }
}

struct Nowhere;

impl Inbox for Nowhere {
    fn push(&self, _: Envelope) -> Settlement {
        Settlement::Done
    }
}

#[async_trait]
impl Elsewhere for Port {
    async fn fetch(&self, name: &str, account: &BareJid) -> Result<Offer, NotResumed> {
        self.forth.pass().await;
        if self.trouble.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let handed_out = self.there.hand_out(name, account).await?;
        self.back.pass().await;
        Ok(self.offer(handed_out))
    }
}

/// Two nodes of one domain, over the same stores.
struct Pair {
    worlds: [World; 2],
    ports: [Arc<Port>; 2],
    trouble: Arc<Trouble>,
    stores: Stores,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let (start, stores) = (Instant::now(), Stores::memory());
        let order = Arc::<Mutex<()>>::default();
        let halves = [0, 1].map(|_| {
            Arc::new(Half {
                order: order.clone(),
                ..Half::default()
            })
        });
        for (one, other) in [(0, 1), (1, 0)] {
            let _ = halves[one].there.set(Arc::downgrade(&halves[other]));
        }
        let worlds = [0, 1].map(|n: usize| {
            let builder = World::builder(2 * seed + n as u64).stores(stores.clone());
            builder.directory(halves[n].clone()).after(start).build()
        });
        let ways = [0, 1].map(|n: usize| Way::to(worlds[n].server.clone(), seed ^ n as u64));
        let trouble = Arc::<Trouble>::default();
        let ports = [0, 1].map(|n: usize| {
            let _ = halves[n].way.set(ways[1 - n].clone());
            let port = Arc::new(Port {
                there: worlds[1 - n].driver.clone(),
                back: ways[n].clone(),
                forth: ways[1 - n].clone(),
                trouble: trouble.clone(),
            });
            assert!(worlds[n].driver.set_elsewhere(port.clone()));
            port
        });
        Pair {
            worlds,
            ports,
            trouble,
            stores,
        }
    }

    /// A client that can resume its stream; the stream's name.
    async fn login(&self, at: usize, name: &str) -> (Client<End>, String) {
        let mut client = self.worlds[at].login(name).await;
        let enable = format!("<enable {SM} resume='true'/>");
        client.send(enable).await.unwrap();
        let enabled = client.element().await.unwrap();
        (client, enabled.attr("id").unwrap().to_owned())
    }

    /// A connection that resumes; what the server says to that.
    async fn resume(&self, at: usize, name: &str, id: &str, h: u32) -> (Client<End>, String) {
        let world = &self.worlds[at];
        let account = world.account(name).await;
        let mut client = world.client();
        client
            .authenticate(&account, &mut world.rng())
            .await
            .unwrap();
        let resume = format!("<resume {SM} previd='{id}' h='{h}'/>");
        client.send(resume).await.unwrap();
        let answer = client.element().await.unwrap();
        (client, answer.to_string())
    }

    /// Sends a session from this node to the other one.
    async fn send_away(&self, from: usize, name: &str) -> Result<(), NotResumed> {
        let handed_out = self.worlds[from].driver.send_away(name).await?;
        let account = handed_out.jid().to_bare();
        let offer = self.ports[1 - from].offer(handed_out);
        self.worlds[1 - from].driver.take_in(&account, offer).await
    }

    /// How many sessions of an account live on each node.
    fn live(&self, name: &str) -> [usize; 2] {
        let account = format!("{name}@example.org");
        [0, 1].map(|n: usize| {
            let all = self.worlds[n].server.directory().resources(&account);
            all.iter().filter(|r| r.session().is_some()).count()
        })
    }

    async fn offline(&self, name: &str) -> usize {
        let account = format!("{name}@example.org").parse().unwrap();
        self.stores.offline.count(&account).await.unwrap()
    }
}

/// All stanzas that come until nothing more does, and how it ended.
async fn hear(client: &mut Client<End>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Heard::Xml(xml::Heard::Element(tree))) =
        timeout(Duration::from_secs(1), client.hear()).await
    {
        if tree.ns == xml::CLIENT {
            heard.push(tree.to_string());
        }
    }
    heard
}

fn bodies(heard: &[String]) -> Vec<String> {
    let body = |text: &String| {
        let (_, rest) = text.split_once("<body>")?;
        rest.split('<').next().map(str::to_owned)
    };
    heard.iter().filter_map(body).collect()
}

async fn say(client: &mut Client<End>, to: &str, body: &str) {
    let message =
        format!("<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>");
    client.send(message).await.unwrap();
}

async fn route(server: &Server, to: &str, body: &str) {
    let text = format!(
        "<message from='juliet@example.org/x' to='{to}' type='chat'><body>{body}</body></message>"
    );
    let dispatch = server.route(Stanza::restore(&text).unwrap(), Origin::SERVER);
    let _ = dispatch.finish().await;
}

#[test]
fn a_stream_resumes_on_another_node_with_nothing_lost_and_nothing_twice() {
    run(async {
        let pair = Pair::new(1);
        let (mut romeo, id) = pair.login(0, "romeo").await;
        let (mut juliet, _) = pair.login(1, "juliet").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        let before = pair.worlds[0]
            .server
            .directory()
            .resources("romeo@example.org")[0]
            .id();
        for body in ["one", "two"] {
            say(&mut juliet, "romeo@example.org/romeo", body).await;
        }
        assert_eq!(bodies(&hear(&mut romeo).await), ["one", "two"]);
        drop(romeo);
        quiet(Duration::from_secs(1)).await;
        say(&mut juliet, "romeo@example.org", "three").await;
        quiet(Duration::from_secs(1)).await;
        let (mut romeo, answer) = pair.resume(1, "romeo", &id, had + 1).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert!(
            answer.contains(&format!("previd='{id}'")) && answer.contains("h='1'"),
            "{answer}"
        );
        assert_eq!(bodies(&hear(&mut romeo).await), ["two", "three"]);
        assert_eq!(pair.live("romeo"), [0, 1]);
        let after = &pair.worlds[1]
            .server
            .directory()
            .resources("romeo@example.org")[0];
        assert_eq!((after.id(), after.priority()), (before, Some(0)));
        // What is said from where it was finds it.
        route(&pair.worlds[0].server, "romeo@example.org/romeo", "four").await;
        say(&mut juliet, "romeo@example.org", "five").await;
        let mut heard = bodies(&hear(&mut romeo).await);
        heard.sort();
        assert_eq!(heard, ["five", "four"]);
        // And back, though the connection here is alive.
        let (_, h) = (romeo.send(format!("<r {SM}/>")).await, had + 5);
        let (mut again, answer) = pair.resume(0, "romeo", &id, h).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        let rest = romeo.rest().await;
        let told: String = rest.iter().map(|heard| heard.to_string()).collect();
        assert!(told.contains("<conflict"), "{told}");
        assert_eq!(pair.live("romeo"), [1, 0]);
        assert_eq!(hear(&mut again).await, [""; 0]);
        assert_eq!(pair.offline("romeo").await, 0);
    });
}

#[test]
fn of_two_that_resume_at_once_one_wins() {
    run(async {
        let pair = Pair::new(2);
        let (romeo, id) = pair.login(0, "romeo").await;
        drop(romeo);
        quiet(Duration::from_secs(1)).await;
        let all = [1, 1, 0].map(|at| pair.resume(at, "romeo", &id, 0));
        let answers = futures::future::join_all(all).await;
        let won = answers
            .iter()
            .filter(|(_, answer)| answer.starts_with("<resumed "));
        assert!(
            won.count() >= 1,
            "{:?}",
            answers.iter().map(|a| &a.1).collect::<Vec<_>>()
        );
        for (_, answer) in &answers {
            let lost = answer.contains("<item-not-found");
            assert!(lost || answer.starts_with("<resumed "), "{answer}");
        }
        assert_eq!(pair.live("romeo").iter().sum::<usize>(), 1);
    });
}

#[test]
fn nobody_resumes_what_is_not_theirs_or_not_there() {
    run(async {
        let pair = Pair::new(3);
        let (mut romeo, id) = pair.login(0, "romeo").await;
        let hostile = [
            id.clone(),
            "x".repeat(4000),
            "\u{1f480}".into(),
            String::new(),
            "../../etc".into(),
        ];
        for name in &hostile {
            let (_, answer) = pair.resume(1, "nurse", name, 0).await;
            assert!(answer.contains("<item-not-found"), "{answer}");
        }
        // And his connection has not noticed.
        romeo.send("<presence/>").await.unwrap();
        assert_eq!(hear(&mut romeo).await.len(), 1);
        // One whose time is over: its count is known over there.
        drop(romeo);
        sleep(Duration::from_secs(700)).await;
        let (mut late, answer) = pair.resume(1, "romeo", &id, 0).await;
        assert!(
            answer.contains("<item-not-found") && answer.contains("h='1'"),
            "{answer}"
        );
        late.bind(Some("romeo")).await.unwrap();
        assert_eq!(pair.live("romeo"), [0, 1]);
    });
}

#[test]
fn a_node_that_is_silent_is_not_waited_for_and_one_that_keeps_the_session_goes_on_with_it() {
    run(async {
        let pair = Pair::new(4);
        let (mut romeo, id) = pair.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        drop(romeo);
        quiet(Duration::from_secs(1)).await;
        pair.trouble.silent.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let (_, answer) = pair.resume(1, "romeo", &id, had).await;
        assert!(answer.contains("<item-not-found"), "{answer}");
        assert!(start.elapsed() <= xmpp_core::io::WAITING + Duration::from_secs(1));
        pair.trouble.silent.store(false, Ordering::Relaxed);
        pair.trouble.refused.store(true, Ordering::Relaxed);
        route(&pair.worlds[1].server, "romeo@example.org/romeo", "one").await;
        let resuming = pair.resume(1, "romeo", &id, had);
        let saying = async {
            for body in ["two", "three"] {
                sleep(Duration::from_millis(2)).await;
                route(&pair.worlds[1].server, "romeo@example.org/romeo", body).await;
            }
        };
        let ((_, answer), ()) = futures::join!(resuming, saying);
        assert!(answer.contains("<item-not-found"), "{answer}");
        assert_eq!(pair.live("romeo"), [1, 0]);
        let (mut romeo, answer) = pair.resume(0, "romeo", &id, had).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), ["one", "two", "three"]);
        assert_eq!(pair.offline("romeo").await, 0);
    });
}

#[test]
fn a_session_that_is_sent_away_keeps_its_connection_until_it_is_there() {
    run(async {
        let pair = Pair::new(5);
        let (mut romeo, id) = pair.login(0, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let had = hear(&mut romeo).await.len() as u32;
        let movable = pair.worlds[0].driver.movable();
        assert_eq!((movable.len(), &*movable[0].name), (1, &*id));
        pair.trouble.refused.store(true, Ordering::Relaxed);
        assert!(pair.send_away(0, &id).await.is_err());
        // Nothing has happened.
        route(&pair.worlds[1].server, "romeo@example.org", "one").await;
        assert_eq!(bodies(&hear(&mut romeo).await), ["one"]);
        pair.trouble.refused.store(false, Ordering::Relaxed);
        pair.send_away(0, &id).await.unwrap();
        let rest = romeo.rest().await;
        assert_eq!(rest.last(), Some(&Heard::End), "{rest:?}");
        assert!(
            rest.iter()
                .all(|heard| !matches!(heard, Heard::Xml(xml::Heard::Footer)))
        );
        assert!(pair.worlds[0].driver.movable().is_empty());
        route(&pair.worlds[0].server, "romeo@example.org/romeo", "two").await;
        quiet(Duration::from_secs(1)).await;
        // It resumes anywhere, also where it came from.
        let (mut romeo, answer) = pair.resume(0, "romeo", &id, had + 1).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), ["two"]);
        assert_eq!(pair.live("romeo"), [1, 0]);
        drop(romeo);
        // Its time goes on over there.
        quiet(Duration::from_secs(1)).await;
        pair.send_away(0, &id).await.unwrap();
        sleep(Duration::from_secs(700)).await;
        assert_eq!(pair.live("romeo"), [0, 0]);
    });
}

#[test]
fn messages_of_the_store_come_once_though_the_session_moves_among_them() {
    run(async {
        let pair = Pair::new(6);
        let said: Vec<String> = (0..150).map(|n| format!("line{n:03}")).collect();
        pair.worlds[0].account("romeo").await;
        for body in &said {
            route(&pair.worlds[0].server, "romeo@example.org", body).await;
            quiet(Duration::from_millis(1)).await;
        }
        let account = pair.worlds[0].account("romeo").await;
        let mut line = sim::link::Line::perfect();
        line.window = 6000;
        let mut romeo = Client::new(pair.worlds[0].connect(sim::link::Line::perfect(), line));
        romeo
            .login(&account, Some("romeo"), &mut pair.worlds[0].rng())
            .await
            .unwrap();
        romeo
            .send(format!("<enable {SM} resume='true'/>"))
            .await
            .unwrap();
        let id = romeo
            .element()
            .await
            .unwrap()
            .attr("id")
            .unwrap()
            .to_owned();
        romeo.send("<presence/>").await.unwrap();
        quiet(Duration::from_secs(1)).await;
        pair.send_away(0, &id).await.unwrap();
        drop(romeo);
        let (mut romeo, answer) = pair.resume(1, "romeo", &id, 0).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), said);
        assert_eq!(pair.offline("romeo").await, 0);
    });
}

/// What one run of moves under traffic has come to: per sender, what was heard.
async fn storm(seed: u64, fault: impl Fn(&Trouble)) -> Result<(), String> {
    let pair = Pair::new(100 + seed);
    let mut rng = Rng::new(seed);
    let (romeo, id) = pair.login(0, "romeo").await;
    let mut romeo = Some(romeo);
    romeo.as_mut().unwrap().send("<presence/>").await.unwrap();
    fault(&pair.trouble);
    let servers = [0, 1].map(|n: usize| pair.worlds[n].server.clone());
    let mut talkers = Vec::new();
    for (n, server) in servers.into_iter().enumerate() {
        let mut rng = Rng::new(seed ^ (n as u64 + 7));
        talkers.push(tokio::spawn(async move {
            for k in 0..60 {
                route(&server, "romeo@example.org/romeo", &format!("{n}-{k}")).await;
                sleep(Duration::from_millis(rng.below(12) as u64)).await;
            }
        }));
    }
    let (mut count, mut heard) = (0, Vec::new());
    for round in 0..14 {
        let last = round == 13;
        let wait = if last { 2000 } else { rng.below(40) };
        let until = Instant::now() + Duration::from_millis(wait as u64);
        if let Some(client) = &mut romeo {
            while let Ok(Heard::Xml(xml::Heard::Element(tree))) =
                tokio::time::timeout_at(until, client.hear()).await
            {
                if tree.ns == xml::CLIENT {
                    count += 1;
                    heard.push(tree.to_string());
                }
            }
        } else {
            tokio::time::sleep_until(until).await;
        }
        if last {
            break;
        }
        let dice = rng.below(3);
        pair.trouble
            .refused
            .store(rng.below(4) == 0, Ordering::Relaxed);
        if dice == 0 {
            let at = usize::from(pair.live("romeo")[0] == 0);
            let _ = pair.send_away(at, &id).await;
        }
        pair.trouble
            .refused
            .store(rng.below(4) == 0, Ordering::Relaxed);
        let at = rng.below(2);
        let (client, answer) = pair.resume(at, "romeo", &id, count).await;
        let refused = pair.trouble.refused.swap(false, Ordering::Relaxed);
        romeo = match answer.starts_with("<resumed ") {
            true => Some(client),
            false if refused => {
                let (client, answer) = pair.resume(1 - at, "romeo", &id, count).await;
                if !answer.starts_with("<resumed ") {
                    return Err(format!("round {round}: {answer}"));
                }
                Some(client)
            }
            false => return Err(format!("round {round}: {answer}")),
        };
    }
    for talker in talkers {
        talker.await.unwrap();
    }
    let mut by = BTreeMap::<String, Vec<u32>>::new();
    for body in bodies(&heard) {
        let (who, n) = body.split_once('-').unwrap();
        by.entry(who.to_owned())
            .or_default()
            .push(n.parse().unwrap());
    }
    for who in ["0", "1"] {
        let got = by.remove(who).unwrap_or_default();
        if got != (0..60).collect::<Vec<_>>() {
            return Err(format!("from {who}: {got:?}"));
        }
    }
    match (pair.live("romeo").iter().sum(), pair.offline("romeo").await) {
        (1, 0) => Ok(()),
        (live, offline) => Err(format!("{live} live, {offline} stored")),
    }
}

fn seeds() -> u64 {
    let seeds = std::env::var("SEEDS").ok();
    seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(30)
}

#[test]
fn through_many_moves_under_traffic_nothing_is_lost_doubled_or_reordered() {
    for seed in 0..seeds() {
        if let Err(what) = run(storm(seed, |_| {})) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    let found = |fault: fn(&Trouble)| (0..10).any(|seed| run(storm(seed, fault)).is_err());
    assert!(found(|trouble| trouble
        .forgetful
        .store(true, Ordering::Relaxed)));
    assert!(found(|trouble| trouble
        .twice
        .store(true, Ordering::Relaxed)));
}

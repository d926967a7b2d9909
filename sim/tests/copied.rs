//! Sessions of which copies are kept: nobody is told of what only this process has.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods)] // tasks of a test

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sim::client::Client;
use sim::link::End;
use sim::world::{World, WorldBuilder, run};
use tokio::time::{sleep, timeout};
use xmpp_core::mailbox::Envelope;
use xmpp_core::session::SessionId;
use xmpp_core::standby::{Copies, Name, Op, Opening, Progress, Queued, Replica};
use xmpp_core::time::Timestamp;
use xmpp_sm::Options;

const SM: &str = "xmlns='urn:xmpp:sm:3'";
/// How long the copy is behind.
const BEHIND: Duration = Duration::from_millis(40);

/// The process that keeps the copies.
#[derive(Clone, Default)]
struct Port(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    copies: HashMap<SessionId, Copy>,
    accepted: u64,
    /// Nothing comes there any more.
    cut: bool,
    /// The planted fault: all is said to be safe at once.
    hasty: bool,
}

struct Copy {
    state: String,
    told: u64,
    /// What it has.
    safe: u64,
    progress: Progress,
    waiting: Vec<Name>,
    sent: u64,
    handled: u32,
    ended: bool,
}

struct One {
    port: Port,
    session: SessionId,
}

impl Port {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap()
    }

    fn behind(&self) -> WorldBuilder {
        World::builder(0).copies(Arc::new(self.clone()))
    }

    fn of<T>(&self, name: &str, look: impl FnOnce(&Copy) -> T) -> T {
        let log = self.log();
        let mine = |copy: &&Copy| copy.state.contains(&format!("jid='{name}@"));
        look(log.copies.values().find(mine).unwrap())
    }
}

impl Copies for Port {
    fn open(&self, opening: Opening, progress: Progress) -> Box<dyn Replica> {
        let copy = Copy {
            state: String::from_utf8(opening.state.to_vec()).unwrap(),
            told: 0,
            safe: 0,
            progress,
            waiting: Vec::new(),
            sent: 0,
            handled: 0,
            ended: false,
        };
        self.log().copies.insert(opening.session, copy);
        Box::new(One {
            port: self.clone(),
            session: opening.session,
        })
    }
}

impl One {
    /// Something is on its way.
    fn told(&self, happens: impl FnOnce(&mut Copy)) -> u64 {
        let mut log = self.port.log();
        let (cut, hasty) = (log.cut, log.hasty);
        let copy = log.copies.get_mut(&self.session).unwrap();
        happens(copy);
        copy.told += 1;
        let n = copy.told;
        if hasty {
            copy.progress.safe(n);
        }
        let (port, session) = (self.port.clone(), self.session);
        if !cut {
            tokio::spawn(async move {
                sleep(BEHIND).await;
                let mut log = port.log();
                let copy = log.copies.get_mut(&session).unwrap();
                copy.safe = n.max(copy.safe);
                copy.progress.safe(n);
            });
        }
        n
    }
}

impl Replica for One {
    fn queue(&self, _: &Envelope) -> Queued {
        let n = {
            let mut log = self.port.log();
            log.accepted += 1;
            log.accepted
        };
        let name = Name { run: 1, n };
        Queued::New(name, self.told(|copy| copy.waiting.push(name)))
    }

    fn sent(&self, envelope: &Envelope, _: Timestamp) -> u64 {
        let name = envelope.name();
        self.told(|copy| {
            copy.waiting.retain(|waits| Some(*waits) != name);
            copy.sent += 1;
        })
    }

    fn tell(&self, op: Op) -> u64 {
        self.told(|copy| match op {
            Op::Withdrawn(name) => copy.waiting.retain(|waits| *waits != name),
            Op::Handled(h) => copy.handled = h,
            Op::State(state) => copy.state = String::from_utf8(state.to_vec()).unwrap(),
            _ => {}
        })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let mut log = self.port.log();
        log.copies.get_mut(&self.session).unwrap().ended = true;
    }
}

async fn resumable(world: &World, name: &str) -> Client<End> {
    let mut client = world.login(name).await;
    let enable = format!("<enable {SM} resume='true'/>");
    client.send(enable).await.unwrap();
    client.element().await.unwrap();
    client
}

/// The next stanza or element that has this in it, if it comes within that time.
async fn hears(client: &mut Client<End>, what: &str, within: Duration) -> bool {
    let hear = async {
        while let Ok(element) = client.element().await {
            if element.to_string().contains(what) {
                return true;
            }
        }
        false
    };
    timeout(within, hear).await.unwrap_or(false)
}

fn message(id: &str) -> String {
    format!("<message to='romeo@example.org/romeo' type='chat' id='{id}'><body>!</body></message>")
}

/// Whether neither the recipient nor the sender of a message hears of what the copies lack.
async fn keeps_its_word(hasty: bool) -> bool {
    let port = Port::default();
    let world = port.behind().build();
    let mut romeo = resumable(&world, "romeo").await;
    let mut juliet = resumable(&world, "juliet").await;
    sleep(2 * BEHIND).await;
    port.log().hasty = hasty;
    port.log().cut = true;
    let counted = port.of("juliet", |copy| copy.handled);
    juliet.send(message("1")).await.unwrap();
    let second = Duration::from_secs(1);
    let heard = hears(&mut romeo, "id='1'", second).await;
    juliet.send(format!("<r {SM}/>")).await.unwrap();
    let told = hears(&mut juliet, &format!("h='{}'", counted + 1), second).await;
    !heard && !told
}

#[test]
fn nobody_hears_of_what_the_copy_lacks() {
    assert!(run(keeps_its_word(false)));
    assert!(!run(keeps_its_word(true)), "the planted fault");
}

#[test]
fn a_message_and_its_acknowledgement_come_when_the_copies_have_them() {
    run(async {
        let port = Port::default();
        let world = port.behind().build();
        let mut romeo = resumable(&world, "romeo").await;
        romeo
            .send("<presence><status>here</status></presence>")
            .await
            .unwrap();
        let mut juliet = resumable(&world, "juliet").await;
        for n in 0..40 {
            juliet.send(message(&format!("m{n}"))).await.unwrap();
        }
        juliet.send(format!("<r {SM}/>")).await.unwrap();
        let second = Duration::from_secs(1);
        for n in 0..40 {
            assert!(
                hears(&mut romeo, &format!("id='m{n}'"), second).await,
                "{n}"
            );
        }
        assert!(hears(&mut juliet, "h='40'", second).await);
        assert_eq!(port.of("juliet", |copy| copy.handled), 40);
        assert!(port.of("romeo", |copy| copy.waiting.is_empty()));
        let state = port.of("romeo", |copy| copy.state.clone());
        assert!(state.contains("here"), "{state}");

        romeo.send("</stream:stream>").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(port.of("romeo", |copy| copy.ended));
        assert!(!port.of("juliet", |copy| copy.ended));
    });
}

/// It waits in the queue of a client that acknowledges nothing, and nothing comes to the copy any more.
#[test]
fn what_is_overdue_is_stored_and_withdrawn_and_counts_then() {
    run(async {
        let port = Port::default();
        let mut options = Options::default();
        options.stanzas = 1;
        let world = World::managing(0, options).copies(Arc::new(port.clone()));
        let world = world.build();
        let mut romeo = resumable(&world, "romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let mut juliet = resumable(&world, "juliet").await;
        sleep(2 * BEHIND).await;
        let romeos = port
            .log()
            .copies
            .iter()
            .find_map(|(id, copy)| copy.state.contains("jid='romeo@").then_some(*id));
        let romeos = romeos.unwrap();
        // The presence, or this, is what is not acknowledged.
        juliet.send(message("1")).await.unwrap();
        sleep(2 * BEHIND).await;
        port.log().cut = true;
        juliet.send(message("2")).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        let account = "romeo@example.org".parse().unwrap();
        let stored = world.server.stores().offline.count(&account).await;
        assert_eq!(stored.unwrap(), 0);
        let (name, progress) = {
            let log = port.log();
            let copy = &log.copies[&romeos];
            (*copy.waiting.last().unwrap(), copy.progress.clone())
        };
        assert!(progress.overdue(name));
        sleep(Duration::from_secs(1)).await;
        let stored = world.server.stores().offline.count(&account).await;
        assert_eq!(stored.unwrap(), 1);
        assert!(!port.log().copies[&romeos].waiting.contains(&name));
        let juliets = port.of("juliet", |copy| copy.progress.clone());
        juliets.safe(1000);
        juliet.send(format!("<r {SM}/>")).await.unwrap();
        assert!(hears(&mut juliet, "h='2'", Duration::from_secs(1)).await);
    });
}

#[test]
fn a_store_forgets_a_page_when_the_copy_has_it() {
    run(async {
        let port = Port::default();
        let world = port.behind().build();
        world.account("romeo").await;
        let mut juliet = resumable(&world, "juliet").await;
        juliet.send(message("1")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let account = "romeo@example.org".parse().unwrap();
        let stored = || world.server.stores().offline.count(&account);
        assert_eq!(stored().await.unwrap(), 1);
        let mut romeo = resumable(&world, "romeo").await;
        sleep(2 * BEHIND).await;
        port.log().cut = true;
        romeo.send("<presence/>").await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(stored().await.unwrap(), 1);
        let progress = port.of("romeo", |copy| copy.progress.clone());
        progress.safe(1000);
        assert!(hears(&mut romeo, "id='1'", Duration::from_secs(1)).await);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stored().await.unwrap(), 0);
    });
}

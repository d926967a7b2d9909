//! What somebody waits for that does not reach the other server in time, over the end of the process too.

use tokio::runtime::Runtime;

use super::*;
use crate::mailbox::{Later, Outcome, Settlement, SmPoint};
use crate::stanza::Condition;
use crate::store::{self, Outbox, QueuedStanza};
use crate::time::Timestamp;

const ROMEO: &str = "romeo@a.example/orchard";
const JULIET: &str = "juliet@b.example/balcony";

/// What is wrong with a store.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// It says that it has what it has not.
    Lies,
    /// It takes nothing.
    Fails,
}

struct Faulty(Fault, Stores);

#[async_trait]
impl Outbox for Faulty {
    async fn enqueue(
        &self,
        domain: &BareJid,
        stanzas: &[(Timestamp, String)],
    ) -> store::Result<Vec<u64>> {
        match self.0 {
            Fault::Lies => Ok((1..).take(stanzas.len()).collect()),
            Fault::Fails => Err(store::StoreError::Unavailable(domain.to_string())),
        }
    }

    async fn queued(
        &self,
        domain: &BareJid,
        after: u64,
        limit: usize,
    ) -> store::Result<Vec<QueuedStanza>> {
        self.1.outbox.queued(domain, after, limit).await
    }

    async fn dequeue(&self, domain: &BareJid, ids: &[u64]) -> store::Result<()> {
        self.1.outbox.dequeue(domain, ids).await
    }
}

fn faulty(fault: Fault) -> Stores {
    let mut stores = Stores::memory();
    stores.outbox = Arc::new(Faulty(fault, stores.clone()));
    stores
}

/// A server for a.example on these stores.
fn verona(net: &Net, stores: &Stores, change: impl FnOnce(&mut Config)) -> Site {
    let mut with = With::default("a.example");
    with.stores = stores.clone();
    change(&mut with.config);
    Site::with(net, "a.example", with)
}

async fn queued(stores: &Stores) -> Vec<String> {
    let domain = "a.example".parse().unwrap();
    let queued = stores.outbox.queued(&domain, 0, 9999).await.unwrap();
    queued.into_iter().map(|queued| queued.xml).collect()
}

/// Waits until so many are in the store.
async fn until_queued(stores: &Stores, count: usize) {
    let waiting = async {
        while queued(stores).await.len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        panic!(
            "{count} were to be in the store: {:?}",
            queued(stores).await
        );
    }
}

impl Person {
    /// Sends a stanza whose fate its stream waits for.
    async fn submit(&self, stanza: &str) -> Later {
        let stanza = Stanza::parse(stanza).unwrap();
        let stanza = stanza.with_from(Jid::from(self.session.jid()));
        let mut origin = Origin::session(self.session.id());
        origin.sm = Some(SmPoint {
            id: "s".into(),
            n: 1,
        });
        let dispatch = self.server.submit(stanza, &self.session, origin);
        match dispatch.finish().await {
            Settlement::Later(later) => later,
            settlement => panic!("{settlement:?}"),
        }
    }

    /// The same for messages to Juliet, until all are settled.
    async fn submit_all(&self, bodies: impl Iterator<Item = String>) {
        let mut open = Vec::new();
        for body in bodies {
            open.push(self.submit(&message(JULIET, &body)).await);
        }
        for later in open {
            let outcome = timeout(PATIENCE, later).await.expect("it is settled");
            assert_eq!(outcome, Outcome::Settled);
        }
    }
}

#[tokio::test]
async fn what_arrives_in_time_is_not_written_down() {
    let net = Net::default();
    let mut with = With::default("a.example");
    // However long it takes, it is in time.
    with.settle = PATIENCE;
    let a = Site::with(&net, "a.example", with);
    let b = Site::new(&net, "b.example");
    let (romeo, juliet) = (a.login(ROMEO).await, b.login(JULIET).await);
    romeo.submit_all((0..9).map(|n| format!("m{n}"))).await;
    for n in 0..9 {
        juliet.hears(&format!("<body>m{n}</body>")).await;
    }
    // It would write down all that is open.
    timeout(PATIENCE, a.federation.suspend()).await.unwrap();
    assert_eq!(a.server.metrics().s2s.stored.value(), 0);
}

#[tokio::test]
async fn what_waits_is_stored_before_it_is_settled_and_until_its_sender_hears_an_error() {
    let net = Net::default();
    let stores = Stores::memory();
    let silent = net.expect("b.example");
    let a = verona(&net, &stores, |config| {
        config.links.connect = Duration::from_millis(800);
    });
    let romeo = a.login(ROMEO).await;
    let begun = std::time::Instant::now();
    romeo.submit_all(["hark".to_owned()].into_iter()).await;
    assert!(begun.elapsed() >= a.server.config().timeouts.settle);
    assert!(queued(&stores).await[0].contains("hark"));
    let metrics = &a.server.metrics().s2s;
    a.until("it is counted", |_| metrics.outbox.value() == 1)
        .await;
    romeo.hears("remote-server-timeout").await;
    until_queued(&stores, 0).await;
    a.until("it is counted", |_| metrics.outbox.value() == 0)
        .await;
    assert_eq!(metrics.stored.value(), 1);
    romeo.hears_nothing().await;
    drop(silent);
}

/// Sends messages which wait for another server, and ends the process without a word when they are acknowledged; what arrives
/// there when it has come back, until nothing is in the store any more.
async fn after_a_crash(stores: Stores, count: usize) -> Vec<Stanza> {
    let net = Net::default();
    let silent = net.expect("b.example");
    let process = Runtime::new().unwrap();
    let a = {
        let _process = process.enter();
        verona(&net, &stores, |_| {})
    };
    let romeo = a.login(ROMEO).await;
    romeo.submit_all((0..count).map(|n| format!("m{n}."))).await;
    process.shutdown_background();
    drop((a, silent, romeo));

    let b = Site::new(&net, "b.example");
    let juliet = b.login(JULIET).await;
    let a = verona(&net, &stores, |_| {});
    a.federation.restore().await.unwrap();
    assert_eq!(a.federation.restore().await.unwrap(), 0, "once");
    let romeo = a.login(ROMEO).await;
    romeo.send(&message(JULIET, "the last")).await;
    let mut heard = Vec::new();
    loop {
        let stanza = juliet.next().await;
        if stanza.to_string().contains("the last") {
            break;
        }
        heard.push(stanza);
    }
    until_queued(&stores, 0).await;
    heard
}

/// More than are written or read at once.
#[tokio::test]
async fn what_was_acknowledged_is_sent_after_a_crash_in_its_order_and_as_late() {
    const MANY: usize = 700;
    let heard = after_a_crash(Stores::memory(), MANY).await;
    let bodies = heard.iter().map(|stanza| {
        let text = stanza.to_string();
        assert!(text.contains("<delay xmlns='urn:xmpp:delay'"), "{text}");
        assert!(text.contains("from='a.example'"), "{text}");
        let (_, body) = text.split_once("<body>m").unwrap();
        let body = body.split_once(".<").unwrap().0.to_owned();
        assert_eq!(stanza.id(), Some(&*format!("m{body}.")));
        body.parse::<usize>().unwrap()
    });
    assert!(bodies.eq(0..MANY), "{} came", heard.len());
}

/// So the test above would notice.
#[tokio::test]
async fn a_store_that_acknowledges_what_it_has_not_is_found() {
    let heard = after_a_crash(faulty(Fault::Lies), 3).await;
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test]
async fn what_cannot_be_stored_comes_back_once_and_is_not_sent() {
    let net = Net::default();
    let silent = net.expect("b.example");
    let a = verona(&net, &faulty(Fault::Fails), |_| {});
    let romeo = a.login(ROMEO).await;
    let later = romeo.submit(&message(JULIET, "hark")).await;
    let outcome = timeout(PATIENCE, later).await.unwrap();
    assert_eq!(outcome, Outcome::Returned);
    let error = romeo.hears("hark").await.error().unwrap();
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert_eq!(a.server.metrics().s2s.not_stored.value(), 1);

    let b = Site::new(&net, "b.example");
    let juliet = b.login(JULIET).await;
    drop(silent);
    romeo.send(&message(JULIET, "another")).await;
    juliet.hears("another").await;
    juliet.hears_nothing().await;
    romeo.hears_nothing().await;
}

#[tokio::test]
async fn what_does_not_fit_into_the_outbox_comes_back() {
    let net = Net::default();
    let stores = Stores::memory();
    let _silent = net.expect("b.example");
    let a = verona(&net, &stores, |config| config.outbox.stanzas = 2);
    let romeo = a.login(ROMEO).await;
    let mut open = Vec::new();
    for body in ["one", "two", "three"] {
        open.push(romeo.submit(&message(JULIET, body)).await);
    }
    let mut outcomes = Vec::new();
    for later in open {
        outcomes.push(timeout(PATIENCE, later).await.unwrap());
    }
    use Outcome::*;
    assert_eq!(outcomes, [Settled, Settled, Returned]);
    let error = romeo.hears("three").await.error().unwrap();
    assert_eq!(error.condition, Condition::ResourceConstraint);
    assert_eq!(queued(&stores).await.len(), 2);
}

/// A server that is to come back keeps what is in the store; one that is not tells those who have sent it.
#[tokio::test]
async fn what_is_stored_stays_for_the_next_run_if_there_is_to_be_one() {
    let net = Net::default();
    let stores = Stores::memory();
    let _silent = net.expect("b.example");
    let a = verona(&net, &stores, |_| {});
    let romeo = a.login(ROMEO).await;
    // Not yet stored when it stops, and nothing that anybody waits for.
    let later = romeo.submit(&message(JULIET, "kept")).await;
    romeo.send(&message(JULIET, "returned")).await;
    timeout(PATIENCE, a.federation.suspend()).await.unwrap();
    assert_eq!(timeout(PATIENCE, later).await.unwrap(), Outcome::Settled);
    romeo.hears("returned").await;
    romeo.hears_nothing().await;
    assert_eq!(queued(&stores).await.len(), 1);
    a.close().await;

    let _silent = net.expect("b.example");
    let a = verona(&net, &stores, |_| {});
    let romeo = a.login(ROMEO).await;
    assert_eq!(a.federation.restore().await.unwrap(), 1);
    a.until("it is dialled", |links| links.len() == 1).await;
    timeout(PATIENCE, a.federation.close()).await.unwrap();
    let error = romeo.hears("kept").await.error().unwrap();
    assert_eq!(error.condition, Condition::RemoteServerTimeout);
    assert_eq!(queued(&stores).await, [""; 0]);
}

/// Presence that says that somebody is there whose session the crash has ended, and what cannot be read.
#[tokio::test]
async fn what_is_stale_goes_and_what_is_damaged_stays() {
    let net = Net::default();
    let stores = Stores::memory();
    let texts = [
        format!("<presence from='{ROMEO}' to='{JULIET}'/>"),
        format!("<presence from='romeo@a.example/hall' to='{JULIET}'/>"),
        format!("<presence type='unavailable' from='{ROMEO}' to='{JULIET}'/>"),
        String::new(),
    ];
    let texts = texts.map(|text| (Timestamp(0), text));
    let domain = "a.example".parse().unwrap();
    stores.outbox.enqueue(&domain, &texts).await.unwrap();
    let b = Site::new(&net, "b.example");
    let juliet = b.login(JULIET).await;
    let a = verona(&net, &stores, |_| {});
    let _hall = a.login("romeo@a.example/hall").await;
    assert_eq!(a.federation.restore().await.unwrap(), 2);
    juliet.hears("hall").await;
    juliet.hears("unavailable").await;
    juliet.hears_nothing().await;
    assert_eq!(queued(&stores).await, [""]);
}

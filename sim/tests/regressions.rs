//! What went wrong once.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sim::client::{Account, Client, Heard};
use sim::link::{End, Line};
use sim::world::quiet;
use sim::{World, run};
use tokio::time::{sleep, timeout};

use xmpp_core::module::{Hooks, IqHandler, Module, Request, Scope};
use xmpp_core::server::Server;
use xmpp_core::stanza::StanzaError;
use xmpp_core::store::{BlockLists, Offline, OfflineLimits, OfflineMessage, Result, Stores};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

/// A session that was replaced while its client did not read noticed it only when the
/// client read again: nobody listened for the end of the session while what had been
/// written was still on its way.
#[test]
fn a_session_is_replaced_at_once_even_if_its_client_does_not_read() {
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut line = Line::perfect();
        line.window = 2000;
        let mut deaf = Client::new(world.connect(Line::perfect(), line));
        deaf.login(&account, Some("romeo"), &mut world.rng())
            .await
            .unwrap();
        let mut juliet = world.login("juliet").await;
        for _ in 0..5 {
            let body = "O ".repeat(500);
            let message =
                format!("<message to='romeo@example.org/romeo'><body>{body}</body></message>");
            juliet.send(message).await.unwrap();
            quiet(Duration::from_secs(1)).await;
        }
        assert_eq!(world.driver.connections(), 2);
        let _again = world.login("romeo").await;
        let close = world.server.config().timeouts.close;
        quiet(close + Duration::from_secs(1)).await;
        assert_eq!(world.driver.connections(), 2, "juliet's and the new one");
    });
}

/// A resource that was bound at the very moment at which the server was shut down
/// stayed bound: its connection had been told to close, and forgot the session.
#[test]
fn nobody_is_bound_after_a_shutdown() {
    const TAKES: Duration = Duration::from_millis(10);

    /// A store that takes its time.
    struct Slow(Arc<dyn BlockLists>);

    #[async_trait]
    impl BlockLists for Slow {
        async fn load(&self, account: &BareJid) -> Result<Vec<Jid>> {
            sleep(TAKES).await;
            self.0.load(account).await
        }

        async fn change(&self, account: &BareJid, add: &[Jid], remove: &[Jid]) -> Result<()> {
            self.0.change(account, add, remove).await
        }

        async fn forget(&self, account: &BareJid) -> Result<()> {
            self.0.forget(account).await
        }
    }

    run(async {
        let mut stores = Stores::memory();
        stores.block_lists = Arc::new(Slow(stores.block_lists.clone()));
        let world = World::builder(0).stores(stores).build();
        let account = world.account("romeo").await;
        let mut client = world.client();
        client
            .authenticate(&account, &mut world.rng())
            .await
            .unwrap();
        client
            .send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await
            .unwrap();
        sleep(TAKES).await;
        assert!(world.driver.shutdown(Duration::from_secs(60)).await);
        assert_eq!(world.server.directory().len(), 0);
    });
}

/// What waited for a client that did not read was poured into its socket at the shutdown,
/// and lost with it: it is kept for when the client comes back (RFC 6121 §8.5.2.2.1).
#[test]
fn what_a_client_that_does_not_read_was_not_given_is_kept_at_the_shutdown() {
    const SENT: usize = 50;
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut line = Line::perfect();
        line.window = 2000;
        let mut deaf = Client::new(world.connect(Line::perfect(), line));
        deaf.login(&account, Some("romeo"), &mut world.rng())
            .await
            .unwrap();
        deaf.send("<presence/>").await.unwrap();
        let mut juliet = world.login("juliet").await;
        let body = "O ".repeat(500);
        for _ in 0..SENT {
            let message = format!(
                "<message to='romeo@example.org' type='chat'><body>{body}</body></message>"
            );
            juliet.send(message).await.unwrap();
        }
        quiet(Duration::from_secs(1)).await;
        // Less than a client has to close its stream: what is kept does not wait for that.
        let patience = world.server.config().timeouts.close / 2;
        world.driver.shutdown(patience).await;
        let romeo = "romeo@example.org".parse().unwrap();
        let kept = world.server.stores().offline.count(&romeo).await.unwrap();
        // Some were on their way through buffers.
        assert!(
            (SENT * 3 / 5..SENT).contains(&kept),
            "{kept} of {SENT} kept"
        );
    });
}

/// What had come since overtook stored messages at the shutdown, which were still to be read
/// from the store: the client saw the newest message, and the older ones after the next login.
#[test]
fn nothing_overtakes_stored_messages_at_the_shutdown() {
    /// A store that takes its time to read.
    struct Slow(Arc<dyn Offline>);

    #[async_trait]
    impl Offline for Slow {
        async fn push(
            &self,
            account: &BareJid,
            at: Timestamp,
            xml: &str,
            limits: OfflineLimits,
        ) -> Result<bool> {
            self.0.push(account, at, xml, limits).await
        }

        async fn page(
            &self,
            account: &BareJid,
            after: u64,
            limit: usize,
        ) -> Result<Vec<OfflineMessage>> {
            sleep(Duration::from_millis(100)).await;
            self.0.page(account, after, limit).await
        }

        async fn delete(&self, account: &BareJid, ids: &[u64]) -> Result<()> {
            self.0.delete(account, ids).await
        }

        async fn count(&self, account: &BareJid) -> Result<usize> {
            self.0.count(account).await
        }

        async fn forget(&self, account: &BareJid) -> Result<()> {
            self.0.forget(account).await
        }
    }

    const MESSAGE: &str = "<message to='romeo@example.org' type='chat'><body>Hark</body></message>";
    run(async {
        let mut stores = Stores::memory();
        stores.offline = Arc::new(Slow(stores.offline.clone()));
        let world = World::builder(0).stores(stores).build();
        world.account("romeo").await;
        let mut juliet = world.login("juliet").await;
        juliet.send(MESSAGE).await.unwrap();
        quiet(Duration::from_millis(10)).await;
        let mut romeo = world.login("romeo").await;
        romeo.send("<presence/>").await.unwrap();
        quiet(Duration::from_millis(10)).await;
        juliet.send(MESSAGE).await.unwrap();
        quiet(Duration::from_millis(10)).await;
        world.driver.shutdown(Duration::from_secs(1)).await;
        let heard = romeo.rest().await;
        let message = |heard: &Heard| heard.to_string().starts_with("<message");
        assert!(!heard.iter().any(message), "{heard:?}");
        let romeo = "romeo@example.org".parse().unwrap();
        let kept = world.server.stores().offline.count(&romeo).await.unwrap();
        assert_eq!(kept, 2);
    });
}

/// A session that was replaced while its client did not read kept its burst as long as that
/// had to close the connection, and the account's other client waited.
#[test]
fn the_rest_of_a_burst_goes_to_another_session_at_once() {
    const SENT: usize = 50;
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut juliet = world.login("juliet").await;
        let body = "O ".repeat(500);
        for _ in 0..SENT {
            let message = format!(
                "<message to='romeo@example.org' type='chat'><body>{body}</body></message>"
            );
            juliet.send(message).await.unwrap();
        }
        quiet(Duration::from_millis(10)).await;
        let mut line = Line::perfect();
        line.window = 2000;
        let mut deaf = Client::new(world.connect(Line::perfect(), line));
        deaf.login(&account, Some("deaf"), &mut world.rng())
            .await
            .unwrap();
        deaf.send("<presence/>").await.unwrap();
        quiet(Duration::from_millis(10)).await;
        let mut other = world.login("romeo").await;
        other.send("<presence/>").await.unwrap();
        quiet(Duration::from_millis(10)).await;
        let mut again = world.client();
        again
            .login(&account, Some("deaf"), &mut world.rng())
            .await
            .unwrap();
        let mut got = 0;
        while got < SENT {
            let next = tokio::time::timeout(Duration::from_secs(1), other.element()).await;
            got += usize::from(next.expect("it comes at once").unwrap().name == "message");
        }
    });
}
/// Messages that a client hears in some seconds, by their ids, and whether they are late.
async fn messages(client: &mut Client<End>) -> Vec<(String, bool)> {
    let mut messages = Vec::new();
    while let Ok(Ok(tree)) = timeout(Duration::from_secs(5), client.element()).await {
        if let Some(id) = tree.attr("id").filter(|_| tree.name == "message") {
            let late = tree.child("delay", "urn:xmpp:delay").is_some();
            messages.push((id.to_owned(), late));
        }
    }
    messages
}

/// Romeo, with a managed stream.
async fn managed(world: &World, account: &Account) -> Client<End> {
    let mut romeo = world.client();
    let login = romeo.login(account, Some("garden"), &mut world.rng()).await;
    login.unwrap();
    let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>";
    romeo.send(enable).await.unwrap();
    romeo
}

/// What a client had not acknowledged was lost when its session was replaced by one of the
/// same resource: by the time its connection gave it back the session had ended, and ending it
/// twice did nothing (XEP-0198 §4, RFC 6121 §8.5).
#[test]
fn what_was_not_acknowledged_goes_to_the_session_that_replaces_its_own() {
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut romeo = managed(&world, &account).await;
        let mut juliet = world.login("juliet").await;
        let message = "<message to='romeo@example.org' type='chat' id='1'><body>O</body></message>";
        juliet.send(message).await.unwrap();
        let once = [("1".to_owned(), false)];
        assert_eq!(messages(&mut romeo).await, once);
        let mut again = managed(&world, &account).await;
        assert_eq!(messages(&mut again).await, [("1".to_owned(), true)]);
    });
}

/// What had been kept for a client and was sent to it, but not acknowledged when its session
/// ended, was kept a second time.
#[test]
fn what_was_kept_and_not_acknowledged_is_kept_once() {
    run(async {
        let mut options = xmpp_sm::Options::default();
        options.stanzas = 1;
        options.max = Duration::from_secs(30);
        let world = World::managing(0, options).build();
        let account = world.account("romeo").await;
        let mut juliet = world.login("juliet").await;
        for id in 1..=3 {
            let message = format!(
                "<message to='romeo@example.org' type='chat' id='{id}'><body>O</body></message>"
            );
            juliet.send(message).await.unwrap();
        }
        quiet(Duration::from_secs(1)).await;
        let all = ["1", "2", "3"].map(|id| (id.to_owned(), true));
        let mut romeo = managed(&world, &account).await;
        assert_eq!(messages(&mut romeo).await, all);
        romeo.io().switch().reset();
        quiet(Duration::from_secs(60)).await;
        let kept = &world.server.stores().offline;
        assert_eq!(kept.count(&account.jid).await.unwrap(), 3);
        let mut romeo = managed(&world, &account).await;
        assert_eq!(messages(&mut romeo).await, all);
    });
}

/// What a client sent right behind `<resume/>` was not read until it sent more, and then after
/// that.
#[test]
fn what_stands_behind_a_resumption_is_read_after_it() {
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut romeo = managed(&world, &account).await;
        let enabled = romeo.element().await.unwrap();
        let id = enabled.attr("id").unwrap().to_owned();
        romeo.io().switch().reset();
        let mut again = world.client();
        let login = again.authenticate(&account, &mut world.rng()).await;
        login.unwrap();
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
        let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
        again.send(resume + ping).await.unwrap();
        let mut heard = Vec::new();
        while let Ok(Ok(tree)) = timeout(Duration::from_secs(2), again.element()).await {
            heard.push(tree);
        }
        assert_eq!(heard[0].name, "resumed");
        assert!(
            heard.iter().any(|tree| tree.attr("id") == Some("p")),
            "{heard:?}"
        );
    });
}

/// A connection whose client had been sent as much of what was kept for it as may wait to be
/// acknowledged had its turn again and again until something was, and time stood still.
#[test]
fn who_is_given_what_was_kept_and_acknowledges_nothing_keeps_nobody_busy() {
    let (over, is_over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        run(async {
            let mut options = xmpp_sm::Options::default();
            options.stanzas = 1;
            let world = World::managing(0, options).build();
            let account = world.account("romeo").await;
            let mut juliet = world.login("juliet").await;
            for _ in 0..3 {
                let message =
                    "<message to='romeo@example.org' type='chat'><body>O</body></message>";
                juliet.send(message).await.unwrap();
            }
            quiet(Duration::from_secs(1)).await;
            let mut romeo = world.client();
            let login = romeo.login(&account, None, &mut world.rng()).await;
            login.unwrap();
            romeo
                .send("<enable xmlns='urn:xmpp:sm:3'/><presence/>")
                .await
                .unwrap();
            quiet(Duration::from_secs(1)).await;
        });
        over.send(())
    });
    is_over.recv_timeout(Duration::from_secs(60)).unwrap();
}

/// What a client had been sent and had not acknowledged was lost when the task of its connection
/// panicked: only the machine knew of it.
#[test]
fn what_was_not_acknowledged_outlives_a_task_that_panics() {
    /// Does what no module may.
    struct Panics;

    impl Module for Panics {
        fn register(self: Arc<Self>, on: &mut Hooks) {
            on.iq(Scope::Server, "panic", "urn:example:panic", self);
        }
    }

    #[async_trait]
    impl IqHandler for Panics {
        async fn handle(
            &self,
            _: &Request,
            _: &Server,
        ) -> std::result::Result<Option<Element>, StanzaError> {
            panic!("on purpose")
        }
    }

    // Not in `run`, where nothing may panic.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::builder(0).module(Panics).build();
        let mut romeo = world.login("romeo").await;
        let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>";
        romeo.send(enable).await.unwrap();
        let mut juliet = world.login("juliet").await;
        let message = "<message to='romeo@example.org' type='chat'><body>Hi</body></message>";
        juliet.send(message).await.unwrap();
        quiet(Duration::from_secs(1)).await;
        let account = "romeo@example.org".parse().unwrap();
        let kept = || world.server.stores().offline.count(&account);
        assert_eq!(kept().await.unwrap(), 0);
        let panic =
            "<iq type='get' id='p' to='example.org'><panic xmlns='urn:example:panic'/></iq>";
        romeo.send(panic).await.unwrap();
        quiet(Duration::from_secs(1)).await;
        assert_eq!(kept().await.unwrap(), 1);
        assert_eq!(world.server.directory().len(), 1);
    });
}

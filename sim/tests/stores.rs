//! Nodes with a store each: what is written to one is in all, also after a cut.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::disallowed_methods)] // tasks of a test

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sim::client::{Client, Heard};
use sim::link::End;
use sim::world::quiet;
use sim::{World, run, xml};
use tokio::time::{Instant, sleep, timeout};
use xmpp_cluster::accounts::{Courier, Ledger};
use xmpp_cluster::cluster::Limits;
use xmpp_cluster::directory::ClusterDirectory;
use xmpp_cluster::exchange::Exchange;
use xmpp_cluster::frame::VERSIONS;
use xmpp_cluster::io::{Cluster, Handler};
use xmpp_cluster::news::AccountNews;
use xmpp_cluster::node::{Incarnation, Life, NodeId, NodeInfo};
use xmpp_cluster::transport::local::Net;
use xmpp_core::BareJid;
use xmpp_core::store::Stores;
use xmpp_core::store::memory::Memory;
use xmpp_core::time::{Clock, Now, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

struct Virtual(std::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Now {
        let instant = Instant::now().into_std();
        let passed = instant.saturating_duration_since(self.0);
        let utc = Timestamp(1_767_225_600_000).plus(passed);
        Now { instant, utc }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(time))
    }
}

/// Three nodes of one domain, with a store each.
struct Three {
    net: Net,
    names: Vec<NodeId>,
    worlds: Vec<World>,
}

impl Three {
    async fn new(seed: u64) -> Three {
        let start = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(Virtual(start.into_std()));
        let net = Net::new();
        let (mut names, mut worlds) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let node: NodeId = format!("n{n}").parse().unwrap();
            names.push(node.clone());
            let memory = Arc::new(Memory::new());
            let stores = Stores::from_one(memory.clone());
            let (name, fresh) = (node.clone(), (seed << 8) + 2 * n + 2);
            let ledger = Ledger::open(stores, memory, name, clock.clone(), fresh).await;
            let ledger = ledger.unwrap();
            let incarnation = Incarnation::begin(clock.now().utc, None);
            let me = NodeInfo {
                life: Life { node, incarnation },
                site: "home".parse().unwrap(),
                versions: VERSIONS,
            };
            let engine = Arc::new(net.node(clock.clone()));
            let cluster = Cluster::new(me, Limits::default(), engine, clock.clone());
            let directory = Arc::new(ClusterDirectory::new(cluster.clone()));
            let news = Arc::new(AccountNews::new(cluster.clone()));
            let builder = World::builder(3 * seed + n).stores(ledger.stores());
            let builder = builder.directory(directory.clone());
            let world = builder.account_events(news.clone()).after(start).build();
            let exchange = Exchange::new(directory, world.server.clone());
            let courier = Courier::new(ledger, world.server.clone(), cluster.clone());
            let handlers: Vec<Arc<dyn Handler>> = vec![news, Arc::new(exchange), Arc::new(courier)];
            tokio::spawn(cluster.join(handlers).await.unwrap().run());
            worlds.push(world);
        }
        quiet(5 * SECOND).await;
        Three { net, names, worlds }
    }

    /// A client of an account that was made at the first node.
    async fn login(&self, at: usize, name: &str) -> Option<Client<End>> {
        let account = self.worlds[0].account(name).await;
        quiet(SECOND).await;
        let world = &self.worlds[at];
        let mut client = world.client();
        let resource = self.names[at].as_str();
        let login = client
            .login(&account, Some(resource), &mut world.rng())
            .await;
        login.ok().map(|_| client)
    }

    /// Cuts the first node off.
    fn cut(&self) {
        for other in &self.names[1..] {
            self.net.cut(&self.names[0], other);
            self.net.cut(other, &self.names[0]);
        }
    }

    fn stores(&self, at: usize) -> &Stores {
        self.worlds[at].server.stores()
    }
}

async fn hear(client: &mut Client<End>) -> String {
    let mut heard = String::new();
    while let Ok(Heard::Xml(xml::Heard::Element(tree))) = timeout(SECOND, client.hear()).await {
        heard += &tree.to_string();
    }
    heard
}

fn item(name: &str, groups: &str) -> String {
    format!(
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='juliet@example.net' name='{name}'>{groups}</item></query></iq>"
    )
}

const ROSTER: &str = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";

#[test]
fn an_account_that_is_made_at_one_node_logs_in_at_the_others_and_has_one_roster() {
    run(async {
        let three = Three::new(1).await;
        let mut here = three.login(1, "romeo").await.unwrap();
        let mut there = three.login(2, "romeo").await.unwrap();
        there.send(ROSTER).await.unwrap();
        hear(&mut there).await;
        here.send(item("Juliet", "")).await.unwrap();
        let pushed = hear(&mut there).await;
        assert!(pushed.contains("juliet@example.net"), "{pushed}");
        // While there is a cut each side has its own, and then both have what both have written.
        three.cut();
        quiet(20 * SECOND).await;
        let mut cut = three.login(0, "romeo").await.unwrap();
        cut.send(ROSTER).await.unwrap();
        assert!(hear(&mut cut).await.contains("Juliet"));
        cut.send(item("Capulet", "")).await.unwrap();
        quiet(SECOND).await;
        here.send(item("Juliet", "<group>Friends</group>"))
            .await
            .unwrap();
        quiet(SECOND).await;
        three.net.heal();
        quiet(30 * SECOND).await;
        for client in [&mut cut, &mut there] {
            let pushed = hear(client).await;
            let last = pushed.rsplit("<iq").next().unwrap();
            assert!(
                last.contains("Capulet") && last.contains("Friends"),
                "{pushed}"
            );
        }
    });
}

#[test]
fn a_deletion_on_one_side_of_a_cut_ends_the_sessions_of_the_other_after_it() {
    run(async {
        let three = Three::new(2).await;
        let romeo: BareJid = "romeo@example.org".parse().unwrap();
        let mut client = three.login(0, "romeo").await.unwrap();
        client.send(ROSTER).await.unwrap();
        hear(&mut client).await;
        three.cut();
        quiet(20 * SECOND).await;
        assert!(three.worlds[1].server.remove_account(&romeo).await.unwrap());
        // Nobody here knows.
        client.send(item("Juliet", "")).await.unwrap();
        assert!(hear(&mut client).await.contains("result"));
        three.net.heal();
        quiet(30 * SECOND).await;
        let rest: String = client
            .rest()
            .await
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(rest.contains("not-authorized"), "{rest}");
        for at in 0..3 {
            assert!(!three.stores(at).accounts.exists(&romeo).await.unwrap());
            assert_eq!(
                three.stores(at).rosters.load(&romeo).await.unwrap().items,
                []
            );
        }
    });
}

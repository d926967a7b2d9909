//! One scenario: clients that talk, what is done meanwhile, and the verdict.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use benches::{
    login::{Mechanism, Peer, Security, Target},
    scram::Cache,
    tls::{self, Handshakes},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    client::{self, Client, Orders, Phase, RESOURCE, Troubles},
    cluster::{Cluster, DOMAIN},
    ledger::{Fates, Ledger, Wrong},
    scenario::{Lengths, Scenario, Times},
    watch::Watch,
};

/// The clients of a run.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Clients, two in a pair; both talk.
    pub clients: usize,
    /// Between two messages of each.
    pub pace: Duration,
    /// For the first client's messages.
    pub plant: Option<Wrong>,
}

/// Those who are there, for whoever plays a scenario.
pub struct Crowd {
    orders: Vec<Rc<Orders>>,
}

/// What a scenario has shown.
#[derive(Debug)]
pub struct Row {
    /// Which one.
    pub scenario: Scenario,
    /// Of all messages.
    pub fates: Fates,
    /// Of all clients.
    pub troubles: Troubles,
    /// Of the nodes.
    pub times: Times,
    /// Bytes between the nodes, heartbeats and encryption included.
    pub bytes: u64,
    /// How long clients talked.
    pub lasted: Duration,
    /// What is lost, by sender.
    pub lost: Vec<(usize, Vec<u64>)>,
}

/// What is owed comes within this time of silence, or does not.
const STALL: Duration = Duration::from_secs(8);
const LOGIN: Duration = Duration::from_secs(30);

impl Crowd {
    /// Has those clients go on at another node for which this is so, by account and node.
    pub fn hop(&self, who: impl Fn(usize, usize) -> bool) {
        for (index, orders) in self.orders.iter().enumerate() {
            if who(index, orders.node.get()) {
                orders.hop.notify_one();
            }
        }
    }
}

impl Load {
    /// Plays a scenario, and judges.
    pub async fn run(
        &self,
        scenario: Scenario,
        cluster: &mut Cluster,
        watch: &Watch,
        lengths: Lengths,
    ) -> anyhow::Result<Row> {
        let nodes: Rc<[_]> = (0..cluster.len())
            .map(|node| cluster.clients(node))
            .collect();
        let target = Target {
            address: nodes[0],
            domain: DOMAIN.to_owned(),
            security: Security::None,
            mechanism: Mechanism::ScramSha1,
            peer: Peer::Server,
            tls: tls::client(Handshakes::Full),
            sources: 0,
            managed: true,
            resource: Some(RESOURCE.to_owned()),
            keys: Cache::default(),
        };
        let ledgers: Vec<_> = (0..self.clients)
            .map(|index| Rc::new(RefCell::new(Ledger::new(self.plant.filter(|_| index == 0)))))
            .collect();
        let troubles = Rc::new(RefCell::new(Troubles::default()));
        let ready = Rc::new(Cell::new(0));
        let (phase, phases) = watch::channel(Phase::Enter);
        let mut crowd = Crowd { orders: Vec::new() };
        let mut tasks = JoinSet::new();
        for index in 0..self.clients {
            let orders = Rc::new(Orders::default());
            // Of three pairs one is at one node, and two are at two.
            orders
                .node
                .set((index / 2 + index % 2 * (index / 6 % 3)) % nodes.len());
            crowd.orders.push(orders.clone());
            let client = Client {
                index,
                target: target.clone(),
                nodes: nodes.clone(),
                ledgers: [ledgers[index].clone(), ledgers[index ^ 1].clone()],
                troubles: troubles.clone(),
                orders,
                pace: self.pace,
                phase: phases.clone(),
            };
            tasks.spawn_local(client.run(ready.clone()));
        }
        let begin = Instant::now();
        while ready.get() < self.clients {
            if let Some(ended) = tasks.try_join_next() {
                ended??;
                bail!("a client has ended");
            }
            if begin.elapsed() > LOGIN {
                bail!("the clients cannot log in");
            }
            sleep(Duration::from_millis(20)).await;
        }
        phase.send_replace(Phase::Talk);
        let (begin, bytes) = (Instant::now(), cluster.network().carried());
        sleep(lengths.talk).await;
        let times = scenario.play(cluster, watch, &crowd, lengths).await?;
        phase.send_replace(Phase::Listen);
        let (lasted, bytes) = (begin.elapsed(), cluster.network().carried() - bytes);
        settle(&ledgers).await;
        phase.send_replace(Phase::Over);
        while let Some(ended) = tasks.join_next().await {
            ended?.context("a client")?;
        }
        for ledger in &ledgers {
            ledger.borrow_mut().collect();
        }
        self.collect(&target, &nodes, &ledgers).await?;
        let mut fates = Fates::default();
        let mut lost = Vec::new();
        for (index, ledger) in ledgers.iter().enumerate() {
            fates += ledger.borrow().fates();
            let missing = ledger.borrow().lost();
            lost.extend((!missing.is_empty()).then_some((index, missing)));
        }
        Ok(Row {
            scenario,
            fates,
            troubles: troubles.take(),
            times,
            bytes,
            lasted,
            lost,
        })
    }

    /// All log in once more, at each node: what it has stored for them is given out there.
    async fn collect(
        &self,
        target: &Target,
        nodes: &[std::net::SocketAddr],
        ledgers: &[Rc<RefCell<Ledger>>],
    ) -> anyhow::Result<()> {
        for &address in nodes {
            let mut tasks = JoinSet::new();
            for index in 0..self.clients {
                let target = Target {
                    address,
                    ..target.clone()
                };
                let theirs = ledgers[index ^ 1].clone();
                tasks.spawn_local(async move { client::collect(&target, index, &theirs).await });
            }
            while let Some(ended) = tasks.join_next().await {
                ended?.context("a client that collects")?;
            }
        }
        Ok(())
    }
}

impl Row {
    /// Whether it shows what it is to show.
    pub fn holds(&self) -> bool {
        self.fates.hold() && self.fates.acknowledged > 0 && self.troubles.wrong.is_empty()
    }
}

/// Waits until everything has come, or nothing more comes.
async fn settle(ledgers: &[Rc<RefCell<Ledger>>]) {
    let waiting = || {
        ledgers
            .iter()
            .filter(|ledger| ledger.borrow().is_waiting())
            .count()
    };
    let mut last = (waiting(), Instant::now());
    while last.0 > 0 && last.1.elapsed() < STALL {
        sleep(Duration::from_millis(200)).await;
        let now = waiting();
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    // What should not come has a moment to do so.
    sleep(Duration::from_secs(2)).await;
}

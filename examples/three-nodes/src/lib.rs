//! Three nodes of one domain in one process, without a socket, a port or a file: what a test of an application that embeds a clustered
//! server looks like (see `tests/cluster.rs`). Each node is an [`App`] of the crate `embedded`.
//!
//! The engine between them is any: [`local`](xmpp_cluster::transport::local) here, one of its own in the crate `own-transport`.

use std::sync::Arc;
use std::time::Duration;

use embedded::{App, Result};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use xmpp_cluster::cluster::Limits;
use xmpp_cluster::io::Ended;
use xmpp_cluster::node::{Incarnation, NodeInfo};
use xmpp_cluster::server::ServerNode;
use xmpp_cluster::transport::Transport;
use xmpp_core::FullJid;
use xmpp_core::directory::Directory as _;
use xmpp_core::io::SystemClock;
use xmpp_core::store::Stores;
use xmpp_core::time::Clock as _;

/// How long a test waits for what has to come: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One node: its server, and its part in the cluster.
pub struct Node {
    /// The server, and the way in.
    pub app: App,
    node: ServerNode,
    driver: JoinHandle<Ended>,
}

/// Starts the nodes `a`, `b` and `c` over one store, each with an engine, and waits until all know each other.
pub async fn start(engine: impl Fn() -> Arc<dyn Transport>) -> Result<[Node; 3]> {
    let stores = Stores::memory();
    let nodes = [
        Node::start("a", engine(), &stores).await?,
        Node::start("b", engine(), &stores).await?,
        Node::start("c", engine(), &stores).await?,
    ];
    for node in &nodes {
        node.until(|node| node.cluster().up().len() == 2).await?;
    }
    Ok(nodes)
}

impl Node {
    #[allow(clippy::disallowed_methods)] // the embedder is who spawns
    async fn start(name: &str, engine: Arc<dyn Transport>, stores: &Stores) -> Result<Node> {
        let clock = Arc::new(SystemClock);
        // One that is started again keeps the number of its last life, in a file for example.
        let life = Incarnation::begin(clock.now().utc, None);
        let me = NodeInfo::new(name.parse()?, "home".parse()?, life);
        let mut limits = Limits::default();
        limits.timers.beat = Duration::from_millis(50); // a test is in a hurry
        let node = ServerNode::new(me, limits, engine, clock);
        let app = App::start(|builder| node.of(builder.stores(stores.clone())))?;
        let driver = node.join(app.server(), Vec::new()).await?;
        let driver = tokio::spawn(driver.run());
        Ok(Node { app, node, driver })
    }

    /// Waits until this node knows that a session is bound, wherever that is.
    pub async fn sees(&self, jid: &FullJid) -> Result<()> {
        let bound = |node: &ServerNode| {
            let all = node.directory().resources(jid.bare_str());
            all.iter().any(|resource| resource.jid() == jid)
        };
        self.until(bound).await
    }

    /// Waits until so many other nodes are up.
    pub async fn hears(&self, others: usize) -> Result<()> {
        self.until(|node| node.cluster().up().len() == others).await
    }

    /// Ends all streams and leaves the cluster; how that ended.
    pub async fn stop(self) -> Result<Ended> {
        self.app.stop().await;
        self.node.cluster().leave(PATIENCE).await;
        Ok(self.driver.await?)
    }

    async fn until(&self, holds: impl Fn(&ServerNode) -> bool) -> Result<()> {
        let wait = async {
            while !holds(&self.node) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(timeout(PATIENCE, wait).await?)
    }
}

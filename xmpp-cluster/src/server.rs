//! A server as a node: what has to be joined to what.
//!
//! ```
//! # use std::sync::Arc;
//! # use xmpp_cluster::node::{Incarnation, NodeInfo};
//! # use xmpp_cluster::server::ServerNode;
//! # use xmpp_cluster::transport::{JoinError, Transport};
//! # use xmpp_core::server::{Builder, Surroundings};
//! # async fn example(engine: Arc<dyn Transport>, builder: Builder, surroundings: Surroundings) -> Result<(), JoinError> {
//! let clock = surroundings.clock.clone();
//! let incarnation = Incarnation::begin(clock.now().utc, None);
//! let me = NodeInfo::new("a".parse().unwrap(), "home".parse().unwrap(), incarnation);
//! let node = ServerNode::new(me, Default::default(), engine, clock);
//! let server = node.of(builder).build(surroundings).unwrap();
//! let driver = node.join(&server, Vec::new()).await?;
//! // Spawned, usually; and from now on there may be clients.
//! driver.run().await;
//! # Ok(()) }
//! ```

use std::sync::Arc;

use xmpp_core::server::{Builder, Server};
use xmpp_core::time::Clock;

use crate::cluster::Limits;
use crate::directory::ClusterDirectory;
use crate::exchange::Exchange;
use crate::io::{Cluster, Driver, Handler};
use crate::news::AccountNews;
use crate::node::NodeInfo;
use crate::transport::{JoinError, Transport};

/// A server's part in a cluster, before there is a server and with it. Clone is cheap and names the same one.
#[derive(Clone)]
pub struct ServerNode {
    cluster: Cluster,
    directory: Arc<ClusterDirectory>,
    news: Arc<AccountNews>,
}

impl ServerNode {
    /// A node that has not joined yet.
    pub fn new(
        me: NodeInfo,
        limits: Limits,
        engine: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> ServerNode {
        let cluster = Cluster::new(me, limits, engine, clock);
        ServerNode {
            directory: Arc::new(ClusterDirectory::new(cluster.clone())),
            news: Arc::new(AccountNews::new(cluster.clone())),
            cluster,
        }
    }

    /// A server that shares its sessions with the other nodes, and tells them what changes of accounts. All nodes have the same stores but for
    /// those of sessions and of what waits for other servers, which each has for itself; or stores of its own, and a [`Courier`](crate::accounts::Courier).
    pub fn of(&self, builder: Builder) -> Builder {
        let builder = builder.directory(self.directory.clone());
        builder.account_events(self.news.clone())
    }

    /// Joins, before that server has clients; `more` hear of everything too: with [`Moves`](crate::moves::Moves) sessions go from node to node, with
    /// a [`Courier`](crate::accounts::Courier) accounts do. The driver is to be run.
    ///
    /// # Errors
    ///
    /// As of [`Transport::join`].
    pub async fn join(
        &self,
        server: &Server,
        more: Vec<Arc<dyn Handler>>,
    ) -> Result<Driver, JoinError> {
        let exchange = Exchange::new(self.directory.clone(), server.clone());
        // An account is known to have changed before what follows from that comes.
        let mut handlers: Vec<Arc<dyn Handler>> = vec![self.news.clone(), Arc::new(exchange)];
        handlers.extend(more);
        self.cluster.join(handlers).await
    }

    /// The node itself.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The sessions of all nodes.
    pub fn directory(&self) -> &Arc<ClusterDirectory> {
        &self.directory
    }
}

impl std::fmt::Debug for ServerNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerNode({})", self.cluster.me().life)
    }
}

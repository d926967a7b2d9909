//! This server as one node of a cluster (`[cluster]`).

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinHandle;
use xmpp_cluster::cluster::Limits;
use xmpp_cluster::directory::ClusterDirectory;
use xmpp_cluster::exchange::Exchange;
use xmpp_cluster::frame::VERSIONS;
use xmpp_cluster::io::{Cluster, Ended, Handler, Status};
use xmpp_cluster::moves::{Drained, Moves};
use xmpp_cluster::news::AccountNews;
use xmpp_cluster::node::{Incarnation, Life, NodeId, NodeInfo};
use xmpp_cluster::transport::Transport;
use xmpp_core::directory::Directory as _;
use xmpp_core::io::s2s::Gate;
use xmpp_core::io::{Driver, SystemClock};
use xmpp_core::mailbox::Mailbox;
use xmpp_core::server::{Builder, Server};
use xmpp_core::time::Clock as _;
use xmpp_core::{FullJid, Jid};

use crate::accounts::with_desk;
use crate::admin::{Reply, Request, cluster as told};
use crate::config::{self, Config, Engine};
use crate::folder;

/// This server's part in a cluster. Clone is cheap and names the same one.
#[derive(Clone)]
pub struct Node {
    cluster: Cluster,
    directory: Arc<ClusterDirectory>,
    news: Arc<AccountNews>,
    /// Since it has joined.
    moves: Arc<OnceLock<(Moves, Driver)>>,
}

impl Node {
    /// The node that the settings make of this server; `None` if it is alone.
    pub fn new(config: &Config) -> anyhow::Result<Option<Node>> {
        let settings = &config.cluster;
        let Some(name) = &settings.node else {
            return Ok(None);
        };
        let me = NodeInfo {
            life: Life {
                node: name.0.clone(),
                incarnation: incarnation(&config.data)?,
            },
            site: settings.site.0.clone(),
            versions: VERSIONS,
        };
        let mut limits = Limits::default();
        limits.timers = (&settings.times).into();
        let clock = Arc::new(SystemClock);
        let cluster = Cluster::new(me, limits, engine(settings)?, clock);
        Ok(Some(Node {
            directory: Arc::new(ClusterDirectory::new(cluster.clone())),
            news: Arc::new(AccountNews::new(cluster.clone())),
            moves: Arc::default(),
            cluster,
        }))
    }

    /// A server that shares its sessions with the other nodes.
    pub fn of(&self, builder: Builder) -> Builder {
        let builder = builder.directory(self.directory.clone());
        builder.account_events(self.news.clone())
    }

    /// The way to other servers, of this node and of the others.
    pub fn remote(&self, gate: &Gate) -> Mailbox {
        self.directory.remote(Some(gate.mailbox()))
    }

    /// Over which node stanzas for the domain of another server go out, if that is known.
    pub fn outlet(&self, domain: &Jid) -> Option<told::Place> {
        let node = self.directory.outlet(domain.domain())?;
        Some(told::Place {
            jid: domain.domain().to_owned(),
            node: node.to_string(),
            priority: None,
            outlet: true,
        })
    }

    /// Joins the cluster, before there are any clients. What it gives ends when the node is not of the cluster any more.
    pub async fn join(
        &self,
        server: &Server,
        driver: &Driver,
    ) -> anyhow::Result<JoinHandle<Ended>> {
        let exchange = Exchange::new(self.directory.clone(), server.clone());
        let moves = Moves::new(self.directory.clone(), server.clone(), driver.clone());
        let _ = self.moves.set((moves.clone(), driver.clone()));
        let handlers: Vec<Arc<dyn Handler>> =
            vec![self.news.clone(), Arc::new(exchange), Arc::new(moves)];
        let name = &self.cluster.me().life.node;
        let joined = self.cluster.join(handlers).await;
        let driver = joined.with_context(|| format!("{name} cannot join the cluster"))?;
        Ok(tokio::spawn(driver.run()))
    }

    /// Leaves, when the others have what they were sent.
    pub async fn leave(&self, patience: Duration) {
        self.cluster.leave(patience).await;
    }

    /// Accepts no more clients, and sends the sessions that can be resumed to other nodes.
    pub async fn drain(&self) -> Drained {
        match self.moves.get() {
            Some((moves, _)) if !self.cluster.up().is_empty() => moves.drain().await,
            _ => Drained::default(),
        }
    }

    /// Sends a session of this node to another one.
    pub async fn send(&self, jid: &FullJid, to: &NodeId) -> anyhow::Result<()> {
        let (moves, driver) = self.moves.get().context("this node has not joined yet")?;
        let all = driver.movable();
        let session = all.iter().find(|session| session.jid == *jid);
        let session =
            session.with_context(|| format!("{jid} has no session here that can be resumed"))?;
        let up = self.cluster.up();
        let life = up.iter().find(|life| life.node == *to);
        let life = life.with_context(|| format!("no other node {to} is up"))?;
        let sent = moves.send_away(&session.name, life).await;
        sent.with_context(|| format!("{jid} stays here"))
    }

    /// What an operator is shown.
    pub fn status(&self) -> Status {
        self.cluster.status()
    }

    /// Where the resources of an account are, or one: the node, the address, its priority if it is available.
    pub fn places(&self, jid: &Jid) -> Vec<told::Place> {
        let all = self.directory.resources(jid.bare_str());
        let wanted = |of: &str| jid.resource().is_none() || of == jid.as_str();
        let all = all.iter().filter(|one| wanted(one.jid().as_str()));
        let place = all.map(|one| {
            let life = self.directory.life(one.jid());
            let life = life.as_ref().unwrap_or(&self.cluster.me().life);
            told::Place {
                jid: one.jid().to_string(),
                node: life.node.to_string(),
                priority: one.priority(),
                outlet: false,
            }
        });
        place.collect()
    }
}

/// The next life of this node: greater than all before, whatever the clock says.
fn incarnation(data: &Path) -> anyhow::Result<Incarnation> {
    let path = data.join("incarnation");
    let last = match fs::read_to_string(&path) {
        Ok(text) => {
            let last = text.trim().parse().ok();
            Some(Incarnation(last.with_context(|| {
                format!("{}: not a number", path.display())
            })?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let next = Incarnation::begin(SystemClock.now().utc, last);
    folder::write_new(&path, next.0.to_string().as_bytes(), 0o600)?;
    Ok(next)
}

fn engine(settings: &config::Cluster) -> anyhow::Result<Arc<dyn Transport>> {
    match settings.engine {
        Engine::Zenoh => zenoh(settings),
        Engine::Nats => nats(settings),
    }
}

#[cfg(feature = "zenoh")]
fn zenoh(settings: &config::Cluster) -> anyhow::Result<Arc<dyn Transport>> {
    use xmpp_cluster::transport::zenoh::{Config, Names, Zenoh};

    let of = &settings.zenoh;
    let path = |path: &Option<_>| path.clone().context("cluster.zenoh lacks a file");
    let mut config = Config::new(
        settings.name.0.clone(),
        path(&of.authority)?,
        path(&of.certificate)?,
        path(&of.key)?,
    );
    config.listen = of.listen.clone();
    config.connect = of.connect.clone();
    if !of.nodes.is_empty() {
        let nodes = of.nodes.iter().map(|node| node.0.clone()).collect();
        config.names = Some(Names {
            nodes,
            routers: Vec::new(),
        });
    }
    Ok(Arc::new(Zenoh::new(config)))
}

#[cfg(not(feature = "zenoh"))]
fn zenoh(_: &config::Cluster) -> anyhow::Result<Arc<dyn Transport>> {
    bail!("this program was built without the engine zenoh: cargo build --features zenoh")
}

#[cfg(feature = "nats")]
fn nats(settings: &config::Cluster) -> anyhow::Result<Arc<dyn Transport>> {
    use xmpp_cluster::transport::nats::{Config, Login, Nats, Tls};

    let of = &settings.nats;
    let mut config = Config::new(settings.name.0.clone(), of.servers.clone());
    config.login = match (&of.credentials, &of.user, &of.password) {
        (Some(credentials), ..) => Some(Login::Credentials(credentials.clone())),
        (None, Some(user), Some(password)) => Some(Login::Password {
            user: user.clone(),
            password: password.0.clone(),
        }),
        _ => None,
    };
    let certificate = of.certificate.clone().zip(of.key.clone());
    if of.authorities.is_some() || certificate.is_some() {
        config.tls = Some(Tls {
            authorities: of.authorities.clone(),
            certificate,
        });
    }
    Ok(Arc::new(Nats::new(config)))
}

#[cfg(not(feature = "nats"))]
fn nats(_: &config::Cluster) -> anyhow::Result<Arc<dyn Transport>> {
    bail!("this program was built without the engine nats: cargo build --features nats")
}

/// `cluster status`
pub fn status(config: &Config) -> anyhow::Result<()> {
    let reply = with_desk(config, async |desk| desk.ask(Request::Cluster).await)?;
    let Reply::Cluster { cluster } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for node in &cluster.nodes {
        writeln!(out, "{}", node.line())?;
    }
    let counted: Vec<String> = cluster.counts.iter().map(told::Count::text).collect();
    writeln!(out, "{}", counted.join(" "))?;
    Ok(out.flush()?)
}

/// `cluster where`
pub fn places(config: &Config, jid: &Jid) -> anyhow::Result<()> {
    let jid = jid.to_string();
    let reply = with_desk(config, async |desk| {
        desk.ask(Request::Where { jid: jid.clone() }).await
    })?;
    let Reply::Places { places } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    if places.is_empty() {
        bail!("{jid} is nowhere");
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    for place in &places {
        let available = match place.priority {
            Some(priority) => format!("available, priority {priority}"),
            None if place.outlet => "another server, reached from here".into(),
            None => "not available".into(),
        };
        writeln!(out, "{:<20} {} {available}", place.node, place.jid)?;
    }
    Ok(out.flush()?)
}

/// `cluster drain`
pub fn drain(config: &Config) -> anyhow::Result<()> {
    let reply = with_desk(config, async |desk| desk.ask(Request::Drain).await)?;
    let Reply::Drained { moved, kept } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    println!("moved {moved}, kept {kept}");
    Ok(())
}

/// `cluster move`
pub fn send(config: &Config, jid: &FullJid, to: &NodeId) -> anyhow::Result<()> {
    let request = || Request::Move {
        jid: jid.to_string(),
        node: to.to_string(),
    };
    let reply = with_desk(config, async |desk| desk.ask(request()).await)?;
    let Reply::Done { .. } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    println!("{jid} is at {to}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_of_a_node_is_later_than_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let first = incarnation(folder.path()).unwrap();
        let second = incarnation(folder.path()).unwrap();
        assert!(second > first);
        // The clock was a year ahead.
        let path = folder.path().join("incarnation");
        fs::write(&path, (second.0 + 31_536_000_000).to_string()).unwrap();
        assert!(incarnation(folder.path()).unwrap().0 > second.0 + 31_536_000_000);
        fs::write(&path, "no number").unwrap();
        assert!(incarnation(folder.path()).is_err());
    }
}

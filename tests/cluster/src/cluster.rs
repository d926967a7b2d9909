//! The nodes: example servers, and what is done to them.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    engine::{Engine, Kind, NAMES},
    network::Network,
    postgres::Postgres,
};

/// Three nodes of one domain.
pub struct Cluster {
    nodes: Vec<Node>,
    postgres: Option<Postgres>,
    /// After those that need them, so that it ends last.
    engine: Engine,
    network: Network,
    server: PathBuf,
}

/// What keeps the accounts, and messages for those who are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// One database for all nodes.
    Postgres,
    /// Each node has a file of its own, with the same accounts.
    Sqlite,
}

struct Node {
    folder: PathBuf,
    process: Option<Child>,
}

/// The domain of all accounts.
pub const DOMAIN: &str = "localhost";
const CLIENTS: u16 = 5222;
const MONITORING: u16 = 9090;
/// How long a node may take to start, to stop or to do what it is told.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// Sets it up in this folder, with so many accounts, and starts all nodes.
    pub async fn start(
        server: &Path,
        folder: &Path,
        kind: Kind,
        store: Store,
        accounts: usize,
    ) -> anyhow::Result<Cluster> {
        let network = Network::new(NAMES.len())?;
        let postgres = match store {
            Store::Postgres => Some(Postgres::start(&folder.join("postgresql"))?),
            Store::Sqlite => None,
        };
        let engine = Engine::start(kind, server, folder, &network)?;
        let list = folder.join("accounts");
        benches::account::write(benches::account::Format::List, DOMAIN, accounts, &list)?;
        let mut cluster = Cluster {
            nodes: Vec::new(),
            postgres,
            engine,
            network,
            server: server.to_owned(),
        };
        for (node, name) in NAMES.iter().enumerate() {
            let folder = folder.join(name);
            fs::create_dir(&folder)?;
            fs::write(folder.join("server.toml"), cluster.settings(node, &folder))?;
            cluster.nodes.push(Node {
                folder,
                process: None,
            });
            if node == 0 || store == Store::Sqlite {
                let list = list.to_str().context("a path of this program")?;
                cluster.command(node, &["adduser", "--file", list]).await?;
            }
        }
        for node in 0..cluster.nodes.len() {
            cluster.run(node).await?;
        }
        Ok(cluster)
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where clients reach a node.
    pub fn clients(&self, node: usize) -> SocketAddr {
        (self.network.address(node), CLIENTS).into()
    }

    /// Where a node's figures are.
    pub fn monitoring(&self, node: usize) -> SocketAddr {
        (self.network.address(node), MONITORING).into()
    }

    /// Between the nodes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The database of all nodes, if they share one.
    pub fn postgres(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// Starts a node, and waits until it takes clients.
    pub async fn run(&mut self, node: usize) -> anyhow::Result<()> {
        let folder = self.nodes[node].folder.clone();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let mut command = self.program(node);
        command.arg("run").stdout(Stdio::null()).stderr(log);
        let process = self.nodes[node]
            .process
            .insert(command.kill_on_drop(true).spawn()?);
        let begin = Instant::now();
        let address = SocketAddr::from((self.network.address(node), CLIENTS));
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = process.try_wait()? {
                bail!(
                    "{} has ended ({status}): {}",
                    NAMES[node],
                    folder.join("log").display()
                );
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{} does not listen",
                NAMES[node]
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// `kill -9`
    pub async fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        let mut process = self.nodes[node].process.take().context("it does not run")?;
        process.kill().await?;
        Ok(())
    }

    /// Stops a node as service managers do, and waits for its end.
    pub async fn stop(&mut self, node: usize) -> anyhow::Result<()> {
        self.signal(node, "TERM").await?;
        let mut process = self.nodes[node].process.take().context("it does not run")?;
        let ended = timeout(PATIENCE, process.wait()).await;
        let status = ended.with_context(|| format!("{} does not stop", NAMES[node]))??;
        ensure!(
            status.success(),
            "{} did not stop well: {status}",
            NAMES[node]
        );
        Ok(())
    }

    /// Sends a signal to a node.
    pub async fn signal(&self, node: usize, signal: &str) -> anyhow::Result<()> {
        let process = self.nodes[node].process.as_ref().and_then(Child::id);
        let process = process.context("it does not run")?.to_string();
        let sent = Command::new("kill")
            .args(["-s", signal, &process])
            .status()
            .await?;
        ensure!(sent.success(), "kill -s {signal} {process}");
        Ok(())
    }

    /// Runs a command of the program for a node; what it prints.
    pub async fn command(&self, node: usize, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.program(node).args(arguments).output();
        let done = timeout(PATIENCE, done).await;
        let done = done.with_context(|| format!("{arguments:?} takes too long"))??;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success(),
            "{} {arguments:?}: {said}",
            NAMES[node]
        );
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    fn program(&self, node: usize) -> Command {
        let [program, arguments @ ..] = self.network.prefix(node);
        let mut command = Command::new(program);
        let folder = &self.nodes[node].folder;
        command.args(arguments).arg(&self.server);
        command.arg("--config").arg(folder.join("server.toml"));
        command.stdin(Stdio::null()).current_dir(folder);
        command
    }

    fn settings(&self, node: usize, folder: &Path) -> String {
        let name = NAMES[node];
        let database = self.postgres.as_ref().map_or_else(String::new, |postgres| {
            format!("postgresql = {{ url = {:?} }}\n", postgres.url())
        });
        let engine = self.engine.settings(node, &self.network);
        format!(
            "data = {:?}\n{database}\
             [listen]\n\
             starttls = [{{ address = \"0.0.0.0:{CLIENTS}\", tls = \"optional\" }}]\n\
             direct_tls = []\n\
             monitoring = [\"0.0.0.0:{MONITORING}\"]\n\
             [s2s]\nenabled = false\n\
             [rooms]\nenabled = false\n\
             [shutdown]\npatience = \"5 s\"\n\
             [log]\nlevel = \"info,xmpp_cluster=debug\"\n\
             [cluster]\nnode = {name:?}\n{engine}",
            folder.join("data"),
        )
    }
}

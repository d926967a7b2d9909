//! What carries bytes between the nodes, and what they are told of it.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use crate::network::Network;

/// The engines that a cluster can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The nodes connect to each other.
    Zenoh,
    /// They connect to one server of NATS.
    Nats,
}

/// An engine that is ready for the nodes.
pub enum Engine {
    /// The folder of the nodes' certificates.
    Zenoh(PathBuf),
    /// Its server, and where that listens.
    Nats { _server: Served, address: String },
}

/// A process that ends when this is dropped.
pub struct Served(Child);

/// What the nodes are called.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
const ZENOH: u16 = 7447;
const NATS: u16 = 4222;

impl Engine {
    /// Makes what it needs in this folder, by this program.
    pub fn start(
        kind: Kind,
        server: &Path,
        folder: &Path,
        network: &Network,
    ) -> anyhow::Result<Engine> {
        match kind {
            Kind::Zenoh => {
                let folder = folder.join("certificates");
                let mut make = Command::new(server);
                make.args(["cluster", "certificates", "--out"])
                    .arg(&folder)
                    .args(NAMES);
                let made = make.output()?;
                let said = String::from_utf8_lossy(&made.stderr);
                ensure!(made.status.success(), "cluster certificates: {said}");
                Ok(Engine::Zenoh(folder))
            }
            Kind::Nats => {
                let config = Path::new(env!("CARGO_MANIFEST_DIR"));
                let config = config.join("../../examples/cluster/nats.conf");
                let address = format!("{}:{NATS}", network.middle());
                let log = File::create(folder.join("nats.log"))?;
                let mut command = Command::new("nats-server");
                command.arg("--config").arg(config);
                command.args(["--addr", &network.middle().to_string()]);
                command.args(["--port", &NATS.to_string()]);
                command.stdout(Stdio::null()).stderr(log);
                let served = command.spawn().context("apt-get install -y nats-server")?;
                let served = Served(served);
                for _ in 0..100 {
                    if TcpStream::connect(&address).is_ok() {
                        return Ok(Engine::Nats {
                            _server: served,
                            address,
                        });
                    }
                    thread::sleep(Duration::from_millis(100));
                }
                let log = fs::read_to_string(folder.join("nats.log"))?;
                anyhow::bail!("nats-server does not listen: {log}")
            }
        }
    }

    /// The settings of a node, below `[cluster]`.
    pub fn settings(&self, node: usize, network: &Network) -> String {
        let name = NAMES[node];
        match self {
            Engine::Zenoh(folder) => {
                let address = |node: usize| format!("{}:{ZENOH}", network.inner(node));
                let others = (0..NAMES.len()).filter(|&other| other != node);
                let others: Vec<String> = others.map(address).collect();
                let file = |name: &str| folder.join(format!("{name}.pem"));
                format!(
                    "engine = \"zenoh\"\n[cluster.zenoh]\nlisten = {:?}\nconnect = {others:?}\nnodes = {NAMES:?}\n\
                     authority = {:?}\ncertificate = {:?}\nkey = {:?}\n",
                    [address(node)],
                    file("authority.crt"),
                    file(&format!("{name}.crt")),
                    file(&format!("{name}.key")),
                )
            }
            Engine::Nats { address, .. } => format!(
                "engine = \"nats\"\n[cluster.nats]\nservers = [{address:?}]\nuser = {name:?}\npassword = \"password of {name}\"\n"
            ),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

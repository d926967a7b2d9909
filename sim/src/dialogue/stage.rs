//! Where scripts are played.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use xmpp_core::BareJid;

use crate::client::Account;
use crate::link::{End, Line};
use crate::rng::Rng;
use crate::world::{self, PASSWORD, World};

/// Where scripts are played.
pub trait Stage {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin;

    /// The server's domain.
    fn domain(&self) -> &str;

    /// Creates the account of this name, unless it is there.
    fn account(&mut self, name: &str) -> impl Future<Output = io::Result<Account>>;

    /// A new connection.
    fn connect(&mut self) -> impl Future<Output = io::Result<Self::Io>>;

    /// Whether time passes as it is told to.
    fn has_virtual_time(&self) -> bool;

    /// How long something that should come may take.
    fn patience(&self) -> Duration;

    /// How long it takes to be sure that nothing comes.
    fn silence(&self) -> Duration;
}

/// The simulator. Every connection has lines of its own.
pub struct Simulated<F> {
    world: World,
    rng: Rng,
    line: F,
}

impl<F: FnMut(&mut Rng) -> Line> Simulated<F> {
    /// A world whose lines are what `line` makes.
    pub fn new(world: World, line: F) -> Simulated<F> {
        Simulated {
            rng: world.rng(),
            world,
            line,
        }
    }
}

impl<F: FnMut(&mut Rng) -> Line> Stage for Simulated<F> {
    type Io = End;

    fn domain(&self) -> &str {
        world::DOMAIN
    }

    async fn account(&mut self, name: &str) -> io::Result<Account> {
        Ok(self.world.account(name).await)
    }

    async fn connect(&mut self) -> io::Result<End> {
        let up = (self.line)(&mut self.rng);
        let down = (self.line)(&mut self.rng);
        Ok(self.world.connect(up, down))
    }

    fn has_virtual_time(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(15)
    }
}

/// A server of this or any other make, on a network, that lets clients log in by
/// SCRAM-SHA-1 without TLS.
pub struct Tcp {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// The command that adds an account, to which `JID --password PASSWORD` is
    /// appended; `None` if the accounts are there.
    pub adduser: Option<Vec<String>>,
    /// What is put behind every account's name, so that scripts find accounts that
    /// nobody has used.
    pub suffix: String,
}

impl Tcp {
    /// The address of the account of this name.
    pub fn jid(&self, name: &str) -> io::Result<BareJid> {
        let jid = format!("{name}{}@{}", self.suffix, self.domain);
        BareJid::new(&jid).map_err(io::Error::other)
    }
}

impl Stage for Tcp {
    type Io = TcpStream;

    fn domain(&self) -> &str {
        &self.domain
    }

    async fn account(&mut self, name: &str) -> io::Result<Account> {
        let jid = self.jid(name)?;
        if let Some([program, arguments @ ..]) = self.adduser.as_deref() {
            let mut command = Command::new(program);
            command.args(arguments).arg(jid.as_str());
            let output = command.args(["--password", PASSWORD]).output()?;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("{command:?}: {told}")));
            }
        }
        Ok(Account::new(jid, PASSWORD))
    }

    async fn connect(&mut self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn has_virtual_time(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(250)
    }
}

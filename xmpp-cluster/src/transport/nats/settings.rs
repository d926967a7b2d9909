//! How a node reaches the servers of NATS.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, fs};

use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::KeyPair;

use crate::node::NodeId;

/// How a node reaches the servers of NATS, and who it is for them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the cluster is called: the first part of all its subjects.
    pub cluster: NodeId,
    /// Servers, `host:port`, any of which will do. Those that a server tells of are used as well.
    pub servers: Vec<String>,
    /// Who this node is, unless its certificate says so.
    pub login: Option<Login>,
    /// Whether, and how, connections are encrypted.
    pub tls: Option<Tls>,
}

/// Who a node is for the servers.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// A user with a password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A file with a user's JWT and key, as `nsc` writes it. It is read again for each connection.
    Credentials(PathBuf),
    /// A file with the seed of a user's key (`SU…`), as `nk` writes it. It is read again for each connection.
    Key(PathBuf),
}

/// Encryption of connections to servers. All files are read again for each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities (PEM) that vouch for the servers; without, those of the operating system.
    pub authorities: Option<PathBuf>,
    /// A certificate (PEM) that the servers know this node by, and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Frames that wait for a connection, at most.
const WAITING: usize = 2048;
/// Frames that have come and that nobody has taken.
const UNREAD: usize = 4096;
/// A server that is silent is asked whether it is there, and given up when it was asked in vain twice.
const PING: Duration = Duration::from_secs(3);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two tries to connect, at most.
const PAUSE: Duration = Duration::from_secs(1);

impl Config {
    /// Servers without encryption, and nobody in particular.
    pub fn new(cluster: NodeId, servers: Vec<String>) -> Config {
        Config {
            cluster,
            servers,
            login: None,
            tls: None,
        }
    }

    /// Connects; `what` the connection is for is what operators of the servers are shown.
    pub(super) async fn connect(
        &self,
        me: &NodeId,
        what: &str,
    ) -> Result<async_nats::Client, String> {
        let mut options = match &self.login {
            Some(Login::Password { user, password }) => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Some(login) => {
                // What is wrong with the file is told now, not when somebody looks for the reason.
                login.clone().auth(Vec::new()).await?;
                let login = login.clone();
                ConnectOptions::with_auth_callback(move |nonce| {
                    let auth = login.clone().auth(nonce);
                    async move { auth.await.map_err(AuthError::new) }
                })
            }
            None => ConnectOptions::new(),
        };
        options = options
            .name(format!("{me} {what}"))
            .custom_inbox_prefix(format!("{}.inbox.{me}", self.cluster))
            .client_capacity(WAITING)
            .subscription_capacity(UNREAD)
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .reconnect_delay_callback(|tries| match tries {
                0 | 1 => Duration::from_millis(50),
                _ => PAUSE,
            })
            .no_echo();
        if let Some(tls) = &self.tls {
            // The client takes whichever the process has; one that is there stays.
            let _ = rustls::crypto::ring::default_provider().install_default();
            options = options.require_tls(true);
            if let Some(path) = &tls.authorities {
                options = options.add_root_certificates(path.clone());
            }
            if let Some((certificate, key)) = &tls.certificate {
                options = options.add_client_certificate(certificate.clone(), key.clone());
            }
        }
        let connected = options.connect(self.servers.clone()).await;
        connected.map_err(|error| error.to_string())
    }
}

impl Login {
    /// What the file proves to a server that has said this nonce.
    async fn auth(self, nonce: Vec<u8>) -> Result<Auth, String> {
        let (Login::Credentials(path) | Login::Key(path)) = &self else {
            return Ok(Auth::new());
        };
        let path = path.display().to_string();
        #[allow(clippy::disallowed_methods)] // a file is read, as an engine may
        let read = tokio::task::spawn_blocking(move || self.proof(&nonce));
        let proof = read.await.map_err(|error| error.to_string())?;
        proof.map_err(|error| format!("{path}: {error}"))
    }

    fn proof(&self, nonce: &[u8]) -> Result<Auth, Box<dyn Error + Send + Sync>> {
        let mut auth = Auth::new();
        let pair = match self {
            Login::Password { .. } => return Ok(auth),
            Login::Credentials(path) => {
                let text = fs::read_to_string(path)?;
                auth.jwt = Some(part(&text, "NATS USER JWT").ok_or("no JWT")?.to_owned());
                KeyPair::from_seed(part(&text, "USER NKEY SEED").ok_or("no key")?)?
            }
            Login::Key(path) => {
                let text = fs::read_to_string(path)?;
                let pair = KeyPair::from_seed(text.trim())?;
                auth.nkey = Some(pair.public_key());
                pair
            }
        };
        auth.signature = Some(pair.sign(nonce)?);
        Ok(auth)
    }
}

/// What is in a file of credentials under this title.
fn part<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines.find(|line| line.contains("BEGIN") && line.contains(title))?;
    lines.map(str::trim).find(|line| !line.is_empty())
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Login::Password { user, .. } => write!(f, "Password({user})"),
            Login::Credentials(path) => write!(f, "Credentials({})", path.display()),
            Login::Key(path) => write!(f, "Key({})", path.display()),
        }
    }
}

//! What the operator sets: a TOML file, and the environment over it.
//!
//! `server.toml` beside this crate's `Cargo.toml` has every setting with its default.

mod cluster;
mod environment;
mod federated;
mod listen;
mod mirror;
mod place;
mod ranges;
mod rooms;
mod s2s;
mod value;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use xmpp_core::BareJid;
use xmpp_core::im::registration;
use xmpp_core::sasl::{DEFAULT_ITERATIONS, MAX_ITERATIONS, Mechanism};
use xmpp_core::server;

pub use cluster::{Cluster, Engine};
pub use listen::{Addresses, Door, Listen};
pub use mirror::{
    Accept, AccountExceptions, ContactExceptions, Contacts, Limits, StreamManagement, Throttle,
    Timeouts,
};
pub use rooms::Rooms;
pub use s2s::S2s;
pub use value::{Hidden, Span, Text};

use rooms::DomainRooms;

/// Fewest PBKDF2 rounds that may be set.
const MIN_ROUNDS: u32 = 10_000;

/// All settings. Their defaults make a server for `localhost`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept that the server itself makes.
    pub data: PathBuf,
    #[serde(deserialize_with = "table")]
    pub postgresql: Postgresql,
    pub listen: Listen,
    pub tls: Tls,
    pub login: Login,
    pub registration: Registration,
    pub contacts: Contacts,
    pub limits: Limits,
    pub accept: Accept,
    pub throttle: Throttle,
    pub timeouts: Timeouts,
    pub stream_management: StreamManagement,
    pub s2s: S2s,
    pub rooms: Rooms,
    pub cluster: Cluster,
    pub shutdown: Shutdown,
    pub log: Log,
    #[serde(deserialize_with = "distinct")]
    pub domains: Vec<Domain>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data: "data".into(),
            postgresql: Postgresql::default(),
            listen: Listen::default(),
            tls: Tls::default(),
            login: Login::default(),
            registration: Registration::default(),
            contacts: Contacts::default(),
            limits: Limits::default(),
            accept: Accept::default(),
            throttle: Throttle::default(),
            timeouts: Timeouts::default(),
            stream_management: StreamManagement::default(),
            s2s: S2s::default(),
            rooms: Rooms::default(),
            cluster: Cluster::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            domains: vec![Domain::new(
                BareJid::new("localhost").expect("a domain is an address"),
            )],
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Authorities (PEM) whose client certificates count for SASL EXTERNAL.
    pub client_authorities: Option<PathBuf>,
}

/// `[login]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// What clients may log in with, the preferred first.
    pub mechanisms: Vec<Text<Mechanism>>,
    /// PBKDF2 rounds for new passwords.
    #[serde(deserialize_with = "rounds")]
    pub rounds: u32,
    /// Failed logins on one stream before it is closed.
    pub attempts: u32,
    /// What happens when a resource is bound twice.
    pub conflict: Conflict,
}

impl Default for Login {
    fn default() -> Login {
        let anonymous = |mechanism: &Mechanism| *mechanism == Mechanism::Anonymous;
        let mechanisms = Mechanism::ALL.into_iter();
        Login {
            mechanisms: mechanisms.filter(|m| !anonymous(m)).map(Text).collect(),
            rounds: DEFAULT_ITERATIONS,
            attempts: server::Config::default().login_attempts,
            conflict: server::Config::default().conflict.into(),
        }
    }
}

/// What happens when a resource is bound twice (RFC 6120 §7.7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// The older session ends.
    Replace,
    /// The newer one gets another resource.
    Rename,
    /// The newer one is refused.
    Refuse,
}

impl From<server::Conflict> for Conflict {
    fn from(conflict: server::Conflict) -> Conflict {
        match conflict {
            server::Conflict::Replace => Conflict::Replace,
            server::Conflict::Rename => Conflict::Rename,
            server::Conflict::Refuse => Conflict::Refuse,
        }
    }
}

impl From<Conflict> for server::Conflict {
    fn from(conflict: Conflict) -> server::Conflict {
        match conflict {
            Conflict::Replace => server::Conflict::Replace,
            Conflict::Rename => server::Conflict::Rename,
            Conflict::Refuse => server::Conflict::Refuse,
        }
    }
}

/// `[postgresql]`: where accounts and what is kept for them are, instead of SQLite.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgresql {
    /// Which database; without it SQLite is used.
    pub url: Option<Hidden>,
    /// Authorities (PEM) that vouch for the database, instead of the system's.
    pub roots: Option<PathBuf>,
    /// Connections for reading.
    pub readers: usize,
    /// How long a query may take.
    pub timeout: Span,
}

impl Default for Postgresql {
    fn default() -> Postgresql {
        Postgresql {
            url: None,
            roots: None,
            readers: 8,
            timeout: Span(Duration::from_secs(10)),
        }
    }
}

/// `[registration]` (XEP-0077)
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// Whether strangers may make themselves an account.
    pub enabled: bool,
    /// Whether those who have one may change its password and remove it.
    pub own_account: bool,
    /// Where strangers may; everywhere if there is none.
    pub domains: Vec<Text<BareJid>>,
    /// What strangers are told to do.
    pub instructions: String,
    /// Attempts from one address in the window.
    pub attempts: u32,
    pub window: Span,
    /// Addresses remembered.
    pub remembered: usize,
}

impl Default for Registration {
    fn default() -> Registration {
        let options = registration::Options::default();
        Registration {
            enabled: false,
            own_account: true,
            domains: Vec::new(),
            instructions: options.instructions,
            attempts: options.attempts,
            window: options.window.into(),
            remembered: options.remembered,
        }
    }
}

impl Registration {
    /// As `xmpp_core` has it.
    pub fn options(&self) -> registration::Options {
        let mut options = registration::Options::default();
        options.strangers = self.enabled;
        options.domains = self.domains.iter().map(|domain| domain.0.clone()).collect();
        options.instructions = self.instructions.clone();
        options.attempts = self.attempts;
        options.window = self.window.into();
        options.remembered = self.remembered;
        options
    }
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long clients have to take their leave.
    pub patience: Span,
    /// Whether sessions that can be resumed go on in the next run, when this one ends by
    /// SIGTERM.
    pub keep_sessions: bool,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown {
            patience: Span(Duration::from_secs(10)),
            keep_sessions: true,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or levels by module: `info,xmpp_core::io=debug`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One of `[[domains]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DomainTable")]
pub struct Domain {
    pub name: Text<BareJid>,
    /// Chain (PEM), leaf first. Without it the server makes itself a certificate.
    pub certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    pub key: Option<PathBuf>,
    /// Whether clients have to encrypt, instead of what `listen` says.
    pub tls: Option<Encryption>,
    /// Instead of `login.mechanisms`.
    pub mechanisms: Option<Vec<Text<Mechanism>>>,
    /// Accounts that may administer it.
    pub administrators: Vec<Text<BareJid>>,
    /// Where its accounts differ from `limits.account`.
    pub account: AccountExceptions,
    /// Where its contacts differ from `contacts`.
    pub contacts: ContactExceptions,
    /// Where its rooms differ from `rooms`.
    pub rooms: DomainRooms,
}

impl Domain {
    fn new(name: BareJid) -> Domain {
        Domain {
            name: Text(name),
            certificate: None,
            key: None,
            tls: None,
            mechanisms: None,
            administrators: Vec::new(),
            account: AccountExceptions::default(),
            contacts: ContactExceptions::default(),
            rooms: DomainRooms::default(),
        }
    }
}

/// Whether clients have to encrypt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// No login without TLS (RFC 7590 §3.1).
    #[default]
    Required,
    /// STARTTLS is offered, and a client may do without.
    Optional,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainTable {
    name: Text<BareJid>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    tls: Option<Encryption>,
    mechanisms: Option<Vec<Text<Mechanism>>>,
    #[serde(default)]
    administrators: Vec<Text<BareJid>>,
    #[serde(default)]
    account: AccountExceptions,
    #[serde(default)]
    contacts: ContactExceptions,
    #[serde(default)]
    rooms: DomainRooms,
}

impl TryFrom<DomainTable> for Domain {
    type Error = String;

    fn try_from(table: DomainTable) -> Result<Domain, String> {
        let name = &table.name.0;
        if !name.is_domain() {
            return Err(format!("{name} is not a domain"));
        }
        if table.certificate.is_some() != table.key.is_some() {
            return Err(format!("{name}: `certificate` and `key` go together"));
        }
        if table.mechanisms.as_ref().is_some_and(Vec::is_empty) {
            return Err(format!("{name}: nobody could log in without `mechanisms`"));
        }
        Ok(Domain {
            name: table.name,
            certificate: table.certificate,
            key: table.key,
            tls: table.tls,
            mechanisms: table.mechanisms,
            administrators: table.administrators,
            account: table.account,
            contacts: table.contacts,
            rooms: table.rooms,
        })
    }
}

impl Config {
    /// The settings in a file, or the defaults without one, and over them what the
    /// environment says (`XMPP__section__key`). Relative paths are relative to the
    /// file's folder, or to the working directory.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Config> {
        let text = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?,
            None => String::new(),
        };
        let name = file.map_or("the defaults".into(), |file| file.display().to_string());
        let mut config = Config::parse(&text, environment::overrides(std::env::vars_os()))
            .with_context(|| name)?;
        if let Some(folder) = file.and_then(Path::parent) {
            config.resolve(folder);
        }
        Ok(config)
    }

    /// The settings in a text, and over them those of the environment.
    pub fn parse(text: &str, overrides: Vec<environment::Override>) -> anyhow::Result<Config> {
        // First without: an error of the file is told with its line.
        let config: Config = toml::from_str(text).map_err(|error| place::told(text, &error))?;
        let named = overrides.clone();
        let config = match overrides.is_empty() {
            true => config,
            false => environment::apply(text, overrides)?,
        };
        ranges::check(&config).map_err(|refused| refused.at(text, &named))?;
        Ok(config)
    }

    /// What the library wants set, but for the domains.
    pub fn server(&self) -> server::Config {
        let mut server = server::Config::from(self.limits.clone());
        server.timeouts = self.timeouts.clone().into();
        server.login_attempts = self.login.attempts;
        server.conflict = self.login.conflict.into();
        server
    }

    /// The socket that the commands reach a running server by.
    pub fn socket(&self) -> PathBuf {
        self.data.join("admin.sock")
    }

    /// The settings of a domain.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains
            .iter()
            .find(|domain| domain.name.0.as_str() == name)
    }

    fn resolve(&mut self, folder: &Path) {
        let domains = self.domains.iter_mut();
        let named = domains.flat_map(|domain| [&mut domain.certificate, &mut domain.key]);
        let others = [
            &mut self.tls.client_authorities,
            &mut self.postgresql.roots,
            &mut self.s2s.authorities,
        ];
        let cluster = self.cluster.paths();
        for path in named.chain(others).chain(cluster).flatten() {
            *path = folder.join(&*path);
        }
        self.data = folder.join(&self.data);
    }
}

/// As it is derived, but that a URL in the place of the table is not shown: it may hold a
/// password.
fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Postgresql, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Postgresql;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table with `url`")
        }

        fn visit_str<E: de::Error>(self, _: &str) -> Result<Postgresql, E> {
            Err(E::custom("a string, expected a table with `url`"))
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Postgresql, A::Error> {
            Postgresql::deserialize(MapAccessDeserializer::new(table))
        }
    }
    deserializer.deserialize_any(Table)
}

fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Domain>, D::Error> {
    let domains = Vec::<Domain>::deserialize(deserializer)?;
    if domains.is_empty() {
        return Err(serde::de::Error::custom("no domain to serve"));
    }
    for (i, domain) in domains.iter().enumerate() {
        if domains[..i].iter().any(|other| other.name == domain.name) {
            let twice = format!("domain {} is there twice", domain.name.0);
            return Err(serde::de::Error::custom(twice));
        }
    }
    Ok(domains)
}

fn rounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let rounds = u32::deserialize(deserializer)?;
    if (MIN_ROUNDS..=MAX_ITERATIONS).contains(&rounds) {
        return Ok(rounds);
    }
    let range = format!("{rounds} is not within {MIN_ROUNDS} to {MAX_ITERATIONS}");
    Err(serde::de::Error::custom(range))
}

#[cfg(test)]
mod tests;

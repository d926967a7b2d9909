//! The example server: what `xmpp-core` and `xmpp-store` make together, with a command
//! line. `example-server --help` says how to use it.

#![allow(clippy::disallowed_methods)] // a program has clocks and tasks of its own

mod accounts;
mod admin;
mod certificate;
mod cluster;
mod config;
mod federation;
mod folder;
mod listen;
mod log;
mod metrics;
mod monitor;
mod notify;
mod password;
mod rooms;
mod run;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, value_parser};
use xmpp_core::BareJid;

use config::{Config, Log};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An XMPP server.
///
/// Without a command and without a configuration it serves the domain `localhost` on
/// loopback: ports 5222 (STARTTLS), 5223 (direct TLS) and 5269 (other servers), with a
/// certificate that it makes itself. It keeps its data in ./data.
#[derive(Debug, Parser)]
#[command(name = "example-server", version, after_long_help = EXAMPLES)]
struct Cli {
    /// The configuration (TOML). Without it the defaults hold; server.toml in the source
    /// of this program lists them all. XMPP__section__key=value in the environment
    /// overrides a setting, e.g. XMPP__log__level=debug or XMPP__domains__0__name=example.org
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    #[command(flatten)]
    run: RunOptions,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Default, Args)]
struct RunOptions {
    /// For tests and benches: clients may log in without TLS, with PLAIN too, so that
    /// passwords cross the wire as they are; `listen.plaintext` is served. Refused unless
    /// all these addresses are loopback
    #[arg(long)]
    insecure_plaintext: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT (Ctrl-C)
    ///
    /// Either is a graceful end: clients are told, what is queued is written. After SIGTERM
    /// clients that can resume their sessions do so when the server is started again
    /// (`shutdown.keep_sessions`); after SIGINT all sessions have ended. A second signal ends the
    /// server at once. SIGHUP reads the certificates and the client authorities again, and who the
    /// peers are (`[s2s]`: `peers`, `policy`, `strangers`, and which addresses are dialled).
    Run(RunOptions),

    /// Adds accounts. The server may be running or not
    ///
    /// The password is asked for, unless one of the options gives it.
    Adduser {
        /// The accounts, e.g. juliet@localhost
        #[arg(value_name = "JID", required_unless_present = "file")]
        jids: Vec<BareJid>,
        /// Accounts to add from a file, a line for each: its JID, a space, its password.
        /// Empty lines and lines that begin with # are skipped; - is standard input. What
        /// is there already is left as it is and counted
        #[arg(long, value_name = "FILE", conflicts_with_all = ["jids", "password", "password_stdin"])]
        file: Option<PathBuf>,
        #[command(flatten)]
        password: PasswordOptions,
    },

    /// Sets the password of an account
    Passwd {
        /// The account
        #[arg(value_name = "JID")]
        jid: BareJid,
        #[command(flatten)]
        password: PasswordOptions,
    },

    /// Deletes accounts with all that is kept of them, and ends their sessions
    Deluser {
        /// The accounts
        #[arg(value_name = "JID", required = true)]
        jids: Vec<BareJid>,
    },

    /// Lists accounts, one a line
    Users {
        /// Only those of this domain
        domain: Option<String>,
    },

    /// Says what is wrong with the configuration and with what it points to: whatever `run`
    /// would refuse before it opens sockets and the store. Nothing is written
    CheckConfig(RunOptions),

    /// Makes a certificate that signs itself, and its key: for tests, until a real one is there
    GenCert {
        /// The domains it is for, *.DOMAIN for those below one; the first names the files
        #[arg(value_name = "DOMAIN", required = true)]
        domains: Vec<certificate::Name>,
        /// The folder that DOMAIN.crt.pem and DOMAIN.key.pem are put in
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
        /// How long it is valid
        #[arg(long, default_value_t = certificate::DAYS, value_parser = value_parser!(u32).range(..=certificate::MAX_DAYS))]
        days: u32,
        /// Replaces a certificate and a key that are there already
        #[arg(long)]
        force: bool,
    },

    /// Shows the connections with other servers, one a line
    Links,

    /// Shows the rooms that are in memory, one a line, and below each its links with rooms elsewhere
    ///
    /// Of a room: how many occupants it has, those of its links included, and how many stanzas wait for it.
    ///
    /// Of a link: the room at the other end; whether that is the parent, which this room joins, or a child, which has joined it; how far the link is
    /// (idle: nobody is here who would need it; joining; syncing: one tells the other what it lacks; joined: the rooms are one; suspect: it is
    /// down, and occupants are shown until the grace is over; leaving; backoff: it is tried again later); what is spoken (ext, xep, openfire, or auto as
    /// long as that is not known); its profile (lan, sat, hf); how many occupants are behind it; what waits for it; what it has brought and
    /// taken, as XML; and when the two last came to know the same.
    Rooms,

    /// What concerns this server as a node of a cluster (`[cluster]`)
    #[command(subcommand)]
    Cluster(Cluster),

    /// Copies the SQLite store to a new file while it goes on serving; `restore` goes back
    Backup {
        /// The copy; there must be no such file yet
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },

    /// Makes the SQLite store what a backup is, when no server runs
    ///
    /// The backup is checked first, and left where it is. If this is cut short, the store is
    /// as it was before or as the backup is.
    Restore {
        /// What `backup` has made
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// Replaces the store that is there: what it has and the backup has not is lost
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Cluster {
    /// Shows the nodes as the one that runs here sees them, one a line
    ///
    /// Of a node: its name, its site, whether it is up (or by way of which other node), how many resources are bound there, how long nothing was
    /// heard of it; of the link to it: the round trip, what waits, what it has taken and brought, and how much was sent again.
    /// Below: what was not taken from other nodes, and why.
    Status,

    /// Shows at which nodes an account's resources are, or one of them
    Where {
        /// The account or the resource
        #[arg(value_name = "JID")]
        jid: xmpp_core::Jid,
    },

    /// Accepts no more clients at the node that runs here, and moves its sessions to the others
    ///
    /// What can be resumed (XEP-0198) moves, with all that waits for it; its client is cut off and resumes at another node. The node itself
    /// runs on, for those that cannot; a signal (TERM, INT) ends it, which drains it first as well.
    Drain,

    /// Moves a session of the node that runs here to another one
    Move {
        /// The session, with its resource
        #[arg(value_name = "JID")]
        jid: xmpp_core::FullJid,
        /// The node that it goes to
        #[arg(value_name = "NODE")]
        node: xmpp_cluster::node::NodeId,
    },

    /// Makes the certificates by which nodes know each other, each NODE.crt.pem with NODE.key.pem
    ///
    /// They are signed by the authority of the folder, authority.crt.pem and authority.key.pem, which is made if it is not there. A node needs
    /// the authority's certificate and its own certificate and key; the authority's key stays where no node is. For a new certificate of a node
    /// use --force, and start that node again.
    Certificates {
        /// The nodes, each with the host by which others connect to it, e.g. a@a.example.org; without, it can be
        /// connected to on this machine only
        #[arg(value_name = "NODE[@HOST]", required = true)]
        nodes: Vec<certificate::nodes::Node>,
        /// The folder that they are put in
        #[arg(long, value_name = "FOLDER", default_value = "cluster")]
        out: PathBuf,
        /// How long they are valid
        #[arg(long, default_value_t = certificate::DAYS, value_parser = value_parser!(u32).range(..=certificate::MAX_DAYS))]
        days: u32,
        /// Replaces certificates and keys of these nodes that are there already
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Debug, Args)]
struct PasswordOptions {
    /// The password. Others on this machine can see it in the list of processes
    #[arg(long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// The password is the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

const EXAMPLES: &str = "\
Examples:
  example-server                                   serve localhost on the defaults
  example-server adduser juliet@localhost          add an account, asking for the password
  example-server adduser --file accounts.txt       add many
  example-server check-config -c server.toml       see whether a configuration will do
  example-server run -c server.toml                serve with it
  example-server backup monday.sqlite3             copy the store while it serves
  example-server restore --force monday.sqlite3    go back to that, when it does not
  XMPP__log__format=json example-server            change one setting

Files in the data folder: xmpp.sqlite3 (accounts and what is kept for them), DOMAIN.crt.pem
and DOMAIN.key.pem (certificates that the server made), secret (makes accounts that do not
exist look as if they did), admin.sock (how these commands reach a running server), and
server.lock (keeps a second server out).";

fn main() -> ExitCode {
    match perform(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("example-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: Cli) -> anyhow::Result<()> {
    let load = || Config::load(cli.config.as_deref());
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    if !matches!(command, Command::Run(_)) {
        // What they say may point to it.
        log::start(&Log {
            level: "warn".into(),
            ..Log::default()
        })?;
    }
    match command {
        Command::Run(options) => run::run(
            &load()?,
            cli.config.as_deref(),
            options.insecure_plaintext || cli.run.insecure_plaintext,
        ),
        Command::Adduser {
            jids,
            file,
            password,
        } => {
            let config = load()?;
            let wanted = match file {
                Some(file) => accounts::read_list(&file)?,
                None => {
                    let mut source =
                        password::Source::new(password.password, password.password_stdin)?;
                    let named = jids.into_iter();
                    let wanted = named.map(|jid| Ok((jid.clone(), source.new_password(&jid)?)));
                    wanted.collect::<anyhow::Result<_>>()?
                }
            };
            accounts::add(&config, wanted)
        }
        Command::Passwd { jid, password } => {
            let config = load()?;
            let mut source = password::Source::new(password.password, password.password_stdin)?;
            accounts::set_password(&config, &jid, &source.new_password(&jid)?)
        }
        Command::Deluser { jids } => accounts::delete(&load()?, &jids),
        Command::Users { domain } => accounts::list(&load()?, domain.as_deref()),
        Command::CheckConfig(options) => run::check(
            &load()?,
            options.insecure_plaintext || cli.run.insecure_plaintext,
        ),
        Command::GenCert {
            domains,
            out,
            days,
            force,
        } => certificate::generate(&domains, &out, days, force),
        Command::Links => accounts::links(&load()?),
        Command::Rooms => accounts::rooms(&load()?),
        Command::Cluster(Cluster::Certificates {
            nodes,
            out,
            days,
            force,
        }) => certificate::nodes::generate(&nodes, &out, days, force),
        Command::Cluster(Cluster::Status) => cluster::status(&load()?),
        Command::Cluster(Cluster::Drain) => cluster::drain(&load()?),
        Command::Cluster(Cluster::Move { jid, node }) => cluster::send(&load()?, &jid, &node),
        Command::Cluster(Cluster::Where { jid }) => cluster::places(&load()?, &jid),
        Command::Backup { to } => accounts::backup(&load()?, &to),
        Command::Restore { from, force } => store::restore(&load()?, &from, force),
    }
}

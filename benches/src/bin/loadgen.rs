//! The load generator's command line.

use std::{fs, io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use benches::{
    account::{self, Format},
    chat::{Chat, Pace},
    handshake,
    idle::Idle,
    login::{Mechanism, Peer, Security, Target},
    logins::Logins,
    meter::{Meter, Plan},
    oracle::Fault,
    outages::Outages,
    ping::Ping,
    process::ProcessTree,
    report::Report,
    resumptions::Resumptions,
    rooms::Rooms,
    scram::Cache,
    tls::{self, Handshakes, Identity},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::{runtime, task::LocalSet};

/// Drives an XMPP server, counts what comes back, and says what it cost.
///
/// For benches on loopback: it accepts ANY TLS certificate. It runs on one thread; pin it to a core of its own. The exit code is 1 if a message
/// was lost, duplicated, reordered or misdelivered, 2 if the run failed.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One-to-one chat between pairs of sessions.
    Chat {
        /// Pairs; each has a sender and a receiver.
        #[arg(long, default_value_t = 50)]
        pairs: usize,
        /// Messages under way in each pair.
        #[arg(long, default_value_t = 10, value_parser = at_least_one)]
        window: usize,
        /// Messages a second, all pairs together, instead of a window.
        #[arg(long, conflicts_with = "window", value_parser = positive)]
        rate: Option<f64>,
        /// Bytes of a message's body.
        #[arg(long, default_value_t = 64)]
        body: usize,
        /// Where the receivers log in, if that is another server: between the two go messages.
        #[arg(long, requires = "to_domain")]
        to_server: Option<SocketAddr>,
        /// The receivers' domain.
        #[arg(long, requires = "to_server")]
        to_domain: Option<String>,
        /// Make the first receiver err, to see the oracle turn red.
        #[arg(long)]
        plant: Option<Fault>,
        #[command(flatten)]
        common: Common,
    },
    /// XEP-0199 pings to the server.
    Ping {
        /// Sessions that ping.
        #[arg(long, default_value_t = 50)]
        sessions: usize,
        /// Pings under way on each.
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        window: usize,
        /// Make the first session err, to see the oracle turn red.
        #[arg(long)]
        plant: Option<Fault>,
        #[command(flatten)]
        common: Common,
    },
    /// Rooms (XEP-0045): an operation is one message that one occupant hears.
    Rooms {
        /// Rooms.
        #[arg(long, default_value_t = 1, value_parser = at_least_one)]
        rooms: usize,
        /// Occupants of each.
        #[arg(long, default_value_t = 100, value_parser = at_least_one)]
        occupants: usize,
        /// Occupants of each that speak.
        #[arg(long, default_value_t = 10)]
        speakers: usize,
        /// Messages of each speaker that not everybody has heard.
        #[arg(long, default_value_t = 2, value_parser = at_least_one)]
        window: usize,
        /// Bytes of a message's body.
        #[arg(long, default_value_t = 64)]
        body: usize,
        /// The rooms' domain [default: rooms.DOMAIN].
        #[arg(long)]
        service: Option<String>,
        /// Nobody is told who enters, except the first (`muc#roomconfig_presencebroadcast`): that of n occupants is n² presences.
        #[arg(long)]
        unannounced: bool,
        /// Those who enter at once.
        #[arg(long, default_value_t = 20, value_parser = at_least_one)]
        entering: usize,
        /// How often somebody leaves a full room and enters again; how long that takes is measured.
        #[arg(long, default_value_t = 0)]
        entries: usize,
        /// Make the first occupant err, to see the oracle turn red.
        #[arg(long)]
        plant: Option<Fault>,
        #[command(flatten)]
        common: Common,
    },
    /// Complete logins, from the first packet to the closed stream.
    Login {
        /// Logins at once; each worker makes one after the other.
        #[arg(long, default_value_t = 10, value_parser = at_least_one)]
        workers: usize,
        /// Accounts that take turns.
        #[arg(long, default_value_t = 100)]
        accounts: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Streams that are cut and resumed (XEP-0198), from the first packet to `<resumed/>`.
    Resumption {
        /// Resumptions at once; each worker makes one after the other.
        #[arg(long, default_value_t = 10, value_parser = at_least_one)]
        workers: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Chat both ways over connections that are cut at random, with streams that are resumed (XEP-0198).
    Outages {
        /// Pairs; both sides send.
        #[arg(long, default_value_t = 20, value_parser = at_least_one)]
        pairs: usize,
        /// Messages a second from each side.
        #[arg(long, default_value_t = 20.0, value_parser = positive)]
        rate: f64,
        /// Bytes of a message's body.
        #[arg(long, default_value_t = 64)]
        body: usize,
        /// Mean seconds until a connection is cut.
        #[arg(long, default_value_t = 1.0, value_parser = positive)]
        every: f64,
        /// What is random comes from this.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Make the first receiver err, to see the oracle turn red.
        #[arg(long)]
        plant: Option<Fault>,
        #[command(flatten)]
        common: Common,
    },
    /// Sessions that do nothing: the server's memory for each. Wants --pid.
    Idle {
        /// Sessions, each of its own account.
        #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
        sessions: usize,
        /// Seconds of quiet before the server is weighed.
        #[arg(long, default_value_t = 5.0)]
        settle: f64,
        #[command(flatten)]
        common: Common,
    },
    /// The server's CPU time for a bare rustls handshake, both ends in this process.
    Handshake {
        /// Handshakes.
        #[arg(long, default_value_t = 2000)]
        count: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write accounts u0, u1, … in a server's own format.
    Accounts {
        /// Whose format.
        #[arg(long)]
        format: Format,
        /// How many.
        #[arg(long, default_value_t = 5000)]
        count: usize,
        /// Their domain.
        #[arg(long, default_value = "localhost")]
        domain: String,
        /// The file to write; for Prosody its data folder.
        path: PathBuf,
    },
    /// Write a self-signed P-256 certificate, cert.pem and key.pem.
    Cert {
        /// The name in it.
        #[arg(long, default_value = "localhost")]
        domain: String,
        /// The folder to write to.
        folder: PathBuf,
    },
}

#[derive(Args)]
struct Common {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:5222")]
    server: SocketAddr,
    /// The accounts' domain.
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// How connections are secured. No certificate is checked.
    #[arg(long, default_value = "none")]
    tls: Security,
    /// The SASL mechanism.
    #[arg(long, default_value = "SCRAM-SHA-1", ignore_case = true)]
    mechanism: Mechanism,
    /// What listens there.
    #[arg(long, default_value = "server")]
    peer: PeerKind,
    /// Let TLS sessions be resumed instead of paying a full handshake each time.
    #[arg(long)]
    resume: bool,
    /// Manage streams (XEP-0198): count, ask, answer, and check the server's counts.
    #[arg(long)]
    managed: bool,
    /// Loopback addresses to connect from; 0 uses the system's choice.
    #[arg(long, default_value_t = 100)]
    sources: u8,
    /// The server's process; its CPU time and memory are reported, children included. Several are added up.
    #[arg(long)]
    pid: Vec<u32>,
    /// Seconds of load before the measured interval.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Seconds measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of silence after which what has not come is lost.
    #[arg(long, default_value_t = 10.0)]
    stall: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PeerKind {
    /// An XMPP server.
    Server,
    /// The `relay` binary of this crate.
    Relay,
}

fn main() -> ExitCode {
    match execute(Options::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(2)
        }
    }
}

/// Gives whether the run was clean.
fn execute(command: Command) -> io::Result<bool> {
    match command {
        Command::Chat {
            pairs,
            window,
            rate,
            body,
            to_server,
            to_domain,
            plant,
            common,
        } => {
            let receivers = to_server.zip(to_domain).map(|(address, domain)| Target {
                address,
                domain,
                ..common.target()
            });
            let pace = rate.map_or(Pace::Window(window), Pace::Rate);
            let chat = Chat {
                pairs,
                pace,
                body,
                plant,
                receivers,
            };
            common.run(async |target, meter| chat.run(target, meter).await)
        }
        Command::Ping {
            sessions,
            window,
            plant,
            common,
        } => {
            let ping = Ping {
                sessions,
                window,
                plant,
            };
            common.run(async |target, meter| ping.run(target, meter).await)
        }
        Command::Rooms {
            rooms,
            occupants,
            speakers,
            window,
            body,
            service,
            unannounced,
            entering,
            entries,
            plant,
            common,
        } => {
            let load = Rooms {
                rooms,
                occupants,
                speakers: speakers.min(occupants),
                window,
                body,
                service: service.unwrap_or_else(|| format!("rooms.{}", common.domain)),
                unannounced,
                entering,
                entries,
                plant,
                server: common.process()?,
            };
            common.run(async |target, meter| load.run(target, meter).await)
        }
        Command::Login {
            workers,
            accounts,
            common,
        } => {
            let logins = Logins { workers, accounts };
            common.run(async |target, meter| logins.run(target, meter).await)
        }
        Command::Resumption { workers, common } => {
            let resumptions = Resumptions { workers };
            common.run(async |target, meter| resumptions.run(target, meter).await)
        }
        Command::Outages {
            pairs,
            rate,
            body,
            every,
            seed,
            plant,
            common,
        } => {
            let outages = Outages {
                pairs,
                rate,
                body,
                every: seconds(every)?,
                seed,
                plant,
            };
            common.run(async |target, meter| outages.run(target, meter).await)
        }
        Command::Idle {
            sessions,
            settle,
            common,
        } => {
            let server = common
                .process()?
                .ok_or_else(|| io::Error::other("idle wants --pid: whose memory?"))?;
            let idle = Idle {
                sessions,
                settle: seconds(settle)?,
                server,
            };
            common.run(async |target, meter| idle.run(target, meter).await)
        }
        Command::Handshake { count, json } => print(&handshake::measure(count)?, json),
        Command::Accounts {
            format,
            count,
            domain,
            path,
        } => account::write(format, &domain, count, &path).map(|()| true),
        Command::Cert { domain, folder } => {
            let identity = Identity::generate(&domain)?;
            fs::write(folder.join("cert.pem"), identity.certificate())?;
            fs::write(folder.join("key.pem"), identity.key()).map(|()| true)
        }
    }
}

impl Common {
    fn run(
        &self,
        load: impl AsyncFnOnce(&Target, &Meter) -> io::Result<Report>,
    ) -> io::Result<bool> {
        let target = self.target();
        let meter = Meter::new(Plan {
            warm_up: seconds(self.warm_up)?,
            measured: seconds(self.seconds)?,
            stall: seconds(self.stall)?,
            server: self.process()?,
            progress: !self.quiet,
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let report = LocalSet::new().block_on(&runtime, load(&target, &meter))?;
        print(&report, self.json)
    }

    fn target(&self) -> Target {
        Target {
            address: self.server,
            domain: self.domain.clone(),
            security: self.tls,
            mechanism: self.mechanism,
            peer: match self.peer {
                PeerKind::Server => Peer::Server,
                PeerKind::Relay => Peer::Relay,
            },
            tls: tls::client(match self.resume {
                true => Handshakes::Resumed,
                false => Handshakes::Full,
            }),
            sources: self.sources,
            managed: self.managed,
            resource: None,
            keys: Cache::default(),
        }
    }

    fn process(&self) -> io::Result<Option<ProcessTree>> {
        let pids = Some(self.pid.clone()).filter(|pids| !pids.is_empty());
        pids.map(ProcessTree::new).transpose()
    }
}

fn print(report: &Report, json: bool) -> io::Result<bool> {
    match json {
        true => println!("{}", serde_json::to_string_pretty(report)?),
        false => print!("{report}"),
    }
    Ok(report.is_clean())
}

fn seconds(value: f64) -> io::Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(io::Error::other)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 => Ok(rate),
        _ => Err("must be a number above 0".to_owned()),
    }
}

//! Plays the dialogues of `scripts/` to a running server:
//! `dialogue --connect 127.0.0.1:5222 --domain localhost --adduser 'example-server adduser'`.
//!
//! The server has to let clients log in without TLS by SCRAM-SHA-1 (the example server
//! does with `--insecure-plaintext`).
#![allow(clippy::disallowed_methods)] // it has a clock of its own

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use sim::dialogue::{Outcome, Script, Tcp, play};

/// Plays dialogues to a server.
#[derive(Parser)]
struct Options {
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: SocketAddr,
    /// Its domain
    #[arg(long)]
    domain: String,
    /// The command that adds an account; `JID --password PASSWORD` is appended. Without
    /// it the accounts have to be there (see --accounts)
    #[arg(long, value_name = "COMMAND")]
    adduser: Option<String>,
    /// What distinguishes the accounts of this run from those of others [default: the
    /// time, if accounts are added]
    #[arg(long)]
    suffix: Option<String>,
    /// Print the accounts that the scripts need, one a line with its password, and end
    #[arg(long)]
    accounts: bool,
    /// The scripts; all of this crate if there are none
    scripts: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all that is asked for; returns how many scripts failed.
fn run(options: Options) -> std::io::Result<usize> {
    let scripts = match options.scripts.is_empty() {
        true => Script::all()?,
        false => {
            let all = options.scripts.iter().map(|path| Script::read(path));
            all.collect::<Result<_, _>>()?
        }
    };
    let mut suffix = options.suffix.unwrap_or_default();
    if suffix.is_empty() && options.adduser.is_some() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        suffix = format!(".{}", now.map_or(0, |now| now.as_secs()));
    }
    let stage = |script: &Script| Tcp {
        address: options.connect,
        domain: options.domain.clone(),
        adduser: options
            .adduser
            .as_ref()
            .map(|command| command.split_whitespace().map(str::to_owned).collect()),
        suffix: format!(".{}{suffix}", script.name),
    };
    if options.accounts {
        for script in &scripts {
            let names = script.cast.iter().filter_map(|role| role.account.as_ref());
            for name in BTreeSet::from_iter(names) {
                let jid = stage(script).jid(name)?;
                println!("{jid} {}", sim::world::PASSWORD);
            }
        }
        return Ok(0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut failed, mut skipped) = (0, 0);
    for script in &scripts {
        match runtime.block_on(play(script, &mut stage(script), 0)) {
            Ok(Outcome::Played) => println!("played  {}: {}", script.name, script.title),
            Ok(Outcome::Skipped) => {
                skipped += 1;
                println!("skipped {}: it needs virtual time", script.name);
            }
            Err(failure) => {
                failed += 1;
                println!("FAILED  {}\n{failure}\n", script.name);
            }
        }
    }
    let played = scripts.len() - failed - skipped;
    println!("{played} played, {skipped} skipped, {failed} failed");
    Ok(failed)
}

//! The commands that work on accounts, whether the server runs or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, anyhow, bail, ensure};
use xmpp_core::BareJid;
use xmpp_core::sasl::{Credentials, SALT_LEN};

use crate::admin::{Desk, MAX_ACCOUNTS, MAX_ACCOUNTS_BYTES, NewAccount, Reply, Request};
use crate::config::Config;

/// Longest line of a list of accounts, in bytes.
const MAX_LINE: u64 = 16 * 1024;

/// `adduser`
pub fn add(config: &Config, wanted: Vec<(BareJid, String)>) -> anyhow::Result<()> {
    for (jid, _) in &wanted {
        check(config, jid)?;
    }
    let all = wanted.len();
    let derived = derive(&wanted, config.login.rounds)?;
    let new = with_desk(config, async |desk| {
        let mut new = 0;
        for accounts in batches(derived)? {
            match desk.ask(Request::Create { accounts }).await? {
                Reply::Count { count } => new += count,
                other => bail!("unexpected reply: {other:?}"),
            }
        }
        Ok(new)
    })?;
    match (new, all) {
        (0, 1) => bail!(
            "{} is there already; `passwd` sets its password",
            wanted[0].0
        ),
        (1, 1) => println!("added {}", wanted[0].0),
        (new, all) if new == all => println!("added {new} accounts"),
        (new, all) => println!("added {new} accounts; {} were there already", all - new),
    }
    Ok(())
}

/// `passwd`
pub fn set_password(config: &Config, jid: &BareJid, password: &str) -> anyhow::Result<()> {
    check(config, jid)?;
    let account = new_account(jid, password, config.login.rounds)?;
    match with_desk(config, async |desk| {
        desk.ask(Request::SetPassword { account }).await
    })? {
        Reply::Count { count: 1 } => println!("set the password of {jid}"),
        _ => bail!("there is no account {jid}"),
    }
    Ok(())
}

/// `deluser`
pub fn delete(config: &Config, jids: &[BareJid]) -> anyhow::Result<()> {
    let missing = with_desk(config, async |desk| {
        let mut missing = Vec::new();
        for jid in jids {
            let request = Request::Delete {
                jid: jid.to_string(),
            };
            match desk.ask(request).await? {
                Reply::Count { count: 1 } => println!("deleted {jid}"),
                _ => missing.push(jid.to_string()),
            }
        }
        Ok(missing)
    })?;
    ensure!(
        missing.is_empty(),
        "there is no account {}",
        missing.join(", ")
    );
    Ok(())
}

/// `links`
pub fn links(config: &Config) -> anyhow::Result<()> {
    let reply = with_desk(config, async |desk| desk.ask(Request::Links).await)?;
    let Reply::Links { links, more } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for link in &links {
        let yes = |is: bool, what: &'static str| if is { what } else { "" };
        let line = format!(
            "{:<8} {:<30} {:<8} {:<4} {:<12} {:<5}out {} in {} waiting {} received {} sent {} {}",
            link.id,
            link.domain.as_deref().unwrap_or("-"),
            link.state,
            yes(link.encrypted, "tls"),
            yes(link.certified, "certified"),
            link.compression.as_deref().unwrap_or_default(),
            link.granted,
            link.accepted,
            link.waiting,
            link.received,
            link.sent,
            link.peer,
        );
        io::Write::write_fmt(&mut out, format_args!("{}\n", line.trim_end()))?;
    }
    if more > 0 {
        io::Write::write_fmt(&mut out, format_args!("and {more} more\n"))?;
    }
    Ok(io::Write::flush(&mut out)?)
}

/// `rooms`
pub fn rooms(config: &Config) -> anyhow::Result<()> {
    let reply = with_desk(config, async |desk| desk.ask(Request::Rooms).await)?;
    let Reply::Rooms { rooms, more } = reply else {
        bail!("unexpected reply: {reply:?}");
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for room in &rooms {
        let kind = match room.persistent {
            true => "persistent",
            false => "temporary",
        };
        let line = format!(
            "{:<40} {kind} occupants {} waiting {}",
            room.jid, room.occupants, room.waiting
        );
        io::Write::write_fmt(&mut out, format_args!("{line}\n"))?;
        for link in &room.links {
            let synced = link.synced.as_deref().unwrap_or("never");
            let line = format!(
                "  {:<38} {} {} {} {} occupants {} waiting {} received {} ({} bytes) sent {} ({} bytes) synced {synced}",
                link.peer,
                link.direction,
                link.stage,
                link.dialect,
                link.link,
                link.occupants,
                link.waiting,
                link.received,
                link.received_bytes,
                link.sent,
                link.sent_bytes,
            );
            io::Write::write_fmt(&mut out, format_args!("{line}\n"))?;
        }
    }
    if more > 0 {
        io::Write::write_fmt(&mut out, format_args!("and {more} more\n"))?;
    }
    Ok(io::Write::flush(&mut out)?)
}

/// `users`
pub fn list(config: &Config, domain: Option<&str>) -> anyhow::Result<()> {
    let domains: Vec<String> = match domain {
        Some(domain) => {
            let known = config.domain(domain);
            ensure!(known.is_some(), "{domain} is not a domain of this server");
            vec![domain.to_owned()]
        }
        None => config
            .domains
            .iter()
            .map(|d| d.name.0.to_string())
            .collect(),
    };
    with_desk(config, async |desk| {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for domain in domains {
            let mut after = None;
            loop {
                let request = Request::List {
                    domain: domain.clone(),
                    after: after.clone(),
                    limit: usize::MAX,
                };
                let Reply::Jids { jids } = desk.ask(request).await? else {
                    bail!("unexpected reply");
                };
                for jid in &jids {
                    io::Write::write_fmt(&mut out, format_args!("{jid}\n"))?;
                }
                let Some(last) = jids.last() else {
                    break;
                };
                after = Some(last.clone());
            }
        }
        Ok(io::Write::flush(&mut out)?)
    })
}

/// `backup`
pub fn backup(config: &Config, to: &Path) -> anyhow::Result<()> {
    // The server may have another working directory.
    let to = std::path::absolute(to).context("no working directory")?;
    let path: PathBuf = to.clone();
    with_desk(config, async |desk| {
        desk.ask(Request::Backup { path }).await
    })?;
    println!("copied the store to {}", to.display());
    Ok(())
}

/// A list of accounts: a line for each, JID and password.
pub fn read_list(path: &Path) -> anyhow::Result<Vec<(BareJid, String)>> {
    let name = path.display();
    if path == Path::new("-") {
        return parse_list(io::stdin().lock()).context("standard input");
    }
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    parse_list(BufReader::new(file)).with_context(|| name.to_string())
}

fn parse_list(mut input: impl BufRead) -> anyhow::Result<Vec<(BareJid, String)>> {
    let mut accounts = Vec::new();
    for number in 1.. {
        let mut line = String::new();
        let read = io::Read::take(&mut input, MAX_LINE).read_line(&mut line);
        if read.with_context(|| format!("line {number}"))? == 0 {
            break;
        }
        ensure!(
            line.ends_with('\n') || (line.len() as u64) < MAX_LINE,
            "line {number} is longer than {MAX_LINE} bytes"
        );
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (jid, password) = line
            .split_once([' ', '\t'])
            .with_context(|| format!("line {number}: expected a JID, a space, a password"))?;
        let jid = jid
            .parse()
            .map_err(|error| anyhow!("line {number}: {jid}: {error}"))?;
        accounts.push((jid, password.to_owned()));
    }
    ensure!(!accounts.is_empty(), "no accounts");
    Ok(accounts)
}

fn check(config: &Config, jid: &BareJid) -> anyhow::Result<()> {
    ensure!(jid.local().is_some(), "{jid} is a domain, not an account");
    let known = config.domain(jid.domain()).is_some();
    ensure!(
        known,
        "{jid}: {} is not a domain of this server",
        jid.domain()
    );
    Ok(())
}

/// What is stored for each password. It takes milliseconds each, so all processors share
/// the work.
fn derive(wanted: &[(BareJid, String)], rounds: u32) -> anyhow::Result<Vec<NewAccount>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(wanted.len()));
    let work = || -> anyhow::Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((jid, password)) = wanted.get(at) else {
                return Ok(());
            };
            let account = new_account(jid, password, rounds)?;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((at, account));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(wanted.len()))
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Of an account that is there twice the first counts.
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, account)| account).collect())
}

/// As many at a time as a request has room for.
fn batches(accounts: Vec<NewAccount>) -> anyhow::Result<Vec<Vec<NewAccount>>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for account in accounts {
        let size = serde_json::to_vec(&account)?.len() + 1;
        if batch.len() == MAX_ACCOUNTS || bytes + size > MAX_ACCOUNTS_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(account);
    }
    batches.push(batch);
    Ok(batches)
}

fn new_account(jid: &BareJid, password: &str, rounds: u32) -> anyhow::Result<NewAccount> {
    let mut salt = [0; SALT_LEN];
    let credentials = Credentials::derive(password, rounds, || {
        getrandom::fill(&mut salt).expect("the operating system has randomness");
        salt
    })
    .with_context(|| format!("the password of {jid}"))?;
    Ok(NewAccount::new(jid, &credentials))
}

/// Has the running server, or in its absence the store itself, do the work.
pub fn with_desk<T>(
    config: &Config,
    work: impl AsyncFnOnce(&mut Desk) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut desk = Desk::open(config).await?;
        let result = work(&mut desk).await;
        desk.close().await?;
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_account() {
        let text = "# people\n\njuliet@localhost r0m30 my\tr0m30\r\nromeo@localhost\tpw";
        let accounts = parse_list(text.as_bytes()).unwrap();
        let read: Vec<(&str, &str)> = accounts.iter().map(|(j, p)| (j.as_str(), &**p)).collect();
        assert_eq!(
            read,
            [
                ("juliet@localhost", "r0m30 my\tr0m30"),
                ("romeo@localhost", "pw")
            ]
        );
    }

    #[test]
    fn an_error_in_a_list_names_the_line() {
        for (text, line) in [
            ("a@localhost pw\nb@localhost\n", "line 2"),
            ("# x\n@localhost pw\n", "line 2"),
            (
                &*format!("a@localhost {}\n", "x".repeat(MAX_LINE as usize)),
                "line 1",
            ),
        ] {
            let error = format!("{:#}", parse_list(text.as_bytes()).unwrap_err());
            assert!(error.contains(line), "{error}");
        }
        assert!(parse_list(&b"# nobody\n"[..]).is_err());
    }

    #[test]
    fn a_request_is_bounded_in_accounts_and_in_bytes() {
        let account = |jid: String| NewAccount {
            jid,
            keys: Vec::new(),
        };
        let sizes = |accounts: Vec<NewAccount>| -> Vec<usize> {
            let batches = batches(accounts.clone()).unwrap();
            assert_eq!(batches.concat(), accounts, "all of them, in their order");
            batches.iter().map(Vec::len).collect()
        };
        let short = (0..2 * MAX_ACCOUNTS + 1).map(|i| account(format!("{i}@localhost")));
        assert_eq!(sizes(short.collect()), [MAX_ACCOUNTS, MAX_ACCOUNTS, 1]);
        let length = MAX_ACCOUNTS_BYTES / 3;
        let long = (0..5).map(|i| account(i.to_string().repeat(length)));
        assert_eq!(sizes(long.collect()), [2, 2, 1]);
    }

    #[test]
    fn each_account_gets_keys_of_its_own_in_the_order_of_the_list() {
        let wanted: Vec<(BareJid, String)> = (0..5)
            .map(|i| {
                (
                    BareJid::new(&format!("user{i}@localhost")).unwrap(),
                    "same".into(),
                )
            })
            .collect();
        let derived = derive(&wanted, 4096).unwrap();
        let jids: Vec<&str> = derived.iter().map(|account| &*account.jid).collect();
        let expected: Vec<&str> = wanted.iter().map(|(jid, _)| jid.as_str()).collect();
        assert_eq!(jids, expected);
        for (i, account) in derived.iter().enumerate() {
            assert!(derived[..i].iter().all(|other| other.keys != account.keys));
        }
    }
}

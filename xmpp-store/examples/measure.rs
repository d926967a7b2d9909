//! Measures the SQLite store: `cargo run --release -p xmpp-store --example measure [FOLDER]`.
//!
//! The folder, by default that for temporary files, should be on the disk in question:
//! a file system in memory syncs for nothing.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use futures::executor::block_on;
use futures::future::join_all;
use xmpp_core::BareJid;
use xmpp_core::sasl::{Credentials, SALT_LEN};
use xmpp_core::store::{Accounts, Offline, OfflineLimits, RosterItem, Rosters};
use xmpp_core::time::Timestamp;
use xmpp_store::Sqlite;

const ACCOUNTS: usize = 10_000;
const CONTACTS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = tempfile::tempdir_in(folder.unwrap_or_else(std::env::temp_dir))?;
    let store = Sqlite::open(folder.path().join("xmpp.sqlite3"))?;
    let credentials = Credentials::derive("secret", 10_000, || [7; SALT_LEN])?;
    let accounts: Vec<(BareJid, Credentials)> = (0..ACCOUNTS)
        .map(|i| Ok((format!("user{i}@example.com").parse()?, credentials.clone())))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let jid = |i: usize| &accounts[i % ACCOUNTS].0;

    let begin = Begin::now();
    block_on(store.create_many(&accounts))?;
    report("accounts created, in one go", ACCOUNTS, begin);

    let begin = Begin::now();
    for i in 0..100 {
        for chunk in 0..CONTACTS / 25 {
            let items: Vec<_> = (0..25)
                .map(|c| RosterItem {
                    name: Some("A Contact".into()),
                    groups: vec!["Friends".into()],
                    ..RosterItem::new(jid(1000 + i + chunk * 25 + c).clone())
                })
                .collect();
            for put in block_on(join_all(items.iter().map(|item| store.put(jid(i), item)))) {
                put?;
            }
        }
    }
    report("roster items put, 25 at once", 100 * CONTACTS, begin);

    let begin = Begin::now();
    for i in 0..ACCOUNTS {
        block_on(store.credentials(jid(i * 7919)))?.ok_or("no such account")?;
    }
    report("credentials, one at a time", ACCOUNTS, begin);

    let begin = Begin::now();
    for chunk in 0..ACCOUNTS / 100 {
        let all = (0..100).map(|i| store.credentials(jid((chunk * 100 + i) * 7919)));
        for found in block_on(join_all(all)) {
            found?.ok_or("no such account")?;
        }
    }
    report("credentials, 100 at once", ACCOUNTS, begin);

    let begin = Begin::now();
    for i in 0..ACCOUNTS {
        let roster = block_on(store.load(jid(i % 100)))?;
        assert_eq!(roster.items.len(), CONTACTS);
    }
    report("rosters of 50 loaded", ACCOUNTS, begin);

    let begin = Begin::now();
    for i in 0..ACCOUNTS {
        block_on(store.load(jid(1000 + i % 1000)))?;
    }
    report("empty rosters loaded", ACCOUNTS, begin);

    let xml = "x".repeat(500);
    for at_once in [1, 16, 256, 2048] {
        let number = 4000.max(at_once * 20);
        let begin = Begin::now();
        for chunk in 0..number / at_once {
            let all = (0..at_once).map(|i| {
                store.push(
                    jid((chunk * at_once + i) * 7919),
                    Timestamp(0),
                    &xml,
                    OfflineLimits::messages(1000),
                )
            });
            for pushed in block_on(join_all(all)) {
                assert!(pushed?);
            }
        }
        let number = number / at_once * at_once;
        report(
            &format!("offline messages, {at_once} at once"),
            number,
            begin,
        );
    }
    let begin = Begin::now();
    for i in 0..1000 {
        let page = block_on(store.page(jid(i), 0, 50))?;
        assert!(!page.is_empty());
    }
    report("pages of offline messages", 1000, begin);
    Ok(())
}

struct Begin {
    at: Instant,
    cpu: f64,
}

impl Begin {
    fn now() -> Begin {
        let (at, cpu) = (Instant::now(), cpu_seconds());
        Begin { at, cpu }
    }
}

fn report(what: &str, number: usize, begin: Begin) {
    let each = |seconds: f64| seconds * 1e6 / number as f64;
    let took = each(begin.at.elapsed().as_secs_f64());
    let cpu = each(cpu_seconds() - begin.cpu);
    let rate = 1e6 / took;
    println!("{what:34} {took:9.1} µs each, {cpu:7.1} µs of CPU, {rate:7.0} /s");
}

/// CPU seconds of this process, or NaN where they cannot be known: utime and stime of
/// proc(5), in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || {
        fields
            .next()
            .and_then(|ticks| ticks.parse().ok())
            .unwrap_or(f64::NAN)
    };
    (next() + next()) / 100.0
}

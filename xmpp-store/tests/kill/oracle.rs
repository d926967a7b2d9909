//! Kills a process that writes, in the middle of it, and looks whether what it was told to
//! be stored is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::future::{join_all, maybe_done};
use xmpp_core::BareJid;
use xmpp_core::store::{OfflineLimits, RosterItem, Stores};
use xmpp_core::time::Timestamp;

/// Tells the process that it is the child, and its fault.
const CHILD: &str = "KILL_TEST_CHILD";

/// Accounts that are written to at the same time.
const SESSIONS: usize = 32;

/// Numbers of one round's entries.
const ROUND: usize = 1_000_000;

/// What the child does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// It acknowledges what it has only asked for.
    AcknowledgesEarly,
}

/// Whether this process is the child, and with which round and fault.
pub fn child() -> Option<(usize, Fault)> {
    let told = std::env::var(CHILD).ok()?;
    let (round, fault) = told.split_once(' ').expect("round and fault");
    let fault = match fault {
        "None" => Fault::None,
        _ => Fault::AcknowledgesEarly,
    };
    Some((round.parse().expect("a number"), fault))
}

/// Writes until it is killed, and prints what is acknowledged.
pub async fn write(stores: &Stores, round: usize, fault: Fault) {
    println!("\nready");
    join_all((0..SESSIONS).map(|session| write_session(stores, session, round, fault))).await;
}

async fn write_session(stores: &Stores, session: usize, round: usize, fault: Fault) {
    let account = account(session);
    for number in round * ROUND.. {
        let change = async {
            if number % 3 == 0 {
                let item = RosterItem::new(contact(number));
                stores.rosters.put(&account, &item).await.unwrap();
            } else if number % 3 == 1 {
                let stanza = [(Timestamp(0), format!("{session} {number}"))];
                let domain = account.domain_jid();
                stores.outbox.enqueue(&domain, &stanza).await.unwrap();
            } else {
                let (at, xml) = (Timestamp(0), number.to_string());
                let pushed = stores
                    .offline
                    .push(&account, at, &xml, OfflineLimits::messages(usize::MAX))
                    .await;
                assert!(pushed.unwrap());
            }
        };
        let mut change = Box::pin(maybe_done(change));
        let _ = futures::poll!(change.as_mut());
        if fault == Fault::None {
            change.as_mut().await;
        }
        println!("ack {session} {number}");
        change.await;
    }
}

/// What was acknowledged, over all rounds.
#[derive(Default)]
pub struct Oracle {
    round: usize,
    acknowledged: BTreeSet<(usize, usize)>,
}

impl Oracle {
    /// Runs this test in another process, which writes, and kills it at some moment.
    pub fn run_and_kill(&mut self, test: &str, fault: Fault, env: &[(&str, &str)]) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} {fault:?}", self.round))
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut next = move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            // The last line may have been cut.
            line.ends_with('\n').then_some(line)
        };
        while next().expect("the child has not begun") != "ready\n" {}

        let reader = std::thread::spawn(move || {
            let mut acknowledged = BTreeSet::new();
            while let Some(line) = next() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let ["ack", session, number] = words[..] else {
                    panic!("the child says {line:?}");
                };
                acknowledged.insert((session.parse().unwrap(), number.parse().unwrap()));
            }
            acknowledged
        });
        std::thread::sleep(Duration::from_millis(u64::from(random() % 100)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "the child has ended by itself");
        self.acknowledged.extend(reader.join().unwrap());
        self.round += 1;
    }

    /// How much was acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// What was acknowledged and is not in the store. Panics if messages are in disorder.
    pub async fn missing(&self, stores: &Stores) -> Vec<(usize, usize)> {
        let domain = account(0).domain_jid();
        let outbox = stores.outbox.queued(&domain, 0, usize::MAX).await.unwrap();
        let numbers = outbox.iter().map(|stanza| {
            let (session, number) = stanza.xml.split_once(' ').unwrap();
            (session.parse().unwrap(), number.parse().unwrap())
        });
        let mut stored: BTreeSet<(usize, usize)> = numbers.collect();
        for session in 0..SESSIONS {
            let account = account(session);
            let messages = stores.offline.page(&account, 0, usize::MAX).await.unwrap();
            let numbers: Vec<usize> = messages
                .iter()
                .map(|message| message.xml.parse().unwrap())
                .collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{account}: {numbers:?}");
            let roster = stores.rosters.load(&account).await.unwrap();
            let contacts = roster.items.iter().map(|item| {
                let number = item.jid.local().unwrap();
                number.parse().unwrap()
            });
            stored.extend(
                numbers
                    .iter()
                    .copied()
                    .chain(contacts)
                    .map(|n| (session, n)),
            );
        }
        self.acknowledged.difference(&stored).copied().collect()
    }
}

fn account(session: usize) -> BareJid {
    format!("user{session}@example.com").parse().unwrap()
}

fn contact(number: usize) -> BareJid {
    format!("{number}@example.com").parse().unwrap()
}

fn random() -> u32 {
    let mut octets = [0; 4];
    getrandom::fill(&mut octets).unwrap();
    u32::from_ne_bytes(octets)
}

/// Prints without regard to what the test harness captures.
pub fn report(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

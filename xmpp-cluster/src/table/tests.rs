//! An owner and a reader, between which changes and pages are lost and come late.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use xmpp_core::time::Timestamp;

use super::*;

fn life(name: &str, incarnation: u64) -> Life {
    Life {
        node: name.parse().unwrap(),
        incarnation: Incarnation(incarnation),
    }
}

fn entry(jid: &str, n: u64) -> Entry {
    Entry {
        jid: FullJid::new(jid).unwrap(),
        session: SessionId { run: 1, n },
        since: Timestamp(0),
        generation: 0,
        resumable: None,
        priority: Some(0),
        presence: Some(Bytes::from(format!("<presence id='{n}'/>"))),
        interested: false,
        carbons: false,
        block_list: false,
    }
}

fn bare(jid: &str) -> BareJid {
    jid.parse().unwrap()
}

/// What a table shows of one node.
fn shown(table: &Table, node: &NodeId) -> BTreeMap<String, Entry> {
    let slice = table.slices.get(node);
    let entries = slice.into_iter().flat_map(|slice| slice.after(None));
    entries
        .map(|(_, entry)| (entry.jid.to_string(), entry.clone()))
        .collect()
}

/// Everything that is pulled, until nothing more is.
fn pull_all(owner: &Table, reader: &mut Table, mut out: Vec<Output>) -> Vec<Output> {
    let (mut seen, mut ends) = (Vec::new(), 0);
    while let Some(output) = out.pop() {
        match output {
            Output::Pull(pull) => {
                let page = owner.page(&pull).unwrap();
                reader.paged(&owner.me, page, &mut out).unwrap();
            }
            Output::Read(_) => ends += 1,
            other => seen.push(other),
        }
    }
    assert_eq!(ends, 1, "and then it is known to be all");
    seen
}

#[test]
fn a_page_of_the_longest_addresses_fits_into_a_frame() {
    let mut a = Table::new(life("a", 1));
    let [local, domain] = [1023, 63].map(|length| "a".repeat(length));
    for n in 0..PAGE as u64 + 1 {
        let resource = format!("{n:01023}");
        a.put(entry(&format!("{local}@{domain}/{resource}"), n));
    }
    let pull = Pull {
        of: a.me.clone(),
        from: None,
        round: 1,
    };
    let frame = crate::frame::Frame {
        from: a.me.clone(),
        to: None,
        body: crate::frame::Body::Page(a.page(&pull).unwrap()),
    };
    assert!(crate::frame::Frame::decode(frame.encode()).is_ok());
}

#[test]
fn a_new_node_has_all_that_are_bound_and_the_accounts_are_found() {
    let mut a = Table::new(life("a", 1));
    for n in 0..(2 * PAGE as u64 + 7) {
        a.put(entry(&format!("u{}@example.org/r{n}", n / 3), n));
    }
    let mut b = Table::new(life("b", 1));
    let mut out = Vec::new();
    b.up(&a.me, &mut out);
    assert_eq!(pull_all(&a, &mut b, out).len(), 2 * PAGE + 7);
    assert_eq!(shown(&b, &a.me.node), shown(&a, &a.me.node));
    b.put(entry("u1@example.org/here", 1));
    let account = bare("u1@example.org");
    let found: Vec<_> = b
        .resources(&account)
        .map(|(node, entry)| (node.as_str(), entry.jid.resource()))
        .collect();
    assert_eq!(
        found,
        [("a", "r3"), ("a", "r4"), ("a", "r5"), ("b", "here")]
    );
    assert_eq!(
        b.resources(&bare("u@example.org")).count(),
        0,
        "no other name's beginning"
    );
    assert_eq!(b.len(&a.me.node), 2 * PAGE + 7);
}

#[test]
fn who_is_down_is_taken_out_and_comes_back_with_a_pull() {
    let (mut a, mut b) = (Table::new(life("a", 1)), Table::new(life("b", 1)));
    a.put(entry("juliet@example.org/balcony", 1));
    let mut out = Vec::new();
    b.up(&a.me, &mut out);
    pull_all(&a, &mut b, out);
    let mut out = Vec::new();
    b.down(&a.me.node, &mut out);
    assert!(matches!(&out[..], [Output::Removed(_, entry)] if entry.session.n == 1));
    assert!(b.is_empty(), "and is forgotten entirely");
    let mut out = Vec::new();
    b.up(&a.me, &mut out);
    assert_eq!(pull_all(&a, &mut b, out).len(), 1);
    // Another life has nobody.
    let mut out = Vec::new();
    b.up(&life("a", 2), &mut out);
    assert!(
        matches!(&out[..], [Output::Removed(..), Output::Pull(pull)] if pull.of == life("a", 2))
    );
    assert_eq!(b.life(&a.me.node), Some(Incarnation(2)));
}

#[test]
fn nobody_speaks_for_another_node_or_another_life() {
    let (mut a, mut b) = (Table::new(life("a", 1)), Table::new(life("b", 1)));
    let delta = a.put(entry("juliet@example.org/balcony", 1));
    let mut out = Vec::new();
    assert_eq!(
        b.delta(&a.me, delta.clone(), &mut out),
        Err(Error::Foreign),
        "not up"
    );
    b.up(&a.me, &mut out);
    for stranger in [life("a", 2), life("c", 1), b.me.clone()] {
        assert_eq!(
            b.delta(&stranger, delta.clone(), &mut out),
            Err(Error::Foreign)
        );
    }
    let page = a
        .page(&Pull {
            of: a.me.clone(),
            from: None,
            round: 1,
        })
        .unwrap();
    b.up(&life("c", 1), &mut out);
    assert_eq!(b.paged(&life("c", 1), page, &mut out), Err(Error::Foreign));
    assert_eq!(
        a.page(&Pull {
            of: life("a", 2),
            from: None,
            round: 1
        }),
        None
    );
    assert_eq!(
        a.page(&Pull {
            of: b.me.clone(),
            from: None,
            round: 1
        }),
        None
    );
    assert!(b.is_empty());
}

#[test]
fn an_address_that_was_bound_anew_is_not_taken_out_with_the_session_before() {
    let mut a = Table::new(life("a", 1));
    let jid = FullJid::new("juliet@example.org/balcony").unwrap();
    a.put(entry(jid.as_str(), 1));
    a.put(entry(jid.as_str(), 2));
    assert_eq!(a.remove(&jid, SessionId { run: 1, n: 1 }), None);
    assert!(a.remove(&jid, SessionId { run: 1, n: 2 }).is_some());
    assert!(a.is_empty());
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Nothing,
    /// The owner forgets to tell that a resource is gone, and does not count it.
    ForgetRemoval,
    /// Heartbeats do not say how much there is.
    SilentBeat,
}

/// Changes go on a link that is cut now and then (what is on it is lost, and nobody says so), and pages come late: in the end the reader has what the
/// owner has, and what it was told of is what it shows.
fn agree(seed: u64, fault: Fault) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut owner = Table::new(life("a", 1));
    let mut reader = Table::new(life("b", 1));
    let (mut link, mut pulls) = (VecDeque::<Delta>::new(), VecDeque::<Pull>::new());
    let mut pages = VecDeque::<Page>::new();
    let mut told = BTreeMap::new();
    let mut session = 0;
    let mut out = Vec::new();
    reader.up(&owner.me, &mut out);
    for step in 0..800 {
        // At the end nothing changes and nothing is lost any more.
        let quiet = step >= 300;
        match random.u8(..if quiet { 6 } else { 12 }) {
            0 | 1 => {
                if let Some(delta) = link.pop_front() {
                    reader
                        .delta(&owner.me, delta, &mut out)
                        .map_err(|e| e.to_string())?;
                }
            }
            2 => {
                if let Some(pull) = pulls.pop_front() {
                    // A page of three, not of five hundred.
                    let mut page = owner.page(&pull).ok_or("no page")?;
                    if page.entries.len() > 3 {
                        page.entries.truncate(3);
                        page.until = page.entries.last().map(|(_, entry)| entry.jid.clone());
                    }
                    pages.push_back(page);
                }
            }
            3 => {
                if let Some(page) = pages.pop_front() {
                    reader
                        .paged(&owner.me, page, &mut out)
                        .map_err(|e| e.to_string())?;
                }
            }
            4 | 5 => {
                if fault != Fault::SilentBeat {
                    let changes = owner.changes();
                    reader
                        .seen(&owner.me, changes, &mut out)
                        .map_err(|e| e.to_string())?;
                }
            }
            6..=8 => {
                session += 1;
                let jid = format!("u{}@example.org/r{}", random.u8(..4), random.u8(..4));
                link.push_back(owner.put(entry(&jid, session)));
            }
            9 | 10 => {
                let all = shown(&owner, &owner.me.node);
                let Some(entry) = all.values().nth(random.usize(..16)) else {
                    continue;
                };
                if let Some(delta) = owner.remove(&entry.jid, entry.session) {
                    match fault {
                        Fault::ForgetRemoval => owner.changes -= 1,
                        _ => link.push_back(delta),
                    }
                }
            }
            _ => {
                link.clear();
                if pulls.pop_front().is_some() || pages.pop_front().is_some() {
                    reader.failed(&owner.me, &mut out);
                }
            }
        }
        for output in out.drain(..) {
            match output {
                Output::Put(_, entry) => {
                    told.insert(entry.jid.to_string(), *entry);
                }
                Output::Removed(_, entry) => {
                    if told.remove(entry.jid.as_str()).as_ref() != Some(&*entry) {
                        return Err(format!("seed {seed}: {} was not there", entry.jid));
                    }
                }
                Output::Pull(pull) => pulls.push_back(pull),
                Output::Read(_) => {}
            }
        }
        if told != shown(&reader, &owner.me.node) {
            return Err(format!("seed {seed}: told another thing than is shown"));
        }
    }
    if shown(&reader, &owner.me.node) != shown(&owner, &owner.me.node) {
        return Err(format!("seed {seed}: they differ in the end"));
    }
    let index: usize = (0..4)
        .map(|u| {
            reader
                .resources(&bare(&format!("u{u}@example.org")))
                .count()
        })
        .sum();
    match index == told.len() {
        true => Ok(()),
        false => Err(format!("seed {seed}: the accounts differ from the slices")),
    }
}

#[test]
fn whatever_is_lost_the_reader_has_what_the_owner_has() {
    for seed in 0..500 {
        agree(seed, Fault::Nothing).unwrap();
    }
}

#[test]
fn planted_faults_are_found() {
    for fault in [Fault::ForgetRemoval, Fault::SilentBeat] {
        assert!((0..50).any(|seed| agree(seed, fault).is_err()), "{fault:?}");
    }
}

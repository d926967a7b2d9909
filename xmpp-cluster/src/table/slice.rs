//! One node's part of the table.

use std::collections::BTreeMap;
use std::ops::Bound;

use xmpp_core::{BareJid, FullJid};

use crate::frame::{Entry, Page};
use crate::node::Incarnation;

#[derive(Debug)]
pub(super) struct Slice {
    pub(super) incarnation: Incarnation,
    /// The greatest number of a change that is known.
    pub(super) changes: u64,
    /// Whether the heartbeat before told of more.
    pub(super) lacks: bool,
    /// By address, so that the resources of an account are side by side and a page has an order.
    entries: BTreeMap<Box<str>, (u64, Entry)>,
    pull: Option<Progress>,
    /// How often it was read.
    rounds: u32,
}

/// How far a slice has been pulled.
#[derive(Debug)]
struct Progress {
    /// The pages so far end with this.
    behind: Option<FullJid>,
    /// How many changes there were at the first page: all pages know these.
    base: Option<u64>,
    /// Changes that have come since without a gap: behind the first number, up to the second.
    run: Option<(u64, u64)>,
    /// What was taken out meanwhile, and by which change: a page may be older.
    removed: BTreeMap<Box<str>, u64>,
}

impl Slice {
    pub(super) fn new(incarnation: Incarnation) -> Slice {
        Slice {
            incarnation,
            changes: 0,
            lacks: false,
            entries: BTreeMap::new(),
            pull: None,
            rounds: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, jid: &FullJid) -> Option<&Entry> {
        self.entries.get(jid.as_str()).map(|(_, entry)| entry)
    }

    /// The resources of an account.
    pub(super) fn of(&self, account: &BareJid) -> impl Iterator<Item = &Entry> {
        let account = account.as_str().to_owned();
        let first = format!("{account}/");
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let entries = self.entries.range::<str, _>(from);
        entries
            .map(|(_, (_, entry))| entry)
            .take_while(move |entry| entry.jid.bare_str() == account)
    }

    /// What comes behind an address, with the numbers of the last changes.
    pub(super) fn after(&self, jid: Option<&FullJid>) -> impl Iterator<Item = (u64, &Entry)> {
        let from = match jid {
            Some(jid) => Bound::Excluded(jid.as_str()),
            None => Bound::Unbounded,
        };
        let entries = self.entries.range::<str, _>((from, Bound::Unbounded));
        entries.map(|(_, (stamp, entry))| (*stamp, entry))
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_values().map(|(_, entry)| entry)
    }

    /// `false` if something later is known, or the same.
    pub(super) fn put(&mut self, stamp: u64, entry: Entry) -> bool {
        let removed = self.pull.as_ref().map(|pull| &pull.removed);
        if removed.is_some_and(|removed| removed.get(entry.jid.as_str()) > Some(&stamp)) {
            return false;
        }
        match self.entries.get_mut(entry.jid.as_str()) {
            Some((known, _)) if *known >= stamp => false,
            Some(held) => {
                let different = held.1 != entry;
                *held = (stamp, entry);
                different
            }
            None => {
                let jid = entry.jid.as_str().into();
                self.entries.insert(jid, (stamp, entry));
                true
            }
        }
    }

    /// What was taken out, if something was there and nothing later is known. It need not be the session that is gone: one that was
    /// bound before it may be known, and its end was lost.
    pub(super) fn remove(&mut self, stamp: u64, jid: &FullJid) -> Option<Entry> {
        if let Some(pull) = &mut self.pull {
            let last = pull.removed.entry(jid.as_str().into()).or_default();
            *last = stamp.max(*last);
        }
        let (known, _) = self.entries.get(jid.as_str())?;
        if *known > stamp {
            return None;
        }
        self.entries.remove(jid.as_str()).map(|(_, entry)| entry)
    }

    // --- pulling ---

    pub(super) fn is_pulling(&self) -> bool {
        self.pull.is_some()
    }

    /// Begins to read it; gives the number of this reading.
    pub(super) fn begin_pull(&mut self) -> u32 {
        // What was taken out since an earlier one began is still worth knowing.
        let removed = self.pull.take().map(|pull| pull.removed);
        self.pull = Some(Progress {
            behind: None,
            base: None,
            run: None,
            removed: removed.unwrap_or_default(),
        });
        self.rounds = self.rounds.wrapping_add(1);
        self.rounds
    }

    /// Whether a page is the next of this reading.
    pub(super) fn expects(&self, page: &Page) -> bool {
        let pull = self.pull.as_ref().filter(|_| page.round == self.rounds);
        pull.is_some_and(|pull| pull.behind == page.from)
    }

    /// What is here where a page is, is not on the page, and is older: it is gone.
    pub(super) fn older(&self, page: &Page) -> Vec<(u64, FullJid)> {
        let mut named = page.entries.iter().map(|(_, entry)| &entry.jid).peekable();
        let mut gone = Vec::new();
        for (stamp, entry) in self.after(page.from.as_ref()) {
            let jid = entry.jid.as_str();
            if page
                .until
                .as_ref()
                .is_some_and(|until| jid > until.as_str())
            {
                break;
            }
            while named.next_if(|named| named.as_str() < jid).is_some() {}
            let is_named = named.peek().is_some_and(|named| named.as_str() == jid);
            if !is_named && stamp <= page.at {
                gone.push((page.at, entry.jid.clone()));
            }
        }
        gone
    }

    /// Changes have come on the link, from behind one number up to another; `false` if some before them are missing.
    pub(super) fn advance(&mut self, after: u64, until: u64) -> bool {
        match &mut self.pull {
            Some(Progress { run, .. }) => {
                *run = match *run {
                    Some((first, last)) if after <= last => Some((first, until.max(last))),
                    _ => Some((after, until)),
                };
                true
            }
            None => {
                let whole = after <= self.changes;
                self.changes = self.changes.max(until);
                whole
            }
        }
    }

    /// A page was taken in.
    pub(super) fn next_page(&mut self, until: Option<FullJid>, at: u64) -> Next {
        let Some(pull) = &mut self.pull else {
            return Next::Done;
        };
        let base = *pull.base.get_or_insert(at);
        if let Some(until) = until {
            pull.behind = Some(until.clone());
            return Next::Behind(until);
        }
        let run = pull.run;
        self.pull = None;
        match run {
            // What is between was lost, perhaps behind a page that had come already.
            Some((first, _)) if first > base => Next::Again,
            run => {
                self.lacks = false;
                let known = run.map_or(base, |(_, last)| last.max(base));
                self.changes = self.changes.max(known);
                Next::Done
            }
        }
    }
}

/// What comes behind a page.
pub(super) enum Next {
    /// The next one, behind this address.
    Behind(FullJid),
    /// Everything once more.
    Again,
    /// Nothing.
    Done,
}

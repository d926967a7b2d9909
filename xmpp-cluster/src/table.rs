//! Who is bound where, in the memory of every node.
//!
//! Each node alone writes its own slice: the resources that are bound there. Every change has a number; the others
//! apply what comes on the link from that node, and read. So nobody asks anybody where a stanza goes, and nothing can be in
//! conflict but one address on two nodes, which is for the rules of sessions to settle: both are shown.
//!
//! Whoever lacks a slice, or some of it (a new node, one that was cut off), pulls it, a page at a time, from its owner, while changes come
//! on: what is later wins, entry by entry.

mod slice;

use std::collections::{BTreeMap, HashMap};

use xmpp_core::session::SessionId;
use xmpp_core::{BareJid, FullJid};

use crate::frame::{Change, Delta, Entry, Page, Pull};
use crate::node::{Incarnation, Life, NodeId};

use slice::{Next, Slice};

/// Entries of a page, at most.
pub const PAGE: usize = 500;

/// Bytes of a page after which it ends: with an entry of the greatest size behind them they are within a [frame](crate::frame::FRAME).
pub const PAGE_BYTES: usize = 512 << 10;

/// Bytes of a presence that others are told of, at most.
pub const PRESENCE: usize = 256 << 10;

/// Bytes of an entry besides its texts, at most, as a frame has them.
const OVERHEAD: usize = 96;

/// The table as one node has it.
#[derive(Debug)]
pub struct Table {
    me: Life,
    /// How many changes this node's own slice has seen.
    changes: u64,
    slices: BTreeMap<NodeId, Slice>,
    /// Where the resources of an account are: so that nobody looks through all nodes.
    accounts: HashMap<BareJid, Vec<NodeId>>,
}

/// What became of a table by something that came.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A node's resource is there, or something about it is different.
    Put(NodeId, Box<Entry>),
    /// A node's resource is not there any more.
    Removed(NodeId, Box<Entry>),
    /// This is to be asked of that node.
    Pull(Pull),
    /// A node's slice has been read to its end.
    Read(NodeId),
}

/// One has to do with what is not one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It speaks for another node, or another life than the one that is there.
    #[error("it is not the sender's own slice")]
    Foreign,
    /// An address that is bound here is bound once.
    #[error("bound already")]
    Bound,
}

impl Table {
    /// The table of a node where nobody is bound, and that knows of no other.
    pub fn new(me: Life) -> Table {
        let mut slices = BTreeMap::new();
        slices.insert(me.node.clone(), Slice::new(me.incarnation));
        Table {
            me,
            changes: 0,
            slices,
            accounts: HashMap::new(),
        }
    }

    /// How many changes this node's own slice has seen: what its heartbeats tell.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Enters a resource of this node, or what is new about it. What others are told comes back.
    pub fn put(&mut self, entry: Entry) -> Delta {
        let change = Change::Put(Box::new(entry.clone()));
        let (node, after) = (self.me.node.clone(), self.changes);
        self.changes += 1;
        self.enter(&node, self.changes, entry);
        Delta {
            after,
            changes: vec![change],
        }
    }

    /// Takes out a resource of this node, if this is its session. What others are told comes back.
    pub fn remove(&mut self, jid: &FullJid, session: SessionId) -> Option<Delta> {
        let (node, after) = (self.me.node.clone(), self.changes);
        let held = self.slices.get(&node)?.get(jid)?;
        if held.session != session {
            return None;
        }
        self.changes += 1;
        self.take(&node, self.changes, jid);
        Some(Delta {
            after,
            changes: vec![Change::Remove(jid.clone())],
        })
    }

    /// All resources of an account, each with its node.
    pub fn resources<'a>(
        &'a self,
        account: &'a BareJid,
    ) -> impl Iterator<Item = (&'a NodeId, &'a Entry)> {
        let nodes = self.accounts.get(account).into_iter().flatten();
        nodes.flat_map(move |node| {
            let slice = self.slices.get(node);
            slice
                .into_iter()
                .flat_map(move |slice| slice.of(account).map(move |entry| (node, entry)))
        })
    }

    /// What a node's slice has of an address.
    pub fn entry(&self, node: &NodeId, jid: &FullJid) -> Option<&Entry> {
        self.slices.get(node)?.get(jid)
    }

    /// All that have one address, each with its node.
    pub fn of<'a>(&'a self, jid: &'a FullJid) -> impl Iterator<Item = (&'a NodeId, &'a Entry)> {
        let nodes = self.accounts.get(jid.bare_str()).into_iter().flatten();
        nodes.filter_map(move |node| Some((node, self.entry(node, jid)?)))
    }

    /// The resources of one node.
    pub fn len(&self, node: &NodeId) -> usize {
        self.slices.get(node).map_or(0, Slice::len)
    }

    /// Whether nobody is bound anywhere.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// In which of its lives a node's slice is known.
    pub fn life(&self, node: &NodeId) -> Option<Incarnation> {
        self.slices.get(node).map(|slice| slice.incarnation)
    }

    /// A node is up, in this life. What is known of an earlier one is over.
    pub fn up(&mut self, life: &Life, out: &mut Vec<Output>) {
        if life.node == self.me.node {
            return;
        }
        let known = self.slices.get(&life.node);
        if known.is_none_or(|slice| slice.incarnation != life.incarnation) {
            self.down(&life.node, out);
            let slice = Slice::new(life.incarnation);
            self.slices.insert(life.node.clone(), slice);
        }
        self.pull(&life.node, out);
    }

    /// A node is down: its resources are taken out. Whoever goes on with them says so in a slice of their own.
    pub fn down(&mut self, node: &NodeId, out: &mut Vec<Output>) {
        if *node == self.me.node {
            return;
        }
        let Some(slice) = self.slices.remove(node) else {
            return;
        };
        for entry in slice.into_entries() {
            self.forget(node, &entry.jid);
            out.push(Output::Removed(node.clone(), Box::new(entry)));
        }
    }

    /// Changes have come from that node, in this life of it, on its link.
    pub fn delta(&mut self, from: &Life, delta: Delta, out: &mut Vec<Output>) -> Result<(), Error> {
        self.slice_of(from)?;
        let mut stamp = delta.after;
        for change in delta.changes {
            stamp = stamp.saturating_add(1);
            self.change(&from.node, stamp, change, out);
        }
        if !self.slice_of(from)?.advance(delta.after, stamp) {
            self.pull(&from.node, out);
        }
        Ok(())
    }

    /// A heartbeat says how many changes a node's slice has seen. If that is more than is known here and nothing
    /// waits on the link, something was lost with an epoch of it.
    pub fn seen(&mut self, from: &Life, changes: u64, out: &mut Vec<Output>) -> Result<(), Error> {
        let slice = self.slice_of(from)?;
        // What is on its way now is here by the next heartbeat.
        let lacked = std::mem::replace(&mut slice.lacks, slice.changes < changes);
        if lacked && slice.lacks && !slice.is_pulling() {
            self.pull(&from.node, out);
        }
        Ok(())
    }

    /// Answers a question for this node's slice; `None` if it asks for another, or another life.
    pub fn page(&self, pull: &Pull) -> Option<Page> {
        if pull.of != self.me {
            return None;
        }
        let slice = self.slices.get(&self.me.node)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut rest = slice.after(pull.from.as_ref());
        let mut until = None;
        for (stamp, entry) in rest.by_ref() {
            bytes += size(entry);
            entries.push((stamp, entry.clone()));
            if entries.len() == PAGE || bytes > PAGE_BYTES {
                until = Some(entry.jid.clone());
                break;
            }
        }
        Some(Page {
            of: self.me.clone(),
            from: pull.from.clone(),
            round: pull.round,
            until: until.filter(|_| rest.next().is_some()),
            at: self.changes,
            entries,
        })
    }

    /// A page has come from that node.
    pub fn paged(&mut self, from: &Life, page: Page, out: &mut Vec<Output>) -> Result<(), Error> {
        if page.of != *from {
            return Err(Error::Foreign);
        }
        let slice = self.slice_of(from)?;
        if !slice.expects(&page) {
            // Of a pull that was given up.
            return Ok(());
        }
        let gone = slice.older(&page);
        for (stamp, jid) in gone {
            self.change(&from.node, stamp, Change::Remove(jid), out);
        }
        for (stamp, entry) in page.entries {
            self.change(&from.node, stamp, Change::Put(Box::new(entry)), out);
        }
        match self.slice_of(from)?.next_page(page.until, page.at) {
            Next::Behind(jid) => out.push(Output::Pull(Pull {
                of: from.clone(),
                from: Some(jid),
                round: page.round,
            })),
            Next::Again => self.pull(&from.node, out),
            Next::Done => out.push(Output::Read(from.node.clone())),
        }
        Ok(())
    }

    /// A page that was asked for does not come: it is asked for anew, from the start.
    pub fn failed(&mut self, of: &Life, out: &mut Vec<Output>) {
        if self.slice_of(of).is_ok() {
            self.pull(&of.node, out);
        }
    }

    fn slice_of(&mut self, from: &Life) -> Result<&mut Slice, Error> {
        let ours = from.node == self.me.node;
        let slice = self.slices.get_mut(&from.node).filter(|_| !ours);
        slice
            .filter(|slice| slice.incarnation == from.incarnation)
            .ok_or(Error::Foreign)
    }

    fn pull(&mut self, node: &NodeId, out: &mut Vec<Output>) {
        let Some(slice) = self.slices.get_mut(node) else {
            return;
        };
        let round = slice.begin_pull();
        let of = Life {
            node: node.clone(),
            incarnation: slice.incarnation,
        };
        let from = None;
        out.push(Output::Pull(Pull { of, from, round }));
    }

    /// Applies what another node says of its own, unless something later is known.
    fn change(&mut self, node: &NodeId, stamp: u64, change: Change, out: &mut Vec<Output>) {
        match change {
            Change::Put(entry) => {
                if self.enter(node, stamp, (*entry).clone()) {
                    out.push(Output::Put(node.clone(), entry));
                }
            }
            Change::Remove(jid) => {
                if let Some(entry) = self.take(node, stamp, &jid) {
                    out.push(Output::Removed(node.clone(), Box::new(entry)));
                }
            }
        }
    }

    /// `false` if nothing is different.
    fn enter(&mut self, node: &NodeId, stamp: u64, entry: Entry) -> bool {
        let Some(slice) = self.slices.get_mut(node) else {
            return false;
        };
        let account = entry.jid.to_bare();
        let different = slice.put(stamp, entry);
        if different {
            let nodes = self.accounts.entry(account).or_default();
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        different
    }

    fn take(&mut self, node: &NodeId, stamp: u64, jid: &FullJid) -> Option<Entry> {
        let slice = self.slices.get_mut(node)?;
        let gone = slice.remove(stamp, jid)?;
        self.forget(node, jid);
        Some(gone)
    }

    /// A resource was taken out: if it was the account's last on that node, the node is none of its nodes.
    fn forget(&mut self, node: &NodeId, jid: &FullJid) {
        let account = jid.to_bare();
        let slice = self.slices.get(node);
        if slice.is_some_and(|slice| slice.of(&account).next().is_some()) {
            return;
        }
        if let Some(nodes) = self.accounts.get_mut(&account) {
            nodes.retain(|other| other != node);
            if nodes.is_empty() {
                self.accounts.remove(&account);
            }
        }
    }
}

/// How much of a page an entry takes.
fn size(entry: &Entry) -> usize {
    let presence = entry.presence.as_ref().map_or(0, |presence| presence.len());
    let stream = entry.resumable.as_ref();
    let stream = stream.map_or(0, |stream| stream.id.len());
    entry.jid.as_str().len() + presence + stream + OVERHEAD
}

#[cfg(test)]
mod tests;

//! A connection that goes on with the stream of an earlier one (XEP-0198 §5).
//!
//! The stream's machine, the session and what is under way stay with the task of the earlier
//! connection. The new connection hands its wire over to that task and ends, or gets it back
//! with the reason.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::oneshot;

use super::control::Control;
use super::elsewhere::Movable;
use super::limits::Ticket;
use super::wire::Wire;
use crate::stream::{NotResumed, Resume};
use crate::xml::Reader;
use crate::{BareJid, FullJid};

/// Ended streams whose count of handled stanzas is remembered, so that the client of one can
/// tell what has not come through (§5: "the server MAY also include a 'h' attribute").
const ENDED: usize = 10_000;

/// Everything of a connection but its stream.
pub(super) struct Handover {
    pub(super) wire: Wire,
    pub(super) reader: Reader,
    pub(super) peer: Option<IpAddr>,
    pub(super) ticket: Option<Ticket>,
    /// Read, but not yet given to the reader.
    pub(super) unread: Vec<u8>,
    /// Written by the new connection's stream, but not yet taken by the socket.
    pub(super) unsent: Vec<u8>,
    pub(super) resume: Resume,
    back: oneshot::Sender<Refused>,
}

/// A handover that was not taken.
pub(super) type Refused = (Handover, NotResumed);

impl Handover {
    /// Gives up a connection's parts, to be told what became of it: nothing if it was taken.
    pub(super) fn new(
        wire: Wire,
        reader: Reader,
        resume: Resume,
    ) -> (Handover, oneshot::Receiver<Refused>) {
        let (back, refused) = oneshot::channel();
        let handover = Handover {
            wire,
            reader,
            peer: None,
            ticket: None,
            unread: Vec::new(),
            unsent: Vec::new(),
            resume,
            back,
        };
        (handover, refused)
    }

    /// Gives everything back.
    pub(super) fn refuse(mut self, reason: NotResumed) {
        let (nobody, _) = oneshot::channel();
        let back = std::mem::replace(&mut self.back, nobody);
        // The other connection may have been ended meanwhile.
        let _ = back.send((self, reason));
    }
}

/// The streams that can be resumed here.
#[derive(Default)]
pub(super) struct Resumable(Mutex<Table>);

#[derive(Default)]
struct Table {
    live: HashMap<Arc<str>, Entry>,
    ended: HashMap<Arc<str>, (BareJid, u32)>,
    /// The keys of `ended`, oldest first.
    order: VecDeque<Arc<str>>,
}

struct Entry {
    account: BareJid,
    jid: FullJid,
    /// Whether the client logged in without an account.
    guest: bool,
    control: Arc<Control>,
}

impl Resumable {
    /// A stream can be resumed from now on.
    pub(super) fn enter(&self, id: Arc<str>, jid: FullJid, guest: bool, control: Arc<Control>) {
        let entry = Entry {
            account: jid.to_bare(),
            jid,
            guest,
            control,
        };
        self.lock().live.insert(id, entry);
    }

    /// Who has the stream of that name, whosever it is.
    pub(super) fn control(&self, id: &str) -> Option<Arc<Control>> {
        let table = self.lock();
        Some(table.live.get(id)?.control.clone())
    }

    /// The streams that can go on elsewhere.
    pub(super) fn list(&self) -> Vec<Movable> {
        let table = self.lock();
        let ours = table.live.iter().filter(|(_, entry)| !entry.guest);
        let list = ours.map(|(name, entry)| Movable {
            jid: entry.jid.clone(),
            name: name.clone(),
        });
        list.collect()
    }

    /// A stream cannot be resumed any more; so many stanzas were handled on it.
    pub(super) fn leave(&self, id: &Arc<str>, handled: Option<u32>) {
        let mut table = self.lock();
        let (Some(entry), Some(handled)) = (table.live.remove(id), handled) else {
            return;
        };
        if table.order.len() >= ENDED
            && let Some(oldest) = table.order.pop_front()
        {
            table.ended.remove(&oldest);
        }
        table.order.push_back(id.clone());
        table.ended.insert(id.clone(), (entry.account, handled));
    }

    /// Who has the stream of that name, if it is this account's. §10: "a server MUST NOT allow
    /// a client to resume a stream management session until after the client has
    /// authenticated", and nobody resumes another's.
    pub(super) fn find(&self, id: &str, account: &BareJid) -> Result<Arc<Control>, NotResumed> {
        let table = self.lock();
        if let Some(entry) = table.live.get(id).filter(|entry| entry.account == *account) {
            return Ok(entry.control.clone());
        }
        let ended = table.ended.get(id).filter(|(whose, _)| whose == account);
        Err(NotResumed::Unknown(ended.map(|(_, handled)| *handled)))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that runs under this lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_found_by_its_account_only_and_its_count_outlives_it() {
        let [romeo, juliet] =
            ["romeo", "juliet"].map(|name| BareJid::new(&format!("{name}@example.org")).unwrap());
        let streams = Resumable::default();
        let find = |id: &str, account| streams.find(id, account).map(|_| ());
        let unknown = Err(NotResumed::Unknown(None));
        let garden = romeo.with_resource("garden").unwrap();
        streams.enter("one".into(), garden, false, Arc::default());
        assert_eq!(find("one", &romeo), Ok(()));
        assert_eq!(find("one", &juliet), unknown);
        assert_eq!(find("two", &romeo), unknown);
        streams.leave(&"one".into(), Some(7));
        assert_eq!(find("one", &romeo), Err(NotResumed::Unknown(Some(7))));
        assert_eq!(find("one", &juliet), unknown);
    }

    #[test]
    fn only_so_many_ended_streams_are_remembered() {
        let romeo = BareJid::new("romeo@example.org").unwrap();
        let streams = Resumable::default();
        for n in 0..=ENDED {
            let id: Arc<str> = n.to_string().into();
            let garden = romeo.with_resource("garden").unwrap();
            streams.enter(id.clone(), garden, false, Arc::default());
            streams.leave(&id, Some(1));
        }
        let find = |id: &str| streams.find(id, &romeo).map(|_| ()).unwrap_err();
        assert_eq!(find("0"), NotResumed::Unknown(None));
        assert_eq!(find("1"), NotResumed::Unknown(Some(1)));
        assert_eq!(streams.lock().ended.len(), ENDED);
    }
}

//! What rooms have stored, for servers that begin again with it.

use futures::FutureExt as _;
use xmpp_core::BareJid;
use xmpp_muc_federated::store::memory::Memory;
use xmpp_muc_federated::store::{Change, Rooms as _, StoredFederation, StoredMessage, StoredRoom};

/// Most messages of a room's history that it begins again with.
const HISTORY: usize = 100;

/// The store of all of them.
pub(super) struct Store {
    rooms: Memory,
    /// So many of the changes that it was told last are not there when it is asked.
    forgets: usize,
    /// These.
    last: Vec<(BareJid, Change)>,
}

/// A room and what it knows of others.
pub(super) type Stored = (StoredRoom, Vec<StoredMessage>, StoredFederation);

impl Store {
    pub(super) fn new(forgets: usize) -> Store {
        Store {
            rooms: Memory::new(),
            forgets,
            last: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, room: &BareJid, change: Change) {
        self.last.push((room.clone(), change));
        while self.last.len() > self.forgets {
            let (room, change) = self.last.remove(0);
            let applied = self.rooms.apply(&room, &[change]).now_or_never();
            let applied = applied.expect("memory is there at once");
            applied.expect("there is room for it");
        }
    }

    /// What there is of a room; `None` if that is nothing.
    pub(super) fn load(&mut self, room: &BareJid) -> Option<Stored> {
        self.last.retain(|(of, _)| of != room);
        let stored = async {
            let stored = self.rooms.load(room).await?;
            let history = self.rooms.history(room, HISTORY).await?;
            let federation = self.rooms.federation(room).await?;
            Ok::<_, xmpp_core::store::StoreError>(
                stored.map(|stored| (stored, history, federation)),
            )
        };
        let stored = stored.now_or_never();
        let stored = stored.expect("memory is there at once");
        stored.expect("it does not fail")
    }
}

//! A directory of one's own: two servers of one domain, each with its own connections, who
//! see each other's sessions.
//!
//! A [`Directory`] says who is where, and is asked for every stanza, so it never waits for
//! anybody: a session elsewhere is entered here beforehand, as a [`Resource::remote`] whose
//! mailbox leads there. Both servers of this example live in one process, so the mailbox is
//! the session's own; between processes it would be the end of a link.
//!
//! What it shows is presence and messages across servers. Rosters are not among it: a server
//! keeps those of its accounts in memory, and the other one has to be told of changes
//! (`Builder::account_events`, `Server::account_changed`).

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use xmpp_core::directory::{Directory, LocalDirectory, Resources, find};
use xmpp_core::mailbox::Mailbox;
use xmpp_core::session::{Change, Resource, Session, SessionId};
use xmpp_core::stream::StreamError;
use xmpp_core::{FullJid, Jid};

/// One of two directories that mirror each other.
pub struct Twin {
    here: LocalDirectory,
    there: OnceLock<Weak<Twin>>,
    /// Held while both are changed, so that an address is bound on one of them only.
    order: Arc<Mutex<()>>,
}

impl Twin {
    /// Two directories, for [`Builder::directory`](xmpp_core::server::Builder::directory)
    /// of one server each.
    pub fn pair() -> (Arc<Twin>, Arc<Twin>) {
        let order = Arc::default();
        let twin = |order| {
            Arc::new(Twin {
                here: LocalDirectory::new(),
                there: OnceLock::new(),
                order,
            })
        };
        let (first, second) = (twin(Arc::clone(&order)), twin(order));
        let _ = first.there.set(Arc::downgrade(&second));
        let _ = second.there.set(Arc::downgrade(&first));
        (first, second)
    }

    /// The other one, unless its server is gone.
    fn there(&self) -> Option<Arc<Twin>> {
        self.there.get()?.upgrade()
    }

    fn entry(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let entry = find(&self.here.resources(jid.bare_str()), jid.as_str())?;
        (entry.id() == id).then_some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory for Twin {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let _order = self.lock();
        let (jid, id) = (resource.jid().clone(), resource.id());
        let image = Resource::remote(jid, id, resource.mailbox().clone());
        self.here.bind(resource)?;
        if let Some(there) = self.there() {
            // Whatever is bound there is known here, so the address is free there as well.
            let _ = there.here.bind(Arc::new(image));
        }
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        if let Some(there) = self.there()
            && let Some(image) = there.entry(resource.jid(), resource.id())
        {
            there.here.update(&image, change.clone());
        }
        self.here.update(resource, change);
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let _order = self.lock();
        let gone = self.here.unbind(jid, id)?;
        if let Some(there) = self.there()
            && let Some(original) = there.here.unbind(jid, id)
            && let Some(session) = original.session()
        {
            // Somebody here took the address of a session there (RFC 6120 §7.7.2.2).
            session.end(StreamError::conflict());
        }
        Some(gone)
    }

    fn resources(&self, account: &str) -> Resources {
        self.here.resources(account)
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        let _order = self.lock();
        if !self.here.serve(address, mailbox.clone()) {
            return false;
        }
        if let Some(there) = self.there() {
            there.here.serve(address, mailbox);
        }
        true
    }

    fn withdraw(&self, address: &Jid) {
        let _order = self.lock();
        self.here.withdraw(address);
        if let Some(there) = self.there() {
            there.here.withdraw(address);
        }
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        self.here.entity(addresses)
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        self.here.sessions(show);
    }

    fn len(&self) -> usize {
        self.here.len()
    }
}

//! A directory that forgets nobody.

use std::sync::Arc;

use xmpp_core::directory::{Directory, LocalDirectory, Resources};
use xmpp_core::mailbox::Mailbox;
use xmpp_core::session::{Change, Resource, Session, SessionId};
use xmpp_core::{FullJid, Jid};

pub struct Lingering(pub LocalDirectory);

impl Directory for Lingering {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        // Who comes back has to find the place free.
        if let Err(holder) = self.0.bind(resource.clone()) {
            self.0.unbind(holder.jid(), holder.id());
            return self.0.bind(resource);
        }
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        self.0.update(resource, change);
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let all = self.0.resources(jid.bare_str());
        all.iter().find(|r| r.jid() == jid && r.id() == id).cloned()
    }

    fn resources(&self, account: &str) -> Resources {
        self.0.resources(account)
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        self.0.serve(address, mailbox)
    }

    fn withdraw(&self, address: &Jid) {
        self.0.withdraw(address);
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        self.0.entity(addresses)
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        self.0.sessions(show);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

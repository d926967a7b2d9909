//! What nodes of one domain hand over to each other.
//!
//! Each node shows the sessions of the others in its [`Directory`](crate::directory::Directory), as resources whose mailboxes
//! lead to [nodes](crate::mailbox::Node). A stanza for an account goes through the filters of that account (what it blocks, copies of messages) on
//! one node: here, if a session of the account lives here, and then sessions elsewhere get it one by one
//! ([`Inbox::push`](crate::mailbox::Inbox::push), [`Server::accept_for`]); else it goes whole to the node of the best recipient
//! ([`Node::route`](crate::mailbox::Node::route), [`Server::accept`]).

use std::sync::Arc;

use futures::future::{Either, select};

use super::Server;
use super::delivery::Reach;
use crate::directory::{Resources, find};
use crate::mailbox::{Envelope, Origin, Outcome, Reason, Settlement, Share, Undelivered};
use crate::module::Dispatch;
use crate::router::{Recipients, Route};
use crate::session::{Resource, Session, SessionId};
use crate::stanza::{Kind, PresenceType, Stanza};
use crate::stream::StreamError;
use crate::{BareJid, FullJid, Jid};

impl Server {
    /// Takes a stanza with `from` and `to` that another node has handed over whole, since a session of the recipient's account
    /// lives here. It goes on its way from here, as [`Server::route`] has it, but never whole to a node once more: it
    /// may have ended meanwhile.
    ///
    /// Stanzas of one sender keep their order if whoever calls awaits a [`Dispatch`] that is pending before the next one.
    pub fn accept(&self, stanza: Stanza, origin: Origin) -> Dispatch {
        let Some(to) = stanza.to().cloned() else {
            return Dispatch::DONE;
        };
        match self.inner.router.route(&stanza, &to, &origin) {
            Route::Deliver {
                account,
                to: recipients,
            } => match account.iter().find_map(|resource| resource.session()) {
                Some(session) => {
                    let of = session.account();
                    self.deliver_filtered(stanza, origin, of, &account, recipients)
                }
                None => self.deliver_from_here(stanza, origin, account, recipients),
            },
            route => self.follow(route, stanza, to, origin),
        }
    }

    /// Takes a stanza that has been through the filters of its recipient's account on another node, for one session that should
    /// live here.
    ///
    /// If others get it too, the other node keeps the share, and gives one [`elsewhere`](Share::elsewhere): then all that happens to a stanza that the session does
    /// not get is that the share is given up. Else it takes another way from here: to another session, to the store, or back
    /// with an error.
    pub fn accept_for(
        &self,
        to: &FullJid,
        id: SessionId,
        stanza: Stanza,
        origin: Origin,
        share: Option<Share>,
    ) -> Dispatch {
        let mut envelope = Envelope::new(stanza, origin);
        envelope.share = share;
        let Some(resource) = self.local_resource(to, id) else {
            // It was here, and has moved on.
            if let Some(moved) = self.bound(to).filter(|resource| resource.id() == id) {
                return self.pass_on(envelope, &moved);
            }
            return match &envelope.share {
                Some(share) => {
                    share.give_up();
                    Dispatch::Done(envelope.refused(Reason::Closed))
                }
                None => self.given_back(envelope),
            };
        };
        self.pass_on(envelope, &resource)
    }

    fn pass_on(&self, envelope: Envelope, resource: &Resource) -> Dispatch {
        let share = envelope.share.clone();
        let pushed = match resource.session() {
            Some(session) => session.queue().late(envelope),
            None => resource.mailbox().pass(envelope),
        };
        match (pushed, share) {
            (Settlement::Failed(failed), None) => self.detour(failed, resource),
            (pushed, share) => {
                if let (Settlement::Failed(_), Some(share)) = (&pushed, share) {
                    share.give_up();
                }
                Dispatch::Done(pushed)
            }
        }
    }

    /// What was [pushed](crate::mailbox::Inbox::push) to a session on another node, and that session has not got for sure: it goes the way it would have gone without
    /// it (RFC 6121 §8.5), unless others have it: to a session that lives here, to the store, from which a session elsewhere can have
    /// it, or back with an error.
    pub fn given_back(&self, envelope: Envelope) -> Dispatch {
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            server.reroute(envelope, Reach::Here).await;
            Settlement::Done
        }))
    }

    /// What became of a stanza that another node has handed over, for that node to be told. What a session leaves waiting for
    /// longer than [`Timeouts::settle`](super::Timeouts::settle) takes another way, if it has one, as if the session's queue were full.
    pub async fn outcome(&self, dispatch: Dispatch) -> Outcome {
        let mut later = match dispatch.finish().await {
            Settlement::Done => return Outcome::Settled,
            Settlement::Failed(_) => return Outcome::Returned,
            Settlement::Later(later) => later,
        };
        if later.is_pledged() {
            return later.await;
        }
        let time = self.inner.config.timeouts.settle;
        let over = self.inner.clock.sleep(time);
        if let Either::Left((outcome, _)) = select(&mut later, over).await {
            return outcome;
        }
        if let Some(envelope) = later.withdraw() {
            self.overdue(envelope).await;
        }
        Outcome::Settled
    }

    /// Whether what its account's changes mean for a resource is told by this node: unless its session lives on another one
    /// that hears of them itself ([`AccountEvents`](crate::account::AccountEvents)).
    pub(crate) fn speaks_for(&self, resource: &Resource) -> bool {
        resource.session().is_some() || !self.shares_accounts()
    }

    /// A session that lives here has lost its address to one on another node ([`Conflict::Replace`](super::Conflict::Replace)): it ends with
    /// `<conflict/>`. `false` if there is no such session here.
    pub fn replaced(&self, jid: &FullJid, id: SessionId) -> bool {
        let resource = self.local_resource(jid, id);
        let Some(session) = resource.as_ref().and_then(|resource| resource.session()) else {
            return false;
        };
        // It is itself that has the address over there.
        if session.is_moving() {
            return false;
        }
        session.end(StreamError::conflict());
        self.leave_to_itself(self.end(session));
        true
    }

    /// A session has ended with the node on which it lived, and one node of those that are left tells its contacts.
    pub fn lost(&self, jid: &FullJid) -> Dispatch {
        let (server, jid) = (self.clone(), jid.clone());
        Dispatch::Pending(Box::pin(async move {
            let Ok(account) = server.account(&jid.to_bare()).await else {
                return Settlement::Done;
            };
            match &server.inner.hooks.presence {
                Some(handler) => handler.lost(&jid, &account, &server).finish_boxed().await,
                None => Settlement::Done,
            }
        }))
    }

    /// Another node has been met, or met again: a session that lives here is shown who of its contacts is available over there, which are the
    /// resources that `theirs` picks.
    pub fn show_contacts(&self, session: &Arc<Session>, theirs: &dyn Fn(&Resource) -> bool) {
        if let Some(handler) = &self.inner.hooks.presence {
            handler.met(session, theirs, self);
        }
    }

    fn local_resource(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let all = self.inner.directory.resources(jid.bare_str());
        let mut here = all.iter().filter(|resource| resource.session().is_some());
        here.find(|r| r.id() == id && r.jid() == jid).cloned()
    }

    /// To an account none of whose sessions lives here.
    pub(super) fn deliver_elsewhere(
        &self,
        stanza: Stanza,
        origin: Origin,
        account: Resources,
        recipients: Recipients,
    ) -> Dispatch {
        let best = recipients.as_slice().iter().max_by_key(|r| r.priority());
        let Some(node) = best.and_then(|resource| resource.mailbox().node()) else {
            return self.deliver_from_here(stanza, origin, account, recipients);
        };
        match node.route(Envelope::new(stanza, origin)) {
            Settlement::Failed(Undelivered { stanza, origin, .. }) => {
                self.deliver_from_here(stanza, origin, account, recipients)
            }
            settlement => Dispatch::Done(settlement),
        }
    }

    /// To an account. A probe of one session is answered on its node, which alone knows whom that has
    /// directed presence to (RFC 6121 §4.6.6).
    pub(super) fn ask_where_it_is_known(
        &self,
        stanza: Stanza,
        to: Jid,
        origin: Origin,
        account: BareJid,
    ) -> Dispatch {
        let probe = stanza.kind() == Kind::Presence(PresenceType::Probe) && !to.is_bare();
        let probed = probe.then(|| {
            let all = self.inner.directory.resources(account.as_str());
            find(&all, to.as_str())
        });
        let probed = probed.flatten();
        let Some(node) = probed.as_ref().and_then(|r| r.mailbox().node()) else {
            return self.ask_account(stanza, origin, account);
        };
        match node.route(Envelope::new(stanza, origin)) {
            Settlement::Failed(Undelivered { stanza, origin, .. }) => {
                self.ask_account(stanza, origin, account)
            }
            settlement => Dispatch::Done(settlement),
        }
    }

    /// The same, with the account's filters run here, though no session of it lives here.
    fn deliver_from_here(
        &self,
        stanza: Stanza,
        origin: Origin,
        resources: Resources,
        recipients: Recipients,
    ) -> Dispatch {
        let Some(jid) = recipients.as_slice().first().map(|r| r.jid().to_bare()) else {
            return Dispatch::DONE;
        };
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            let delivered = match server.account(&jid).await {
                Ok(account) => {
                    server.deliver_filtered(stanza, origin, &account, &resources, recipients)
                }
                Err(error) => server.refuse(&stanza, &error),
            };
            delivered.finish_boxed().await
        }))
    }
}

#[cfg(test)]
mod tests;

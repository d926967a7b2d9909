//! The server's accounts: found, created and removed while it runs.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;

use super::Server;
use crate::BareJid;
use crate::account::{Account, AccountChange};
use crate::stanza::{Condition, StanzaError};
use crate::store::{self, StoreError};
use crate::stream::{StreamCondition, StreamError};

/// How long a store that does not answer is left alone before an account is loaded anew.
const RELOAD: Duration = Duration::from_secs(2);

impl Server {
    /// The account of a local bare JID, loaded if nobody holds it.
    pub async fn account(&self, jid: &BareJid) -> Result<Arc<Account>, StanzaError> {
        self.inner
            .accounts
            .load(jid, &self.inner.stores)
            .await
            .map_err(|error| self.store_failed("account not loaded", jid, &error))
    }

    /// To be called when an account has been created in the store, by whatever way: what is
    /// in memory of it, for instance because somebody wrote to it before, is loaded anew when
    /// it is next asked for.
    pub async fn account_created(&self, jid: &BareJid) {
        self.inner.accounts.created(jid).await;
        self.inner.accounts.tell(jid, AccountChange::Data);
    }

    /// To be called when another node of the domain, with the same stores, has changed an account
    /// ([`AccountEvents`](crate::account::AccountEvents)). What is in memory of it is loaded anew before it is changed or asked for the next time, and at
    /// once if somebody works with it; its sessions here are told what has changed.
    pub fn account_changed(&self, jid: &BareJid, change: AccountChange) {
        match change {
            AccountChange::Data => {
                if let Some(account) = self.inner.accounts.outdate(jid) {
                    self.load_anew(account);
                }
            }
            AccountChange::Removed => {
                if let Some(account) = self.inner.accounts.outdate(jid) {
                    self.load_anew(account);
                }
                self.end_all(jid);
            }
            AccountChange::Messages => {
                if let Some(handler) = &self.inner.hooks.offline {
                    handler.stored(jid, self);
                }
            }
        }
    }

    /// To be called when such calls may have been missed, because another node could not be reached: all accounts in memory are loaded anew.
    pub fn accounts_changed(&self) {
        for account in self.inner.accounts.outdate_all() {
            self.load_anew(account);
        }
    }

    /// Whether other nodes work with the same accounts.
    pub(crate) fn shares_accounts(&self) -> bool {
        self.inner.accounts.are_shared()
    }

    /// Tells other nodes what has changed of an account.
    pub(crate) fn tell_nodes(&self, account: &BareJid, change: AccountChange) {
        self.inner.accounts.tell(account, change);
    }

    /// What sets this run of this server apart from all others.
    pub(crate) fn run(&self) -> u64 {
        self.inner.run
    }

    /// As long as the store does not answer it is asked again every now and then, if somebody works with the account.
    fn load_anew(&self, account: Arc<Account>) {
        let (server, jid) = (self.clone(), account.jid().clone());
        let account = Arc::downgrade(&account);
        self.spawn(async move {
            while account.strong_count() > 0 && server.account(&jid).await.is_err() {
                server.rest(RELOAD).await;
            }
        });
    }

    /// Has modules see what other nodes have changed.
    pub(super) fn watch_accounts(&self) {
        let inner = Arc::downgrade(&self.inner);
        self.inner.accounts.watch(move |account, before| {
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let server = Server { inner };
            for watcher in &server.inner.hooks.account_watchers {
                watcher.reloaded(account, before, &server);
            }
        });
    }

    /// Removes an account, whoever asks for that: all that the stores keep of it goes, its
    /// subscriptions are cancelled, and its sessions end (XEP-0077 §3.2). `false` if there is
    /// none. It is done to the end also if nobody waits for it any more.
    pub async fn remove_account(&self, jid: &BareJid) -> Result<bool, StanzaError> {
        let (done, removed) = oneshot::channel();
        let (server, account) = (self.clone(), jid.clone());
        self.spawn(async move {
            let removed = server.delete_account(&account).await;
            if let Err(Ok(true)) = done.send(removed) {
                server.end_all(&account);
            }
        });
        let removed = removed.await.unwrap_or_else(|_| {
            let what = "the task that removes the account has ended";
            Err(StoreError::Unavailable(what.into()))
        });
        let removed = removed.map_err(|e| self.store_failed("account not removed", jid, &e))?;
        if removed {
            // A session ends when what waits for it has been written. Who removes the account
            // that it is logged in to waits here in the task that writes: the answer goes first.
            self.end_all(jid);
        }
        Ok(removed)
    }

    async fn delete_account(&self, jid: &BareJid) -> store::Result<bool> {
        let account = self.inner.accounts.load(jid, self.stores()).await?;
        let Some(roster) = account.delete(self.stores()).await? else {
            return Ok(false);
        };
        tracing::info!(account = %jid, "account removed");
        // "the server SHOULD also cancel all existing presence subscriptions related to that
        // entity (as stored in the entity's roster)"
        if let Some(handler) = &self.inner.hooks.presence {
            for item in &roster {
                let _ = handler.part(item, &account, self).finish().await;
            }
        }
        Ok(true)
    }

    /// "the server SHOULD then return a <not-authorized/> stream error and terminate all active
    /// sessions for the entity"
    fn end_all(&self, account: &BareJid) {
        let resources = self.directory().resources(account.as_str());
        for session in resources.iter().filter_map(|resource| resource.session()) {
            session.end(StreamError::new(StreamCondition::NotAuthorized));
        }
    }

    /// The account if it is in memory.
    pub fn held_account(&self, jid: &BareJid) -> Option<Arc<Account>> {
        self.inner.accounts.held(jid)
    }

    /// A store could not do something for an account. That is counted and logged here;
    /// whoever needed it gets this error, and not the store's words:
    /// `<internal-server-error/>`, or `<not-allowed/>` if the store
    /// [refuses](StoreError::Refused), which is not counted as an error of the store.
    pub fn store_failed(
        &self,
        what: &'static str,
        account: &BareJid,
        error: &StoreError,
    ) -> StanzaError {
        if let StoreError::Refused(_) = error {
            tracing::info!(%account, %error, "{what}");
            // RFC 6120 §8.3.3.10: "The recipient or server does not allow any entity to
            // perform the action"
            return StanzaError::new(Condition::NotAllowed);
        }
        self.inner.metrics.store_errors.increment();
        tracing::error!(%account, %error, "{what}");
        StanzaError::new(Condition::InternalServerError)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use super::*;
    use crate::account::{ChangeError, ItemChange};
    use crate::sasl::{Credentials, MIN_ITERATIONS};
    use crate::server::testing::{World, bare};
    use crate::store::{RosterItem, Subscription};

    const ROMEO: &str = "romeo@example.org";

    fn world() -> World {
        World::new(vec![Arc::new(crate::im::presence::Presence)])
    }

    fn create(world: &World) {
        let credentials = Credentials::derive("secret", MIN_ITERATIONS, || [0; _]).unwrap();
        let accounts = world.server.stores().accounts.clone();
        assert!(
            world
                .run(accounts.create(&bare(ROMEO), &credentials))
                .unwrap()
        );
        world.run(world.server.account_created(&bare(ROMEO)));
    }

    #[test]
    fn a_store_that_refuses_has_not_failed() {
        let world = world();
        let told = |error| {
            let told = world
                .server
                .store_failed("not stored", &bare(ROMEO), &error);
            (told.condition, world.server.metrics().store_errors.value())
        };
        let refused = StoreError::Refused("read only".into());
        assert_eq!(told(refused), (Condition::NotAllowed, 0));
        let failed = StoreError::Unavailable("gone".into());
        assert_eq!(told(failed), (Condition::InternalServerError, 1));
    }

    #[test]
    fn an_account_that_is_created_while_somebody_writes_to_it_exists() {
        let world = world();
        let before = world.run(world.server.account(&bare(ROMEO))).unwrap();
        assert!(!before.exists());
        create(&world);
        assert!(
            world
                .run(world.server.account(&bare(ROMEO)))
                .unwrap()
                .exists()
        );
        world
            .run(world.server.remove_account(&bare(ROMEO)))
            .unwrap();
        assert!(!before.exists());
        create(&world);
        world.run(world.server.account(&bare(ROMEO))).unwrap();
        assert!(before.exists(), "and after it was removed");
    }

    #[test]
    fn an_account_that_is_there_already_is_left_alone() {
        let world = world();
        world.contact(ROMEO, "juliet@example.net", Subscription::Both);
        let romeo = world.login("romeo@example.org/orchard");
        world.run(world.server.account_created(&bare(ROMEO)));
        assert!(world.server.held_account(&bare(ROMEO)).is_some());
        assert_eq!(romeo.session.account().roster(|r| r.items().len()), 1);
    }

    #[test]
    fn a_removed_account_takes_no_more_changes() {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        let server = &world.server;
        assert!(world.run(server.remove_account(&bare(ROMEO))).unwrap());
        let contact = bare("juliet@example.net");
        let changed = romeo.session.account().change_roster(
            server.stores(),
            &contact,
            |_, _| Ok::<_, ()>(ItemChange::Put(RosterItem::new(contact.clone()))),
            |_| {},
        );
        assert!(matches!(world.run(changed), Err(ChangeError::NoAccount)));
        let rosters = server.stores().rosters.clone();
        assert_eq!(world.run(rosters.load(&bare(ROMEO))).unwrap().items, []);
        assert!(!world.run(server.remove_account(&bare(ROMEO))).unwrap());
    }

    /// XEP-0077 §3.2
    #[test]
    fn a_removal_that_nobody_waits_for_is_done_to_the_end() {
        let world = world();
        world.contact(ROMEO, "juliet@example.net", Subscription::Both);
        let juliet = world.entity("juliet@example.net");
        let romeo = world.login("romeo@example.org/orchard");
        {
            let account = bare(ROMEO);
            let mut removal = std::pin::pin!(world.server.remove_account(&account));
            let waker = futures::task::noop_waker();
            let poll = removal.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(matches!(poll, Poll::Pending));
        }
        world.settle();
        let ending = romeo.session.ending().unwrap();
        assert_eq!(ending.condition, StreamCondition::NotAuthorized);
        assert_eq!(juliet.read().len(), 2, "unsubscribe, unsubscribed");
    }
}

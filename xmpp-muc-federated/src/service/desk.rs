//! The task of the service itself: it answers, and gives rooms their tasks.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{Either, select};
use futures::{FutureExt as _, StreamExt as _};
use xmpp_core::BareJid;
use xmpp_core::mailbox::{Envelope, Origin, Outcome};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, IqType, Kind};

use super::House;
use super::keeper::Keeper;
use super::table::{Fresh, Table};

/// Bytes of stanzas that are taken at a time.
const BATCH: usize = 64 << 10;
/// When a room for which there was no place is tried again.
const PATIENCE: Duration = Duration::from_millis(100);
/// Rooms that are read from the store at a time.
const PAGE: usize = 1000;

pub(super) struct Desk {
    server: Server,
    table: Arc<Table>,
    fresh: UnboundedReceiver<Fresh>,
}

enum Task {
    Room(Fresh),
    Stanzas(Vec<Envelope>),
    End,
}

impl Desk {
    pub(super) fn new(server: Server, table: Arc<Table>, fresh: UnboundedReceiver<Fresh>) -> Desk {
        Desk {
            server,
            table,
            fresh,
        }
    }

    pub(super) async fn run(mut self) {
        self.load().await;
        self.wake();
        loop {
            match self.next().await {
                Task::Room(post) => {
                    let keeper = Keeper::new(self.server.clone(), self.table.clone(), post);
                    self.server.spawn(keeper.run());
                }
                Task::Stanzas(stanzas) => {
                    for envelope in stanzas {
                        self.stanza(&envelope).await;
                        envelope.settle(Outcome::Settled);
                    }
                }
                Task::End => break,
            }
        }
        self.table.stop();
        // Those that are there already come to their end by themselves.
        self.fresh.close();
        while let Some(post) = self.fresh.next().await {
            let keeper = Keeper::new(self.server.clone(), self.table.clone(), post);
            self.server.spawn(keeper.run());
        }
        for envelope in self.table.desk.close() {
            let _ = self
                .server
                .refuse(&envelope.stanza, &Condition::ServiceUnavailable.into())
                .finish()
                .await;
            envelope.settle(Outcome::Returned);
        }
        // Until then whoever has something to say is told that there is nobody to hear it.
        self.server.closing().await;
        let address = &self.table.house.options.address;
        self.server.directory().withdraw(address.as_jid());
    }

    /// Learns which rooms there are. If that takes more than one try, nobody waits for it.
    async fn load(&self) {
        if self.table.house.load(&self.server).await {
            return;
        }
        let (server, house) = (self.server.clone(), self.table.house.clone());
        self.server.spawn(async move {
            while server.closing().now_or_never().is_none() {
                server.rest(house.options.limits.retry).await;
                if house.load(&server).await {
                    return;
                }
            }
        });
    }

    /// Has the rooms made that are to be there, and those go on that were one with others: these wait to be asked what they have missed, or still count
    /// people who are gone.
    fn wake(&self) {
        let (server, table) = (self.server.clone(), self.table.clone());
        let Some(federal) = &self.table.house.federal else {
            return;
        };
        let named: Vec<_> = federal.rooms().cloned().collect();
        self.server.spawn(async move {
            wake_all(&server, &table, &named).await;
            let mut after = None;
            while server.closing().now_or_never().is_none() {
                match table.house.linked(after.as_ref()).await {
                    Some(page) if page.is_empty() => return,
                    Some(page) => {
                        wake_all(&server, &table, &page).await;
                        after = page.into_iter().next_back();
                    }
                    None => server.rest(table.house.options.limits.retry).await,
                }
            }
        });
    }

    async fn next(&mut self) -> Task {
        let table = self.table.clone();
        let server = self.server.clone();
        let stanzas = Box::pin(table.desk.next(BATCH));
        let closing = Box::pin(async {
            select(Box::pin(server.closing()), Box::pin(table.closing())).await;
        });
        let work = select(self.fresh.next(), stanzas);
        match select(closing, work).await {
            Either::Left(_) => Task::End,
            Either::Right((Either::Left((Some(post), _)), _)) => Task::Room(post),
            Either::Right((Either::Right((Some(stanzas), _)), _)) => Task::Stanzas(stanzas.into()),
            Either::Right(_) => Task::End,
        }
    }

    async fn stanza(&self, envelope: &Envelope) {
        let house = &self.table.house;
        let stanza = &envelope.stanza;
        let answer = match stanza.kind() {
            Kind::Iq(IqType::Get | IqType::Set) => match house.answer(stanza, &self.server).await {
                Ok(child) => Some(stanza.reply().with_children(child.as_ref())),
                Err(error) => stanza.error_reply(&error),
            },
            // Nobody reads what is said to the service.
            Kind::Message(_) => stanza.error_reply(&Condition::ServiceUnavailable.into()),
            _ => None,
        };
        if let Some(answer) = answer {
            house.metrics.sent.increment();
            let _ = self.server.route(answer, Origin::ENTITY).finish().await;
        }
    }
}

impl House {
    /// Takes the rooms that are stored into the catalogue, and counts them as those of who has made them; whether that is done.
    async fn load(&self, server: &Server) -> bool {
        let (service, store) = (&self.options.address, &*self.options.store);
        let mut loaded = self.catalogue.load(service, store).await;
        if loaded.is_ok() {
            let is_foreign = |user: &BareJid| !server.is_local(user.domain());
            loaded = self.creators.load(service, store, is_foreign).await;
        }
        let options = &self.options;
        if let Err(error) = &loaded {
            self.metrics.store_errors.increment();
            tracing::error!(service = %options.address, %error, "rooms not listed");
        }
        loaded.is_ok()
    }

    /// Some of the stored rooms that have links; `None` if the store does not say.
    async fn linked(&self, after: Option<&BareJid>) -> Option<Vec<BareJid>> {
        let options = &self.options;
        let page = options.store.linked(&options.address, after, PAGE).await;
        if let Err(error) = &page {
            self.metrics.store_errors.increment();
            tracing::error!(service = %options.address, %error, "federated rooms not loaded");
        }
        page.ok()
    }
}

/// Has these rooms come into memory, as there is place.
async fn wake_all(server: &Server, table: &Table, rooms: &[BareJid]) {
    for room in rooms {
        while server.closing().now_or_never().is_none() && !table.wake(room) {
            server.rest(PATIENCE).await;
        }
    }
}

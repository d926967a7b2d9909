//! Rooms as a service: an address of a server at which rooms are made, found and entered.
//!
//! A room is in memory as long as somebody has to do with it. Whatever is sent to one that is not makes it a queue and a task, which
//! loads it; when the room is idle and the queue empty, both go again. In between, the task takes the room's stanzas one after the
//! other, has the [machine](crate::Room) do what there is to do, and does what the machine wants done.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::channel::mpsc;
use xmpp_core::mailbox::Mailbox;
use xmpp_core::module::{Hooks, Item, LinkWatcher, Module};
use xmpp_core::s2s::links::LinkEvent;
use xmpp_core::server::{BuildError, Server};
use xmpp_core::{BareJid, Jid};

use crate::settings::Settings;
use crate::store;

mod burst;
mod catalogue;
mod creation;
mod desk;
mod disco;
mod federation;
mod held;
mod keeper;
mod limits;
mod lines;
mod loan;
mod metrics;
mod outlet;
mod shelves;
mod stray;
mod table;
mod unsaved;
mod ways;

pub use creation::Creation;
pub use federation::Federating;
pub use limits::Limits;
pub use lines::{Line, Traffic};
pub use metrics::Metrics;

use catalogue::Catalogue;
use creation::Creators;
use desk::Desk;
use federation::{Federal, Filter};
use stray::Stray;
use table::{Fresh, Table};
use ways::Ways;

/// What a [`Service`] is made of.
#[non_exhaustive]
pub struct Options {
    /// Its address: a domain of its own, such as `rooms.example.org`.
    pub address: BareJid,
    /// The domains that list it among their services (XEP-0030 §4); default none.
    pub listed_by: Vec<BareJid>,
    /// What it is called; default `Rooms`.
    pub name: String,
    /// Who may make rooms; default anyone.
    pub creation: Creation,
    /// What it may hold.
    pub limits: Limits,
    /// What its rooms share.
    pub settings: Arc<Settings>,
    /// Where persistent rooms are.
    pub store: Arc<dyn store::Rooms>,
    /// How its rooms are federated; default none is.
    pub federation: Option<Federating>,
}

impl Options {
    /// A service with the defaults.
    pub fn new(address: BareJid, settings: Arc<Settings>, store: Arc<dyn store::Rooms>) -> Options {
        Options {
            address,
            listed_by: Vec::new(),
            name: "Rooms".into(),
            creation: Creation::default(),
            limits: Limits::default(),
            settings,
            store,
            federation: None,
        }
    }
}

/// The rooms of one address, as a module of one server. Clone is cheap and names the same service.
///
/// ```
/// # use std::sync::Arc;
/// # use xmpp_core::server::Server;
/// # use xmpp_muc_federated::{Settings, Service, service, store};
/// # fn build(settings: Settings) {
/// let address = "rooms.example.org".parse().expect("a domain");
/// let rooms = Arc::new(store::memory::Memory::default());
/// let service = Service::new(service::Options::new(address, Arc::new(settings), rooms));
/// let builder = Server::builder().module(service.clone());
/// # }
/// ```
///
/// A server that stops [closes](Service::close) it first, while those who are in its rooms can still be told.
#[derive(Clone)]
pub struct Service {
    house: Arc<House>,
    /// What the task of the service begins with.
    begin: Arc<Mutex<Option<mpsc::UnboundedReceiver<Fresh>>>>,
    open: Arc<Mutex<Option<Arc<Table>>>>,
}

/// What the tasks of a service share.
struct House {
    options: Options,
    catalogue: Catalogue,
    creators: Creators,
    metrics: Metrics,
    fresh: mpsc::UnboundedSender<Fresh>,
    federal: Option<Federal>,
    ways: Arc<Ways>,
}

/// A room that is in memory, for an operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// Its address.
    pub room: BareJid,
    /// How many occupants it has.
    pub occupants: usize,
    /// Whether it stays when they leave.
    pub persistent: bool,
    /// Stanzas that wait for it.
    pub waiting: usize,
    /// Its links to other rooms with which it is one.
    pub links: Vec<Line>,
}

impl Service {
    /// A service, for one server.
    pub fn new(mut options: Options) -> Service {
        // Bounded by the rooms that may be in memory.
        let (fresh, begin) = mpsc::unbounded();
        Service {
            house: Arc::new(House {
                catalogue: Catalogue::new(options.limits.listed),
                creators: Creators::new(&options.limits),
                metrics: Metrics::default(),
                fresh,
                federal: options.federation.take().map(Federal::new),
                ways: Arc::default(),
                options,
            }),
            begin: Arc::new(Mutex::new(Some(begin))),
            open: Arc::default(),
        }
    }

    /// Its address.
    pub fn address(&self) -> &BareJid {
        &self.house.options.address
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.house.metrics
    }

    /// The rooms that are in memory, in the order of their addresses.
    pub fn rooms(&self) -> Vec<View> {
        let table = lock(&self.open).clone();
        table.map_or_else(Vec::new, |table| table.view())
    }

    /// Tells everybody who is in a room that it is being shut down (XEP-0045 §11.2), stores what is to be stored, and
    /// takes nothing more. Returns when all rooms are gone. A server that [closes](Server::close) does the same, but then nobody may be
    /// left to be told.
    pub async fn close(&self) {
        let table = lock(&self.open).clone();
        if let Some(table) = table {
            table.close().await;
        }
    }
}

impl Module for Service {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        let options = &self.house.options;
        for domain in &options.listed_by {
            on.item(Item {
                of: domain.clone(),
                jid: Jid::from(options.address.clone()),
                name: Some(options.name.clone()),
            });
        }
        if self.house.federal.is_some() {
            on.outbound(Arc::new(Filter {
                service: options.address.clone(),
            }));
            on.inbound(Arc::new(Stray));
            on.watch_links(self.clone());
        }
    }

    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        let address = self.address();
        let refuse = |why: &str| Err(BuildError::Module(format!("rooms at {address}: {why}")));
        if !address.is_domain() {
            return refuse("this is no mere domain");
        }
        if server.is_local(address.as_str()) {
            return refuse("accounts are served there");
        }
        let Some(fresh) = lock(&self.begin).take() else {
            return refuse("they are another server's");
        };
        if let Some(federal) = &self.house.federal {
            federal.begin(address, server);
        }
        let table = Arc::new(Table::new(self.house.clone(), server.budget().clone()));
        let mailbox = Mailbox::new(table.clone());
        if !server.directory().serve(address.as_jid(), mailbox) {
            return refuse("something else is served there");
        }
        *lock(&self.open) = Some(table.clone());
        server.spawn(Desk::new(server.clone(), table, fresh).run());
        Ok(())
    }
}

impl LinkWatcher for Service {
    fn link(&self, event: &LinkEvent, _: &Server) {
        self.house.ways.hear(event, self.address());
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(self.address()).finish()
    }
}

/// Nothing that runs under these locks can panic half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

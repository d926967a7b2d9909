//! Sessions that go from one node to another: resumed there (XEP-0198 §5), or sent away.
//!
//! The node that has a session is the only one that decides where it is. It freezes the session and [offers](crate::frame::moves::Offer) its
//! record; the other one binds it, and asks whether it is its own now. What was said for it meanwhile goes ahead of the answer, on the same link.
//!
//! | what happens | the node that had it | the one that takes it |
//! |---|---|---|
//! | the taker dies, or is cut off, before it asks | keeps it | |
//! | the owner dies, or is cut off, before it answers | keeps it, if it lives | has it |
//! | both have it, and meet again | closes it with `<conflict/>`: its generation is the lower one | has it |
//! | the answer is lost, since the owner held the taker to be down | remembers the last [`DECIDED`] | asks again |
//! | nothing is heard for [`OFFERED`] | lets go of it if the taker says that it is bound there, and keeps it otherwise | |

mod arrivals;
mod drain;
mod offers;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use xmpp_core::BareJid;
use xmpp_core::io::{self, Elsewhere};
use xmpp_core::server::Server;
use xmpp_core::stream::NotResumed;

use crate::cluster::{Event, SendError};
use crate::directory::ClusterDirectory;
use crate::frame::Parcel;
use crate::frame::moves::{Fetch, NotHere};
use crate::io::{Cluster, Handler};
use crate::node::{Life, NodeId};

use arrivals::Arrivals;
pub use drain::Drained;
use offers::Offers;

/// Sessions of this node that are frozen for others, or about to be, at most; a client whose session is one more is told that its stream is unknown.
pub const OFFERS: usize = 256;

/// Sessions of others that are on their way here, at most.
pub const ARRIVALS: usize = 256;

/// Clients that wait here for streams of other nodes, at most.
pub const FETCHES: usize = 4096;

/// Sessions that other nodes have taken of which that is remembered, at most.
pub const DECIDED: usize = 4096;

/// For how long a session is frozen for a node that says nothing.
pub const OFFERED: Duration = Duration::from_secs(30);

/// How often it is looked who has a stream: it may have gone on meanwhile, or be on its way.
const HOPS: usize = 4;

/// The time in between, if nobody is known to have it.
const LATER: Duration = Duration::from_millis(250);

/// After so long it is tried again to send what found no room.
const AGAIN: Duration = Duration::from_millis(100);

/// Brings sessions from node to node: a [`Handler`] behind the [`Exchange`](crate::exchange::Exchange), and
/// the [`Elsewhere`] of a driver.
#[derive(Clone)]
pub struct Moves(Arc<Inner>);

struct Inner {
    directory: Arc<ClusterDirectory>,
    server: Server,
    driver: io::Driver,
    fetches: Mutex<Fetches>,
    arrivals: Mutex<Arrivals>,
    offers: Mutex<Offers>,
}

/// Streams that other nodes are asked for.
#[derive(Default)]
struct Fetches {
    last: u64,
    asked: HashMap<u64, Asked>,
}

struct Asked {
    of: Life,
    reply: oneshot::Sender<Answer>,
}

enum Answer {
    Here(io::Offer),
    Not(NotHere),
}

/// A session was not sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// There is no such stream here that could go on elsewhere.
    #[error("no such session, or one that cannot move")]
    Unknown,
    /// [`OFFERS`] is reached.
    #[error("too many sessions move")]
    Full,
    /// The other node is not up, or does not take it.
    #[error("it was not taken")]
    NotTaken,
}

impl Moves {
    /// For the server that has this directory, and the driver of its connections. The driver asks other nodes from now
    /// on, unless it has [somebody to ask](io::Driver::set_elsewhere) already.
    pub fn new(directory: Arc<ClusterDirectory>, server: Server, driver: io::Driver) -> Moves {
        let moves = Moves(Arc::new(Inner {
            directory,
            server,
            driver: driver.clone(),
            fetches: Mutex::default(),
            arrivals: Mutex::default(),
            offers: Mutex::default(),
        }));
        driver.set_elsewhere(Arc::new(Asking(Arc::downgrade(&moves.0))));
        moves
    }

    /// Sends the session whose stream has that name to another node, where it waits for its client.
    ///
    /// # Errors
    ///
    /// If it stays where it is: its client does not notice.
    pub async fn send_away(&self, name: &str, to: &Life) -> Result<(), NotSent> {
        let inner = &self.0;
        if !lock(&inner.offers).begin() {
            return Err(NotSent::Full);
        }
        let handed_out = inner.driver.send_away(name).await;
        let Ok(handed_out) = handed_out else {
            lock(&inner.offers).give_up();
            return Err(NotSent::Unknown);
        };
        match inner.offer(handed_out, to, 0).await {
            Ok(true) => Ok(()),
            _ => Err(NotSent::NotTaken),
        }
    }
}

/// What the driver asks; it does not hold what holds it.
struct Asking(Weak<Inner>);

#[async_trait]
impl Elsewhere for Asking {
    async fn fetch(&self, name: &str, account: &BareJid) -> Result<io::Offer, NotResumed> {
        let unknown = NotResumed::Unknown(None);
        let mut hint = None;
        for hop in 0..HOPS {
            let inner = self.0.upgrade().ok_or(unknown)?;
            let of = hint.take();
            let of = of.or_else(|| inner.directory.holder(name, account));
            let answer = match of {
                Some(of) => Some(inner.ask(name, account, of).await.ok_or(unknown)?),
                None => None,
            };
            match answer {
                Some(Answer::Here(offer)) => return Ok(offer),
                Some(Answer::Not(NotHere {
                    handled: handled @ Some(_),
                    ..
                })) => return Err(NotResumed::Unknown(handled)),
                Some(Answer::Not(not)) => hint = not.at.and_then(|node| inner.life(&node)),
                None => {}
            }
            if hint.is_none() && hop + 1 < HOPS {
                inner.server.rest(LATER).await;
            }
        }
        Err(unknown)
    }
}

impl Handler for Moves {
    fn handle(&self, event: &Event, _: &Cluster) {
        let inner = &self.0;
        match event {
            Event::Parcel(from, parcel) => inner.parcel(from, parcel),
            Event::Down(life, _) => {
                lock(&inner.fetches)
                    .asked
                    .retain(|_, asked| asked.of != *life);
                // Whatever it would have said, it is not there to go on with the session.
                let taken = lock(&inner.arrivals).down(life);
                for decided in taken {
                    let _ = decided.send(true);
                }
                // And what it was offered goes on here.
                let kept = lock(&inner.offers).down(life);
                drop(kept);
            }
            Event::Reset(life) => {
                lock(&inner.fetches)
                    .asked
                    .retain(|_, asked| asked.of != *life);
                let asked = lock(&inner.arrivals).reset(life);
                for taken in asked {
                    inner.send_surely(life, Parcel::Taken(taken));
                }
            }
            _ => {}
        }
    }
}

impl Inner {
    fn cluster(&self) -> &Cluster {
        self.directory.cluster()
    }

    /// The life that a node is in.
    fn life(&self, node: &NodeId) -> Option<Life> {
        self.cluster()
            .up()
            .into_iter()
            .find(|life| life.node == *node)
    }

    /// Asks a node for a stream. Dropped, nothing comes of it.
    async fn ask(self: &Arc<Self>, name: &str, account: &BareJid, of: Life) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let number = {
            let mut fetches = lock(&self.fetches);
            // Those whose clients have gone.
            if fetches.asked.len() == FETCHES {
                fetches.asked.retain(|_, asked| !asked.reply.is_canceled());
            }
            if fetches.asked.len() == FETCHES {
                return None;
            }
            fetches.last += 1;
            let number = fetches.last;
            let of = of.clone();
            fetches.asked.insert(number, Asked { of, reply });
            number
        };
        let fetch = Parcel::Fetch(Fetch {
            number,
            name: name.to_owned(),
            account: account.clone(),
        });
        if self.cluster().send(&of, &fetch).is_err() {
            lock(&self.fetches).asked.remove(&number);
            return None;
        }
        answer.await.ok()
    }

    /// Who waits for the answer of that node.
    fn asked(&self, of: &Life, number: u64) -> Option<oneshot::Sender<Answer>> {
        let mut fetches = lock(&self.fetches);
        if fetches.asked.get(&number)?.of != *of {
            return None;
        }
        fetches.asked.remove(&number).map(|asked| asked.reply)
    }

    fn parcel(self: &Arc<Self>, from: &Life, parcel: &Parcel) {
        match parcel {
            Parcel::Fetch(fetch) => self.wanted(from, fetch.clone()),
            Parcel::NotHere(not) => {
                if let Some(reply) = self.asked(from, not.number) {
                    let _ = reply.send(Answer::Not(not.clone()));
                }
            }
            Parcel::Offer(offer) => self.offered(from, (**offer).clone()),
            Parcel::Piece(piece) => self.piece(from, piece.clone()),
            Parcel::More(more) => self.more(from, *more),
            Parcel::Taken(taken) => self.taken(from, taken.number),
            Parcel::Declined(declined) => drop(lock(&self.offers).take(from, declined.number)),
            Parcel::Decided(decided) => {
                let waiting = lock(&self.arrivals).decided(from, decided.number);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(decided.gone);
                }
            }
            _ => {}
        }
    }

    /// Sends it now, or as soon as there is room; unless the node goes down.
    fn send_surely(self: &Arc<Self>, to: &Life, parcel: Parcel) {
        if self.cluster().send(to, &parcel) != Err(SendError::Full) {
            return;
        }
        let (inner, to) = (self.clone(), to.clone());
        self.server.spawn(async move {
            loop {
                inner.server.rest(AGAIN).await;
                if inner.cluster().send(&to, &parcel) != Err(SendError::Full) {
                    return;
                }
            }
        });
    }
}

// A panic elsewhere while it is held leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moves({:?})", self.0.cluster())
    }
}

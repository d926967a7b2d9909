//! Sessions of other nodes that come here.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use futures::channel::oneshot;
use xmpp_core::BareJid;
use xmpp_core::io;
use xmpp_core::stream::NotResumed;

use super::{ARRIVALS, Answer, Inner, lock};
use crate::frame::Parcel;
use crate::frame::moves::{Declined, More, Offer, Piece, Taken};
use crate::node::Life;

#[derive(Default)]
pub(super) struct Arrivals(HashMap<(Life, u64), Arrival>);

enum Arrival {
    /// The record is not whole yet.
    Comes(Record),
    /// It is being bound.
    Bound,
    /// It is bound, and its node is asked whether it has let go.
    Asked(oneshot::Sender<bool>),
}

struct Record {
    text: Vec<u8>,
    size: usize,
    account: BareJid,
    /// Who waits for it; nobody, if it was sent away.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Arrivals {
    /// That node is down: those whom it has not answered have their sessions now.
    pub(super) fn down(&mut self, life: &Life) -> Vec<oneshot::Sender<bool>> {
        let all = self
            .0
            .extract_if(|(of, _), arrival| of == life && !matches!(arrival, Arrival::Bound));
        let asked = all.filter_map(|(_, arrival)| match arrival {
            Arrival::Asked(decided) => Some(decided),
            _ => None,
        });
        asked.collect()
    }

    /// That node had held this one to be down: what it has to be asked again.
    pub(super) fn reset(&mut self, life: &Life) -> Vec<Taken> {
        let comes = |arrival: &Arrival| matches!(arrival, Arrival::Comes(_));
        self.0
            .retain(|(of, _), arrival| of != life || !comes(arrival));
        let asked = self
            .0
            .iter()
            .filter(|((of, _), arrival)| of == life && matches!(arrival, Arrival::Asked(_)));
        asked
            .map(|((_, number), _)| Taken { number: *number })
            .collect()
    }

    /// It is known where a session is.
    pub(super) fn decided(&mut self, from: &Life, number: u64) -> Option<oneshot::Sender<bool>> {
        let key = (from.clone(), number);
        // One that is being bound asks before long, and is answered the same.
        if matches!(self.0.get(&key)?, Arrival::Bound) {
            return None;
        }
        match self.0.remove(&key)? {
            Arrival::Asked(decided) => Some(decided),
            Arrival::Comes(_) | Arrival::Bound => None,
        }
    }

    /// What comes next of a record; whether all is there, or nothing is to be had of it.
    fn add(&mut self, key: &(Life, u64), piece: &Piece) -> Option<Step> {
        let Some(Arrival::Comes(record)) = self.0.get_mut(key) else {
            return None;
        };
        let follows = piece.from == record.text.len() as u64 && !piece.bytes.is_empty();
        if !follows || record.text.len() + piece.bytes.len() > record.size {
            self.0.remove(key);
            return Some(Step::Decline);
        }
        record.text.extend_from_slice(&piece.bytes);
        if record.text.len() < record.size {
            return Some(Step::More(record.text.len() as u64));
        }
        match self.0.insert(key.clone(), Arrival::Bound) {
            Some(Arrival::Comes(record)) => Some(Step::Whole(record)),
            _ => None,
        }
    }
}

enum Step {
    More(u64),
    Whole(Record),
    Decline,
}

/// A session whose record is here. Dropped before it is bound, its node hears that it is not taken.
pub(super) struct Arrived {
    inner: Weak<Inner>,
    key: (Life, u64),
    asked: bool,
}

impl Inner {
    /// A session is frozen over there.
    pub(super) fn offered(self: &Arc<Self>, from: &Life, offer: Offer) {
        let reply = match offer.fetch {
            0 => None,
            fetch => match self.asked(from, fetch) {
                Some(reply) => Some(reply),
                // Nobody waits for it any more.
                None => return self.decline(from, offer.number),
            },
        };
        let Ok(size) = usize::try_from(offer.size) else {
            return self.decline(from, offer.number);
        };
        let key = (from.clone(), offer.number);
        {
            let mut arrivals = lock(&self.arrivals);
            if arrivals.0.len() >= ARRIVALS {
                drop(arrivals);
                return self.decline(from, offer.number);
            }
            let record = Record {
                text: Vec::new(),
                size,
                account: offer.jid.to_bare(),
                reply,
            };
            arrivals.0.insert(key, Arrival::Comes(record));
        }
        let first = Piece {
            number: offer.number,
            from: 0,
            bytes: offer.first,
        };
        self.piece(from, first);
    }

    /// Some of its record.
    pub(super) fn piece(self: &Arc<Self>, from: &Life, piece: Piece) {
        let (number, key) = (piece.number, (from.clone(), piece.number));
        let step = lock(&self.arrivals).add(&key, &piece);
        match step {
            Some(Step::More(from)) => {
                let more = More { number, from };
                self.send_surely(&key.0, Parcel::More(more));
            }
            Some(Step::Whole(record)) => self.whole(key, record),
            Some(Step::Decline) => self.decline(from, number),
            None => {}
        }
    }

    fn whole(self: &Arc<Self>, key: (Life, u64), record: Record) {
        let arrived = Arrived {
            inner: Arc::downgrade(self),
            key,
            asked: false,
        };
        let Ok(state) = String::from_utf8(record.text) else {
            return;
        };
        let offer = io::Offer::new(state, arrived.ask());
        match record.reply {
            // If nobody waits any more, it is dropped.
            Some(reply) => drop(reply.send(Answer::Here(offer))),
            None => {
                let inner = self.clone();
                self.server.spawn(async move {
                    let taken = inner.driver.take_in(&record.account, offer).await;
                    if taken.is_err() {
                        tracing::info!(account = %record.account, "a session that was sent here is not taken");
                    }
                });
            }
        }
    }

    fn decline(self: &Arc<Self>, to: &Life, number: u64) {
        self.send_surely(to, Parcel::Declined(Declined { number }));
    }
}

impl Arrived {
    /// It is bound here: asks its node, and waits for the answer, or for the node's end.
    async fn ask(mut self) -> Result<(), NotResumed> {
        let unknown = NotResumed::Unknown(None);
        let inner = self.inner.upgrade().ok_or(unknown)?;
        let (decided, is_decided) = oneshot::channel();
        let (of, number) = self.key.clone();
        self.asked = true;
        // In this order: either the end of the node is told to whoever waits, or it is seen here.
        lock(&inner.arrivals)
            .0
            .insert(self.key.clone(), Arrival::Asked(decided));
        if !inner.cluster().is_up(&of) {
            lock(&inner.arrivals).0.remove(&self.key);
            return Ok(());
        }
        inner.send_surely(&of, Parcel::Taken(Taken { number }));
        drop(inner);
        match is_decided.await {
            Ok(true) => Ok(()),
            _ => Err(unknown),
        }
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade().filter(|_| !self.asked) else {
            return;
        };
        lock(&inner.arrivals).0.remove(&self.key);
        inner.decline(&self.key.0, self.key.1);
    }
}

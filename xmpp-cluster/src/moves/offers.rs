//! Sessions of this node that others may have.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::channel::oneshot;
use xmpp_core::io::HandedOut;
use xmpp_core::stream::NotResumed;

use super::{DECIDED, Inner, OFFERED, OFFERS, lock};
use crate::frame::Parcel;
use crate::frame::moves::{Decided, Fetch, More, NotHere, Offer, PIECE, Piece, RECORD};
use crate::node::Life;

#[derive(Default)]
pub(super) struct Offers {
    /// Sessions that are being frozen.
    begun: usize,
    last: u64,
    frozen: HashMap<u64, Frozen>,
    /// Those that others have, the latest last.
    gone: VecDeque<u64>,
}

/// A session that is frozen for another node. Dropped, it goes on here.
pub(super) struct Frozen {
    to: Life,
    record: Bytes,
    handed_out: HandedOut,
    /// Who waits to hear whether it has gone.
    done: oneshot::Sender<bool>,
}

impl Offers {
    /// One more is to be frozen, if there is room.
    pub(super) fn begin(&mut self) -> bool {
        let room = self.begun + self.frozen.len() < OFFERS;
        self.begun += usize::from(room);
        room
    }

    /// It was not frozen.
    pub(super) fn give_up(&mut self) {
        self.begun = self.begun.saturating_sub(1);
    }

    /// That which is frozen for that node.
    pub(super) fn take(&mut self, to: &Life, number: u64) -> Option<Frozen> {
        if self.frozen.get(&number)?.to != *to {
            return None;
        }
        self.frozen.remove(&number)
    }

    /// That node is down.
    pub(super) fn down(&mut self, life: &Life) -> Vec<Frozen> {
        let all = self.frozen.extract_if(|_, frozen| frozen.to == *life);
        all.map(|(_, frozen)| frozen).collect()
    }

    fn remember(&mut self, number: u64) {
        if self.gone.len() == DECIDED {
            self.gone.pop_front();
        }
        self.gone.push_back(number);
    }
}

impl Inner {
    /// A client resumes a stream of this node over there.
    pub(super) fn wanted(self: &Arc<Self>, from: &Life, fetch: Fetch) {
        let (inner, from) = (self.clone(), from.clone());
        if !lock(&self.offers).begin() {
            return self.not_here(&from, &fetch, None);
        }
        self.server.spawn(async move {
            match inner.driver.hand_out(&fetch.name, &fetch.account).await {
                Ok(handed_out) => {
                    if inner.offer(handed_out, &from, fetch.number).await.is_err() {
                        inner.not_here(&from, &fetch, None);
                    }
                }
                Err(reason) => {
                    lock(&inner.offers).give_up();
                    let handled = match reason {
                        NotResumed::Unknown(handled) => handled,
                        NotResumed::TooHigh { .. } => None,
                    };
                    inner.not_here(&from, &fetch, handled);
                }
            }
        });
    }

    fn not_here(self: &Arc<Self>, to: &Life, fetch: &Fetch, handled: Option<u32>) {
        let at = self.directory.holder(&fetch.name, &fetch.account);
        let answer = NotHere {
            number: fetch.number,
            handled,
            at: at.map(|life| life.node).filter(|node| *node != to.node),
        };
        self.send_surely(to, Parcel::NotHere(answer));
    }

    /// Offers a session for which there is [room](Offers::begin), and waits until it is known whether it has gone; an error if
    /// it could not be offered.
    pub(super) async fn offer(
        self: &Arc<Self>,
        handed_out: HandedOut,
        to: &Life,
        fetch: u64,
    ) -> Result<bool, ()> {
        let record = Bytes::from(handed_out.state().to_owned());
        let (done, is_done) = oneshot::channel();
        let offer = {
            let mut offers = lock(&self.offers);
            offers.give_up();
            if record.len() > RECORD {
                tracing::warn!(session = %handed_out.jid(), "too large to go to another node");
                return Err(());
            }
            offers.last += 1;
            let number = offers.last;
            let offer = Offer {
                number,
                fetch,
                jid: handed_out.jid().clone(),
                session: handed_out.id(),
                name: handed_out.name().to_owned(),
                size: record.len() as u64,
                first: record.slice(..record.len().min(PIECE)),
            };
            let frozen = Frozen {
                to: to.clone(),
                record,
                handed_out,
                done,
            };
            offers.frozen.insert(number, frozen);
            offer
        };
        let number = offer.number;
        if self
            .cluster()
            .send(to, &Parcel::Offer(Box::new(offer)))
            .is_err()
        {
            drop(lock(&self.offers).take(to, number));
            return Err(());
        }
        let (inner, of) = (self.clone(), to.clone());
        self.server.spawn(async move {
            inner.server.rest(OFFERED).await;
            inner.overdue(&of, number);
        });
        Ok(is_done.await.unwrap_or(false))
    }

    /// More of a record is wanted.
    pub(super) fn more(self: &Arc<Self>, from: &Life, more: More) {
        let piece = {
            let offers = lock(&self.offers);
            let frozen = offers.frozen.get(&more.number);
            frozen
                .filter(|frozen| frozen.to == *from)
                .and_then(|frozen| {
                    let begin = usize::try_from(more.from).ok()?;
                    let end = frozen.record.len().min(begin.saturating_add(PIECE));
                    (begin < end).then(|| frozen.record.slice(begin..end))
                })
        };
        match piece {
            Some(bytes) => {
                let piece = Piece {
                    number: more.number,
                    from: more.from,
                    bytes,
                };
                self.send_surely(from, Parcel::Piece(piece));
            }
            None => self.decide(from, more.number, false),
        }
    }

    /// A session is bound over there.
    pub(super) fn taken(self: &Arc<Self>, from: &Life, number: u64) {
        let (frozen, gone) = {
            let mut offers = lock(&self.offers);
            (offers.take(from, number), offers.gone.contains(&number))
        };
        match frozen {
            Some(frozen) => self.let_go(frozen, number),
            None => self.decide(from, number, gone),
        }
    }

    /// Nothing was heard for long. If it is bound over there, the node held this one to be dead, and has it.
    fn overdue(self: &Arc<Self>, to: &Life, number: u64) {
        let Some(frozen) = lock(&self.offers).take(to, number) else {
            return;
        };
        let session = &frozen.handed_out;
        match self.directory.is_at(to, session.jid(), session.id()) {
            true => self.let_go(frozen, number),
            false => {
                tracing::warn!(node = %to, session = %session.jid(), "not taken, and stays");
                self.decide(to, number, false);
            }
        }
    }

    fn let_go(self: &Arc<Self>, frozen: Frozen, number: u64) {
        let Frozen {
            to,
            handed_out,
            done,
            ..
        } = frozen;
        let way = self.directory.way(&to, handed_out.jid(), handed_out.id());
        let inner = self.clone();
        self.server.spawn(async move {
            let gone = handed_out.taken(way).await.is_ok();
            if gone {
                lock(&inner.offers).remember(number);
            }
            // Behind what has come for it meanwhile.
            inner.decide(&to, number, gone);
            let _ = done.send(gone);
        });
    }

    fn decide(self: &Arc<Self>, to: &Life, number: u64, gone: bool) {
        self.send_surely(to, Parcel::Decided(Decided { number, gone }));
    }
}

//! The task of one room.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{Either, select};
use xmpp_core::BareJid;
use xmpp_core::mailbox::{Envelope, Outcome};
use xmpp_core::server::Server;
use xmpp_core::stanza::{IqType, Kind, Stanza, StanzaError};
use xmpp_core::store::StoreError;

use super::Options;
use super::held::{Happening, Held};
use super::lines::Lines;
use super::loan::Loan;
use super::outlet::{Outlet, failed};
use super::table::{Post, Table};
use super::unsaved::Unsaved;
use crate::fmuc::{self, LinkState, is_between_rooms};
use crate::ns;
use crate::room::{Output, Room, refusal};
use crate::store::Change;

mod load;
mod nodes;
mod save;
mod seat;
mod show;

use seat::Seat;
use show::Shown;

/// Bytes of stanzas that are taken at a time: what their turns have changed is stored together.
const BATCH: usize = 64 << 10;
/// Tries to store what is left when the service closes.
const LAST_TRIES: usize = 3;

/// Keeps a room as long as somebody has to do with it.
pub(super) struct Keeper {
    server: Server,
    table: Arc<Table>,
    seat: Seat,
    /// `None` if there is no such room.
    room: Option<Held>,
    /// Whether it is in the store.
    stored: bool,
    /// What its history takes.
    history: Loan,
    outlet: Outlet,
    unsaved: Unsaved,
    /// What the turn has changed, as long as its answer may be to come.
    own: Vec<Change>,
    /// Its links to other nodes; `None` where rooms are not federated.
    lines: Option<Lines>,
    /// When what is unsaved is tried again.
    retry: Option<Instant>,
    /// Since when nobody is in it.
    idle: Option<Instant>,
    shown: Shown,
    outputs: Vec<fmuc::Output>,
}

enum Event {
    Stanzas(Vec<Envelope>),
    Links(Vec<(BareJid, LinkState)>),
    /// Something is due, perhaps.
    Time,
    /// Another room needs the place, if this one can do without it.
    Asked,
    Close,
}

impl Keeper {
    pub(super) fn new(server: Server, table: Arc<Table>, post: Arc<Post>) -> Keeper {
        let house = &table.house;
        let lines = house.federal.as_ref();
        Keeper {
            lines: lines.map(|_| Lines::new(house.clone(), post.clone())),
            seat: Seat::new(server.clone(), table.clone(), post),
            outlet: Outlet::new(server.clone(), table.clone()),
            history: Loan::none(server.budget()),
            server,
            table,
            room: None,
            stored: false,
            unsaved: Unsaved::default(),
            own: Vec::new(),
            retry: None,
            idle: None,
            shown: Shown::default(),
            outputs: Vec::new(),
        }
    }

    /// What it does takes several times the memory in which it rests, and is held only as long as it lasts.
    pub(super) async fn run(mut self) {
        if Box::pin(self.begin()).await.is_break() {
            return;
        }
        loop {
            let event = self.next().await;
            if Box::pin(self.handle(event)).await.is_break() {
                return;
            }
        }
    }

    async fn begin(&mut self) -> ControlFlow<()> {
        match self.load().await {
            Ok(room) => self.room = room,
            // Whatever waits is refused, and who comes later tries again.
            Err(error) => {
                self.seat.abandon(&error);
                return ControlFlow::Break(());
            }
        }
        self.stored = self.room.is_some();
        self.shown.persistent = self.stored;
        if let Some(creator) = self.room().and_then(Room::creator) {
            let is_foreign = !self.server.is_local(creator.domain());
            let creators = &self.table.house.creators;
            creators.made(&self.seat.post.room, creator.clone(), is_foreign);
        }
        self.establish().await;
        self.show();
        self.seat.loaded();
        ControlFlow::Continue(())
    }

    async fn handle(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Stanzas(stanzas) => self.stanzas(stanzas).await,
            Event::Links(changes) => self.links(changes).await,
            Event::Time => self.time().await,
            Event::Asked if self.seat.rests.is_some() && self.leave() => {
                return ControlFlow::Break(());
            }
            Event::Asked => self.seat.stay(),
            Event::Close => {
                self.close().await;
                return ControlFlow::Break(());
            }
        }
        self.show();
        match self.is_over() && self.leave() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    async fn next(&self) -> Event {
        // With too much that is not stored it takes nothing more.
        let has_room = self.unsaved.len() < self.options().limits.unsaved;
        let queue = &self.seat.post.queue;
        let stanzas = async {
            match has_room {
                true => queue.next(BATCH).await,
                false => std::future::pending().await,
            }
        };
        let time = async {
            match self.due() {
                Some(due) => self.server.rest(due).await,
                None => self.server.closing().await,
            }
        };
        let links = async {
            match &self.lines {
                Some(_) => self.seat.post.signals.next().await,
                None => std::future::pending().await,
            }
        };
        let closing = Box::pin(self.table.closing());
        let asked = Box::pin(self.seat.post.asked());
        let rest = select(Box::pin(links), select(Box::pin(time), asked));
        let work = select(Box::pin(stanzas), rest);
        match select(closing, work).await {
            Either::Left(_) => Event::Close,
            Either::Right((Either::Left((Some(stanzas), _)), _)) => Event::Stanzas(stanzas.into()),
            Either::Right((Either::Left((None, _)), _)) => Event::Close,
            Either::Right((Either::Right((Either::Left((changes, _)), _)), _)) => {
                Event::Links(changes)
            }
            // Nothing rests any more.
            Either::Right((Either::Right(_), _))
                if self.server.closing().now_or_never().is_some() =>
            {
                Event::Close
            }
            Either::Right((Either::Right((Either::Right((Either::Left(_), _)), _)), _)) => {
                Event::Time
            }
            Either::Right((Either::Right((Either::Right((Either::Right(_), _)), _)), _)) => {
                Event::Asked
            }
        }
    }

    /// How long nothing is to be done but for what comes.
    fn due(&self) -> Option<Duration> {
        let of_room = self.room.as_ref().and_then(Held::next_timeout);
        let lines = self.lines.as_ref().and_then(Lines::due);
        // It rests for nothing that is left to be done, and that has a time of its own.
        let idle = self.idle.filter(|_| self.is_done());
        let idle = idle.map(|since| since + self.options().limits.idle);
        let due = [of_room, lines, idle, self.retry, self.outlet.due()];
        let due = due.into_iter().flatten().min()?;
        Some(due.saturating_duration_since(self.server.now().instant))
    }

    /// Each has its turn; what they have said is sent together, and what they have changed stored together.
    async fn stanzas(&mut self, envelopes: Vec<Envelope>) {
        for envelope in &envelopes {
            self.table.house.metrics.received.increment();
            self.stanza(envelope.stanza.clone()).await;
        }
        self.finish().await;
        for envelope in envelopes {
            envelope.settle(Outcome::Settled);
        }
    }

    async fn stanza(&mut self, stanza: Stanza) {
        // It may have been destroyed just now.
        self.establish().await;
        let is_new = self.room.is_none();
        if self.lines.is_some() && is_between_rooms(&stanza) {
            return self.between_rooms(stanza).await;
        }
        if is_new && let Err(error) = self.make(&stanza) {
            if let Some(reply) = refusal(&stanza, &error) {
                self.outlet.send(reply).await;
            }
            return;
        }
        let reserved = self.reserve(&stanza);
        let happening = match self.is_returned(&stanza) {
            true => Happening::Returned(stanza),
            false => Happening::Stanza(stanza),
        };
        self.turn(happening).await;
        if reserved {
            self.shown.persistent = self.room().is_some_and(Room::is_persistent);
            if !self.shown.persistent {
                self.table.house.catalogue.forgets();
            }
        }
        if is_new && self.room.is_some() {
            self.table.house.metrics.created.increment();
        }
    }

    /// Keeps a place in the store for a room that is not persistent and may become so now, which takes an owner's request. Whether there was one.
    fn reserve(&mut self, stanza: &Stanza) -> bool {
        let is_owners = stanza.kind() == Kind::Iq(IqType::Set);
        let is_owners = is_owners && stanza.payload().has("query", ns::OWNER);
        let Some(room) = self.room.as_mut().filter(|_| is_owners) else {
            return false;
        };
        let house = &self.table.house;
        let most = house.options.limits.stored;
        let reserved = !self.shown.persistent && house.catalogue.keeps(most);
        room.may_persist(self.shown.persistent || reserved);
        reserved
    }

    async fn time(&mut self) {
        let now = self.server.now().instant;
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_due(self.room.as_ref().and_then(Held::next_timeout)) {
            self.turn(Happening::Time).await;
        }
        self.outlet.handle_timeout().await;
        if is_due(self.retry) {
            self.retry = None;
        }
        self.finish().await;
    }

    /// A turn of the room, and those that follow from it.
    async fn turn(&mut self, what: Happening) {
        self.step(what).await;
        self.take_bounced().await;
    }

    /// After the turns: what was said is on its way, and what has changed is stored.
    async fn finish(&mut self) {
        self.outlet.send_gathered().await;
        self.take_bounced().await;
        // If it fails it is tried again: what was said has been heard.
        let _ = self.save().await;
    }

    /// The turns of what has come back at once.
    async fn take_bounced(&mut self) {
        loop {
            let bounced = self.outlet.take_bounced();
            if bounced.is_empty() {
                return;
            }
            for stanza in bounced {
                self.step(Happening::Stanza(stanza)).await;
            }
            self.outlet.send_gathered().await;
        }
    }

    async fn step(&mut self, what: Happening) {
        let Some(room) = &mut self.room else {
            return;
        };
        let now = self.server.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        room.handle(what, now, &mut outputs);
        if let Some(federal) = &self.table.house.federal
            && !room.is_as_wanted()
        {
            let held = self.room.take();
            self.room = held.map(|held| {
                held.configure((federal.settings(), &federal.lives), now, &mut outputs)
            });
        }
        for output in outputs.drain(..) {
            match output {
                fmuc::Output::Room(output) => self.perform(output).await,
                fmuc::Output::Send { peer, stanza, .. } => self.tell_node(&peer, stanza).await,
                fmuc::Output::Notice(notice) => self.note(&notice),
            }
        }
        self.outputs = outputs;
        self.add_own();
    }

    /// What the turn has changed is to be stored with what others have.
    fn add_own(&mut self) {
        for change in self.own.drain(..) {
            self.unsaved.add(change);
        }
    }

    /// Does what the room wants done.
    async fn perform(&mut self, output: Output) {
        match output {
            Output::Send(stanza) => self.outlet.send(stanza).await,
            Output::Broadcast(stanza, to) => self.outlet.broadcast(stanza, to).await,
            Output::Burst(to, stanzas) => self.outlet.burst(to, stanzas).await,
            Output::Store(change) => self.own.push(change),
            Output::Answer(answer) => {
                // What was said before does not wait for the store.
                self.outlet.send_gathered().await;
                // What has changed nothing waits for nothing.
                let stored = match self.own.is_empty() {
                    true => Ok(()),
                    false => self.save_own().await,
                };
                let answer = match stored {
                    Ok(()) => answer,
                    Err(error) => failed(&answer, &error),
                };
                self.outlet.send(answer).await;
            }
            Output::Event(_) => {}
            Output::Destroyed => {
                self.room = None;
                self.table.house.creators.gone(&self.seat.post.room);
            }
        }
    }

    /// Everybody hears that this is the end, and what is not stored is tried for the last time.
    async fn close(&mut self) {
        let waiting = self.seat.post.queue.close();
        self.stanzas(waiting.into()).await;
        self.turn(Happening::Close).await;
        self.outlet.flush().await;
        for _ in 0..LAST_TRIES {
            self.retry = None;
            if self.save().await.is_ok() {
                break;
            }
            self.server.rest(self.options().limits.retry).await;
        }
        if !self.unsaved.is_empty() {
            let (room, lost) = (&self.seat.post.room, self.unsaved.len());
            tracing::error!(%room, lost, "changes of a room are lost");
        }
        self.seat.leave();
    }

    /// Leaves memory, unless something waits for the room.
    fn leave(&mut self) -> bool {
        // What the store has refused to take ends here.
        if self.room.is_some() && !self.stored {
            self.room = None;
            self.table.house.creators.gone(&self.seat.post.room);
            self.show();
        }
        self.seat.leave()
    }

    /// Whether nobody has anything to do with it any more.
    fn is_over(&self) -> bool {
        let has_rested = |since: Instant| {
            let rested = self.server.now().instant.duration_since(since);
            rested >= self.options().limits.idle
        };
        self.is_done() && (self.room.is_none() || self.idle.is_some_and(has_rested))
    }

    /// Whether nothing is left to be done.
    fn is_done(&self) -> bool {
        self.unsaved.is_empty() && self.outlet.due().is_none()
    }

    fn room(&self) -> Option<&Room> {
        self.room.as_ref().map(Held::room)
    }

    fn failed(&self, what: &'static str, error: &StoreError) -> StanzaError {
        self.table.house.metrics.store_errors.increment();
        self.server.store_failed(what, &self.seat.post.room, error)
    }

    fn options(&self) -> &Options {
        &self.table.house.options
    }
}

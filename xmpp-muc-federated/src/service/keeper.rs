//! The task of one room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{Either, select};
use xmpp_core::mailbox::{Envelope, Outcome};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, ErrorType, IqType, Kind, PresenceType, Stanza, StanzaError};
use xmpp_core::store::StoreError;
use xmpp_core::{BareJid, Jid};

use super::Options;
use super::federation::nobody_here;
use super::held::{Happening, Held};
use super::lines::Lines;
use super::loan::Loan;
use super::outlet::{Outlet, failed};
use super::table::{Post, Table};
use super::unsaved::Unsaved;
use crate::fmuc::{self, LinkState, Matter, Notice, is_between_rooms};
use crate::ns;
use crate::room::{FederatedBy, Output, Room, refusal};
use crate::store::StoredFederation;

/// Bytes of stanzas that are taken at a time: what their turns have changed is stored together.
const BATCH: usize = 64 << 10;
/// Tries to store what is left when the service closes.
const LAST_TRIES: usize = 3;

const NOT_LOADED: &str = "room not loaded";

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
    /// The turn has changed something that is stored.
    changed: bool,
    /// Its links to other nodes; `None` where rooms are not federated.
    lines: Option<Lines>,
    /// When what is unsaved is tried again.
    retry: Option<Instant>,
    /// Since when nobody is in it.
    idle: Option<Instant>,
    shown: Shown,
    outputs: Vec<fmuc::Output>,
}

/// A room's place in the table.
struct Seat {
    server: Server,
    table: Arc<Table>,
    post: Arc<Post>,
    left: bool,
    loading: bool,
    /// Since when it can make place for another room, as the table knows it.
    rests: Option<Instant>,
}

/// What others have been told of the room.
#[derive(Default)]
struct Shown {
    persistent: bool,
    /// Its name, if it is listed.
    listing: Option<Option<String>>,
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
            changed: false,
            retry: None,
            idle: None,
            shown: Shown::default(),
            outputs: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        match self.load().await {
            Ok(room) => self.room = room,
            // Whatever waits is refused, and who comes later tries again.
            Err(error) => return self.seat.abandon(&error),
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
        loop {
            match self.next().await {
                Event::Stanzas(stanzas) => self.stanzas(stanzas).await,
                Event::Links(changes) => self.links(changes).await,
                Event::Time => self.time().await,
                Event::Asked if self.seat.rests.is_some() && self.leave() => return,
                Event::Asked => self.seat.stay(),
                Event::Close => return self.close().await,
            }
            self.show();
            if self.is_over() && self.leave() {
                return;
            }
        }
    }

    /// The room as it is stored, if it is.
    async fn load(&self) -> Result<Option<Held>, StanzaError> {
        let (options, jid) = (self.options(), &self.seat.post.room);
        let store = &options.store;
        let stored = store.load(jid).await;
        let stored = stored.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let most = options.settings.limits.history;
        let history = store.history(jid, most).await;
        let history = history.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let settings = options.settings.clone();
        let room = match Room::restore(jid.clone(), stored, &history, settings) {
            Ok(room) => room,
            Err(error) => {
                self.table.house.metrics.unreadable.increment();
                tracing::error!(room = %jid, %error, "stored room not readable");
                return Err(Condition::InternalServerError.into());
            }
        };
        let Some(federal) = &self.table.house.federal else {
            return Ok(Some(Held::new(room, FederatedBy::Nobody)));
        };
        let stored = store.federation(jid).await;
        let stored = stored.map_err(|error| self.failed(NOT_LOADED, &error))?;
        let (by, settings) = (federal.by(jid), federal.settings());
        let now = self.server.now();
        Ok(Some(Held::restore(room, by, &stored, settings, now)))
    }

    /// Makes the room if there is none, and whoever runs the service wants one.
    async fn establish(&mut self) {
        let Some(federal) = self.table.house.federal.as_ref() else {
            return;
        };
        let by = federal.by(&self.seat.post.room);
        if self.room.is_some() || !matches!(by, FederatedBy::Operator(_)) {
            return;
        }
        let settings = federal.settings();
        let stored = StoredFederation::default();
        let jid = self.seat.post.room.clone();
        let mut room = Room::new(jid, self.options().settings.clone());
        let mut made = Vec::new();
        room.establish(&mut made);
        let now = self.server.now();
        self.room = Some(Held::restore(room, by, &stored, settings, now));
        for output in made {
            self.perform(output).await;
        }
        self.table.house.metrics.created.increment();
        // If it fails it is tried again.
        let _ = self.save().await;
    }

    fn by(&self) -> FederatedBy {
        let federal = self.table.house.federal.as_ref();
        federal.map_or(FederatedBy::Nobody, |federal| {
            federal.by(&self.seat.post.room)
        })
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

    /// The streams to servers of other nodes have gone down, or come up.
    async fn links(&mut self, changes: Vec<(BareJid, LinkState)>) {
        for (domain, state) in changes {
            self.turn(Happening::Link(domain, state)).await;
        }
        self.finish().await;
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

    /// A stanza of another node: no room is made for it, and no error comes of it.
    async fn between_rooms(&mut self, stanza: Stanza) {
        if let Some(lines) = &mut self.lines {
            lines.received(&stanza);
        }
        if self.room.is_some() {
            return self.turn(Happening::Stanza(stanza)).await;
        }
        if let Some(answer) = nobody_here(&stanza) {
            self.table.house.metrics.refused.increment();
            self.outlet.send(answer).await;
        }
    }

    /// Whether this says that something has not reached another node.
    fn is_returned(&self, stanza: &Stanza) -> bool {
        let from = stanza.from().map(Jid::to_bare);
        let is_node = |lines: &Lines| from.is_some_and(|from| lines.has(&from));
        let Some(error) = stanza
            .error()
            .filter(|_| self.lines.as_ref().is_some_and(is_node))
        else {
            return false;
        };
        // RFC 6120 §8.3.3.16 and §8.3.3.17, and what has no room on its way.
        matches!(
            error.condition,
            Condition::RemoteServerNotFound
                | Condition::RemoteServerTimeout
                | Condition::ResourceConstraint
        )
    }

    /// There is no such room: with one who enters it is made.
    fn make(&mut self, stanza: &Stanza) -> Result<(), StanzaError> {
        let jid = &self.seat.post.room;
        let to_occupant = stanza.to().is_some_and(|to| to.resource().is_some());
        let mut refused: StanzaError = match stanza.kind() {
            Kind::Presence(PresenceType::Available) => {
                let from = stanza.from().ok_or(Condition::BadRequest)?;
                match self.table.house.create(jid, from, &self.server) {
                    Ok(()) => {
                        let settings = self.options().settings.clone();
                        let room = Room::new(jid.clone(), settings);
                        self.room = Some(Held::new(room, self.by()));
                        return Ok(());
                    }
                    Err(error) => error,
                }
            }
            // XEP-0410 §3.3: what is not there is not to be taken for an occupant who has changed their nick, as
            // <item-not-found/> would be.
            Kind::Iq(IqType::Get | IqType::Set) if to_occupant => {
                StanzaError::new(Condition::NotAcceptable).with_kind(ErrorType::Cancel)
            }
            _ => Condition::ItemNotFound.into(),
        };
        // RFC 6120 §8.3.1: it is not the occupant who answers.
        refused.by = to_occupant.then(|| jid.clone().into());
        Err(refused)
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
        self.changed = false;
        let now = self.server.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        room.handle(what, now, &mut outputs);
        if let Some(federal) = &self.table.house.federal
            && !room.is_as_wanted()
        {
            let held = self.room.take();
            self.room = held.map(|held| held.configure(&federal.settings(), now, &mut outputs));
        }
        for output in outputs.drain(..) {
            match output {
                fmuc::Output::Room(output) => self.perform(output).await,
                fmuc::Output::Send { peer, stanza, .. } => self.tell_node(&peer, stanza).await,
                fmuc::Output::Notice(notice) => self.note(&notice),
            }
        }
        self.outputs = outputs;
    }

    /// Sends this to another node, together with what follows if the link is one for that.
    async fn tell_node(&mut self, peer: &BareJid, stanza: Stanza) {
        if let Some(lines) = &mut self.lines {
            lines.sent(peer, &stanza);
        }
        let federation = self.room.as_ref().and_then(Held::federation);
        let pause = match (&self.table.house.federal, federation) {
            (Some(federal), Some(federation)) => federal.pause(peer, federation),
            _ => Duration::ZERO,
        };
        self.outlet.send_together(peer, stanza, pause).await;
    }

    /// What those who run the service should know.
    fn note(&self, Notice { peer, what, .. }: &Notice) {
        let (room, metrics) = (&self.seat.post.room, &self.table.house.metrics);
        match what {
            Matter::Dropped(why) => {
                metrics.dropped.increment();
                tracing::debug!(%room, %peer, why, "stanza of another node dropped");
            }
            Matter::Refused(why) => {
                metrics.refused.increment();
                tracing::info!(%room, %peer, why, "room not let in");
            }
            Matter::Rejected(why) => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, why, "room not joined");
            }
            Matter::Ordinary => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined, since it is not federated");
            }
            Matter::NoEcho => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room left: it does not say what it has done, so this one can be no replica of it");
            }
            Matter::Silent => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined, since it does not answer");
            }
            Matter::Stale => {
                metrics.rejected.increment();
                tracing::warn!(%room, %peer, "room not joined: the Openfire there may still know occupants of this room from before; its room has to be emptied of them");
            }
            Matter::Flood => {
                metrics.dropped.increment();
                tracing::warn!(%room, %peer, "another node says too much");
            }
        }
    }

    /// Does what the room wants done.
    async fn perform(&mut self, output: Output) {
        match output {
            Output::Send(stanza) => self.outlet.send(stanza).await,
            Output::Broadcast(stanza, to) => self.outlet.broadcast(stanza, to).await,
            Output::Burst(to, stanzas) => self.outlet.burst(to, stanzas).await,
            Output::Store(change) => {
                self.changed = true;
                self.unsaved.add(change);
            }
            Output::Answer(answer) => {
                // What was said before does not wait for the store.
                self.outlet.send_gathered().await;
                // What has changed nothing waits for nothing.
                let stored = match self.changed {
                    true => self.save().await,
                    false => Ok(()),
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

    /// Stores what has changed, in one step.
    async fn save(&mut self) -> Result<(), StanzaError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if self.retry.is_some() {
            return Err(Condition::InternalServerError.into());
        }
        let changes = self.unsaved.take();
        let room = &self.seat.post.room;
        let error = match self.options().store.apply(room, &changes).await {
            Ok(()) => {
                self.stored = self.room().is_some_and(Room::is_persistent);
                return Ok(());
            }
            Err(error) => error,
        };
        // What the store is not meant to do it will not do later either.
        if !matches!(error, StoreError::Refused(_)) {
            self.unsaved.put_back(changes);
            self.retry = Some(self.server.now().instant + self.options().limits.retry);
        }
        Err(self.failed("room not stored", &error))
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

    /// Has the history be among what the memory is lent for. It is what goes when that is short, the oldest first.
    fn weigh(&mut self) {
        let bytes = self.room().map_or(0, Room::history_bytes);
        let lent = self.history.bytes();
        if bytes < lent {
            self.history.shrink(lent - bytes);
        } else if !self.history.grow_modestly(bytes - lent)
            && let Some(room) = &mut self.room
        {
            room.forget_history(lent);
            self.history.shrink(lent - room.room().history_bytes());
        }
    }

    /// Has others see the room as it is.
    fn show(&mut self) {
        self.weigh();
        let (post, catalogue) = (&self.seat.post, &self.table.house.catalogue);
        let held = self.room.as_ref();
        let room = held.map(Held::room);
        let shown = &mut self.shown;

        let occupants = room.map_or(0, Room::population);
        let before = post.occupants.swap(occupants, Ordering::Relaxed);
        self.table.house.metrics.populate(before, occupants);

        let persistent = room.is_some_and(Room::is_persistent);
        match (shown.persistent, persistent) {
            // Whoever runs the service has it so; else there was a place for it before it became so.
            (false, true) => _ = catalogue.keeps(usize::MAX),
            (true, false) => catalogue.forgets(),
            _ => {}
        }
        shown.persistent = persistent;
        post.persistent.store(persistent, Ordering::Relaxed);

        let listing = room.and_then(Room::listing).map(|listing| listing.name);
        let before = shown.listing.as_ref().map(|name| name.as_deref());
        if before != listing {
            match listing {
                Some(name) => catalogue.list(&post.room, name),
                None => catalogue.strike(&post.room),
            }
            shown.listing = listing.map(|name| name.map(str::to_owned));
        }

        let is_idle = held.is_some_and(Held::is_idle);
        let node = held.and_then(Held::node);
        let now = self.server.now();
        if let Some(lines) = &mut self.lines {
            lines.show(node, now);
        }
        let now = now.instant;
        self.idle = is_idle.then(|| self.idle.unwrap_or(now));
        let rests = self.idle.filter(|_| self.is_done());
        self.seat.rest(rests);
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

impl Seat {
    fn new(server: Server, table: Arc<Table>, post: Arc<Post>) -> Seat {
        Seat {
            server,
            table,
            post,
            left: false,
            loading: true,
            rests: None,
        }
    }

    /// What is stored is in memory.
    fn loaded(&mut self) {
        if std::mem::take(&mut self.loading) {
            self.table.loaded();
        }
    }

    /// It can make place for another room since then, or cannot.
    fn rest(&mut self, since: Option<Instant>) {
        if self.rests != since {
            self.table.rests(&self.post.room, self.rests, since);
            self.rests = since;
        }
    }

    /// It was asked to make place, and has something to do.
    fn stay(&mut self) {
        self.rest(None);
        self.table.stays(&self.post);
    }

    /// Gives the place back, unless something waits for the room.
    fn leave(&mut self) -> bool {
        self.rest(None);
        self.left = self.table.leave(&self.post);
        self.left
    }

    /// Gives the place back; what waits is answered with this error.
    fn abandon(&mut self, error: &StanzaError) {
        self.rest(None);
        self.left = true;
        for envelope in self.table.abandon(&self.post) {
            let is_of_node = is_between_rooms(&envelope.stanza);
            if !is_of_node && let Some(reply) = refusal(&envelope.stanza, error) {
                self.server.send(reply);
            }
            envelope.settle(Outcome::Returned);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left {
            // The task has come to no good end. What was not stored is lost.
            let house = &self.table.house;
            let is_stored = self.loading || self.post.persistent.load(Ordering::Relaxed);
            if !is_stored {
                house.catalogue.strike(&self.post.room);
                house.creators.gone(&self.post.room);
            }
            self.abandon(&Condition::ServiceUnavailable.into());
        }
        self.loaded();
        let occupants = self.post.occupants.swap(0, Ordering::Relaxed);
        self.table.house.metrics.populate(occupants, 0);
    }
}

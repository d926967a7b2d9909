//! One connection: a task that moves bytes, hands stanzas over and asks what the
//! stream wants to know.
//!
//! It is written as one `poll` so that an idle connection holds no buffer and no
//! suspended call: what is read and written goes through scratch memory of the
//! worker thread, and only what could not be dealt with is kept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use tokio::time::Sleep;

use super::control::{Call, Control};
use super::handover::Refused;
use super::limits::Ticket;
use super::listener::Shared;
use super::settlements::Settlements;
use super::throttle::Attempt;
use super::wire::Wire;
use crate::BareJid;
use crate::machine::Machine as _;
use crate::mailbox::{Envelope, Settlement, SmPoint};
use crate::metrics::Tally;
use crate::sasl;
use crate::server::{Bound, Server};
use crate::session::{Feed, Session};
use crate::stanza::Stanza;
use crate::stream::{
    Answer, BoxStream, Input, NotResumed, Output, Resume, StreamCondition, StreamError,
};
use crate::time::Now;
use crate::xml::Reader;

mod burst;
mod charge;
mod copied;
mod end;
mod inbound;
mod moving;
mod outbound;
mod questions;
mod restart;
mod resumption;

use burst::Page;
pub(super) use charge::Charged;
use resumption::Resumable;

/// One TLS record; also what is read or written at once.
const CHUNK: usize = 16 * 1024;
/// Reads in one go before other connections have their turn.
const TURNS: usize = 4;
/// Stanzas whose settlement is open before the client is read no further.
const UNSETTLED: usize = 256;

pub(super) struct Connection {
    shared: Arc<Shared>,
    control: Arc<Control>,
    /// None while there is no connection.
    ticket: Option<Ticket>,
    peer: Option<IpAddr>,
    wire: Wire,
    reader: Reader,
    stream: BoxStream,
    session: Option<Arc<Session>>,
    /// Whether the client logged in without an account.
    anonymous: bool,
    /// Read, but not yet given to the reader: a question is open.
    unread: Vec<u8>,
    /// Whether anything but white space stands behind what the stream is being given.
    more: bool,
    /// Written by the stream, but not yet taken by the socket.
    unsent: Vec<u8>,
    /// What of the two, and of a stanza that is not yet whole, is taken from the budget.
    charged: Charged,
    flushing: bool,
    doing: Doing,
    /// Stanzas from the client that wait for the one in `doing`, or for room for their answers.
    waiting: VecDeque<(Stanza, Option<SmPoint>)>,
    unsettled: Settlements,
    feed: Feeding,
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Instant,
    armed: bool,
    phase: Phase,
    keeping: Keeping,
    /// Whether the connection is gone and the stream waits for another.
    detached: bool,
    /// Written, but not yet taken by the socket, and somebody waits to hear that it is.
    unwritten: Option<Box<Unwritten>>,
    resumable: Option<Box<Resumable>>,
    /// What the session left is being dealt with.
    leaving: Option<BoxFuture<'static, Settlement>>,
}

/// What the client has to wait for.
enum Doing {
    Nothing,
    Asked(BoxFuture<'static, Answered>),
    Dispatching(BoxFuture<'static, Settlement>),
    Securing(BoxFuture<'static, io::Result<(Wire, sasl::Channel)>>),
    /// Other nodes are asked for its stream.
    Fetching(BoxFuture<'static, Fetched>),
    /// The connection is about to be handed over.
    Leaving(Box<Leaving>),
    /// It has been, and may come back.
    Offered(Box<Offered>),
}

/// A connection that is about to be handed over.
struct Leaving {
    to: Arc<Control>,
    resume: Resume,
    /// Whose it is, unless other nodes have been asked for the stream already.
    account: Option<BareJid>,
}

/// A connection that has been handed over.
struct Offered {
    refused: oneshot::Receiver<Refused>,
    account: Option<BareJid>,
}

/// What the stream keeps of what it sends until it is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Nothing,
    Some,
    /// So much that the session keeps the rest to itself.
    Enough,
}

/// What was sent for somebody who waits to hear that it is written.
#[derive(Default)]
struct Unwritten(Vec<Envelope>);

/// Whether another node had the stream, and who has it here now.
type Fetched = Result<(Arc<Control>, Resume), NotResumed>;

/// The answer to a question, and the session that came with it.
pub(super) struct Answered {
    answer: Answer,
    bound: Option<Bound>,
    /// The login that goes on with it.
    attempt: Option<Attempt>,
}

/// The burst that is being pulled.
enum Feeding {
    Nothing,
    Pulling(BoxFuture<'static, Page>),
    /// The last page is being written; then the next is pulled.
    Writing(Box<dyn Feed>),
    /// The session may go to another node: what has been given is to be forgotten where it was stored.
    Pausing(BoxFuture<'static, (Box<dyn Feed>, bool)>),
    /// It has been.
    Paused(Box<dyn Feed>),
}

enum Phase {
    Open,
    /// The stream has ended; what is written goes out.
    Draining,
    /// Our side is closed. What the client still sends is read and forgotten, so
    /// that its last words do not reset the connection and lose ours.
    Lingering,
    Over,
}

struct Scratch {
    read: Option<Box<[u8; CHUNK]>>,
    write: Vec<u8>,
    outputs: Vec<Output>,
    /// What the stream gave back when it ended.
    returned: Vec<Envelope>,
    received: Tally,
    sent: Tally,
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        control: Arc<Control>,
        peer: Option<IpAddr>,
        wire: Wire,
        stream: BoxStream,
        ticket: Option<Ticket>,
    ) -> Connection {
        let reader = Reader::new(shared.server.config().xml_before_login.clone());
        let sleeps_until = shared.server.now().instant;
        Connection {
            shared,
            control,
            ticket,
            peer,
            wire,
            reader,
            stream,
            session: None,
            anonymous: false,
            unread: Vec::new(),
            more: false,
            unsent: Vec::new(),
            charged: Charged::default(),
            flushing: false,
            doing: Doing::Nothing,
            waiting: VecDeque::new(),
            unsettled: Settlements::default(),
            feed: Feeding::Nothing,
            sleep: Box::pin(tokio::time::sleep_until(sleeps_until.into())),
            sleeps_until,
            armed: false,
            phase: Phase::Open,
            keeping: Keeping::Nothing,
            detached: false,
            unwritten: None,
            resumable: None,
            leaving: None,
        }
    }

    fn server(&self) -> &Server {
        &self.shared.server
    }

    /// One turn while the stream is open. `true` if something happened and another
    /// look is worth it.
    fn turn(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) -> bool {
        if let Some(busy) = self.poll_stage(scratch, now, cx) {
            return busy;
        }
        if self.check_end(scratch, now, cx) || self.poll_wanted(scratch, now, cx) {
            return true;
        }
        let mut busy = self.poll_doing(scratch, now, cx);
        busy |= self.poll_copied(scratch, now, cx);
        busy |= self.poll_settlements(scratch, now, cx);
        busy |= self.poll_feed(scratch, now, cx);
        busy |= self.poll_queue(scratch, now, cx);
        busy |= self.poll_read(scratch, now, cx);
        busy |= self.poll_timer(scratch, now, cx);
        busy
    }

    fn input(&mut self, input: Input, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        let mut outputs = std::mem::take(&mut scratch.outputs);
        self.stream.handle(input, now, &mut outputs);
        for output in outputs.drain(..) {
            self.perform(output, scratch, now, cx);
        }
        scratch.outputs = outputs;
    }

    fn perform(&mut self, output: Output, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        match output {
            Output::Write(bytes) => scratch.write.extend_from_slice(&bytes),
            Output::Send(envelope) => {
                scratch.sent.stanza(envelope.stanza.kind());
                if envelope.is_kept() {
                    self.keeps();
                }
                envelope.stanza.write(&mut scratch.write);
                if envelope.is_awaited() {
                    self.unwritten.get_or_insert_default().0.push(envelope);
                }
            }
            Output::Deliver(stanza, point) => {
                scratch.received.stanza(stanza.kind());
                self.deliver(stanza, point, scratch, now, cx);
            }
            Output::Restart => self.reader.restart(),
            Output::LoggedIn { account, mechanism } => {
                tracing::debug!(%account, mechanism = mechanism.name(), "logged in");
                self.server().metrics().logged_in(mechanism);
                self.anonymous = mechanism == sasl::Mechanism::Anonymous;
                if let Some(ticket) = &mut self.ticket {
                    ticket.logged_in();
                }
                self.reader.set_limits(self.server().config().xml.clone());
            }
            Output::Stranger(stanza) => {
                let answer = questions::stranger(self.server().clone(), stanza, self.peer);
                self.doing = Doing::Asked(answer);
            }
            Output::Resume { account, resume } => {
                match self.shared.resumable.find(&resume.id, &account) {
                    Ok(to) => {
                        self.doing = Doing::Leaving(Box::new(Leaving {
                            to,
                            resume,
                            account: Some(account),
                        }));
                    }
                    Err(reason) => match self.fetch(resume, account, reason) {
                        Some(fetching) => self.doing = Doing::Fetching(fetching),
                        None => {
                            let answer = Answer::NotResumed(reason);
                            self.input(Input::Answered(answer), scratch, now, cx);
                        }
                    },
                }
            }
            Output::Resumable(id) => self.enter(id),
            Output::Detach => self.detach(scratch),
            Output::Reattach(bytes) => self.reattach(&bytes, scratch),
            Output::Refuse(reason) => self.refuse_offer(reason),
            // Answered where it is asked for.
            Output::Suspended(_) => {}
            Output::Hold(true) => self.keeping = Keeping::Enough,
            Output::Hold(false) => self.keeping = Keeping::Some,
            Output::Return(envelope) => scratch.returned.push(envelope),
            Output::NotResumable(handled) => {
                self.refuse_offer(NotResumed::Unknown(Some(handled)));
                if let Some(resumable) = &self.resumable {
                    self.shared.resumable.leave(&resumable.id, Some(handled));
                }
            }
            Output::Ask(ask) => {
                let shared = self.shared.clone();
                let attempt = self.ticket.as_mut().and_then(Ticket::attempt);
                let asked = questions::ask(shared, ask, self.peer, attempt, self.anonymous);
                self.doing = Doing::Asked(asked);
            }
            // Of clients' streams none says so.
            Output::S2s(_) => {}
            Output::StartTls(proceed) => self.start_tls(proceed, scratch, now, cx),
            Output::Close(error) => {
                tracing::debug!(
                    error = error.as_ref().map(|error| error.name()),
                    "stream ends"
                );
                if let Some(error) = &error {
                    self.server().metrics().stream_failed(error);
                }
                self.phase = Phase::Draining;
                // Nothing more is read.
                self.reader.restart();
                self.unread = Vec::new();
                let left = std::mem::take(&mut scratch.returned);
                let left = self.with_not_kept(left);
                self.end(left);
                // Behind the end, so that another session goes on with what is stored; and not
                // with the connection, which may have a while to wait for its client.
                self.feed = Feeding::Nothing;
                let limit = self.server().config().timeouts.close;
                self.sleep.as_mut().reset((now.instant + limit).into());
            }
        }
    }

    fn check_end(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) -> bool {
        // The end of a session is news also while nothing else is taken from its queue.
        if let Some(session) = &self.session {
            session.queue().register(cx);
        }
        let error = match self.control.answer() {
            Some(Call::Settle) if self.can_be_kept() => {
                // It may have been called for that as well.
                self.look(scratch, now, cx);
                return true;
            }
            Some(Call::PutAway) if self.can_be_kept() => {
                self.put_away(scratch, now, cx);
                return true;
            }
            Some(Call::Settle | Call::PutAway | Call::Stop) => {
                Some(StreamError::new(StreamCondition::SystemShutdown))
            }
            Some(Call::MakeRoom) if self.ticket.as_ref().is_some_and(Ticket::is_stranger) => {
                self.server().metrics().evicted_connections.increment();
                // Who has said nothing is told nothing.
                if !self.ticket.as_ref().is_some_and(Ticket::is_silent) {
                    // RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to
                    // service the stream."
                    let error = StreamError::new(StreamCondition::ResourceConstraint);
                    self.input(Input::Close(Some(error)), scratch, now, cx);
                    // Whether the client takes that or not, its place is another's.
                    let _ = self.write(scratch, now, cx);
                    let _ = self.wire.poll_shutdown(cx);
                }
                self.lost(scratch, now, cx);
                return true;
            }
            Some(Call::Look) => {
                self.look(scratch, now, cx);
                return true;
            }
            // It has just logged in; and clients have their places for good.
            Some(Call::MakeRoom | Call::GiveWay) | None => {
                self.session.as_ref().and_then(|s| s.ending())
            }
        };
        let Some(error) = error else {
            return false;
        };
        self.drain_queue(scratch, now, cx);
        self.input(Input::Close(Some(error)), scratch, now, cx);
        true
    }

    fn poll_doing(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) -> bool {
        match &mut self.doing {
            Doing::Nothing => {
                let busy = self.deliver_waiting(scratch, now, cx);
                // What came with a connection that was taken over, or behind more than can wait.
                let reads = matches!(self.doing, Doing::Nothing) && !self.unread.is_empty();
                if !reads || self.is_laden() || self.is_moving() {
                    return busy;
                }
            }
            Doing::Asked(future) => {
                let Poll::Ready(answered) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                if let (Some(attempt), Some(ticket)) = (answered.attempt, &mut self.ticket) {
                    ticket.tries(attempt);
                }
                if let Some(Bound { session, .. }) = answered.bound {
                    session.set_encrypted(self.wire.is_encrypted());
                    session.queue().register(cx);
                    self.session = Some(session);
                }
                self.input(Input::Answered(answered.answer), scratch, now, cx);
            }
            Doing::Dispatching(future) => {
                let Poll::Ready(settlement) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                self.settle(settlement, scratch, now, cx);
                self.deliver_waiting(scratch, now, cx);
            }
            Doing::Securing(future) => {
                let Poll::Ready(result) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                match result {
                    Ok((wire, channel)) => {
                        self.wire = wire;
                        self.reader.restart();
                        self.input(Input::Secured(channel), scratch, now, cx);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "TLS handshake failed");
                        self.lost(scratch, now, cx);
                        return true;
                    }
                }
            }
            Doing::Fetching(future) => {
                let Poll::Ready(fetched) = future.as_mut().poll(cx) else {
                    return false;
                };
                self.doing = Doing::Nothing;
                match fetched {
                    Ok((to, resume)) => {
                        self.doing = Doing::Leaving(Box::new(Leaving {
                            to,
                            resume,
                            account: None,
                        }));
                        return true;
                    }
                    Err(reason) => {
                        let answer = Answer::NotResumed(reason);
                        self.input(Input::Answered(answer), scratch, now, cx);
                    }
                }
            }
            Doing::Leaving(..) => {
                self.hand_over(scratch);
                return true;
            }
            Doing::Offered(offered) => {
                let Poll::Ready(refused) = Pin::new(&mut offered.refused).poll(cx) else {
                    return false;
                };
                let account = offered.account.take();
                self.doing = Doing::Nothing;
                match refused {
                    Ok(refused) => self.take_back(refused, account, scratch, now, cx),
                    // The other connection's task has it all.
                    Err(_) => self.phase = Phase::Over,
                }
            }
        }
        // What came meanwhile.
        let unread = std::mem::take(&mut self.unread);
        self.consume(&unread, scratch, now, cx);
        true
    }

    fn poll_timer(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) -> bool {
        let settle = self.unsettled.until();
        let Some(due) = self.stream.next_timeout().into_iter().chain(settle).min() else {
            return false;
        };
        if due <= now.instant {
            let mut outputs = std::mem::take(&mut scratch.outputs);
            self.stream.handle_timeout(now, &mut outputs);
            for output in outputs.drain(..) {
                self.perform(output, scratch, now, cx);
            }
            scratch.outputs = outputs;
            return true;
        }
        // A timer that fires too early is left alone: then it is looked at again.
        if !self.armed || due < self.sleeps_until || now.instant >= self.sleeps_until {
            self.sleeps_until = due;
            self.sleep.as_mut().reset(due.into());
            self.armed = self.sleep.as_mut().poll(cx).is_pending();
            return !self.armed;
        }
        false
    }

    fn poll_with(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) -> Poll<()> {
        self.control.register(cx);
        // Once: what several turns take is no time.
        let now = self.server().now();
        for _ in 0..TURNS {
            let blocked = !self.unsent.is_empty();
            let mut busy = matches!(self.phase, Phase::Open) && self.turn(scratch, now, cx);
            if let Some(leaving) = &mut self.leaving
                && leaving.as_mut().poll(cx).is_ready()
            {
                self.leaving = None;
            }
            let mut written = self.write(scratch, now, cx);
            if written.is_ok() && !self.charge() {
                // RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to
                // service the stream."
                let error = StreamError::new(StreamCondition::ResourceConstraint);
                self.input(Input::Close(Some(error)), scratch, now, cx);
                written = self.write(scratch, now, cx);
                self.charge();
            }
            if written.is_err() {
                self.lost(scratch, now, cx);
                busy = true;
            }
            // What is held back goes on when something is acknowledged, or when its copy is safe.
            let pulls = matches!(self.feed, Feeding::Writing(_)) && !self.detached;
            busy |= blocked || (pulls && !self.is_held() && self.is_page_safe());
            match &mut self.phase {
                Phase::Open if busy && self.unsent.is_empty() && !self.flushing => continue,
                Phase::Open => return Poll::Pending,
                // A client that neither reads nor closes does not keep its place.
                Phase::Draining | Phase::Lingering if self.sleep.as_mut().poll(cx).is_ready() => {
                    self.phase = Phase::Over;
                }
                Phase::Draining if matches!(self.wire, Wire::Gone) => self.phase = Phase::Over,
                Phase::Draining => {
                    if !self.unsent.is_empty()
                        || self.flushing
                        || self.wire.poll_shutdown(cx).is_pending()
                    {
                        return Poll::Pending;
                    }
                    self.phase = Phase::Lingering;
                }
                Phase::Lingering => {
                    if !self.peer_is_done(scratch, cx) {
                        return Poll::Pending;
                    }
                    self.phase = Phase::Over;
                }
                Phase::Over if self.leaving.is_some() => return Poll::Pending,
                Phase::Over => return Poll::Ready(()),
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = SCRATCH.take().unwrap_or_else(|| Scratch {
            read: None,
            write: Vec::with_capacity(CHUNK),
            outputs: Vec::new(),
            returned: Vec::new(),
            received: Tally::default(),
            sent: Tally::default(),
        });
        let poll = self.poll_with(&mut scratch, cx);
        if self.shared.is_settling() && self.is_settled() {
            self.shared.settled(&self.control);
        }
        // Lost with a connection whose session had ended before.
        let lost = std::mem::take(&mut scratch.returned);
        let server = self.server();
        server.leave_to_itself(server.give_back(lost.into()));
        let metrics = self.server().metrics();
        scratch.received.settle(&metrics.received);
        scratch.sent.settle(&metrics.sent);
        scratch.write.clear();
        scratch.write.shrink_to(4 * CHUNK);
        SCRATCH.set(Some(scratch));
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // Each byte counts once a session. What is needed for a while only has its own place.
        assert!(
            size_of::<Connection>() <= 456,
            "{}",
            size_of::<Connection>()
        );
    }
}

//! Mailboxes: how a stanza reaches an entity, and what became of it.
//!
//! A push never waits. It answers with a [`Settlement`], because the recipient
//! may be on another node, and an acknowledgement to the sender (XEP-0198) must
//! not be given before the stanza is safe.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::im::offline::DELAY;
use crate::session::SessionId;
use crate::standby::{Name, Named};
use crate::stanza::{Kind, Stanza};
use crate::time::Timestamp;
use crate::xml::Element;

mod budget;
mod owed;
mod queue;
mod settlement;

pub use budget::Budget;
pub(crate) use owed::is_owed;
pub use queue::{Depths, Queue, QueueLimits};
pub(crate) use queue::{Detour, Turn};
pub(crate) use settlement::Hold;
#[cfg(feature = "io")]
pub(crate) use settlement::Watch;
pub use settlement::{Later, Outcome, Settle, Settlement};

/// Where stanzas for one entity go. Clone is cheap.
#[derive(Clone)]
pub struct Mailbox(Arc<dyn Inbox>);

/// What stands behind a [`Mailbox`]: a local queue, or a link to another node or server.
pub trait Inbox: Send + Sync {
    /// Takes a stanza, or gives it back at once. Never waits.
    fn push(&self, envelope: Envelope) -> Settlement;

    /// The node that the session behind this mailbox lives on, if it is another one of the same
    /// domain. By default there is none.
    fn node(&self) -> Option<&dyn Node> {
        None
    }
}

/// Another node of the same domain, on which sessions live. What is [pushed](Inbox::push) to one of its
/// sessions has been through the filters of the session's account, and goes to
/// [`Server::accept_for`](crate::server::Server::accept_for) over there.
pub trait Node: Send + Sync {
    /// Takes a stanza for an account that has sessions there, whole, or gives it back at once: all that is to be done
    /// with it is done there ([`Server::accept`](crate::server::Server::accept)). Never waits.
    fn route(&self, envelope: Envelope) -> Settlement;
}

impl Mailbox {
    /// A mailbox in front of an inbox.
    pub fn new(inbox: Arc<dyn Inbox>) -> Mailbox {
        Mailbox(inbox)
    }

    /// Hands over a stanza.
    pub fn push(&self, stanza: Stanza, origin: Origin) -> Settlement {
        self.push_shared(stanza, origin, None)
    }

    /// Hands over a stanza that others get too. Whoever does not deliver it after all
    /// [gives up](Share::give_up) the share; if it is not taken, the caller does.
    pub fn push_shared(&self, stanza: Stanza, origin: Origin, share: Option<Share>) -> Settlement {
        self.0.push(Envelope {
            stanza,
            origin,
            share,
            settle: None,
            kept: false,
            name: None,
        })
    }

    /// Hands over what another mailbox was given.
    pub(crate) fn pass(&self, envelope: Envelope) -> Settlement {
        self.0.push(envelope)
    }

    /// The node that the session behind it lives on, if it is another one.
    pub fn node(&self) -> Option<&dyn Node> {
        self.0.node()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

/// Who a stanza came from: what a failure is reported to, and what a duplicate
/// is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The kind of sender.
    pub source: Source,
    /// The sender's place in its resumable stream, if it has one. Only then does
    /// anybody wait for the settlement.
    pub sm: Option<SmPoint>,
}

/// The kind of sender.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// This server itself, or a module.
    Server,
    /// A session of one of our accounts.
    Session(SessionId),
    /// This server, with a copy of a stanza that goes its own way besides (a carbon). It
    /// is lost with the session that it waits for, and nobody hears of it.
    Copy,
    /// An entity that lives here: a component, a room.
    Entity,
    /// A domain on another server, as its stream has proven it.
    Remote(crate::BareJid),
}

/// The `n`-th stanza that a resumable stream sent (XEP-0198 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmPoint {
    /// The stream's resumption id.
    pub id: Arc<str>,
    /// Its inbound counter when the stanza was taken.
    pub n: u32,
}

impl Origin {
    /// This server.
    pub const SERVER: Origin = Origin {
        source: Source::Server,
        sm: None,
    };

    /// An entity that is served here: [`Server::serve`](crate::server::Server::serve).
    pub const ENTITY: Origin = Origin {
        source: Source::Entity,
        sm: None,
    };

    /// This server, with a copy.
    pub const COPY: Origin = Origin {
        source: Source::Copy,
        sm: None,
    };

    /// A session without resumption.
    pub fn session(id: SessionId) -> Origin {
        Origin {
            source: Source::Session(id),
            sm: None,
        }
    }
}

/// A stanza on its way, with its origin.
#[derive(Debug)]
pub struct Envelope {
    /// The stanza.
    pub stanza: Stanza,
    /// Who it came from.
    pub origin: Origin,
    /// Its recipient's share in it, if others get it too.
    pub share: Option<Share>,
    settle: Option<Settle>,
    kept: bool,
    /// As whoever keeps copies of the session knows it.
    name: Option<Box<Named>>,
}

impl Envelope {
    /// A stanza with its origin, for which nobody waits.
    pub fn new(stanza: Stanza, origin: Origin) -> Envelope {
        Envelope {
            stanza,
            origin,
            share: None,
            settle: None,
            kept: false,
            name: None,
        }
    }

    /// What an [`Inbox`] that takes this stanza answers: whoever waits hears when the envelope is
    /// [settled](Envelope::settle), and cannot take it back meanwhile.
    ///
    /// Whoever waits does so for [`Timeouts::settle`](crate::server::Timeouts::settle) at most; then the
    /// stanza counts as handled, whatever has become of it. An inbox in which it may wait for longer,
    /// and which must not lose it, [pledges](Envelope::pledged) more.
    pub fn taken(&mut self) -> Settlement {
        self.awaited(Later::new)
    }

    /// What an [`Inbox`] answers that takes this stanza and sees to it itself that it is settled in time: within about
    /// [`Timeouts::settle`](crate::server::Timeouts::settle) it is delivered, written down where no crash loses it, or an error is on its way
    /// to its sender. Whoever waits does so until then, without a bound of their own. All later
    /// stanzas of the same sender wait with it for their acknowledgement.
    pub fn pledged(&mut self) -> Settlement {
        self.awaited(Later::pledged)
    }

    fn awaited(&mut self, open: impl FnOnce() -> (Settle, Later)) -> Settlement {
        if self.origin.sm.is_none() {
            return Settlement::Done;
        }
        let (settle, later) = open();
        self.settle = Some(settle);
        Settlement::Later(later)
    }

    /// For whoever has pledged to settle it: what becomes of it, if somebody waits to hear.
    #[cfg(feature = "io")]
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.settle.as_ref().map(Settle::watch)
    }

    /// The same for a stanza that is where nothing loses it, and for which nobody waits.
    #[cfg(feature = "io")]
    pub(crate) fn watch_released(&mut self) -> Watch {
        let (settle, _) = Later::pledged();
        let watch = settle.watch();
        watch.release();
        self.settle = Some(settle);
        watch
    }

    /// Whether whoever waited for it has been told that it is settled, since it is where nothing loses it.
    #[cfg(feature = "io")]
    pub(crate) fn is_released(&self) -> bool {
        self.settle.as_ref().is_some_and(Settle::is_released)
    }

    /// What an [`Inbox`] that does not take this stanza answers.
    pub fn refused(self, reason: Reason) -> Settlement {
        let Envelope { stanza, origin, .. } = self;
        Settlement::Failed(Undelivered {
            stanza,
            origin,
            reason,
        })
    }

    /// Whether somebody waits to hear what becomes of the stanza.
    pub fn is_awaited(&self) -> bool {
        self.settle.is_some()
    }

    /// A second envelope for the same stanza, for whoever is to keep it until it is
    /// acknowledged; the recipient's share in it goes there, and so do those who wait for one that has a
    /// [name](Envelope::name), which it loses: it has been [sent](crate::standby::Replica::sent).
    pub fn keep(&mut self) -> Envelope {
        self.kept = true;
        let settle = self.settle.take_if(|_| self.name.is_some());
        // Who keeps it has told of it.
        if let Some(named) = self.name.take() {
            named.sent();
        }
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: self.share.take(),
            settle,
            kept: true,
            name: None,
        }
    }

    /// A second envelope for the same stanza, for the connection, while whoever keeps this one answers for it: whoever waits
    /// for the stanza waits for this one, and the share stays with it.
    pub fn copy(&self) -> Envelope {
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: None,
            settle: None,
            kept: true,
            name: None,
        }
    }

    /// The stanza as it goes another way, `domain` having sent it in vain at that time. XEP-0198 §4: "servers SHOULD add a delay element
    /// with the original (failed) delivery timestamp, as per XEP-0203".
    pub fn late(mut self, domain: &str, at: Timestamp) -> Envelope {
        let is_message = matches!(self.stanza.kind(), Kind::Message(_));
        let payload = self.stanza.payload();
        if is_message && !payload.children().any(|child| child.is("delay", DELAY)) {
            let delay = Element::new("delay", DELAY)
                .with_attr("from", domain)
                .with_attr("stamp", &at.to_string());
            self.stanza = self.stanza.with_child(&delay);
        }
        self
    }

    /// The same once more, for whoever writes it down; nobody waits for it.
    pub fn record(&self) -> Envelope {
        Envelope {
            stanza: self.stanza.clone(),
            origin: self.origin.clone(),
            share: self.share.clone(),
            settle: None,
            kept: false,
            name: None,
        }
    }

    /// Whether somebody [keeps](Envelope::keep) the stanza until it is acknowledged.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whoever takes it out of where it waits says so; `false` if it has been
    /// [withdrawn](Later::withdraw), and is not to be delivered.
    pub(crate) fn read(&self) -> bool {
        self.settle.as_ref().is_none_or(Settle::read)
    }

    /// The same stanza, and who waits for it and can take it back.
    #[cfg(test)]
    pub(crate) fn withdrawable(mut self) -> (Envelope, Later) {
        let copy = Envelope::new(self.stanza.clone(), self.origin.clone());
        let (settle, later) = Later::of(copy);
        self.settle = Some(settle);
        (self, later)
    }

    /// As whoever [keeps copies](crate::standby) of the session knows it, if it has waited since one is kept.
    pub fn name(&self) -> Option<Name> {
        self.name.as_ref().map(|named| named.name())
    }

    /// Reports that the stanza is safe, and keeps it: it is in a queue that outlives the
    /// connection. What has a [name](Envelope::name) is settled when its copy is safe, and not by this.
    pub fn settled(&mut self) {
        if self.name.is_none()
            && let Some(settle) = self.settle.take()
        {
            settle.with(Outcome::Settled);
        }
    }

    /// Reports what became of the stanza to whoever waits for it.
    pub fn settle(self, outcome: Outcome) {
        if let Some(settle) = self.settle {
            settle.with(outcome);
        }
    }
}

/// The server's own, for which nobody waits.
impl From<Stanza> for Envelope {
    fn from(stanza: Stanza) -> Envelope {
        Envelope::new(stanza, Origin::SERVER)
    }
}

/// What the recipients of one message have in common: each holds a share in it, and
/// whoever gives up the last one knows that nobody has got it. So a message that several
/// sessions were to get is delivered once more, or stored, only if all of them have lost
/// it, and then once.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shared>);

struct Shared {
    recipients: AtomicUsize,
    /// What stands for it where it is written down; 0 as long as it is not.
    #[cfg_attr(not(feature = "io"), allow(dead_code))]
    name: AtomicU64,
    /// For one recipient on this node, where another keeps the share: whom to tell there.
    elsewhere: Option<Mutex<Option<Told>>>,
}

type Told = Box<dyn FnOnce(Outcome) + Send>;

impl Share {
    /// A message with so many recipients; each gets a clone.
    pub fn among(recipients: usize) -> Share {
        Share(Arc::new(Shared {
            recipients: AtomicUsize::new(recipients),
            name: AtomicU64::new(0),
            elsewhere: None,
        }))
    }

    /// One recipient's share in a message of which another node knows the others, and keeps the share. `told` hears
    /// once what has become of it: [`Outcome::Returned`] as soon as it is given up, and nothing is done
    /// here to have the message delivered after all; or [`Outcome::Settled`] when nobody can give it up any more.
    pub fn elsewhere(told: impl FnOnce(Outcome) + Send + 'static) -> Share {
        Share(Arc::new(Shared {
            // Itself, and those whom it does not know: it is never the last.
            recipients: AtomicUsize::new(2),
            name: AtomicU64::new(0),
            elsewhere: Some(Mutex::new(Some(Box::new(told)))),
        }))
    }

    /// The recipients that have not given it up.
    pub(crate) fn left(&self) -> usize {
        self.0.recipients.load(Ordering::Acquire)
    }

    /// What stands for it where it is written down, the same for all recipients; `random` if
    /// it was not written down before.
    #[cfg(feature = "io")]
    pub(crate) fn name(&self, random: impl Fn() -> u64) -> u64 {
        let new = random().max(1);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.0.name.compare_exchange(0, new, success, failure) {
            Ok(_) => new,
            Err(name) => name,
        }
    }

    /// Counts one recipient more.
    pub fn join(&self) {
        self.0.recipients.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether there is no other recipient any more.
    pub fn is_last(&self) -> bool {
        self.left() == 1
    }

    /// One of the recipients will not get it; `true` if none of the others has got it or
    /// still may. To be called once for each recipient at most.
    pub fn give_up(&self) -> bool {
        self.0.tell(Outcome::Returned);
        self.0.recipients.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Shared {
    fn tell(&self, outcome: Outcome) {
        let Some(elsewhere) = &self.elsewhere else {
            return;
        };
        let told = elsewhere.lock();
        let told = told.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(told) = told {
            told(outcome);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tell(Outcome::Settled);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.recipients.load(Ordering::Relaxed);
        f.debug_struct("Shared")
            .field("recipients", &left)
            .field("elsewhere", &self.elsewhere.is_some())
            .finish()
    }
}

/// A stanza that was not taken, given back so that it can take another way.
#[derive(Debug)]
pub struct Undelivered {
    /// The stanza.
    pub stanza: Stanza,
    /// Its origin.
    pub origin: Origin,
    /// Why.
    pub reason: Reason,
}

/// Why a mailbox refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A bound of the mailbox, or the server's memory cap, is reached.
    Full,
    /// The entity has ended.
    Closed,
}

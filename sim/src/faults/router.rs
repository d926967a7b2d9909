//! A router that errs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xmpp_core::Jid;
use xmpp_core::directory::Directory;
use xmpp_core::mailbox::{Envelope, Inbox, Mailbox, Origin, Settlement};
use xmpp_core::router::{Recipients, Route, Router, Rules};
use xmpp_core::session::Resource;
use xmpp_core::stanza::{IqType, Kind, MessageType, Stanza};

use super::Fault;

/// One in so many.
const EVERY: u64 = 10;

pub struct Faulty {
    fault: Fault,
    rules: Rules,
    directory: Arc<dyn Directory>,
    count: AtomicU64,
    /// The last recipient but one, who gets what is not for him.
    other: Mutex<[Option<Arc<Resource>>; 2]>,
    held: Arc<Mutex<Option<(Mailbox, Stanza, Origin)>>>,
}

impl Faulty {
    pub fn new(fault: Fault, rules: Rules, directory: Arc<dyn Directory>) -> Faulty {
        Faulty {
            fault,
            rules,
            directory,
            count: AtomicU64::new(0),
            other: Mutex::default(),
            held: Arc::default(),
        }
    }

    fn err(&self, stanza: &Stanza, recipient: Arc<Resource>, route: Route) -> Route {
        let now = (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(EVERY);
        let account = self.directory.resources(recipient.jid().bare_str());
        match (self.fault, stanza.kind()) {
            (Fault::Drop, Kind::Message(MessageType::Chat)) if now => Route::Ignore,
            (Fault::Ignore, Kind::Iq(IqType::Error | IqType::Result)) if now => Route::Ignore,
            (Fault::Double, Kind::Message(MessageType::Chat)) if now => Route::Deliver {
                account,
                to: Recipients::Many(vec![recipient.clone(), recipient]),
            },
            (Fault::Misdirect, Kind::Message(MessageType::Chat)) => {
                let mut other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
                let [last, before] = other.clone();
                *other = [Some(recipient), last];
                match before.filter(|_| now) {
                    Some(to) => Route::Deliver {
                        account,
                        to: Recipients::One(to),
                    },
                    None => route,
                }
            }
            (Fault::Reorder, Kind::Message(MessageType::Chat)) => {
                Route::Entity(Mailbox::new(Arc::new(Overtaking {
                    inner: recipient.mailbox().clone(),
                    hold: now,
                    held: self.held.clone(),
                })))
            }
            _ => route,
        }
    }
}

impl Router for Faulty {
    fn route(&self, stanza: &Stanza, to: &Jid, origin: &Origin) -> Route {
        let route = self.rules.route(stanza, to, origin);
        match &route {
            Route::Offline(_) if self.fault == Fault::Swallow => Route::Ignore,
            Route::Deliver {
                to: Recipients::One(one),
                ..
            } => {
                let one = one.clone();
                self.err(stanza, one, route)
            }
            _ => route,
        }
    }
}

/// Holds one stanza back until the next has passed.
struct Overtaking {
    inner: Mailbox,
    hold: bool,
    held: Arc<Mutex<Option<(Mailbox, Stanza, Origin)>>>,
}

impl Inbox for Overtaking {
    fn push(&self, envelope: Envelope) -> Settlement {
        let (stanza, origin) = (envelope.stanza.clone(), envelope.origin.clone());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hold && held.is_none() {
            *held = Some((self.inner.clone(), stanza, origin));
            return Settlement::Done;
        }
        let passes = |(_, other, _): &(Mailbox, Stanza, Origin)| {
            (other.from(), other.to()) == (stanza.from(), stanza.to())
        };
        let behind = held.take_if(|held| passes(held));
        drop(held);
        let settlement = self.inner.push(stanza, origin);
        if let Some((mailbox, stanza, origin)) = behind {
            let _ = mailbox.push(stanza, origin);
        }
        settlement
    }
}

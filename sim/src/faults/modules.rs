//! Modules that err.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use xmpp_core::module::{Hooks, Module, OutboundFilter, SessionEvent, SessionWatcher, Verdict};
use xmpp_core::server::Server;
use xmpp_core::session::Session;
use xmpp_core::stanza::{Kind, Stanza};
use xmpp_core::stream::{StreamCondition, StreamError};
use xmpp_core::xml::{Element, ns};

/// Changes what every tenth message says.
#[derive(Default)]
pub struct Alter(AtomicU64);

impl Module for Alter {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.outbound(self);
    }
}

impl OutboundFilter for Alter {
    fn outbound(&self, stanza: &mut Stanza, _: &Arc<Session>, _: &Server) -> Verdict {
        let now = self.0.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        if now && matches!(stanza.kind(), Kind::Message(_)) {
            let body = Element::new("body", ns::CLIENT).with_text("Buy!");
            let payload = stanza.payload().without(|child| child.name() == "body");
            stanza.set_payload(payload.with(&body));
        }
        Verdict::Pass
    }
}

/// When a session ends, so does the one that was bound before it.
#[derive(Default)]
pub struct Topple(Mutex<Vec<Arc<Session>>>);

impl Module for Topple {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.watch(self);
    }
}

impl SessionWatcher for Topple {
    fn session(&self, event: SessionEvent, session: &Arc<Session>, _: &Server) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            SessionEvent::Bound => sessions.push(session.clone()),
            SessionEvent::Ended => {
                sessions.retain(|other| other.id() != session.id());
                if let Some(other) = sessions.pop() {
                    other.end(StreamError::new(StreamCondition::Reset));
                }
            }
            _ => {}
        }
    }
}

/// When a session ends, a byte is not given back.
pub struct Hoard;

impl Module for Hoard {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.watch(self);
    }
}

impl SessionWatcher for Hoard {
    fn session(&self, event: SessionEvent, _: &Arc<Session>, server: &Server) {
        if event == SessionEvent::Ended {
            server.budget().take(1);
        }
    }
}

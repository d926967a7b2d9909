//! Presence that crosses with a goodbye.

use std::sync::Mutex;

use super::*;
use crate::mailbox::{Envelope, Inbox, Mailbox, Settlement};
use crate::server::testing::jid;

/// Somebody on another server, who writes down what comes and how many resources of Romeo
/// are shown as available at that moment.
struct Onlooker {
    server: Server,
    seen: Mutex<Vec<(PresenceType, usize)>>,
}

impl Inbox for Onlooker {
    fn push(&self, envelope: Envelope) -> Settlement {
        if let Kind::Presence(kind) = envelope.stanza.kind() {
            let resources = self.server.directory().resources("romeo@example.org");
            let available = resources.iter().filter(|r| r.presence().is_some()).count();
            self.seen.lock().unwrap().push((kind, available));
        }
        Settlement::Done
    }
}

/// RFC 6121 §4.5.2, §4.3.2: who probes while the goodbye is on its way is not shown a ghost.
#[test]
fn a_resource_is_unavailable_before_anybody_hears_so() {
    let world = world();
    contact(
        &world,
        "romeo@example.org",
        "juliet@outside.net",
        Subscription::From,
    );
    let onlooker = Arc::new(Onlooker {
        server: world.server.clone(),
        seen: Mutex::default(),
    });
    let address = jid("outside.net");
    assert!(
        world
            .server
            .directory()
            .serve(&address, Mailbox::new(onlooker.clone()))
    );
    let romeo = online(&world, ROMEO);
    romeo.send("<presence type='unavailable'/>");
    romeo.expect(&[&format!(
        "<presence from='{ROMEO}' to='romeo@example.org' type='unavailable'/>"
    )]);
    let seen = onlooker.seen.lock().unwrap();
    let (available, unavailable) = (PresenceType::Available, PresenceType::Unavailable);
    assert_eq!(seen[..], [(available, 1), (unavailable, 0)]);
}

//! Presence that crosses with a goodbye.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::im::blocking::Blocking;
use crate::im::last_activity::LastActivity;
use crate::im::offline::Offline;
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

/// Ends the sender's session when its available presence is about to reach somebody, once.
#[derive(Default)]
struct Cut(AtomicBool);

impl Module for Cut {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.inbound(self);
    }
}

impl InboundFilter for Cut {
    fn inbound(&self, delivery: &mut Delivery<'_>, server: &Server) -> Verdict {
        let from = delivery.stanza.from();
        let from = from.filter(|from| from.bare_str() != delivery.account.jid().as_str());
        if let Some(sender) = from.and_then(|from| server.session_of(from))
            && delivery.stanza.kind() == Kind::Presence(PresenceType::Available)
            && self.0.swap(false, Ordering::Relaxed)
        {
            match server.end(&sender) {
                Dispatch::Done(_) => {}
                Dispatch::Pending(rest) => server.spawn(async move {
                    let _ = rest.await;
                }),
            }
        }
        Verdict::Pass
    }
}

/// Romeo's session ends where `cut` is set to; what Juliet then knows of it.
fn last_word(race: impl FnOnce(&World, &Cut)) -> Kind {
    let cut = Arc::new(Cut::default());
    let modules: Vec<Arc<dyn Module>> = vec![
        Arc::new(Blocking),
        Arc::new(Roster),
        Arc::new(Presence),
        cut.clone(),
    ];
    let world = World::new(modules);
    friends(&world);
    let juliet = online(&world, JULIET);
    race(&world, &cut);
    assert!(!cut.0.load(Ordering::Relaxed), "the race took place");
    let of_romeo = juliet.read().into_iter().filter(|stanza| {
        let from = stanza.from();
        from.is_some_and(|from| from.as_str() == ROMEO)
    });
    of_romeo.last().expect("Juliet hears of Romeo").kind()
}

const GONE: Kind = Kind::Presence(PresenceType::Unavailable);

#[test]
fn a_session_that_ends_while_it_becomes_available_is_not_left_behind_as_a_ghost() {
    let last = last_word(|world, cut| {
        let romeo = interested(world, ROMEO);
        cut.0.store(true, Ordering::Relaxed);
        romeo.send("<presence/>");
        assert!(!romeo.resource.is_available());
    });
    assert_eq!(last, GONE);
}

#[test]
fn a_session_that_ends_while_a_probe_is_answered_is_not_left_behind_as_a_ghost() {
    for to in ["romeo@example.org", ROMEO] {
        let last = last_word(|world, cut| {
            online(world, ROMEO);
            cut.0.store(true, Ordering::Relaxed);
            world.inject(&format!(
                "<presence from='{JULIET}' to='{to}' type='probe'/>"
            ));
        });
        assert_eq!(last, GONE, "{to}");
    }
}

#[test]
fn a_session_that_ends_while_it_is_shown_to_a_new_subscriber_is_not_left_behind_as_a_ghost() {
    let last = last_word(|world, cut| {
        let romeo = online(world, ROMEO);
        romeo.send("<presence to='juliet@example.org' type='unsubscribed'/>");
        world.inject(
            "<presence from='juliet@example.org' to='romeo@example.org' type='subscribe'/>",
        );
        cut.0.store(true, Ordering::Relaxed);
        romeo.send("<presence to='juliet@example.org' type='subscribed'/>");
    });
    assert_eq!(last, GONE);
}

#[test]
fn a_session_that_ends_while_it_directs_presence_is_not_left_behind_as_a_ghost() {
    let last = last_word(|world, cut| {
        let romeo = interested(world, ROMEO);
        cut.0.store(true, Ordering::Relaxed);
        romeo.send(&format!("<presence to='{JULIET}'/>"));
    });
    assert_eq!(last, GONE);
}

#[test]
fn a_session_that_ends_while_it_is_shown_to_one_who_was_blocked_is_not_left_behind_as_a_ghost() {
    let last = last_word(|world, cut| {
        let (romeo, garden) = (
            online(world, ROMEO),
            online(world, "romeo@example.org/garden"),
        );
        let command = |name| {
            garden.send(&format!(
                "<iq type='set' id='b'><{name} xmlns='urn:xmpp:blocking'>\
                 <item jid='juliet@example.org'/></{name}></iq>"
            ));
        };
        command("block");
        // The one that does not do it, and is shown first.
        garden.send("<presence type='unavailable'/>");
        cut.0.store(true, Ordering::Relaxed);
        command("unblock");
        assert!(!romeo.resource.is_available());
    });
    assert_eq!(last, GONE);
}

/// What modules note of sessions until they end is not noted after that.
#[test]
fn nothing_is_kept_of_a_session_that_speaks_after_its_end() {
    let (offline, last) = (
        Arc::new(Offline::default()),
        Arc::new(LastActivity::default()),
    );
    let world = World::new(vec![Arc::new(Presence), offline.clone(), last.clone()]);
    let romeo = world.login(ROMEO);
    romeo.end();
    romeo.send("<presence><priority>-1</priority></presence>");
    romeo.shows("<presence><priority>-1</priority></presence>");
    romeo.send("<presence type='unavailable'><status>Adieu</status></presence>");
    assert!(offline.remembers_nobody());
    assert!(last.remembers_nobody());
}

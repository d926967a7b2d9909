//! Instant messaging and presence: RFC 6121 and the XEPs of an everyday server,
//! one module a file. [`all`] is the usual set, in the order in which they run.

use std::sync::Arc;

use crate::module::Module;

pub mod blocking;
pub mod caps;
pub mod carbons;
pub mod csi;
pub mod disco;
pub mod entity_time;
pub mod form;
pub mod last_activity;
pub mod offline;
pub mod ping;
pub mod presence;
pub mod private_xml;
pub mod registration;
pub mod roster;
pub mod service_contacts;
pub mod stream_limits;
pub mod subscription;
pub mod vcard;
pub mod version;

/// Every module that a server for people has, in the order in which their filters run.
/// Not among them, because they need to be told something: in-band
/// [`registration`] and [`service_contacts`].
pub fn all() -> Vec<Arc<dyn Module>> {
    vec![
        Arc::new(disco::Disco),
        Arc::new(caps::Caps::default()),
        Arc::new(stream_limits::StreamLimits::default()),
        Arc::new(ping::Ping),
        Arc::new(version::Version),
        Arc::new(entity_time::EntityTime),
        Arc::new(private_xml::PrivateXml),
        Arc::new(vcard::VCard),
        // What is blocked goes no further.
        Arc::new(blocking::Blocking),
        Arc::new(roster::Roster),
        Arc::new(presence::Presence),
        Arc::new(last_activity::LastActivity::default()),
        Arc::new(offline::Offline::default()),
        // Copies what all others let pass.
        Arc::new(carbons::Carbons::default()),
        Arc::new(csi::ClientState::default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Scope;
    use crate::server::testing::World;
    use crate::store::Subscription;

    #[test]
    fn the_usual_modules_and_those_that_need_to_be_told_fit_together() {
        let mut modules = all();
        modules.push(Arc::new(registration::Registration::default()));
        modules.push(Arc::new(service_contacts::ServiceContacts::default()));
        let world = World::new(modules);
        let features: Vec<_> = world.server.hooks().features(Scope::Server).collect();
        for feature in [
            "http://jabber.org/protocol/caps",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "jabber:iq:last",
            "jabber:iq:private",
            "jabber:iq:register",
            "jabber:iq:version",
            "msgoffline",
            "urn:xmpp:blocking",
            "urn:xmpp:carbons:2",
            "urn:xmpp:ping",
            "urn:xmpp:time",
            "vcard-temp",
        ] {
            assert!(features.contains(&feature), "{feature}");
        }
    }

    /// One evening: a message waits, is read on one device and copied to the other, its
    /// sender is blocked and does not see the reader go.
    #[test]
    fn the_modules_work_side_by_side() {
        let world = World::new(all());
        let (juliet, romeo) = ("juliet@example.org", "romeo@example.org");
        world.contact(juliet, romeo, Subscription::Both);
        world.contact(romeo, juliet, Subscription::Both);
        let orchard = world.login("romeo@example.org/orchard");
        orchard.send("<presence/>");
        orchard.skip();
        let say = "<message to='juliet@example.org' type='chat'><body>hi</body></message>";
        orchard.send(say);

        let balcony = world.login("juliet@example.org/balcony");
        balcony.send("<iq id='1' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
        balcony.send("<presence><priority>-1</priority></presence>");
        let chamber = world.login("juliet@example.org/chamber");
        chamber.send("<presence/>");
        let got = |client: &crate::server::testing::Client, part: &str| {
            let read = client.read();
            read.iter().filter(|s| s.to_string().contains(part)).count()
        };
        assert_eq!(got(&chamber, "Offline Storage"), 1);
        assert_eq!(got(&balcony, "<body>"), 0);
        orchard.send(say);
        assert_eq!(got(&chamber, "<body>"), 1);
        assert_eq!(got(&balcony, "<received xmlns='urn:xmpp:carbons:2'>"), 1);
        orchard.skip();

        chamber.send(
            "<iq id='2' type='set'><block xmlns='urn:xmpp:blocking'>\
             <item jid='romeo@example.org'/></block></iq>",
        );
        assert_eq!(
            got(&orchard, "type='unavailable'"),
            2,
            "both devices are gone"
        );
        chamber.send("<presence><show>dnd</show></presence>");
        orchard.send(say);
        chamber.end();
        assert_eq!(got(&orchard, "<service-unavailable"), 1);
        assert_eq!(got(&orchard, ""), 0);
        assert_eq!(got(&balcony, "<body>"), 0);
    }
}

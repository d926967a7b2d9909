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
        Arc::new(roster::Roster),
        Arc::new(presence::Presence),
        Arc::new(ping::Ping),
        Arc::new(version::Version),
        Arc::new(entity_time::EntityTime),
        Arc::new(private_xml::PrivateXml),
        Arc::new(vcard::VCard),
        // What is blocked goes nowhere else.
        Arc::new(blocking::Blocking),
        Arc::new(last_activity::LastActivity::default()),
        Arc::new(offline::Offline::default()),
        // Copies what all others let pass.
        Arc::new(carbons::Carbons::default()),
        Arc::new(csi::ClientState),
    ]
}

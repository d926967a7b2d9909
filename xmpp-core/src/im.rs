//! Instant messaging and presence: RFC 6121 and the XEPs of an everyday server,
//! one module a file. [`all`] is the usual set, in the order in which they run.

use std::sync::Arc;

use crate::module::Module;

pub mod form;
pub mod presence;
pub mod roster;
pub mod subscription;

/// Every module that a server for people has, but in-band registration, in the
/// order in which their filters run.
pub fn all() -> Vec<Arc<dyn Module>> {
    vec![Arc::new(roster::Roster), Arc::new(presence::Presence)]
}

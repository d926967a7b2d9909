//! XMPP server core.

pub mod account;
mod der;
pub mod directory;
pub mod im;
#[cfg(feature = "io")]
pub mod io;
pub mod jid;
pub mod machine;
pub mod mailbox;
pub mod metrics;
pub mod module;
pub mod router;
pub mod s2s;
pub mod sasl;
pub mod server;
pub mod session;
pub mod standby;
pub mod stanza;
pub mod store;
pub mod stream;
pub mod time;
pub mod xml;

pub use jid::{BareJid, FullJid, Jid, JidError};

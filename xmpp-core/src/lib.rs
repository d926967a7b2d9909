//! XMPP server core.

pub mod jid;
pub mod machine;
pub mod sasl;
pub mod store;
pub mod time;

pub use jid::{BareJid, FullJid, Jid, JidError};

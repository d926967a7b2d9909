//! XMPP server core.

pub mod jid;
pub mod sasl;

pub use jid::{BareJid, FullJid, Jid, JidError};

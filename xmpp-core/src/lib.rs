//! XMPP server core.

pub mod jid;

pub use jid::{BareJid, FullJid, Jid, JidError};

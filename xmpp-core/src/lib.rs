//! XMPP server core.

pub mod jid;
pub mod stanza;
pub mod xml;

pub use jid::{BareJid, FullJid, Jid, JidError};

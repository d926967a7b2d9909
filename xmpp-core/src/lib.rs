//! XMPP server core.

pub mod jid;
pub mod machine;
pub mod sasl;
pub mod stanza;
pub mod store;
pub mod time;
pub mod xml;

pub use jid::{BareJid, FullJid, Jid, JidError};

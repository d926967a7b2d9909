//! XMPP server core.

pub mod jid;
pub mod sasl;

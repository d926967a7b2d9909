//! XMPP server core.

pub mod jid;
pub mod stanza;
pub mod xml;

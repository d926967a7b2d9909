//! XMPP server core.

pub mod machine;
pub mod store;
pub mod time;

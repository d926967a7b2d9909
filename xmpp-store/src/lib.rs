//! xmpp-store

//! XMPP server core.

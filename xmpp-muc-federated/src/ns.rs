//! Namespaces.

/// What clients say when they enter (XEP-0045 §16.1).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// What occupants are told, and invitations.
pub const USER: &str = "http://jabber.org/protocol/muc#user";
/// Roles and affiliations.
pub const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Configuration and destruction.
pub const OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Voice requests (§7.13).
pub const REQUEST: &str = "http://jabber.org/protocol/muc#request";
/// The form for registration (§7.10).
pub const REGISTER_FORM: &str = "http://jabber.org/protocol/muc#register";
/// The form of the configuration (§16.5.3).
pub const CONFIG_FORM: &str = "http://jabber.org/protocol/muc#roomconfig";
/// The form of a room's description (§16.5.4).
pub const INFO_FORM: &str = "http://jabber.org/protocol/muc#roominfo";
/// In-band registration (XEP-0077).
pub const REGISTER: &str = "jabber:iq:register";
/// Direct invitations (XEP-0249).
pub const CONFERENCE: &str = "jabber:x:conference";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Stanza ids (XEP-0359).
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Occupant ids (XEP-0421).
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Pings (XEP-0199, XEP-0410).
pub const PING: &str = "urn:xmpp:ping";
/// Pages of a result (XEP-0059).
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// Hints for whoever passes a message on (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Federated rooms (XEP-0289).
pub const FMUC: &str = "http://isode.com/protocol/fmuc";
/// What we add to them, within their elements.
pub const SYNC: &str = "urn:x-fmuc:1";

//! What of a stanza goes over a link (§5.12 of the design, B4).

use xmpp_core::xml::ns::CLIENT;

use crate::ns;

/// What of a message or a presence goes over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// All but what a room says on its own authority, and what is between rooms.
    AllButOurs,
    /// What belongs to what is said, and nothing of what is said about it: no chat states, receipts, markers, hints, formatted doubles.
    Named,
}

/// What a room says on its own authority; with `<fmuc/>` and what is in it.
const OURS: &[&str] = &[
    ns::FMUC,
    ns::SYNC,
    ns::MUC,
    ns::USER,
    ns::ADMIN,
    ns::OWNER,
    ns::OCCUPANT_ID,
    ns::STANZA_ID,
    ns::DELAY,
];

/// What is said, what it refers to, and the same encrypted.
const NAMED: &[(&str, &str)] = &[
    ("body", CLIENT),
    ("subject", CLIENT),
    ("thread", CLIENT),
    ("error", CLIENT),
    ("show", CLIENT),
    ("status", CLIENT),
    // XEP-0308
    ("replace", "urn:xmpp:message-correct:0"),
    // XEP-0461, and of XEP-0428 what tells the quotation from the reply
    ("reply", "urn:xmpp:reply:0"),
    ("fallback", "urn:xmpp:fallback:0"),
    // XEP-0444
    ("reactions", "urn:xmpp:reactions:0"),
    // XEP-0424
    ("retract", "urn:xmpp:message-retract:1"),
    // XEP-0066: where something is
    ("x", "jabber:x:oob"),
    // XEP-0384, before and after its namespace had a version; XEP-0380 says which one it is
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("encryption", "urn:xmpp:eme:0"),
    // XEP-0027 and XEP-0373
    ("x", "jabber:x:encrypted"),
    ("openpgp", "urn:xmpp:openpgp:0"),
];

impl Payloads {
    /// Whether this child of a stanza goes over the link.
    pub fn pass(self, name: &str, ns: &str) -> bool {
        match self {
            Payloads::AllButOurs => !OURS.contains(&ns),
            Payloads::Named => NAMED.contains(&(name, ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_rooms_goes_by_no_profile() {
        for ns in OURS {
            for payloads in [Payloads::AllButOurs, Payloads::Named] {
                assert!(!payloads.pass("x", ns), "{ns} {payloads:?}");
            }
        }
    }

    #[test]
    fn a_dear_link_carries_what_is_said_and_a_cheap_one_everything() {
        for (name, ns, named) in [
            ("body", CLIENT, true),
            ("replace", "urn:xmpp:message-correct:0", true),
            ("composing", "http://jabber.org/protocol/chatstates", false),
            ("request", "urn:xmpp:receipts", false),
            ("html", "http://jabber.org/protocol/xhtml-im", false),
            ("c", "http://jabber.org/protocol/caps", false),
        ] {
            assert!(Payloads::AllButOurs.pass(name, ns), "{name}");
            assert_eq!(Payloads::Named.pass(name, ns), named, "{name}");
        }
    }
}

//! A roster item and its subscription state (RFC 6121 §2.1.2, Appendix A).

use crate::BareJid;

/// One contact of a roster (RFC 6121 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterItem {
    /// The contact.
    pub jid: BareJid,
    /// The name that the user gave it.
    pub name: Option<String>,
    /// Groups, sorted, without duplicates.
    pub groups: Vec<String>,
    /// The state of the presence subscription.
    pub subscription: Subscription,
    /// Whether an own request to see the contact's presence is unanswered
    /// (`ask='subscribe'`, "Pending Out").
    pub ask: Option<Ask>,
    /// The contact's unanswered request ("Pending In"): the `<presence type='subscribe'/>`
    /// as XML, kept so that it can be shown again (RFC 6121 §3.1.3).
    pub pending_in: Option<String>,
    /// Whether the contact was pre-approved (RFC 6121 §3.4).
    pub approved: bool,
}

/// `ask` has one value (RFC 6121 §2.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `ask='subscribe'`.
    Subscribe,
}

/// `subscription` (RFC 6121 §2.1.2.5), without the `remove` that only travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Subscription {
    /// Neither sees the other.
    #[default]
    None,
    /// The user sees the contact's presence.
    To,
    /// The contact sees the user's presence.
    From,
    /// Both.
    Both,
}

impl Subscription {
    /// From the two directions.
    pub fn of(to: bool, from: bool) -> Subscription {
        match (to, from) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        }
    }

    /// Whether the user sees the contact's presence.
    pub fn to(self) -> bool {
        matches!(self, Subscription::To | Subscription::Both)
    }

    /// Whether the contact sees the user's presence.
    pub fn from(self) -> bool {
        matches!(self, Subscription::From | Subscription::Both)
    }

    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
    }

    /// From the attribute's value.
    pub fn parse(text: &str) -> Option<Subscription> {
        Some(match text {
            "none" => Subscription::None,
            "to" => Subscription::To,
            "from" => Subscription::From,
            "both" => Subscription::Both,
            _ => return None,
        })
    }
}

impl RosterItem {
    /// An item of which only the address is known: no name, no group, no subscription.
    pub fn new(jid: BareJid) -> RosterItem {
        RosterItem {
            jid,
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: None,
            pending_in: None,
            approved: false,
        }
    }

    /// Whether clients are shown the item: an item that only holds the contact's
    /// request is not (RFC 6121 §2.1.2.5: "None + Pending In" is not pushed).
    pub fn is_visible(&self) -> bool {
        self.pending_in.is_none()
            || self.subscription != Subscription::None
            || self.ask.is_some()
            || self.approved
            || self.name.is_some()
            || !self.groups.is_empty()
    }
}

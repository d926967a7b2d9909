//! The states of a subscription (RFC 6121 §3, Appendix A) as pure rules.

use std::fmt;

use crate::stanza::PresenceType;
use crate::store::{Ask, RosterItem, Subscription};

/// What a user and a contact may see of each other, as the user's server knows it
/// (RFC 6121 §A.1).
///
/// The nine states are what three grades in two directions make: "None + Pending
/// Out+In" is [`Pending`](Grade::Pending) in both, "Both" is [`Granted`](Grade::Granted)
/// in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Whether the user sees the contact's presence; [`Grade::Pending`] is "Pending Out".
    pub to: Grade,
    /// Whether the contact sees the user's presence; [`Grade::Pending`] is "Pending In".
    pub from: Grade,
    /// Whether the user has approved a request of the contact in advance (§3.4).
    pub approved: bool,
}

/// How far one direction of a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Grade {
    /// Not subscribed.
    #[default]
    No,
    /// Asked for and not answered.
    Pending,
    /// Subscribed.
    Granted,
}

/// What a subscription stanza does: its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Asks to see the other's presence.
    Subscribe,
    /// Allows the other to see one's presence.
    Subscribed,
    /// Does not want to see the other's presence any longer.
    Unsubscribe,
    /// Does not allow it, or no longer.
    Unsubscribed,
}

/// What follows from a stanza that the user sends (RFC 6121 §A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Whether it goes to the contact.
    pub route: bool,
    /// The state afterwards.
    pub next: State,
}

/// What follows from a stanza that the contact sends (RFC 6121 §A.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Whether the user gets it.
    pub deliver: bool,
    /// The state afterwards.
    pub next: State,
    /// What the server answers on behalf of the user.
    pub reply: Option<Act>,
}

/// RFC 6121 §A.2, tables 2 to 5.
pub fn outbound(act: Act, state: State) -> Outbound {
    let mut next = state;
    let route = match act {
        Act::Subscribe => {
            if state.to == Grade::No {
                next.to = Grade::Pending;
            }
            true
        }
        Act::Unsubscribe => {
            next.to = Grade::No;
            true
        }
        Act::Subscribed => match state.from {
            Grade::Pending => {
                next.from = Grade::Granted;
                true
            }
            // §3.4.2: "MUST note the subscription pre-approval by setting the 'approved'
            // flag", "MUST NOT route the presence stanza"
            Grade::No => {
                next.approved = true;
                false
            }
            Grade::Granted => false,
        },
        Act::Unsubscribed => {
            next.from = Grade::No;
            // §3.2.2: "MUST remove the pre-approval and MUST NOT route or deliver the
            // presence stanza"
            next.approved = false;
            state.from != Grade::No
        }
    };
    Outbound { route, next }
}

/// RFC 6121 §A.3, tables 6 to 9.
pub fn inbound(act: Act, state: State) -> Inbound {
    let mut next = state;
    let mut reply = None;
    match act {
        Act::Subscribe => match state.from {
            // §3.1.3: "MUST auto-reply on behalf of the contact"
            Grade::Granted => reply = Some(Act::Subscribed),
            // §3.4.2: "MUST NOT deliver [...], but instead MUST automatically respond"
            _ if state.approved => {
                next.from = Grade::Granted;
                reply = Some(Act::Subscribed);
            }
            _ => next.from = Grade::Pending,
        },
        Act::Unsubscribe if state.from != Grade::No => {
            next.from = Grade::No;
            // §A.3.2: "SHOULD auto-reply by sending a presence stanza of type "unsubscribed""
            reply = Some(Act::Unsubscribed);
        }
        Act::Subscribed if state.to == Grade::Pending => next.to = Grade::Granted,
        Act::Unsubscribed => next.to = Grade::No,
        Act::Unsubscribe | Act::Subscribed => {}
    }
    Inbound {
        // §A.3.2: "(because there is no state change) SHOULD NOT deliver the stanza"
        deliver: next != state && reply != Some(Act::Subscribed),
        next,
        reply,
    }
}

impl State {
    /// The state that a roster item records; no item stands for "None" (RFC 6121 §A.1).
    pub fn of(item: Option<&RosterItem>) -> State {
        let Some(item) = item else {
            return State::default();
        };
        let grade = |granted, pending| match (granted, pending) {
            (true, _) => Grade::Granted,
            (false, true) => Grade::Pending,
            (false, false) => Grade::No,
        };
        State {
            to: grade(item.subscription.to(), item.ask.is_some()),
            from: grade(item.subscription.from(), item.pending_in.is_some()),
            approved: item.approved,
        }
    }

    /// Records the state in a roster item. `request` is the stanza to keep if the
    /// contact's request is pending; one that is kept already stays.
    pub fn record(self, item: &mut RosterItem, request: Option<&str>) {
        item.subscription =
            Subscription::of(self.to == Grade::Granted, self.from == Grade::Granted);
        item.ask = (self.to == Grade::Pending).then_some(Ask::Subscribe);
        item.approved = self.approved;
        item.pending_in = match self.from {
            Grade::Pending => item.pending_in.take().or(request.map(str::to_owned)),
            _ => None,
        };
    }

    /// Whether the user has done anything about the contact that clients are to see.
    pub fn is_visible(self) -> bool {
        self.to != Grade::No || self.from == Grade::Granted || self.approved
    }
}

impl fmt::Display for State {
    /// As RFC 6121 §A.1 calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.to, self.from) {
            (Grade::No, Grade::No) => "None",
            (Grade::Pending, Grade::No) => "None + Pending Out",
            (Grade::No, Grade::Pending) => "None + Pending In",
            (Grade::Pending, Grade::Pending) => "None + Pending Out+In",
            (Grade::Granted, Grade::No) => "To",
            (Grade::Granted, Grade::Pending) => "To + Pending In",
            (Grade::No, Grade::Granted) => "From",
            (Grade::Pending, Grade::Granted) => "From + Pending Out",
            (Grade::Granted, Grade::Granted) => "Both",
        })
    }
}

impl Act {
    /// The act of a presence stanza of this type, if it is about subscriptions.
    pub fn of(kind: PresenceType) -> Option<Act> {
        match kind {
            PresenceType::Subscribe => Some(Act::Subscribe),
            PresenceType::Subscribed => Some(Act::Subscribed),
            PresenceType::Unsubscribe => Some(Act::Unsubscribe),
            PresenceType::Unsubscribed => Some(Act::Unsubscribed),
            _ => None,
        }
    }

    /// The type of a stanza that does this.
    pub fn kind(self) -> PresenceType {
        match self {
            Act::Subscribe => PresenceType::Subscribe,
            Act::Subscribed => PresenceType::Subscribed,
            Act::Unsubscribe => PresenceType::Unsubscribe,
            Act::Unsubscribed => PresenceType::Unsubscribed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRADES: [Grade; 3] = [Grade::No, Grade::Pending, Grade::Granted];

    const ACTS: [Act; 4] = [
        Act::Subscribe,
        Act::Subscribed,
        Act::Unsubscribe,
        Act::Unsubscribed,
    ];

    /// RFC 6121 §A.2: existing state, whether to route, new state. "-" is no state
    /// change, "pre-approval" the state with the 'approved' flag.
    const OUTBOUND: [(Act, &str); 4] = [
        (
            Act::Subscribe, // Table 2
            "None                  | MUST | None + Pending Out
             None + Pending Out    | MUST | -
             None + Pending In     | MUST | None + Pending Out+In
             None + Pending Out+In | MUST | -
             To                    | MUST | -
             To + Pending In       | MUST | -
             From                  | MUST | From + Pending Out
             From + Pending Out    | MUST | -
             Both                  | MUST | -",
        ),
        (
            Act::Unsubscribe, // Table 3
            "None                  | MUST | -
             None + Pending Out    | MUST | None
             None + Pending In     | MUST | -
             None + Pending Out+In | MUST | None + Pending In
             To                    | MUST | None
             To + Pending In       | MUST | None + Pending In
             From                  | MUST | -
             From + Pending Out    | MUST | From
             Both                  | MUST | From",
        ),
        (
            Act::Subscribed, // Table 4
            "None                  | M.N. | pre-approval
             None + Pending Out    | M.N. | pre-approval
             None + Pending In     | MUST | From
             None + Pending Out+In | MUST | From + Pending Out
             To                    | M.N. | pre-approval
             To + Pending In       | MUST | Both
             From                  | M.N. | -
             From + Pending Out    | M.N. | -
             Both                  | M.N. | -",
        ),
        (
            Act::Unsubscribed, // Table 5
            "None                  | S.N. | -
             None + Pending Out    | S.N. | -
             None + Pending In     | MUST | None
             None + Pending Out+In | MUST | None + Pending Out
             To                    | S.N. | -
             To + Pending In       | MUST | To
             From                  | MUST | None
             From + Pending Out    | MUST | None + Pending Out
             Both                  | MUST | To",
        ),
    ];

    /// RFC 6121 §A.3: existing state, whether to deliver, new state, and what the notes
    /// to the table have the server reply.
    const INBOUND: [(Act, &str); 4] = [
        (
            Act::Subscribe, // Table 6
            "None                  | MUST | None + Pending In
             None + Pending Out    | MUST | None + Pending Out+In
             None + Pending In     | S.N. | -
             None + Pending Out+In | S.N. | -
             To                    | MUST | To + Pending In
             To + Pending In       | S.N. | -
             From                  | S.N. | - | subscribed
             From + Pending Out    | S.N. | - | subscribed
             Both                  | S.N. | - | subscribed",
        ),
        (
            Act::Unsubscribe, // Table 7
            "None                  | S.N. | -
             None + Pending Out    | S.N. | -
             None + Pending In     | MUST | None               | unsubscribed
             None + Pending Out+In | MUST | None + Pending Out | unsubscribed
             To                    | S.N. | -
             To + Pending In       | MUST | To                 | unsubscribed
             From                  | MUST | None               | unsubscribed
             From + Pending Out    | MUST | None + Pending Out | unsubscribed
             Both                  | MUST | To                 | unsubscribed",
        ),
        (
            Act::Subscribed, // Table 8
            "None                  | S.N. | -
             None + Pending Out    | MUST | To
             None + Pending In     | S.N. | -
             None + Pending Out+In | MUST | To + Pending In
             To                    | S.N. | -
             To + Pending In       | S.N. | -
             From                  | S.N. | -
             From + Pending Out    | MUST | Both
             Both                  | S.N. | -",
        ),
        (
            Act::Unsubscribed, // Table 9
            "None                  | S.N. | -
             None + Pending Out    | MUST | None
             None + Pending In     | S.N. | -
             None + Pending Out+In | MUST | None + Pending In
             To                    | MUST | None
             To + Pending In       | MUST | None + Pending In
             From                  | S.N. | -
             From + Pending Out    | MUST | From
             Both                  | MUST | From",
        ),
    ];

    fn states() -> impl Iterator<Item = State> {
        GRADES.into_iter().flat_map(|to| {
            GRADES.into_iter().map(move |from| State {
                to,
                from,
                approved: false,
            })
        })
    }

    fn named(name: &str) -> State {
        let found = states().find(|state| state.to_string() == name);
        found.unwrap_or_else(|| panic!("no state {name:?}"))
    }

    /// The rows of a table, as cells; every state has to be there once.
    fn rows(table: &str) -> Vec<Vec<&str>> {
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let mut names: Vec<_> = rows.iter().map(|row| row[0]).collect();
        names.sort();
        names.dedup();
        assert_eq!((rows.len(), names.len()), (9, 9));
        rows
    }

    #[test]
    fn stanzas_that_the_user_sends_follow_tables_2_to_5() {
        for (act, table) in OUTBOUND {
            for row in rows(table) {
                let state = named(row[0]);
                let next = match row[2] {
                    "-" => state,
                    "pre-approval" => State {
                        approved: true,
                        ..state
                    },
                    name => named(name),
                };
                let route = row[1] == "MUST";
                let expected = Outbound { route, next };
                assert_eq!(outbound(act, state), expected, "{act:?} in {state}");
            }
        }
    }

    #[test]
    fn stanzas_that_the_contact_sends_follow_tables_6_to_9() {
        for (act, table) in INBOUND {
            for row in rows(table) {
                let state = named(row[0]);
                let expected = Inbound {
                    deliver: row[1] == "MUST",
                    next: match row[2] {
                        "-" => state,
                        name => named(name),
                    },
                    reply: match row.get(3) {
                        None => None,
                        Some(&"subscribed") => Some(Act::Subscribed),
                        Some(&"unsubscribed") => Some(Act::Unsubscribed),
                        Some(other) => panic!("no reply {other:?}"),
                    },
                };
                assert_eq!(inbound(act, state), expected, "{act:?} in {state}");
            }
        }
    }

    #[test]
    fn a_request_that_was_approved_in_advance_is_answered_and_not_delivered() {
        // RFC 6121 §3.4.2, §A.3.1 note 1
        for name in ["None", "None + Pending Out", "To"] {
            let before = named(name);
            let approved = outbound(Act::Subscribed, before).next;
            assert!(approved.approved);
            let step = inbound(Act::Subscribe, approved);
            assert!(!step.deliver);
            assert_eq!(step.reply, Some(Act::Subscribed));
            assert_eq!((step.next.to, step.next.from), (before.to, Grade::Granted));
            // "until and unless the user sends a presence stanza of type "unsubscribed""
            assert!(step.next.approved);
            let withdrawn = outbound(Act::Unsubscribed, approved);
            assert_eq!((withdrawn.route, withdrawn.next), (false, before));
        }
    }

    #[test]
    fn nothing_but_the_user_takes_an_approval_back() {
        // RFC 6121 §4.3.2: "this MUST NOT result in cancellation of a subscription pre-approval"
        for state in states() {
            let approved = State {
                approved: true,
                ..state
            };
            for act in ACTS {
                assert!(inbound(act, approved).next.approved);
                let kept = outbound(act, approved).next.approved;
                assert_eq!(kept, act != Act::Unsubscribed);
            }
        }
    }

    #[test]
    fn every_state_survives_its_roster_item() {
        for state in states() {
            for approved in [false, true] {
                let state = State { approved, ..state };
                let mut item = RosterItem::new("juliet@example.com".parse().unwrap());
                state.record(&mut item, Some("<presence/>"));
                assert_eq!(State::of(Some(&item)), state);
                state.record(&mut item, None);
                assert_eq!(State::of(Some(&item)), state, "the request is kept");
            }
        }
    }
}

//! Those who seem to be there, and are not (XEP-0045 §18.1.2, §11.1).

use xmpp_core::stanza::{Condition, IqType, Kind, MessageType, Payload, Stanza, StanzaError};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{FullJid, Jid};

use super::presence::{Notice, occupant_id};
use super::{Room, Turn};

/// What an error says of whom it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// They are gone.
    Gone,
    /// They are gone, or do not take messages of this sender.
    Unwilling,
    /// They are there, and were not told this.
    Behind,
    /// They are there.
    There,
}

impl Room {
    /// A stanza that was sent to somebody came back with an error.
    pub(super) fn bounced(&mut self, stanza: &Stanza, from: &Jid, to: &Jid, turn: &mut Turn<'_>) {
        let Some(error) = stanza.error() else {
            return;
        };
        let is_message = stanza.kind() == Kind::Message(MessageType::Error);
        let private = is_message
            && to
                .as_full()
                .is_some_and(|to| self.returned(stanza, from, &to, turn));
        let gone = match meaning(&error) {
            Meaning::Gone => true,
            Meaning::Unwilling => !private,
            // They would go on without what was said, and never know. Who is out of the room learns that (XEP-0410), and gets what they have missed when
            // they enter again.
            Meaning::Behind => is_message && !private,
            Meaning::There => false,
        };
        if gone {
            self.lost(from, turn);
        }
    }

    /// An answer to a request from one occupant to another, which is an error.
    pub(super) fn failed(&mut self, stanza: &Stanza, from: &Jid, turn: &mut Turn<'_>) {
        debug_assert_eq!(stanza.kind(), Kind::Iq(IqType::Error));
        use Condition::{RemoteServerNotFound, RemoteServerTimeout};
        // Others may be what a client itself has to say.
        let of_a_server = |error: StanzaError| {
            matches!(error.condition, RemoteServerNotFound | RemoteServerTimeout)
        };
        if stanza.error().is_some_and(of_a_server) {
            self.lost(from, turn);
        }
    }

    /// §18.1.2: "it must treat the user as if the user had itself sent unavailable presence"; §11.1: with 333.
    fn lost(&mut self, jid: &Jid, turn: &mut Turn<'_>) {
        self.depart(jid, &Notice::code(333), turn);
    }

    /// The error for a private message, back to who sent it. Whether it is one.
    fn returned(&self, stanza: &Stanza, from: &Jid, to: &FullJid, turn: &mut Turn<'_>) -> bool {
        let recipient = self
            .occupants
            .of(from)
            .and_then(|seat| self.occupants.get(seat));
        let Some(recipient) = recipient else {
            return false;
        };
        let sender = stanza
            .id()
            .and_then(|id| self.sent.sender(id, to, &recipient.id));
        let Some((sender, elsewhere)) = sender else {
            return false;
        };
        let payload = nameless(&self.clean(stanza.payload()));
        let error = stanza.clone().with_from(None).with_to(None);
        if elsewhere {
            self.pass_on(recipient, sender, from, error.with_payload(payload), turn);
            return true;
        }
        let error = error
            .with_from(Jid::from(&recipient.address))
            .with_to(sender.clone())
            .with_payload(payload.with(&occupant_id(&recipient.id)));
        turn.send(error);
        true
    }
}

/// An error from an occupant without what would say who they really are: who reports it, and where they are now.
pub(super) fn nameless(payload: &Payload) -> Payload {
    let Some(child) = payload.child("error", CLIENT) else {
        return payload.clone();
    };
    let mut error = StanzaError::from_element(&child.element());
    (error.by, error.address) = (None, None);
    let payload = payload.without(|child| child.is("error", CLIENT));
    payload.with(&error.to_element())
}

/// §18.1.2: "the delivery-related errors are <gone/>, <item-not-found/>, <recipient-unavailable/>, <redirect/>,
/// <remote-server-not-found/>, and <remote-server-timeout/>". RFC 6121 §8.5.3.2.3 has one more for a session that is no more:
/// "If the 'type' attribute [...] is "groupchat" [...] <service-unavailable/>"; which is also what one hears who is blocked
/// (XEP-0191 §3.4).
fn meaning(error: &StanzaError) -> Meaning {
    use Condition::*;
    let blocks = |extra: &Element| extra.is("blocked", "urn:xmpp:blocking:errors");
    match error.condition {
        Gone | ItemNotFound | RecipientUnavailable | Redirect | RemoteServerNotFound
        | RemoteServerTimeout => Meaning::Gone,
        ServiceUnavailable if error.extra.as_deref().is_some_and(blocks) => Meaning::There,
        ServiceUnavailable => Meaning::Unwilling,
        ResourceConstraint => Meaning::Behind,
        _ => Meaning::There,
    }
}

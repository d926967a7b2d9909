//! What is said to one alone, on its way from node to node (§5.11 of the design).

use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, Stanza, StanzaError};
use xmpp_core::xml::ns::CLIENT;

use super::crowd::Via;
use super::link::{NOT_PRIVATE, Speech, at};
use super::local::portable;
use super::node::{Node, Output, Turn};
use super::parent::State;
use crate::room;

impl Node {
    /// Somebody here says something to one who is elsewhere.
    pub(super) fn whisper_out(
        &mut self,
        by: &Jid,
        nick: &str,
        sender: &Jid,
        to: &Jid,
        message: &Stanza,
        turn: &mut Turn<'_>,
    ) {
        if let Err(condition) = self.pass_private(by, nick, to, message, turn) {
            let named = self.crowd.get(to).map(|known| known.occupant.nick.clone());
            let asked = message
                .clone()
                .with_from(sender.clone())
                .with_to(at(self.room.jid(), &named.unwrap_or_default()));
            let error = StanzaError::new(condition).with_by(Jid::from(self.room.jid()));
            if let Some(reply) = asked.error_reply(&error) {
                turn.out.push(Output::Room(room::Output::Send(reply)));
            }
        }
    }

    /// Somebody behind a link says something to one alone.
    pub(super) fn take_private(
        &mut self,
        via: &Via,
        author: &Jid,
        stanza: &Stanza,
        turn: &mut Turn<'_>,
    ) {
        if self.crowd.get(author).is_none_or(|known| known.via != *via) {
            return;
        }
        let nick = stanza
            .to()
            .and_then(Jid::resource)
            .unwrap_or_default()
            .to_owned();
        // Under another nick there than here (N6 of the design).
        let named = self
            .link_ref(via)
            .and_then(|link| link.announced.named(&nick));
        let nick = match named.and_then(|jid| self.crowd.get(jid)) {
            Some(known) => known.occupant.nick.clone(),
            None => nick,
        };
        let message = portable(stanza);
        let done = match self.room.holder(&nick) {
            None => Err(Condition::ItemNotFound),
            // Not back to where it comes from.
            Some((holder, _)) if self.crowd.get(&holder).is_some_and(|to| to.via == *via) => {
                Err(Condition::ItemNotFound)
            }
            Some((holder, _)) => {
                let here = self
                    .crowd
                    .get(&holder)
                    .is_none_or(|known| known.via == Via::Here);
                match here {
                    true => self.in_room(turn, |room, now, out| {
                        let done = room.whisper_in(author, &nick, &message, now, out);
                        done.map_err(|error| error.condition)
                    }),
                    false => {
                        let known = self.crowd.get(author);
                        let nick = known.map(|known| known.occupant.nick.clone());
                        self.pass_private(
                            author,
                            &nick.unwrap_or_default(),
                            &holder,
                            &message,
                            turn,
                        )
                    }
                }
            }
        };
        if let Err(condition) = done {
            self.return_private(via, author, stanza, condition, turn);
        }
    }

    /// A private message of ours, or one that has passed here, was not delivered.
    pub(super) fn private_returned(&mut self, via: &Via, stanza: &Stanza, turn: &mut Turn<'_>) {
        let (Some(from), Some(to)) = (
            stanza.from().and_then(Jid::resource),
            stanza.to().and_then(Jid::resource),
        ) else {
            return;
        };
        let Some((holder, _)) = self.room.holder(to) else {
            return;
        };
        let Some(known) = self.crowd.get(&holder) else {
            return;
        };
        let (to_via, there) = (known.via.clone(), known.nick_there.clone());
        if to_via == *via {
            return;
        }
        // It speaks of a message to somebody behind it, or to one whom it does not know (any more); of nobody else.
        let named = self
            .crowd
            .behind(via)
            .find(|known| known.nick_there == from);
        let from = match named {
            Some(known) => known.occupant.nick.clone(),
            None if self.room.holder(from).is_none() => from.to_owned(),
            None => return,
        };
        let payload = stanza.payload().without(|child| !child.is("error", CLIENT));
        let stanza = &stanza.clone().with_payload(payload);
        if to_via == Via::Here {
            let error = stanza
                .clone()
                .with_from(at(self.room.jid(), &from))
                .with_to(holder);
            turn.out.push(Output::Room(room::Output::Send(error)));
        } else if let Some(link) = self.link(&to_via) {
            let error = link.write_private(&holder, &from, &there, stanza);
            turn.send(&*link, error, None);
        }
    }

    fn pass_private(
        &mut self,
        by: &Jid,
        nick: &str,
        to: &Jid,
        message: &Stanza,
        turn: &mut Turn<'_>,
    ) -> Result<(), Condition> {
        let known = self.crowd.get(to).ok_or(Condition::ItemNotFound)?;
        let (via, there) = (known.via.clone(), known.nick_there.clone());
        let away = self.splits.has(&via)
            || (via == Via::Parent
                && self
                    .parent
                    .as_ref()
                    .is_some_and(|parent| parent.state != State::Joined));
        let link = self.link(&via).ok_or(Condition::ItemNotFound)?;
        if link.speech == Speech::Openfire {
            return Err(NOT_PRIVATE);
        }
        if away {
            return Err(Condition::RecipientUnavailable);
        }
        if let Some(introduction) = link.pace.introduction(by) {
            for stanza in link.write(&introduction) {
                turn.send(&*link, stanza, introduction.dot.as_ref());
            }
        }
        let stanza = link.write_private(by, nick, &there, message);
        turn.send(&*link, stanza, None);
        Ok(())
    }

    fn return_private(
        &mut self,
        via: &Via,
        author: &Jid,
        stanza: &Stanza,
        condition: Condition,
        turn: &mut Turn<'_>,
    ) {
        let Some(error) = stanza.error_reply(&StanzaError::new(condition)) else {
            return;
        };
        let payload = error
            .payload()
            .without(|child| !child.is("error", xmpp_core::xml::ns::CLIENT));
        let fmuc = super::Fmuc::from(author.clone()).to_element();
        let error = error.with_payload(payload).with_child(&fmuc);
        if let Some(link) = self.link(via) {
            turn.send(&*link, error, None);
        }
    }
}

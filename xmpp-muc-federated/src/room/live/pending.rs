//! What is under way in a room, or has an effect for a while.

use super::super::invite::Invitations;
use super::super::private::{Sender, Sent};
use super::super::rate::Rates;
use super::super::relay::{Request, Requests};
use super::super::voice::VoiceRequests;
use super::*;

impl Rates {
    pub(super) fn write(&self, now: Now) -> impl Iterator<Item = Element> {
        let spent = self
            .full
            .iter()
            .filter(move |(_, full)| **full > now.instant);
        sorted(spent).map(move |(user, full)| {
            let rate = element("rate").with_attr("jid", user.as_str());
            rate.with_attr("full", &ahead(*full, now))
        })
    }

    pub(super) fn add(&mut self, element: &Element, now: Now) -> Result<(), RecordError> {
        let full = instant_ahead(wanted(element, "full")?, now)?;
        self.full.insert(parsed(wanted(element, "jid")?)?, full);
        Ok(())
    }
}

impl Sent {
    /// The oldest first.
    pub(super) fn write(&self) -> Vec<Element> {
        let sent = self.order.iter().filter_map(|key| {
            let sender = self.senders.get(key)?;
            let mut sent = element("sent").with_attr("jid", sender.jid.as_str());
            sent.set_attr("elsewhere", sender.elsewhere.then_some("1"));
            Some(sent.with_attr("key", &u128::from_be_bytes(*key).to_string()))
        });
        sent.collect()
    }

    pub(super) fn add(&mut self, element: &Element) -> Result<(), RecordError> {
        let key: u128 = parsed(wanted(element, "key")?)?;
        let sender = Sender {
            jid: jid(element)?,
            elsewhere: element.attr("elsewhere").is_some(),
        };
        self.note(key.to_be_bytes(), sender);
        Ok(())
    }
}

impl Requests {
    /// Those that wait, the oldest first.
    pub(super) fn write(&self, now: Now) -> Vec<Element> {
        let all = self.order.iter().filter_map(|(until, name)| {
            let waits = self.waiting.get(name)?;
            Some(
                element("request")
                    .with_attr("name", name)
                    .with_attr("until", &ahead(*until, now))
                    .with_attr("jid", waits.from.as_str())
                    .with_attr("id", &waits.id)
                    .with_attr("asked", waits.asked.as_str())
                    .with_attr("of", waits.real.as_str()),
            )
        });
        all.collect()
    }

    pub(super) fn add(&mut self, element: &Element, now: Now) -> Result<(), RecordError> {
        let request = Request {
            from: jid(element)?,
            id: wanted(element, "id")?.into(),
            asked: parsed(wanted(element, "asked")?)?,
            real: parsed(wanted(element, "of")?)?,
        };
        let until = instant_ahead(wanted(element, "until")?, now)?;
        self.insert(wanted(element, "name")?.into(), request, until);
        Ok(())
    }
}

impl Invitations {
    /// The oldest first.
    pub(super) fn write(&self) -> impl Iterator<Item = Element> {
        self.last.iter().map(|(inviter, invitee)| {
            let invitation = element("invitation").with_attr("from", inviter.as_str());
            invitation.with_attr("to", invitee.as_str())
        })
    }

    pub(super) fn add(&mut self, element: &Element) -> Result<(), RecordError> {
        let inviter = parsed(wanted(element, "from")?)?;
        self.note(inviter, parsed(wanted(element, "to")?)?);
        Ok(())
    }
}

impl VoiceRequests {
    pub(super) fn write(&self, now: Now) -> impl Iterator<Item = Element> {
        sorted(self.asked.iter()).map(move |(user, at)| {
            let ago = now.instant.saturating_duration_since(*at).as_nanos();
            let asked = element("asked").with_attr("jid", user.as_str());
            asked.with_attr("ago", &ago.to_string())
        })
    }

    /// One that is older than this machine was not lately.
    pub(super) fn add(&mut self, element: &Element, now: Now) -> Result<(), RecordError> {
        let ago = Duration::from_nanos(parsed(wanted(element, "ago")?)?);
        if let Some(at) = now.instant.checked_sub(ago) {
            self.asked.insert(parsed(wanted(element, "jid")?)?, at);
        }
        Ok(())
    }
}

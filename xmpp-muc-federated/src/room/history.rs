//! The discussion history (XEP-0045 §7.2.13, §7.2.14).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use xmpp_core::stanza::{Child, Stanza};
use xmpp_core::time::Timestamp;
use xmpp_core::xml::{Element, escape_attr};
use xmpp_core::{BareJid, Jid};

use crate::ns;
use crate::store::StoredMessage;

/// The newest messages of a room, as they are sent to those who enter.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) kept: VecDeque<Kept>,
    /// Of all that are kept.
    pub(super) bytes: usize,
    /// Messages since the store was last told how many are of use.
    pub(super) untold: usize,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) at: Timestamp,
    /// Without `to`, with its stamp.
    pub(super) stanza: Arc<Stanza>,
    pub(super) bytes: usize,
    chars: usize,
}

/// How much of it somebody wants (§7.2.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    chars: Option<usize>,
    stanzas: Option<usize>,
    since: Option<Timestamp>,
}

impl History {
    /// What was stored, the oldest first.
    pub(super) fn restore(room: &BareJid, stored: &[StoredMessage], bounds: Bounds) -> History {
        let mut history = History::default();
        for message in stored {
            if let Ok(stanza) = Stanza::restore(&message.xml) {
                history.push(stamped(room, &stanza, message.at), message.at, bounds);
            }
        }
        // What is too much may be in the store yet: the next message has the rest go.
        history.untold = stored.len();
        history
    }

    /// What there is to store of a room that becomes persistent, the oldest first.
    pub(super) fn stored(&self, room: &BareJid) -> impl Iterator<Item = StoredMessage> {
        let ours = |child: &Child<'_>| {
            child.is("stanza-id", ns::STANZA_ID)
                && child.attr("by").as_deref() == Some(room.as_str())
        };
        self.kept.iter().filter_map(move |kept| {
            let payload = kept.stanza.payload();
            let id = payload.children().find(ours)?.attr("id")?.into_owned();
            let storable = !payload.has("no-permanent-store", ns::HINTS);
            storable.then(|| StoredMessage {
                id,
                at: kept.at,
                xml: kept.stanza.to_string(),
            })
        })
    }

    /// One more, which is stamped, among those of its time: it may come late from elsewhere. The oldest go.
    pub(super) fn push(&mut self, stanza: Stanza, at: Timestamp, bounds: Bounds) {
        let kept = Kept::new(stanza, at);
        if kept.bytes > bounds.bytes {
            return;
        }
        self.untold += 1;
        self.bytes += kept.bytes;
        let before = self.kept.iter().rev().take_while(|kept| kept.at > at);
        let place = self.kept.len() - before.count();
        self.kept.insert(place, kept);
        self.trim(bounds);
    }

    /// The oldest go.
    pub(super) fn trim(&mut self, bounds: Bounds) {
        while self.kept.len() > bounds.messages || self.bytes > bounds.bytes {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }

    /// Of all that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is time to tell the store how many messages are of use: once for as many as those.
    pub(super) fn is_due(&mut self, bounds: Bounds) -> bool {
        let due = self.untold >= bounds.messages.max(1);
        if due {
            self.untold = 0;
        }
        due
    }

    /// What one who enters gets, the oldest first, at most `most` messages: §7.2.14: "the smallest amount of traffic that meets
    /// any combination of the above criteria".
    pub(super) fn recall(&self, wanted: Wanted, most: usize, to: &Jid) -> Vec<Arc<Stanza>> {
        let mut attribute = Vec::from(*b" to=''");
        escape_attr(to.as_str(), &mut attribute);
        let to = String::from_utf8_lossy(&attribute).chars().count();
        let newest = self.kept.iter().rev();
        let count = wanted.count(newest.map(|kept| (kept.at, kept.chars + to)), most);
        let oldest = self.kept.len() - count;
        let all = self.kept.range(oldest..);
        all.map(|kept| kept.stanza.clone()).collect()
    }
}

impl Kept {
    pub(super) fn new(stanza: Stanza, at: Timestamp) -> Kept {
        let text = stanza.to_string();
        Kept {
            at,
            stanza: Arc::new(stanza),
            bytes: text.len(),
            chars: text.chars().count(),
        }
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Wanted {
    /// How many of these are wanted, at most `most`: when each was said and the characters that it costs, the newest first.
    pub(crate) fn count(
        self,
        newest: impl Iterator<Item = (Timestamp, usize)>,
        most: usize,
    ) -> usize {
        let mut chars = self.chars.unwrap_or(usize::MAX);
        let fits = |(at, cost): &(Timestamp, usize)| {
            // "MUST send the largest number of complete stanzas that results in a number of characters less than or equal to the
            // 'maxchars' value"
            match chars.checked_sub(*cost) {
                Some(left) if self.since.is_none_or(|since| *at >= since) => chars = left,
                _ => return false,
            }
            true
        };
        let newest = newest.take(self.stanzas.unwrap_or(most).min(most));
        newest.take_while(fits).count()
    }

    /// What `<history/>` says. A value that is none says nothing.
    pub(crate) fn read(history: &Element, now: Timestamp) -> Wanted {
        let number = |name| history.attr(name)?.trim().parse::<usize>().ok();
        let ago = |seconds: usize| {
            let ago = Duration::from_secs(seconds as u64).as_millis();
            Timestamp(now.0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX)))
        };
        let since = history.attr("since").and_then(|at| at.trim().parse().ok());
        Wanted {
            chars: number("maxchars"),
            stanzas: number("maxstanzas"),
            since: since.max(number("seconds").map(ago)),
        }
    }
}

/// §7.2.13: "messages MUST be stamped [...] The 'from' attribute MUST be set to the JID of the room itself."
///
/// The stamp takes the place of others: who was in the room has seen them, and who reads the history wants one.
pub(crate) fn stamped(room: &BareJid, stanza: &Stanza, at: Timestamp) -> Stanza {
    let payload = stanza
        .payload()
        .without(|child| child.is("delay", ns::DELAY));
    let stamp = Element::new("delay", ns::DELAY)
        .with_attr("from", room.as_str())
        .with_attr("stamp", &at.to_string());
    stanza.clone().with_payload(payload.with(&stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        messages: 5,
        bytes: 2000,
    };

    fn room() -> BareJid {
        "coven@chat.shakespeare.lit".parse().unwrap()
    }

    fn message(body: &str, at: i64) -> Stanza {
        let xml = format!(
            "<message from='coven@chat.shakespeare.lit/hag' type='groupchat'><body>{body}</body></message>"
        );
        stamped(&room(), &Stanza::parse(&xml).unwrap(), Timestamp(at))
    }

    fn history(messages: i64) -> History {
        let mut history = History::default();
        for n in 1..=messages {
            history.push(
                message(&n.to_string(), n * 1000),
                Timestamp(n * 1000),
                BOUNDS,
            );
        }
        history
    }

    fn recalled(history: &History, wanted: &str) -> String {
        let wanted = format!("<history xmlns='{}' {wanted}/>", ns::MUC);
        let wanted = Wanted::read(&Element::parse(&wanted).unwrap(), Timestamp(6000));
        let to = "hecate@shakespeare.lit/broom".parse().unwrap();
        let body = |stanza: Arc<Stanza>| {
            stanza
                .to_element()
                .child("body", "jabber:client")
                .unwrap()
                .text()
                .into_owned()
        };
        let all = history.recall(wanted, 4, &to);
        all.into_iter().map(body).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_smallest_of_what_is_allowed_and_wanted_is_sent() {
        let history = history(6);
        for (wanted, sent) in [
            ("", "3 4 5 6"),
            ("maxstanzas='2'", "5 6"),
            ("maxstanzas='20'", "3 4 5 6"),
            ("maxstanzas='0'", ""),
            ("maxchars='0'", ""),
            ("seconds='1'", "5 6"),
            ("since='1970-01-01T00:00:04Z'", "4 5 6"),
            ("since='1970-01-01T00:00:04Z' seconds='1'", "5 6"),
            ("since='1970-01-01T00:00:05Z' seconds='100'", "5 6"),
            ("since='1970-01-01T00:00:04Z' maxstanzas='1'", "6"),
            ("seconds='99999999999999999999'", "3 4 5 6"),
            ("maxstanzas='-1' since='yesterday'", "3 4 5 6"),
        ] {
            assert_eq!(recalled(&history, wanted), sent, "{wanted}");
        }
    }

    #[test]
    fn characters_are_those_of_whole_stanzas() {
        let history = history(3);
        let to = "hecate@shakespeare.lit/broom".parse::<Jid>().unwrap();
        let whole = message("1", 1000).with_to(to).to_string().chars().count();
        for (chars, sent) in [
            (whole - 1, ""),
            (whole, "3"),
            (2 * whole - 1, "3"),
            (2 * whole, "2 3"),
            (3 * whole, "1 2 3"),
        ] {
            assert_eq!(recalled(&history, &format!("maxchars='{chars}'")), sent);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_messages_and_bytes() {
        let mut history = history(20);
        assert_eq!(history.kept.len(), 5);
        assert_eq!(
            history.bytes,
            history.kept.iter().map(|kept| kept.bytes).sum()
        );
        history.push(
            message(&"x".repeat(1500), 21_000),
            Timestamp(21_000),
            BOUNDS,
        );
        assert_eq!(history.kept.len(), 2);
        history.push(
            message(&"x".repeat(2500), 21_000),
            Timestamp(21_000),
            BOUNDS,
        );
        assert_eq!(history.kept.len(), 2);
        assert!(history.bytes <= BOUNDS.bytes);
    }

    #[test]
    fn what_was_stored_is_what_was_kept() {
        let stored: Vec<_> = (1..=3)
            .map(|n| StoredMessage {
                id: n.to_string(),
                at: Timestamp(n * 1000),
                xml: format!(
                    "<message from='{}/hag' type='groupchat'><body>{n}</body></message>",
                    room()
                ),
            })
            .collect();
        let restored = History::restore(&room(), &stored, BOUNDS);
        let all = |history: &History| -> Vec<_> {
            history
                .kept
                .iter()
                .map(|kept| kept.stanza.to_string())
                .collect()
        };
        assert_eq!(all(&restored), all(&history(3)));
    }

    #[test]
    fn a_stamp_of_the_room_replaces_others() {
        let xml = "<message><delay xmlns='urn:xmpp:delay' stamp='2002-10-13T23:58:37Z'/><body>a</body></message>";
        let stamped = stamped(&room(), &Stanza::parse(xml).unwrap(), Timestamp(0));
        assert_eq!(
            stamped.to_string(),
            "<message><body>a</body><delay xmlns='urn:xmpp:delay' from='coven@chat.shakespeare.lit' stamp='1970-01-01T00:00:00Z'/></message>"
        );
    }
}

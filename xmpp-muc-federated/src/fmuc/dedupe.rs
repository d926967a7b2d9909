//! What was said already, on links where nothing has a name (§5.6 of the design, D5).
//!
//! What one room tells another one as history may be known there: it was said before the link was down, or it is what that one has said itself. A message is known by
//! the id that the peer's room has given it (XEP-0359), by its author and its own id, or else by its author, what is said, and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use xmpp_core::stanza::Stanza;
use xmpp_core::time::Timestamp;
use xmpp_core::xml::ns::CLIENT;

use crate::ns;

/// How far the time of history may be from that at which the same message came here as it was said.
const SKEW_MS: u64 = 60_000;

/// The messages that were said lately.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    all: VecDeque<(Instant, Keys)>,
    ids: BTreeMap<Digest, u32>,
    texts: BTreeMap<Digest, Vec<When>>,
}

type Digest = [u8; 16];

/// By what a message is known.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    ids: Vec<Digest>,
    text: Option<(Digest, When)>,
}

/// When something was said, and whether that is told or was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Told(Timestamp),
    Seen(Timestamp),
}

impl Keys {
    /// Those of a message; `names` are the names of its author there.
    pub(super) fn of(
        peer: &str,
        names: &[&str],
        message: &Stanza,
        told: Option<Timestamp>,
        now: Timestamp,
    ) -> Keys {
        let payload = message.payload();
        let mut ids = Vec::new();
        let given = payload
            .children()
            .filter(|child| child.is("stanza-id", ns::STANZA_ID));
        for one in given.take(8) {
            if one.attr("by").as_deref() == Some(peer)
                && let Some(id) = one.attr("id")
            {
                ids.push(digest(&["given", peer, &id]));
            }
        }
        if let Some(id) = message.id() {
            ids.extend(names.iter().map(|name| digest(&["id", name, id])));
        }
        let body = payload.child("body", CLIENT).map(|body| body.element());
        let text = body.map(|body| {
            let when = told.map_or(When::Seen(now), When::Told);
            // The last of the names is the nick, which everybody knows.
            let name = names.last().copied().unwrap_or_default();
            (digest(&["text", name, &body.text()]), when)
        });
        Keys {
            text: text.filter(|_| message.id().is_none()),
            ids,
        }
    }
}

impl Dedupe {
    /// Notes a message. Whether it was noted before.
    pub(super) fn again(&mut self, keys: Keys, most: usize, age: Duration, now: Instant) -> bool {
        while let Some((at, _)) = self.all.front()
            && (self.all.len() >= most.max(1) || *at + age <= now)
        {
            if let Some((_, keys)) = self.all.pop_front() {
                self.forget(&keys);
            }
        }
        if self.knows(&keys) {
            return true;
        }
        for id in &keys.ids {
            *self.ids.entry(*id).or_default() += 1;
        }
        if let Some((text, when)) = keys.text {
            self.texts.entry(text).or_default().push(when);
        }
        self.all.push_back((now, keys));
        false
    }

    fn knows(&self, keys: &Keys) -> bool {
        let by_text = |(text, when): &(Digest, When)| {
            let known = self.texts.get(text);
            known.is_some_and(|all| all.iter().any(|one| one.is_same(*when)))
        };
        keys.ids.iter().any(|id| self.ids.contains_key(id))
            || keys.text.as_ref().is_some_and(by_text)
    }

    fn forget(&mut self, keys: &Keys) {
        for id in &keys.ids {
            if let Some(count) = self.ids.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.ids.remove(id);
                }
            }
        }
        if let Some((text, when)) = &keys.text
            && let Some(all) = self.texts.get_mut(text)
        {
            if let Some(at) = all.iter().position(|one| one == when) {
                all.remove(at);
            }
            if all.is_empty() {
                self.texts.remove(text);
            }
        }
    }
}

impl When {
    /// Two that were both seen are two: somebody says "ok" twice. What is told is exact, and may have been seen somewhat earlier or later.
    fn is_same(self, other: When) -> bool {
        match (self, other) {
            (When::Seen(_), When::Seen(_)) => false,
            (When::Told(one), When::Told(other)) => one.0 / 1000 == other.0 / 1000,
            (When::Told(told), When::Seen(seen)) | (When::Seen(seen), When::Told(told)) => {
                told.0.abs_diff(seen.0) <= SKEW_MS
            }
        }
    }
}

fn digest(parts: &[&str]) -> Digest {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(part.as_bytes());
        sum.update([0]);
    }
    let sum = sum.finalize();
    std::array::from_fn(|at| sum[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(600);

    fn keys(stanza: &str, told: Option<i64>) -> Keys {
        let stanza = Stanza::parse(stanza).unwrap();
        let told = told.map(|seconds| Timestamp(seconds * 1000));
        Keys::of("r@a", &["u@a/x", "U"], &stanza, told, Timestamp(100_000))
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_message_is_known_by_any_of_its_names() {
        let now = Instant::now();
        let mut seen = Dedupe::default();
        let mut again = |stanza: &str, told| seen.again(keys(stanza, told), 100, AGE, now);
        let given = |id, by| {
            format!(
                "<message id='{id}'><body>b</body><stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='7'/></message>"
            )
        };
        assert!(!again("<message id='1'><body>a</body></message>", None));
        assert!(again("<message id='1'><body>a</body></message>", Some(99)));
        assert!(!again("<message id='2'><body>a</body></message>", Some(99)));
        assert!(!again(&given("3", "r@a"), None));
        assert!(again(&given("4", "r@a"), Some(1)));
        assert!(!again(&given("5", "r@other"), Some(1)));
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn without_an_id_only_history_repeats_what_was_said() {
        let now = Instant::now();
        let mut seen = Dedupe::default();
        let mut again = |told| {
            seen.again(
                keys("<message><body>ok</body></message>", told),
                100,
                AGE,
                now,
            )
        };
        assert!(!again(None) && !again(None));
        assert!(again(Some(100)) && again(Some(159)));
        assert!(!again(Some(161)) && again(Some(161)) && !again(Some(162)));
    }

    /// At most so many, and no longer than so long.
    #[test]
    #[allow(clippy::disallowed_methods)]
    fn what_is_old_is_forgotten() {
        let start = Instant::now();
        let mut seen = Dedupe::default();
        let mut again = |id: u32, after| {
            let stanza = format!("<message id='{id}'/>");
            seen.again(keys(&stanza, None), 2, AGE, start + after)
        };
        assert!(!again(1, Duration::ZERO) && again(1, AGE / 2) && !again(1, AGE));
        assert!(!again(2, AGE) && !again(3, AGE) && again(3, AGE) && !again(1, AGE));
        assert!(seen.all.len() <= 2 && seen.ids.len() <= 4);
    }
}

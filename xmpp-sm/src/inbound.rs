//! What has been received, and what of it is handled.

use std::collections::VecDeque;

use crate::counter::Counter;

/// Stanzas handled after which the other side is told without having asked.
const UNTOLD: u32 = 64;

/// What one side has received: the count of what it answers for.
///
/// XEP-0198 §4: "By 'handled' we mean that the server has accepted responsibility for a stanza". What is received is
/// counted when it is settled, and in order: a stanza that is settled before an earlier one is counted with it.
#[derive(Debug, Default)]
pub struct Inbound {
    handled: Counter,
    /// Those received after `handled`, and whether they are settled; the first is not.
    open: VecDeque<bool>,
    /// The count that was told last.
    told: Counter,
    /// An answer that was given before all that had been received was handled: the count
    /// that is to be told when it is reached.
    owed: Option<Counter>,
    /// No more than this is told, though more is handled.
    bound: Option<Counter>,
}

impl Inbound {
    /// What was there before: so many were handled.
    pub fn restored(handled: Counter) -> Inbound {
        Inbound {
            handled,
            told: handled,
            ..Inbound::default()
        }
    }

    /// A stanza was received; gives its number. It is settled by the next [`settled`](Inbound::settled) that none
    /// before it has used up.
    pub fn received(&mut self) -> Counter {
        self.open.push_back(false);
        self.handled.plus(self.open.len() as u32)
    }

    /// The stanza that was received last is dealt with already.
    pub fn answered(&mut self) {
        if let Some(last) = self.open.back_mut() {
            *last = true;
        }
        self.advance();
    }

    /// The oldest stanza that is not settled is.
    pub fn settled(&mut self) {
        if let Some(first) = self.open.iter_mut().find(|settled| !**settled) {
            *first = true;
        }
        self.advance();
    }

    /// How many are handled: `h`.
    pub fn count(&self) -> Counter {
        self.handled
    }

    /// How many are received, but not handled.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The other side asks. Gives the count to tell at once; if that is not all that was received, the rest is owed.
    pub fn asked(&mut self) -> Counter {
        if !self.open.is_empty() || self.bound.is_some() {
            self.owed = Some(self.handled.plus(self.open.len() as u32));
        }
        self.tell()
    }

    /// No more than this is to be told for now, though more is handled; or all may be.
    pub fn bound(&mut self, bound: Option<Counter>) {
        self.bound = bound;
    }

    /// How many may be told as handled.
    fn tellable(&self) -> Counter {
        self.bound.unwrap_or(self.handled)
    }

    /// The count to tell with what is about to be flushed, if it is worth it.
    pub fn due(&mut self) -> Option<Counter> {
        let owed = self
            .owed
            .is_some_and(|owed| self.tellable().since(owed).is_some());
        let untold = self.tellable().since(self.told).unwrap_or_default();
        (owed || untold >= UNTOLD).then(|| self.tell())
    }

    /// The count to tell at the end, unless it has been told.
    pub fn last_word(&mut self) -> Option<Counter> {
        (self.told != self.tellable()).then(|| self.tell())
    }

    /// The count is being told.
    pub fn tell(&mut self) -> Counter {
        if self
            .owed
            .is_some_and(|owed| self.tellable().since(owed).is_some())
        {
            self.owed = None;
        }
        self.told = self.tellable();
        self.told
    }

    fn advance(&mut self) {
        while self.open.front() == Some(&true) {
            self.open.pop_front();
            self.handled = self.handled.plus(1);
        }
        if self.open.is_empty() {
            // An idle stream keeps no memory.
            self.open = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_count_in_order_and_when_they_are_settled() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.received(), Counter(1));
        assert_eq!(inbound.received(), Counter(2));
        inbound.answered();
        assert_eq!(inbound.count(), Counter(0), "the first is not settled");
        inbound.settled();
        assert_eq!(inbound.count(), Counter(2));
        assert_eq!(inbound.open(), 0);
        inbound.settled();
        assert_eq!(inbound.count(), Counter(2), "there was none");
    }

    /// XEP-0198 §4: "The response … MUST NOT be withheld for any condition other than a timeout."
    #[test]
    fn a_request_is_answered_at_once_and_the_rest_is_owed() {
        let mut inbound = Inbound::default();
        inbound.received();
        inbound.received();
        inbound.settled();
        assert_eq!(inbound.asked(), Counter(1));
        assert_eq!(inbound.due(), None);
        inbound.received();
        inbound.settled();
        assert_eq!(
            inbound.due(),
            Some(Counter(2)),
            "what it asked for is handled"
        );
        inbound.settled();
        assert_eq!(inbound.due(), None, "it has not asked for that");
        assert_eq!(inbound.last_word(), Some(Counter(3)));
        assert_eq!(inbound.last_word(), None);
    }

    #[test]
    fn whoever_never_asks_is_told_now_and_then() {
        let mut inbound = Inbound::restored(Counter(u32::MAX));
        for n in 1..=UNTOLD {
            assert_eq!(inbound.due(), None, "{n}");
            inbound.received();
            inbound.settled();
        }
        assert_eq!(inbound.due(), Some(Counter(UNTOLD - 1)));
        assert_eq!(inbound.due(), None);
    }
}

//! What a client knows of a stream that outlives its connections (XEP-0198).
//!
//! This is a model of its own, as plain as can be: the server's counters are judged by it.

use std::collections::VecDeque;

use crate::xml::{Tree, escaped};

/// The namespace.
pub const SM: &str = "urn:xmpp:sm:3";
/// Stanzas that are kept for when the stream is resumed at most; a client says no more until
/// some of them are acknowledged.
pub const KEPT: usize = 500;

/// Both counts of a client, what it has said that is not acknowledged, and what its stream is
/// called. `T` is what it remembers of a stanza.
#[derive(Debug)]
pub struct Ledger<T> {
    stream: Option<Stream>,
    unacked: VecDeque<(T, String)>,
}

#[derive(Debug, Default)]
struct Stream {
    id: Option<String>,
    received: u32,
    acked: u32,
}

impl<T> Default for Ledger<T> {
    fn default() -> Ledger<T> {
        Ledger {
            stream: None,
            unacked: VecDeque::new(),
        }
    }
}

impl<T: Clone> Ledger<T> {
    /// A stream is managed from now on: the server has said `<enabled/>`.
    pub fn enabled(&mut self, enabled: &Tree) {
        let resume = matches!(enabled.attr("resume"), Some("true" | "1"));
        self.stream = Some(Stream {
            id: enabled.attr("id").filter(|_| resume).map(str::to_owned),
            ..Stream::default()
        });
    }

    /// Whether a stream is managed.
    pub fn is_enabled(&self) -> bool {
        self.stream.is_some()
    }

    /// `<resume/>`, if there is a stream to resume.
    pub fn resume(&self) -> Option<String> {
        let stream = self.stream.as_ref()?;
        let (id, h) = (escaped(stream.id.as_ref()?), stream.received);
        Some(format!("<resume xmlns='{SM}' previd='{id}' h='{h}'/>"))
    }

    /// The stream is no more. Gives what was said on it and is not acknowledged.
    pub fn close(&mut self) -> VecDeque<(T, String)> {
        self.stream = None;
        std::mem::take(&mut self.unacked)
    }

    /// Whether nothing more should be said now.
    pub fn is_full(&self) -> bool {
        self.unacked.len() >= KEPT
    }

    /// A stanza is being said.
    pub fn says(&mut self, what: T, stanza: &str) {
        if self.stream.is_some() {
            self.unacked.push_back((what, stanza.to_owned()));
        }
    }

    /// A stanza was heard.
    pub fn heard(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.received = stream.received.wrapping_add(1);
        }
    }

    /// `<a/>`.
    pub fn answer(&self) -> Option<String> {
        let h = self.stream.as_ref()?.received;
        Some(format!("<a xmlns='{SM}' h='{h}'/>"))
    }

    /// The server says what it has handled, in the `h` of this. Gives what that covers, or
    /// what is wrong with it.
    pub fn told(&mut self, element: &Tree) -> Result<Vec<T>, String> {
        let stream = self.stream.as_mut().ok_or("no stream is managed")?;
        let h: Option<u32> = element.attr("h").and_then(|h| h.parse().ok());
        let h = h.ok_or_else(|| format!("no count: {element}"))?;
        let covered = h.wrapping_sub(stream.acked) as usize;
        if covered > self.unacked.len() {
            let (acked, unacked) = (stream.acked, self.unacked.len());
            return Err(format!("h={h} after {acked}, and {unacked} more were said"));
        }
        stream.acked = h;
        Ok(self
            .unacked
            .drain(..covered)
            .map(|(what, _)| what)
            .collect())
    }

    /// What has been said and not been acknowledged, oldest first.
    pub fn unacked(&self) -> impl Iterator<Item = &(T, String)> {
        self.unacked.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(h: &str) -> Tree {
        Tree::parse(&format!("<a xmlns='{SM}' h='{h}'/>")).unwrap()
    }

    #[test]
    fn a_count_covers_what_was_said_first_and_no_more() {
        let mut ledger = Ledger::default();
        ledger.says(0, "<presence/>");
        ledger.enabled(&Tree::parse("<enabled xmlns='urn:xmpp:sm:3' resume='1' id='x'/>").unwrap());
        (1..=3).for_each(|n| ledger.says(n, "<presence/>"));
        assert_eq!(ledger.told(&a("2")), Ok(vec![1, 2]));
        assert!(ledger.told(&a("1")).is_err(), "that is backwards");
        assert!(ledger.told(&a("4")).is_err(), "so much was never said");
        ledger.heard();
        let resume = ledger.resume().unwrap();
        assert_eq!(resume, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>");
        assert_eq!(ledger.close(), [(3, "<presence/>".to_owned())]);
        assert_eq!(ledger.resume(), None);
    }
}

//! A client's part in stream management (XEP-0198): it counts, asks, answers, and does not let the server count wrong.

use std::io;

use crate::{scanner, session::unexpected};

/// What turns it on; the server's answer is `<enabled/>`.
pub const ENABLE: &[u8] = b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/// Stanzas after which a client asks what has been handled.
const WINDOW: u32 = 16;

/// The counters of one stream.
#[derive(Debug, Default)]
pub struct Management {
    /// The stream's name, if it can be resumed.
    id: Option<String>,
    received: u32,
    sent: u32,
    acknowledged: u32,
    /// What had been sent when it last asked.
    asked: u32,
}

impl Management {
    /// The server's answer to [`ENABLE`]. Nothing has been counted yet.
    pub fn enabled(answer: &[u8]) -> io::Result<Management> {
        if scanner::name(answer) != b"enabled" {
            return Err(unexpected("<enabled/>", answer));
        }
        let id = scanner::attribute(answer, "id");
        Ok(Management {
            id: id.map(|id| String::from_utf8_lossy(id).into_owned()),
            ..Management::default()
        })
    }

    /// The stream's name, if it can be resumed.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Stanzas that have come.
    pub fn received(&self) -> u32 {
        self.received
    }

    /// The stream goes on, and the server has handled so many stanzas.
    pub fn resumed(&mut self, h: u32) -> io::Result<()> {
        // What was asked on the connection before is not answered on this one.
        self.asked = self.acknowledged;
        self.acknowledge(h)
    }

    /// An element came; gives what has to be answered. An acknowledgement of more than was sent, or of less than before, ends the run.
    pub fn hear(&mut self, element: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match scanner::name(element) {
            b"message" | b"presence" | b"iq" => self.received = self.received.wrapping_add(1),
            b"r" => {
                let h = self.received;
                return Ok(Some(
                    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>").into_bytes(),
                ));
            }
            b"a" => self.acknowledge(count(element)?)?,
            _ => {}
        }
        Ok(None)
    }

    /// So many stanzas are being sent; gives what to send behind them.
    pub fn sent(&mut self, count: usize) -> &'static [u8] {
        self.sent = self.sent.wrapping_add(count as u32);
        match self.sent.wrapping_sub(self.asked) >= WINDOW {
            true => self.ask(),
            false => b"",
        }
    }

    /// A request.
    pub fn ask(&mut self) -> &'static [u8] {
        self.asked = self.sent;
        b"<r xmlns='urn:xmpp:sm:3'/>"
    }

    /// Stanzas that the server has not said it has handled.
    pub fn under_way(&self) -> u32 {
        self.sent.wrapping_sub(self.acknowledged)
    }

    fn acknowledge(&mut self, h: u32) -> io::Result<()> {
        if h.wrapping_sub(self.acknowledged) > self.under_way() {
            let (sent, before) = (self.sent, self.acknowledged);
            return Err(io::Error::other(format!(
                "the server has handled {h}, of {sent} sent, and {before} before"
            )));
        }
        self.acknowledged = h;
        Ok(())
    }
}

/// The count in `<a/>` or `<resumed/>`.
pub(crate) fn count(element: &[u8]) -> io::Result<u32> {
    scanner::attribute(element, "h")
        .and_then(|h| std::str::from_utf8(h).ok()?.parse().ok())
        .ok_or_else(|| unexpected("a count", element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_counted_and_requests_answered() {
        let mut ours = Management::default();
        for stanza in ["<message/>", "<presence/>", "<iq/>", "<stream:features/>"] {
            assert!(ours.hear(stanza.as_bytes()).unwrap().is_none());
        }
        let answer = ours.hear(b"<r xmlns='urn:xmpp:sm:3'/>").unwrap().unwrap();
        assert_eq!(answer, b"<a xmlns='urn:xmpp:sm:3' h='3'/>");
    }

    #[test]
    fn a_server_that_counts_wrong_ends_the_run() {
        let mut ours = Management::default();
        assert_eq!(ours.sent(2), b"");
        let ack = |h| format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>").into_bytes();
        assert!(ours.hear(&ack(3)).is_err(), "more than was sent");
        assert!(ours.hear(&ack(1)).is_ok());
        assert!(ours.hear(&ack(0)).is_err(), "less than before");
        assert!(ours.hear(b"<a xmlns='urn:xmpp:sm:3'/>").is_err());
        assert_eq!(ours.under_way(), 1);
        assert!(!ours.sent(14).is_empty(), "sixteen are asked about");
        assert_eq!(ours.sent(1), b"");
    }
}

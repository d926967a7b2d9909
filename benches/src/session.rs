//! A connection with a bound resource, and what a client owes its server.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::{
    connection::{Connection, Event},
    login::Peer,
    management::Management,
    scanner,
};

/// A connection with a bound resource.
#[derive(Debug)]
pub struct Session {
    /// The connection, read up to the bind result.
    pub connection: Connection,
    /// The full JID as the server gave it.
    pub jid: String,
    /// Its part in stream management, if that is on.
    pub management: Option<Management>,
    /// What came between the bind result and `<enabled/>`: nobody counts it (XEP-0198 §4).
    pub early: Vec<Vec<u8>>,
}

/// How long to wait for the server's closing tag.
const CLOSE: Duration = Duration::from_secs(2);

impl Session {
    /// Reads past stanzas nobody asked for, answering requests.
    pub fn handle_unasked(&mut self) -> io::Result<()> {
        let mut replies = Vec::new();
        while let Some(event) = self.connection.event()? {
            if let Event::Stanza(stanza) = event {
                replies.extend(answer(&mut self.management, stanza)?);
            }
        }
        self.connection.outbox().extend_from_slice(&replies);
        Ok(())
    }

    /// The answer to a request of the server, which must have one (RFC 6120 §8.2.3). A stanza of type `error` or a stream error ends the run.
    pub fn reply(stanza: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let kind = scanner::attribute(stanza, "type").unwrap_or_default();
        if kind == b"error" || scanner::name(stanza) == b"stream:error" {
            return Err(unexpected("no error", stanza));
        }
        if scanner::name(stanza) != b"iq" || !matches!(kind, b"get" | b"set") {
            return Ok(None);
        }
        let mut reply = b"<iq".to_vec();
        for (ours, theirs) in [("to", "from"), ("id", "id")] {
            if let Some(value) = scanner::attribute(stanza, theirs) {
                reply.extend_from_slice(format!(" {ours}=\"").as_bytes());
                reply.extend_from_slice(value);
                reply.push(b'"');
            }
        }
        reply.extend_from_slice(if scanner::contains(stanza, "'urn:xmpp:ping'") {
            b" type='result'/>"
        } else {
            b" type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        });
        Ok(Some(reply))
    }

    /// Closes the stream, and waits a little for the server to do the same.
    pub async fn close(mut self, peer: Peer) -> io::Result<()> {
        if peer == Peer::Relay {
            return Ok(());
        }
        self.connection
            .outbox()
            .extend_from_slice(b"</stream:stream>");
        let closed = async {
            loop {
                while let Some(event) = self.connection.event()? {
                    if matches!(event, Event::Close) {
                        return io::Result::Ok(());
                    }
                }
                if !self.connection.exchange().await? {
                    return Ok(());
                }
            }
        };
        match timeout(CLOSE, closed).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Ok(result) => result,
            Err(_) => Err(io::Error::other("the server did not close the stream")),
        }
    }
}

/// What a client that manages its stream or not has to say to an element.
pub(crate) fn answer(management: &mut Option<Management>, element: &[u8]) -> io::Result<Vec<u8>> {
    let mut answer = Session::reply(element)?.unwrap_or_default();
    if let Some(management) = management {
        if !answer.is_empty() {
            answer.extend_from_slice(management.sent(1));
        }
        answer.extend(management.hear(element)?.unwrap_or_default());
    }
    Ok(answer)
}

/// The error that a server sent something else.
pub(crate) fn unexpected(wanted: &str, stanza: &[u8]) -> io::Error {
    let stanza = String::from_utf8_lossy(stanza);
    io::Error::other(format!("wanted {wanted}, got {stanza}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(stanza: &str) -> Option<String> {
        let reply = Session::reply(stanza.as_bytes()).unwrap();
        reply.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_ping_is_answered_and_other_requests_are_refused() {
        let ping = "<iq type='get' id='a' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
        assert_eq!(
            reply(ping).unwrap(),
            r#"<iq to="localhost" id="a" type='result'/>"#
        );
        let other = reply("<iq type='set' id='b'><query xmlns='jabber:iq:roster'/></iq>").unwrap();
        assert!(other.contains("type='error'") && other.contains("service-unavailable"));
    }

    #[test]
    fn what_asks_nothing_gets_no_answer() {
        assert_eq!(reply("<presence from='a@b/c'/>"), None);
        assert_eq!(reply("<iq type='result' id='a'/>"), None);
    }

    #[test]
    fn an_error_ends_the_run() {
        for error in [
            "<message type='error'/>",
            "<stream:error><conflict/></stream:error>",
        ] {
            assert!(Session::reply(error.as_bytes()).is_err(), "{error}");
        }
    }
}

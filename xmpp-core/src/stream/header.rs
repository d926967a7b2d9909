//! Stream headers (RFC 6120 §4.7).

use super::{Output, Progress, State, Stream, StreamCondition, StreamError};
use crate::xml::{Content, StreamHeader, escape_attr, ns};
use crate::{BareJid, Jid};

impl Stream {
    /// The client's header: checked in the order in which RFC 6120 §4.9.3 has the peer told.
    pub(super) fn open(&mut self, header: StreamHeader, out: &mut Vec<Output>) {
        // Every restart has a header of its own in answer (§4.3.3).
        self.greeted = false;
        // The first one came in time; from here on the whole login has its own.
        if let Some(login_by) = self.before().login_by.take() {
            self.deadline = login_by;
        }
        if let Err(error) = self.check(&header) {
            return self.fail(error, out);
        }
        let to = header.from.as_deref().and_then(|from| Jid::new(from).ok());
        self.lang = header.lang.map(Into::into);
        self.greet(to.as_ref(), out);
        self.offer_features(out);
        self.state = State::Negotiating;
    }

    fn check(&mut self, header: &StreamHeader) -> Result<(), StreamError> {
        // §4.9.3.10: "the stream namespace name is something other than
        // "http://etherx.jabber.org/streams" … or the content namespace … is not supported"
        let content = matches!(header.content, Content::Client | Content::Undeclared);
        if header.ns != ns::STREAM || !content {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        if header.name != "stream" {
            return Err(StreamCondition::BadFormat.into());
        }
        // §4.7.5: before 1.0 there were no features, and no way to log in that we have.
        if header.version.is_none_or(|version| version.major < 1) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        // §4.7.2: the initiating entity has to say whom it wants to talk to.
        let Some(to) = header.to.as_deref() else {
            return Err(StreamError::new(StreamCondition::ImproperAddressing)
                .with_text("a 'to' attribute is required"));
        };
        // §4.9.3.6: "the value of the 'to' attribute … does not correspond to an FQDN that
        // is serviced by the receiving entity"
        let domain = BareJid::new(to).ok().and_then(|to| {
            self.settings
                .domains
                .iter()
                .find(|domain| domain.name == to)
                .cloned()
        });
        let Some(domain) = domain else {
            return Err(StreamCondition::HostUnknown.into());
        };
        // After login the domain stays what it was.
        if let Progress::LoggedIn(account) = &self.progress
            && account.domain() != domain.name.as_str()
        {
            return Err(StreamCondition::HostUnknown.into());
        }
        self.before().domain = Some(domain);
        Ok(())
    }

    /// Our header.
    pub(super) fn greet(&mut self, to: Option<&Jid>, out: &mut Vec<Output>) {
        let mut id = [0; 16];
        // §4.7.3: "the stream ID MUST be unique … and unpredictable"
        self.settings.random.fill(&mut id);
        let from = match &self.before {
            Some(before) => before.domain.as_ref().map(|domain| domain.name.clone()),
            None => None,
        };
        let from = from.or_else(|| {
            self.settings
                .domains
                .first()
                .map(|domain| domain.name.clone())
        });
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' xml:lang='en' id='");
        for byte in id {
            bytes.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
        }
        if let Some(from) = from {
            bytes.extend_from_slice(b"' from='");
            escape_attr(from.as_str(), &mut bytes);
        }
        if let Some(to) = to {
            bytes.extend_from_slice(b"' to='");
            escape_attr(to.as_str(), &mut bytes);
        }
        bytes.extend_from_slice(b"'>");
        out.push(Output::Write(bytes));
        self.greeted = true;
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

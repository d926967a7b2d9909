//! Resource binding (RFC 6120 §7), and the session of RFC 3921 that does nothing.

use super::features::{BIND, SESSION};
use super::{Output, State, Stream};
use crate::FullJid;
use crate::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use crate::xml::Element;

/// Whether the stanza asks to bind a resource.
pub(super) fn is_request(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Iq(IqType::Set) && stanza.payload().has("bind", BIND)
}

/// The resource asked for, if any.
pub(super) fn resource(stanza: &Stanza) -> Option<String> {
    let bind = stanza.payload().child("bind", BIND)?.element();
    let resource = bind.child("resource", BIND)?.text().into_owned();
    (!resource.is_empty()).then_some(resource)
}

/// Answers what concerns the stream alone on a bound one; whether it did.
pub(super) fn answer(stanza: &Stanza, out: &mut Vec<Output>) -> bool {
    let to_server = stanza.to().is_none_or(|to| match stanza.from() {
        Some(from) => *to == *from.bare_str() || (to.is_domain() && *to == *from.domain()),
        None => false,
    });
    if stanza.kind() != Kind::Iq(IqType::Set) || !to_server {
        return false;
    }
    let Some(child) = stanza.payload().children().next() else {
        return false;
    };
    match (child.name(), child.ns()) {
        ("session", SESSION) => out.push(Output::Send(stanza.reply().into())),
        // RFC 6120 §7.6.2.2: a resource has been bound to this stream already.
        ("bind", BIND) => {
            let error = StanzaError::new(Condition::NotAllowed);
            out.extend(
                stanza
                    .error_reply(&error)
                    .map(|error| Output::Send(error.into())),
            );
        }
        _ => return false,
    }
    true
}

impl Stream {
    pub(super) fn bound(
        &mut self,
        request: &Stanza,
        result: Result<FullJid, StanzaError>,
        out: &mut Vec<Output>,
    ) {
        match result {
            Ok(jid) => {
                let bind = Element::new("bind", BIND)
                    .with_child(Element::new("jid", BIND).with_text(jid.as_str()));
                out.push(Output::Send(request.reply().with_child(&bind).into()));
                self.before = None;
                self.deadline = self.heard + self.settings.timeouts.keepalive;
                self.state = State::Bound(jid);
            }
            Err(error) => {
                // RFC 6120 §7.7.2.1: the client may try again.
                out.extend(
                    request
                        .error_reply(&error)
                        .map(|error| Output::Send(error.into())),
                );
                self.state = State::Negotiating;
            }
        }
    }
}

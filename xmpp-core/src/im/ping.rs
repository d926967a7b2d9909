//! Ping (XEP-0199).

use std::sync::Arc;

use async_trait::async_trait;

use crate::module::{Hooks, IqHandler, Module, Request, Scope, Target, Verb};
use crate::server::Server;
use crate::stanza::{Condition, StanzaError};
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "urn:xmpp:ping";

/// The module: it answers for the server, and for an account to itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ping;

impl Module for Ping {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        for scope in [Scope::Server, Scope::Account] {
            on.feature(scope, NS);
            on.iq(scope, "ping", NS, self.clone());
        }
    }
}

#[async_trait]
impl IqHandler for Ping {
    async fn handle(&self, request: &Request, _: &Server) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        match request.target {
            // §4.2: "If the server supports the ping namespace, it MUST return an IQ-result"
            Target::Server(_) => Ok(None),
            // §4.2: "The client MAY include a 'to' address of the client's bare JID …". Others
            // learn nothing about an account, not even whether there is one.
            Target::Account(_) if request.own_session().is_some() => Ok(None),
            Target::Account(_) => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::World;

    /// XEP-0199 §4.2
    #[test]
    fn a_client_pings_its_server_by_any_of_its_names() {
        let world = World::new(vec![Arc::new(Ping)]);
        let juliet = world.login("juliet@example.org/balcony");
        for (to, from) in [
            ("to='example.org'", "example.org"),
            ("to='juliet@example.org'", "juliet@example.org"),
            ("", "juliet@example.org"),
        ] {
            juliet.send(&format!(
                "<iq {to} id='p' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
            ));
            juliet.expect(&[&format!(
                "<iq to='juliet@example.org/balcony' from='{from}' id='p' type='result'/>"
            )]);
        }
    }

    /// RFC 6121 §8.5.1: an account must not be told from none.
    #[test]
    fn a_ping_does_not_tell_whether_there_is_an_account() {
        let world = World::new(vec![Arc::new(Ping)]);
        let juliet = world.login("juliet@example.org/balcony");
        world.account("romeo@example.org");
        for to in ["romeo@example.org", "nobody@example.org"] {
            juliet.send(&format!(
                "<iq to='{to}' id='p' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
            ));
            juliet.expect(&[&format!(
                "<iq to='juliet@example.org/balcony' from='{to}' id='p' type='error'>\
                 <error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 </error></iq>"
            )]);
        }
    }
}

//! Entity time (XEP-0202).

use std::sync::Arc;

use async_trait::async_trait;

use crate::module::{Hooks, IqHandler, Module, Request, Scope, Verb};
use crate::server::Server;
use crate::stanza::StanzaError;
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "urn:xmpp:time";

/// The module. A server has no place on earth that matters: its zone is UTC.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntityTime;

impl Module for EntityTime {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        // §4: "If an entity supports the Entity Time protocol, it MUST report that by
        // including a service discovery feature of "urn:xmpp:time""
        on.feature(Scope::Server, NS);
        on.iq(Scope::Server, "time", NS, self);
    }
}

#[async_trait]
impl IqHandler for EntityTime {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        let time = Element::new("time", NS)
            .with_child(Element::new("tzo", NS).with_text("+00:00"))
            // §2: "MUST conform to the dateTime profile specified in XEP-0082 and MUST be
            // expressed in UTC"
            .with_child(Element::new("utc", NS).with_text(&server.now().utc.to_string()));
        Ok(Some(time))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::testing::World;

    /// XEP-0202 §2
    #[test]
    fn the_time_is_that_of_the_clock_in_utc() {
        let world = World::new(vec![Arc::new(EntityTime)]);
        let romeo = world.login("romeo@example.org/orchard");
        world.advance(Duration::from_millis(61_500));
        romeo.send("<iq to='example.org' id='t' type='get'><time xmlns='urn:xmpp:time'/></iq>");
        romeo.expect(&["<iq to='romeo@example.org/orchard' from='example.org' id='t' type='result'>\
             <time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2026-01-01T00:01:01.500Z</utc></time></iq>"]);
    }
}

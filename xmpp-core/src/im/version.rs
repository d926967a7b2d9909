//! Software version (XEP-0092): what [`Config::software`](crate::server::Config::software) says.

use std::sync::Arc;

use async_trait::async_trait;

use crate::module::{Hooks, IqHandler, Module, Request, Scope, Verb};
use crate::server::Server;
use crate::stanza::StanzaError;
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "jabber:iq:version";

/// The module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Version;

impl Module for Version {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, NS);
        on.iq(Scope::Server, "query", NS, self);
    }
}

#[async_trait]
impl IqHandler for Version {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        let software = &server.config().software;
        let child = |name, text: &str| Element::new(name, NS).with_text(text);
        let query = Element::new("query", NS)
            .with_child(child("name", &software.name))
            .with_child(child("version", &software.version))
            .with_children(software.os.as_deref().map(|os| child("os", os)));
        Ok(Some(query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::World;

    /// XEP-0092 §5: "an application MUST provide a way for a human user or administrator to
    /// disable sharing of information about the operating system"
    #[test]
    fn the_operating_system_is_told_only_if_it_is_configured() {
        for (os, told) in [(None, ""), (Some("Linux"), "<os>Linux</os>")] {
            let world = World::with(vec![Arc::new(Version)], |config| {
                config.software.name = "Bard".into();
                config.software.version = "1.2".into();
                config.software.os = os.map(Into::into);
            });
            let romeo = world.login("romeo@example.org/orchard");
            romeo.send(
                "<iq to='example.org' id='v' type='get'><query xmlns='jabber:iq:version'/></iq>",
            );
            romeo.expect(&[&format!(
                "<iq to='romeo@example.org/orchard' from='example.org' id='v' type='result'>\
                 <query xmlns='jabber:iq:version'><name>Bard</name><version>1.2</version>{told}\
                 </query></iq>"
            )]);
        }
    }

    #[test]
    fn nobody_sets_the_version() {
        let world = World::new(vec![Arc::new(Version)]);
        let romeo = world.login("romeo@example.org/orchard");
        romeo
            .send("<iq to='example.org' id='v' type='set'><query xmlns='jabber:iq:version'/></iq>");
        romeo.expect(&[
            "<iq to='romeo@example.org/orchard' from='example.org' id='v' type='error'>\
             <error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             </error></iq>",
        ]);
    }
}

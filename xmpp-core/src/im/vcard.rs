//! vcard-temp (XEP-0054). What clients say of their avatars in presence (XEP-0153) passes
//! through the server as it is.

use std::sync::Arc;

use async_trait::async_trait;

use crate::module::{Hooks, IqHandler, Module, Request, Scope, Target, Verb};
use crate::server::Server;
use crate::stanza::{Condition, StanzaError};
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "vcard-temp";

/// The module. §5: a vCard "is world-readable".
#[derive(Clone, Copy, Debug, Default)]
pub struct VCard;

impl Module for VCard {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        // §4: "If an entity supports the vcard-temp protocol, it MUST report that by including
        // a service discovery feature of "vcard-temp""
        on.feature(Scope::Server, NS);
        on.feature(Scope::Account, NS);
        on.iq(Scope::Account, "vCard", NS, self);
    }
}

#[async_trait]
impl IqHandler for VCard {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        let Target::Account(account) = &request.target else {
            return Err(Condition::ServiceUnavailable.into());
        };
        let own = request.own_session().is_some();
        let store = &server.stores().vcards;
        let failed =
            |error| server.store_failed("vCard not stored or loaded", account.jid(), &error);
        match request.verb {
            Verb::Get => match store.load(account.jid()).await.map_err(failed)? {
                Some(xml) => match Element::restore(&xml) {
                    Ok(vcard) => Ok(Some(vcard)),
                    Err(error) => {
                        tracing::error!(account = %account.jid(), %error, "vCard unreadable");
                        Err(Condition::InternalServerError.into())
                    }
                },
                // §3.1: "If no vCard exists, the server MUST return a stanza error … or an
                // IQ-result containing an empty <vCard/> element". slixmpp sets no avatar
                // after an error.
                None if own => Ok(Some(Element::new("vCard", NS))),
                // §3.3: "If no vCard exists or the user does not exist, the server MUST return
                // a stanza error. The server MUST return the same error condition in both
                // cases … Hence, <service-unavailable/> MUST be used in both cases."
                None => Err(Condition::ServiceUnavailable.into()),
            },
            // §3.2: "If a user attempts to perform an IQ set on another user's vCard …, the
            // server MUST return a stanza error, which SHOULD be <forbidden/>"
            Verb::Set if !own => Err(Condition::Forbidden.into()),
            Verb::Set if !account.exists() => Err(Condition::NotAllowed.into()),
            Verb::Set => {
                let (xml, limit) = (
                    request.payload.to_string(),
                    server.config().account(account.jid()).vcard,
                );
                if xml.len() > limit {
                    return Err(StanzaError::new(Condition::PolicyViolation)
                        .with_text(&format!("a vCard has at most {limit} bytes")));
                }
                store.save(account.jid(), &xml).await.map_err(failed)?;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{Client, World};

    #[track_caller]
    fn ask(client: &Client, kind: &str, to: &str, vcard: &str) -> String {
        client.send(&format!("<iq type='{kind}' {to} id='v'>{vcard}</iq>"));
        match &client.read()[..] {
            [reply] => match reply.error() {
                Some(error) => error.condition.name().to_owned(),
                None => reply.payload().elements().map(|e| e.to_string()).collect(),
            },
            other => panic!("{other:?}"),
        }
    }

    const EMPTY: &str = "<vCard xmlns='vcard-temp'/>";
    const PETER: &str = "<vCard xmlns='vcard-temp'><FN>Peter</FN></vCard>";

    /// XEP-0054 §3.1–§3.3
    #[test]
    fn a_vcard_is_set_by_its_owner_and_read_by_everybody() {
        let world = World::new(vec![Arc::new(VCard)]);
        let peter = world.login("peter@example.org/1");
        let other = world.login("other@example.org/1");
        assert_eq!(ask(&peter, "get", "", EMPTY), EMPTY);
        assert_eq!(ask(&peter, "set", "", PETER), "");
        assert_eq!(ask(&peter, "get", "", EMPTY), PETER);
        assert_eq!(ask(&other, "get", "to='peter@example.org'", EMPTY), PETER);
        assert_eq!(
            ask(&other, "set", "to='peter@example.org'", EMPTY),
            "forbidden"
        );
    }

    /// XEP-0054 §3.3: "The server MUST return the same error condition in both cases to help
    /// prevent directory harvesting attacks."
    #[test]
    fn no_vcard_and_no_account_are_the_same_to_others() {
        let world = World::new(vec![Arc::new(VCard)]);
        let romeo = world.login("romeo@example.org/1");
        world.account("empty@example.org");
        for to in ["to='empty@example.org'", "to='nobody@example.org'"] {
            assert_eq!(ask(&romeo, "get", to, EMPTY), "service-unavailable");
            assert_eq!(ask(&romeo, "set", to, PETER), "forbidden");
        }
    }

    #[test]
    fn a_vcard_is_bounded() {
        let world = World::with(vec![Arc::new(VCard)], |config| {
            config.account.vcard = PETER.len()
        });
        let peter = world.login("peter@example.org/1");
        assert_eq!(ask(&peter, "set", "", PETER), "");
        let large = PETER.replace("Peter", "Peter!");
        assert_eq!(ask(&peter, "set", "", &large), "policy-violation");
        assert_eq!(ask(&peter, "get", "", EMPTY), PETER);
    }
}

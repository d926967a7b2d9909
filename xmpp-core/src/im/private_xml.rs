//! Private XML storage (XEP-0049): bookmarks (XEP-0048) and what else clients keep.

use std::sync::Arc;

use async_trait::async_trait;

use crate::module::{Hooks, IqHandler, Module, Request, Scope, Verb};
use crate::server::Server;
use crate::stanza::{Condition, StanzaError};
use crate::store::PrivateElement;
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "jabber:iq:private";

/// The module.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrivateXml;

impl Module for PrivateXml {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, NS);
        on.iq(Scope::Account, "query", NS, self);
    }
}

#[async_trait]
impl IqHandler for PrivateXml {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        // §4: "A server MUST NOT allow any entity other than an authorized resource of the
        // user to create, update, or delete private XML stored on behalf of that user."
        let session = request.own_session().ok_or(Condition::Forbidden)?;
        let account = session.bare();
        let store = &server.stores().private_xml;
        let failed =
            |error| server.store_failed("private XML not stored or loaded", account, &error);
        match request.verb {
            Verb::Get => {
                let wanted = wanted(&request.payload)?;
                let stored = store.load(account, wanted.name(), wanted.ns());
                let stored = stored.await.map_err(failed)?;
                let found = match stored.map(|xml| Element::restore(&xml)) {
                    Some(Ok(element)) => element,
                    Some(Err(error)) => {
                        tracing::error!(%account, %error, "private XML unreadable");
                        return Err(Condition::InternalServerError.into());
                    }
                    // Nothing is an empty element, as in §2.3's request.
                    None => Element::new(wanted.name().to_owned(), wanted.ns().to_owned()),
                };
                Ok(Some(Element::new("query", NS).with_child(found)))
            }
            Verb::Set => {
                if !session.account().exists() {
                    return Err(Condition::NotAllowed.into());
                }
                let limit = server.config().account(account).private_xml;
                let given = given(&request.payload)?.into_iter();
                let given: Vec<_> = given.map(stored).collect();
                if !store.save(account, &given, limit).await.map_err(failed)? {
                    return Err(StanzaError::new(Condition::PolicyViolation)
                        .with_text(&format!("private XML has at most {limit} bytes")));
                }
                Ok(None)
            }
        }
    }
}

/// The one element that a `get` asks for.
fn wanted(query: &Element) -> Result<&Element, StanzaError> {
    let mut children = query.children();
    // §3: "The IQ get does not contain a child element": "Bad Format", which RFC 6120
    // §8.3.3.1 calls <bad-request/>.
    let wanted = children.next().ok_or(Condition::BadRequest)?;
    // §2.3: "A client MUST NOT query for more than one namespace in a single IQ get request."
    if children.next().is_some() {
        return Err(Condition::BadRequest.into());
    }
    check(wanted)?;
    Ok(wanted)
}

/// What a `set` stores: §2.3: "an IQ set or result MAY contain multiple elements qualified by
/// the same namespace". There is one place for each name, so no two may have the same.
fn given(query: &Element) -> Result<Vec<&Element>, StanzaError> {
    let given: Vec<_> = query.children().collect();
    // §2.3: "At least one child element with a proper namespace MUST be included; otherwise
    // the server MUST respond with a "Not Acceptable" error"
    let first = given.first().ok_or(Condition::NotAcceptable)?;
    for (i, element) in given.iter().enumerate() {
        check(element)?;
        let twice = given[..i]
            .iter()
            .any(|other| other.name() == element.name());
        if element.ns() != first.ns() || twice {
            return Err(Condition::NotAcceptable.into());
        }
    }
    Ok(given)
}

fn stored(element: &Element) -> PrivateElement {
    PrivateElement {
        name: element.name().to_owned(),
        namespace: element.ns().to_owned(),
        xml: element.to_string(),
    }
}

/// §2.3: "Certain namespaces are reserved in Jabber (namespaces beginning with 'jabber:' or
/// 'http://jabber.org/', as well as 'vcard-temp')"; §3: "Not Acceptable".
fn check(element: &Element) -> Result<(), StanzaError> {
    let ns = element.ns();
    let reserved =
        ns.starts_with("jabber:") || ns.starts_with("http://jabber.org/") || ns == "vcard-temp";
    match ns.is_empty() || reserved {
        true => Err(Condition::NotAcceptable.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{Client, World};

    fn romeo() -> (World, Client) {
        let world = World::with(vec![Arc::new(PrivateXml)], |config| {
            config.account.private_xml = 200;
        });
        let romeo = world.login("romeo@example.org/orchard");
        (world, romeo)
    }

    #[track_caller]
    fn ask(client: &Client, kind: &str, to: &str, content: &str) -> String {
        client.send(&format!(
            "<iq type='{kind}' {to} id='p'><query xmlns='jabber:iq:private'>{content}</query></iq>"
        ));
        match &client.read()[..] {
            [reply] => match reply.error() {
                Some(error) => error.condition.name().to_owned(),
                None => reply.payload().elements().map(|e| e.to_string()).collect(),
            },
            other => panic!("{other:?}"),
        }
    }

    /// XEP-0049 §2.3; XEP-0048 §3.1
    #[test]
    fn what_was_stored_comes_back_and_what_was_not_is_empty() {
        let (world, romeo) = romeo();
        let bookmarks = "<storage xmlns='storage:bookmarks'>\
             <conference jid='a@b' name='A &amp; B'><nick>R</nick></conference></storage>";
        let empty = "<storage xmlns='storage:bookmarks'/>";
        let answer = |content: &str| format!("<query xmlns='jabber:iq:private'>{content}</query>");
        assert_eq!(ask(&romeo, "get", "", empty), answer(empty));
        assert_eq!(ask(&romeo, "set", "", bookmarks), "");
        assert_eq!(ask(&romeo, "get", "", empty), answer(bookmarks));
        romeo.end();
        let again = world.login("romeo@example.org/again");
        assert_eq!(ask(&again, "get", "", empty), answer(bookmarks));
        // Another name in the same namespace is another place.
        let both = "<a xmlns='urn:x'>1</a><b xmlns='urn:x'>2</b>";
        assert_eq!(ask(&again, "set", "", both), "");
        let second = "<b xmlns='urn:x'>2</b>";
        assert_eq!(ask(&again, "get", "", "<b xmlns='urn:x'/>"), answer(second));
    }

    /// XEP-0049 §2.3, §3
    #[test]
    fn bad_requests_get_the_errors_of_the_specification() {
        let (_world, romeo) = romeo();
        for (kind, content, error) in [
            ("get", "", "bad-request"),
            ("get", "<a xmlns='urn:x'/><b xmlns='urn:y'/>", "bad-request"),
            ("set", "", "not-acceptable"),
            ("set", "<a xmlns=''/>", "not-acceptable"),
            ("set", "<a/>", "not-acceptable"),
            (
                "set",
                "<a xmlns='urn:x'/><b xmlns='urn:y'/>",
                "not-acceptable",
            ),
            (
                "set",
                "<a xmlns='urn:x'/><a xmlns='urn:x'/>",
                "not-acceptable",
            ),
            ("set", "<vCard xmlns='vcard-temp'/>", "not-acceptable"),
            ("set", "<a xmlns='http://jabber.org/x'/>", "not-acceptable"),
            ("get", "<query xmlns='jabber:iq:roster'/>", "not-acceptable"),
        ] {
            assert_eq!(ask(&romeo, kind, "", content), error, "{kind} {content}");
        }
    }

    /// XEP-0049 §2.3: "If a user attempts to get or set jabber:iq:private data that belongs
    /// to another user, the server MUST return a "Forbidden" or "Service Unavailable" error"
    #[test]
    fn nobody_reads_or_writes_what_is_anothers() {
        let (world, romeo) = romeo();
        world.account("juliet@example.org");
        for kind in ["get", "set"] {
            for to in ["to='juliet@example.org'", "to='nobody@example.org'"] {
                assert_eq!(ask(&romeo, kind, to, "<a xmlns='urn:x'/>"), "forbidden");
            }
        }
    }

    #[test]
    fn storage_is_bounded() {
        let (_world, romeo) = romeo();
        let large = format!("<a xmlns='urn:x'>{}</a>", "x".repeat(200));
        assert_eq!(ask(&romeo, "set", "", &large), "policy-violation");
    }

    /// RFC 6120 §8.2.3: an IQ has one reply, so an error says that nothing was done.
    #[test]
    fn a_set_of_several_elements_is_stored_as_a_whole_or_not_at_all() {
        let (_world, romeo) = romeo();
        let small = "<a xmlns='urn:x'>1</a>";
        let answer = |content: &str| format!("<query xmlns='jabber:iq:private'>{content}</query>");
        assert_eq!(ask(&romeo, "set", "", small), "");
        let large = "x".repeat(200);
        let both = format!("<a xmlns='urn:x'>2</a><b xmlns='urn:x'>{large}</b>");
        assert_eq!(ask(&romeo, "set", "", &both), "policy-violation");
        assert_eq!(ask(&romeo, "get", "", "<a xmlns='urn:x'/>"), answer(small));
        let none = "<b xmlns='urn:x'/>";
        assert_eq!(ask(&romeo, "get", "", none), answer(none));
    }
}

//! Service discovery (XEP-0030), with the forms of XEP-0128.
//!
//! What it tells is what modules registered: [`Hooks::feature`], [`Hooks::identity`],
//! [`Hooks::form`], [`Hooks::item`].

use std::sync::Arc;

use async_trait::async_trait;

use super::caps;
use crate::BareJid;
use crate::account::Account;
use crate::module::{Hooks, Identity, IqHandler, Module, Request, Scope, Target, Verb};
use crate::server::Server;
use crate::stanza::{Condition, StanzaError};
use crate::xml::Element;

/// `disco#info`
pub const INFO: &str = "http://jabber.org/protocol/disco#info";
/// `disco#items`
pub const ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// The module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disco;

impl Module for Disco {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        let server = Identity {
            category: "server",
            kind: "im",
            name: None,
        };
        on.identity(Scope::Server, server);
        for scope in [Scope::Server, Scope::Account] {
            for namespace in [INFO, ITEMS] {
                on.feature(scope, namespace);
                on.iq(scope, "query", namespace, self.clone());
            }
        }
    }
}

#[async_trait]
impl IqHandler for Disco {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        let node = request.payload.attr("node");
        let answer = match (&request.target, request.payload.ns()) {
            (Target::Server(domain), INFO) => server_info(domain, node, server)?,
            (Target::Server(domain), _) => server_items(domain, node, server)?,
            (Target::Account(account), INFO) => account_info(account, node, request, server)?,
            (Target::Account(account), _) => account_items(account, node, request, server)?,
        };
        Ok(Some(answer))
    }
}

fn server_info(
    domain: &BareJid,
    node: Option<&str>,
    server: &Server,
) -> Result<Element, StanzaError> {
    let hooks = server.hooks();
    // XEP-0115 §6.2: the node of our own capabilities is another name of the server.
    if node.is_some_and(|node| node != caps::node(server, domain)) {
        return Err(Condition::ItemNotFound.into());
    }
    Ok(query(INFO, node).with_children(information(hooks, Scope::Server, domain.as_str())))
}

fn server_items(
    domain: &BareJid,
    node: Option<&str>,
    server: &Server,
) -> Result<Element, StanzaError> {
    if node.is_some() {
        return Err(Condition::ItemNotFound.into());
    }
    let items = server.hooks().items(domain).map(|item| {
        let mut element = self::item(item.jid.as_str());
        element.set_attr("name", item.name.as_deref());
        element
    });
    // §4.1: "If there are no items associated with an entity …, the target entity MUST
    // return an empty query element"
    Ok(query(ITEMS, None).with_children(items))
}

fn account_info(
    account: &Account,
    node: Option<&str>,
    request: &Request,
    server: &Server,
) -> Result<Element, StanzaError> {
    // §8: "the server MUST return a <service-unavailable/> error if … the target entity does
    // not exist …; the requesting entity is not authorized to receive presence from the
    // target entity"
    if !account.shows_presence_to(&request.from) {
        return Err(Condition::ServiceUnavailable.into());
    }
    if node.is_some() {
        return Err(Condition::ItemNotFound.into());
    }
    // §3.1: "the primary identity SHOULD have a category of "account""
    let kind = match account.exists() {
        true => "registered",
        // Who has a session without an account has logged in anonymously.
        false => "anonymous",
    };
    Ok(query(INFO, None)
        .with_child(identity("account", kind))
        .with_children(information(
            server.hooks(),
            Scope::Account,
            account.jid().domain(),
        )))
}

fn account_items(
    account: &Account,
    node: Option<&str>,
    request: &Request,
    server: &Server,
) -> Result<Element, StanzaError> {
    // §8: "the server MUST return an empty result set if the target entity does not exist
    // (no matter if the request specifies a node or not)", or if the items are resources
    // and "the requesting entity is not authorized to receive presence"
    if !account.shows_presence_to(&request.from) {
        return Ok(query(ITEMS, node));
    }
    if node.is_some() {
        return Err(Condition::ItemNotFound.into());
    }
    let resources = server.directory().resources(account.jid().as_str());
    let available = resources.iter().filter(|resource| resource.is_available());
    let items = available.map(|resource| item(resource.jid().as_str()));
    Ok(query(ITEMS, None).with_children(items))
}

/// Identities, features and forms, in the order in which they were registered.
fn information<'a>(
    hooks: &'a Hooks,
    scope: Scope,
    domain: &'a str,
) -> impl Iterator<Item = Element> {
    let identities = hooks.identities(scope).map(|of| {
        let mut element = identity(of.category, of.kind);
        element.set_attr("name", of.name.as_deref());
        element
    });
    let features = hooks
        .features(scope)
        .map(|var| Element::new("feature", INFO).with_attr("var", var));
    identities
        .chain(features)
        .chain(hooks.forms(scope, domain).cloned())
}

/// §3.2: "the response MUST mirror the specified 'node' attribute"
fn query(namespace: &'static str, node: Option<&str>) -> Element {
    let mut query = Element::new("query", namespace);
    query.set_attr("node", node);
    query
}

fn identity(category: &str, kind: &str) -> Element {
    Element::new("identity", INFO)
        .with_attr("category", category)
        .with_attr("type", kind)
}

fn item(jid: &str) -> Element {
    Element::new("item", ITEMS).with_attr("jid", jid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::im::form;
    use crate::module::Item;
    use crate::server::testing::{Client, World, bare, jid};
    use crate::store::Subscription;

    /// Registers what disco tells of.
    struct Sample;

    impl Module for Sample {
        fn register(self: Arc<Self>, on: &mut Hooks) {
            on.feature(Scope::Server, "urn:x");
            on.form(Scope::Server, form::result("urn:f", [("a", vec!["1"])]));
            for of in ["example.org", "example.net"] {
                on.item(Item {
                    of: bare(of),
                    jid: jid(&format!("rooms.{of}")),
                    name: Some("Rooms".into()),
                });
            }
        }
    }

    fn world() -> World {
        let caps = Arc::new(caps::Caps::default());
        let world = World::new(vec![Arc::new(Disco), caps, Arc::new(Sample)]);
        world.contact(
            "juliet@example.org",
            "romeo@example.org",
            Subscription::From,
        );
        world.contact("juliet@example.org", "paris@example.org", Subscription::To);
        world
    }

    /// The query that comes back, or the condition.
    #[track_caller]
    fn ask(client: &Client, to: &str, what: &str, node: &str) -> String {
        client.send(&format!(
            "<iq type='get' to='{to}' id='d'><query xmlns='{what}'{node}/></iq>"
        ));
        match &client.read()[..] {
            [reply] => match reply.error() {
                Some(error) => error.condition.name().to_owned(),
                None => reply.payload().elements().map(|e| e.to_string()).collect(),
            },
            other => panic!("{other:?}"),
        }
    }

    /// XEP-0030 §3.1, §4.1; XEP-0128
    #[test]
    fn the_server_tells_what_modules_registered() {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        let info = "<identity category='server' type='im'/>\
             <feature var='http://jabber.org/protocol/disco#info'/>\
             <feature var='http://jabber.org/protocol/disco#items'/>\
             <feature var='http://jabber.org/protocol/caps'/><feature var='urn:x'/>\
             <x xmlns='jabber:x:data' type='result'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:f</value></field>\
             <field var='a'><value>1</value></field></x></query>";
        assert_eq!(
            ask(&romeo, "example.org", INFO, ""),
            format!("<query xmlns='{INFO}'>{info}")
        );
        assert_eq!(
            ask(&romeo, "example.org", ITEMS, ""),
            format!("<query xmlns='{ITEMS}'><item jid='rooms.example.org' name='Rooms'/></query>")
        );
        // XEP-0115 §6.2; XEP-0030 §3.2: "the response MUST mirror the specified 'node'"
        let node = caps::node(&world.server, &bare("example.org"));
        assert_eq!(
            ask(&romeo, "example.org", INFO, &format!(" node='{node}'")),
            format!("<query xmlns='{INFO}' node='{node}'>{info}")
        );
    }

    /// XEP-0030 §7
    #[test]
    fn there_is_nothing_at_unknown_nodes() {
        let world = world();
        let juliet = world.login("juliet@example.org/balcony");
        for to in ["example.org", "juliet@example.org"] {
            for what in [INFO, ITEMS] {
                assert_eq!(
                    ask(&juliet, to, what, " node='urn:nowhere'"),
                    "item-not-found"
                );
            }
        }
    }

    /// XEP-0030 §3.1, §4.1
    #[test]
    fn an_account_tells_itself_and_its_subscribers_what_it_is() {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        let juliet = world.login("juliet@example.org/balcony");
        world.login("juliet@example.org/hidden");
        juliet.shows("<presence/>");
        for client in [&romeo, &juliet] {
            assert_eq!(
                ask(client, "juliet@example.org", INFO, ""),
                format!(
                    "<query xmlns='{INFO}'><identity category='account' type='registered'/>\
                     <feature var='{INFO}'/><feature var='{ITEMS}'/></query>"
                )
            );
            assert_eq!(
                ask(client, "juliet@example.org", ITEMS, ""),
                format!("<query xmlns='{ITEMS}'><item jid='juliet@example.org/balcony'/></query>")
            );
        }
    }

    /// XEP-0030 §8: "the server MUST return a <service-unavailable/> error if …", "MUST
    /// return an empty result set if …"
    #[test]
    fn to_others_an_account_cannot_be_told_from_none() {
        let world = world();
        let paris = world.login("paris@example.org/1");
        let juliet = world.login("juliet@example.org/balcony");
        juliet.shows("<presence/>");
        for node in ["", " node='urn:x'"] {
            for to in ["juliet@example.org", "nobody@example.org"] {
                assert_eq!(ask(&paris, to, INFO, node), "service-unavailable");
                assert_eq!(
                    ask(&paris, to, ITEMS, node),
                    format!("<query xmlns='{ITEMS}'{node}/>")
                );
            }
        }
    }

    /// XEP-0115 §5.4: with two forms of one type "consider the entire response to be
    /// ill-formed"
    #[test]
    fn two_forms_of_one_type_do_not_build() {
        use crate::server::BuildError;
        let mut hooks = Hooks::default();
        Arc::new(Sample).register(&mut hooks);
        assert!(hooks.error.is_none());
        Arc::new(Sample).register(&mut hooks);
        assert!(matches!(hooks.error, Some(BuildError::Clash(_))));
    }
}

//! What the service answers itself: what it is (XEP-0045 §6.2) and which rooms there are (§6.3).

use xmpp_core::im::{disco, entity_time, ping, version};
use xmpp_core::module::{Request, Scope, Target, Verb};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use xmpp_core::xml::Element;

use super::House;
use crate::ns;
use crate::page::{Asked, set};

/// What the service answers as the server does, if that does.
const AS_THE_SERVER: [(&str, &str); 3] = [
    ("ping", ping::NS),
    ("query", version::NS),
    ("time", entity_time::NS),
];

impl House {
    /// Answers a request to the service itself.
    pub(super) async fn answer(
        &self,
        request: &Stanza,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        let unavailable = || StanzaError::from(Condition::ServiceUnavailable);
        let to_itself = request.to().is_some_and(|to| to.is_domain());
        let child = request.payload().children().next();
        let child = child.filter(|_| to_itself).ok_or_else(unavailable)?;
        let is_set = request.kind() == Kind::Iq(IqType::Set);
        let is = |ns| child.is("query", ns);
        match child.ns() {
            disco::INFO | disco::ITEMS if is_set => Err(Condition::NotAllowed.into()),
            disco::INFO if is(disco::INFO) => self.info(&child.element(), server).map(Some),
            disco::ITEMS if is(disco::ITEMS) => self.items(&child.element()).map(Some),
            ns if AS_THE_SERVER.contains(&(child.name(), ns)) => {
                let handler = server.hooks().iq_handler(Scope::Server, child.name(), ns);
                let handler = handler.ok_or_else(unavailable)?;
                let request = Request {
                    from: request.from().cloned().ok_or_else(unavailable)?,
                    verb: if is_set { Verb::Set } else { Verb::Get },
                    payload: child.element(),
                    target: Target::Server(self.options.address.clone()),
                    session: None,
                    lang: request.lang().map(str::to_owned),
                };
                handler.handle(&request, server).await
            }
            _ => Err(unavailable()),
        }
    }

    /// §6.2: "Entity Queries Chat Service for Information"
    fn info(&self, query: &Element, server: &Server) -> Result<Element, StanzaError> {
        if query.attr("node").is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let identity = Element::new("identity", disco::INFO)
            .with_attr("category", "conference")
            .with_attr("type", "text")
            .with_attr("name", &self.options.name);
        let answered = AS_THE_SERVER.iter().filter(|(name, ns)| {
            let handler = server.hooks().iq_handler(Scope::Server, name, ns);
            handler.is_some()
        });
        let features = [disco::INFO, disco::ITEMS, ns::MUC, ns::RSM, ns::OCCUPANT_ID]
            .into_iter()
            .chain(answered.map(|(_, ns)| *ns));
        Ok(Element::new("query", disco::INFO)
            .with_child(identity)
            .with_children(
                features.map(|var| Element::new("feature", disco::INFO).with_attr("var", var)),
            ))
    }

    /// §6.3: "The service SHOULD return a full list of the public rooms it hosts (i.e., not return any rooms that are hidden)."
    fn items(&self, query: &Element) -> Result<Element, StanzaError> {
        if query.attr("node").is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let asked = Asked::of(query)?;
        let most = asked.most(self.options.limits.page);
        let part = self.catalogue.part(asked.from(), most);
        let items = part.rooms.iter().map(|listed| {
            let mut item =
                Element::new("item", disco::ITEMS).with_attr("jid", listed.room.as_str());
            item.set_attr("name", listed.name.as_deref());
            item
        });
        let answer = Element::new("query", disco::ITEMS).with_children(items);
        // "If it does so, it SHOULD include a <set/> element [...] to indicate that the list is not the full result set."
        let is_part = part.rooms.len() < part.count || query.child("set", ns::RSM).is_some();
        let ends = part.rooms.first().zip(part.rooms.last());
        let ends = ends.map(|(first, last)| (first.room.as_str(), last.room.as_str()));
        Ok(answer.with_children(is_part.then(|| set(ends, part.index, part.count))))
    }
}

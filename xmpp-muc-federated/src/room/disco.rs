//! What a room tells of itself (XEP-0045 §6.4, §6.5, §7.12).

use xmpp_core::im::{disco, form};
use xmpp_core::stanza::Condition;
use xmpp_core::xml::Element;

use super::occupants::Occupant;
use super::request::{Asker, Refusal};
use super::subject::Subject;
use super::{Affiliation, Room, Whois};
use crate::ns;

/// The node that tells the reserved nick of whoever asks (§7.12).
const NICK: &str = "x-roomuser-item";
/// The node that would tell what may not be sent (§18.1.1): there is nothing.
const TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";

/// Owners whom those may turn to who ask about a room.
const CONTACTS: usize = 20;

/// What every room has.
const FEATURES: [&str; 13] = [
    disco::INFO,
    disco::ITEMS,
    ns::MUC,
    ns::RSM,
    "http://jabber.org/protocol/muc#stable_id",
    "http://jabber.org/protocol/muc#self-ping-optimization",
    ns::CONFIG_FORM,
    ns::INFO_FORM,
    ns::REGISTER_FORM,
    ns::REQUEST,
    ns::REGISTER,
    ns::OCCUPANT_ID,
    ns::STANZA_ID,
];

impl Room {
    /// §6.4: "The room MUST return its identity and SHOULD return the features it supports"
    pub(super) fn info(&self, asker: &Asker, query: &Element) -> Result<Element, Refusal> {
        let mut info = Element::new("query", disco::INFO);
        info.set_attr("node", query.attr("node"));
        match query.attr("node") {
            None => {}
            Some(NICK) => {
                let entry = self.affiliations.get(asker.user.as_jid());
                let nick = entry.and_then(|entry| entry.nick.as_deref());
                // "If the user does not have a registered nickname, the room MUST return a service discovery <query/> element
                // that is empty"
                return Ok(info.with_children(nick.map(identity)));
            }
            // "If the room does not support the "#traffic" node, it MUST return a <feature-not-implemented/> error"
            Some(TRAFFIC) => return Err(Condition::FeatureNotImplemented.into()),
            Some(_) => return Err(Condition::ItemNotFound.into()),
        }
        let name = self.config.name.as_deref();
        let name = name.unwrap_or_else(|| self.jid.local().unwrap_or_default());
        let features = FEATURES.into_iter().chain(self.features());
        Ok(info
            .with_child(identity(name))
            .with_children(
                features.map(|var| Element::new("feature", disco::INFO).with_attr("var", var)),
            )
            .with_child(self.description(asker)))
    }

    /// §6.5: "An implementation MAY return a list of existing occupants if that information is publicly available, or return no
    /// list at all if this information is kept private": those who are in the room know it, to others it is private.
    pub(super) fn items(&self, asker: &Asker, query: &Element) -> Result<Element, Refusal> {
        if query.attr("node").is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let mut answer = Element::new("query", disco::ITEMS);
        // "If the list of occupants is private, the room MUST return an empty <query/> element"
        if asker.seat.is_some() {
            let shown = self.occupants.iter().map(|(_, occupant)| occupant);
            let shown = shown.filter(|occupant| occupant.shown).collect();
            let item = |occupant: &Occupant| {
                Element::new("item", disco::ITEMS).with_attr("jid", occupant.address.as_str())
            };
            self.page(&mut answer, query, shown, |one| one.address.as_str(), item)?;
        }
        Ok(answer)
    }

    /// What kind of room it is (§16.3).
    fn features(&self) -> [&'static str; 6] {
        let config = &self.config;
        let kind = |is, yes, no| if is { yes } else { no };
        [
            kind(
                config.password.is_some(),
                "muc_passwordprotected",
                "muc_unsecured",
            ),
            kind(config.public, "muc_public", "muc_hidden"),
            kind(config.persistent, "muc_persistent", "muc_temporary"),
            kind(config.members_only, "muc_membersonly", "muc_open"),
            kind(config.moderated, "muc_moderated", "muc_unmoderated"),
            kind(
                config.whois == Whois::Anyone,
                "muc_nonanonymous",
                "muc_semianonymous",
            ),
        ]
    }

    /// The form of §16.5.4. What goes on in the room is for those who could be there; who it belongs to is told where everybody
    /// may see it.
    fn description(&self, asker: &Asker) -> Element {
        let config = &self.config;
        let open = !config.members_only && config.password.is_none();
        let open = open && asker.affiliation() != Affiliation::Outcast;
        let insider = open || asker.seat.is_some() || asker.affiliation() >= Affiliation::Member;
        let mut fields = Vec::new();
        let mut tell = |var, value: Option<String>| {
            fields.extend(value.map(|value| form::field(var, [value.as_str()])));
        };
        let yes = |is: bool| Some(if is { "1" } else { "0" }.to_owned());
        tell("muc#roominfo_description", config.description.clone());
        tell("muc#roominfo_lang", config.lang.clone());
        if insider {
            let subject = self.subject.as_ref().map(Subject::text);
            tell(
                "muc#roominfo_subject",
                subject.filter(|text| !text.is_empty()),
            );
        }
        if insider || config.public {
            let occupants = self.occupants.len().to_string();
            tell("muc#roominfo_occupants", Some(occupants));
        }
        tell("muc#roominfo_subjectmod", yes(config.change_subject));
        tell("muc#roomconfig_changesubject", yes(config.change_subject));
        tell("muc#maxhistoryfetch", Some(config.history.to_string()));
        tell("muc#roomconfig_pubsub", config.pubsub.clone());
        if config.whois == Whois::Anyone && insider {
            let owners = self.affiliations.with(Affiliation::Owner);
            let owners = owners.map(|entry| entry.jid.as_str()).take(CONTACTS);
            fields.push(form::field("muc#roominfo_contactjid", owners));
        }
        form::form("result", ns::INFO_FORM).with_children(fields)
    }
}

fn identity(name: &str) -> Element {
    Element::new("identity", disco::INFO)
        .with_attr("category", "conference")
        .with_attr("name", name)
        .with_attr("type", "text")
}

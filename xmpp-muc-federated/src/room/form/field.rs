//! The fields of forms: how they are asked, and how values are read.

use std::borrow::Cow;

use xmpp_core::im::form;
use xmpp_core::stanza::Condition;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use crate::room::Role;
use crate::settings::Limits;

/// A field of the form.
pub(super) struct Field {
    pub(super) var: &'static str,
    kind: &'static str,
    label: &'static str,
    pub(super) values: Vec<String>,
    /// Values to choose from, and what they mean.
    options: Vec<(String, Cow<'static, str>)>,
}

impl Field {
    pub(super) fn new(
        var: &'static str,
        kind: &'static str,
        label: &'static str,
        values: Vec<String>,
    ) -> Field {
        Field {
            var,
            kind,
            label,
            values,
            options: Vec::new(),
        }
    }

    pub(super) fn options(mut self, options: &[(&'static str, &'static str)]) -> Field {
        let options = options.iter();
        self.options = options
            .map(|(value, label)| (value.to_string(), (*label).into()))
            .collect();
        self
    }

    /// The most occupants, among numbers that make sense.
    pub(super) fn users(users: Option<usize>, limits: &Limits) -> Field {
        const USUAL: [usize; 9] = [10, 20, 30, 50, 100, 200, 500, 1000, 5000];
        let usual = USUAL
            .into_iter()
            .filter(|number| *number <= limits.occupants);
        let mut numbers: Vec<usize> = usual.chain(users).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let name =
            |users: Option<usize>| users.map_or("none".to_owned(), |number| number.to_string());
        let options = numbers
            .iter()
            .map(|number| (number.to_string(), number.to_string().into()));
        let label = "Maximum Number of Occupants";
        let mut field = Field::new(
            "muc#roomconfig_maxusers",
            "list-single",
            label,
            vec![name(users)],
        );
        field.options = options.chain([(name(None), "None".into())]).collect();
        field
    }

    /// As it is asked.
    pub(super) fn question(&self) -> Element {
        let values = self.values.iter().map(String::as_str);
        let options = self.options.iter().map(|(value, label)| {
            Element::new("option", form::NS)
                .with_attr("label", label)
                .with_child(Element::new("value", form::NS).with_text(value))
        });
        form::field(self.var, values)
            .with_attr("type", self.kind)
            .with_attr("label", self.label)
            .with_children(options)
    }
}

/// XEP-0004 §3.3: "1", "true", "0" or "false".
pub(in crate::room) fn boolean(values: &[Cow<'_, str>]) -> Result<Option<bool>, Condition> {
    one(values, |value| match value {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    })
}

/// The only value, if there is one.
pub(in crate::room) fn one<T>(
    values: &[Cow<'_, str>],
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Condition> {
    match values {
        [] => Ok(None),
        [value] => read(value).map(Some).ok_or(Condition::NotAcceptable),
        _ => Err(Condition::NotAcceptable),
    }
}

pub(in crate::room) fn text(
    values: &[Cow<'_, str>],
    limits: &Limits,
) -> Result<Option<String>, Condition> {
    let fits = |value: &str| (value.len() <= limits.text).then(|| value.to_owned());
    Ok(one(values, fits)?.filter(|text| !text.is_empty()))
}

/// A language tag (BCP 47), as far as its form goes.
pub(in crate::room) fn language(values: &[Cow<'_, str>]) -> Result<Option<String>, Condition> {
    const LEN_MAX: usize = 35;
    let tag = |value: &str| {
        let subtag = |part: &str| {
            matches!(part.len(), 1..=8) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let is_tag = value.len() <= LEN_MAX && value.split('-').all(subtag);
        (value.is_empty() || is_tag).then(|| value.to_owned())
    };
    Ok(one(values, tag)?.filter(|tag| !tag.is_empty()))
}

pub(in crate::room) fn roles(values: &[Cow<'_, str>]) -> Result<Vec<Role>, Condition> {
    let mut roles = Vec::new();
    for value in values {
        let role = Role::named(value).filter(|role| *role != Role::None);
        let role = role.ok_or(Condition::NotAcceptable)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Addresses, bare as affiliations are kept. Clients send an empty line for none.
pub(in crate::room) fn jids(values: &[Cow<'_, str>]) -> Result<Vec<BareJid>, Condition> {
    let values = values.iter().filter(|value| !value.is_empty());
    let jids = values.map(|value| Jid::new(value).map(|jid| jid.to_bare()));
    jids.collect::<Result<_, _>>()
        .map_err(|_| Condition::NotAcceptable)
}

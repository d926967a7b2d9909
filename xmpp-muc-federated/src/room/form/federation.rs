//! The fields that say how a room is federated: ours, so their names begin with `x-` (XEP-0068 §3.4).

use std::borrow::Cow;
use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::stanza::Condition;

use super::field::{Field, jids, one};
use crate::fmuc::{Accept, Federation, LinkProfile, Mode};

const PARENT: &str = "x-fmuc#parent";
const MODE: &str = "x-fmuc#mode";
const ACCEPT: &str = "x-fmuc#accept";
const ACCEPTED: &str = "x-fmuc#accepted";
const LINK: &str = "x-fmuc#link";

/// Rooms among which one is joined.
const PARENTS_MAX: usize = 16;
/// Rooms and domains that may join.
const ACCEPTED_MAX: usize = 1000;

/// What the fields of a form say.
#[derive(Debug, Default)]
pub(super) struct Answers {
    changed: Federation,
    accept: Option<Kind>,
    accepted: Option<Vec<Jid>>,
    any: bool,
}

/// Of what kind the rooms are that may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    Listed,
    Any,
}

impl Answers {
    /// None yet: it stays as it is.
    pub(super) fn new(federation: &Federation) -> Answers {
        Answers {
            changed: federation.clone(),
            ..Answers::default()
        }
    }

    /// One field; `false` if it is none of these.
    pub(super) fn set(&mut self, var: &str, values: &[Cow<'_, str>]) -> Result<bool, Condition> {
        let new = &mut self.changed;
        match var {
            PARENT => {
                let parents = jids(values)?;
                if parents.len() > PARENTS_MAX || parents.iter().any(|room| room.local().is_none())
                {
                    return Err(Condition::NotAcceptable);
                }
                new.parents = parents;
            }
            MODE => new.mode = one(values, Mode::named)?.unwrap_or(new.mode),
            LINK => new.profile = one(values, LinkProfile::named)?.unwrap_or(new.profile),
            ACCEPT => self.accept = one(values, Kind::named)?,
            ACCEPTED => {
                let accepted = jids(values)?;
                if accepted.len() > ACCEPTED_MAX {
                    return Err(Condition::NotAcceptable);
                }
                self.accepted = Some(accepted.into_iter().map(Jid::from).collect());
            }
            _ => return Ok(false),
        }
        self.any = true;
        Ok(true)
    }

    /// With all fields.
    pub(super) fn apply(self, federation: &mut Arc<Federation>) {
        if !self.any {
            return;
        }
        let mut new = self.changed;
        let listed = || match &new.accept {
            Accept::Only(listed) => listed.clone(),
            _ => Vec::new(),
        };
        let kind = self.accept.unwrap_or(Kind::of(&new.accept));
        new.accept = match kind {
            Kind::None => Accept::None,
            Kind::Any => Accept::Any,
            Kind::Listed => Accept::Only(self.accepted.unwrap_or_else(listed)),
        };
        if **federation != new {
            *federation = Arc::new(new);
        }
    }
}

/// As they are asked.
pub(super) fn fields(federation: &Federation) -> Vec<Field> {
    let values = |jids: &[Jid]| jids.iter().map(Jid::to_string).collect();
    let parents = federation.parents.iter().map(|room| room.to_string());
    let accepted = match &federation.accept {
        Accept::Only(listed) => values(listed),
        _ => Vec::new(),
    };
    let one =
        |var, label, value: &str| Field::new(var, "list-single", label, vec![value.to_owned()]);
    vec![
        Field::new(
            PARENT,
            "jid-multi",
            "Rooms of Which This One Joins the First That Can Be Had",
            parents.collect(),
        ),
        one(
            MODE,
            "How This Room Is One with That Room",
            federation.mode.name(),
        )
        .options(&[
            ("primary", "Each Delivers at Once"),
            ("replica", "This One Waits for That One"),
        ]),
        one(
            ACCEPT,
            "Which Rooms May Join This One?",
            Kind::of(&federation.accept).name(),
        )
        .options(&[("none", "None"), ("listed", "Those Listed"), ("any", "Any")]),
        Field::new(
            ACCEPTED,
            "jid-multi",
            "Rooms, and Domains with All Their Rooms, That May Join This One",
            accepted,
        ),
        one(LINK, "What Are Its Links Like?", federation.profile.name()).options(&[
            ("lan", "Fast"),
            ("sat", "Slow or Dear"),
            ("hf", "Very Slow"),
        ]),
    ]
}

impl Kind {
    fn of(accept: &Accept) -> Kind {
        match accept {
            Accept::None => Kind::None,
            Accept::Only(_) => Kind::Listed,
            Accept::Any => Kind::Any,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::Listed => "listed",
            Kind::Any => "any",
        }
    }

    fn named(name: &str) -> Option<Kind> {
        let all = [Kind::None, Kind::Listed, Kind::Any];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

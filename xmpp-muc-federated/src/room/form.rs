//! The form in which a room is configured (XEP-0045 §10.1.3, §16.5.3), both ways.

mod federation;
mod field;

use std::borrow::Cow;

use xmpp_core::im::form;
use xmpp_core::stanza::Condition;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use federation::Answers;
pub(super) use field::boolean;
use field::{Field, jids, language, one, roles, text};

use super::{AllowPm, Config, Role, Whois};
use crate::fmuc::Federation;
use crate::ns;
use crate::settings::Limits;

/// What an owner has submitted.
#[derive(Debug)]
pub(super) struct Submitted {
    pub(super) config: Config,
    /// All admins, if the form says who they are.
    pub(super) admins: Option<Vec<BareJid>>,
    /// All owners, if it says.
    pub(super) owners: Option<Vec<BareJid>>,
}

/// A form to be filled in, "with the current options set as defaults" (§10.2); without lists that are `None`.
pub(super) fn offer<'a>(
    room: &BareJid,
    config: &Config,
    federation: Option<&Federation>,
    admins: Option<impl Iterator<Item = &'a Jid>>,
    owners: Option<impl Iterator<Item = &'a Jid>>,
    limits: &Limits,
) -> Element {
    let name = room.local().unwrap_or(room.as_str());
    let mut fields = fields(config, limits);
    fields.extend(federation.map(federation::fields).unwrap_or_default());
    let mut list = |var, label, values: Option<Vec<String>>| {
        fields.extend(values.map(|values| Field::new(var, "jid-multi", label, values)));
    };
    let admins = admins.map(|all| all.map(Jid::to_string).collect());
    let owners = owners.map(|all| all.map(Jid::to_string).collect());
    list(ADMINS, "Full List of Room Admins", admins);
    list(OWNERS, "Full List of Room Owners", owners);
    let title =
        Element::new("title", form::NS).with_text(&format!("Configuration for \"{name}\" Room"));
    let instructions = Element::new("instructions", form::NS)
        .with_text("Complete this form to modify the configuration of your room.");
    Element::new("x", form::NS)
        .with_attr("type", "form")
        .with_child(title)
        .with_child(instructions)
        .with_child(form::field("FORM_TYPE", [ns::CONFIG_FORM]).with_attr("type", "hidden"))
        .with_children(fields.iter().map(Field::question))
}

/// The form as it is filled in.
pub(super) fn filled(config: &Config) -> Element {
    // A restored configuration may have been made under other limits.
    let mut fields = fields(config, &Limits::default());
    if *config.federation != Federation::default() {
        fields.extend(federation::fields(&config.federation));
    }
    let answers = fields.iter().map(|field| {
        let values = field.values.iter().map(String::as_str);
        form::field(field.var, values)
    });
    form::form("submit", ns::CONFIG_FORM).with_children(answers)
}

/// The configuration with what the form says; fields that are not there leave it as it is.
///
/// §10.1.3: "If the room creation fails because the specified room configuration options violate one or more service policies
/// (e.g., because the password for a password-protected room is blank), the service MUST return a <not-acceptable/> error."
pub(super) fn read(
    submitted: &Element,
    config: &Config,
    limits: &Limits,
) -> Result<Submitted, Condition> {
    let mut all = Submitted {
        config: config.clone(),
        admins: None,
        owners: None,
    };
    if submitted.children().next().is_none() {
        // §10.1.2: the default is accepted.
        return Ok(all);
    }
    if form::form_type(submitted).as_deref() != Some(ns::CONFIG_FORM) {
        return Err(Condition::BadRequest);
    }
    let (mut protected, mut secret) = (None, None);
    let mut federation = Answers::new(&config.federation);
    for (var, field) in form::fields(submitted) {
        let values: Vec<_> = form::values(field).collect();
        match var {
            ADMINS => all.admins = Some(jids(&values)?),
            OWNERS => all.owners = Some(jids(&values)?),
            PROTECTED => protected = boolean(&values)?,
            SECRET => secret = Some(text(&values, limits)?.filter(|it| !it.trim().is_empty())),
            _ if federation.set(var, &values)? => {}
            _ => all.config.set(var, &values, limits)?,
        }
    }
    federation.apply(&mut all.config.federation);
    let secret = secret.unwrap_or_else(|| config.password.clone());
    all.config.password = match (protected.unwrap_or(secret.is_some()), secret) {
        (true, None) => return Err(Condition::NotAcceptable),
        (true, secret) => secret,
        (false, _) => None,
    };
    Ok(all)
}

/// The same for what the service itself has written down ([`filled`]): what it cannot read stays as it is.
pub(super) fn restore(filled: &Element, config: &mut Config, limits: &Limits) {
    // Limits may have been lowered since.
    let limits = Limits {
        text: usize::MAX,
        ..*limits
    };
    let mut secret = None;
    let mut federation = Answers::new(&config.federation);
    for (var, field) in form::fields(filled) {
        let values: Vec<_> = form::values(field).collect();
        match var {
            SECRET => secret = values.first().map(|secret| secret.to_string()),
            PROTECTED => {}
            _ if federation.set(var, &values) != Ok(false) => {}
            _ => _ = config.set(var, &values, &limits),
        }
    }
    federation.apply(&mut config.federation);
    config.password = secret;
}

const ADMINS: &str = "muc#roomconfig_roomadmins";
const OWNERS: &str = "muc#roomconfig_roomowners";
const PROTECTED: &str = "muc#roomconfig_passwordprotectedroom";
const SECRET: &str = "muc#roomconfig_roomsecret";

impl Config {
    /// One field but those of passwords and lists. Unknown ones are passed over.
    fn set(
        &mut self,
        var: &str,
        values: &[Cow<'_, str>],
        limits: &Limits,
    ) -> Result<(), Condition> {
        let set = |place: &mut bool| {
            *place = boolean(values)?.unwrap_or(*place);
            Ok(())
        };
        match var.strip_prefix("muc#roomconfig_").unwrap_or(var) {
            "roomname" => self.name = text(values, limits)?,
            "roomdesc" => self.description = text(values, limits)?,
            "lang" => self.lang = language(values)?,
            "pubsub" => self.pubsub = text(values, limits)?,
            "persistentroom" => set(&mut self.persistent)?,
            "publicroom" => set(&mut self.public)?,
            "membersonly" => set(&mut self.members_only)?,
            "moderatedroom" => set(&mut self.moderated)?,
            "changesubject" => set(&mut self.change_subject)?,
            "allowinvites" => set(&mut self.allow_invites)?,
            "enablelogging" => set(&mut self.logging)?,
            "whois" => self.whois = one(values, Whois::named)?.unwrap_or(self.whois),
            "allowpm" => self.allow_pm = one(values, AllowPm::named)?.unwrap_or(self.allow_pm),
            "presencebroadcast" => self.presence_broadcast = roles(values)?,
            "getmemberlist" => self.get_member_list = roles(values)?,
            "maxusers" => {
                let users = |value: &str| match value {
                    "none" | "" => Some(None),
                    number => number.parse().ok().map(Some),
                };
                let users = one(values, users)?.unwrap_or(self.max_users);
                if users == Some(0) || users > Some(limits.occupants) {
                    return Err(Condition::NotAcceptable);
                }
                self.max_users = users;
            }
            // More than the service keeps cannot be got anyway.
            "muc#maxhistoryfetch" => {
                let number = one(values, |value| value.parse().ok())?;
                self.history = number.unwrap_or(self.history).min(limits.history);
            }
            _ => {}
        }
        Ok(())
    }
}

/// All fields but the lists, in the order in which they are asked.
fn fields(config: &Config, limits: &Limits) -> Vec<Field> {
    let text = |var, label, value: &Option<String>| {
        Field::new(var, "text-single", label, value.iter().cloned().collect())
    };
    let boolean = |var, label, value| {
        Field::new(
            var,
            "boolean",
            label,
            vec![if value { "1" } else { "0" }.to_owned()],
        )
    };
    let roles = |var, label, value: &[Role]| {
        let values = value.iter().map(|role| role.name().to_owned()).collect();
        Field::new(var, "list-multi", label, values).options(&[
            ("moderator", "Moderator"),
            ("participant", "Participant"),
            ("visitor", "Visitor"),
        ])
    };
    let one =
        |var, label, value: &str| Field::new(var, "list-single", label, vec![value.to_owned()]);
    let secret = config.password.iter().cloned().collect();
    vec![
        text(
            "muc#roomconfig_roomname",
            "Natural-Language Room Name",
            &config.name,
        ),
        text(
            "muc#roomconfig_roomdesc",
            "Short Description of Room",
            &config.description,
        ),
        text(
            "muc#roomconfig_lang",
            "Natural Language for Room Discussions",
            &config.lang,
        ),
        boolean(
            "muc#roomconfig_enablelogging",
            "Enable Public Logging?",
            config.logging,
        ),
        boolean(
            "muc#roomconfig_changesubject",
            "Allow Occupants to Change Subject?",
            config.change_subject,
        ),
        boolean(
            "muc#roomconfig_allowinvites",
            "Allow Members to Invite Others?",
            config.allow_invites,
        ),
        one(
            "muc#roomconfig_allowpm",
            "Who Can Send Private Messages?",
            config.allow_pm.name(),
        )
        .options(&[
            ("anyone", "Anyone"),
            ("participants", "Anyone with Voice"),
            ("moderators", "Moderators Only"),
            ("none", "Nobody"),
        ]),
        Field::users(config.max_users, limits),
        roles(
            "muc#roomconfig_presencebroadcast",
            "Roles for which Presence is Broadcasted",
            &config.presence_broadcast,
        ),
        roles(
            "muc#roomconfig_getmemberlist",
            "Roles that May Retrieve Member List",
            &config.get_member_list,
        ),
        boolean(
            "muc#roomconfig_publicroom",
            "Make Room Publicly Searchable?",
            config.public,
        ),
        boolean(
            "muc#roomconfig_persistentroom",
            "Make Room Persistent?",
            config.persistent,
        ),
        boolean(
            "muc#roomconfig_moderatedroom",
            "Make Room Moderated?",
            config.moderated,
        ),
        boolean(
            "muc#roomconfig_membersonly",
            "Make Room Members-Only?",
            config.members_only,
        ),
        boolean(
            PROTECTED,
            "Password Required to Enter?",
            config.password.is_some(),
        ),
        Field::new(SECRET, "text-private", "Password", secret),
        one(
            "muc#roomconfig_whois",
            "Who May Discover Real JIDs?",
            config.whois.name(),
        )
        .options(&[("moderators", "Moderators Only"), ("anyone", "Anyone")]),
        Field::new(
            "muc#maxhistoryfetch",
            "text-single",
            "Maximum Number of History Messages Returned by Room",
            vec![config.history.to_string()],
        ),
        text(
            "muc#roomconfig_pubsub",
            "XMPP URI of Associated Publish-Subscribe Node",
            &config.pubsub,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fmuc::{Accept, LinkProfile, Mode};

    fn text() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[ -~\u{a0}-\u{d7ff}]{1,20}")
    }

    fn some_roles() -> impl Strategy<Value = Vec<Role>> {
        let all = vec![Role::Moderator, Role::Participant, Role::Visitor];
        proptest::sample::subsequence(all, 0..=3)
    }

    fn federation() -> impl Strategy<Value = Federation> {
        let jid = || "[a-z]{1,5}@rooms\\.[a-z]{1,5}\\.example";
        let parents = proptest::collection::vec(jid(), 0..3);
        let accepted = proptest::collection::vec(jid(), 0..3);
        let choices = (0..3_usize, 0..3_usize, any::<bool>());
        (parents, accepted, choices).prop_map(|(parents, accepted, choices)| {
            let (accept, profile, replica) = choices;
            let parents = parents.iter().map(|jid| BareJid::new(jid).unwrap());
            let accepted = accepted.iter().map(|jid| Jid::new(jid).unwrap()).collect();
            Federation {
                parents: parents.collect(),
                mode: if replica {
                    Mode::Replica
                } else {
                    Mode::Primary
                },
                accept: [Accept::None, Accept::Any, Accept::Only(accepted)][accept].clone(),
                profile: [LinkProfile::Lan, LinkProfile::Sat, LinkProfile::Hf][profile],
            }
        })
    }

    fn config() -> impl Strategy<Value = Config> {
        let texts = (
            text(),
            text(),
            text(),
            proptest::option::of("[!-~][ -~]{0,9}"),
        );
        let switches = any::<[bool; 8]>();
        let numbers = (
            proptest::option::of(1..20_000_usize),
            0..100_usize,
            0..4_usize,
        );
        let roles = (some_roles(), some_roles());
        let all = (texts, switches, numbers, roles, federation());
        all.prop_map(|(texts, switches, numbers, roles, federation)| {
            let (name, description, pubsub, password) = texts;
            let [
                persistent,
                public,
                members_only,
                moderated,
                change_subject,
                allow_invites,
                logging,
                open,
            ] = switches;
            let (max_users, history, allow_pm) = numbers;
            let names = ["anyone", "participants", "moderators", "none"];
            Config {
                name,
                description,
                lang: open.then(|| "en-GB".to_owned()),
                persistent,
                public,
                members_only,
                moderated,
                password,
                whois: if open {
                    Whois::Anyone
                } else {
                    Whois::Moderators
                },
                change_subject,
                allow_invites,
                allow_pm: AllowPm::named(names[allow_pm]).unwrap(),
                max_users,
                presence_broadcast: roles.0,
                get_member_list: roles.1,
                history,
                logging,
                pubsub,
                federation: federation.into(),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_read_again(config in config()) {
            let limits = Limits::default();
            let written = filled(&config).to_string();
            let written = Element::parse(&written).unwrap();
            let mut restored = Config::default();
            restore(&written, &mut restored, &limits);
            prop_assert_eq!(&restored, &config);
            let read = read(&written, &Config::default(), &limits).unwrap();
            prop_assert_eq!(&read.config, &config);
        }

        #[test]
        fn whatever_is_submitted_is_within_the_bounds_or_refused(
            fields in proptest::collection::vec(("[a-z]{1,10}|maxusers|roomname|whois|roomsecret|lang|membersonly", proptest::collection::vec(".{0,40}", 0..3)), 0..8)
        ) {
            let limits = Limits { text: 16, ..Limits::default() };
            let answers = fields.iter().map(|(var, values)| {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                form::field(&format!("muc#roomconfig_{var}"), values)
            });
            let form = form::form("submit", ns::CONFIG_FORM).with_children(answers);
            if let Ok(Submitted { config, .. }) = read(&form, &Config::default(), &limits) {
                let texts = [config.name, config.description, config.lang, config.password, config.pubsub];
                prop_assert!(texts.iter().flatten().all(|text| !text.is_empty() && text.len() <= 16));
                prop_assert!(config.max_users.is_none_or(|users| users <= limits.occupants));
            }
        }
    }
}

//! How a room is configured (XEP-0045 §16.5.3).

use std::sync::Arc;

use super::Role;
use crate::fmuc::Federation;

/// How a room is configured. The default is what [`Settings::defaults`](crate::Settings::defaults) usually is: an open room that is gone when the
/// last one has left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// `roomname`.
    pub name: Option<String>,
    /// `roomdesc`.
    pub description: Option<String>,
    /// `lang`.
    pub lang: Option<String>,
    /// `persistentroom`: it stays when the last one has left; default no.
    pub persistent: bool,
    /// `publicroom`: it is found by others than those who know its address; default yes.
    pub public: bool,
    /// `membersonly`; default no.
    pub members_only: bool,
    /// `moderatedroom`: only who has voice speaks; default no.
    pub moderated: bool,
    /// `passwordprotectedroom` and `roomsecret`: who enters needs it.
    pub password: Option<String>,
    /// `whois`: who may see real addresses; default moderators.
    pub whois: Whois,
    /// `changesubject`: occupants without a special role may change it; default no.
    pub change_subject: bool,
    /// `allowinvites`: members may invite others (into a members-only room: else only admins); default no.
    pub allow_invites: bool,
    /// `allowpm`: who may send private messages; default anybody.
    pub allow_pm: AllowPm,
    /// `maxusers`; `None` for as many as the service takes.
    pub max_users: Option<usize>,
    /// `presencebroadcast`: the roles of which others hear that they are there; default all.
    pub presence_broadcast: Vec<Role>,
    /// `getmemberlist`: the roles that may get the lists; default moderators.
    pub get_member_list: Vec<Role>,
    /// `maxhistoryfetch`: the most messages that one who enters gets; default 20.
    pub history: usize,
    /// `enablelogging`: those who enter are told that the room is logged (§7.2.12); default no. Whoever keeps a log asks for this.
    pub logging: bool,
    /// `pubsub`: the address of a node that belongs to the room.
    pub pubsub: Option<String>,
    /// `x-fmuc#…`: how it is one with rooms elsewhere, if its service federates rooms and [leaves it to owners](super::FederatedBy); default
    /// not.
    pub federation: Arc<Federation>,
}

/// Who may see real addresses (§4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whois {
    /// Moderators: the room is semi-anonymous.
    #[default]
    Moderators,
    /// Anyone: it is not anonymous.
    Anyone,
}

/// Who may send private messages (§7.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowPm {
    /// Anybody to anybody.
    #[default]
    Anyone,
    /// Participants and moderators.
    Participants,
    /// Moderators.
    Moderators,
    /// Nobody.
    None,
}

impl Whois {
    /// As it stands in the form.
    pub fn name(self) -> &'static str {
        match self {
            Whois::Moderators => "moderators",
            Whois::Anyone => "anyone",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Whois> {
        let all = [Whois::Moderators, Whois::Anyone];
        all.into_iter().find(|one| one.name() == name)
    }
}

impl AllowPm {
    /// As it stands in the form.
    pub fn name(self) -> &'static str {
        match self {
            AllowPm::Anyone => "anyone",
            AllowPm::Participants => "participants",
            AllowPm::Moderators => "moderators",
            AllowPm::None => "none",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<AllowPm> {
        use AllowPm::*;
        let all = [Anyone, Participants, Moderators, None];
        all.into_iter().find(|one| one.name() == name)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: None,
            description: None,
            lang: None,
            persistent: false,
            public: true,
            members_only: false,
            moderated: false,
            password: None,
            whois: Whois::Moderators,
            change_subject: false,
            allow_invites: false,
            allow_pm: AllowPm::Anyone,
            max_users: None,
            presence_broadcast: vec![Role::Moderator, Role::Participant, Role::Visitor],
            get_member_list: vec![Role::Moderator],
            history: 20,
            logging: false,
            pubsub: None,
            federation: Arc::default(),
        }
    }
}

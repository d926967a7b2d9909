//! What somebody is in a room, and to it (XEP-0045 §5).

use std::fmt;

/// What an occupant is in a room as long as they are in it (§5.1). In the order of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Not in the room.
    #[default]
    None,
    /// Hears, but does not speak if the room is moderated.
    Visitor,
    /// Speaks.
    Participant,
    /// Kicks, and gives and takes voice.
    Moderator,
}

/// What a user is to a room, whether they are in it or not (§5.2). In the order of privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Affiliation {
    /// Banned.
    Outcast,
    /// Nothing.
    #[default]
    None,
    /// May enter a members-only room.
    Member,
    /// Bans, and makes members and moderators.
    Admin,
    /// Configures and destroys.
    Owner,
}

impl Role {
    /// As it stands in `role='…'`.
    pub fn name(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Visitor => "visitor",
            Role::Participant => "participant",
            Role::Moderator => "moderator",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Role> {
        use Role::*;
        let all = [None, Visitor, Participant, Moderator];
        all.into_iter().find(|role| role.name() == name)
    }
}

impl Affiliation {
    /// As it stands in `affiliation='…'`.
    pub fn name(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }

    /// The role of one who enters (§5.1.2).
    pub fn role(self, moderated: bool) -> Role {
        match self {
            Affiliation::Outcast => Role::None,
            Affiliation::None if moderated => Role::Visitor,
            Affiliation::None | Affiliation::Member => Role::Participant,
            Affiliation::Admin | Affiliation::Owner => Role::Moderator,
        }
    }

    /// The affiliation of this name.
    pub fn named(name: &str) -> Option<Affiliation> {
        use Affiliation::*;
        let all = [Outcast, None, Member, Admin, Owner];
        all.into_iter().find(|one| one.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Affiliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

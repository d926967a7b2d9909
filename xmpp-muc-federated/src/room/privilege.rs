//! Who may do what (XEP-0045 §5): the tables of the specification, as tables.

use xmpp_core::stanza::Condition;

use super::{Affiliation, AllowPm, Config, Role};

/// What a role may allow (§5.1.1), as far as the role decides it: who is not in the room has none of it, and to invite others
/// into a members-only room is a matter of affiliations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    /// That others hear of them.
    BroadcastPresence,
    PrivateMessages,
    /// Voice.
    SpeakToAll,
    ModifySubject,
}

/// A right of an affiliation (§5.2.1). Who may enter is the matter of `enter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Register,
    GetMemberList,
    Ban,
    EditMemberList,
    AssignModerators,
    EditAdminList,
    EditOwnerList,
    Configure,
    Destroy,
}

/// What somebody is in a room and to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) role: Role,
    pub(super) affiliation: Affiliation,
}

/// A cell of the table of privileges.
#[derive(Clone, Copy)]
enum Cell {
    No,
    Yes,
    /// "Default; configuration settings MAY modify this privilege."
    Set(fn(&Config, Role) -> bool),
}

/// Who makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It is none, or comes about by entering.
    Nobody,
    Moderator,
    Admin,
    Owner,
}

impl Privilege {
    /// For none, visitors, participants and moderators (§5.1.1).
    const fn row(self) -> [Cell; 4] {
        use Cell::{No, Set, Yes};
        match self {
            Privilege::BroadcastPresence => {
                let listed = Set(|config, role| config.presence_broadcast.contains(&role));
                [No, listed, listed, listed]
            }
            Privilege::PrivateMessages => {
                let allowed = Set(|config, role| match config.allow_pm {
                    AllowPm::Anyone => true,
                    AllowPm::Participants => role >= Role::Participant,
                    AllowPm::Moderators => role == Role::Moderator,
                    AllowPm::None => false,
                });
                [No, allowed, allowed, allowed]
            }
            // "An implementation MAY grant voice by default to visitors in unmoderated rooms": else a room that is not
            // moderated any more would have to tell everybody of each of its visitors.
            Privilege::SpeakToAll => [No, Set(|config, _| !config.moderated), Yes, Yes],
            Privilege::ModifySubject => {
                let allowed = Set(|config, _| config.change_subject);
                [No, No, allowed, Yes]
            }
        }
    }
}

impl Config {
    /// Whether occupants of this role may do this (§5.1.1).
    pub(super) fn allows(&self, role: Role, privilege: Privilege) -> bool {
        match privilege.row()[role as usize] {
            Cell::No => false,
            Cell::Yes => true,
            Cell::Set(by) => by(self, role),
        }
    }
}

impl Right {
    /// For outcasts, unaffiliated users, members, admins and owners (§5.2.1).
    ///
    /// To register there is no need for those who are members: "N/A". They may have a nick reserved.
    const fn row(self) -> [bool; 5] {
        match self {
            Right::Register => [false, true, true, true, true],
            Right::GetMemberList => [false, false, true, true, true],
            Right::Ban => [false, false, false, true, true],
            Right::EditMemberList => [false, false, false, true, true],
            Right::AssignModerators => [false, false, false, true, true],
            Right::EditAdminList => [false, false, false, false, true],
            Right::EditOwnerList => [false, false, false, false, true],
            Right::Configure => [false, false, false, false, true],
            Right::Destroy => [false, false, false, false, true],
        }
    }
}

impl Affiliation {
    pub(super) fn may(self, right: Right) -> bool {
        right.row()[self as usize]
    }
}

/// Who changes a role (§5.1.3); from what, to what.
const ROLES: [[By; 4]; 4] = {
    use By::{Admin, Moderator, Nobody};
    [
        [Nobody, Nobody, Nobody, Nobody],
        [Moderator, Nobody, Moderator, Admin],
        [Moderator, Moderator, Nobody, Admin],
        [Admin, Admin, Admin, Nobody],
    ]
};

/// Who changes an affiliation (§5.2.2); from what, to what.
const AFFILIATIONS: [[By; 5]; 5] = {
    use By::{Admin, Nobody, Owner};
    [
        [Nobody, Admin, Admin, Owner, Owner],
        [Admin, Nobody, Admin, Owner, Owner],
        [Admin, Admin, Nobody, Owner, Owner],
        [Owner, Owner, Owner, Nobody, Owner],
        [Owner, Owner, Owner, Owner, Nobody],
    ]
};

/// Whether `actor` may give an occupant this role; if not, what is answered (§8.2–§8.5, §9.6–§9.8).
pub(super) fn change_role(
    actor: Standing,
    target: Standing,
    to: Role,
    oneself: bool,
) -> Result<(), Condition> {
    if target.role == Role::None {
        return Err(Condition::ItemNotFound);
    }
    let is_moderator = actor.role == Role::Moderator;
    let is_admin = actor.affiliation.may(Right::AssignModerators);
    let by = ROLES[target.role as usize][to as usize];
    // §8: requests of others than moderators, and §9: than admins, "MUST be denied [...] the service MUST return a <forbidden/>
    // error"
    let is_one = match by {
        By::Nobody => is_moderator || is_admin,
        By::Admin if to != Role::None => is_admin || is_moderator,
        _ => is_moderator,
    };
    if !is_one {
        return Err(Condition::Forbidden);
    }
    let removes_voice = to == Role::Visitor && target.role > to;
    let removes_status =
        target.role == Role::Moderator && matches!(to, Role::Participant | Role::Visitor);
    match to {
        Role::None if oneself => Ok(()),
        // §8.2: "A user cannot be kicked by a moderator with a lower affiliation. [...] the service MUST deny the request and
        // return a <not-allowed/> error"
        Role::None if target.affiliation > actor.affiliation => Err(Condition::NotAllowed),
        Role::None if by == By::Admin && !is_admin => Err(Condition::NotAllowed),
        Role::None => Ok(()),
        // §9.7: "an admin MUST NOT be allowed to revoke moderator status from a user whose affiliation is "owner" or "admin"";
        // §8.4: "a service MUST NOT allow the voice privileges of an admin or owner to be removed by anyone"
        _ if (removes_voice || removes_status) && target.affiliation >= Affiliation::Admin => {
            Err(Condition::NotAllowed)
        }
        _ if by == By::Admin && !is_admin => Err(Condition::Forbidden),
        // §8.4: "A moderator MUST NOT be able to revoke voice from a user whose affiliation is at or above the moderator's
        // level". Where there is no affiliation (§5.2: "None" is its absence), there is none above or at anything: a moderator
        // without one can do their work (§5.1.1, §8.5).
        _ if removes_voice
            && !oneself
            && target.affiliation > Affiliation::None
            && target.affiliation >= actor.affiliation =>
        {
            Err(Condition::NotAllowed)
        }
        _ => Ok(()),
    }
}

/// Whether `actor` may make somebody of one affiliation one of another; if not, what is answered (§9.1–§9.5, §10.3–§10.8).
pub(super) fn change_affiliation(
    actor: Affiliation,
    from: Affiliation,
    to: Affiliation,
    oneself: bool,
) -> Result<(), Condition> {
    // §9, "except where explicitly noted": "the service MUST return a <forbidden/> error"
    if !actor.may(Right::Ban) {
        return Err(Condition::Forbidden);
    }
    // §9.1: "If an admin or owner attempts to ban himself, the service MUST deny the request and return a <conflict/> error"
    if oneself && to == Affiliation::Outcast {
        return Err(Condition::Conflict);
    }
    let needs_owner = match AFFILIATIONS[from as usize][to as usize] {
        By::Owner => true,
        // A nick or a reason of one on the list of admins or owners.
        By::Nobody => from >= Affiliation::Admin,
        By::Moderator | By::Admin => false,
    };
    match needs_owner && !actor.may(Right::EditOwnerList) {
        false => Ok(()),
        // §9.1: "if an admin attempts to ban an owner, the service MUST deny the request and return a <not-allowed/> error"
        true if to == Affiliation::Outcast => Err(Condition::NotAllowed),
        // §10.5, §10.8: "If a non-owner attempts to modify the owner list, the service MUST deny the request and return a
        // <forbidden/> error", and so for the list of admins
        true => Err(Condition::Forbidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: [Role; 4] = [
        Role::None,
        Role::Visitor,
        Role::Participant,
        Role::Moderator,
    ];
    const AFFILIATION: [Affiliation; 5] = [
        Affiliation::Outcast,
        Affiliation::None,
        Affiliation::Member,
        Affiliation::Admin,
        Affiliation::Owner,
    ];

    fn config(change: impl Fn(&mut Config)) -> Config {
        let mut config = Config::default();
        change(&mut config);
        config
    }

    /// XEP-0045 §5.1.1; each of its footnotes is a row
    #[test]
    fn roles_have_the_privileges_of_the_table() {
        use Privilege::*;
        let open = config(|_| {});
        let moderated = config(|c| c.moderated = true);
        let pm = |allow_pm| config(|c| c.allow_pm = allow_pm);
        let subject = config(|c| c.change_subject = true);
        let quiet = config(|c| c.presence_broadcast = vec![Role::Moderator]);
        for (privilege, config, row) in [
            (BroadcastPresence, &open, "no yes yes yes"),
            (BroadcastPresence, &quiet, "no no no yes"),
            (PrivateMessages, &open, "no yes yes yes"),
            (PrivateMessages, &pm(AllowPm::Participants), "no no yes yes"),
            (PrivateMessages, &pm(AllowPm::Moderators), "no no no yes"),
            (PrivateMessages, &pm(AllowPm::None), "no no no no"),
            (SpeakToAll, &open, "no yes yes yes"),
            (SpeakToAll, &moderated, "no no yes yes"),
            (ModifySubject, &open, "no no no yes"),
            (ModifySubject, &subject, "no no yes yes"),
        ] {
            let cells = ROLE.map(|role| match config.allows(role, privilege) {
                true => "yes",
                false => "no",
            });
            assert_eq!(cells.join(" "), row, "{privilege:?}");
        }
    }

    /// XEP-0045 §5.1.2; into a members-only room nobody without an affiliation comes
    #[test]
    fn the_first_role_is_that_of_the_table() {
        for (moderated, row) in [
            (true, "none visitor participant moderator moderator"),
            (false, "none participant participant moderator moderator"),
        ] {
            assert_eq!(
                AFFILIATION.map(|one| one.role(moderated).name()).join(" "),
                row
            );
        }
    }

    /// XEP-0045 §5.2.1
    #[test]
    fn affiliations_have_the_rights_of_the_table() {
        use Right::*;
        for (right, row) in [
            (Register, "no yes yes yes yes"),
            (GetMemberList, "no no yes yes yes"),
            (Ban, "no no no yes yes"),
            (EditMemberList, "no no no yes yes"),
            (AssignModerators, "no no no yes yes"),
            (EditAdminList, "no no no no yes"),
            (EditOwnerList, "no no no no yes"),
            (Configure, "no no no no yes"),
            (Destroy, "no no no no yes"),
        ] {
            let cells = AFFILIATION.map(|one| match one.may(right) {
                true => "yes",
                false => "no",
            });
            assert_eq!(cells.join(" "), row, "{right:?}");
        }
    }

    /// What comes of each role somebody may be given by others of these standings: `+` if it is done, `f` forbidden, `n`
    /// not-allowed.
    fn roles(actor: (Role, Affiliation), target: Affiliation) -> String {
        let standing = |role, affiliation| Standing { role, affiliation };
        let actor = standing(actor.0, actor.1);
        let row = |from: Role| {
            let cell = |to: Role| letter(change_role(actor, standing(from, target), to, false));
            ROLE.map(cell).concat()
        };
        ROLE[1..]
            .iter()
            .map(|from| row(*from))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn letter(outcome: Result<(), Condition>) -> &'static str {
        match outcome {
            Ok(()) => "+",
            Err(Condition::Forbidden) => "f",
            Err(Condition::NotAllowed) => "n",
            Err(Condition::Conflict) => "c",
            Err(other) => panic!("{other:?}"),
        }
    }

    /// XEP-0045 §5.1.3 with §8.2–§8.5 and §9.6–§9.8. Each group is what the target is (visitor, participant, moderator), each
    /// letter what they would become (none, visitor, participant, moderator).
    #[test]
    fn roles_are_changed_by_those_who_may() {
        use Affiliation::*;
        for (role, affiliation, none, member, admin, owner) in [
            // Who is no moderator changes nothing.
            (
                Role::Participant,
                Member,
                "ffff ffff ffff",
                "ffff ffff ffff",
                "ffff ffff ffff",
                "ffff ffff ffff",
            ),
            (
                Role::None,
                None,
                "ffff ffff ffff",
                "ffff ffff ffff",
                "ffff ffff ffff",
                "ffff ffff ffff",
            ),
            // Moderators kick, and give and take voice, unless the other is more than they are.
            (
                Role::Moderator,
                None,
                "+++f +++f nff+",
                "n++f nn+f nff+",
                "n++f nn+f nnn+",
                "n++f nn+f nnn+",
            ),
            (
                Role::Moderator,
                Member,
                "+++f +++f nff+",
                "+++f +n+f nff+",
                "n++f nn+f nnn+",
                "n++f nn+f nnn+",
            ),
            // Admins make moderators as well.
            (
                Role::Moderator,
                Admin,
                "++++ ++++ ++++",
                "++++ ++++ ++++",
                "++++ +n++ +nn+",
                "n+++ nn++ nnn+",
            ),
            (
                Role::Moderator,
                Owner,
                "++++ ++++ ++++",
                "++++ ++++ ++++",
                "++++ +n++ +nn+",
                "++++ +n++ +nn+",
            ),
            // Also when they are not there, which moderators have to be.
            (
                Role::None,
                Admin,
                "f+f+ ff++ f+++",
                "f+f+ ff++ f+++",
                "f+f+ ff++ fnn+",
                "f+f+ ff++ fnn+",
            ),
        ] {
            for (target, expected) in [
                (None, none),
                (Member, member),
                (Admin, admin),
                (Owner, owner),
            ] {
                let got = roles((role, affiliation), target);
                assert_eq!(got, expected, "{role} {affiliation} to {target}");
            }
        }
    }

    /// XEP-0045 §8.2: "it is common in IRC as a way of apologizing"; what is no kick is no privilege
    #[test]
    fn moderators_may_kick_themselves_but_stay_what_they_have_to_be() {
        let me = |affiliation| Standing {
            role: Role::Moderator,
            affiliation,
        };
        for (affiliation, to, expected) in [
            (Affiliation::None, Role::None, "+"),
            (Affiliation::Owner, Role::None, "+"),
            (Affiliation::Owner, Role::Visitor, "n"),
            (Affiliation::Admin, Role::Participant, "n"),
        ] {
            let me = me(affiliation);
            assert_eq!(letter(change_role(me, me, to, true)), expected);
        }
    }

    /// XEP-0045 §5.2.2 with §9.1–§9.5 and §10.3–§10.8. Each group is what the target is, each letter what they would become, in
    /// the order outcast, none, member, admin, owner.
    #[test]
    fn affiliations_are_changed_by_those_who_may() {
        let nothing = ["fffff"; 5].join(" ");
        for (actor, expected) in [
            (Affiliation::Outcast, &*nothing),
            (Affiliation::None, &*nothing),
            (Affiliation::Member, &*nothing),
            (Affiliation::Admin, "+++ff +++ff +++ff nffff nffff"),
            (Affiliation::Owner, "+++++ +++++ +++++ +++++ +++++"),
        ] {
            let row = |from: Affiliation| {
                let cell = |to| letter(change_affiliation(actor, from, to, false));
                AFFILIATION.map(cell).concat()
            };
            assert_eq!(AFFILIATION.map(row).join(" "), expected, "{actor}");
        }
        // §9.1
        for me in [Affiliation::Admin, Affiliation::Owner] {
            assert_eq!(
                letter(change_affiliation(me, me, Affiliation::Outcast, true)),
                "c"
            );
        }
    }
}

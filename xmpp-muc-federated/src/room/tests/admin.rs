//! §9, §10.3–§10.8: bans, members, admins and owners

use super::*;

fn coven(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.is("wiccarocks", Affiliation::Admin);
    bench.is("hag66", Affiliation::Member);
    for (who, nick) in [
        ("crone1/desktop", "firstwitch"),
        ("wiccarocks/laptop", "secondwitch"),
        ("hag66/pda", "thirdwitch"),
    ] {
        bench.happens(&format!("{who} enters {nick}"));
    }
    bench
}

/// §9.1: "MUST add that bare JID to the ban list, MUST remove the outcast's nickname from the list of registered nicknames, and MUST inform the admin or owner of
/// success"; then the rest hears of it
#[test]
fn who_is_banned_has_to_go_and_does_not_come_back() {
    let mut bench = coven(|config| config.persistent = true);
    bench.reserve("hag66", Affiliation::Member, Some("Hag"));
    bench.play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='hag66@shakespeare.lit/other'><reason>Treason</reason></item>
        hag66/pda enters thirdwitch
        wiccarocks/laptop lists affiliation='outcast'
        wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
        wiccarocks/laptop lists affiliation='outcast'
        hag66/pda <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>
        ",
    );
}

/// §9.1: "if an admin attempts to ban an owner, the service MUST deny the request and return a <not-allowed/> error"; "If an admin or owner attempts to ban himself,
/// the service MUST deny the request and return a <conflict/> error"
#[test]
fn superiors_and_oneself_are_not_banned() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='crone1@shakespeare.lit'/>
        wiccarocks/laptop admin <item affiliation='outcast' jid='wiccarocks@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='outcast' jid='crone1@shakespeare.lit'/>
        wiccarocks/laptop admin <item affiliation='outcast' jid='admin@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='none' jid='admin@shakespeare.lit'/>
        hag66/pda admin <item affiliation='outcast' jid='hecate@shakespeare.lit'/>
        ",
    );
}

/// §9.2: "the service SHOULD NOT apply any of the requested changes"
#[test]
fn changes_are_made_together_or_not_at_all() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='hag66@shakespeare.lit'/><item affiliation='outcast' jid='crone1@shakespeare.lit'/>
        wiccarocks/laptop lists affiliation='outcast'
        wiccarocks/laptop admin <item affiliation='outcast' jid='a@x.example'/><item affiliation='outcast' jid='b@x.example'/>
        wiccarocks/laptop lists affiliation='outcast'
        ",
    );
}

/// §9.2: "<domain> (the domain itself matches, as does any user@domain)"
#[test]
fn a_domain_is_banned_but_for_those_who_have_an_affiliation() {
    let mut bench = coven(|_| {});
    bench.happens("bard/globe enters bard");
    bench.play(
        "
        crone1/desktop admin <item affiliation='outcast' jid='shakespeare.lit'/>
        bard/globe enters bard
        crone1/desktop admin <item affiliation='owner' jid='x.example'/>
        crone1/desktop admin <item affiliation='none' jid='shakespeare.lit'/>
        bard/globe enters bard
        ",
    );
}

/// §9.3, §9.5: "a service SHOULD send an invitation to any user who has been added to the member list of a members-only room"
#[test]
fn members_are_made_and_invited_where_they_need_it() {
    let mut bench = coven(|config| config.persistent = true);
    bench.happens("bard/globe enters bard");
    bench.play(
        "
        wiccarocks/laptop admin <item affiliation='member' jid='bard@shakespeare.lit' nick='TheBard'><reason>Words</reason></item>
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit' nick='thebard'/>
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit' nick='thirdwitch'/>
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit'/>
        crone1/desktop configures membersonly=1, passwordprotectedroom=1, roomsecret=cauldronburn
        wiccarocks/laptop admin <item affiliation='member' jid='duncan@shakespeare.lit'><reason>King</reason></item>
        wiccarocks/laptop lists affiliation='member'
        ",
    );
}

/// §9.4: "If the room is members-only, the service MUST remove the user from the room, including a status code of 321"; "it SHOULD only send the latter of the two"
#[test]
fn who_loses_membership_leaves_a_members_only_room() {
    coven(|config| config.members_only = true).play(
        "
        wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'><reason>Not so worthy</reason></item>
        hag66/pda enters thirdwitch
        ",
    );
    coven(|_| {}).play("wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>");
}

/// §9.5: "it SHOULD NOT generate a <forbidden/> error when a member in such a room requests the member list"; §10.5, §10.8: "the service MUST return a
/// <forbidden/> error to the sender in semi-anonymous rooms"
#[test]
fn lists_are_for_those_who_may_see_them() {
    let mut bench = coven(|_| {});
    bench.happens("bard/globe enters bard");
    bench.play(
        "
        hag66/pda lists affiliation='member'
        bard/globe lists affiliation='member'
        wiccarocks/laptop lists affiliation='admin'
        wiccarocks/laptop lists affiliation='owner'
        crone1/desktop lists affiliation='admin'
        crone1/desktop lists affiliation='owner'
        admin/1 lists affiliation='owner'
        hag66/pda lists affiliation='outcast'
        crone1/desktop lists affiliation='none'
        ",
    );
    bench.happens("crone1/desktop configures whois=anyone, getmemberlist=moderator participant");
    bench.play(
        "
        hag66/elsewhere lists affiliation='member'
        hag66/pda lists affiliation='owner'
        bard/globe lists affiliation='member'
        stranger/1 lists affiliation='member'
        bard/globe lists affiliation='outcast'
        ",
    );
}

/// §10.3–§10.8: "If the <user@host> of the 'from' address does not match the bare JID of a room owner, the service MUST return a <forbidden/> error"
#[test]
fn owners_make_owners_and_admins() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='owner' jid='hag66@shakespeare.lit'/>
        wiccarocks/laptop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
        wiccarocks/laptop admin <item affiliation='none' jid='crone1@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='owner' jid='hecate@shakespeare.lit'/>
        ",
    );
}

/// §10.4: "A service MUST NOT allow an owner to revoke his or her own owner status if there are no other owners; [...] the service MUST return a <conflict/> error",
/// "However, a service SHOULD allow an owner to revoke his or her own owner status if there are other owners."
#[test]
fn a_room_has_an_owner_always() {
    coven(|_| {}).play(
        "
        crone1/desktop admin <item affiliation='admin' jid='crone1@shakespeare.lit'/>
        admin/1 admin <item affiliation='none' jid='crone1@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='member' jid='crone1@shakespeare.lit'/><item affiliation='owner' jid='hag66@shakespeare.lit'/>
        crone1/desktop lists affiliation='owner'
        hag66/pda lists affiliation='owner'
        ",
    );
}

#[test]
fn lists_are_bounded_but_what_is_there_can_be_changed() {
    let mut limits = Limits::default();
    limits.affiliations = 2;
    let mut bench = Bench::limited(limits, |_| {});
    bench.is("hag66", Affiliation::Member);
    bench.play(
        "
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit'/>
        ",
    );
}

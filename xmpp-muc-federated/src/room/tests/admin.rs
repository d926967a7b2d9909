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

/// §9.1: "MUST add that bare JID to the ban list, MUST remove the outcast's nickname from the list of registered nicknames, and
/// MUST inform the admin or owner of success"; then the rest hears of it
#[test]
fn who_is_banned_has_to_go_and_does_not_come_back() {
    let mut bench = coven(|config| config.persistent = true);
    bench.reserve("hag66", Affiliation::Member, Some("Hag"));
    bench.play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='hag66@shakespeare.lit/other'><reason>Treason</reason></item>
            store entry hag66 outcast reason=Treason
            wiccarocks/laptop: answer  iq result 1
            hag66/pda: /thirdwitch gone outcast/none jid=hag66/pda actor=secondwitch reason=Treason 110 301
            crone1/desktop, wiccarocks/laptop: /thirdwitch gone outcast/none jid=hag66/pda actor=secondwitch reason=Treason 301
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error auth forbidden
        wiccarocks/laptop lists affiliation='outcast'
            wiccarocks/laptop: answer  iq result 1 query [affiliation=outcast jid=hag66 Treason]
        wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
            store no entry hag66
            wiccarocks/laptop: answer  iq result 1
        wiccarocks/laptop lists affiliation='outcast'
            wiccarocks/laptop: answer  iq result 1 query
        hag66/pda <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>
            hag66/pda: answer  iq result 1 query
        ",
    );
}

/// §9.1: "if an admin attempts to ban an owner, the service MUST deny the request and return a <not-allowed/> error"; "If an
/// admin or owner attempts to ban himself, the service MUST deny the request and return a <conflict/> error"
#[test]
fn superiors_and_oneself_are_not_banned() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='crone1@shakespeare.lit'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        wiccarocks/laptop admin <item affiliation='outcast' jid='wiccarocks@shakespeare.lit'/>
            wiccarocks/laptop:  iq error cancel conflict
        crone1/desktop admin <item affiliation='outcast' jid='crone1@shakespeare.lit'/>
            crone1/desktop:  iq error cancel conflict
        wiccarocks/laptop admin <item affiliation='outcast' jid='admin@shakespeare.lit'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        crone1/desktop admin <item affiliation='none' jid='admin@shakespeare.lit'/>
            crone1/desktop:  iq error cancel not-allowed
        hag66/pda admin <item affiliation='outcast' jid='hecate@shakespeare.lit'/>
            hag66/pda:  iq error auth forbidden
        ",
    );
}

/// §9.2: "the service SHOULD NOT apply any of the requested changes"
#[test]
fn changes_are_made_together_or_not_at_all() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='outcast' jid='hag66@shakespeare.lit'/><item affiliation='outcast' jid='crone1@shakespeare.lit'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        wiccarocks/laptop lists affiliation='outcast'
            wiccarocks/laptop: answer  iq result 1 query
        wiccarocks/laptop admin <item affiliation='outcast' jid='a@x.example'/><item affiliation='outcast' jid='b@x.example'/>
            wiccarocks/laptop: answer  iq result 1
        wiccarocks/laptop lists affiliation='outcast'
            wiccarocks/laptop: answer  iq result 1 query [affiliation=outcast jid=a@x.example] [affiliation=outcast jid=b@x.example]
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
            crone1/desktop: answer  iq result 1
            bard/globe: /bard gone outcast/none jid=bard/globe actor=firstwitch 110 301
            hag66/pda: /bard gone outcast/none actor=firstwitch 301
            crone1/desktop, wiccarocks/laptop: /bard gone outcast/none jid=bard/globe actor=firstwitch 301
        bard/globe enters bard
            bard/globe: /bard presence error auth forbidden
        crone1/desktop admin <item affiliation='owner' jid='x.example'/>
            crone1/desktop:  iq error modify not-acceptable
        crone1/desktop admin <item affiliation='none' jid='shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
        bard/globe enters bard
            bard/globe << /firstwitch is owner/moderator
            bard/globe << /secondwitch is admin/moderator
            bard/globe << /thirdwitch is member/participant
            bard/globe << /bard is none/participant jid=bard/globe 110
            bard/globe <<  says subject=\"\"
            hag66/pda: /bard is none/participant
            crone1/desktop, wiccarocks/laptop: /bard is none/participant jid=bard/globe
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
            store entry bard member nick=TheBard reason=Words
            wiccarocks/laptop: answer  iq result 1
            bard/globe: /bard is member/participant jid=bard/globe actor=secondwitch reason=Words 110
            hag66/pda: /bard is member/participant actor=secondwitch reason=Words
            crone1/desktop, wiccarocks/laptop: /bard is member/participant jid=bard/globe actor=secondwitch reason=Words
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit' nick='thebard'/>
            wiccarocks/laptop:  iq error cancel conflict
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit' nick='thirdwitch'/>
            wiccarocks/laptop:  iq error cancel conflict
        wiccarocks/laptop admin <item affiliation='member' jid='hecate@shakespeare.lit'/>
            store entry hecate member
            wiccarocks/laptop: answer  iq result 1
            crone1/desktop, wiccarocks/laptop:  tells <item affiliation='member' jid='hecate' role='none'/>
        crone1/desktop configures membersonly=1, passwordprotectedroom=1, roomsecret=cauldronburn
            store state
            crone1/desktop: answer  iq result 1
            crone1/desktop, wiccarocks/laptop, hag66/pda, bard/globe:  says <status code='104'/>
        wiccarocks/laptop admin <item affiliation='member' jid='duncan@shakespeare.lit'><reason>King</reason></item>
            store entry duncan member reason=King
            wiccarocks/laptop: answer  iq result 1
            crone1/desktop, wiccarocks/laptop:  tells <item affiliation='member' jid='duncan' role='none'/>
            duncan:  tells <invite from='/secondwitch'><reason>King</reason></invite> <password>cauldronburn</password>
        wiccarocks/laptop lists affiliation='member'
            wiccarocks/laptop: answer  iq result 1 query [affiliation=member jid=bard nick=TheBard Words] [affiliation=member jid=duncan King] [affiliation=member jid=hag66] [affiliation=member jid=hecate]
        ",
    );
}

/// §9.4: "If the room is members-only, the service MUST remove the user from the room, including a status code of 321"; "it
/// SHOULD only send the latter of the two"
#[test]
fn who_loses_membership_leaves_a_members_only_room() {
    coven(|config| config.members_only = true).play(
        "
        wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'><reason>Not so worthy</reason></item>
            wiccarocks/laptop: answer  iq result 1
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda actor=secondwitch reason=Not so worthy 110 321
            crone1/desktop, wiccarocks/laptop: /thirdwitch gone none/none jid=hag66/pda actor=secondwitch reason=Not so worthy 321
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error auth registration-required
        ",
    );
    coven(|_| {})
        .play("
        wiccarocks/laptop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
            wiccarocks/laptop: answer  iq result 1
            hag66/pda: /thirdwitch is none/participant jid=hag66/pda actor=secondwitch 110
            crone1/desktop, wiccarocks/laptop: /thirdwitch is none/participant jid=hag66/pda actor=secondwitch
        ");
}

/// §9.5: "it SHOULD NOT generate a <forbidden/> error when a member in such a room requests the member list"; §10.5, §10.8: "the
/// service MUST return a <forbidden/> error to the sender in semi-anonymous rooms"
#[test]
fn lists_are_for_those_who_may_see_them() {
    let mut bench = coven(|_| {});
    bench.happens("bard/globe enters bard");
    bench.play(
        "
        hag66/pda lists affiliation='member'
            hag66/pda:  iq error auth forbidden
        bard/globe lists affiliation='member'
            bard/globe:  iq error auth forbidden
        wiccarocks/laptop lists affiliation='admin'
            wiccarocks/laptop:  iq error auth forbidden
        wiccarocks/laptop lists affiliation='owner'
            wiccarocks/laptop:  iq error auth forbidden
        crone1/desktop lists affiliation='admin'
            crone1/desktop: answer  iq result 1 query [affiliation=admin jid=wiccarocks]
        crone1/desktop lists affiliation='owner'
            crone1/desktop: answer  iq result 1 query [affiliation=owner jid=crone1]
        admin/1 lists affiliation='owner'
            admin/1: answer  iq result 1 query [affiliation=owner jid=crone1]
        hag66/pda lists affiliation='outcast'
            hag66/pda:  iq error auth forbidden
        crone1/desktop lists affiliation='none'
            crone1/desktop:  iq error modify bad-request
        ",
    );
    bench.happens("crone1/desktop configures whois=anyone, getmemberlist=moderator participant");
    bench.play(
        "
        hag66/elsewhere lists affiliation='member'
            hag66/elsewhere: answer  iq result 1 query [affiliation=member jid=hag66]
        hag66/pda lists affiliation='owner'
            hag66/pda: answer  iq result 1 query [affiliation=owner jid=crone1]
        bard/globe lists affiliation='member'
            bard/globe: answer  iq result 1 query [affiliation=member jid=hag66]
        stranger/1 lists affiliation='member'
            stranger/1:  iq error auth forbidden
        bard/globe lists affiliation='outcast'
            bard/globe:  iq error auth forbidden
        ",
    );
}

/// §10.3–§10.8: "If the <user@host> of the 'from' address does not match the bare JID of a room owner, the service MUST return a
/// <forbidden/> error"
#[test]
fn owners_make_owners_and_admins() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item affiliation='owner' jid='hag66@shakespeare.lit'/>
            wiccarocks/laptop:  iq error auth forbidden
        wiccarocks/laptop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
            wiccarocks/laptop:  iq error auth forbidden
        wiccarocks/laptop admin <item affiliation='none' jid='crone1@shakespeare.lit'/>
            wiccarocks/laptop:  iq error auth forbidden
        crone1/desktop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
            hag66/pda: /thirdwitch is admin/moderator jid=hag66/pda actor=firstwitch 110
            crone1/desktop, wiccarocks/laptop: /thirdwitch is admin/moderator jid=hag66/pda actor=firstwitch
            hag66/pda << /firstwitch is owner/moderator jid=crone1/desktop
            hag66/pda << /secondwitch is admin/moderator jid=wiccarocks/laptop
        crone1/desktop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
            hag66/pda: /thirdwitch is none/participant jid=hag66/pda actor=firstwitch 110
            crone1/desktop, wiccarocks/laptop: /thirdwitch is none/participant jid=hag66/pda actor=firstwitch
        crone1/desktop admin <item affiliation='owner' jid='hecate@shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
            crone1/desktop, wiccarocks/laptop:  tells <item affiliation='owner' jid='hecate' role='none'/>
        ",
    );
}

/// §10.4: "A service MUST NOT allow an owner to revoke his or her own owner status if there are no other owners; [...] the
/// service MUST return a <conflict/> error", "However, a service SHOULD allow an owner to revoke his or her own owner status if
/// there are other owners."
#[test]
fn a_room_has_an_owner_always() {
    coven(|_| {}).play(
        "
        crone1/desktop admin <item affiliation='admin' jid='crone1@shakespeare.lit'/>
            crone1/desktop:  iq error cancel conflict
        admin/1 admin <item affiliation='none' jid='crone1@shakespeare.lit'/>
            admin/1:  iq error cancel conflict
        crone1/desktop admin <item affiliation='member' jid='crone1@shakespeare.lit'/><item affiliation='owner' jid='hag66@shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
            crone1/desktop: /firstwitch is member/participant jid=crone1/desktop actor=firstwitch 110
            wiccarocks/laptop, hag66/pda: /firstwitch is member/participant jid=crone1/desktop actor=firstwitch
            hag66/pda: /thirdwitch is owner/moderator jid=hag66/pda actor=firstwitch 110
            crone1/desktop: /thirdwitch is owner/moderator actor=firstwitch
            wiccarocks/laptop: /thirdwitch is owner/moderator jid=hag66/pda actor=firstwitch
            hag66/pda << /firstwitch is member/participant jid=crone1/desktop
            hag66/pda << /secondwitch is admin/moderator jid=wiccarocks/laptop
        crone1/desktop lists affiliation='owner'
            crone1/desktop:  iq error auth forbidden
        hag66/pda lists affiliation='owner'
            hag66/pda: answer  iq result 1 query [affiliation=owner jid=hag66]
        ",
    );
}

#[test]
fn lists_are_bounded_but_what_is_there_can_be_changed() {
    let limits = Limits {
        affiliations: 2,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |config| config.persistent = true);
    bench.is("hag66", Affiliation::Member);
    bench.play(
        "
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit'/>
            crone1/desktop:  iq error wait resource-constraint
        crone1/desktop admin <item affiliation='admin' jid='hag66@shakespeare.lit'/>
            store entry hag66 admin
            crone1/desktop: answer  iq result 1
        crone1/desktop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>
            store no entry hag66
            crone1/desktop: answer  iq result 1
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit'/>
            store entry bard member
            crone1/desktop: answer  iq result 1
        ",
    );
}

/// §9.5: "To unset a reserved nickname, the 'nick' attribute must be set to an empty string."
#[test]
fn a_nick_goes_from_one_member_to_another() {
    let mut bench = coven(|config| config.persistent = true);
    bench.reserve("hecate", Affiliation::Member, Some("Queen"));
    bench.play(
        "
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit' nick='queen'/>
            crone1/desktop:  iq error cancel conflict
        crone1/desktop admin <item affiliation='member' jid='hecate@shakespeare.lit' nick=''/><item affiliation='member' jid='bard@shakespeare.lit' nick='queen'/>
            store entry bard member nick=queen
            store entry hecate member
            crone1/desktop: answer  iq result 1
            crone1/desktop, wiccarocks/laptop:  tells <item affiliation='member' jid='bard' role='none'/>
        crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit' nick='&#x2060;'/>
            crone1/desktop:  iq error modify not-acceptable
        crone1/desktop lists affiliation='member'
            crone1/desktop: answer  iq result 1 query [affiliation=member jid=bard nick=queen] [affiliation=member jid=hag66] [affiliation=member jid=hecate]
        bard/globe enters Queen
            bard/globe << /firstwitch is owner/moderator
            bard/globe << /secondwitch is admin/moderator
            bard/globe << /thirdwitch is member/participant
            bard/globe << /Queen is member/participant jid=bard/globe 110
            bard/globe <<  says subject=\"\"
            hag66/pda: /Queen is member/participant
            crone1/desktop, wiccarocks/laptop: /Queen is member/participant jid=bard/globe
        ",
    );
}

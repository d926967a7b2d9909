//! §7.2

use super::*;
use crate::room::{AllowPm, Whois};

/// Macbeth's room, with two witches in it.
fn witches(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.is("wiccarocks", Affiliation::Admin);
    bench.is("hag66", Affiliation::Member);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("wiccarocks/laptop enters secondwitch");
    bench
}

#[test]
fn who_is_not_let_in_hears_that_it_was_a_room() {
    // §7.2, its examples: `<x xmlns='http://jabber.org/protocol/muc'/>` before the error. slixmpp waits for it.
    let mut bench = Bench::open(|config| config.password = Some("cauldronburn".into()));
    let out = bench.outputs("hag66/pda enters thirdwitch <password>wrong</password>");
    let [Output::Send(refusal), ..] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(
        format!("{refusal:?}"),
        "<presence to='hag66@shakespeare.lit/pda' from='coven@chat.shakespeare.lit/thirdwitch' type='error'>\
         <x xmlns='http://jabber.org/protocol/muc'/>\
         <error by='coven@chat.shakespeare.lit' type='auth'>\
         <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    );
}

#[test]
fn who_enters_first_creates_the_room_and_others_wait_until_it_is_unlocked() {
    // §7.2.10: "the service MUST refuse entry and return an <item-not-found/> error"
    Bench::new().play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110 201
            crone1/desktop <<  says subject=\"\"
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error cancel item-not-found
        hag66/pda says Is there a place?
            hag66/pda:  message error cancel item-not-found
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            destroyed
        ",
    );
}

#[test]
fn events_come_in_the_order_of_7_1() {
    let mut bench = Bench::open(|_| {});
    bench.is("wiccarocks", Affiliation::Admin);
    bench.is("hag66", Affiliation::Member);
    bench.play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110
            crone1/desktop <<  says subject=\"\"
        crone1/desktop says Thrice the brinded cat hath mew'd.
            crone1/desktop: /firstwitch says Thrice the brinded cat hath mew'd.
        crone1/desktop <message to='' type='groupchat'><subject>Fire Burn!</subject></message>
            crone1/desktop: /firstwitch says subject=\"Fire Burn!\"
        wiccarocks/laptop enters secondwitch
            wiccarocks/laptop << /firstwitch is owner/moderator jid=crone1/desktop
            wiccarocks/laptop << /secondwitch is admin/moderator jid=wiccarocks/laptop 110
            wiccarocks/laptop << /firstwitch says at 1970-01-01T00:00:00Z Thrice the brinded cat hath mew'd.
            wiccarocks/laptop << /firstwitch says at 1970-01-01T00:00:00Z subject=\"Fire Burn!\"
            crone1/desktop: /secondwitch is admin/moderator jid=wiccarocks/laptop
        wait 30
        hag66/pda <presence to='/thirdwitch' id='n13mt3l'><show>away</show><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110 show=away
            hag66/pda << /firstwitch says at 1970-01-01T00:00:00Z Thrice the brinded cat hath mew'd.
            hag66/pda << /firstwitch says at 1970-01-01T00:00:00Z subject=\"Fire Burn!\"
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda show=away
        ",
    );
}

#[test]
fn who_enters_without_a_nick_is_refused() {
    // §7.2.1: "the service MUST return a <jid-malformed/> error"
    witches(|_| {}).play(
        "
        hag66/pda <presence to='' id='273hs51g'><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hag66/pda:  presence error modify jid-malformed
        ",
    );
}

#[test]
fn all_see_who_is_who_where_nobody_is_anonymous_and_who_enters_is_warned() {
    // §7.2.3: "the service MUST warn the user by including a status code of "100"", §7.2.12: "170"
    let both = |config: &mut Config| {
        config.whois = Whois::Anyone;
        config.logging = true;
    };
    witches(both).play(
        "
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator jid=crone1/desktop
            hag66/pda << /secondwitch is admin/moderator jid=wiccarocks/laptop
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 100 110 170
            hag66/pda <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        macbeth/castle enters thane
            macbeth/castle << /firstwitch is owner/moderator jid=crone1/desktop
            macbeth/castle << /secondwitch is admin/moderator jid=wiccarocks/laptop
            macbeth/castle << /thirdwitch is member/participant jid=hag66/pda
            macbeth/castle << /thane is none/participant jid=macbeth/castle 100 110 170
            macbeth/castle <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop, hag66/pda: /thane is none/participant jid=macbeth/castle
        ",
    );
}

#[test]
fn only_moderators_see_who_is_who_in_a_semi_anonymous_room() {
    // §7.2.4: "MUST include the new occupant's full JID only in the presence notifications it sends to occupants with a role of
    // "moderator""
    let mut bench = witches(|_| {});
    bench.happens("macbeth/castle enters thane");
    bench.play(
        "
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thane is none/participant
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            macbeth/castle: /thirdwitch is member/participant
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        hag66/pda <presence to='/thirdwitch'><show>xa</show></presence>
            hag66/pda: /thirdwitch is member/participant jid=hag66/pda 110 show=xa
            macbeth/castle: /thirdwitch is member/participant show=xa
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda show=xa
        ",
    );
}

#[test]
fn a_password_is_asked_for() {
    // §7.2.5: "the service MUST deny access to the room and inform the user that they are unauthorized"
    let mut bench = witches(|_| {});
    bench.room.config.password = Some("cauldronburn".into());
    bench.play(
        "
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error auth not-authorized
        hag66/pda enters thirdwitch <password>cauldron</password>
            hag66/pda: /thirdwitch presence error auth not-authorized
        crone1/laptop enters fourthwitch
            crone1/laptop: /fourthwitch presence error auth not-authorized
        hag66/pda enters thirdwitch <password>cauldronburn</password>
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        ",
    );
}

#[test]
fn only_members_enter_a_members_only_room() {
    // §7.2.6
    witches(|config| config.members_only = true).play(
        "
        macbeth/castle enters thane
            macbeth/castle: /thane presence error auth registration-required
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        admin/office enters janitor
            admin/office << /firstwitch is owner/moderator jid=crone1/desktop
            admin/office << /secondwitch is admin/moderator jid=wiccarocks/laptop
            admin/office << /thirdwitch is member/participant jid=hag66/pda
            admin/office << /janitor is owner/moderator jid=admin/office 110
            admin/office <<  says subject=\"\"
            hag66/pda: /janitor is owner/moderator
            crone1/desktop, wiccarocks/laptop: /janitor is owner/moderator jid=admin/office
        ",
    );
}

#[test]
fn who_is_banned_does_not_enter_whatever_else_is_wrong() {
    // §7.2.7
    let mut bench = witches(|_| {});
    bench.room.config.password = Some("cauldronburn".into());
    bench.is("macbeth", Affiliation::Outcast);
    bench.play(
        "
        macbeth/castle enters thane
            macbeth/castle: /thane presence error auth forbidden
        macbeth/castle enters thane <password>cauldronburn</password>
            macbeth/castle: /thane presence error auth forbidden
        ",
    );
}

#[test]
fn a_nick_has_one_user_also_where_it_only_looks_the_same() {
    // §7.2.8: "the service MUST deny access to the room and inform the user of the conflict"
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.reserve("wiccarocks", Affiliation::Member, Some("secondwitch"));
    bench.play(
        "
        hag66/pda enters firstwitch
            hag66/pda: /firstwitch presence error cancel conflict
        hag66/pda enters FirstWitch
            hag66/pda: /FirstWitch presence error cancel conflict
        hag66/pda enters secondwitch
            hag66/pda: /secondwitch presence error cancel conflict
        hag66/pda enters SECONDWITCH
            hag66/pda: /SECONDWITCH presence error cancel conflict
        wiccarocks/laptop enters thirdwitch
            wiccarocks/laptop << /firstwitch is owner/moderator
            wiccarocks/laptop << /thirdwitch is member/participant jid=wiccarocks/laptop 110
            wiccarocks/laptop <<  says subject=\"\"
            crone1/desktop: /thirdwitch is member/participant jid=wiccarocks/laptop
        wiccarocks/tower enters secondwitch
            wiccarocks/tower << /firstwitch is owner/moderator
            wiccarocks/tower << /thirdwitch is member/participant
            wiccarocks/tower << /secondwitch is member/participant jid=wiccarocks/tower 110
            wiccarocks/tower <<  says subject=\"\"
            wiccarocks/laptop: /secondwitch is member/participant
            crone1/desktop: /secondwitch is member/participant jid=wiccarocks/tower
        ",
    );
}

#[test]
fn an_invisible_nick_is_none_and_neither_is_a_very_long_one() {
    // §17.1: "a MUC service MUST NOT allow empty or invisible Room Nicknames"
    let limits = Limits {
        nick: 12,
        ..Limits::default()
    };
    Bench::limited(limits, |_| {}).play(
        "
        crone1/desktop <presence to='/  '><x xmlns='http://jabber.org/protocol/muc'/></presence>
            crone1/desktop: /   presence error modify jid-malformed
            destroyed
        crone1/desktop enters firstwitch-of-all
            crone1/desktop: /firstwitch-of-all presence error modify policy-violation
            destroyed
        ",
    );
}

#[test]
fn clients_of_one_user_share_a_nick() {
    // §7.2.8: "the service SHOULD allow entry to the user, so that the user has two (or more) in-room "sessions" with the same
    // roomnick"; "it MUST route in-room messages to all of the user's resources"
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.play(
        "
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /thirdwitch is none/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda
        hag66/tablet <presence to='/thirdwitch'><show>dnd</show><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hag66/tablet << /firstwitch is owner/moderator
            hag66/tablet << /thirdwitch is none/participant jid=hag66/tablet 110 show=dnd
            hag66/tablet <<  says subject=\"\"
            hag66/pda: /thirdwitch is none/participant jid=hag66/tablet 110 show=dnd
            crone1/desktop: /thirdwitch is none/participant jid=hag66/tablet show=dnd
        hag66/tablet says Harpier cries.
            crone1/desktop, hag66/pda, hag66/tablet: /thirdwitch says Harpier cries.
        hag66/phone enters thirdwitch
            hag66/phone: /thirdwitch presence error wait resource-constraint
        hag66/pda <presence to='/thirdwitch'><show>away</show></presence>
            hag66/tablet, hag66/pda: /thirdwitch is none/participant jid=hag66/pda 110 show=away
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda show=away
        hag66/pda leaves thirdwitch
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110
            hag66/tablet: /thirdwitch is none/participant jid=hag66/tablet 110 show=dnd
            crone1/desktop: /thirdwitch is none/participant jid=hag66/tablet show=dnd
        hag66/pda says Am I here?
            hag66/pda:  message error cancel not-acceptable
        hag66/tablet leaves thirdwitch
            hag66/tablet: /thirdwitch gone none/none jid=hag66/tablet 110
            crone1/desktop: /thirdwitch gone none/none jid=hag66/tablet
        ",
    );
}

#[test]
fn a_full_room_takes_admins_and_owners_and_nobody_beyond_the_bound_of_the_service() {
    // §7.2.9: "the room MUST allow the admin or owner to join, up to some reasonable number of additional occupants"
    let limits = Limits {
        occupants: 3,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |config| config.max_users = Some(1));
    bench.is("wiccarocks", Affiliation::Admin);
    bench.play(
        "
        hag66/pda enters thirdwitch
            hag66/pda << /thirdwitch is none/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
        macbeth/castle enters thane
            macbeth/castle: /thane presence error wait service-unavailable
        hag66/tablet enters thirdwitch
            hag66/tablet << /thirdwitch is none/participant jid=hag66/tablet 110
            hag66/tablet <<  says subject=\"\"
            hag66/pda: /thirdwitch is none/participant jid=hag66/tablet 110
        crone1/desktop enters firstwitch
            crone1/desktop << /thirdwitch is none/participant jid=hag66/tablet
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110
            crone1/desktop <<  says subject=\"\"
            hag66/pda, hag66/tablet: /firstwitch is owner/moderator
        wiccarocks/laptop enters secondwitch
            wiccarocks/laptop << /thirdwitch is none/participant jid=hag66/tablet
            wiccarocks/laptop << /firstwitch is owner/moderator jid=crone1/desktop
            wiccarocks/laptop << /secondwitch is admin/moderator jid=wiccarocks/laptop 110
            wiccarocks/laptop <<  says subject=\"\"
            hag66/pda, hag66/tablet: /secondwitch is admin/moderator
            crone1/desktop: /secondwitch is admin/moderator jid=wiccarocks/laptop
        admin/office enters janitor
            admin/office: /janitor presence error wait service-unavailable
        
        ",
    );
}

#[test]
fn a_presence_of_one_who_is_not_there_is_no_entry() {
    // §7.2.18: "it is RECOMMENDED that a service receiving a <presence> without an <x> element from a non-occupant full-JID responds
    // with an explicit kick to that client. The kick MUST contain the status codes 110 [...], 307 (kick), and 333"
    witches(|_| {}).play(
        "
        hag66/pda <presence to='/thirdwitch'><show>away</show></presence>
            hag66/pda: /thirdwitch gone none/none reason=You are not in the room. 110 307 333
        hag66/pda <presence to='/firstwitch'/>
            hag66/pda: /firstwitch gone none/none reason=You are not in the room. 110 307 333
        ",
    );
}

#[test]
fn who_enters_again_hears_everything_again() {
    // §17.3: "it MUST treat it as a full synchronization request, and send to the client everything that would be sent to it on a
    // normal join. The MUC service SHOULD send a presence update to the other participants if the join presence is different"
    let mut bench = witches(|_| {});
    bench.happens("hag66/pda enters thirdwitch");
    bench.happens("crone1/desktop says Thrice");
    bench.play(
        "
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda << /firstwitch says at 1970-01-01T00:00:00Z Thrice
            hag66/pda <<  says subject=\"\"
        hag66/pda <presence to='/thirdwitch'><show>away</show><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110 show=away
            hag66/pda << /firstwitch says at 1970-01-01T00:00:00Z Thrice
            hag66/pda <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda show=away
        hag66/pda enters hag
            hag66/pda: /thirdwitch gone member/participant jid=hag66/pda nick=hag 110 303
            crone1/desktop, wiccarocks/laptop: /thirdwitch gone member/participant jid=hag66/pda nick=hag 303
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /hag is member/participant jid=hag66/pda 110
            hag66/pda << /firstwitch says at 1970-01-01T00:00:00Z Thrice
            hag66/pda <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /hag is member/participant jid=hag66/pda
        ",
    );
}

#[test]
fn roles_are_those_of_5_1_2() {
    use Affiliation::*;
    let expected = [
        (Outcast, Role::None, Role::None),
        (None, Role::Visitor, Role::Participant),
        (Member, Role::Participant, Role::Participant),
        (Admin, Role::Moderator, Role::Moderator),
        (Owner, Role::Moderator, Role::Moderator),
    ];
    for (affiliation, moderated, unmoderated) in expected {
        assert_eq!(affiliation.role(true), moderated);
        assert_eq!(affiliation.role(false), unmoderated);
    }
    witches(|config| config.moderated = true).play(
        "
        macbeth/castle enters thane
            macbeth/castle << /firstwitch is owner/moderator
            macbeth/castle << /secondwitch is admin/moderator
            macbeth/castle << /thane is none/visitor jid=macbeth/castle 110
            macbeth/castle <<  says subject=\"\"
            crone1/desktop, wiccarocks/laptop: /thane is none/visitor jid=macbeth/castle
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thane is none/visitor
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            macbeth/castle: /thirdwitch is member/participant
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        ",
    );
}

#[test]
fn who_is_not_to_be_shown_is_not() {
    // §7.2.2: "Unless the room is configured to not broadcast presence from new occupants below a certain affiliation level"
    let hide = |config: &mut Config| {
        config.moderated = true;
        config.presence_broadcast = vec![Role::Moderator, Role::Participant];
    };
    let mut bench = witches(hide);
    bench.play(
        "
        macbeth/castle enters thane
            macbeth/castle << /firstwitch is owner/moderator
            macbeth/castle << /secondwitch is admin/moderator
            macbeth/castle << /thane is none/visitor jid=macbeth/castle 110
            macbeth/castle <<  says subject=\"\"
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /secondwitch is admin/moderator
            hag66/pda << /thirdwitch is member/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            macbeth/castle: /thirdwitch is member/participant
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/participant jid=hag66/pda
        macbeth/castle <presence to='/thane'><show>away</show></presence>
            macbeth/castle: /thane is none/visitor jid=macbeth/castle 110 show=away
        macbeth/castle leaves thane
            macbeth/castle: /thane gone none/none jid=macbeth/castle 110
        macbeth/castle enters thane
            macbeth/castle << /firstwitch is owner/moderator
            macbeth/castle << /secondwitch is admin/moderator
            macbeth/castle << /thirdwitch is member/participant
            macbeth/castle << /thane is none/visitor jid=macbeth/castle 110
            macbeth/castle <<  says subject=\"\"
        ",
    );
    let seat = bench.room.occupants.named("thane").unwrap();
    for (role, wanted) in [
        (Role::Participant, "is none/participant"),
        (Role::Visitor, "gone none/none"),
    ] {
        bench.has_role("thane", role);
        let mut out = Vec::new();
        let turn = &mut crate::room::Turn {
            now: bench.now,
            out: &mut out,
        };
        bench.room.announce(seat, &Default::default(), turn);
        let told: Vec<_> = out.iter().flat_map(shown).collect();
        let own = format!("macbeth/castle: /thane is none/{role} jid=macbeth/castle 110");
        let blind = format!("hag66/pda: /thane {wanted}");
        let seeing =
            format!("crone1/desktop, wiccarocks/laptop: /thane {wanted} jid=macbeth/castle");
        assert_eq!(told, [own, blind, seeing]);
    }
}

#[test]
fn who_becomes_a_moderator_hears_who_the_others_are() {
    let mut bench = witches(|_| {});
    bench.happens("hag66/pda enters thirdwitch");
    bench.has_role("thirdwitch", Role::Moderator);
    let seat = bench.room.occupants.named("thirdwitch").unwrap();
    let mut announce = || {
        let mut out = Vec::new();
        let turn = &mut crate::room::Turn {
            now: bench.now,
            out: &mut out,
        };
        bench.room.announce(seat, &Default::default(), turn);
        out.iter().flat_map(shown).collect::<Vec<_>>()
    };
    assert_eq!(
        announce()[2..],
        [
            "hag66/pda << /firstwitch is owner/moderator jid=crone1/desktop",
            "hag66/pda << /secondwitch is admin/moderator jid=wiccarocks/laptop",
        ]
    );
    assert_eq!(announce().len(), 2);
}

#[test]
fn what_only_the_room_says_is_not_reflected() {
    // §17.3: "If a MUC service receives such extended presence information from an occupant, it MUST NOT reflect it"
    // XEP-0421 §4: "the MUC service MUST replace such element"
    let mut bench = Bench::open(|config| config.allow_pm = AllowPm::None);
    let forged = "<x xmlns='http://jabber.org/protocol/muc#user'><item role='moderator'/></x>\
                  <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
                  <delay xmlns='urn:xmpp:delay' from='coven@chat.shakespeare.lit' stamp='2002-10-13T23:58:37Z'/>";
    let line = format!(
        "crone1/desktop <presence to='/hag' id='1' xml:lang='en'><status>a</status>{forged}<x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    let out = bench.outputs(&line);
    let [Output::Burst(_, stanzas)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        stanzas[0].to_string(),
        "<presence from='coven@chat.shakespeare.lit/hag' id='1' xml:lang='en'><status>a</status>\
         <x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='owner' jid='crone1@shakespeare.lit/desktop' role='moderator'/><status code='110'/></x>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='UTJxj16DWifCFT8rs01_HJ7SaySy2wrFI-EMionuCuM'/></presence>"
    );
}

#[test]
fn an_occupant_id_is_of_one_user_in_one_room() {
    // XEP-0421 §4.1
    let bench = Bench::open(|_| {});
    let id = |bench: &Bench, user: &str| bench.room.occupant_id(&real(user).to_bare());
    assert_eq!(id(&bench, "hag66"), id(&Bench::new(), "hag66/pda"));
    assert_ne!(id(&bench, "hag66"), id(&bench, "crone1"));
    let settings = bench.room.settings.clone();
    let elsewhere = Room::new("heath@chat.shakespeare.lit".parse().unwrap(), settings);
    assert_ne!(
        id(&bench, "hag66"),
        elsewhere.occupant_id(&real("hag66").to_bare())
    );
    assert!(id(&bench, "hag66").len() <= 128);
}

#[test]
fn a_presence_is_bounded_in_size_and_in_number() {
    let limits = Limits {
        presence: 200,
        burst: 12,
        rate: 1,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let long = "x".repeat(200);
    let too_large =
        format!("crone1/desktop <presence to='/firstwitch'><status>{long}</status></presence>");
    let refused = "crone1/desktop: /firstwitch presence error modify policy-violation";
    assert_eq!(bench.happens(&too_large), [refused]);
    let mut answers = (0..8).map(|_| bench.happens("crone1/desktop <presence to='/firstwitch'/>"));
    let refused = "crone1/desktop: /firstwitch presence error wait policy-violation";
    assert_eq!(
        answers
            .by_ref()
            .take_while(|told| *told != [refused])
            .count(),
        7
    );
    bench.play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop: /firstwitch presence error wait policy-violation
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            destroyed
        ",
    );
}

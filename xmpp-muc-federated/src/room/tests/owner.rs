//! §10: creation, configuration and the end of a room

use super::*;

/// §10.1.2: "The service MUST then unlock the room and allow other entities to join it."
#[test]
fn an_instant_room_is_open_when_its_owner_has_accepted_the_default() {
    Bench::new().play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110 201
            crone1/desktop <<  says subject=\"\"
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error cancel item-not-found
        hag66/pda <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>
            hag66/pda:  iq error cancel item-not-found
        crone1/desktop owner <x xmlns='jabber:x:data' type='submit'/>
            crone1/desktop: answer  iq result 1
        hag66/pda enters thirdwitch
            hag66/pda << /firstwitch is owner/moderator
            hag66/pda << /thirdwitch is none/participant jid=hag66/pda 110
            hag66/pda <<  says subject=\"\"
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda
        ",
    );
}

/// §10.1.3: "If the room owner cancels the initial configuration, the service MUST destroy the room, making sure to send
/// unavailable presence to the room owner"
#[test]
fn a_room_that_is_cancelled_is_none() {
    Bench::new().play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110 201
            crone1/desktop <<  says subject=\"\"
        crone1/desktop owner <x xmlns='jabber:x:data' type='cancel'/>
            crone1/desktop: /firstwitch gone none/none jid=crone1/desktop 110
            crone1/desktop: answer  iq result 1
            destroyed
        hag66/pda enters thirdwitch
            hag66/pda << /thirdwitch is owner/moderator jid=hag66/pda 110 201
            hag66/pda <<  says subject=\"\"
        ",
    );
}

/// §10.1.3: "If the room owner becomes unavailable for any reason before submitting the form [...] The service MUST then destroy
/// the room"
#[test]
fn a_room_that_its_owner_leaves_unconfigured_is_none() {
    Bench::new().play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110 201
            crone1/desktop <<  says subject=\"\"
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            destroyed
        ",
    );
}

/// §10.2: "the service MUST leave the configuration of the room as it was"
#[test]
fn a_later_configuration_that_is_cancelled_changes_nothing() {
    let mut bench = Bench::open(|config| config.moderated = true);
    bench.happens("crone1/desktop enters firstwitch");
    let before = bench.room.config.clone();
    bench.play("
        crone1/desktop owner <x xmlns='jabber:x:data' type='cancel'><field var='muc#roomconfig_moderatedroom'><value>0</value></field></x>
            crone1/desktop: answer  iq result 1
        ");
    assert_eq!(bench.room.config, before);
}

/// §10.2, §10.9: "the service MUST return a <forbidden/> error to the sender"
#[test]
fn only_owners_configure_and_destroy() {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.is("wiccarocks", Affiliation::Admin);
    bench.play(
        "
        wiccarocks/laptop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>
            wiccarocks/laptop:  iq error auth forbidden
        wiccarocks/laptop configures moderatedroom=1
            wiccarocks/laptop:  iq error auth forbidden
        wiccarocks/laptop owner <destroy/>
            wiccarocks/laptop:  iq error auth forbidden
        ",
    );
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.play(
        "
        crone1/desktop owner
            crone1/desktop:  iq error modify bad-request
        crone1/desktop owner <x xmlns='jabber:x:data' type='form'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop owner <thing/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop owner <destroy jid='@'/>
            crone1/desktop:  iq error modify jid-malformed
        crone1/desktop <iq to='' type='set' id='1'><query xmlns='urn:x'/></iq>
            crone1/desktop:  iq error cancel service-unavailable
        ",
    );
}

/// §16.5.3: every field is asked, and what is submitted is what is asked the next time
#[test]
fn every_field_is_configured_both_ways() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let asked = |bench: &mut Bench| -> Vec<String> {
        let out = bench.outputs(
            "crone1/desktop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>",
        );
        let [Output::Answer(answer)] = &out[..] else {
            panic!("{out:?}");
        };
        let query = answer
            .payload()
            .child("query", ns::OWNER)
            .unwrap()
            .element();
        let form = query.child("x", "jabber:x:data").unwrap();
        assert_eq!(form.attr("type"), Some("form"));
        let fields = xmpp_core::im::form::fields(form);
        fields
            .map(|(var, field)| {
                let values: Vec<_> = xmpp_core::im::form::values(field).collect();
                let name = var.trim_start_matches("muc#roomconfig_");
                format!("{name}={}", values.join(" "))
            })
            .collect()
    };
    assert_eq!(
        asked(&mut bench),
        [
            "FORM_TYPE=http://jabber.org/protocol/muc#roomconfig",
            "roomname=",
            "roomdesc=",
            "lang=",
            "enablelogging=0",
            "changesubject=0",
            "allowinvites=0",
            "allowpm=anyone",
            "maxusers=none",
            "presencebroadcast=moderator participant visitor",
            "getmemberlist=moderator",
            "publicroom=1",
            "persistentroom=0",
            "moderatedroom=0",
            "membersonly=0",
            "passwordprotectedroom=0",
            "roomsecret=",
            "whois=moderators",
            "muc#maxhistoryfetch=20",
            "pubsub=",
            "roomadmins=",
            "roomowners=crone1@shakespeare.lit",
        ]
    );
    let fields = [
        "roomname=Cave",
        "roomdesc=Dark",
        "lang=en-GB",
        "enablelogging=1",
        "changesubject=1",
        "allowinvites=1",
        "allowpm=moderators",
        "maxusers=15",
        "presencebroadcast=moderator participant",
        "getmemberlist=",
        "publicroom=0",
        "persistentroom=1",
        "moderatedroom=1",
        "membersonly=1",
        "passwordprotectedroom=1",
        "roomsecret=cauldronburn",
        "whois=anyone",
        "muc#maxhistoryfetch=50",
        "pubsub=xmpp:pubsub.shakespeare.lit?;node=coven",
        "roomadmins=hecate@shakespeare.lit wiccarocks@shakespeare.lit",
        "roomowners=crone1@shakespeare.lit hag66@shakespeare.lit",
    ];
    let submitted = fields
        .join(", ")
        .replace("muc#maxhistoryfetch", "maxhistoryfetch");
    bench.happens(&format!("crone1/desktop configures {submitted}"));
    assert_eq!(asked(&mut bench)[1..], fields);
    // What is not in a form stays as it is.
    bench.happens("crone1/desktop configures roomname=");
    assert_eq!(asked(&mut bench)[1], "roomname=");
    assert_eq!(asked(&mut bench)[2..], fields[1..]);
    // A password goes with the protection.
    bench.happens("crone1/desktop configures passwordprotectedroom=0");
    assert_eq!(bench.room.config.password, None);
    bench.happens("crone1/desktop configures passwordprotectedroom=true, roomsecret=x");
    bench.happens("crone1/desktop configures maxusers=none, roomsecret=y");
    assert_eq!(bench.room.config.password.as_deref(), Some("y"));
    assert_eq!(bench.room.config.max_users, None);
}

/// §10.1.3: "the service MUST return a <not-acceptable/> error"
#[test]
fn a_configuration_that_cannot_be_is_not_acceptable() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let long = format!("roomname={}", "x".repeat(1025));
    for (fields, condition) in [
        ("passwordprotectedroom=1", "modify not-acceptable"),
        (
            "passwordprotectedroom=1, roomsecret=",
            "modify not-acceptable",
        ),
        (
            "passwordprotectedroom=1, roomsecret=\"  \"",
            "modify not-acceptable",
        ),
        ("membersonly=perhaps", "modify not-acceptable"),
        ("membersonly=1 0", "modify not-acceptable"),
        ("whois=none", "modify not-acceptable"),
        ("allowpm=kings", "modify not-acceptable"),
        ("maxusers=0", "modify not-acceptable"),
        ("maxusers=20001", "modify not-acceptable"),
        ("maxusers=-1", "modify not-acceptable"),
        ("maxhistoryfetch=many", "modify not-acceptable"),
        ("presencebroadcast=none", "modify not-acceptable"),
        ("lang=not_a_language", "modify not-acceptable"),
        ("roomadmins=@", "modify not-acceptable"),
        (&*long, "modify not-acceptable"),
        // §10.2: "the service MUST return a <conflict/> error to the owner"
        ("roomowners=", "cancel conflict"),
        (
            "moderatedroom=1, roomowners=, roomadmins=hag66@shakespeare.lit",
            "cancel conflict",
        ),
    ] {
        let before = bench.room.config.clone();
        let got = bench.happens(&format!("crone1/desktop configures {fields}"));
        assert_eq!(
            got,
            [format!("crone1/desktop:  iq error {condition}")],
            "{fields}"
        );
        assert_eq!(bench.room.config, before);
    }
    assert_eq!(
        bench.happens("crone1/desktop owner <x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_moderatedroom'><value>1</value></field></x>"),
        ["crone1/desktop:  iq error modify bad-request"]
    );
}

/// §10.2.1
#[test]
fn all_are_told_of_a_change_by_a_message_for_each_status_code() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench.play(
        "
        crone1/desktop configures enablelogging=1, whois=anyone, roomname=Cave
            crone1/desktop: answer  iq result 1
            crone1/desktop, hag66/pda:  says <status code='170'/>
            crone1/desktop, hag66/pda:  says <status code='172'/>
            crone1/desktop, hag66/pda:  says <status code='104'/>
        crone1/desktop configures enablelogging=0, whois=moderators
            crone1/desktop: answer  iq result 1
            crone1/desktop, hag66/pda:  says <status code='171'/>
            crone1/desktop, hag66/pda:  says <status code='173'/>
        crone1/desktop configures moderatedroom=1
            crone1/desktop: answer  iq result 1
            crone1/desktop, hag66/pda:  says <status code='104'/>
        crone1/desktop configures moderatedroom=1
            crone1/desktop: answer  iq result 1
        ",
    );
}

/// §10.2: "the service MUST remove any non-members from the room and include a status code of 322 in the presence unavailable
/// stanzas sent to those users as well as any remaining occupants"
#[test]
fn non_members_leave_a_room_that_becomes_members_only() {
    let mut bench = Bench::open(|_| {});
    bench.is("hag66", Affiliation::Member);
    for who in [
        "crone1/desktop enters firstwitch",
        "hag66/pda enters thirdwitch",
        "bard/globe enters bard",
        "hecate/broom enters hecate",
    ] {
        bench.happens(who);
    }
    bench.play(
        "
        crone1/desktop configures membersonly=1
            crone1/desktop: answer  iq result 1
            crone1/desktop, hag66/pda, bard/globe, hecate/broom:  says <status code='104'/>
            bard/globe: /bard gone none/none jid=bard/globe actor=firstwitch 110 322
            hecate/broom: /hecate gone none/none jid=hecate/broom actor=firstwitch 110 322
            hag66/pda: /bard gone none/none actor=firstwitch 322
            crone1/desktop: /bard gone none/none jid=bard/globe actor=firstwitch 322
            hag66/pda: /hecate gone none/none actor=firstwitch 322
            crone1/desktop: /hecate gone none/none jid=hecate/broom actor=firstwitch 322
        ",
    );
}

/// What is told of many to many is not a list of recipients for each
#[test]
fn those_who_stay_hear_of_all_who_go_by_the_same_lists() {
    let mut bench = Bench::open(|_| {});
    bench.is("hag66", Affiliation::Member);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    for n in 0..100 {
        bench.happens(&format!("soldier{n}/tent enters soldier{n}"));
    }
    let mut lists: Vec<Arc<[Jid]>> = Vec::new();
    let mut told = 0;
    for output in bench.outputs("crone1/desktop configures membersonly=1") {
        let Output::Broadcast(stanza, to) = output else {
            continue;
        };
        let others = stanza.kind() == Kind::Presence(PresenceType::Unavailable)
            && !to.iter().any(|jid| jid.as_str().starts_with("soldier"));
        told += usize::from(others);
        if others && !lists.iter().any(|list| Arc::ptr_eq(list, &to)) {
            lists.push(to);
        }
    }
    assert_eq!((told, lists.len()), (200, 2));
}

/// §10.2: "If as a result of a change in the room configuration a room admin loses admin status while in the room, the room MUST
/// send updated presence"
#[test]
fn the_form_has_the_whole_lists_of_admins_and_owners() {
    let mut bench = Bench::open(|_| {});
    bench.is("wiccarocks", Affiliation::Admin);
    for who in [
        "crone1/desktop enters firstwitch",
        "wiccarocks/laptop enters secondwitch",
        "hag66/pda enters thirdwitch",
    ] {
        bench.happens(who);
    }
    bench.play(
        "
        crone1/desktop configures roomadmins=hag66@shakespeare.lit
            crone1/desktop: answer  iq result 1
            wiccarocks/laptop: /secondwitch is none/participant jid=wiccarocks/laptop actor=firstwitch 110
            crone1/desktop, hag66/pda: /secondwitch is none/participant jid=wiccarocks/laptop actor=firstwitch
            hag66/pda: /thirdwitch is admin/moderator jid=hag66/pda actor=firstwitch 110
            wiccarocks/laptop: /thirdwitch is admin/moderator actor=firstwitch
            crone1/desktop: /thirdwitch is admin/moderator jid=hag66/pda actor=firstwitch
            hag66/pda << /firstwitch is owner/moderator jid=crone1/desktop
            hag66/pda << /secondwitch is none/participant jid=wiccarocks/laptop
        crone1/desktop configures roomowners=hag66@shakespeare.lit
            crone1/desktop: answer  iq result 1
            crone1/desktop: /firstwitch is admin/moderator jid=crone1/desktop actor=firstwitch 110
            wiccarocks/laptop: /firstwitch is admin/moderator actor=firstwitch
            hag66/pda: /firstwitch is admin/moderator jid=crone1/desktop actor=firstwitch
            hag66/pda: /thirdwitch is owner/moderator jid=hag66/pda actor=firstwitch 110
            wiccarocks/laptop: /thirdwitch is owner/moderator actor=firstwitch
            crone1/desktop: /thirdwitch is owner/moderator jid=hag66/pda actor=firstwitch
        crone1/desktop configures roomname=Cave
            crone1/desktop:  iq error auth forbidden
        hag66/pda configures membersonly=1, roomadmins=
            hag66/pda: answer  iq result 1
            crone1/desktop: /firstwitch is member/participant jid=crone1/desktop actor=thirdwitch 110
            wiccarocks/laptop: /firstwitch is member/participant actor=thirdwitch
            hag66/pda: /firstwitch is member/participant jid=crone1/desktop actor=thirdwitch
            crone1/desktop, wiccarocks/laptop, hag66/pda:  says <status code='104'/>
            wiccarocks/laptop: /secondwitch gone none/none jid=wiccarocks/laptop actor=thirdwitch 110 322
            crone1/desktop: /secondwitch gone none/none actor=thirdwitch 322
            hag66/pda: /secondwitch gone none/none jid=wiccarocks/laptop actor=thirdwitch 322
        ",
    );
}

/// §7.2.2, `presencebroadcast`
#[test]
fn whose_presence_is_broadcast_appears_and_the_others_disappear() {
    let mut bench = Bench::open(|config| config.moderated = true);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("bard/globe enters bard");
    bench.play(
        "
        crone1/desktop configures presencebroadcast=moderator
            crone1/desktop: answer  iq result 1
            crone1/desktop, bard/globe:  says <status code='104'/>
            crone1/desktop: /bard gone none/none jid=bard/globe
        crone1/desktop configures presencebroadcast=moderator visitor
            crone1/desktop: answer  iq result 1
            crone1/desktop, bard/globe:  says <status code='104'/>
            crone1/desktop: /bard is none/visitor jid=bard/globe
        ",
    );
}

/// §10.9
#[test]
fn a_room_is_destroyed_and_each_occupant_hears_it_for_themself() {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    let out = bench.outputs(
        "crone1/desktop owner <destroy jid='heath@chat.shakespeare.lit'><password>x</password><reason>Macbeth doth come.</reason></destroy>",
    );
    let told: Vec<_> = out
        .iter()
        .map(|output| match output {
            Output::Broadcast(stanza, to) => format!("{to:?} {stanza}"),
            other => shown(other).concat(),
        })
        .collect();
    let presence = |nick: &str, to: &str| {
        let id = bench.room.occupant_id(&real(to).to_bare());
        format!(
            "[\"{}\"] <presence from='coven@chat.shakespeare.lit/{nick}' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>\
             <item affiliation='none' jid='{}' role='none'/><destroy jid='heath@chat.shakespeare.lit'><password>x</password>\
             <reason>Macbeth doth come.</reason></destroy><status code='110'/></x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/></presence>",
            real(to),
            real(to)
        )
    };
    assert_eq!(
        told,
        [
            "store Destroyed".to_owned(),
            presence("firstwitch", "crone1/desktop"),
            presence("thirdwitch", "hag66/pda"),
            "crone1/desktop: answer  iq result 1".to_owned(),
            "destroyed".to_owned(),
        ]
    );
}

/// What is stored of a room, when it becomes persistent, is and is no more
#[test]
fn a_room_is_stored_as_long_as_it_is_persistent() {
    let mut bench = Bench::new();
    let kinds = |bench: &mut Bench, line: &str| -> Vec<String> {
        let out = bench.outputs(line);
        let word = |change: &Change| {
            format!("{change:?}")
                .split([' ', '('])
                .next()
                .unwrap()
                .to_owned()
        };
        out.iter()
            .filter_map(|output| match output {
                Output::Store(change) => Some(word(change)),
                Output::Answer(_) => Some("answer".into()),
                Output::Destroyed => Some("gone".into()),
                _ => None,
            })
            .collect()
    };
    for (line, stored) in [
        ("crone1/desktop enters firstwitch", &[][..]),
        (
            "crone1/desktop owner <x xmlns='jabber:x:data' type='submit'/>",
            &["answer"],
        ),
        ("crone1/desktop says Hail!", &[]),
        (
            "crone1/desktop admin <item affiliation='member' jid='hag66@shakespeare.lit'/>",
            &["answer"],
        ),
        (
            "crone1/desktop configures persistentroom=1, roomadmins=hecate@shakespeare.lit",
            &["State", "Entry", "Entry", "Entry", "Message", "answer"],
        ),
        ("crone1/desktop says Hail!", &["Message"]),
        (
            "crone1/desktop <message to='' type='groupchat'><subject>Hail</subject></message>",
            &["State"],
        ),
        (
            "crone1/desktop admin <item affiliation='none' jid='hag66@shakespeare.lit'/>",
            &["NoEntry", "answer"],
        ),
        (
            "crone1/desktop configures roomname=Cave, roomadmins=",
            &["State", "NoEntry", "answer"],
        ),
        ("crone1/desktop leaves firstwitch", &[]),
        (
            "crone1/desktop configures persistentroom=0",
            &["Destroyed", "answer", "gone"],
        ),
    ] {
        assert_eq!(kinds(&mut bench, line), stored, "{line}");
    }
}

/// §10.1: "An implementation MAY set a timeout for initial configuration, such that if the room owner does not configure the room
/// within the timeout period, the room owner is assumed to have [...] cancelled the configuration process."
#[test]
fn a_room_that_is_not_configured_in_time_is_none() {
    let mut bench = Bench::new();
    bench.play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110 201
            crone1/desktop <<  says subject=\"\"
        wait 599
        ",
    );
    let due = bench.room.next_timeout().expect("it waits");
    assert_eq!(due, bench.now.instant + Duration::from_secs(1));
    bench.play(
        "
        wait 1
            crone1/desktop: /firstwitch gone none/none jid=crone1/desktop 110
            destroyed
        ",
    );
    assert!(bench.room.next_timeout().is_none());
}

#[test]
fn a_room_that_is_configured_waits_for_nothing() {
    let mut bench = Bench::new();
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("crone1/desktop configures roomname=Cave");
    assert!(bench.room.next_timeout().is_none());
    assert_eq!(bench.happens("wait 600"), [""; 0]);
}

#[test]
fn a_room_that_has_no_place_in_the_store_does_not_become_persistent() {
    let mut bench = Bench::new();
    bench.happens("crone1/desktop enters firstwitch");
    bench.room.may_persist(false);
    bench.play(
        "
        crone1/desktop configures persistentroom=1, roomname=Cave
            crone1/desktop:  iq error wait resource-constraint
        hag66/pda enters thirdwitch
            hag66/pda: /thirdwitch presence error cancel item-not-found
        crone1/desktop configures persistentroom=0
            crone1/desktop: answer  iq result 1
        ",
    );
    assert!(bench.room.config.name.is_none() && !bench.room.is_persistent());
    bench.room.may_persist(true);
    bench.happens("crone1/desktop configures persistentroom=1");
    // One that is, stays so.
    bench.room.may_persist(false);
    bench.happens("crone1/desktop configures roomname=Cave");
    assert!(bench.room.config.name.is_some() && bench.room.is_persistent());
}

/// A list that is larger than an answer may be is left out, and so left as it is.
#[test]
fn the_form_has_no_lists_that_are_too_long() {
    let limits = Limits {
        page: 100,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |config| config.persistent = true);
    let fields = |bench: &mut Bench| {
        let get = format!(
            "<iq to='' type='get' id='1'><query xmlns='{}'/></iq>",
            ns::OWNER
        );
        let out = bench.outputs(&format!("crone1/desktop {get}"));
        let [Output::Answer(answer)] = &out[..] else {
            panic!("{out:?}");
        };
        let text = answer.to_string();
        ["roomadmins", "roomowners"].map(|field| text.contains(field))
    };
    (0..4).for_each(|n| bench.is(&format!("admin{n}"), Affiliation::Admin));
    assert_eq!(fields(&mut bench), [true, true]);
    bench.is("admin4", Affiliation::Admin);
    assert_eq!(fields(&mut bench), [false, true]);
    bench.happens("crone1/desktop configures roomname=Cave");
    assert_eq!(bench.room.affiliations.with(Affiliation::Admin).count(), 5);
}

//! §7.10, §7.12, §9.9

use super::*;

const FORM: &str = ns::REGISTER_FORM;

fn asked(bench: &mut Bench, who: &str) -> String {
    let out = bench.outputs(&format!(
        "{who} <iq to='' type='get' id='1'><query xmlns='jabber:iq:register'/></iq>"
    ));
    match &out[..] {
        [Output::Answer(answer)] => {
            String::from_utf8_lossy(answer.payload().as_bytes()).into_owned()
        }
        other => other.iter().flat_map(shown).collect(),
    }
}

/// §7.10
#[test]
fn who_registers_becomes_a_member_and_has_a_nick() {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters hag");
    assert_eq!(
        asked(&mut bench, "hag66/pda"),
        "<query xmlns='jabber:iq:register'><instructions>Choose a nickname that nobody but you can use in this room.</instructions>\
         <x xmlns='jabber:x:data' type='form'><title>Registration</title><instructions>Choose a nickname that nobody but you can use in this room.\
         </instructions><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#register</value></field>\
         <field var='muc#register_roomnick' type='text-single' label='Desired Nickname'><required/></field></x></query>"
    );
    bench.play(
        "
        hag66/pda registers roomnick=thirdwitch
            store entry hag66 member nick=thirdwitch
            hag66/pda: answer  iq result 1
            hag66/pda: /hag is member/participant jid=hag66/pda 110
            crone1/desktop: /hag is member/participant jid=hag66/pda
        bard/globe enters thirdwitch
            bard/globe: /thirdwitch presence error cancel conflict
        bard/globe registers roomnick=ThirdWitch
            bard/globe:  iq error cancel conflict
        bard/globe registers roomnick=firstwitch
            bard/globe:  iq error cancel conflict
        hag66/pda registers roomnick=hag
            store entry hag66 member nick=hag
            hag66/pda: answer  iq result 1
        bard/globe registers roomnick=thirdwitch
            store entry bard member nick=thirdwitch
            bard/globe: answer  iq result 1
            crone1/desktop:  tells <item affiliation='member' jid='bard' role='none'/>
        hag66/pda <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>
            hag66/pda: answer  iq result 1 query
        ",
    );
    let registered = asked(&mut bench, "hag66/pda");
    assert!(
        registered
            .starts_with("<query xmlns='jabber:iq:register'><registered/><username>hag</username>"),
        "{registered}"
    );
    bench.play(
        "
        hag66/pda <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>
            store no entry hag66
            hag66/pda: answer  iq result 1
            hag66/pda: /hag is none/participant jid=hag66/pda 110
            crone1/desktop: /hag is none/participant jid=hag66/pda
        hag66/pda <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>
            hag66/pda:  iq error auth registration-required
        ",
    );
}

/// §7.10: "the room MUST return a <bad-request/> error to the user", "a <not-allowed/> error"
#[test]
fn a_registration_needs_a_form_and_no_ban() {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.is("macbeth", Affiliation::Outcast);
    assert_eq!(
        asked(&mut bench, "macbeth/1"),
        "macbeth/1:  iq error cancel not-allowed"
    );
    bench.happens("crone1/desktop enters firstwitch");
    bench.play(
        "
        macbeth/1 registers roomnick=thane
            macbeth/1:  iq error cancel not-allowed
        hag66/pda registers roomnick=
            hag66/pda:  iq error modify bad-request
        hag66/pda registers first=Brunhilde
            hag66/pda:  iq error modify bad-request
        hag66/pda <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><username>x</username></query></iq>
            hag66/pda:  iq error modify bad-request
        hag66/pda <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'/></query></iq>
            hag66/pda:  iq error modify bad-request
        hag66/pda <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='cancel'/></query></iq>
            hag66/pda: answer  iq result 1
        crone1/desktop registers roomnick=crone
            store entry crone1 owner nick=crone
            crone1/desktop: answer  iq result 1
        crone1/desktop <iq to='' type='set' id='1'><query xmlns='jabber:iq:register'><remove/></query></iq>
            store entry crone1 owner
            crone1/desktop: answer  iq result 1
        crone1/desktop lists affiliation='owner'
            crone1/desktop: answer  iq result 1 query [affiliation=owner jid=crone1]
        ",
    );
}

/// §9.9: "If the admin approves the registration request, the service shall register the user with the room."
#[test]
fn admins_decide_who_registers_where_membership_is_a_privilege() {
    let invited = "hag66:  tells <invite from='/firstwitch'/>";
    for (members_only, invited) in [(true, invited), (false, "")] {
        let mut bench = Bench::open(|config| {
            config.members_only = members_only;
            config.moderated = !members_only;
        });
        bench.happens("crone1/desktop enters firstwitch");
        bench.play(&format!(
            "
            hag66/pda registers roomnick=thirdwitch
                crone1/desktop:  tells
                hag66/pda: answer  iq result 1
            hag66/pda registers roomnick=thirdwitch
                hag66/pda: answer  iq result 1
            bard/globe registers roomnick=thirdwitch
                bard/globe:  iq error cancel conflict
            hag66/pda submits {FORM} roomnick=thirdwitch, allow=1
                hag66/pda:  message error auth forbidden
            crone1/desktop submits {FORM} roomnick=nobody, allow=1
                crone1/desktop:  message error cancel item-not-found
            crone1/desktop submits {FORM} roomnick=thirdwitch, allow=1
                crone1/desktop:  tells <item affiliation='member' jid='hag66' role='none'/>
                {invited}
            crone1/desktop submits {FORM} roomnick=thirdwitch, allow=1
                crone1/desktop:  message error cancel item-not-found
            bard/globe registers roomnick=bard
                crone1/desktop:  tells
                bard/globe: answer  iq result 1
            crone1/desktop submits {FORM} roomnick=bard, allow=0
            crone1/desktop submits {FORM} roomnick=bard, allow=1
                crone1/desktop:  message error cancel item-not-found
            crone1/desktop lists affiliation='member'
                crone1/desktop: answer  iq result 1 query [affiliation=member jid=hag66 nick=thirdwitch]
            crone1/desktop leaves firstwitch
                crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
                destroyed
            "
        ));
    }
}

/// The form that an admin answers may be an old one.
#[test]
fn only_who_has_asked_and_is_nothing_to_the_room_is_let_in() {
    let mut bench = Bench::open(|config| config.members_only = true);
    bench.happens("crone1/desktop enters firstwitch");
    for (user, nick) in [("hag66", "hag"), ("bard", "poet"), ("duncan", "king")] {
        bench.happens(&format!("{user}/1 registers roomnick={nick}"));
    }
    bench.is("hag66", Affiliation::Outcast);
    bench.is("bard", Affiliation::Admin);
    bench.play(&format!(
        "
        crone1/desktop submits {FORM} roomnick=hag, allow=1
            crone1/desktop:  message error cancel item-not-found
        crone1/desktop submits {FORM} roomnick=poet, allow=1
            crone1/desktop:  message error cancel item-not-found
        crone1/desktop <message to=''><x xmlns='jabber:x:data' type='submit'>\
            <field var='FORM_TYPE'><value>{REGISTER}</value></field>\
            <field var='muc#register_roomnick'><value>king</value></field>\
            <field var='x-applicant'><value>macbeth@shakespeare.lit</value></field>\
            <field var='muc#register_allow'><value>1</value></field></x></message>
            crone1/desktop:  message error cancel item-not-found
        crone1/desktop lists affiliation='admin'
            crone1/desktop: answer  iq result 1 query [affiliation=admin jid=bard]
        crone1/desktop lists affiliation='outcast'
            crone1/desktop: answer  iq result 1 query [affiliation=outcast jid=hag66]
        ",
        REGISTER = crate::ns::REGISTER_FORM,
    ));
}

/// Whose domain is a member keeps nothing but the nick when the domain is none any more.
#[test]
fn what_somebody_is_by_their_domain_is_not_stored_as_theirs() {
    let mut bench = Bench::open(|config| (config.members_only, config.persistent) = (true, true));
    bench.happens("crone1/desktop enters firstwitch");
    let entry = |affiliation| crate::store::Entry {
        jid: "shakespeare.lit".parse().unwrap(),
        affiliation,
        nick: None,
        reason: None,
    };
    bench.room.affiliations.set(entry(Affiliation::Member));
    bench.play(
        "
        hag66/pda registers roomnick=hag
            store entry hag66 none nick=hag
            hag66/pda: answer  iq result 1
        ",
    );
    bench.room.affiliations.set(entry(Affiliation::Outcast));
    assert_eq!(
        bench.happens("hag66/pda enters hag"),
        ["hag66/pda: /hag presence error auth forbidden"]
    );
}

#[test]
fn applicants_and_registrations_are_bounded() {
    let mut limits = Limits::default();
    (limits.applicants, limits.affiliations) = (1, 4);
    let mut bench = Bench::limited(limits, |config| config.members_only = true);
    bench.happens("crone1/desktop enters firstwitch");
    bench.play(
        "
        hag66/pda registers roomnick=hag
            crone1/desktop:  tells
            hag66/pda: answer  iq result 1
        bard/globe registers roomnick=bard
            bard/globe:  iq error wait resource-constraint
        crone1/desktop configures membersonly=0
            crone1/desktop: answer  iq result 1
            crone1/desktop:  says <status code='104'/>
        duncan/1 registers roomnick=duncan
            duncan/1: answer  iq result 1
            crone1/desktop:  tells <item affiliation='member' jid='duncan' role='none'/>
        banquo/1 registers roomnick=banquo
            banquo/1:  iq error wait resource-constraint
        crone1/desktop admin <item affiliation='outcast' jid='macbeth@shakespeare.lit'/>
            crone1/desktop: answer  iq result 1
        ",
    );
}

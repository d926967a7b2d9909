//! §7.13, §8.6

use super::*;

fn hall() -> Bench {
    let mut bench = Bench::open(|config| config.moderated = true);
    for who in [
        "crone1/desktop enters firstwitch",
        "hag66/pda enters thirdwitch",
        "bard/globe enters bard",
    ] {
        bench.happens(who);
    }
    bench
}

const REQUEST: &str = ns::REQUEST;

/// §8.6
#[test]
fn moderators_get_a_form_to_approve_a_request() {
    let out = hall().outputs(&format!("hag66/pda submits {REQUEST} role=participant"));
    let [Output::Broadcast(message, to)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(**to, [real("crone1/desktop")]);
    assert_eq!(
        message.payload().as_bytes(),
        "<x xmlns='jabber:x:data' type='form'><title>Voice request</title><instructions>To approve this request for voice, select the \
         \"Grant voice to this person?\" checkbox and click OK. To skip this request, click the cancel button.</instructions>\
         <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/muc#request</value></field>\
         <field var='muc#role' type='list-single' label='Requested role'><value>participant</value></field>\
         <field var='muc#jid' type='jid-single' label='User ID'><value>hag66@shakespeare.lit/pda</value></field>\
         <field var='muc#roomnick' type='text-single' label='Room Nickname'><value>thirdwitch</value></field>\
         <field var='muc#request_allow' type='boolean' label='Grant voice to this person?'><value>false</value></field></x>"
    );
}

/// §8.6: "If a moderator approves the voice request, the service shall grant voice to the occupant and send a presence update"
#[test]
fn a_moderator_grants_voice_by_the_form() {
    hall().play(&format!(
        "
        bard/globe submits {REQUEST} role=participant, jid=hag66@shakespeare.lit/pda, roomnick=thirdwitch, request_allow=1
            bard/globe:  message error auth forbidden
        crone1/desktop submits {REQUEST} role=participant, jid=hag66@shakespeare.lit/pda, roomnick=thirdwitch, request_allow=0
        crone1/desktop submits {REQUEST} role=participant, jid=bard@shakespeare.lit/globe, roomnick=thirdwitch, request_allow=1
            crone1/desktop:  message error cancel item-not-found
        crone1/desktop submits {REQUEST} role=participant, jid=hag66@shakespeare.lit/pda, roomnick=nobody, request_allow=1
            crone1/desktop:  message error cancel item-not-found
        crone1/desktop submits {REQUEST} role=participant, jid=hag66@shakespeare.lit/pda, roomnick=thirdwitch, request_allow=1
            hag66/pda: /thirdwitch is none/participant jid=hag66/pda actor=firstwitch 110
            bard/globe: /thirdwitch is none/participant actor=firstwitch
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda actor=firstwitch
        crone1/desktop submits {REQUEST} role=participant, jid=hag66@shakespeare.lit/pda, roomnick=thirdwitch, request_allow=1
        crone1/desktop <message to=''><x xmlns='jabber:x:data' type='cancel'><field var='FORM_TYPE' type='hidden'><value>{REQUEST}</value></field></x></message>
        hag66/pda says Hail!
            crone1/desktop, hag66/pda, bard/globe: /thirdwitch says Hail!
        "
    ));
}

#[test]
fn voice_is_asked_for_by_those_who_have_none_and_not_all_the_time() {
    hall().play(&format!(
        "
        bard/globe submits {REQUEST} role=moderator
            bard/globe:  message error modify bad-request
        crone1/desktop submits {REQUEST} role=participant
            crone1/desktop:  message error wait unexpected-request
        stranger/1 submits {REQUEST} role=participant
            stranger/1:  message error auth forbidden
        bard/globe submits {REQUEST} role=participant
            crone1/desktop:  tells
        bard/globe submits {REQUEST} role=participant
            bard/globe:  message error wait policy-violation
        hag66/pda submits {REQUEST} role=participant
            crone1/desktop:  tells
        wait 60
        bard/globe submits {REQUEST} role=participant
            crone1/desktop:  tells
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            hag66/pda, bard/globe: /firstwitch gone owner/none
        hag66/pda submits {REQUEST} role=participant
            hag66/pda:  message error wait recipient-unavailable
        "
    ));
}

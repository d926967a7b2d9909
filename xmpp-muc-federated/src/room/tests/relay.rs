//! §17.4, XEP-0410

use super::*;

fn bench() -> Bench {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

#[test]
fn a_request_goes_from_one_occupant_to_another_and_its_answer_back() {
    // §17.4: "MUST NOT reveal the sender's real JID to the recipient at any time, nor reveal the recipient's real JID to the sender"
    bench().play(
        "
        hag66/pda <iq to='/firstwitch' type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>
            crone1/desktop: /thirdwitch iq get AAAAAAAAAAAAAAAA query
        macbeth/castle <iq to='/thirdwitch' type='result' id='AAAAAAAAAAAAAAAA'><query xmlns='jabber:iq:version'/></iq>
        crone1/desktop <iq to='/thirdwitch' type='result' id='AAAAAAAAAAAAAAAA'><query xmlns='jabber:iq:version'/></iq>
            hag66/pda: /firstwitch iq result v1 query
        crone1/desktop <iq to='/thirdwitch' type='result' id='AAAAAAAAAAAAAAAA'><query xmlns='jabber:iq:version'/></iq>
        hag66/pda <iq to='/fourthwitch' type='get' id='v2'><query xmlns='jabber:iq:version'/></iq>
            hag66/pda: /fourthwitch iq error cancel item-not-found
        hag66/pda <iq to='/firstwitch' type='get' id='v3'><vCard xmlns='vcard-temp'/></iq>
            crone1: /thirdwitch iq get AQEBAQEBAQEBAQEB vCard
        crone1 <iq to='/thirdwitch' type='result' id='AQEBAQEBAQEBAQEB'><vCard xmlns='vcard-temp'/></iq>
            hag66/pda: /firstwitch iq result v3 vCard
        ",
    );
}

#[test]
fn who_is_not_there_asks_nobody() {
    // §6.6: "If a non-occupant attempts to send a disco request [...], a MUC service MUST return a <bad-request/> error."
    bench().play(
        "
        macbeth/castle <iq to='/firstwitch' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>
            macbeth/castle: /firstwitch iq error modify bad-request
        macbeth/castle <iq to='/firstwitch' type='get' id='2'><query xmlns='jabber:iq:version'/></iq>
            macbeth/castle: /firstwitch iq error cancel not-acceptable
        ",
    );
}

#[test]
fn a_ping_to_oneself_is_answered_by_the_room() {
    // XEP-0410 §3.3: "Successful IQ response: the client is joined to the MUC. Error (<not-acceptable>): the client is not joined"
    let mut bench = bench();
    bench.happens("hag66/tablet enters thirdwitch");
    bench.play(
        "
        hag66/pda <iq to='/thirdwitch' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>
            hag66/pda: /thirdwitch iq result 1
        hag66/phone <iq to='/thirdwitch' type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>
            hag66/phone: /thirdwitch iq error cancel not-acceptable
        hag66/pda <iq to='/oldhag' type='get' id='3'><ping xmlns='urn:xmpp:ping'/></iq>
            hag66/pda: /oldhag iq error cancel item-not-found
        hag66/pda <iq to='/firstwitch' type='get' id='4'><ping xmlns='urn:xmpp:ping'/></iq>
            crone1/desktop: /thirdwitch iq get AAAAAAAAAAAAAAAA ping
        ",
    );
}

#[test]
fn what_nobody_answers_the_room_does() {
    let mut bench = bench();
    bench.play(
        "
        hag66/pda <iq to='/firstwitch' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>
            crone1/desktop: /thirdwitch iq get AAAAAAAAAAAAAAAA query
        wait 30
        hag66/pda <iq to='/firstwitch' type='get' id='2'><query xmlns='jabber:iq:version'/></iq>
            crone1/desktop: /thirdwitch iq get AQEBAQEBAQEBAQEB query
        wait 30
            hag66/pda: /firstwitch iq error wait remote-server-timeout
        crone1/desktop <iq to='/thirdwitch' type='result' id='AAAAAAAAAAAAAAAA'><query xmlns='jabber:iq:version'/></iq>
        crone1/desktop <iq to='/thirdwitch' type='error' id='AQEBAQEBAQEBAQEB'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
            hag66/pda: /firstwitch iq error cancel item-not-found
        ",
    );
    assert_eq!(bench.room.next_timeout(), None);
}

#[test]
fn an_unreachable_server_is_a_ghost_and_a_refusal_is_none() {
    bench().play(
        "
        hag66/pda <iq to='/firstwitch' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>
            crone1/desktop: /thirdwitch iq get AAAAAAAAAAAAAAAA query
        crone1/desktop <iq to='/thirdwitch' type='error' id='AAAAAAAAAAAAAAAA'><error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
            hag66/pda: /firstwitch iq error cancel remote-server-not-found
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110 333
            hag66/pda: /firstwitch gone owner/none 333
        ",
    );
}

#[test]
fn who_has_left_answers_no_more() {
    let mut bench = bench();
    bench.happens("crone1/laptop enters firstwitch");
    bench.happens("macbeth/castle enters thane");
    bench.play(
        "
        hag66/pda <iq to='/firstwitch' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>
            crone1/laptop: /thirdwitch iq get AAAAAAAAAAAAAAAA query
        macbeth/castle <iq to='/firstwitch' type='get' id='2'><query xmlns='jabber:iq:version'/></iq>
            crone1/laptop: /thane iq get AQEBAQEBAQEBAQEB query
        macbeth/castle leaves thane
            macbeth/castle: /thane gone none/none jid=macbeth/castle 110
            hag66/pda: /thane gone none/none
            crone1/desktop, crone1/laptop: /thane gone none/none jid=macbeth/castle
        crone1/laptop leaves firstwitch
            crone1/laptop: /firstwitch gone owner/none jid=crone1/laptop 110
            hag66/pda: /firstwitch iq error wait recipient-unavailable
            crone1/desktop: /firstwitch is owner/moderator jid=crone1/desktop 110
            hag66/pda: /firstwitch is owner/moderator
        ",
    );
    assert_eq!(bench.room.next_timeout(), None);
}

#[test]
fn requests_that_wait_are_bounded() {
    let limits = Limits {
        requests: 8,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let refused = |client: &str| format!("{client}: /firstwitch iq error wait resource-constraint");
    for n in 0..5 {
        let client = format!("u{n}/a");
        bench.happens(&format!("{client} enters u{n}"));
        for id in 0..3 {
            let told = bench.happens(&format!(
                "{client} <iq to='/firstwitch' type='get' id='{id}'><a xmlns='b'/></iq>"
            ));
            assert_eq!(told == [refused(&client)], n == 4 || id == 2);
        }
    }
    assert_eq!(bench.happens("wait 60").len(), 8);
    assert!(bench.room.requests.next_timeout().is_none());
}

#[test]
fn an_error_does_not_say_who_reports_it() {
    // §17.4: "nor reveal the recipient's real JID to the sender"
    let mut bench = bench();
    bench.happens("hag66/pda <iq to='/firstwitch' type='get' id='1'><a xmlns='b'/></iq>");
    let out = bench.outputs(
        "crone1/desktop <iq to='/thirdwitch' type='error' id='AAAAAAAAAAAAAAAA'>\
         <error type='modify' by='crone1@shakespeare.lit/desktop'>\
         <redirect xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:crone2@shakespeare.lit</redirect></error></iq>",
    );
    let [Output::Send(answer)] = &out[..] else {
        panic!("{out:?}")
    };
    assert!(!answer.to_string().contains("crone"), "{answer}");
    assert_eq!(answer.error().unwrap().condition.name(), "redirect");
}

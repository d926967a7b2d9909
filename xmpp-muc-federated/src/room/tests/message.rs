//! §7.4, §8.1

use super::*;

fn moderated(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(|config| {
        config.moderated = true;
        change(config);
    });
    bench.is("wiccarocks", Affiliation::Member);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("wiccarocks/laptop enters secondwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

#[test]
fn who_has_voice_speaks_to_all() {
    // §7.4: "the service MUST return a <forbidden/> error to the sender and MUST NOT reflect the message"; "If the sender is not an
    // occupant of the room, the service SHOULD return a <not-acceptable/> error"
    moderated(|_| {}).play(
        "
        wiccarocks/laptop says Thrice and once the hedge-pig whined.
            crone1/desktop, wiccarocks/laptop, hag66/pda: /secondwitch says Thrice and once the hedge-pig whined.
        hag66/pda says Harpier cries.
            hag66/pda:  message error auth forbidden
        macbeth/castle says How now, you secret, black, and midnight hags!
            macbeth/castle:  message error cancel not-acceptable
        hag66/tablet says Harpier cries.
            hag66/tablet:  message error cancel not-acceptable
        ",
    );
}

#[test]
fn a_message_is_reflected_as_it_is_but_for_what_the_room_says() {
    // §7.4: "SHOULD reflect the message with the same 'id'"; XEP-0359 §3; XEP-0421 §4: "MUST NOT contain more than one"
    let mut bench = moderated(|_| {});
    let out = bench.outputs(
        "wiccarocks/laptop <message to='' type='groupchat' id='hysf1v37' xml:lang='en'><body>'tis time</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='Coven@chat.shakespeare.lit' id='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='other.example' id='theirs'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='hysf1v37'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <delay xmlns='urn:xmpp:delay' from='coven@chat.shakespeare.lit' stamp='2002-10-13T23:58:37Z'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>",
    );
    let [Output::Broadcast(message, to)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(to.len(), 3);
    assert_eq!(
        message.to_string(),
        "<message from='coven@chat.shakespeare.lit/secondwitch' id='hysf1v37' type='groupchat' xml:lang='en'>\
         <body>'tis time</body><stanza-id xmlns='urn:xmpp:sid:0' by='other.example' id='theirs'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='hysf1v37'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='coven@chat.shakespeare.lit' id='AAAAAAAAAAAAAAAA'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='PUalg-umG2zsNgo3WFz1XcT0e0jv7k1elt7JoS7BJJU'/></message>"
    );
}

#[test]
fn messages_to_all_share_their_list_of_recipients() {
    let mut bench = moderated(|_| {});
    let mut recipients = || match &bench.outputs("crone1/desktop says Double, double")[..] {
        [Output::Broadcast(_, to)] => to.clone(),
        other => panic!("{other:?}"),
    };
    let (first, second) = (recipients(), recipients());
    assert!(Arc::ptr_eq(&first, &second));
    bench.happens("hag66/tablet enters thirdwitch");
    assert_eq!(bench.room.occupants.everybody().len(), 4);
}

#[test]
fn a_subject_is_changed_by_those_who_may() {
    // §8.1: "If someone without appropriate privileges attempts to change the room subject, the service MUST return [...] a
    // <forbidden/> error"; "A message with a SUBJECT and a BODY or a SUBJECT and a THREAD [...] SHALL NOT be interpreted as a subject
    // change"
    let mut bench = moderated(|_| {});
    bench.play(
        "
        wiccarocks/laptop <message to='' type='groupchat'><subject>Fire Burn</subject></message>
            wiccarocks/laptop:  message error auth forbidden
        wiccarocks/laptop <message to='' type='groupchat'><subject>Fire Burn</subject><body>and Cauldron</body></message>
            crone1/desktop, wiccarocks/laptop, hag66/pda: /secondwitch says subject=\"Fire Burn\" and Cauldron
        wiccarocks/laptop <message to='' type='groupchat'><subject>Fire Burn</subject><thread>1</thread></message>
            crone1/desktop, wiccarocks/laptop, hag66/pda: /secondwitch says subject=\"Fire Burn\"
        crone1/desktop <message to='' type='groupchat'><subject>Fire Burn and Cauldron Bubble!</subject></message>
            crone1/desktop, wiccarocks/laptop, hag66/pda: /firstwitch says subject=\"Fire Burn and Cauldron Bubble!\"
        wait 60
        macbeth/castle enters thane <history maxchars='0'/>
            macbeth/castle << /firstwitch is owner/moderator
            macbeth/castle << /secondwitch is member/participant
            macbeth/castle << /thirdwitch is none/visitor
            macbeth/castle << /thane is none/visitor jid=macbeth/castle 110
            macbeth/castle << /firstwitch says at 1970-01-01T00:00:00Z subject=\"Fire Burn and Cauldron Bubble!\"
            wiccarocks/laptop, hag66/pda: /thane is none/visitor
            crone1/desktop: /thane is none/visitor jid=macbeth/castle
        crone1/desktop <message to='' type='groupchat'><subject/></message>
            crone1/desktop, wiccarocks/laptop, hag66/pda, macbeth/castle: /firstwitch says subject=\"\"
        duncan/castle enters king <history maxchars='0'/>
            duncan/castle << /firstwitch is owner/moderator
            duncan/castle << /secondwitch is member/participant
            duncan/castle << /thirdwitch is none/visitor
            duncan/castle << /thane is none/visitor
            duncan/castle << /king is none/visitor jid=duncan/castle 110
            duncan/castle << /firstwitch says at 1970-01-01T00:01:00Z subject=\"\"
            wiccarocks/laptop, hag66/pda, macbeth/castle: /king is none/visitor
            crone1/desktop: /king is none/visitor jid=duncan/castle
        ",
    );
    bench.room.config.change_subject = true;
    bench.room.config.persistent = true;
    bench.play(
        "
        wiccarocks/laptop <message to='' type='groupchat'><subject>Eye of newt</subject></message>
            crone1/desktop, wiccarocks/laptop, hag66/pda, macbeth/castle, duncan/castle: /secondwitch says subject=\"Eye of newt\"
            store state
        hag66/pda <message to='' type='groupchat'><subject>Toe of frog</subject></message>
            hag66/pda:  message error auth forbidden
        ",
    );
    assert_eq!(bench.room.subject.as_ref().unwrap().text(), "Eye of newt");
}

#[test]
fn what_is_not_for_all_is_not_for_the_room() {
    // §17.2: "A service MAY ignore messages that are improperly typed, or reject them with a <bad-request/> error."
    moderated(|_| {}).play(
        "
        hag66/pda <message to=''><body>Harpier cries</body></message>
            hag66/pda:  message error modify bad-request
        hag66/pda <message to='' type='chat'><body>Harpier cries</body></message>
            hag66/pda:  message error modify bad-request
        macbeth/castle <message to=''><body>Hags!</body></message>
            macbeth/castle:  message error cancel not-acceptable
        ",
    );
}

#[test]
fn messages_are_bounded_in_number_and_subjects_in_length() {
    let limits = Limits {
        burst: 8,
        rate: 1,
        subject: 100,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let long = "Fire! ".repeat(20);
    let subject = format!(
        "crone1/desktop <message to='' type='groupchat'><subject>{long}</subject></message>"
    );
    let refused = "crone1/desktop:  message error modify policy-violation";
    assert_eq!(bench.happens(&subject), [refused]);
    bench.play(
        "
        crone1/desktop says Thrice
            crone1/desktop: /firstwitch says Thrice
        crone1/desktop says Thrice
            crone1/desktop: /firstwitch says Thrice
        crone1/desktop says Thrice
            crone1/desktop:  message error wait policy-violation
        wait 1
        crone1/desktop says Thrice
            crone1/desktop: /firstwitch says Thrice
        crone1/desktop says Thrice
            crone1/desktop:  message error wait policy-violation
        ",
    );
}

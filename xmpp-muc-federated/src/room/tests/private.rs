//! §7.5

use super::*;
use crate::room::AllowPm;

fn bench(allow_pm: AllowPm) -> Bench {
    let mut bench = Bench::open(|config| {
        config.moderated = true;
        config.allow_pm = allow_pm;
    });
    bench.is("wiccarocks", Affiliation::Member);
    for entry in [
        "crone1/desktop enters firstwitch",
        "crone1/laptop enters firstwitch",
        "wiccarocks/laptop enters secondwitch",
        "hag66/pda enters thirdwitch",
    ] {
        bench.happens(entry);
    }
    bench
}

#[test]
fn a_private_message_goes_to_all_clients_of_an_occupant() {
    // "to an occupant JID that does not exist, the service MUST return an <item-not-found/> error"; "If the sender is not an occupant
    // [...], the service MUST return a <not-acceptable/> error"; "of type "groupchat" [...] return a <bad-request/> error"
    bench(AllowPm::Anyone).play(
        "
        hag66/pda <message to='/firstwitch' type='chat' id='1'><body>I'll give thee a wind.</body></message>
            crone1/desktop, crone1/laptop: /thirdwitch whispers I'll give thee a wind.
        hag66/pda <message to='/firstwitch' id='2'><body>I'll give thee a wind.</body></message>
            crone1/desktop, crone1/laptop: /thirdwitch tells I'll give thee a wind.
        hag66/pda <message to='/fourthwitch' type='chat'><body>Who's there?</body></message>
            hag66/pda: /fourthwitch message error cancel item-not-found
        macbeth/castle <message to='/firstwitch' type='chat'><body>Hags!</body></message>
            macbeth/castle: /firstwitch message error cancel not-acceptable
        hag66/pda <message to='/firstwitch' type='groupchat'><body>I'll give thee a wind.</body></message>
            hag66/pda: /firstwitch message error modify bad-request
        ",
    );
}

#[test]
fn a_private_message_says_that_it_is_one() {
    // "The service SHOULD add the <x/> element if the message does not contain it already."
    let mut bench = bench(AllowPm::Anyone);
    for x in [
        "",
        "<x xmlns='http://jabber.org/protocol/muc#user'/>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='forged@example.org'/></x>",
    ] {
        let line = format!(
            "hag66/pda <message to='/secondwitch' type='chat' id='1'><body>a</body>{x}</message>"
        );
        let out = bench.outputs(&line);
        let [Output::Broadcast(message, _)] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!(
            message.to_string(),
            "<message from='coven@chat.shakespeare.lit/thirdwitch' id='1' type='chat'><body>a</body>\
             <x xmlns='http://jabber.org/protocol/muc#user'/>\
             <occupant-id xmlns='urn:xmpp:occupant-id:0' id='eLaXbewMSva3xp04sN-YR5wYKJRBPerYD2cQpJILTmM'/></message>"
        );
    }
}

#[test]
fn who_may_send_private_messages_is_configured() {
    use AllowPm::*;
    let senders = ["crone1/desktop", "wiccarocks/laptop", "hag66/pda"];
    for (allow, may) in [
        (Anyone, [true, true, true]),
        (Participants, [true, true, false]),
        (Moderators, [true, false, false]),
        (None, [false, false, false]),
    ] {
        let mut bench = bench(allow);
        for (sender, may) in senders.into_iter().zip(may) {
            let line =
                format!("{sender} <message to='/firstwitch' type='chat'><body>a</body></message>");
            let refused = format!("{sender}: /firstwitch message error auth forbidden");
            assert_eq!(bench.happens(&line) != [refused], may, "{allow:?} {sender}");
        }
    }
}

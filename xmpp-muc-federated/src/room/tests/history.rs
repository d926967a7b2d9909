//! §7.2.13, §7.2.14, §7.9

use super::*;

fn bench(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.happens("crone1/desktop enters firstwitch");
    bench
}

#[test]
fn history_is_as_much_as_is_wanted() {
    let mut bench = bench(|config| config.history = 3);
    for n in 1..6 {
        bench.happens(&format!("crone1/desktop says {n}"));
        bench.happens("wait 10");
    }
    bench.play(
        "
        a/1 enters a
            a/1 << /firstwitch is owner/moderator
            a/1 << /a is none/participant jid=a/1 110
            a/1 << /firstwitch says at 1970-01-01T00:00:20Z 3
            a/1 << /firstwitch says at 1970-01-01T00:00:30Z 4
            a/1 << /firstwitch says at 1970-01-01T00:00:40Z 5
            a/1 <<  says subject=\"\"
            crone1/desktop: /a is none/participant jid=a/1
        b/1 enters b <history maxstanzas='1'/>
            b/1 << /firstwitch is owner/moderator
            b/1 << /a is none/participant
            b/1 << /b is none/participant jid=b/1 110
            b/1 << /firstwitch says at 1970-01-01T00:00:40Z 5
            b/1 <<  says subject=\"\"
            a/1: /b is none/participant
            crone1/desktop: /b is none/participant jid=b/1
        c/1 enters c <history seconds='25'/>
            c/1 << /firstwitch is owner/moderator
            c/1 << /a is none/participant
            c/1 << /b is none/participant
            c/1 << /c is none/participant jid=c/1 110
            c/1 << /firstwitch says at 1970-01-01T00:00:30Z 4
            c/1 << /firstwitch says at 1970-01-01T00:00:40Z 5
            c/1 <<  says subject=\"\"
            a/1, b/1: /c is none/participant
            crone1/desktop: /c is none/participant jid=c/1
        d/1 enters d <history maxchars='0'/>
            d/1 << /firstwitch is owner/moderator
            d/1 << /a is none/participant
            d/1 << /b is none/participant
            d/1 << /c is none/participant
            d/1 << /d is none/participant jid=d/1 110
            d/1 <<  says subject=\"\"
            a/1, b/1, c/1: /d is none/participant
            crone1/desktop: /d is none/participant jid=d/1
        ",
    );
}

#[test]
fn history_is_what_was_said() {
    let mut bench = bench(|_| {});
    bench.play(
        "
        crone1/desktop <message to='' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>
            crone1/desktop: /firstwitch says
        crone1/desktop <message to='' type='groupchat'><subject>Fire</subject></message>
            crone1/desktop: /firstwitch says subject=\"Fire\"
        crone1/desktop <message to='' type='groupchat'><body>secret</body><no-store xmlns='urn:xmpp:hints'/></message>
            crone1/desktop: /firstwitch says secret
        crone1/desktop <message to='' type='groupchat'><body>a</body></message>
            crone1/desktop: /firstwitch says a
        crone1/desktop <message to='' type='groupchat'><reactions xmlns='urn:xmpp:reactions:0'/><store xmlns='urn:xmpp:hints'/></message>
            crone1/desktop: /firstwitch says
        a/1 enters a
            a/1 << /firstwitch is owner/moderator
            a/1 << /a is none/participant jid=a/1 110
            a/1 << /firstwitch says at 1970-01-01T00:00:00Z a
            a/1 << /firstwitch says at 1970-01-01T00:00:00Z
            a/1 << /firstwitch says at 1970-01-01T00:00:00Z subject=\"Fire\"
            crone1/desktop: /a is none/participant jid=a/1
        ",
    );
}

#[test]
fn an_owner_brings_what_was_said_elsewhere() {
    // §7.9: "The service SHOULD NOT add its own delay elements [...] to prior chat history messages received from the room owner."
    let mut bench = bench(|_| {});
    bench.now.utc = Timestamp(1_100_000_000_000);
    bench.happens("hag66/pda enters thirdwitch");
    let delay = "<delay xmlns='urn:xmpp:delay' from='crone1@shakespeare.lit/desktop' stamp='2004-09-29T01:54:37Z'/>";
    bench.happens(&format!(
        "crone1/desktop <message to='' type='groupchat'><body>old</body>{delay}</message>"
    ));
    bench.happens(&format!(
        "hag66/pda <message to='' type='groupchat'><body>new</body>{delay}</message>"
    ));
    bench.play(
        "
        a/1 enters a
            a/1 << /firstwitch is owner/moderator
            a/1 << /thirdwitch is none/participant
            a/1 << /a is none/participant jid=a/1 110
            a/1 << /firstwitch says at 2004-09-29T01:54:37Z old
            a/1 << /thirdwitch says at 2004-11-09T11:33:20Z new
            a/1 <<  says subject=\"\"
            hag66/pda: /a is none/participant
            crone1/desktop: /a is none/participant jid=a/1
        ",
    );
}

#[test]
fn the_history_of_a_persistent_room_is_stored() {
    let mut bench = bench(|config| {
        config.persistent = true;
        config.history = 2;
    });
    bench.play(
        "
        crone1/desktop says 1
            store message AAAAAAAAAAAAAAAA
            crone1/desktop: /firstwitch says 1
        crone1/desktop says 2
            store message AQEBAQEBAQEBAQEB
            store Keep(2)
            crone1/desktop: /firstwitch says 2
        crone1/desktop <message to='' type='groupchat'><body>3</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>
            crone1/desktop: /firstwitch says 3
        crone1/desktop says 4
            store message AwMDAwMDAwMDAwMD
            store Keep(2)
            crone1/desktop: /firstwitch says 4
        a/1 enters a
            a/1 << /firstwitch is owner/moderator
            a/1 << /a is none/participant jid=a/1 110
            a/1 << /firstwitch says at 1970-01-01T00:00:00Z 3
            a/1 << /firstwitch says at 1970-01-01T00:00:00Z 4
            a/1 <<  says subject=\"\"
            crone1/desktop: /a is none/participant jid=a/1
        ",
    );
}

#[test]
fn what_an_owner_wants_no_history_of_is_not_kept() {
    bench(|config| config.persistent = true).play(
        "
        crone1/desktop says 1
            store message AAAAAAAAAAAAAAAA
            crone1/desktop: /firstwitch says 1
        crone1/desktop configures maxhistoryfetch=0
            store state
            store Keep(0)
            crone1/desktop: answer  iq result 1
            crone1/desktop:  says <status code='104'/>
        crone1/desktop says 2
            crone1/desktop: /firstwitch says 2
        crone1/desktop configures maxhistoryfetch=20
            store state
            crone1/desktop: answer  iq result 1
            crone1/desktop:  says <status code='104'/>
        a/1 enters a
            a/1 << /firstwitch is owner/moderator
            a/1 << /a is none/participant jid=a/1 110
            a/1 <<  says subject=\"\"
            crone1/desktop: /a is none/participant jid=a/1
        ",
    );
}

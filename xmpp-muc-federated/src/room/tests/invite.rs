//! §7.8.2

use super::*;

fn bench(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.is("wiccarocks", Affiliation::Member);
    bench.is("macbeth", Affiliation::Outcast);
    bench.happens("crone1/desktop enters firstwitch <password>cauldronburn</password>");
    bench.happens("wiccarocks/laptop enters secondwitch <password>cauldronburn</password>");
    bench
}

const X: &str = "<x xmlns='http://jabber.org/protocol/muc#user'>";

fn invite(who: &str, invites: &str) -> String {
    format!("{who} <message to='' id='nzd143v8'>{X}{invites}</x></message>")
}

#[test]
fn an_invitation_goes_through_the_room() {
    // "MUST then add a 'from' address to the <invite/> element", "the room SHOULD add the password"
    let mut bench = bench(|config| config.password = Some("cauldronburn".into()));
    let line = invite(
        "wiccarocks/laptop",
        "<invite to='hecate@shakespeare.lit' from='forged@example.org'><reason>Hey</reason><continue thread='e0ff'/></invite>\
         <invite to='hag66@shakespeare.lit/pda'/>",
    );
    let sent: Vec<_> = bench
        .outputs(&line)
        .into_iter()
        .map(|output| match output {
            Output::Send(stanza) => stanza.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        sent,
        [
            format!(
                "<message to='hecate@shakespeare.lit' from='coven@chat.shakespeare.lit' id='nzd143v8'>{X}\
                 <invite from='wiccarocks@shakespeare.lit'><reason>Hey</reason><continue thread='e0ff'/></invite>\
                 <password>cauldronburn</password></x></message>"
            ),
            format!(
                "<message to='hag66@shakespeare.lit/pda' from='coven@chat.shakespeare.lit' id='nzd143v8'>{X}\
                 <invite from='wiccarocks@shakespeare.lit'/><password>cauldronburn</password></x></message>"
            ),
        ]
    );
}

#[test]
fn who_may_invite_depends_on_the_room() {
    // "Invitation privileges in members-only rooms SHOULD be restricted to room admins; if a member without privileges [...] attempts
    // to invite another user, the service SHOULD return a <forbidden/> error"
    for (members_only, allow_invites, member_may) in [
        (false, false, true),
        (false, true, true),
        (true, false, false),
        (true, true, true),
    ] {
        for (who, may) in [("crone1/desktop", true), ("wiccarocks/laptop", member_may)] {
            let mut bench = bench(|config| {
                config.members_only = members_only;
                config.allow_invites = allow_invites;
                config.persistent = true;
            });
            let told = bench.happens(&invite(who, "<invite to='hecate@shakespeare.lit'/>"));
            let refused = format!("{who}:  message error auth forbidden");
            assert_eq!(
                told != [refused],
                may,
                "{members_only} {allow_invites} {who}"
            );
            // "If the room is members-only, the service MAY also add the invitee to the member list."
            let stored = told.iter().any(|line| line.starts_with("store entry"));
            assert_eq!(stored, may && members_only);
            let hecate = bench.room.affiliation(&real("hecate").to_bare());
            assert_eq!(hecate == Affiliation::Member, may && members_only);
        }
    }
}

#[test]
fn an_invitation_that_cannot_be_is_refused() {
    let mut bench = bench(|_| {});
    for (who, invites, error) in [
        (
            "macbeth/castle",
            "<invite to='hecate@shakespeare.lit'/>",
            "cancel not-acceptable",
        ),
        (
            "crone1/desktop",
            "<invite to='macbeth@shakespeare.lit'/>",
            "cancel not-allowed",
        ),
        ("crone1/desktop", "<invite/>", "modify bad-request"),
        ("crone1/desktop", "<invite to='@'/>", "modify jid-malformed"),
        (
            "crone1/desktop",
            "<invite to='hecate@shakespeare.lit'/><invite to='@'/>",
            "modify jid-malformed",
        ),
    ] {
        let refused = format!("{who}:  message error {error}");
        assert_eq!(bench.happens(&invite(who, invites)), [refused]);
    }
    let many = "<invite to='hecate@shakespeare.lit'/>".repeat(20);
    let told = bench.happens(&invite("crone1/desktop", &many));
    assert_eq!(
        told,
        ["crone1/desktop:  message error wait policy-violation"]
    );
}

#[test]
fn who_was_invited_may_decline_once() {
    let decline = |who: &str, to: &str| {
        format!(
            "{who} <message to='' id='jk2vs61v'>{X}<decline to='{to}@shakespeare.lit'><reason>busy</reason></decline></x></message>"
        )
    };
    let mut bench = bench(|_| {});
    bench.happens("crone1/laptop enters firstwitch");
    bench.happens(&invite(
        "crone1/desktop",
        "<invite to='hecate@shakespeare.lit'/>",
    ));
    assert_eq!(bench.happens(&decline("hag66/pda", "crone1")), [""; 0]);
    assert_eq!(
        bench.happens(&decline("hecate/broom", "wiccarocks")),
        [""; 0]
    );
    assert_eq!(
        bench.happens(&decline("hecate/broom", "crone1")),
        [
            "crone1/desktop, crone1/laptop:  tells <decline from='hecate'><reason>busy</reason></decline>"
        ]
    );
    assert_eq!(bench.happens(&decline("hecate/broom", "crone1")), [""; 0]);
}

//! What is said, who comes and goes, and where it goes (§6.B).

use super::{Dialect, LinkProfile, PresenceLevel, World, profile, speaking};

/// B1.
#[test]
fn b1_a_message_goes_over_the_link_once_and_is_not_waited_for() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold B A");
    world.play(
        "
        hm says B Hi Alice
            hm: M Hamlet: Hi Alice
            B>A M(hm as Hamlet: Hi Alice) o.2
        release B A
            al: M Hamlet: Hi Alice
    ",
    );
    assert!(world.is_quiet());
}

/// B3.
#[test]
fn b3_a_message_goes_to_every_other_room_once_and_never_back() {
    let mut world = World::new("A B>A D>A");
    world.run("al enters A\nhm enters B\nro enters D");
    world.play(
        "
        hm says B from B
            hm: M Hamlet: from B
            B>A M(hm as Hamlet: from B) o.2
            al: M Hamlet: from B
            A>D M(hm as Hamlet: from B) o.2
            ro: M Hamlet: from B
        al says A from A
            al: M Alice: from A
            A>B M(al as Alice: from A) o.2
            A>D M(al as Alice: from A) o.2
            hm: M Alice: from A
            ro: M Alice: from A
    ",
    );
    assert!(world.is_quiet());
}

/// B5.
#[test]
fn b5_a_subject_is_set_where_its_author_may() {
    let mut world = World::with("A B>A", |_, setup| setup.config.change_subject = false);
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        al subject A The pool of tears
            al: S The pool of tears
            A>B S(al: The pool of tears) o.2
            hm: S The pool of tears
            op: S The pool of tears
        h2 enters B
            h2: P Alice
            h2: P Ophelia
            h2: P Hamlet 110
            h2: S The pool of tears delay
            hm: P Hamlet 110
            op: P Hamlet
        hm subject B The rest is silence
            hm: S The rest is silence
            h2: S The rest is silence
            op: S The rest is silence
            B>A S(hm: The rest is silence) o.3
    ",
    );
    assert!(world.is_quiet());
}

/// B7.
#[test]
fn b7_one_of_several_leaves() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        op leaves B
            op: U Ophelia 110
            B>A U(op as Ophelia) o.3
            hm: U Ophelia
            al: U Ophelia
    ",
    );
    assert!(world.is_quiet());
}

/// B8.
#[test]
fn b8_with_its_last_occupant_a_room_leaves_and_costs_nothing_from_then_on() {
    for dialect in [Dialect::Ext, Dialect::Xep] {
        let mut world = World::with("A B>A", speaking(dialect, LinkProfile::Lan));
        world.run("al enters A\nhm enters B");
        let seen = world.run("hm leaves B");
        let dot = if dialect == Dialect::Ext { " o.2" } else { "" };
        assert_eq!(
            seen,
            [
                "hm: U Hamlet 110".to_owned(),
                format!("B>A U(hm as Hamlet){dot}"),
                "al: U Hamlet".into(),
                "A>B LEFT".into(),
            ]
        );
        assert_eq!(
            world.run("al says A Is he gone?"),
            ["al: M Alice: Is he gone?"]
        );
        assert!(world.is_quiet());
        assert!(world.nodes[&'B'].is_idle());
    }
}

/// B9.
#[test]
fn b9_the_answer_to_the_last_one_is_lost() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play("
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
        lose A B
        wait 14
        wait 1
        B> A <presence type='unavailable' from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit'><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></presence>
            A>B LEFT
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.3
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
    ");
    assert!(world.is_quiet());
}

/// B10.
#[test]
fn b10_who_comes_while_the_room_leaves_waits_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet)
            al: U Hamlet
            A>B LEFT
        op enters B
            op: P Alice
            op: P Ophelia 110
            op: S
        op says B Good night
            op: M Ophelia: Good night
        release A B
            B>A J(op as Ophelia)
            al: P Ophelia
            A>B P(al as Alice)
            A>B P(op as Ophelia)
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>A M(op as Ophelia: Good night) delay
            al: M Ophelia: Good night delay
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b10_who_comes_while_the_room_leaves_begins_a_new_session() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
        op enters B
            op: P Alice
            op: P Ophelia 110
            op: S
            B>A J(op as Ophelia) join o.3
            al: P Ophelia
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
        release A B
        al says A Good night
            al: M Alice: Good night
            A>B M(al as Alice: Good night) o.2
            op: M Alice: Good night
    ",
    );
    assert!(world.is_quiet());
}

/// B11.
#[test]
fn b11_a_room_with_nobody_but_those_behind_it_stays() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nmb enters C");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            B>C U(hm as Hamlet) o.2
            al: U Hamlet
            mb: U Hamlet
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?) o.2
            B>A M(mb as Macbeth: Is this a dagger?) o.2
            al: M Macbeth: Is this a dagger?
        mb leaves C
            mb: U Macbeth 110
            C>B U(mb as Macbeth) o.3
            B>A U(mb as Macbeth) o.3
            B>C LEFT
            al: U Macbeth
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// B12: the room between the two has nobody of its own.
#[test]
fn b12_a_chain_is_joined_from_its_end() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nal says A old");
    world.play(
        "
        mb enters C
            mb: P Macbeth 110
            mb: S
            C>B J(mb as Macbeth) join o.1
            B>C own sync
            B>C own synced
            B>A J(mb as Macbeth) join o.1
            al: P Macbeth
            A>B own sync
            A>B P(al as Alice) o.1
            A>B M(al as Alice: old) delay o.2
            A>B own synced
            B>C own path(2)
            B>C P(al as Alice) o.1
            B>C M(al as Alice: old) delay o.2
            mb: P Alice
            mb: M Alice: old delay
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?) o.2
            B>A M(mb as Macbeth: Is this a dagger?) o.2
            al: M Macbeth: Is this a dagger?
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b12_a_chain_is_joined_from_its_end_without_our_extension() {
    let mut world = World::with("A B>A C>B", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nal says A old");
    world.play(
        "
        mb enters C
            mb: P Macbeth 110
            mb: S
            C>B J(mb as Macbeth)
            B>C P(mb as Macbeth)
            B>C S(elsinore@talk.denmark.lit: )
            B>A J(mb as Macbeth)
            al: P Macbeth
            A>B P(al as Alice)
            A>B P(mb as Macbeth)
            A>B M(al as Alice: old) delay
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>C P(al as Alice)
            B>C M(al as Alice: old) delay
            mb: P Alice
            mb: M Alice: old delay
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?)
            B>A M(mb as Macbeth: Is this a dagger?)
            al: M Macbeth: Is this a dagger?
    ",
    );
    assert!(world.is_quiet());
}

/// B13.
#[test]
fn b13_several_clients_of_one_user_are_one_occupant() {
    let mut world = World::new("A B>A");
    world.run("al enters A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
        h2 enters B
            h2: P Alice
            h2: P Hamlet 110
            h2: S
            hm: P Hamlet 110
        h2 says B from the other one
            hm: M Hamlet: from the other one
            h2: M Hamlet: from the other one
            B>A M(hm as Hamlet: from the other one) o.2
            al: M Hamlet: from the other one
        hm leaves B
            hm: U Hamlet 110
            B>A P(h2 as Hamlet) o.3
            B>A U(hm as Hamlet) o.4
            al: P Hamlet
        h2 says B alone
            h2: M Hamlet: alone
            B>A M(h2 as Hamlet: alone) o.5
            al: M Hamlet: alone
        h2 leaves B
            h2: U Hamlet 110
            B>A U(h2 as Hamlet) o.6
            al: U Hamlet
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// B14.
#[test]
fn b14_another_nick_is_one_stanza() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <presence to='x@x/Ghost'/>
            hm: U Hamlet 110 303 to Ghost
            B>A P(hm as Ghost) o.2
            hm: P Ghost 110
            al: U Hamlet 303 to Ghost
            al: P Ghost
        hm says B Swear
            hm: M Ghost: Swear
            B>A M(hm as Ghost: Swear) o.3
            al: M Ghost: Swear
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b14_another_nick_is_two_presences_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <presence to='x@x/Ghost'/>
            hm: U Hamlet 110 303 to Ghost
            B>A U(hm as Hamlet) 303
            B>A P(hm as Ghost)
            hm: P Ghost 110
            al: U Hamlet 303 to Ghost
            al: P Ghost
        hm says B Swear
            hm: M Ghost: Swear
            B>A M(hm as Ghost: Swear)
            al: M Ghost: Swear
    ",
    );
    assert!(world.is_quiet());
}

/// B15.
#[test]
fn b15_who_speaks_without_having_been_introduced_is_there() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B");
    world.play("
        B> A <message type='groupchat' from='elsinore@talk.denmark.lit/Ophelia' to='rabbithole@rooms.wonderland.lit'><body>There's rosemary</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='ophelia@denmark.lit/p'/></message>
            al: P Ophelia
            al: M Ophelia: There's rosemary
    ");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet", "Ophelia"]);
}

/// B16.
#[test]
fn b16_what_is_said_to_one_goes_to_nobody_else() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("al enters A\nhm enters B\nmb enters C\nro enters D");
    world.play(
        "
        hm tells B Alice Nymph
            B>A PM(hm as Hamlet to Alice: Nymph)
            al: PM Hamlet: Nymph
        al tells A Macbeth Hail
            A>B PM(al as Alice to Macbeth: Hail)
            B>C PM(al as Alice to Macbeth: Hail)
            mb: PM Alice: Hail
        mb tells C Rosalind Thunder
            C>B PM(mb as Macbeth to Rosalind: Thunder)
            B>A PM(mb as Macbeth to Rosalind: Thunder)
            A>D PM(mb as Macbeth to Rosalind: Thunder)
            ro: PM Macbeth: Thunder
        hold B A
        hold A B
        al leaves A
            al: U Alice 110
            A>B U(al as Alice) o.2
            A>D U(al as Alice) o.2
            ro: U Alice
        hm tells B Alice Are you there?
            B>A PM(hm as Hamlet to Alice: Are you there?)
        release B A
            A>B PM-error(hm as Alice)
        release A B
            hm: U Alice
            B>C U(al as Alice) o.2
            hm: error Alice item-not-found
            mb: U Alice
        al enters A
            al: P Hamlet
            al: P Macbeth
            al: P Rosalind
            al: P Alice 110
            al: S
            A>B P(al as Alice) o.3
            A>D P(al as Alice) o.3
            hm: P Alice
            B>C P(al as Alice) o.3
            ro: P Alice
            mb: P Alice
    ",
    );
    assert!(world.is_quiet());
}

/// B19.
#[test]
fn b19_what_is_asked_of_one_elsewhere_is_answered_here() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let bytes = world.bytes.clone();
    world.play(
        "
        hm sends B <iq type='get' id='v' to='x@x/Alice'><vCard xmlns='vcard-temp'/></iq>
            hm: iq Error service-unavailable
        hm sends B <iq type='get' id='p' to='x@x/Alice'><ping xmlns='urn:xmpp:ping'/></iq>
            hm: iq Error service-unavailable
        hm sends B <iq type='get' id='q' to='x@x/Alice'><query xmlns='jabber:iq:version'/></iq>
            hm: iq Error service-unavailable
    ",
    );
    assert_eq!(world.bytes, bytes);
}

/// B2: an answer comes after what it answers, in every tree of four rooms and whichever link is slow.
#[test]
fn b2_an_answer_comes_after_what_it_answers() {
    for rooms in [
        "A B>A C>B D>A",
        "A B>A C>A D>A",
        "A B>A C>B D>C",
        "A B>A C>B D>B",
    ] {
        for seed in 0..100_u64 {
            let mut world = World::new(rooms);
            world.run("al enters A\nhm enters B\nmb enters C\nro enters D");
            let pairs = ['A', 'B', 'C', 'D'];
            let pairs = pairs
                .iter()
                .flat_map(|one| pairs.map(|other| (*one, other)));
            world.held.extend(pairs);
            let mut random = seed;
            let mut seen = world.run("hm says B Who's there?");
            let mut asked = true;
            loop {
                if asked && seen.iter().any(|line| line == "al: M Hamlet: Who's there?") {
                    asked = false;
                    seen.extend(world.run("al says A Nay, answer me"));
                }
                let busy: Vec<_> = world
                    .wires
                    .iter()
                    .filter(|(_, wire)| !wire.is_empty())
                    .map(|(pair, _)| *pair)
                    .collect();
                if busy.is_empty() {
                    break;
                }
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let pair = busy[(random >> 33) as usize % busy.len()];
                if let Some(stanza) = world.wires.get_mut(&pair).and_then(|wire| wire.pop_front()) {
                    world.deliver(pair, stanza);
                }
                seen.extend(std::mem::take(&mut world.seen));
            }
            for who in ["al", "hm", "mb", "ro"] {
                let heard = seen
                    .iter()
                    .filter_map(|line| line.strip_prefix(&format!("{who}: M ")));
                let heard: Vec<_> = heard.collect();
                assert_eq!(
                    heard,
                    ["Hamlet: Who's there?", "Alice: Nay, answer me"],
                    "{rooms} {seed} {who}"
                );
            }
        }
    }
}

/// What a client says with all that clients add.
const WORDY: &str = "<message type='groupchat' id='9c1e5cbe-0d2c-4d0c-8ad8-b1b4d1e8c1f2'><body>Hi</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='9c1e5cbe-0d2c-4d0c-8ad8-b1b4d1e8c1f2'/>\
    <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='rabbithole@rooms.wonderland.lit'/>\
    <markable xmlns='urn:xmpp:chat-markers:0'/>\
    <html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>Hi</body></html>\
    <reply xmlns='urn:xmpp:reply:0' id='other'/>\
    <fmuc xmlns='http://isode.com/protocol/fmuc' from='ceo@example.lit/x'/></message>";

/// B4.
#[test]
fn b4_a_narrow_link_has_what_is_said_and_nothing_else() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A\nhm enters B\nhold B A");
    world.run(&format!("hm sends B {WORDY}"));
    assert_eq!(
        world.on_the_way('B', 'A'),
        [
            "<message to='rabbithole@rooms.wonderland.lit' from='elsinore@talk.denmark.lit/Hamlet' type='groupchat'>\
            <body>Hi</body><reply xmlns='urn:xmpp:reply:0' id='other'/>\
            <fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'><o xmlns='urn:x-fmuc:1' i='1.2'/></fmuc></message>"
        ]
    );
}

/// B4, where bytes are cheap: all but what a room says on its own authority.
#[test]
fn b4_a_wide_link_has_all_but_what_rooms_say() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold B A");
    world.run(&format!("hm sends B {WORDY}"));
    let sent = world.on_the_way('B', 'A').concat();
    for there in [
        "id='9c1e",
        "<active",
        "<markable",
        "<html",
        "<reply",
        "from='hamlet@",
    ] {
        assert!(sent.contains(there), "{there} {sent}");
    }
    for gone in ["forged", "ceo@"] {
        assert!(!sent.contains(gone), "{gone} {sent}");
    }
}

/// B6: on most links nobody hears in which way somebody is there.
#[test]
fn b6_who_is_away_costs_a_narrow_link_nothing() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A");
    world.play("
        hm sends B <presence to='x@x/Hamlet'><show>dnd</show><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>xa</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet' type='unavailable'><status>to Wittenberg</status></presence>
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
    ");
    assert_eq!(
        world.last["al"].to_string().matches("Wittenberg").count(),
        0
    );
    assert!(world.is_quiet());
}

#[test]
fn b6_of_several_changes_within_the_interval_the_last_one_is_told() {
    let mut world = World::with("A B>A", |_, setup| {
        setup.federation.profile = LinkProfile::Sat;
        setup.peers(|peer| peer.presence = Some(PresenceLevel::Full));
    });
    world.run("al enters A\nhm enters B\nwait 10");
    world.play(
        "
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
            B>A P(hm as Hamlet)
            al: P Hamlet
        hm sends B <presence to='x@x/Hamlet'><show>chat</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>xa</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>dnd</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'/>
            hm: P Hamlet 110
        wait 9
        wait 1
            B>A P(hm as Hamlet)
            al: P Hamlet
        wait 60
    ",
    );
    assert_eq!(world.last["al"].to_string().matches("<show>").count(), 0);
    world.run("hm sends B <presence to='x@x/Hamlet'><show>dnd</show></presence>");
    assert_eq!(
        world.last["al"]
            .to_string()
            .matches("<show>dnd</show>")
            .count(),
        1
    );
    assert!(world.is_quiet());
}

/// B6: in which way somebody is there is told when the link is back.
#[test]
fn b6_what_changes_while_a_link_is_down_is_told_when_it_is_up() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\ncut A B");
    world.play(
        "
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
        al sends A <presence to='x@x/Alice'><show>dnd</show></presence>
            al: P Alice 110
        heal A B
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
            B>A P(hm as Hamlet)
    ",
    );
    assert_eq!(
        world.last["al"]
            .to_string()
            .matches("<show>away</show>")
            .count(),
        1
    );
    assert_eq!(
        world.last["hm"]
            .to_string()
            .matches("<show>dnd</show>")
            .count(),
        1
    );
    assert!(world.is_quiet());
}

/// B6: with the least of all levels those are introduced who say something.
#[test]
fn b6_who_says_nothing_need_not_be_known() {
    for dialect in [Dialect::Auto, Dialect::Xep] {
        let mut world = World::with("A B>A C>B", |name, setup| {
            speaking(dialect, LinkProfile::Lan)(name, setup);
            setup.peers(|peer| peer.presence = Some(PresenceLevel::None));
        });
        world.run("hm enters B\nop enters B\nal enters A\nha enters A");
        assert_eq!(
            world.roster('A'),
            ["Alice", "Hamlet", "Hatter"],
            "{dialect:?}"
        );
        assert_eq!(world.roster('B'), ["Hamlet", "Ophelia"], "{dialect:?}");
        world.run("mb enters C\nal says A one\nop says B two\nha leaves A\nmb tells C Alice three\nop leaves B\nwait 60");
        assert_eq!(
            world.roster('A'),
            ["Alice", "Hamlet", "Macbeth"],
            "{dialect:?}"
        );
        assert_eq!(
            world.roster('B'),
            ["Alice", "Hamlet", "Macbeth"],
            "{dialect:?}"
        );
        assert_eq!(world.roster('C'), ["Alice", "Macbeth"], "{dialect:?}");
        assert!(world.is_quiet());
    }
}

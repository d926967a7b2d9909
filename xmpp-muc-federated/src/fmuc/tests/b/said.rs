//! What is said, and where it goes.

use crate::fmuc::tests::{Dialect, LinkProfile, World, profile, speaking};

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

//! Rooms that join, what they are told, and rooms that are not let in (§6.A).

use super::{Accept, Dialect, Federation, Input, LinkProfile, World, address, speaking};

/// A1, with a peer that speaks XEP-0289 alone.
#[test]
fn a1_without_our_extension_the_subject_ends_the_burst() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run(
        "al enters A\nal says A older\nal says A old\nal subject A The pool of tears\nhold B A",
    );
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet)
        release B A
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B M(al as Alice: older) delay
            A>B M(al as Alice: old) delay
            A>B S(al: The pool of tears)
            hm: P Alice
            hm: M Alice: older delay
            hm: M Alice: old delay
            hm: S The pool of tears
    ",
    );
    assert!(world.is_quiet());
}

/// A3: where there is no subject, no history and nobody.
#[test]
fn a3_the_subject_is_sent_also_where_there_is_none() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet)
            A>B P(hm as Hamlet)
            A>B S(rabbithole@rooms.wonderland.lit: )
        hm says B Who's there?
            hm: M Hamlet: Who's there?
            B>A M(hm as Hamlet: Who's there?)
    ",
    );
    assert!(world.is_quiet());
}

/// A4: XEP-0045 §7.2.14.
#[test]
fn a4_a_room_that_joins_gets_as_much_history_as_it_asks_for() {
    for (asked, told) in [
        ("maxstanzas='2'", "two three"),
        ("seconds='100'", "three"),
        ("since='2012-04-19T16:00:30Z'", "two three"),
        ("maxchars='0'", ""),
        ("maxchars='1100'", "two three"),
        ("maxchars='100000'", "one two three"),
    ] {
        let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
        world.run(
            "al enters A\nal says A one\nwait 60\nal says A two\nwait 60\nal says A three\nwait 60",
        );
        let seen = world.run(&format!(
            "B> A <presence from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit/Hamlet'><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/><x xmlns='http://jabber.org/protocol/muc'><history {asked}/></x><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>"
        ));
        let said = seen
            .iter()
            .filter_map(|line| line.strip_prefix("A>B M(al as Alice: "));
        let said: Vec<_> = said
            .filter_map(|line| line.strip_suffix(") delay"))
            .collect();
        assert_eq!(said.join(" "), told, "{asked}");
        assert!(seen.contains(&"A>B S(rabbithole@rooms.wonderland.lit: )".to_owned()));
    }
}

/// A5: a room that is not let in stays alone, and does not ask again at once.
#[test]
fn a5_a_room_that_is_not_accepted_is_told_so_and_nothing_else() {
    let mut world = World::with("A B>A", |name, setup| {
        if name == 'A' {
            setup.federation.accept = Accept::Only(vec![address('C').into()]);
        }
    });
    world.run("al enters A\nal says A not for all");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            A>B REJ(not accepted)
        hm says B Who's there?
            hm: M Hamlet: Who's there?
        op enters B
            op: P Hamlet
            op: P Ophelia 110
            op: M Hamlet: Who's there? delay
            op: S
            hm: P Ophelia
        wait 1
        wait 6
            B>A J(op as Ophelia) join o.3
            A>B REJ(not accepted)
        hm leaves B
            hm: U Hamlet 110
            op: U Hamlet
        op leaves B
            op: U Ophelia 110
    ",
    );
    assert_eq!(
        world.notices,
        [
            "A!B Refused(\"not accepted\")",
            "B!A Rejected(\"not accepted\")",
            "A!B Refused(\"not accepted\")",
            "B!A Rejected(\"not accepted\")"
        ]
    );
    assert!(world.is_quiet());
}

/// A7.
#[test]
fn a7_the_second_one_here_is_one_stanza() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        op enters B
            op: P Hamlet
            op: P Alice
            op: P Ophelia 110
            op: S
            hm: P Ophelia
            B>A P(op as Ophelia) o.2
            al: P Ophelia
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn a7_the_second_one_here_is_one_stanza_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B");
    world.play(
        "
        op enters B
            op: P Hamlet
            op: P Alice
            op: P Ophelia 110
            op: S
            hm: P Ophelia
            B>A P(op as Ophelia)
            al: P Ophelia
    ",
    );
    assert!(world.is_quiet());
}

/// A8: what happens here while the other room has not answered.
#[test]
fn a8_who_waits_for_the_answer_talks_meanwhile() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhold A B\nhold B A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
        op enters B
            op: P Hamlet
            op: P Ophelia 110
            op: S
            hm: P Ophelia
        hm says B hi
            hm: M Hamlet: hi
            op: M Hamlet: hi
        release B A
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
        release A B
            B>A P(op as Ophelia) o.2
            B>A M(hm as Hamlet: hi) delay o.3 synced
            op: P Alice
            hm: P Alice
            al: P Ophelia
            al: M Hamlet: hi delay
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn a8_who_waits_for_the_answer_talks_meanwhile_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhold A B\nhold B A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet)
        op enters B
            op: P Hamlet
            op: P Ophelia 110
            op: S
            hm: P Ophelia
        hm says B hi
            hm: M Hamlet: hi
            op: M Hamlet: hi
        release B A
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B S(rabbithole@rooms.wonderland.lit: )
        release A B
            op: P Alice
            hm: P Alice
            B>A P(op as Ophelia)
            B>A M(hm as Hamlet: hi) delay
            al: P Ophelia
            al: M Hamlet: hi delay
    ",
    );
    assert!(world.is_quiet());
}

/// A9: what is there is a room of XEP-0045 and nothing more.
#[test]
fn a9_an_ordinary_room_is_left_at_once() {
    let mut world = World::new("B>A");
    world.play("
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
        A> B <presence from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit/Hamlet'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/></x></presence>
            B>A <presence to='rabbithole@rooms.wonderland.lit/Hamlet' from='elsinore@talk.denmark.lit/Hamlet' type='unavailable'/>
        A> B <presence from='rabbithole@rooms.wonderland.lit/Hamlet' to='elsinore@talk.denmark.lit/Hamlet'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/><status code='110'/></x></presence>
        A> B <message type='groupchat' from='rabbithole@rooms.wonderland.lit' to='elsinore@talk.denmark.lit/Hamlet'><subject/></message>
        wait 30
        hm leaves B
            hm: U Hamlet 110
    ");
    assert_eq!(world.notices, ["B!A Ordinary"]);
}

/// A10: a room that does not answer.
#[test]
fn a10_a_silent_room_is_asked_again_later() {
    let mut world = World::new("B>A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
        hm says B hi
            hm: M Hamlet: hi
        wait 29
        wait 1
        wait 6
            B>A J(hm as Hamlet) join o.1
        wait 30
    ",
    );
    assert_eq!(world.notices, ["B!A Silent", "B!A Silent"]);
}

/// A11: two rooms each of which joins the other, at the same time.
#[test]
fn a11_of_two_joins_that_cross_one_stands() {
    let mut world = World::new("A>B B>A");
    world.run("hold A B\nhold B A");
    world.play(
        "
        al enters A
            al: P Alice 110
            al: S
            A>B J(al as Alice) join o.1
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
        release A B
            hm: P Alice
            B>A own sync
            B>A P(hm as Hamlet) o.1
            B>A own synced
        release B A
            al: P Hamlet
        al says A hi
            al: M Alice: hi
            A>B M(al as Alice: hi) o.2
            hm: M Alice: hi
        hm says B hi
            hm: M Hamlet: hi
            B>A M(hm as Hamlet: hi) o.2
            al: M Hamlet: hi
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.3
            al: U Hamlet
        al leaves A
            al: U Alice 110
            A>B U(al as Alice) o.3
            B>A LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// A15: a room that would join itself, or one that is behind it.
#[test]
fn a15_no_room_joins_itself_or_one_behind_it() {
    let mut world = World::new("A>A");
    world.play(
        "
        al enters A
            al: P Alice 110
            al: S
            A>A J(al as Alice) join o.1
            A>A REJ(it is the same room)
    ",
    );
    let mut world = World::new("A B>A C>B");
    world.run("mb enters C");
    let federation = Federation {
        parents: vec![address('C')],
        accept: Accept::Any,
        ..Federation::default()
    };
    world.handle('A', Input::Configure(federation));
    world.settle();
    let seen = [
        "A>C J(mb as Macbeth) join o.1",
        "C>A REJ(this room is behind it)",
    ];
    assert_eq!(world.seen, seen);
}

/// A16: three rooms that join each other in a ring, all at the same time.
#[test]
fn a16_a_ring_is_broken_at_one_place() {
    let mut world = World::new("A>B B>C C>A");
    world.run("hold A B\nhold B C\nhold C A\nhold B A\nhold C B\nhold A C\nal enters A\nhm enters B\nmb enters C");
    world.play(
        "
        release A B
            hm: P Alice
            B>A own sync
            B>A P(hm as Hamlet) o.1
            B>A own synced
        release B C
            mb: P Hamlet
            C>B own sync
            C>B P(mb as Macbeth) o.1
            C>B own synced
        release C A
            al: P Macbeth
            A>C own sync
            A>C P(al as Alice) o.1
            A>C own synced
        release B A
            A>B P(mb as Macbeth) o.1 synced
            A>C own path(2)
            hm: P Macbeth
            al: P Hamlet
            A>C P(hm as Hamlet) o.1
        release C B
            B>C P(al as Alice) o.1 synced
            B>A own path(2)
            A>C own path(3)
            mb: P Alice
        release A C
            C>A P(hm as Hamlet) o.1 synced
            C>B own path(2)
            C>B own path(3)
            C>B own path(4)
            B>A own path(3)
            A>B own leave
            A>C U(hm as Hamlet)
            A>B P(hm as Hamlet) o.1
            A>C own path(1)
            B>A LEFT
            hm: U Alice
            B>C U(al as Alice)
            B>C U(mb as Macbeth)
            C>B own path(2)
            C>A U(al as Alice)
            C>B P(al as Alice) o.1
            hm: P Alice
        wait 60
    ",
    );
    for room in ['A', 'B', 'C'] {
        assert_eq!(world.roster(room), ["Alice", "Hamlet", "Macbeth"], "{room}");
    }
    world.play(
        "
        al says A from A
            al: M Alice: from A
            A>C M(al as Alice: from A) o.2
            mb: M Alice: from A
            C>B M(al as Alice: from A) o.2
            hm: M Alice: from A
        hm says B from B
            hm: M Hamlet: from B
            B>C M(hm as Hamlet: from B) o.2
            mb: M Hamlet: from B
            C>A M(hm as Hamlet: from B) o.2
            al: M Hamlet: from B
        mb says C from C
            mb: M Macbeth: from C
            C>A M(mb as Macbeth: from C) o.2
            C>B M(mb as Macbeth: from C) o.2
            al: M Macbeth: from C
            hm: M Macbeth: from C
        hm leaves B
            hm: U Hamlet 110
            B>C U(hm as Hamlet) o.3
            mb: U Hamlet
            C>A U(hm as Hamlet) o.3
            C>B LEFT
            al: U Hamlet
    ",
    );
}

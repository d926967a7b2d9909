//! Peers that speak XEP-0289 alone: pairs of ours with our extension switched off, and a scripted one (§6, the scenarios of legacy peers).

use super::{Accept, Dialect, LinkProfile, Setup, World, speaking};

/// Two rooms of ours, or more, that speak XEP-0289 and nothing else.
fn plain(rooms: &str) -> World {
    World::with(rooms, speaking(Dialect::Xep, LinkProfile::Lan))
}

/// B1.
#[test]
fn b1_a_message_goes_over_the_link_once_and_nothing_comes_back() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm says B Hi Alice
            hm: M Hamlet: Hi Alice
            B>A M(hm as Hamlet: Hi Alice)
            al: M Hamlet: Hi Alice
    ",
    );
    assert!(world.is_quiet());
}

/// B7, B8.
#[test]
fn b8_the_last_one_takes_the_room_along() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        op leaves B
            op: U Ophelia 110
            B>A U(op as Ophelia)
            hm: U Ophelia
            al: U Ophelia
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet)
            al: U Hamlet
            A>B LEFT
        al says A Is anybody there?
            al: M Alice: Is anybody there?
    ",
    );
    assert!(world.is_quiet());
}

/// B14: a pair of presences; of one who is alone there too, and that is no leave.
#[test]
fn b14_another_nick_is_two_presences_and_no_leave() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <presence to='elsinore@talk.denmark.lit/Prince'/>
            hm: U Hamlet 110 303 to Prince
            B>A U(hm as Hamlet) 303
            B>A P(hm as Prince)
            hm: P Prince 110
            al: U Hamlet 303 to Prince
            al: P Prince
        al says A My lord
            al: M Alice: My lord
            A>B M(al as Alice: My lord)
            hm: M Alice: My lord
        al sends A <presence to='rabbithole@rooms.wonderland.lit/Queen'/>
            al: U Alice 110 303 to Queen
            A>B U(al as Alice) 303
            A>B P(al as Queen)
            al: P Queen 110
            hm: U Alice 303 to Queen
            hm: P Queen
    ",
    );
    assert!(world.is_quiet());
}

/// D8: part and full rejoin; nobody is seen to go, and nothing is said twice.
#[test]
fn d8_after_an_outage_all_leave_and_join_anew() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\nop enters B\nhm says B before");
    world.play(
        "
        cut A B
        hm says B queued
            hm: M Hamlet: queued
            op: M Hamlet: queued
        al says A missed
            al: M Alice: missed
        wait 61
            B>A U(hm as Hamlet) lost
            B>A U(op as Ophelia) lost
        heal A B
            A>B M(al as Alice: missed) delay
            B>A U(hm as Hamlet)
            B>A U(op as Ophelia)
            hm: M Alice: missed delay
            op: M Alice: missed delay
            al: U Hamlet
            al: U Ophelia
            A>B LEFT
            B>A J(hm as Hamlet)
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B M(hm as Hamlet: before) delay
            A>B M(al as Alice: missed) delay
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>A P(op as Ophelia)
            B>A M(hm as Hamlet: queued) delay
            al: P Ophelia
            al: M Hamlet: queued delay
    ",
    );
    assert!(world.is_quiet());
}

/// D8: an outage so short that nobody has noticed.
#[test]
fn d8_after_a_short_outage_it_goes_on_where_it_was() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        cut A B
        hm says B queued
            hm: M Hamlet: queued
        al says A queued too
            al: M Alice: queued too
        wait 30
        heal A B
            A>B M(al as Alice: queued too) delay
            B>A M(hm as Hamlet: queued) delay
            hm: M Alice: queued too delay
            al: M Hamlet: queued delay
    ",
    );
    assert!(world.is_quiet());
}

/// D9: those who were here before a restart leave, also when nobody is here any more.
#[test]
fn d9_after_a_restart_of_the_child_its_occupants_leave() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        restart B
            B>A U(hm as Hamlet)
            B>A U(op as Ophelia)
            al: U Hamlet
            al: U Ophelia
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// D9: also when the link is down just then.
#[test]
fn d9_they_leave_as_soon_as_there_is_a_link() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\ncut A B");
    world.play(
        "
        restart B
            B>A U(hm as Hamlet) lost
        wait 20
            B>A U(hm as Hamlet) lost
            B>A U(hm as Hamlet) lost
        heal A B
            B>A U(hm as Hamlet)
            al: U Hamlet
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// D11: a child that has not noticed that the room was restarted.
#[test]
fn d11_after_a_restart_of_the_parent_a_stanza_revives_the_child() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        restart A
        ha enters A
            ha: P Hatter 110
            ha: S
        hm says B still here
            hm: M Hamlet: still here
            op: M Hamlet: still here
            B>A M(hm as Hamlet: still here)
            A>B U(al as Alice)
            A>B P(ha as Hatter)
            ha: P Hamlet
            ha: P Ophelia
            ha: M Hamlet: still here
            op: U Alice
            hm: U Alice
            op: P Hatter
            hm: P Hatter
    ",
    );
    assert!(world.is_quiet());
}

/// D14: every stanza twice.
#[test]
fn d14_what_comes_twice_is_said_once() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B\nhold B A");
    world.run(
        "hm sends B <message type='groupchat' id='1'><body>once</body></message>\nop enters B",
    );
    world.double('B', 'A');
    world.play(
        "
        release B A
            al: M Hamlet: once
            al: P Ophelia
    ",
    );
    assert!(world.is_quiet());
}

/// D20: after a split the subject of the room that was joined counts.
#[test]
fn d20_after_a_split_the_subject_of_the_joined_room_counts() {
    let mut world = plain("A B>A");
    world.run(
        "al enters A\nhm enters B\ncut A B\nal subject A Tea\nwait 5\nhm subject B Ghosts\nwait 90",
    );
    world.play(
        "
        heal A B
            A>B S(al: Tea)
            B>A U(hm as Hamlet)
            hm: S Tea
            al: U Hamlet
            A>B LEFT
            B>A J(hm as Hamlet)
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B S(al: Tea)
    ",
    );
    assert!(world.is_quiet());
}

/// D2, D4: a burst that does not come to its end has not happened.
#[test]
fn d2_of_a_burst_that_is_cut_nothing_is_seen() {
    let mut world = plain("A B>A");
    world.run("al enters A\nha enters A\nal says A old\nhold A B");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet)
            ha: P Hamlet
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(ha as Hatter)
            A>B P(hm as Hamlet)
            A>B M(al as Alice: old) delay
            A>B S(rabbithole@rooms.wonderland.lit: )
    ",
    );
    world.pass_on('A', 'B', 2);
    world.play(
        "
        cut A B
        release A B
        ha leaves A
            ha: U Hatter 110
            al: U Hatter
        wait 70
            B>A U(hm as Hamlet) lost
            B>A U(hm as Hamlet) lost
            B>A U(hm as Hamlet) lost
            B>A U(hm as Hamlet) lost
        heal A B
            A>B U(ha as Hatter)
            B>A U(hm as Hamlet)
            al: U Hamlet
            A>B LEFT
            B>A J(hm as Hamlet)
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B M(al as Alice: old) delay
            A>B S(rabbithole@rooms.wonderland.lit: )
            hm: P Alice
            hm: M Alice: old delay
    ",
    );
    assert!(world.is_quiet());
}

/// D4: everything but the subject.
#[test]
fn d4_a_burst_without_its_subject_has_not_been() {
    let mut world = plain("A B>A");
    world.run("al enters A\nal says A old\nhold A B\nhm enters B");
    let all = world.on_the_way('A', 'B').len();
    world.pass_on('A', 'B', all - 1);
    let before = std::mem::take(&mut world.seen);
    assert!(!before.iter().any(|line| line.starts_with("hm: P Alice")));
    let seen = world.run("cut A B\nrelease A B\nwait 70\nheal A B\nwait 60");
    for once in ["hm: P Alice", "hm: M Alice: old delay"] {
        let heard = seen.iter().filter(|line| *line == once).count();
        assert_eq!(heard, 1, "{once} {seen:#?}");
    }
    assert_eq!(world.roster('B'), ["Alice", "Hamlet"]);
    assert!(world.is_quiet());
}

/// A6: Openfire rejects to the full address.
#[test]
fn a6_a_reject_to_a_nick_is_one() {
    let mut world = World::new("B>A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
        A> B <presence from='rabbithole@rooms.wonderland.lit' to='elsinore@talk.denmark.lit/Hamlet'><fmuc xmlns='http://isode.com/protocol/fmuc'><reject>No.</reject></fmuc></presence>
        wait 3
        hm leaves B
            hm: U Hamlet 110
    ",
    );
    assert_eq!(world.notices, ["B!A Rejected(\"No.\")"]);
    assert!(world.is_quiet());
}

/// A14: `<x/>` for the delay, in a form of its own; `to` with a resource of somebody else; `<fmuc/>` first or last.
#[test]
fn a14_what_the_examples_have_wrong_is_understood() {
    let mut world = World::new("B>A");
    world.run("hm enters B");
    world.play(
        "
        A> B <presence from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit/Hatter'><fmuc xmlns='http://isode.com/protocol/fmuc' from='alice@wonderland.lit/w'/><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/></x></presence>
        A> B <message type='groupchat' from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit'><body>old</body><x xmlns='urn:xmpp:delay' from='rabbithole@rooms.wonderland.lit' stamp='20120419T15:00:44'/><fmuc xmlns='http://isode.com/protocol/fmuc' from='alice@wonderland.lit/w'/></message>
        A> B <message type='groupchat' from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit'><subject/><fmuc xmlns='http://isode.com/protocol/fmuc' from='alice@wonderland.lit/w'/></message>
            hm: P Alice
            hm: M Alice: old delay
    ",
    );
    let last = &world.last["hm"];
    assert!(
        last.to_string().contains("stamp='2012-04-19T15:00:44Z'"),
        "{last}"
    );
    assert!(world.is_quiet());
}

/// B15: who has not been introduced speaks.
#[test]
fn b15_an_unknown_author_is_introduced_by_what_they_say() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        B> A <message type='groupchat' from='elsinore@talk.denmark.lit/Ophelia' to='rabbithole@rooms.wonderland.lit'><body>I do not know, my lord</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='ophelia@denmark.lit/p'/></message>
            al: P Ophelia
            al: M Ophelia: I do not know, my lord
    ",
    );
    assert!(world.is_quiet());
}

/// B20: what is said in the name of the room itself.
#[test]
fn b20_a_presence_of_the_room_itself_is_nobodys() {
    let mut world = plain("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        A> B <presence from='rabbithole@rooms.wonderland.lit' to='elsinore@talk.denmark.lit'><x xmlns='http://jabber.org/protocol/muc#user'><item jid='hamlet@denmark.lit/p' role='none'/><status code='307'/></x><fmuc xmlns='http://isode.com/protocol/fmuc' from='rabbithole@rooms.wonderland.lit'/></presence>
        B> A <presence from='elsinore@talk.denmark.lit' to='rabbithole@rooms.wonderland.lit' type='unavailable'><fmuc xmlns='http://isode.com/protocol/fmuc' from='elsinore@talk.denmark.lit'/></presence>
    ",
    );
    assert!(world.is_quiet());
}

/// A room that is not known says something: it is told that it is none of ours, but not again and again.
#[test]
fn a_stranger_that_takes_itself_for_joined_is_told_once_a_minute() {
    let mut world = World::with("A B", |name, setup| {
        speaking(Dialect::Xep, LinkProfile::Lan)(name, setup);
        setup.settings.limits.refusals = 1;
    });
    world.run("al enters A");
    let says = "B> A <message type='groupchat' from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit'><body>Hi</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></message>";
    assert_eq!(world.run(says), ["A>B LEFT"]);
    assert!(world.run(says).is_empty());
    assert_eq!(world.run(&format!("wait 60\n{says}")), ["A>B LEFT"]);
    world.setup_accept('A', Accept::None);
    assert!(world.run(&format!("wait 60\n{says}")).is_empty());
}

/// A middle room with a child of ours above and a plain one below: what comes of the plain one has the names of the middle one, and is not lost by an outage.
#[test]
fn what_a_plain_child_says_survives_an_outage_above() {
    let mut world = World::with("A B>A C>B", |name, setup: &mut Setup| {
        if name == 'C' {
            setup.peers(|peer| peer.dialect = Dialect::Xep);
        }
    });
    world.run("al enters A\nmb enters C");
    world.play(
        "
        cut A B
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?)
        heal A B
            B>A J(mb as Macbeth) join o.1
            A>B own sync
            A>B own synced
            B>A M(mb as Macbeth: Is this a dagger?) delay o.2
            al: M Macbeth: Is this a dagger? delay
    ",
    );
    assert_eq!(world.roster('A'), ["Alice", "Macbeth"]);
    assert!(world.is_quiet());
}

/// A peer that has spoken our extension and then joins without it, and is cut off: nobody else is taken for gone.
#[test]
fn a_peer_that_speaks_less_than_before_takes_nobody_with_it() {
    let mut world = World::new("A B>A F");
    world.run("al enters A\nhm enters B");
    world.run("F> A <presence from='harbour@muc.cyprus.lit/Othello' to='rabbithole@rooms.wonderland.lit/Othello'><x xmlns='http://jabber.org/protocol/muc'/><x xmlns='http://jabber.org/protocol/muc#user'><item/></x><fmuc xmlns='http://isode.com/protocol/fmuc' from='othello@cyprus.lit/c'><join xmlns='urn:x-fmuc:1' v='1' m='pp' s='s1'><h a='1' n='harbour@muc.cyprus.lit' e='m2qhs0' s='0'/></join><o xmlns='urn:x-fmuc:1' i='1.0'/></fmuc></presence>".replace("urn:x-fmuc:1", crate::ns::SYNC).as_str());
    world.play(
        "
        F> A <presence id='1' from='harbour@muc.cyprus.lit/Iago' to='rabbithole@rooms.wonderland.lit/Othello'><fmuc xmlns='http://isode.com/protocol/fmuc' from='othello@cyprus.lit/c'></fmuc><x xmlns='http://jabber.org/protocol/muc'/></presence>
            al: U Othello 303 to Iago
            al: P Iago
            A>B P(ot as Iago) o.2
            A>F P(al as Alice)
            A>F P(hm as Hamlet)
            A>F P(ot as Iago)
            A>F S(rabbithole@rooms.wonderland.lit: )
            hm: U Othello 303 to Iago
            hm: P Iago
            F>A LEFT
            F>A LEFT
            F>A LEFT
        cut A F
        wait 61
        wait 400
            al: U Iago 333
            A>B U(ot as Iago) 333 o.3
            hm: U Iago 333
        heal A F
            al: P Iago
            A>B P(ot as Iago) o.4
            hm: P Iago
        wait 100
        al says A after all
            al: M Alice: after all
            A>B M(al as Alice: after all) o.5
            A>F M(al as Alice: after all)
            hm: M Alice: after all
            F>A LEFT
        ",
    );
}

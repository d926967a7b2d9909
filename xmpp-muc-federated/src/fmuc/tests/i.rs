//! Rooms that are one with a room of Openfire (§6.I, and the scenarios of it in the other letters).

use super::{Dialect, Setup, World};

/// With rooms of which those in `known` are said to be Openfire's.
fn world(rooms: &str, known: &str) -> World {
    World::with(rooms, |_, setup: &mut Setup| {
        for one in known.chars() {
            setup.peers(|peer| {
                if peer.jid.as_str() == super::address(one).as_str() {
                    peer.dialect = Dialect::Openfire;
                }
            });
        }
    })
}

/// I1: we join.
#[test]
fn i1_a_room_joins_one_of_openfire() {
    for known in ["", "D"] {
        let mut world = world("B>D", known);
        world.openfire('D', None);
        world.run("ro enters D\nro says D old");
        let lines = world.run("hm enters B\nhm says B Hi\nro says D Hello\nop enters B\nop leaves B\nvi enters D\nhm leaves B\nro says D Anybody?");
        let join = match known {
            "" => "B>D J(hm as Hamlet) join o.1",
            _ => "B>D J(hm as Hamlet)",
        };
        assert!(lines.contains(&join.to_owned()), "{lines:#?}");
        assert_eq!(
            shown(&lines, "ro"),
            [
                "P Hamlet",
                "M Hamlet: Hi",
                "M Rosalind: Hello",
                "P Ophelia",
                "U Ophelia",
                "P Viola",
                "U Hamlet",
                "M Rosalind: Anybody?"
            ]
        );
        assert_eq!(
            shown(&lines, "hm"),
            [
                "P Hamlet 110",
                "S",
                "P Rosalind",
                "M Rosalind: old delay",
                "M Hamlet: Hi",
                "M Rosalind: Hello",
                "P Ophelia",
                "U Ophelia",
                "P Viola",
                "P Viola",
                "U Hamlet 110"
            ]
        );
        assert_eq!(lines.last().unwrap(), "vi: M Rosalind: Anybody?");
        assert!(world.is_quiet());
    }
}

/// I2, A13: it joins us, and says so twice.
#[test]
fn i2_a_room_of_openfire_joins() {
    for known in ["", "D"] {
        let mut world = world("A", known);
        world.openfire('D', Some('A'));
        world.run("al enters A\nal says A old");
        world.play(
            "
        ro enters D
            ro: P Rosalind 110
            D>A J(ro as Rosalind)
            al: P Rosalind
            A>D P(al as Alice)
            A>D S(rabbithole@rooms.wonderland.lit: )
            ro: P Alice
            ro: S
            D>A P(ro as Rosalind)
            al: P Rosalind
            ",
        );
        assert!(world.is_quiet());
    }
}

/// I3: it is between two of ours; who is behind it is seen, and nothing is said twice.
#[test]
fn i3_a_room_of_openfire_in_the_middle() {
    let mut world = world("A B>D", "D");
    world.openfire('D', Some('A'));
    world.run("al enters A\nro enters D\nhm enters B");
    let lines = world.run("hm says B Hi\nal says A Hello\nro says D Well met");
    for who in ["al", "hm", "ro"] {
        assert_eq!(
            shown(&lines, who),
            ["M Hamlet: Hi", "M Alice: Hello", "M Rosalind: Well met"],
            "{who}"
        );
    }
    assert_eq!(world.roster('A'), ["Alice", "Hamlet", "Rosalind"]);
    assert_eq!(world.roster('B'), ["Alice", "Hamlet", "Rosalind"]);
    assert_eq!(world.openfire_roster('D'), world.roster('A'));
    assert!(world.is_quiet());
}

/// I4, D12: it is restarted, and joins as if it had never; those whom it does not name any more are gone after a while.
#[test]
fn i4_a_room_of_openfire_that_was_restarted_joins_anew() {
    let mut world = world("A", "D");
    world.openfire('D', Some('A'));
    world.run("al enters A\nal says A old\nro enters D\nvi enters D");
    world.play(
        "
        cut A D
        restart D
        heal A D
        vi enters D
            vi: P Viola 110
            D>A J(vi as Viola)
            al: P Viola
            A>D P(al as Alice)
            A>D S(rabbithole@rooms.wonderland.lit: )
            vi: P Alice
            vi: S
            D>A P(vi as Viola)
            al: P Viola
        wait 60
            al: U Rosalind
        ",
    );
    assert_eq!(world.roster('A'), ["Alice", "Viola"]);
    assert!(world.is_quiet());
}

/// I4, D11: we are restarted, and it has not noticed.
#[test]
fn i4_d11_after_our_restart_what_it_says_revives_it() {
    let mut world = world("A", "D");
    world.openfire('D', Some('A'));
    world.run("al enters A\nro enters D\nvi enters D");
    world.play(
        "
        restart A
        al enters A
            al: P Alice 110
            al: S
        ro says D still here
            ro: M Rosalind: still here
            vi: M Rosalind: still here
            D>A M(ro as Rosalind: still here)
            A>D U(al as Alice)
            A>D P(al as Alice)
            al: P Rosalind
            al: P Viola
            al: M Rosalind: still here
            ro: U Alice
            vi: U Alice
            ro: P Alice
            vi: P Alice
        ",
    );
    assert_eq!(world.roster('A'), ["Alice", "Rosalind", "Viola"]);
    assert_eq!(world.openfire_roster('D'), ["Alice", "Rosalind", "Viola"]);
    assert!(world.is_quiet());
}

/// I4, D8: we have joined it, and are restarted.
#[test]
fn i4_d8_after_our_restart_all_of_ours_leave_it() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B\nop enters B");
    world.play(
        "
        restart B
            B>D U(hm as Hamlet)
            B>D U(op as Ophelia)
            ro: U Hamlet
            ro: U Ophelia
            D>B LEFT
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>D J(hm as Hamlet)
            ro: P Hamlet
            D>B P(ro as Rosalind)
            D>B S(forest@muc.arden.lit: )
            hm: P Rosalind
        ",
    );
    assert_eq!(world.roster('B'), ["Hamlet", "Rosalind"]);
    assert_eq!(world.openfire_roster('D'), ["Hamlet", "Rosalind"]);
    assert!(world.is_quiet());
}

/// D10: nothing is known here of what it knows of this room; it does not answer, and is not asked all the time.
#[test]
fn d10_who_is_taken_for_joined_is_not_answered() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B\nop enters B");
    let setup = world.setups[&'B'].clone();
    world.add('B', setup);
    let lines = world.run("hm enters B\nwait 600");
    let joins = lines
        .iter()
        .filter(|line| line.starts_with("B>D J"))
        .count();
    assert!((2..12).contains(&joins), "{lines:#?}");
    assert!(
        world.notices.iter().all(|notice| notice == "B!D Stale") && !world.notices.is_empty(),
        "{:?}",
        world.notices
    );
}

/// C6, O8: a room of Openfire says to nobody what it has done. So this one cannot be its replica: it leaves, and whoever would come hears so.
#[test]
fn c6_no_room_is_the_replica_of_one_of_openfire() {
    for known in ["", "D"] {
        let mut world = World::with("B>D", |_, setup| {
            setup.federation.mode = crate::fmuc::Mode::Replica;
            for one in known.chars() {
                setup.peers(|peer| {
                    if peer.jid.as_str() == super::address(one).as_str() {
                        peer.dialect = Dialect::Openfire;
                    }
                });
            }
        });
        world.openfire('D', None);
        world.run("ro enters D");
        let seen = world.run("hm enters B");
        let refused = "hm: error Hamlet service-unavailable".to_owned();
        assert!(seen.contains(&refused), "{seen:#?}");
        assert_eq!(world.openfire_roster('D'), ["Rosalind"], "{seen:#?}");
        assert_eq!(world.notices, ["B!D NoEcho"]);
    }
}

/// A12: each would join the other. It rejects ours; the one that it makes is taken.
#[test]
fn a12_of_two_joins_that_cross_that_of_openfire_stands() {
    let mut world = world("A>D", "D");
    world.openfire('D', Some('A'));
    world.run("hold A D\nhold D A");
    world.run("al enters A\nro enters D");
    let lines = world.run("release A D\nrelease D A\nwait 600\nal says A Hi\nro says D Hello");
    let joins = lines.iter().filter(|line| line.contains(" J(")).count();
    assert_eq!(joins, 0, "{lines:#?}");
    for who in ["al", "ro"] {
        assert_eq!(
            said(&lines, who),
            ["M Alice: Hi", "M Rosalind: Hello"],
            "{lines:#?}"
        );
    }
    assert!(world.is_quiet());
}

/// B14, O18: who is the only one here keeps their nick there.
#[test]
fn b14_the_only_one_here_keeps_their_nick_there() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B");
    world.play(
        "
        hm sends B <presence to='elsinore@talk.denmark.lit/Prince'/>
            hm: U Hamlet 110 303 to Prince
            hm: P Prince 110
        hm says B Hi
            hm: M Prince: Hi
            B>D M(hm as Hamlet: Hi)
            ro: M Hamlet: Hi
        ro says D Hello
            ro: M Rosalind: Hello
            D>B M(ro as Rosalind: Hello)
            hm: M Rosalind: Hello
        ",
    );
    assert!(world.is_quiet());
}

/// B17, O12: it would show them to all.
#[test]
fn b17_nothing_private_is_sent_to_openfire() {
    let mut world = world("A B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B");
    world.play(
        "
        hm tells B Rosalind secret
            hm: error Rosalind feature-not-implemented
        ",
    );
    assert!(world.is_quiet());
}

/// B18, O13: what it says in private goes to the address of the user. It never comes to the room: whoever delivers to users drops what bears `<fmuc/>`.
#[test]
fn b18_what_openfire_says_in_private_does_not_come_to_the_room() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B");
    let lines = world.run("ro tells D Hamlet psst");
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("to='hamlet@denmark.lit/p'") && lines[0].contains("<fmuc"),
        "{lines:?}"
    );
}

/// E8, N6: two of one nick. Each side has its own under it, and the other one under another.
#[test]
fn e8_two_of_one_nick_are_told_apart_on_both_sides() {
    let mut world = world("A", "D");
    world.openfire('D', Some('A'));
    world.run("ba enters A\nro enters D as Bob");
    let lines = world.run("ba says A Hi\nro says D Hello\nba leaves A\nba enters A");
    assert_eq!(
        said(&lines, "ba"),
        ["M Bob: Hi", "M Bob~55u: Hello"],
        "{lines:#?}"
    );
    assert_eq!(
        said(&lines, "ro"),
        ["M Bob~wgg: Hi", "M Bob: Hello"],
        "{lines:#?}"
    );
    assert_eq!(world.roster('A'), ["Bob", "Bob~55u"]);
    assert!(world.is_quiet());
}

/// E8: and one who comes later than ours.
#[test]
fn e8_ours_has_another_nick_there_as_soon_as_there_is_one_of_the_same() {
    let mut world = world("A", "D");
    world.openfire('D', Some('A'));
    world.run("ba enters A\nro enters D");
    world.play(
        "
        vi enters D as bob
            vi: P Rosalind
            vi: P Bob
            vi: P bob 110
            ro: P bob
            D>A J(vi as bob)
            D>A P(vi as bob)
            ba: P bob~uul
            A>D U(ba as Bob) 303
            A>D P(ba as Bob~wgg)
            ro: U Bob
            vi: U Bob
            ro: P Bob~wgg
            vi: P Bob~wgg
            ba: P bob~uul
        ",
    );
    assert!(world.is_quiet());
}

/// F6, O15.
#[test]
fn f6_whom_a_moderator_of_openfire_kicks_goes_and_the_moderator_stays() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B\nop enters B");
    world.play(
        "
        ro kicks D Ophelia
            ro: U Ophelia 307
            D>B U(ro as Rosalind) 307
            D>B own 307
            op: U Ophelia 110 307
            B>D U(op as Ophelia) 307
            hm: U Ophelia 307
        ro says D That was me
            ro: M Rosalind: That was me
            D>B M(ro as Rosalind: That was me)
            hm: M Rosalind: That was me
        ",
    );
    assert_eq!(world.roster('B'), ["Hamlet", "Rosalind"]);
    assert!(world.is_quiet());
}

/// F6: one whom nobody here may kick is there again.
#[test]
fn f6_whom_we_do_not_let_go_is_introduced_again() {
    let mut world = world("B>D", "D");
    world.openfire('D', None);
    world.run("ro enters D\nhm enters B");
    world.play(
        "
        ro kicks D Hamlet
            ro: U Hamlet 307
            D>B U(ro as Rosalind) 307
            D>B own 307
            B>D P(hm as Hamlet)
            ro: P Hamlet
        hm says B I am the owner here
            hm: M Hamlet: I am the owner here
            B>D M(hm as Hamlet: I am the owner here)
            ro: M Hamlet: I am the owner here
        ",
    );
    assert!(world.is_quiet());
}

/// O16: whom a moderator of ours kicks leaves there.
#[test]
fn whom_a_moderator_of_ours_kicks_leaves_openfire() {
    let mut world = world("A", "D");
    world.openfire('D', Some('A'));
    world.run("al enters A\nro enters D\nvi enters D");
    world.play(
        "
        al kicks A Viola
            A>D U(vi as Viola) 307
            al: iq Result
            al: U Viola 307
            ro: U Viola
        ",
    );
    assert!(world.is_quiet());
}

/// I5: whatever happens, everybody is where they are, and nothing is said twice.
#[test]
fn i5_after_any_schedule_both_sides_have_the_same_occupants() {
    for seed in 1..40_u64 {
        let mut world = world("A", "D");
        world.openfire('D', Some('A'));
        let mut random = seed;
        let mut said = 0;
        let mut lines = Vec::new();
        for _ in 0..300 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let pick = random >> 33;
            let (who, room) =
                [("al", 'A'), ("ha", 'A'), ("ro", 'D'), ("vi", 'D')][(pick % 4) as usize];
            let here = in_room(&world, who, room);
            let act = match (pick / 4) % 4 {
                0 if !here => format!("{who} enters {room}"),
                1 if here => format!("{who} leaves {room}"),
                2 if here => {
                    said += 1;
                    format!(
                        "{who} sends {room} <message type='groupchat' to='{}' id='m{said}'><body>m{said}</body></message>",
                        super::address(room)
                    )
                }
                _ => "wait 7".to_owned(),
            };
            lines.extend(world.run(&act));
        }
        // O3, O22 aside: while both are in, they see the same.
        for who in ["al", "ha", "ro", "vi"] {
            let mut texts = said_by(&lines, who);
            texts.sort();
            let all = texts.len();
            texts.dedup();
            assert_eq!(all, texts.len(), "seed {seed}: {who}");
        }
        lines.extend(world.run("wait 600"));
        let there = world.openfire_roster('D');
        if in_room(&world, "ro", 'D') || in_room(&world, "vi", 'D') {
            assert_eq!(world.roster('A'), there, "seed {seed}");
        }
    }
}

fn in_room(world: &World, who: &str, room: char) -> bool {
    let (_, _, nick) = super::person(who);
    let all = match room {
        'D' => world.openfire_roster('D'),
        room => world.roster(room),
    };
    all.iter().any(|one| one == nick)
}

/// What somebody sees.
fn shown(lines: &[String], who: &str) -> Vec<String> {
    let prefix = format!("{who}: ");
    lines
        .iter()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect()
}

/// What somebody hears.
fn said(lines: &[String], who: &str) -> Vec<String> {
    shown(lines, who)
        .into_iter()
        .filter(|line| line.starts_with("M ") && !line.ends_with("delay"))
        .collect()
}

fn said_by(lines: &[String], who: &str) -> Vec<String> {
    said(lines, who)
}

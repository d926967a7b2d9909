//! D: what breaks, and what becomes of it (§6 of the design). What random worlds find beyond this is in `sim` (`sim::federation`).

use xmpp_core::Jid;
use xmpp_core::xml::ns::CLIENT;

use super::World;
use crate::fmuc::{OnLoss, Peer};
use crate::room::Affiliation;

/// How often clients were told this.
fn count(seen: &[String], line: &str) -> usize {
    seen.iter().filter(|one| one.starts_with(line)).count()
}

/// Nobody sees anybody leave or come.
fn is_calm(seen: &[String]) -> bool {
    let flicker = |one: &&String| {
        let told = one.split_once(": ").map_or("", |(_, told)| told);
        told.starts_with("P ") || told.starts_with("U ")
    };
    seen.iter()
        .filter(|one| !one.contains('>'))
        .find(flicker)
        .is_none()
}

#[test]
fn d1_a_join_that_is_cut_is_made_once_more_and_everybody_is_seen_once() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhold B A");
    let before = world.run("hm enters B\nhm says B anybody there?\ncut A B\nhm says B no");
    assert_eq!(count(&before, "hm: M Hamlet"), 2, "{before:?}");
    let after = world.run("release B A\nheal A B\nwait 60");
    assert_eq!(count(&after, "B>A J"), 1, "{after:?}");
    assert_eq!(count(&after, "hm: P Alice"), 1, "{after:?}");
    assert_eq!(count(&after, "al: P Hamlet"), 1, "{after:?}");
    assert_eq!(count(&after, "al: M Hamlet"), 2, "{after:?}");
    assert!(world.is_quiet());
}

/// A has said twenty things, and of its burst to B so many stanzas have arrived when the link is cut.
fn cut_after(stanzas: impl Fn(usize) -> usize) -> Vec<String> {
    let mut world = World::new("A B>A");
    world.run("al enters A");
    for at in 0..20 {
        world.run(&format!("al says A {at}."));
    }
    world.run("hold A B");
    let mut seen = world.run("hm enters B");
    let all = world.on_the_way('A', 'B').len();
    world.pass_on('A', 'B', stanzas(all));
    seen.extend(std::mem::take(&mut world.seen));
    assert_eq!(count(&seen, "A>B M("), 20);
    let rest = world.run("cut A B\nrelease A B\nwait 5\nheal A B\nwait 60");
    let told: Vec<_> = rest
        .iter()
        .filter(|line| line.contains('>'))
        .cloned()
        .collect();
    seen.extend(rest);
    for at in 0..20 {
        let heard = count(&seen, &format!("hm: M Alice: {at}."));
        assert_eq!(heard, 1, "{at} {seen:#?}");
    }
    for once in ["hm: P Alice", "al: P Hamlet"] {
        assert_eq!(count(&seen, once), 1, "{once} {seen:#?}");
    }
    assert_eq!(world.roster('B'), ["Alice", "Hamlet"]);
    assert!(world.is_quiet());
    told
}

/// D3: with seven of twenty.
#[test]
fn d3_what_has_arrived_of_a_burst_is_not_told_again() {
    // The answer, Alice, and seven messages.
    let told = cut_after(|_| 9);
    assert_eq!(count(&told, "A>B M("), 13, "{told:#?}");
}

/// D4: all but its end; and without our extension a burst whose subject is missing has not been (see `legacy`).
#[test]
fn d4_of_a_burst_only_the_end_is_missing() {
    let told = cut_after(|all| all - 1);
    assert_eq!(count(&told, "A>B M("), 0, "{told:#?}");
    assert_eq!(count(&told, "A>B own synced"), 1, "{told:#?}");
}

#[test]
fn d5_a_break_in_which_nothing_is_said_costs_nothing() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let seen = world.run("cut A B\nresume A B\nwait 600");
    let told = seen.iter().filter(|line| !line.is_empty());
    assert_eq!(told.count(), 0, "{seen:?}");
}

#[test]
fn d5_what_was_said_while_a_stream_was_to_be_resumed_is_not_lost() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let seen = world.run("cut A B\nal says A one\nhm says B two\nresume A B\nwait 60");
    assert_eq!(count(&seen, "hm: M Alice: one"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: M Hamlet: two"), 1, "{seen:?}");
    assert!(is_calm(&seen), "{seen:?}");
}

#[test]
fn d6_after_a_short_outage_everything_is_there_once_and_nobody_has_left() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\ncut A B");
    let mut seen = Vec::new();
    for number in 0..5 {
        seen.extend(world.run(&format!("al says A a{number}\nhm says B b{number}")));
    }
    seen.extend(world.run("wait 100\nheal A B\nwait 60"));
    for number in 0..5 {
        assert_eq!(count(&seen, &format!("hm: M Alice: a{number}")), 1);
        assert_eq!(count(&seen, &format!("al: M Hamlet: b{number}")), 1);
    }
    assert!(is_calm(&seen), "{seen:?}");
}

#[test]
fn d7_after_a_long_one_those_who_were_lost_come_back() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let lost = world.run("cut A B\nhm says B hello?\nwait 130");
    assert_eq!(count(&lost, "al: U Hamlet 333"), 1, "{lost:?}");
    assert_eq!(count(&lost, "hm: U Alice 333"), 1, "{lost:?}");
    let found = world.run("heal A B\nwait 60");
    assert_eq!(count(&found, "al: P Hamlet"), 1, "{found:?}");
    assert_eq!(count(&found, "hm: P Alice"), 1, "{found:?}");
    assert_eq!(count(&found, "al: M Hamlet: hello?"), 1, "{found:?}");
}

/// Somebody who was kicked while the request could not arrive is asked to go once more.
#[test]
fn d6_a_kick_that_was_lost_is_asked_for_again() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B\ncut A B\nal kicks A Ophelia");
    let seen = world.run("heal A B\nwait 60");
    assert_eq!(count(&seen, "op: U Ophelia 110 307"), 1, "{seen:?}");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
    assert_eq!(world.roster('B'), ["Alice", "Hamlet"]);
}

#[test]
fn d13_when_all_begin_anew_the_first_join_builds_it_up_again() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhm says B before");
    let setup = |parents: &str| {
        let mut setup = super::Setup::default();
        setup.federation.accept = super::Accept::Any;
        setup.federation.parents = parents.chars().map(super::address).collect();
        setup.config.persistent = true;
        setup
    };
    world.run("wait 10");
    world.add('A', setup(""));
    world.add('B', setup("A"));
    world.run("al enters A\nhm enters B\nal says A after");
    // What was under way from the life before.
    world.play(
        "
        A> B <message type='groupchat' from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit'><body>old</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='alice@wonderland.lit/w'><a xmlns='urn:x-fmuc:1' a='77' n='rabbithole@rooms.wonderland.lit' e='1'/><o xmlns='urn:x-fmuc:1' i='77.9'/></fmuc></message>
        ",
    );
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
    assert_eq!(world.roster('B'), ["Alice", "Hamlet"]);
}

#[test]
fn d18_each_part_of_a_chain_that_is_cut_works_on_and_they_become_one_again() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("al enters A\nhm enters B\nmb enters C\nro enters D");
    let cut = world.run("cut A B\nhm says B here\nal says A there\nwait 130");
    assert_eq!(count(&cut, "A>D own unreach"), 1, "{cut:?}");
    assert_eq!(count(&cut, "ro: U Hamlet 333"), 1, "{cut:?}");
    assert_eq!(count(&cut, "ro: U Macbeth 333"), 1, "{cut:?}");
    assert_eq!(count(&cut, "mb: M Hamlet: here"), 1, "{cut:?}");
    assert_eq!(count(&cut, "ro: M Alice: there"), 1, "{cut:?}");
    let healed = world.run("heal A B\nwait 60");
    for line in [
        "mb: M Alice: there",
        "hm: M Alice: there",
        "al: M Hamlet: here",
        "ro: M Hamlet: here",
    ] {
        assert_eq!(count(&healed, line), 1, "{line} {healed:?}");
    }
    for room in ['A', 'B', 'C', 'D'] {
        let all = ["Alice", "Hamlet", "Macbeth", "Rosalind"];
        assert_eq!(world.roster(room), all, "{room}");
    }
}

/// One split within another: what is cut off further away stays cut off when the link is up.
#[test]
fn d18_a_room_that_is_still_cut_off_is_told_to_be() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nmb enters C\ncut B C\ncut A B\nwait 130");
    world.run("heal A B\nwait 130");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
    world.run("heal B C\nwait 60");
    for room in ['A', 'B', 'C'] {
        assert_eq!(world.roster(room), ["Alice", "Hamlet", "Macbeth"], "{room}");
    }
}

#[test]
fn d20_of_two_subjects_set_in_a_split_the_later_one_stays() {
    for (first, second) in [
        ("al subject A one", "hm subject B two"),
        ("hm subject B two", "al subject A one"),
    ] {
        let change = |_, setup: &mut super::Setup| setup.config.change_subject = true;
        let mut world = World::with("A B>A", change);
        world.run("al enters A\nhm enters B\ncut A B");
        world.run(&format!("{first}\nwait 5\n{second}\nheal A B\nwait 60"));
        let last = second.split_whitespace().last().unwrap_or_default();
        for (who, room) in [("ha", "A"), ("op", "B")] {
            let seen = world.run(&format!("{who} enters {room}"));
            assert_eq!(count(&seen, &format!("{who}: S {last}")), 1, "{seen:?}");
        }
    }
}

#[test]
fn d23_a_link_that_flaps_shows_nobody_and_is_tried_ever_less_often() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.extend(world.run("cut A B\nwait 15\nheal A B\nwait 15"));
    }
    assert!(is_calm(&seen), "{seen:?}");
    assert!(count(&seen, "B>A J") <= 60, "{}", count(&seen, "B>A J"));
    world.run("cut A B");
    let alone = world.run("wait 3600");
    assert!(count(&alone, "B>A J") <= 16, "{}", count(&alone, "B>A J"));
}

#[test]
fn d24_a_clock_that_is_wrong_changes_nothing_but_stamps() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhm says B one\nal says A two");
    let late = "
        B> A <message type='groupchat' from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit'><body>tomorrow</body><delay xmlns='urn:xmpp:delay' stamp='2052-01-01T00:00:00Z'/><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></message>
        ";
    let seen = world.run(late);
    assert_eq!(count(&seen, "al: M Hamlet: tomorrow"), 1, "{seen:?}");
    let stamp = world.last["al"].to_string();
    assert!(!stamp.contains("2052"), "{stamp}");
}

#[test]
fn d9_a_room_that_restarts_says_that_nobody_is_in_it_any_more() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    let seen = world.run("restart B\nwait 60");
    assert_eq!(count(&seen, "al: U Hamlet"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: U Ophelia"), 1, "{seen:?}");
    assert_eq!(world.roster('A'), ["Alice"]);
}

#[test]
fn d11_after_a_restart_of_the_joined_room_the_others_join_anew_by_themselves() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let seen = world.run("restart A\nwait 60\nal enters A\nhm says B still here\nwait 60");
    assert_eq!(count(&seen, "hm: U Alice"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: M Hamlet: still here"), 1, "{seen:?}");
    for room in ['A', 'B'] {
        assert_eq!(world.roster(room), ["Alice", "Hamlet"], "{room}");
    }
}

/// Every stanza comes twice.
#[test]
fn d14_what_comes_twice_is_told_once() {
    let mut world = World::new("A B>A");
    world.run("al enters A");
    let mut seen = Vec::new();
    for said in [
        "hm enters B",
        "hm says B once",
        "al says A and once",
        "op enters B",
        "op leaves B",
    ] {
        world.run("hold A B\nhold B A");
        seen.extend(world.run(said));
        for wire in world.wires.values_mut() {
            *wire = wire
                .iter()
                .flat_map(|one| [one.clone(), one.clone()])
                .collect();
        }
        seen.extend(world.run("release A B\nrelease B A"));
    }
    for line in [
        "al: M Hamlet: once",
        "hm: M Alice: and once",
        "al: P Ophelia",
        "al: U Ophelia",
        "al: P Hamlet",
        "hm: P Alice",
    ] {
        assert_eq!(count(&seen, line), 1, "{line} {seen:?}");
    }
}

#[test]
fn d15_what_overtakes_is_told_and_not_asked_for() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold B A\nhm says B four\nhm says B five");
    for wire in world.wires.values_mut() {
        *wire = wire.iter().rev().cloned().collect();
    }
    let seen = world.run("release B A\nwait 60");
    assert_eq!(
        seen.iter().filter(|line| line.starts_with("al: M")).count(),
        2,
        "{seen:?}"
    );
    assert!(!seen.iter().any(|line| line.contains("want")), "{seen:?}");
}

#[test]
fn d16_what_is_missing_between_two_events_is_asked_for() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold B A\nhm says B seven");
    world
        .wires
        .values_mut()
        .for_each(std::collections::VecDeque::clear);
    let seen = world.run("release B A\nhm says B eight\nwait 6");
    assert_eq!(count(&seen, "A>B own want.2-2"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: M Hamlet: eight"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: M Hamlet: seven delay"), 1, "{seen:?}");
    assert!(world.is_quiet());
}

/// What is forgotten by then is given up, once.
#[test]
fn d16_what_is_forgotten_is_given_up() {
    let mut world = World::with("A B>A", |_, setup| setup.settings.log.events = 1);
    world.run("al enters A\nhm enters B\nhold B A\nhm says B seven");
    world
        .wires
        .values_mut()
        .for_each(std::collections::VecDeque::clear);
    let seen = world.run("release B A\nhm says B eight\nwait 600");
    assert_eq!(count(&seen, "A>B own want.2-2"), 1, "{seen:?}");
    assert_eq!(count(&seen, "B>A own gone.2-2"), 1, "{seen:?}");
    assert!(world.is_quiet());
}

/// §5.10 of the design: `away`. Whoever cannot be heard of is shown so at once, leaves after the grace, and is as before when the link is up.
#[test]
fn d_who_cannot_be_heard_of_may_be_shown_as_away() {
    let mut world = World::with("A B>A C>B", |_, setup| {
        let peers = super::ROOMS.iter().map(|(_, room)| Peer {
            on_loss: OnLoss::Away,
            // As which nobody is shown otherwise only because they are away.
            shown_affiliation: Affiliation::Member,
            ..Peer::new(Jid::new(room).unwrap())
        });
        setup.settings.peers = peers.collect();
    });
    world.run("al enters A\nhm enters B\nmb enters C");
    let show = |world: &World| {
        let last = world.last["al"].payload().child("show", CLIENT);
        last.map(|show| show.element().text().into_owned())
    };
    let seen = world.run("cut B C\nwait 1");
    assert_eq!(count(&seen, "al: P Macbeth"), 1, "{seen:?}");
    assert_eq!(show(&world).as_deref(), Some("xa"));
    let told = world.last["al"].to_string();
    assert!(told.contains("affiliation='member'"), "{told}");
    let seen = world.run("heal B C\nwait 10");
    assert_eq!(count(&seen, "al: P Macbeth"), 1, "{seen:?}");
    assert_eq!(show(&world), None);
    let seen = world.run("cut A B\nwait 130");
    assert_eq!(count(&seen, "al: P Hamlet"), 1, "{seen:?}");
    assert_eq!(count(&seen, "al: U Hamlet 333"), 1, "{seen:?}");
}

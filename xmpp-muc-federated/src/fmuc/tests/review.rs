//! What is lost, or shown twice, if a node claims more than it has: sequences that no scenario of the design has.

use super::{Setup, World};
use crate::fmuc::{Accept, Federation, Input, LinkProfile, Mode};

fn replicas(_: char, setup: &mut Setup) {
    setup.federation.mode = Mode::Replica;
}

/// What somebody has heard.
fn heard(lines: &[String], who: &str) -> Vec<String> {
    let mark = format!("{who}: M ");
    let said = lines.iter().filter_map(|line| line.strip_prefix(&mark));
    said.map(str::to_owned).collect()
}

/// What waits for its echo has not happened: a replica does not say that it has it.
#[test]
fn what_a_replica_is_waiting_for_is_not_claimed() {
    let mut world = World::with("A B>A", replicas);
    world.run("al enters A\nhm enters B\nop enters B\nhold B A\nhm says B wait for it");
    world.run("cut A B\nrelease B A\nhm gives B Ophelia visitor");
    let lines = world.run("heal A B\nwait 10");
    assert_eq!(heard(&lines, "al"), ["Hamlet: wait for it"], "{lines:#?}");
    assert_eq!(heard(&lines, "hm"), ["Hamlet: wait for it"], "{lines:#?}");
}

/// What was done though nobody has heard of it is done here too, however long it takes until that shows.
#[test]
fn what_a_replica_has_given_up_is_done_if_it_was_done_there() {
    let mut world = World::with("A B>A", replicas);
    world.run("al enters A\nhm enters B\nhold A B\nhm says B done there");
    world.run("cut A B\nrelease A B\nwait 120");
    // It is asked for again, and does not answer.
    world.run("hold B A\nheal A B\nwait 60\ncut A B\nrelease B A");
    let lines = world.run("heal A B\nwait 10");
    assert_eq!(heard(&lines, "hm"), ["Hamlet: done there"], "{lines:#?}");
}

/// A room below another one is not told of what that one waits for either.
#[test]
fn nobody_below_a_replica_takes_what_it_waits_for_as_told() {
    let mut world = World::with("A B>A C>B", |name, setup| {
        if name == 'B' {
            replicas(name, setup);
        }
    });
    world.run("al enters A\nhm enters B\nhold A B\nhm says B wait for it");
    world.run("mb enters C");
    let lines = world.run("release A B\nwait 10");
    assert_eq!(heard(&lines, "mb"), ["Hamlet: wait for it"], "{lines:#?}");
}

/// A restart does not ask for what was before the first join.
#[test]
fn what_a_restart_asks_for_is_not_older_than_what_it_had() {
    let mut world = World::new("A B>A");
    world.run("al enters A");
    for at in 0..80 {
        world.run(&format!("al says A {at}"));
    }
    let lines = world.run("hm enters B");
    let most = heard(&lines, "hm").len();
    assert!(most < 80, "{most}");
    let lines = world.run("restart B\nwait 20\nhm enters B\nwait 10");
    let told = lines.iter().filter(|line| line.starts_with("A>B M("));
    assert_eq!(told.count(), 0, "{lines:#?}");
}

/// What was told and not stored any more has numbers, which nothing else may have.
#[test]
fn what_is_said_after_a_restart_counts_though_the_store_was_behind() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nhm enters B\nmb enters C\nhm says B one");
    let stored = world.stored[&'B'].federation.events.len();
    let lines = world.run("hm says B two\nhm says B three\nhm says B four\nhm says B five");
    assert_eq!(heard(&lines, "mb").len(), 4);
    let events = &mut world.stored.get_mut(&'B').unwrap().federation.events;
    events.truncate(stored);
    let lines = world.run("restart B\nhm enters B\nhm says B again\nop enters B\nwait 20");
    for who in ["al", "mb"] {
        assert_eq!(heard(&lines, who), ["Hamlet: again"], "{lines:#?}");
    }
    for room in ['A', 'B', 'C'] {
        let all = ["Alice", "Hamlet", "Macbeth", "Ophelia"];
        assert_eq!(world.roster(room), all, "{room} {lines:#?}");
    }
}

/// One occupant whom the other room does not believe this one to have keeps nobody else out.
#[test]
fn a_room_joins_on_behalf_of_another_one_if_the_first_is_not_believed() {
    let mut world = World::new("A B>A");
    world.run("ha enters A\nal enters B\nhm enters B\nwait 60");
    assert_eq!(world.roster('A'), ["Hamlet", "Hatter"]);
    let lines = world.run("ha says A at last");
    assert_eq!(heard(&lines, "hm"), ["Hatter: at last"], "{lines:#?}");
}

/// A link that comes up only now and then is not waited for where it is up: a room that was rejected asks again.
#[test]
fn a_room_that_was_rejected_asks_again_though_its_link_has_not_been_down() {
    let mut world = World::with("A B>A", |name, setup| {
        setup.federation.profile = LinkProfile::Hf;
        if name == 'A' {
            setup.federation.accept = Accept::None;
        }
    });
    world.run("al enters A\nhm enters B");
    let federation = Federation {
        accept: Accept::Any,
        ..world.setups[&'A'].federation.clone()
    };
    world.handle('A', Input::Configure(federation));
    world.run("wait 3600");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
}

/// Who was above a room is not for ever.
#[test]
fn a_room_may_come_below_one_that_it_was_above() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nmb enters C");
    let mut configure = |room: char, parents: &[char]| {
        let mut federation = world.setups[&room].federation.clone();
        federation.parents = parents.iter().copied().map(super::address).collect();
        world.handle(room, Input::Configure(federation));
        world.settle();
    };
    configure('B', &[]);
    configure('A', &['C']);
    world.run("wait 10");
    for room in ['A', 'B', 'C'] {
        let all = ["Alice", "Hamlet", "Macbeth"];
        assert_eq!(world.roster(room), all, "{room} {:#?}", world.notices);
    }
}

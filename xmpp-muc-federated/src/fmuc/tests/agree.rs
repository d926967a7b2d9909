//! In the end all rooms agree: what the simulation has found that they did not.

use super::World;

/// A room that begins anew without a store has its subject from the others, in its own name: nobody speaks for the life before.
#[test]
fn a_subject_outlives_the_life_of_its_node() {
    let mut world = World::with("A B>A", |_, setup| setup.config.change_subject = true);
    world.run("al enters A\nhm enters B\nhm subject B Words\nwait 60\ncut A B");
    let setup = world.setups[&'B'].clone();
    world.add('B', setup);
    world.run("hm enters B\nheal A B");
    let seen = world.run("wait 60\nop enters B");
    assert!(seen.contains(&"op: S Words delay".to_owned()), "{seen:#?}");
    // And what is set then is later.
    let seen = world.run("hm subject B More words");
    assert!(seen.contains(&"al: S More words".to_owned()), "{seen:#?}");
}

/// Whoever is lost from sight has no nick any more that somebody else has taken: a room that joins then hears of two nicks.
#[test]
fn who_is_lost_gives_up_their_nick() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nbb enters B\ncut A B\nwait 300\nba enters A");
    let seen = world.run("mb enters C\nwait 1");
    assert!(seen.contains(&"mb: P Bob".to_owned()), "{seen:#?}");
    let seen = world.run("heal A B\nwait 60\nha enters A");
    let bobs: Vec<_> = seen
        .iter()
        .filter(|line| line.starts_with("ha: P Bob"))
        .collect();
    assert_eq!(bobs.len(), 2, "{seen:#?}");
    let seen = world.run("ba leaves A");
    assert!(seen.contains(&"mb: U Bob".to_owned()), "{seen:#?}");
}

/// A node that cannot be heard of, and whose people are all gone, is heard of by whoever enters it next.
#[test]
fn a_node_that_nobody_is_at_is_not_cut_off() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nmb enters C\ncut B C\nwait 300");
    let setup = world.setups[&'C'].clone();
    world.add('C', setup);
    world.run("mb enters C\nheal B C\nwait 60");
    let seen = world.run("wait 600\nha enters A");
    assert!(seen.contains(&"ha: P Macbeth".to_owned()), "{seen:#?}");
}

/// Where streams overtake each other the stanza that gives a name may come after the one that uses it.
#[test]
fn an_event_waits_for_its_name() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nhold B A\nmb enters C\nmb says C When shall we three meet again?");
    let mut stanzas = world.all_taken('B', 'A');
    stanzas.reverse();
    for stanza in stanzas {
        world.deliver(('B', 'A'), stanza);
    }
    let seen = world.run("release B A\nwait 60");
    assert!(
        seen.contains(&"al: M Macbeth: When shall we three meet again?".to_owned()),
        "{seen:#?}"
    );
}

/// The answer to a join on behalf of somebody who is gone by then: the joined room hears that.
#[test]
fn a_join_that_was_given_up_is_taken_back() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhold B A\nhm enters B\nwait 31\nhm leaves B");
    world.run("release B A\nwait 60");
    let seen = world.run("ha enters A");
    assert!(!seen.contains(&"ha: P Hamlet".to_owned()), "{seen:#?}");
}

/// In which way somebody was there who has gone and come again while the link was down is of no interest any more.
#[test]
fn who_comes_again_is_there_anew() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B\nwait 60\ncut A B");
    world.run("hm sends B <presence to='x/Hamlet'><show>dnd</show></presence>");
    world.run("hm leaves B\nhm enters B\nheal A B\nwait 600");
    let shown = world.last["al"].to_string();
    assert!(!shown.contains("dnd"), "{shown}");
    let seen = world.run("ha enters A");
    assert!(seen.contains(&"ha: P Hamlet".to_owned()), "{seen:#?}");
}

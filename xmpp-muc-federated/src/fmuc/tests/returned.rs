//! What comes back: an error, which does not say what it is about (RFC 6120 §8.3), as whoever runs the streams answers for a server that cannot be reached.

use super::{Dialect, LinkProfile, World, speaking};

/// The way from B to A is gone, and nobody has said so yet: what goes there comes back.
fn broken(dialect: Dialect) -> World {
    let mut world = World::with("A B>A", speaking(dialect, LinkProfile::Lan));
    world.run("al enters A\nhm enters B\nop enters B");
    world.cut.insert(('B', 'A'));
    world
}

fn mended(world: &mut World) -> Vec<String> {
    world.cut.clear();
    world.run("heal A B\nwait 600")
}

fn count(seen: &[String], line: &str) -> usize {
    seen.iter().filter(|one| one.starts_with(line)).count()
}

#[test]
fn d8_what_was_said_and_has_come_back_is_told_once_more_in_its_order() {
    for dialect in [Dialect::Xep, Dialect::Auto] {
        let mut world = broken(dialect);
        world.run("hm sends B <message type='groupchat' id='1'><body>one</body></message>\nop sends B <message type='groupchat' id='1'><body>two</body></message>\nhm says B three");
        let seen = mended(&mut world);
        let heard: Vec<_> = seen
            .iter()
            .filter(|line| line.starts_with("al: M"))
            .collect();
        let all = [
            "al: M Hamlet: one delay",
            "al: M Ophelia: two delay",
            "al: M Hamlet: three delay",
        ];
        assert_eq!(heard, all, "{dialect:?} {seen:#?}");
        assert!(world.is_quiet());
    }
}

#[test]
fn d8_who_has_left_meanwhile_has_left_there_too() {
    for dialect in [Dialect::Xep, Dialect::Auto] {
        let mut world = broken(dialect);
        world.run("op leaves B\nhm sends B <presence to='x@x/Ghost'/>");
        let seen = mended(&mut world);
        assert_eq!(count(&seen, "al: U Ophelia"), 1, "{dialect:?} {seen:#?}");
        assert_eq!(world.roster('A'), ["Alice", "Ghost"], "{dialect:?}");
        assert!(world.is_quiet());
    }
}

/// To a room that has joined there is no joining anew: all of it is told as it is now.
#[test]
fn d8_a_room_that_has_joined_is_told_what_has_come_back() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nha enters A\nhm enters B");
    world.cut.insert(('A', 'B'));
    world.run(
        "ha leaves A\nba enters A\nal says A still here\nal sends A <presence to='x@x/Queen'/>",
    );
    world.cut.clear();
    let seen = world.run("heal A B\nwait 600");
    assert_eq!(
        count(&seen, "hm: M Alice: still here delay"),
        1,
        "{seen:#?}"
    );
    assert_eq!(world.roster('B'), ["Bob", "Hamlet", "Queen"], "{seen:#?}");
    assert!(world.is_quiet());
}

/// B16: "errors travel back the same way".
#[test]
fn b16_who_has_said_something_to_one_alone_hears_that_it_has_come_back() {
    for dialect in [Dialect::Xep, Dialect::Auto] {
        let mut world = broken(dialect);
        let seen = world.run("hm tells B Alice Nymph");
        assert_eq!(
            seen.last().map(String::as_str),
            Some("hm: error Alice remote-server-timeout"),
            "{dialect:?} {seen:#?}"
        );
        // And so does one of another room.
        let mut world = World::with("A B>A C>B", speaking(dialect, LinkProfile::Lan));
        world.run("al enters A\nhm enters B\nmb enters C");
        world.cut.insert(('B', 'A'));
        let seen = world.run("mb tells C Alice Hail");
        assert_eq!(
            seen.last().map(String::as_str),
            Some("mb: error Alice remote-server-timeout"),
            "{dialect:?} {seen:#?}"
        );
    }
}

//! What is said, who comes and goes, and where it goes (§6.B).

use super::World;

/// B1.
#[test]
fn b1_a_message_goes_over_the_link_once_and_is_not_waited_for() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold B A");
    world.play(
        "
        hm says B Hi Alice
        release B A
    ",
    );
    assert!(world.is_quiet());
}

//! A pair of rooms, from the first join to the last leave: what all else stands on.

use super::World;

/// A1: first join.
#[test]
fn a1_the_first_occupant_makes_a_room_join() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nal says A old\nal subject A The pool of tears");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B M(al as Alice: old) delay o.2
            A>B S(al: The pool of tears) o.3
            A>B own synced
            hm: P Alice
            hm: M Alice: old delay
            hm: S The pool of tears
        ",
    );
}

/// D6: an outage shorter than the grace.
#[test]
fn d6_what_was_missed_is_told_once() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        cut A B
        al says A while you were away
            al: M Alice: while you were away
        hm says B we were cut off
            hm: M Hamlet: we were cut off
        heal A B
            B>A J(hm as Hamlet) join o.1
            A>B own sync
            A>B M(al as Alice: while you were away) delay o.2
            A>B own synced
            B>A M(hm as Hamlet: we were cut off) delay o.2
            hm: M Alice: while you were away delay
            al: M Hamlet: we were cut off delay
        ",
    );
}

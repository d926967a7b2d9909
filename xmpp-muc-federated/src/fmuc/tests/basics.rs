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

/// Who comes back after everybody had left is told of those who have been there all the time.
#[test]
fn a_room_that_joins_once_more_hears_of_everybody_again() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhm leaves B");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.3
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
        ",
    );
}

/// D9, D11: what was said before a restart and not delivered is delivered after it, and who was here is not any more.
#[test]
fn a_room_that_restarts_goes_on_with_what_it_has_stored() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\ncut A B\nhm says B not yet delivered");
    world.play(
        "
        restart B
            B>A own leave lost
        wait 20
        heal A B
        op enters B
            op: P Ophelia 110
            op: M Hamlet: not yet delivered delay
            op: S
            B>A J(op as Ophelia) join o.10004
            al: P Ophelia
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            B>A M(hm as Hamlet: not yet delivered) delay o.2
            B>A U(hm as Hamlet) o.10003 synced
            op: P Alice
            al: M Hamlet: not yet delivered delay
            al: U Hamlet
        ",
    );
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        restart A
            A>B own rejoin
            B>A J(hm as Hamlet) join o.1
            A>B own sync
            A>B U(al as Alice) o.10002
            A>B own synced
            hm: U Alice
        ",
    );
    world.play(
        "
        al enters A
            al: P Hamlet
            al: P Alice 110
            al: S
            A>B P(al as Alice) o.10003
            hm: P Alice
        ",
    );
}

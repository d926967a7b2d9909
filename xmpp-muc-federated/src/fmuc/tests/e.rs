//! Two who have one nick: the scenarios E of the design.

use super::{Setup, World};
use crate::fmuc::Collision;

/// E1: on both sides of a split somebody has taken the same nick.
#[test]
fn e1_after_a_split_the_joined_room_keeps_its_bob() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\ncut A B\nba enters A\nbb enters B");
    world.play(
        "
        heal A B
        ",
    );
}

/// E2: the one who loses is two rooms away, and a fourth room hears of nothing but the other nick.
#[test]
fn e2_a_collision_travels_to_where_the_loser_is() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("ba enters A\nhm enters B\nro enters D");
    world.play(
        "
        bc enters C
        ",
    );
}

/// E3: the room has it that whoever loses leaves.
#[test]
fn e3_who_loses_may_have_to_leave_and_comes_back_under_another_nick() {
    let mut world = World::with("A B>A", |_, setup: &mut Setup| {
        setup.peers(|peer| peer.collision = Collision::Kick);
    });
    world.run("al enters A\nhm enters B\nba enters A");
    world.play(
        "
        bb enters B
        bb enters B as Robert
        ",
    );
}

/// E4: one user on both sides.
#[test]
fn e4_one_user_in_two_rooms_has_one_nick() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        h2 enters A
        h2 leaves A
        ",
    );
}

/// E5: two enter while the stanzas of both are on their way.
#[test]
fn e5_two_who_enter_at_once_are_told_apart() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B\nhold B A");
    world.play(
        "
        ba enters A
        bb enters B
        release A B
        release B A
        ",
    );
}

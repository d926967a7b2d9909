//! Primary and replica: nothing is so in the replica until it is so in the primary (C1 to C7).

use super::{Setup, World};
use crate::fmuc::{Dialect, Mode, Peer};

/// A is the primary; all that join another one are replicas.
fn world(rooms: &str) -> World {
    World::with(rooms, replica)
}

fn replica(_: char, setup: &mut Setup) {
    setup.federation.mode = Mode::Replica;
}

/// C1 and C2: what is said at the replica is seen there when the primary has seen it, and in its order.
#[test]
fn c1_both_sides_have_the_order_of_the_primary() {
    let mut world = world("A B>A");
    world.run("al enters A\nhm enters B\nhold A B\nhold B A");
    world.play(
        "
        hm says B first, as Hamlet believes
            B>A M(hm as Hamlet: first, as Hamlet believes) o.2
        al says A first in truth
            al: M Alice: first in truth
            A>B M(al as Alice: first in truth) o.2
        release A B
            hm: M Alice: first in truth
        release B A
            al: M Hamlet: first, as Hamlet believes
            A>B own o.2
            hm: M Hamlet: first, as Hamlet believes
        ",
    );
}

/// C1: whatever is under way for how long, both sides see the same.
#[test]
fn c1_two_hundred_interleavings_have_one_order_each() {
    for seed in 0..200_u64 {
        let mut world = world("A B>A");
        world.run("al enters A\nhm enters B");
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut lines = Vec::new();
        for at in 0..20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let line = match random % 6 {
                0 => "hold A B".to_owned(),
                1 => "hold B A".to_owned(),
                2 => "release A B".to_owned(),
                3 => "release B A".to_owned(),
                4 => format!("hm says B {at}"),
                _ => format!("al says A {at}"),
            };
            lines.extend(world.run(&line));
        }
        lines.extend(world.run("release A B\nrelease B A"));
        let heard = |who: &str| -> Vec<String> {
            let mark = format!("{who}: M ");
            let said = lines.iter().filter_map(|line| line.strip_prefix(&mark));
            said.map(str::to_owned).collect()
        };
        assert_eq!(heard("al"), heard("hm"), "{seed}");
    }
}

/// C3: who would come with a nick that somebody has there is told so, and nobody sees them.
#[test]
fn c3_the_primary_decides_who_comes() {
    let mut world = world("A B>A");
    world.run("al enters A\nhm enters B\nhold A B\nba enters A as Yorick\nwait 1");
    world.play(
        "
        op enters B as Yorick
            B>A P(op as Yorick) o.2
            A>B own collision(Yorick)
        release A B
            hm: P Yorick
            op: error Yorick conflict
        ",
    );
}

/// C4: cut off, nothing can be said at the replica; what was not answered is sent again, or was done.
#[test]
fn c4_a_replica_that_is_cut_off_says_nothing() {
    let mut world = world("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm says B echo lost
            B>A M(hm as Hamlet: echo lost) o.2
            al: M Hamlet: echo lost
            A>B own o.2
        cut A B
        hm says B refused
            hm: error  service-unavailable
        op enters B
            op: error Ophelia service-unavailable
        al says A meanwhile
            al: M Alice: meanwhile
        release A B
        heal A B
            B>A J(hm as Hamlet) join o.1
            A>B own sync
            A>B M(hm as Hamlet: echo lost) delay o.2
            A>B M(al as Alice: meanwhile) delay o.2
            A>B own synced
            A>B own o.1
            hm: M Hamlet: echo lost
            hm: M Alice: meanwhile delay
        ",
    );
}

/// C5: an echo that is late is an echo all the same.
#[test]
fn c5_a_late_echo_counts() {
    let mut world = world("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm says B are you there
            B>A M(hm as Hamlet: are you there) o.2
            al: M Hamlet: are you there
            A>B own o.2
        wait 31
            hm: error  remote-server-timeout
        release A B
            hm: M Hamlet: are you there
        ",
    );
}

/// C6: a room that does not echo is left, and the operator is told.
#[test]
fn c6_a_peer_that_never_echoes_is_left() {
    let mut world = World::with("A B>A", |name, setup| {
        replica(name, setup);
        let peers = [super::address('A'), super::address('B')];
        setup.settings.peers = peers
            .map(|room| Peer {
                dialect: if name == 'A' {
                    Dialect::Xep
                } else {
                    Dialect::Auto
                },
                ..Peer::new(room.into())
            })
            .into();
    });
    world.run("al enters A");
    world.play(
        "
        hm enters B
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B P(al as Alice)
            A>B P(hm as Hamlet)
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>A U(hm as Hamlet)
            hm: error Hamlet service-unavailable
            al: U Hamlet
            A>B LEFT
        ",
    );
    assert_eq!(world.notices, ["B!A NoEcho"]);
}

/// C7: a chain of which the middle is a replica.
#[test]
fn c7_a_room_below_a_replica_does_not_wait() {
    let mut world = World::with("A B>A C>B", |name, setup| {
        if name == 'B' {
            replica(name, setup);
        }
    });
    world.run("al enters A\nhm enters B\nmb enters C\nhold A B");
    world.play(
        "
        mb says C at once
            mb: M Macbeth: at once
            C>B M(mb as Macbeth: at once) o.2
            B>A M(mb as Macbeth: at once) o.2
            al: M Macbeth: at once
            A>B own o.2
        release A B
            hm: M Macbeth: at once
        ",
    );
}

/// C7: a chain of replicas has one order.
#[test]
fn c7_a_chain_of_replicas_has_one_order() {
    let mut world = world("A B>A C>B");
    world.run("al enters A\nhm enters B\nmb enters C");
    world.play(
        "
        mb says C all the way
            C>B M(mb as Macbeth: all the way) o.2
            B>A M(mb as Macbeth: all the way) o.2
            al: M Macbeth: all the way
            A>B own o.2
            hm: M Macbeth: all the way
            B>C own o.2
            mb: M Macbeth: all the way
        ",
    );
}

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
            B>A J(bb as Bob) join o.2
            ba: P Bob~yjo
            al: P Bob~yjo
            A>B own sync
            A>B P(ba as Bob) o.2
            A>B own synced
            A>B own collision(Bob)
            bb: U Bob 110 303 to Bob~yjo
            hm: U Bob 303 to Bob~yjo
            B>A P(bb as Bob~yjo) o.3
            bb: P Bob~yjo 110 210
            hm: P Bob~yjo
            bb: P Bob
            hm: P Bob
        ",
    );
    assert!(world.is_quiet());
}

/// E2: the one who loses is two rooms away, and a fourth room hears of nothing but the other nick.
#[test]
fn e2_a_collision_travels_to_where_the_loser_is() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("al enters A\nhm enters B\nmb enters C\nro enters D\nhold A B");
    world.play(
        "
        ba enters A
            ba: P Alice
            ba: P Hamlet
            ba: P Macbeth
            ba: P Rosalind
            ba: P Bob 110
            ba: S
            al: P Bob
            A>B P(ba as Bob) o.2
            A>D P(ba as Bob) o.2
            ro: P Bob
        bc enters C
            bc: P Macbeth
            bc: P Alice
            bc: P Hamlet
            bc: P Rosalind
            bc: P Bob 110
            bc: S
            mb: P Bob
            C>B P(bc as Bob) o.2
            hm: P Bob
            B>A P(bc as Bob) o.2
            A>B own collision(Bob)
            ba: P Bob~rsy
            al: P Bob~rsy
            A>D P(bc as Bob~rsy) o.2
            ro: P Bob~rsy
        release A B
            hm: U Bob 303 to Bob~rsy
            hm: P Bob~rsy
            B>C own collision(Bob)
            hm: P Bob
            B>C P(ba as Bob) o.2
            bc: U Bob 110 303 to Bob~rsy
            mb: U Bob 303 to Bob~rsy
            C>B P(bc as Bob~rsy) o.3
            bc: P Bob~rsy 110 210
            mb: P Bob~rsy
            bc: P Bob
            mb: P Bob
            B>A P(bc as Bob~rsy) o.3
            A>D P(bc as Bob~rsy) o.3
        ",
    );
    assert!(world.is_quiet());
}

/// E2: so does one that is there when the rooms join.
#[test]
fn e2_who_comes_first_to_a_room_that_joins_has_to_give_way_too() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("ba enters A\nhm enters B\nro enters D");
    world.play(
        "
        bc enters C
            bc: P Bob 110
            bc: S
            C>B J(bc as Bob) join o.1
            hm: P Bob~rsy
            B>A P(bc as Bob~rsy) o.1
            B>C own sync
            B>C P(ba as Bob) o.1
            B>C P(hm as Hamlet) o.1
            B>C P(ro as Rosalind) o.1
            B>C own synced
            B>C own collision(Bob)
            ba: P Bob~rsy
            A>D P(bc as Bob~rsy) o.1
            ro: P Bob~rsy
            bc: U Bob 110 303 to Bob~rsy
            C>B P(bc as Bob~rsy) o.2
            bc: P Bob~rsy 110 210
            bc: P Bob
            bc: P Hamlet
            bc: P Rosalind
            B>A P(bc as Bob~rsy) o.2
            A>D P(bc as Bob~rsy) o.2
        ",
    );
    assert!(world.is_quiet());
}

/// E3: the room has it that whoever loses leaves.
#[test]
fn e3_who_loses_may_have_to_leave_and_comes_back_under_another_nick() {
    let mut world = World::with("A B>A", |_, setup: &mut Setup| {
        setup.peers(|peer| peer.collision = Collision::Kick);
    });
    world.run("al enters A\nhm enters B\nhold A B\nba enters A\nbb enters B");
    world.play(
        "
        release A B
            bb: U Bob 110 307
            B>A U(bb as Bob) 307 o.3
            hm: U Bob 307
            hm: P Bob
            ba: U Bob~yjo 307
            al: U Bob~yjo 307
        bb enters B
            bb: error Bob conflict
        bb enters B as Robert
            bb: P Hamlet
            bb: P Alice
            bb: P Bob
            bb: P Robert 110
            bb: S
            hm: P Robert
            B>A P(bb as Robert) o.4
            ba: P Robert
            al: P Robert
        ",
    );
    assert!(world.is_quiet());
}

/// E4: one user in two rooms, of neither of which it is one of the room's own.
#[test]
fn e4_one_user_in_two_rooms_has_one_nick() {
    let mut world = World::new("C D>C");
    world.run("mb enters C\nro enters D");
    world.play(
        "
        hm enters C
            hm: P Macbeth
            hm: P Rosalind
            hm: P Hamlet 110
            hm: S
            mb: P Hamlet
            C>D P(hm as Hamlet) o.2
            ro: P Hamlet
        h2 enters D
            h2: P Rosalind
            h2: P Macbeth
            h2: P Hamlet 110
            h2: S
            ro: P Hamlet
            D>C P(h2 as Hamlet) o.2
        hm says C it is I
            mb: M Hamlet: it is I
            hm: M Hamlet: it is I
            C>D M(hm as Hamlet: it is I) o.3
            ro: M Hamlet: it is I
            h2: M Hamlet: it is I
        h2 says D and I
            ro: M Hamlet: and I
            h2: M Hamlet: and I
            D>C M(h2 as Hamlet: and I) o.3
            mb: M Hamlet: and I
            hm: M Hamlet: and I
        h2 leaves D
            h2: U Hamlet 110
            D>C U(h2 as Hamlet) o.4
            ro: P Hamlet
        h2 enters D
            h2: P Rosalind
            h2: P Macbeth
            h2: P Hamlet 110
            h2: M Hamlet: it is I delay
            h2: M Hamlet: and I delay
            h2: S
            ro: P Hamlet
            D>C P(h2 as Hamlet) o.5
        hm leaves C
            hm: U Hamlet 110
            C>D U(hm as Hamlet) o.4
            mb: P Hamlet
        ",
    );
    assert!(world.is_quiet());
}

/// E5: two enter while the stanzas of both are on their way.
#[test]
fn e5_two_who_enter_at_once_are_told_apart() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B\nhold B A");
    world.play(
        "
        ba enters A
            ba: P Alice
            ba: P Hamlet
            ba: P Bob 110
            ba: S
            al: P Bob
            A>B P(ba as Bob) o.2
        bb enters B
            bb: P Hamlet
            bb: P Alice
            bb: P Bob 110
            bb: S
            hm: P Bob
            B>A P(bb as Bob) o.2
        release A B
            bb: U Bob 110 303 to Bob~yjo
            hm: U Bob 303 to Bob~yjo
            B>A P(bb as Bob~yjo) o.3
            bb: P Bob~yjo 110 210
            hm: P Bob~yjo
            bb: P Bob
            hm: P Bob
        release B A
            A>B own collision(Bob)
            ba: P Bob~yjo
            al: P Bob~yjo
        ",
    );
    assert!(world.is_quiet());
}

/// E6: nicks are the same if they look the same.
#[test]
fn e6_what_looks_the_same_is_the_same_nick() {
    for nick in ["bob", "BOB", "Ｂｏｂ"] {
        let mut world = World::new("A B>A");
        world.run("al enters A\nhm enters B\nhold A B\nba enters A");
        world.run(&format!("bb enters B as {nick}\nrelease A B"));
        let other = format!("{nick}~yjo");
        let mut all = ["Alice", "Bob", "Hamlet", &other];
        all.sort_unstable();
        assert_eq!(world.roster('A'), all);
        assert_eq!(world.roster('B'), world.roster('A'), "{nick}");
    }
}

/// E7: somebody has the other nick as well.
#[test]
fn e7_an_alias_that_is_taken_is_made_longer() {
    let mut world = World::new("A B>A D>A");
    world.run("al enters A\nhm enters B\nro enters D\nha enters A as Bob~yjo\nhold A B\nba enters A\nbb enters B");
    world.play(
        "
        release A B
            bb: U Bob 110 303 to Bob~yjos
            hm: U Bob 303 to Bob~yjos
            B>A P(bb as Bob~yjos) o.3
            bb: P Bob~yjos 110 210
            hm: P Bob~yjos
            bb: P Bob
            hm: P Bob
            A>D P(bb as Bob~yjos) o.3
        ",
    );
    let all = ["Alice", "Bob", "Bob~yjo", "Bob~yjos", "Hamlet", "Rosalind"];
    for room in ['A', 'B', 'D'] {
        assert_eq!(world.roster(room), all, "{room}");
    }
    assert!(world.is_quiet());
}

/// E9: something is said under the old nick before the new one is known.
#[test]
fn e9_what_is_said_meanwhile_is_said_by_its_author() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B\nba enters A");
    world.play(
        "
        bb enters B
            bb: P Hamlet
            bb: P Alice
            bb: P Bob 110
            bb: S
            hm: P Bob
            B>A P(bb as Bob) o.2
            A>B own collision(Bob)
            ba: P Bob~yjo
            al: P Bob~yjo
        bb says B it is me
            hm: M Bob: it is me
            bb: M Bob: it is me
            B>A M(bb as Bob: it is me) o.3
            al: M Bob~yjo: it is me
            ba: M Bob~yjo: it is me
        release A B
            bb: U Bob 110 303 to Bob~yjo
            hm: U Bob 303 to Bob~yjo
            B>A P(bb as Bob~yjo) o.4
            bb: P Bob~yjo 110 210
            hm: P Bob~yjo
            bb: P Bob
            hm: P Bob
        bb says B it still is
            hm: M Bob~yjo: it still is
            bb: M Bob~yjo: it still is
            B>A M(bb as Bob~yjo: it still is) o.5
            al: M Bob~yjo: it still is
            ba: M Bob~yjo: it still is
        ",
    );
    assert!(world.is_quiet());
}

//! Who leaves as the last one, and who comes where nobody was.

use crate::fmuc::tests::{Dialect, LinkProfile, World, speaking};

/// B7.
#[test]
fn b7_one_of_several_leaves() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B");
    world.play(
        "
        op leaves B
            op: U Ophelia 110
            B>A U(op as Ophelia) o.3
            hm: U Ophelia
            al: U Ophelia
    ",
    );
    assert!(world.is_quiet());
}

/// B8.
#[test]
fn b8_with_its_last_occupant_a_room_leaves_and_costs_nothing_from_then_on() {
    for dialect in [Dialect::Ext, Dialect::Xep] {
        let mut world = World::with("A B>A", speaking(dialect, LinkProfile::Lan));
        world.run("al enters A\nhm enters B");
        let seen = world.run("hm leaves B");
        let dot = if dialect == Dialect::Ext { " o.2" } else { "" };
        assert_eq!(
            seen,
            [
                "hm: U Hamlet 110".to_owned(),
                format!("B>A U(hm as Hamlet){dot}"),
                "al: U Hamlet".into(),
                "A>B LEFT".into(),
            ]
        );
        assert_eq!(
            world.run("al says A Is he gone?"),
            ["al: M Alice: Is he gone?"]
        );
        assert!(world.is_quiet());
        assert!(world.nodes[&'B'].is_idle());
    }
}

/// B9.
#[test]
fn b9_the_answer_to_the_last_one_is_lost() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play("
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
        lose A B
        wait 14
        wait 1
        B> A <presence type='unavailable' from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit'><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></presence>
            A>B LEFT
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.3
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
    ");
    assert!(world.is_quiet());
}

/// B10.
#[test]
fn b10_who_comes_while_the_room_leaves_waits_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet)
            al: U Hamlet
            A>B LEFT
        op enters B
            op: P Alice
            op: P Ophelia 110
            op: S
        op says B Good night
            op: M Ophelia: Good night
        release A B
            B>A J(op as Ophelia)
            al: P Ophelia
            A>B P(al as Alice)
            A>B P(op as Ophelia)
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>A M(op as Ophelia: Good night) delay
            al: M Ophelia: Good night delay
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b10_who_comes_while_the_room_leaves_begins_a_new_session() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nhold A B");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
        op enters B
            op: P Alice
            op: P Ophelia 110
            op: S
            B>A J(op as Ophelia) join o.3
            al: P Ophelia
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
        release A B
        al says A Good night
            al: M Alice: Good night
            A>B M(al as Alice: Good night) o.2
            op: M Alice: Good night
    ",
    );
    assert!(world.is_quiet());
}

/// B11.
#[test]
fn b11_a_room_with_nobody_but_those_behind_it_stays() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nmb enters C");
    world.play(
        "
        hm leaves B
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            B>C U(hm as Hamlet) o.2
            al: U Hamlet
            mb: U Hamlet
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?) o.2
            B>A M(mb as Macbeth: Is this a dagger?) o.2
            al: M Macbeth: Is this a dagger?
        mb leaves C
            mb: U Macbeth 110
            C>B U(mb as Macbeth) o.3
            B>A U(mb as Macbeth) o.3
            B>C LEFT
            al: U Macbeth
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// B12: the room between the two has nobody of its own.
#[test]
fn b12_a_chain_is_joined_from_its_end() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nal says A old");
    world.play(
        "
        mb enters C
            mb: P Macbeth 110
            mb: S
            C>B J(mb as Macbeth) join o.1
            B>C own sync
            B>C own synced
            B>A J(mb as Macbeth) join o.1
            al: P Macbeth
            A>B own sync
            A>B P(al as Alice) o.1
            A>B M(al as Alice: old) delay o.2
            A>B own synced
            B>C own path(2)
            B>C P(al as Alice) o.1
            B>C M(al as Alice: old) delay o.2
            mb: P Alice
            mb: M Alice: old delay
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?) o.2
            B>A M(mb as Macbeth: Is this a dagger?) o.2
            al: M Macbeth: Is this a dagger?
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b12_a_chain_is_joined_from_its_end_without_our_extension() {
    let mut world = World::with("A B>A C>B", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nal says A old");
    world.play(
        "
        mb enters C
            mb: P Macbeth 110
            mb: S
            C>B J(mb as Macbeth)
            B>C P(mb as Macbeth)
            B>C S(elsinore@talk.denmark.lit: )
            B>A J(mb as Macbeth)
            al: P Macbeth
            A>B P(al as Alice)
            A>B P(mb as Macbeth)
            A>B M(al as Alice: old) delay
            A>B S(rabbithole@rooms.wonderland.lit: )
            B>C P(al as Alice)
            B>C M(al as Alice: old) delay
            mb: P Alice
            mb: M Alice: old delay
        mb says C Is this a dagger?
            mb: M Macbeth: Is this a dagger?
            C>B M(mb as Macbeth: Is this a dagger?)
            B>A M(mb as Macbeth: Is this a dagger?)
            al: M Macbeth: Is this a dagger?
    ",
    );
    assert!(world.is_quiet());
}

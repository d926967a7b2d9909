//! The lives of nodes, and the names of what has happened in them.

use super::{EPOCH, here, join, line, nothing, own, says, unharmed, world};
use crate::fmuc::tests::address;

/// G8: what was there before, or is of a life that is over.
#[test]
fn g8_nothing_is_said_twice_or_from_the_grave() {
    let mut world = world(|_, _| {});
    let once = says("othello@cyprus.lit/c", "Othello", "once", "<o NS i='1.2'/>");
    assert!(!world.run(&once).is_empty());
    assert_eq!(world.run(&once), [""; 0]);
    let before = says(
        "othello@cyprus.lit/c",
        "Othello",
        "before",
        &format!("<a NS a='9' n='{}' e='5'/><o NS i='9.7'/>", address('F')),
    );
    assert_eq!(world.run(&before), [""; 0]);
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// The life of another node, or of a time to come.
#[test]
fn g8_nobody_outlives_the_node_of_another() {
    let mut world = world(|_, _| {});
    let b = address('B');
    let far = "3w5e11264sgsf";
    for (life, why) in [
        (far, "has not begun yet"),
        ("m2smxs", "the node of another"),
    ] {
        let name = format!("<a NS a='7' n='{b}' e='{life}'/>");
        for dot in [
            format!("{name}<o NS i='7.1'/>"),
            format!("{name}<o NS i='7.{far}'/>"),
        ] {
            nothing(
                &mut world,
                &says("othello@cyprus.lit/c", "Othello", "x", &dot),
                why,
            );
            nothing(
                &mut world,
                &here("othello@cyprus.lit/c", "Othello", &dot),
                why,
            );
            let gone = line(
                'F',
                'A',
                &format!(
                    "<presence type='unavailable' from='FROM/Hamlet' to='TO'><fmuc from='hamlet@denmark.lit/p'>{dot}</fmuc></presence>"
                ),
            );
            nothing(&mut world, &gone, why);
        }
        world.run(&own(&format!("{name}<gone NS i='7.1-{far}'/>")));
        world.run(&own(&format!("{name}<unreach NS a='7'/>")));
    }
    // It says so when it joins, and that it has told all.
    let have = format!(
        "<h a='7' n='{b}' e='m2smxs' s='{far}'/><h a='8' n='{}' e='{far}' s='{far}'/>",
        address('A')
    );
    let join = join("s2").replace("</join>", &format!("{have}</join>"));
    let seen = world.run(&join);
    assert!(!seen.iter().any(|line| line.contains(": U")), "{seen:#?}");
    world.run(&own("<synced NS/>"));
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// A life of its own that a node does not know of, but may have had: it begins another one.
#[test]
fn g8_a_node_whose_name_was_used_begins_another_life() {
    let mut world = world(|_, _| {});
    let have = format!("<h a='8' n='{}' e='m2qlmw' s='9'/>", address('A'));
    let join = join("s2").replace("</join>", &format!("{have}</join>"));
    let seen = world.run(&join);
    assert!(!seen.iter().any(|line| line.contains(": U")), "{seen:#?}");
    unharmed(&mut world);
    // So would one that has had that life before.
    let epoch = crate::fmuc::base36::read("m2qlmw").unwrap();
    assert_eq!(world.nodes[&'A'].epoch, epoch + 1);
    world.run(&own("<synced NS/>"));
    assert!(world.is_quiet());
}

/// Of its own life more than it knows of: what it has lost, or was before its clock went back.
#[test]
fn g8_a_node_that_has_lost_events_of_its_life_begins_another_one() {
    let life = crate::fmuc::base36::read(EPOCH).unwrap();
    // As far as it is itself, which is what every peer says, and further.
    for (further, other) in [(0, life), (1, life + 1)] {
        let mut world = world(|_, _| {});
        let last = world.nodes[&'A'].last() + further;
        let last = crate::fmuc::base36::write(last);
        let have = format!("<h a='8' n='{}' e='{EPOCH}' s='{last}'/>", address('A'));
        world.run(&join("s2").replace("</join>", &format!("{have}</join>")));
        assert_eq!(world.nodes[&'A'].epoch, other);
        unharmed(&mut world);
    }
}

/// A subject of a time to come would stay for ever.
#[test]
fn g8_nobody_has_the_last_word() {
    let mut world = world(|_, _| {});
    let subject = |dot: u32, stamp: &str| {
        line(
            'F',
            'A',
            &format!(
                "<message type='groupchat' from='FROM/Othello' to='TO'><subject>mine</subject><fmuc from='othello@cyprus.lit/c'><o NS i='1.{dot}'/><t NS s='{stamp}'/></fmuc></message>"
            ),
        )
    };
    let seen = world.run(&subject(2, "1y2p0ij32e8e7.1z141z3"));
    assert!(!seen.iter().any(|line| line.contains(": S")), "{seen:#?}");
    let seen = world.run("al subject A ours");
    for who in ["al", "hm", "ro"] {
        assert!(seen.contains(&format!("{who}: S ours")), "{seen:#?}");
    }
}

//! Who says too much.

use super::{EPOCH, here, join, line, nothing, own, says, unharmed, world};
use crate::fmuc::tests::{Setup, address};

/// G9: "limits, link suspended, other links unaffected".
#[test]
fn g9_who_says_too_much_is_not_heard_for_a_while() {
    let mut world = world(|room, setup: &mut Setup| {
        if room == 'A' {
            setup.settings.limits.burst = 50;
            setup.settings.limits.rate = 10;
        }
    });
    let flood: String = (2..=100)
        .map(|dot| {
            says(
                "othello@cyprus.lit/c",
                "Othello",
                "blow",
                &format!("<o NS i='1.{}'/>", crate::fmuc::base36::write(dot)),
            )
        })
        .collect();
    let seen = world.run(&flood);
    let heard = seen
        .iter()
        .filter(|line| line.starts_with("al: M Othello"))
        .count();
    assert!((40..=50).contains(&heard), "{heard}");
    assert_eq!(world.notices, ["A!F Flood"]);
    unharmed(&mut world);
    let say = says(
        "othello@cyprus.lit/c",
        "Othello",
        "wind",
        "<o NS i='1.zz'/>",
    );
    assert_eq!(world.run(&format!("wait 59\n{say}")), [""; 0]);
    // Then it is asked to say what it has, once; what it says now comes after that.
    assert_eq!(
        world.run(&format!("wait 1\n{say}{say}")),
        ["A>F own rejoin"]
    );
    unharmed(&mut world);
}

/// G9: bounds of everything that a peer says.
#[test]
fn g9_occupants_nicks_and_stanzas_have_bounds() {
    let mut world = world(|room, setup: &mut Setup| {
        if room == 'A' {
            setup.settings.limits.occupants = 10;
            setup.settings.limits.stanza = 4000;
        }
    });
    for n in 0..100 {
        world.run(&here(
            &format!("turk{n}@cyprus.lit/c"),
            &format!("Turk {n}"),
            "",
        ));
    }
    assert_eq!(world.roster('A').len(), 3 + 10);
    assert_eq!(world.roster('D').len(), 3 + 10);
    world.notices.clear();
    nothing(
        &mut world,
        &says("othello@cyprus.lit/c", "Othello", &"x".repeat(4000), ""),
        "too large",
    );
    let long = "n".repeat(1000);
    let seen = world.run(&here("othello@cyprus.lit/c", &long, ""));
    assert!(!seen.iter().any(|line| line.contains(": P")), "{seen:?}");
    unharmed(&mut world);
}

/// G13: a room that is asked to join anew all the time does so only so often.
#[test]
fn g13_to_join_anew_is_asked_only_so_often() {
    let mut world = world(|_, setup: &mut Setup| setup.settings.limits.joins = 3);
    let rejoin = line(
        'A',
        'B',
        "<presence from='FROM' to='TO'><fmuc><rejoin NS/></fmuc></presence>",
    );
    let joined = |seen: Vec<String>| seen.iter().filter(|line| line.starts_with("B>A J")).count();
    assert_eq!(joined(world.run(&rejoin.repeat(10))), 3);
    // And a room that joins all the time is answered only so often.
    let joins: String = (2..10).map(|n| join(&format!("s{n}"))).collect();
    let answered = world
        .run(&joins)
        .iter()
        .filter(|line| line.contains("own sync"))
        .count();
    assert!(answered <= 3 * 2, "{answered}");
    world.run("wait 600");
    unharmed(&mut world);
}

/// A stanza that asks for much is as dear as what it asks for.
#[test]
fn g9_what_is_asked_for_again_and_again_is_told_only_so_often() {
    let mut world = world(|_, setup: &mut Setup| {
        setup.settings.limits.burst = 300;
        setup.settings.limits.rate = 10;
    });
    for n in 0..50 {
        world.run(&format!("al says A {n}\nwait 1"));
    }
    world.run("wait 60");
    let name = format!("<a NS a='7' n='{}' e='{EPOCH}'/>", address('A'));
    let want = own(&format!("{name}{}", "<want NS i='7.1-zz'/>".repeat(100)));
    let told = world
        .run(&want)
        .iter()
        .filter(|line| line.starts_with("A>F M"))
        .count();
    assert!((50..=300).contains(&told), "{told}");
    assert_eq!(
        world
            .run(&want)
            .iter()
            .filter(|line| line.starts_with("A>F M"))
            .count(),
        0
    );
    unharmed(&mut world);
}

/// One node after the other, so that none is left for others.
#[test]
fn g9_nodes_behind_a_link_have_a_bound() {
    let mut world = world(|_, setup: &mut Setup| setup.settings.limits.nodes = 10);
    for n in 0..100 {
        let name = format!(
            "<a NS a='{}' n='r{n}@x.example' e='{EPOCH}'/>",
            crate::fmuc::base36::write(n + 10)
        );
        let dot = format!("{name}<o NS i='{}.1'/>", crate::fmuc::base36::write(n + 10));
        world.run(&says("othello@cyprus.lit/c", "Othello", "x", &dot));
    }
    assert!(world.nodes[&'A'].routes.len() <= 3 + 10);
    // Nor by saying that it has all of them.
    let have: String = (0..500)
        .map(|n| {
            format!(
                "<h a='{}' n='v{n}@x.example' e='{EPOCH}' s='7'/>",
                crate::fmuc::base36::write(n + 10)
            )
        })
        .collect();
    world.run(&join("s2").replace("</join>", &format!("{have}</join>")));
    world.run(&own("<synced NS/>"));
    assert!(world.nodes[&'A'].have.vector().iter().len() <= 4 + 2 * 10);
    unharmed(&mut world);
}

/// Back and forth: others hear of it once, or not at all.
#[test]
fn g13_nodes_that_come_and_go_all_the_time_are_told_of_once() {
    let mut world = world(|_, _| {});
    let node = format!("<a NS a='7' n='x@x.example' e='{EPOCH}'/>");
    world.run(&here(
        "iago@cyprus.lit/c",
        "Iago",
        &format!("{node}<o NS i='7.1'/>"),
    ));
    let back = own("<reach NS a='7'/>");
    assert_eq!(world.run(&back), [""; 0]);
    let flaps = own(&"<unreach NS a='7'/><reach NS a='7'/>".repeat(100));
    let told = world.run(&flaps);
    assert!(told.len() <= 4, "{told:#?}");
    // Of a node that is not behind it nothing is heard.
    let other = own(&format!(
        "<a NS a='8' n='{}' e='{EPOCH}'/><unreach NS a='8'/>",
        address('B')
    ));
    assert_eq!(world.run(&other), [""; 0]);
    unharmed(&mut world);
}

//! Which rooms are let in, and which of what they say counts.

use super::{here, join, line, own, unharmed, world};
use crate::fmuc::tests::{Setup, World, address};
use crate::fmuc::{Accept, Input};
use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;

/// G1: a room that is not accepted.
#[test]
fn g1_a_room_that_is_not_accepted_hears_no_more_than_that() {
    let mut world = World::with("A", |_, setup: &mut Setup| {
        setup.federation.accept = Accept::Only(vec![Jid::from(address('B'))]);
        setup.settings.limits.refusals = 1;
    });
    world.run("al enters A\nal says A secret");
    let join = join("s1");
    assert_eq!(world.run(&join), ["A>F REJ(not accepted)"]);
    assert_eq!(world.run(&join), [""; 0]);
    assert_eq!(
        world.run(&format!("wait 60\n{join}")),
        ["A>F REJ(not accepted)"]
    );
    assert_eq!(
        world.run(&here("othello@cyprus.lit/c", "Othello", "")),
        [""; 0]
    );
    assert!(world.is_quiet());
}

/// G2: "never a link" [OF O20].
#[test]
fn g2_a_user_is_no_room() {
    let mut world = World::new("A");
    world.run("al enters A");
    for from in [
        "mallory@evil.lit/x",
        "alice@wonderland.lit/w",
        "bob@wonderland.lit/w",
    ] {
        let join = format!(
            "<presence from='{from}' to='rabbithole@rooms.wonderland.lit/x'><x xmlns='{}'/><x xmlns='{}'/><fmuc xmlns='{}' from='{from}'/></presence>",
            crate::ns::MUC,
            crate::ns::USER,
            crate::ns::FMUC
        );
        world.handle('A', Input::Stanza(Stanza::parse(&join).unwrap()));
        assert!(world.nodes[&'A'].children.is_empty(), "{from}");
    }
    // Nor does one become a room by speaking for another.
    let join = format!(
        "<presence from='bob@wonderland.lit/w' to='rabbithole@rooms.wonderland.lit/x'><x xmlns='{}'/><x xmlns='{}'/><fmuc xmlns='{}' from='hamlet@denmark.lit/p'/></presence>",
        crate::ns::MUC,
        crate::ns::USER,
        crate::ns::FMUC
    );
    world.handle('A', Input::Stanza(Stanza::parse(&join).unwrap()));
    assert!(world.nodes[&'A'].children.is_empty());
}

/// G3: what a client says of itself between rooms is not there.
#[test]
fn g3_a_client_says_nothing_between_rooms() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <message type='groupchat'><body>I am the king</body><fmuc xmlns='http://isode.com/protocol/fmuc' from='ceo@denmark.lit/p'/></message>
            hm: M Hamlet: I am the king
            B>A M(hm as Hamlet: I am the king) o.2
            al: M Hamlet: I am the king
        ",
    );
    assert!(world.is_quiet());
}

/// G11: "no answer, no state change".
#[test]
fn g11_errors_change_nothing() {
    let mut world = world(|_, _| {});
    for stanza in [
        "<presence type='error' from='FROM/Othello' to='TO'><fmuc from='othello@cyprus.lit/c'/><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
        "<presence type='error' from='FROM' to='TO'><fmuc><left/></fmuc></presence>",
        "<message type='error' from='FROM/Othello' to='TO'><fmuc from='othello@cyprus.lit/c'/></message>",
        // Nor does one say that somebody else has not got what they were told.
        "<message type='error' from='FROM/Hamlet' to='TO/Alice'><fmuc from='alice@wonderland.lit/w'/><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        "<iq type='get' id='1' from='FROM' to='TO'><fmuc/></iq>",
    ] {
        assert_eq!(world.run(&line('F', 'A', stanza)), [""; 0], "{stanza}");
    }
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// G13: "ignored".
#[test]
fn g13_only_the_other_side_says_that_it_is_over() {
    let mut world = world(|_, _| {});
    let wrong = [
        // Of a room that has joined, and of one that has not.
        own("<left/>"),
        own("<left/><left NS s='s1'/>"),
        own("<rejoin NS/>"),
        line(
            'D',
            'B',
            "<presence from='FROM' to='TO'><fmuc><left/></fmuc></presence>",
        ),
        line(
            'D',
            'B',
            "<presence from='FROM' to='TO'><fmuc><leave NS/></fmuc></presence>",
        ),
        // Of the room that was joined.
        line(
            'A',
            'B',
            "<presence from='FROM' to='TO'><fmuc><leave NS/></fmuc></presence>",
        ),
        line(
            'A',
            'B',
            "<presence from='FROM' to='TO'><fmuc><left/><left NS s='another'/></fmuc></presence>",
        ),
    ];
    for script in wrong {
        assert_eq!(world.run(&script), [""; 0], "{script}");
    }
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// G14: "RPF still stops echo".
#[test]
fn g14_a_lie_about_the_path_brings_nothing_back() {
    let mut world = world(|_, _| {});
    for script in [
        line(
            'A',
            'B',
            "<presence from='FROM' to='TO'><fmuc><path NS/></fmuc></presence>",
        ),
        line(
            'A',
            'B',
            "<presence from='FROM' to='TO'><fmuc><path NS>x@y.example</path></fmuc></presence>",
        ),
        line(
            'A',
            'B',
            "<message type='groupchat' from='FROM/Hamlet' to='TO'><body>words</body><fmuc from='hamlet@denmark.lit/p'/></message>",
        ),
        line(
            'A',
            'B',
            "<presence from='FROM/Hamlet' to='TO'><fmuc from='hamlet@denmark.lit/p'/></presence>",
        ),
        line(
            'A',
            'B',
            "<presence from='FROM/Hamlet' to='TO/Hamlet'><X/><fmuc from='hamlet@denmark.lit/p'/></presence>",
        ),
    ] {
        assert_eq!(world.run(&script), [""; 0], "{script}");
    }
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// Who brings nobody is not told who is here.
#[test]
fn g14_a_room_that_brings_nobody_is_no_part_of_it() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    let stolen = join("s1").replace("othello@cyprus.lit/c", "hamlet@denmark.lit/p");
    assert_eq!(
        world.run(&stolen),
        ["A>F REJ(none of its occupants is let in)"]
    );
    assert_eq!(
        world
            .run("al says A hush")
            .iter()
            .filter(|line| line.starts_with("A>F"))
            .count(),
        0
    );
    assert!(world.is_quiet());
}

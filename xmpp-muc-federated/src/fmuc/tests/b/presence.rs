//! In which way somebody is there, under which nick, and with how many clients.

use crate::fmuc::tests::{Dialect, LinkProfile, PresenceLevel, World, profile, speaking};

/// B13.
#[test]
fn b13_several_clients_of_one_user_are_one_occupant() {
    let mut world = World::new("A B>A");
    world.run("al enters A");
    world.play(
        "
        hm enters B
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
        h2 enters B
            h2: P Alice
            h2: P Hamlet 110
            h2: S
            hm: P Hamlet 110
        h2 says B from the other one
            hm: M Hamlet: from the other one
            h2: M Hamlet: from the other one
            B>A M(hm as Hamlet: from the other one) o.2
            al: M Hamlet: from the other one
        hm leaves B
            hm: U Hamlet 110
            B>A P(h2 as Hamlet) o.3
            B>A U(hm as Hamlet) o.4
            al: P Hamlet
        h2 says B alone
            h2: M Hamlet: alone
            B>A M(h2 as Hamlet: alone) o.5
            al: M Hamlet: alone
        h2 leaves B
            h2: U Hamlet 110
            B>A U(h2 as Hamlet) o.6
            al: U Hamlet
            A>B LEFT
    ",
    );
    assert!(world.is_quiet());
}

/// B14.
#[test]
fn b14_another_nick_is_one_stanza() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <presence to='x@x/Ghost'/>
            hm: U Hamlet 110 303 to Ghost
            B>A P(hm as Ghost) o.2
            hm: P Ghost 110
            al: U Hamlet 303 to Ghost
            al: P Ghost
        hm says B Swear
            hm: M Ghost: Swear
            B>A M(hm as Ghost: Swear) o.3
            al: M Ghost: Swear
    ",
    );
    assert!(world.is_quiet());
}

#[test]
fn b14_another_nick_is_two_presences_without_our_extension() {
    let mut world = World::with("A B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.run("al enters A\nhm enters B");
    world.play(
        "
        hm sends B <presence to='x@x/Ghost'/>
            hm: U Hamlet 110 303 to Ghost
            B>A U(hm as Hamlet) 303
            B>A P(hm as Ghost)
            hm: P Ghost 110
            al: U Hamlet 303 to Ghost
            al: P Ghost
        hm says B Swear
            hm: M Ghost: Swear
            B>A M(hm as Ghost: Swear)
            al: M Ghost: Swear
    ",
    );
    assert!(world.is_quiet());
}

/// B6: on most links nobody hears in which way somebody is there.
#[test]
fn b6_who_is_away_costs_a_narrow_link_nothing() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A");
    world.play("
        hm sends B <presence to='x@x/Hamlet'><show>dnd</show><x xmlns='http://jabber.org/protocol/muc'/></presence>
            hm: P Hamlet 110
            hm: S
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>xa</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet' type='unavailable'><status>to Wittenberg</status></presence>
            hm: U Hamlet 110
            B>A U(hm as Hamlet) o.2
            al: U Hamlet
            A>B LEFT
    ");
    assert_eq!(
        world.last["al"].to_string().matches("Wittenberg").count(),
        0
    );
    assert!(world.is_quiet());
}

#[test]
fn b6_of_several_changes_within_the_interval_the_last_one_is_told() {
    let mut world = World::with("A B>A", |_, setup| {
        setup.federation.profile = LinkProfile::Sat;
        setup.peers(|peer| peer.presence = Some(PresenceLevel::Full));
    });
    world.run("al enters A\nhm enters B\nwait 10");
    world.play(
        "
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
            B>A P(hm as Hamlet)
            al: P Hamlet
        hm sends B <presence to='x@x/Hamlet'><show>chat</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>xa</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'><show>dnd</show></presence>
            hm: P Hamlet 110
        hm sends B <presence to='x@x/Hamlet'/>
            hm: P Hamlet 110
        wait 9
        wait 1
            B>A P(hm as Hamlet)
            al: P Hamlet
        wait 60
    ",
    );
    assert_eq!(world.last["al"].to_string().matches("<show>").count(), 0);
    world.run("hm sends B <presence to='x@x/Hamlet'><show>dnd</show></presence>");
    assert_eq!(
        world.last["al"]
            .to_string()
            .matches("<show>dnd</show>")
            .count(),
        1
    );
    assert!(world.is_quiet());
}

/// B6: in which way somebody is there is told when the link is back.
#[test]
fn b6_what_changes_while_a_link_is_down_is_told_when_it_is_up() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\ncut A B");
    world.play(
        "
        hm sends B <presence to='x@x/Hamlet'><show>away</show></presence>
            hm: P Hamlet 110
        al sends A <presence to='x@x/Alice'><show>dnd</show></presence>
            al: P Alice 110
        heal A B
            B>A J(hm as Hamlet) join o.1
            al: P Hamlet
            A>B own sync
            A>B P(al as Alice) o.1
            A>B own synced
            hm: P Alice
            B>A P(hm as Hamlet)
    ",
    );
    assert_eq!(
        world.last["al"]
            .to_string()
            .matches("<show>away</show>")
            .count(),
        1
    );
    assert_eq!(
        world.last["hm"]
            .to_string()
            .matches("<show>dnd</show>")
            .count(),
        1
    );
    assert!(world.is_quiet());
}

/// B6: with the least of all levels those are introduced who say something.
#[test]
fn b6_who_says_nothing_need_not_be_known() {
    for dialect in [Dialect::Auto, Dialect::Xep] {
        let mut world = World::with("A B>A C>B", |name, setup| {
            speaking(dialect, LinkProfile::Lan)(name, setup);
            setup.peers(|peer| peer.presence = Some(PresenceLevel::None));
        });
        world.run("hm enters B\nop enters B\nal enters A\nha enters A");
        assert_eq!(
            world.roster('A'),
            ["Alice", "Hamlet", "Hatter"],
            "{dialect:?}"
        );
        assert_eq!(world.roster('B'), ["Hamlet", "Ophelia"], "{dialect:?}");
        world.run("mb enters C\nal says A one\nop says B two\nha leaves A\nmb tells C Alice three\nop leaves B\nwait 60");
        assert_eq!(
            world.roster('A'),
            ["Alice", "Hamlet", "Macbeth"],
            "{dialect:?}"
        );
        assert_eq!(
            world.roster('B'),
            ["Alice", "Hamlet", "Macbeth"],
            "{dialect:?}"
        );
        assert_eq!(world.roster('C'), ["Alice", "Macbeth"], "{dialect:?}");
        assert!(world.is_quiet());
    }
}

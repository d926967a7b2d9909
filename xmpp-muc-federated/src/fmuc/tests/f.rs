//! Kicks, bans and roles: the scenarios F of the design.

use super::{Setup, World};
use crate::room::{Affiliation, Role};

/// F1: a moderator of another room; it is over when their own room has done it.
#[test]
fn f1_a_room_takes_out_whom_a_moderator_of_another_one_kicks() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nop enters B\nmb enters C");
    world.play(
        "
        al kicks A Ophelia
            A>B U(op as Ophelia) 307 act(Alice)
            al: iq Result
            al: U Ophelia 307
            op: U Ophelia 110 307
            B>A U(op as Ophelia) 307 o.3
            B>C U(op as Ophelia) 307 o.3
            hm: U Ophelia 307
            mb: U Ophelia 307
        op enters B
            op: P Hamlet
            op: P Alice
            op: P Macbeth
            op: P Ophelia 110
            op: S
            hm: P Ophelia
            B>A P(op as Ophelia) o.4
            B>C P(op as Ophelia) o.4
            al: P Ophelia
            mb: P Ophelia
        ",
    );
    assert!(world.is_quiet());
}

/// F2: the room there does not do it.
#[test]
fn f2_who_is_not_kicked_at_home_is_not_seen_where_they_were() {
    let mut world = World::with("A B>A D>A", |_, setup: &mut Setup| {
        setup.peers(|peer| peer.honour_kicks = false);
    });
    world.run("al enters A\nhm enters B\nop enters B\nro enters D");
    world.play(
        "
        al kicks A Ophelia
            A>B U(op as Ophelia) 307 act(Alice)
            al: iq Result
            al: U Ophelia 307
        op says B I am still here
            hm: M Ophelia: I am still here
            op: M Ophelia: I am still here
            B>A M(op as Ophelia: I am still here) o.3
            A>D M(op as Ophelia: I am still here) o.3
            ro: M Ophelia: I am still here
        op tells B Alice and here
            B>A PM(op as Ophelia to Alice: and here)
            A>B PM-error(op as Alice)
            op: error Alice not-acceptable
        al tells A Ophelia but not here
            al: error Ophelia item-not-found
        op leaves B
            op: U Ophelia 110
            B>A U(op as Ophelia) o.4
            hm: U Ophelia
            A>D U(op as Ophelia) o.4
            ro: U Ophelia
        op enters B
            op: P Hamlet
            op: P Alice
            op: P Rosalind
            op: P Ophelia 110
            op: M Ophelia: I am still here delay
            op: S
            hm: P Ophelia
            B>A P(op as Ophelia) o.5
            al: P Ophelia
            A>D P(op as Ophelia) o.5
            ro: P Ophelia
        ",
    );
    assert!(world.is_quiet());
}

/// Whoever owns or administrates a room is not thrown out of it by others (XEP-0045 §8.2).
#[test]
fn f2_nobody_elsewhere_throws_the_owner_out() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B\nhm says B words");
    world.play(
        "
        al kicks A Hamlet
            A>B U(hm as Hamlet) 307 act(Alice)
            al: iq Result
            al: U Hamlet 307
        hm says B what do you read
            hm: M Hamlet: what do you read
            op: M Hamlet: what do you read
            B>A M(hm as Hamlet: what do you read) o.4
        al gives A Ophelia visitor
            al: iq Result
            al: P Ophelia
            A>B P(op as Ophelia) act(Alice)
            op: P Ophelia 110
            hm: P Ophelia
            B>A P(op as Ophelia) o.5
        hm says B what, my lord
            hm: M Hamlet: what, my lord
            op: M Hamlet: what, my lord
            B>A M(hm as Hamlet: what, my lord) o.6
        al kicks A Ophelia
            A>B U(op as Ophelia) 307 act(Alice)
            al: iq Result
            al: U Ophelia 307
            op: U Ophelia 110 307
            B>A U(op as Ophelia) 307 o.7
            hm: U Ophelia 307
        ",
    );
    assert!(world.is_quiet());
}

/// F3: the room in the middle passes it on, and hears of it once.
#[test]
fn f3_a_kick_goes_through_the_middle() {
    let mut world = World::new("A B>A C>B D>A");
    world.run("al enters A\nhm enters B\nmb enters C\nbc enters C\nro enters D");
    world.play(
        "
        al kicks A Bob
            A>B U(bc as Bob) 307 act(Alice)
            al: iq Result
            al: U Bob 307
            B>C U(bc as Bob) 307 act(Alice)
            bc: U Bob 110 307
            C>B U(bc as Bob) 307 o.3
            mb: U Bob 307
            hm: U Bob 307
            B>A U(bc as Bob) 307 o.3
            A>D U(bc as Bob) 307 o.3
            ro: U Bob 307
        ",
    );
    assert!(world.is_quiet());
}

/// F4: a room that has no say here asks by way of one that has joined us.
#[test]
fn f4_a_kick_asked_for_by_a_room_without_a_say_is_none() {
    let mut world = World::with("A B>A D>A", |room, setup: &mut Setup| {
        setup.peers(|peer| {
            peer.honour_kicks = room != 'A' || !peer.jid.as_str().starts_with("forest@")
        });
    });
    world.run("al enters A\nhm enters B\nop enters B\nro enters D");
    world.play(
        "
        D> A <presence type='unavailable' from='forest@muc.arden.lit/Ophelia' to='rabbithole@rooms.wonderland.lit'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/><status code='307'/></x><fmuc xmlns='http://isode.com/protocol/fmuc' from='ophelia@denmark.lit/p'/></presence>
        ro kicks D Ophelia
            D>A U(op as Ophelia) 307 act(Rosalind)
            ro: iq Result
            ro: U Ophelia 307
        ",
    );
    assert!(world.is_quiet());
}

/// F4: and one that has a say may not have it all the time.
#[test]
fn f4_only_so_many_kicks_are_passed_on_in_a_minute() {
    let mut world = World::with("A B>A D>A", |_, setup: &mut Setup| {
        setup.settings.limits.requests = 2;
        setup.peers(|peer| peer.honour_kicks = true);
    });
    world.run("al enters A\nhm enters B\nop enters B\nro enters D");
    let kick = "D> A <presence type='unavailable' from='forest@muc.arden.lit/Hamlet' to='rabbithole@rooms.wonderland.lit'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/><status code='307'/></x><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></presence>\n";
    let passed = |seen: Vec<String>| seen.iter().filter(|line| line.starts_with("A>B U")).count();
    assert_eq!(passed(world.run(&kick.repeat(5))), 2);
    assert_eq!(passed(world.run(&format!("wait 60\n{kick}"))), 1);
}

/// F5: somebody else's occupant leaves, says a room that has nothing to do with them.
#[test]
fn f5_nobody_leaves_because_another_room_says_so() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B");
    world.play(
        "
        A> B <presence type='unavailable' from='rabbithole@rooms.wonderland.lit/Hamlet' to='elsinore@talk.denmark.lit'><fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/></presence>
        ",
    );
    assert!(world.is_quiet());
}

/// F7: whom a room has banned it does not see, and nobody else is concerned.
#[test]
fn f7_a_ban_is_the_rooms_own() {
    let mut world = World::with("A B>A D>A", |_, setup: &mut Setup| {
        setup.peers(|peer| peer.honour_kicks = false);
    });
    world.run("al enters A\nhm enters B\nop enters B\nro enters D");
    world.play(
        "
        al bans A op
            al: iq Result
            A>B U(op as Ophelia) 301 act(Alice)
            al: U Ophelia 301
        op says B am I heard
            hm: M Ophelia: am I heard
            op: M Ophelia: am I heard
            B>A M(op as Ophelia: am I heard) o.3
            A>D M(op as Ophelia: am I heard) o.3
            ro: M Ophelia: am I heard
        op leaves B
            op: U Ophelia 110
            B>A U(op as Ophelia) o.4
            hm: U Ophelia
            A>D U(op as Ophelia) o.4
            ro: U Ophelia
        op enters B
            op: P Hamlet
            op: P Alice
            op: P Rosalind
            op: P Ophelia 110
            op: M Ophelia: am I heard delay
            op: S
            hm: P Ophelia
            B>A P(op as Ophelia) o.5
            A>B own refuse(forbidden)
            A>D P(op as Ophelia) o.5
            ro: P Ophelia
        ",
    );
    assert!(world.is_quiet());
}

/// F8: what somebody is at home is shown, as far as the peer is believed, and gives them no right here.
#[test]
fn f8_rank_elsewhere_is_no_rank_here() {
    let mut world = World::with("A B>A", |_, setup: &mut Setup| {
        setup.peers(|peer| {
            peer.shown_role = Role::Participant;
            peer.shown_affiliation = Affiliation::Member;
        });
    });
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
        ",
    );
    world.play(
        "
        hm kicks A Alice
            hm: iq Error forbidden
        hm bans A al
            hm: iq Error forbidden
        ",
    );
    let standing = |room, nick| {
        world.nodes[&room]
            .room()
            .standing(nick)
            .expect("they are there")
    };
    assert_eq!(
        standing('B', "Hamlet"),
        (Affiliation::Owner, Role::Moderator)
    );
    assert_eq!(
        standing('A', "Hamlet"),
        (Affiliation::Member, Role::Participant)
    );
    assert!(world.is_quiet());
}

/// F9: in a moderated room those without a voice are not heard, whatever other rooms do.
#[test]
fn f9_a_moderated_room_does_not_hear_visitors_and_passes_on_what_they_say() {
    let mut world = World::with("A B>A D>A", |room, setup: &mut Setup| {
        setup.config.moderated = room == 'A';
    });
    world.run("al enters A\nhm enters B\nop enters B\nro enters D\nhm gives B Ophelia visitor");
    world.play(
        "
        op says B hey non nonny
            hm: M Ophelia: hey non nonny
            op: M Ophelia: hey non nonny
            B>A M(op as Ophelia: hey non nonny) o.4
            A>D M(op as Ophelia: hey non nonny) o.4
            ro: M Ophelia: hey non nonny
        hm gives B Ophelia participant
            hm: iq Result
            op: P Ophelia 110
            hm: P Ophelia
            B>A P(op as Ophelia) o.5
            al: P Ophelia
            A>D P(op as Ophelia) o.5
            ro: P Ophelia
        op says B hey nonny
            hm: M Ophelia: hey nonny
            op: M Ophelia: hey nonny
            B>A M(op as Ophelia: hey nonny) o.6
            al: M Ophelia: hey nonny
            A>D M(op as Ophelia: hey nonny) o.6
            ro: M Ophelia: hey nonny
        ",
    );
    assert!(world.is_quiet());
}

/// F8: what is asked for elsewhere is not more than a moderator may give.
#[test]
fn f8_nobody_elsewhere_makes_moderators_here() {
    let role = |role| {
        format!(
            "A> B <presence from='rabbithole@rooms.wonderland.lit/Ophelia' to='elsinore@talk.denmark.lit'><x xmlns='http://jabber.org/protocol/muc#user'><item role='{role}'/></x><fmuc xmlns='http://isode.com/protocol/fmuc' from='ophelia@denmark.lit/p'><act xmlns='urn:xmpp:fmuc:sync:0' by='alice@wonderland.lit/w' nick='Alice'/></fmuc></presence>"
        ).replace("urn:xmpp:fmuc:sync:0", crate::ns::SYNC)
    };
    for (trusted, asked, has) in [
        (false, "visitor", Role::Visitor),
        (false, "moderator", Role::Participant),
        (true, "moderator", Role::Moderator),
    ] {
        let mut world = World::with("A B>A", |_, setup: &mut Setup| {
            setup.peers(|peer| peer.trust_roles = trusted);
        });
        world.run("al enters A\nhm enters B\nop enters B");
        world.run(&role(asked));
        let ophelia = "ophelia@denmark.lit/p".parse().unwrap();
        let known = world.nodes[&'B'].crowd.get(&ophelia).expect("she is there");
        assert_eq!(known.occupant.role, has, "{trusted} {asked}");
    }
}

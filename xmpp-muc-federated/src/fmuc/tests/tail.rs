//! What is lost where nothing says so, and rooms that have several to join (D17, D19 and D22 of the design).

use super::*;

/// Alice in A and Hamlet in B, which has joined A, and nothing left to be said.
fn pair(profile: LinkProfile, acknowledged: bool) -> World {
    let mut world = World::with("A B>A", |_, setup| setup.federation.profile = profile);
    world.acknowledged = acknowledged;
    world.run("al enters A\nhm enters B\nwait 5000");
    world
}

fn count(seen: &[String], what: &str) -> usize {
    seen.iter().filter(|line| line.contains(what)).count()
}

/// D17, on a link of which nothing says whether what goes there arrives: the last message is lost, and nobody says anything after it.
#[test]
fn d17_the_last_message_before_a_silence_is_found() {
    for (from, to, who, told) in [
        ("B", "A", "hm", "al: M Hamlet: Hi"),
        ("A", "B", "al", "hm: M Alice: Hi"),
    ] {
        let mut world = pair(LinkProfile::Lan, false);
        let lost = format!("hold {from} {to}\n{who} says {from} Hi\nlose {from} {to}");
        assert_eq!(count(&world.run(&lost), told), 0);
        assert_eq!(
            world.run("wait 29"),
            [""; 0],
            "it may still be acknowledged"
        );
        let seen = world.run("wait 120");
        assert_eq!(count(&seen, told), 1, "{seen:#?}");
        // The second is of what was told once more.
        assert_eq!(
            count(&seen, &format!("{from}>{to} own last.")),
            2,
            "{seen:#?}"
        );
        assert_eq!(
            count(&seen, &format!("{to}>{from} own want.")),
            1,
            "{seen:#?}"
        );
        // Once for each silence: a link that nothing goes over costs nothing.
        assert_eq!(world.run("wait 86400"), [""; 0]);
        assert!(world.is_quiet());
    }
}

/// D17: what streams acknowledge (XEP-0198) need not be asked for, nor is there anything to spare for it on short wave.
#[test]
fn d17_nothing_is_said_of_the_last_message_where_it_is_acknowledged_or_too_dear() {
    for (profile, acknowledged) in [(LinkProfile::Lan, true), (LinkProfile::Hf, false)] {
        let mut world = pair(profile, acknowledged);
        let seen = world.run("hm says B Hi\nwait 86400");
        assert_eq!(count(&seen, "B>A"), 1, "{seen:#?}");
        assert_eq!(count(&seen, "A>B"), 0, "{seen:#?}");
    }
}

/// D17: a question that is lost is asked again, and not for ever.
#[test]
fn d17_what_is_missing_is_asked_for_three_times() {
    let mut world = pair(LinkProfile::Lan, false);
    world.run("hold B A\nhm says B Hi\nlose B A\nwait 29\nhold A B\nwait 4");
    let seen = world.run("wait 3\nlose A B\nwait 600");
    assert_eq!(count(&seen, "al: M Hamlet: Hi"), 1, "{seen:#?}");
    let mut world = pair(LinkProfile::Lan, true);
    world.run("B> A <presence from='elsinore@talk.denmark.lit' to='rabbithole@rooms.wonderland.lit'><fmuc xmlns='http://isode.com/protocol/fmuc'><last xmlns='urn:x-fmuc:1' i='1.zz'/></fmuc></presence>\nhold A B\nwait 600");
    let wire = world.wires.remove(&('A', 'B')).unwrap_or_default();
    assert_eq!(wire.len(), 3, "{wire:#?}");
}

/// D22: the peer is gone and nothing says so. When the stream is found to be dead, and another one is there, everything is there once, and nobody was gone.
#[test]
fn d22_what_was_said_into_a_dead_stream_is_told_on_the_next_one() {
    let mut world = pair(LinkProfile::Lan, false);
    let mut seen = world.run(
        "hold A B\nhold B A\nhm says B one\nal says A two\nwait 20\nhm says B three\nwait 600\nlose A B\nlose B A\ncut A B\nheal A B\nwait 600",
    );
    seen.extend(world.run("wait 600"));
    for told in [
        "al: M Hamlet: one",
        "al: M Hamlet: three",
        "hm: M Alice: two",
    ] {
        assert_eq!(count(&seen, told), 1, "{told} {seen:#?}");
    }
    assert_eq!(
        count(&seen, "hm: U") + count(&seen, "al: U"),
        0,
        "{seen:#?}"
    );
}

/// D19: C joins A when B, which it had joined, is gone; everybody is seen once, also when B is back.
#[test]
fn d19_a_room_joins_the_next_one_when_that_which_it_had_joined_is_gone() {
    let mut world = World::new("A B>A C>BA");
    world.run("al enters A\nhm enters B\nmb enters C\nwait 60");
    assert_eq!(world.roster('C'), ["Alice", "Hamlet", "Macbeth"]);
    world.run("cut A B\ncut B C\nwait 1800");
    assert_eq!(world.roster('C'), ["Alice", "Macbeth"]);
    assert_eq!(world.roster('A'), ["Alice", "Macbeth"]);
    world.run("heal A B\nheal B C\nwait 1800");
    for room in ['A', 'B', 'C'] {
        assert_eq!(world.roster(room), ["Alice", "Hamlet", "Macbeth"], "{room}");
    }
    let seen = world.run("mb says C back\nhm says B again\nwait 5");
    for (who, told) in [
        ("al", "M Macbeth: back"),
        ("hm", "M Macbeth: back"),
        ("al", "M Hamlet: again"),
        ("mb", "M Hamlet: again"),
    ] {
        assert_eq!(
            count(&seen, &format!("{who}: {told}")),
            1,
            "{who} {seen:#?}"
        );
    }
}

/// A room that was asked whether it is still there is asked again where the question came back, and one that nobody is in says so.
#[test]
fn who_was_not_reached_by_the_question_is_asked_again() {
    let mut world = pair(LinkProfile::Lan, true);
    world.run("hold B A\nhm leaves B\ncut A B\nrelease B A\nwait 60\nheal A B");
    world.run("hold A B\nwait 6\nlose A B\ncut A B\nheal A B");
    let seen = world.run("wait 100");
    assert_eq!(count(&seen, "A>B own rejoin"), 1, "{seen:#?}");
    assert_eq!(count(&seen, "B>A own leave"), 1, "{seen:#?}");
    assert!(world.nodes[&'A'].children.is_empty());
}

/// `<gone/>` of all numbers that there are would have nobody hear a node that is not there to object: when it is, it begins another life.
#[test]
fn nobody_is_silenced_by_numbers_that_it_has_not_used() {
    let mut world = World::new("A B>A D>A");
    world.run("al enters A\nhm enters B\nro enters D\nwait 60\nro leaves D\nwait 60");
    let epoch = super::super::base36::write(world.nodes[&'D'].epoch);
    world.run(&format!("B> A <presence from='elsinore@talk.denmark.lit' to='rabbithole@rooms.wonderland.lit'><fmuc xmlns='http://isode.com/protocol/fmuc'><a xmlns='urn:x-fmuc:1' a='99' n='forest@muc.arden.lit' e='{epoch}'/><gone xmlns='urn:x-fmuc:1' i='99.1-3w5e11264sgsf'/></fmuc></presence>"));
    let seen = world.run("ro enters D\nwait 5\nro says D hello");
    assert_eq!(count(&seen, "al: M Rosalind: hello"), 1, "{seen:#?}");
}

/// How far a node has everything is written down now and then; one that ends before has its events, and lives on by them alone.
#[test]
fn a_life_goes_on_of_which_only_events_were_stored() {
    let mut world = World::new("A B>A");
    world.run("cut A B\nal enters A\nal says A before");
    let epoch = world.nodes[&'A'].epoch;
    assert_eq!(world.stored[&'A'].federation.have, None);
    world.run("wait 10");
    world.restart('A');
    assert_eq!(world.nodes[&'A'].epoch, epoch);
    let seen = world.run("heal A B\nhm enters B\nwait 60");
    assert_eq!(count(&seen, "hm: M Alice: before"), 1, "{seen:#?}");
}

/// Of two subjects the later one counts, whichever was stored last.
#[test]
fn the_subject_after_a_restart_is_the_latest() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nwait 60\nhold A B\nhold B A\nal subject A old\nwait 5\nhm subject B new\nrelease A B\nrelease B A\nwait 60");
    world.restart('B');
    let seen = world.run("cut A B\nmb enters C\nwait 60");
    assert_eq!(count(&seen, "old"), 0, "{seen:#?}");
    assert!(count(&seen, "new") > 0, "{seen:#?}");
}

/// D21: the queue to the other server is full, so what is said comes back: that is an outage, and when there is room again nothing is lost.
#[test]
fn d21_a_full_queue_to_the_other_server_is_an_outage_and_nothing_is_lost() {
    let mut world = pair(LinkProfile::Lan, true);
    world.cut.insert(('B', 'A'));
    let mut seen = world.run("hm says B one\nhm says B two\nhm says B three\nwait 10");
    assert_eq!(count(&seen, "al: M"), 0, "{seen:#?}");
    world.cut.remove(&('B', 'A'));
    seen.extend(world.run("wait 600"));
    let told = seen.iter().filter(|line| line.contains("al: M Hamlet"));
    let told: Vec<_> = told.filter_map(|line| line.split(": ").nth(2)).collect();
    assert_eq!(told.len(), 3, "{seen:#?}");
    for (line, text) in told.iter().zip(["one", "two", "three"]) {
        assert!(line.starts_with(text), "{seen:#?}");
    }
    assert_eq!(count(&seen, "al: U"), 0, "{seen:#?}");
}

//! In the end all rooms agree: what the simulation has found that they did not.

use std::collections::VecDeque;

use xmpp_core::stanza::Stanza;

use super::World;

/// A room that begins anew without a store has its subject from the others, in its own name: nobody speaks for the life before.
#[test]
fn a_subject_outlives_the_life_of_its_node() {
    let mut world = World::with("A B>A", |_, setup| setup.config.change_subject = true);
    world.run("al enters A\nhm enters B\nhm subject B Words\nwait 60\ncut A B");
    let setup = world.setups[&'B'].clone();
    world.add('B', setup);
    world.run("hm enters B\nheal A B");
    let seen = world.run("wait 60\nop enters B");
    assert!(seen.contains(&"op: S Words delay".to_owned()), "{seen:#?}");
    // And what is set then is later.
    let seen = world.run("hm subject B More words");
    assert!(seen.contains(&"al: S More words".to_owned()), "{seen:#?}");
}

/// Whoever is lost from sight has no nick any more that somebody else has taken: a room that joins then hears of two nicks.
#[test]
fn who_is_lost_gives_up_their_nick() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nbb enters B\ncut A B\nwait 300\nba enters A");
    let seen = world.run("mb enters C\nwait 1");
    // There are no two of one nick, of whom the room that joins would give another nick to one.
    assert!(
        !seen.iter().any(|line| line.starts_with("mb: U Bob")),
        "{seen:#?}"
    );
    assert!(seen.contains(&"mb: P Bob".to_owned()), "{seen:#?}");
    let seen = world.run("heal A B\nwait 60\nha enters A");
    let bobs: Vec<_> = seen
        .iter()
        .filter(|line| line.starts_with("ha: P Bob"))
        .collect();
    assert_eq!(bobs.len(), 2, "{seen:#?}");
    let seen = world.run("ba leaves A");
    assert!(seen.contains(&"mb: U Bob".to_owned()), "{seen:#?}");
}

/// A node that cannot be heard of, and whose people are all gone, is heard of by whoever enters it next.
#[test]
fn a_node_that_nobody_is_at_is_not_cut_off() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nmb enters C\ncut B C\nwait 300");
    let setup = world.setups[&'C'].clone();
    world.add('C', setup);
    world.run("mb enters C\nheal B C\nwait 60");
    let seen = world.run("wait 600\nha enters A");
    assert!(seen.contains(&"ha: P Macbeth".to_owned()), "{seen:#?}");
}

/// Where streams overtake each other the stanza that gives a name may come after the one that uses it.
#[test]
fn an_event_waits_for_its_name() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\nhm enters B\nhold B A\nmb enters C\nmb says C When shall we three meet again?");
    let mut stanzas = world.all_taken('B', 'A');
    stanzas.reverse();
    for stanza in stanzas {
        world.deliver(('B', 'A'), stanza);
    }
    let seen = world.run("release B A\nwait 60");
    assert!(
        seen.contains(&"al: M Macbeth: When shall we three meet again?".to_owned()),
        "{seen:#?}"
    );
}

/// The answer to a join on behalf of somebody who is gone by then: the joined room hears that.
#[test]
fn a_join_that_was_given_up_is_taken_back() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhold B A\nhm enters B\nwait 31\nhm leaves B");
    world.run("release B A\nwait 60");
    let seen = world.run("ha enters A");
    assert!(!seen.contains(&"ha: P Hamlet".to_owned()), "{seen:#?}");
}

/// In which way somebody was there who has gone and come again while the link was down is of no interest any more.
#[test]
fn who_comes_again_is_there_anew() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nop enters B\nwait 60\ncut A B");
    world.run("hm sends B <presence to='x/Hamlet'><show>dnd</show></presence>");
    world.run("hm leaves B\nhm enters B\nheal A B\nwait 600");
    let shown = world.last["al"].to_string();
    assert!(!shown.contains("dnd"), "{shown}");
    let seen = world.run("ha enters A");
    assert!(seen.contains(&"ha: P Hamlet".to_owned()), "{seen:#?}");
}

/// Who was kicked here, and is not let go over there, does not set the subject of this room: nor of those that would have it from them.
#[test]
fn the_subject_of_one_who_was_kicked_is_nobodys() {
    let mut world = World::with("A B>A C>B", |_, setup| {
        setup.config.change_subject = true;
        setup.peers(|peer| peer.honour_kicks = false);
    });
    world.run("al enters A\nhm enters B\nop enters B\nmb enters C\nal subject A Words");
    let seen = world.run("al kicks A Ophelia\nop subject B Nothing\nwait 1");
    let last = |who: &str| {
        let of_them = |line: &&String| line.starts_with(&format!("{who}: S"));
        seen.iter().rev().find(of_them).cloned()
    };
    assert_eq!(last("al"), None, "{seen:#?}");
    assert_eq!(last("hm").as_deref(), Some("hm: S Words"), "{seen:#?}");
    assert_eq!(last("mb").as_deref(), Some("mb: S Words"), "{seen:#?}");
}

/// A copy of the end of a session says nothing of who is there once a new one was asked for.
#[test]
fn a_session_ends_once() {
    let mut world = World::new("A B>A C>B D>C");
    world.run("al enters A\nmb enters C\nro enters D\nwait 60\ncut A B\nwait 5");
    // Macbeth's room has forgotten him, which is no event of anybody's.
    let setup = world.setups[&'C'].clone();
    world.add('C', setup);
    world.run("cut B C\ncut C D\nheal B C\nheal C D\nwait 60");
    world.run("hold B A\nheal A B\nwait 1");
    while let Some(stanza) = world
        .wires
        .get_mut(&('B', 'A'))
        .and_then(VecDeque::pop_front)
    {
        world.deliver(('B', 'A'), stanza.clone());
        world.deliver(('B', 'A'), stanza);
        world.settle();
    }
    world.run("release B A\nwait 600");
    let seen = world.run("ha enters A");
    assert!(seen.contains(&"ha: P Rosalind".to_owned()), "{seen:#?}");
    assert!(!seen.contains(&"ha: P Macbeth".to_owned()), "{seen:#?}");
}

/// In which way somebody is there is not told by a join that nobody has heard.
#[test]
fn a_join_that_is_lost_tells_nothing() {
    let mut world = World::new("A B>A");
    // Of Hamlet's coming the room hears, but its answer is lost; then he is there in another way while it is tried once more.
    world.run("al enters A\nhold A B\nhm enters B\ncut A B\nrelease A B");
    world.run("wait 15");
    world.run("hm sends B <presence to='x/Hamlet'><show>dnd</show></presence>");
    // The tries from then on are on behalf of Hamlet as he is now; in the end of another one, whose address is less.
    world.run("wait 300\nbb enters B\nheal A B\nwait 60");
    let told = |((from, _), xml): &((char, char), String)| {
        *from == 'B' && xml.contains("dnd") && !xml.contains("<join")
    };
    assert!(world.xml.iter().any(told), "{:#?}", world.xml);
}

/// After each outage the two sides compare whom they know, be it that they have just done so.
#[test]
fn after_each_outage_all_are_named_who_are_not_known() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nhm enters B\nmb enters C\nwait 60\ncut A C");
    // Macbeth is forgotten by all others, but not his event.
    let setup = world.setups[&'A'].clone();
    world.add('A', setup.clone());
    world.run("cut A B\nheal A B\nwait 5");
    world.add('A', setup);
    world.run("cut A B\nheal A C\nwait 5\nheal A B\nwait 60");
    let seen = world.run("op enters B");
    assert!(seen.contains(&"op: P Macbeth".to_owned()), "{seen:#?}");
}

/// A life does not know what the one before it has told: in which way somebody is there is told also to who knows of their coming.
#[test]
fn a_new_life_tells_in_which_way_all_are_there() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nhm enters B\nmb enters C\nwait 60\ncut A B\ncut A C");
    let setup = world.setups[&'A'].clone();
    world.add('A', setup);
    world.run("heal A C\nwait 5");
    world.run("mb sends C <presence to='x/Macbeth'><show>dnd</show></presence>");
    world.run("heal A B\nwait 60");
    let told = |((_, to), xml): &((char, char), String)| *to == 'B' && xml.contains("dnd");
    assert!(world.xml.iter().any(told), "{:#?}", world.xml);
}

/// Who has lost their nick to one behind the same link does not take it back when they are seen again.
#[test]
fn a_nick_that_was_lost_is_not_taken_back() {
    let mut world = World::new("A B>A C>B D>B");
    world.run("hm enters B\ncut A B\nbc enters C\nro enters D\nba enters A\nwait 5");
    world.run("cut B C\nheal A B\nwait 300");
    let seen = world.run("heal B C\nwait 60");
    let lost = |line: &&String| line.starts_with("ro: U Bob 303");
    assert_eq!(seen.iter().find(lost), None, "{seen:#?}");
    assert!(
        seen.iter().any(|line| line.starts_with("ro: P Bob~")),
        "{seen:#?}"
    );
}

/// What is said in a session before of events that are none is not believed once it is known that something was lost: they are told once more.
#[test]
fn a_session_that_is_over_takes_no_events_away() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nhm enters B\nwait 60\nhold B A\nhm says B Words, words, words.");
    let said = world.all_taken('B', 'A').remove(0);
    let text = said.to_string();
    let (_, name) = text.split_once("i='").unwrap();
    let (name, _) = name.split_once('\'').unwrap();
    world.run("cut A B");
    let gone = format!(
        "<presence from='{}' to='{}'><fmuc xmlns='http://isode.com/protocol/fmuc'>\
         <gone xmlns='urn:x-fmuc:1' i='{name}-{}'/></fmuc></presence>",
        said.from().unwrap().bare_str(),
        said.to().unwrap(),
        name.split_once('.').unwrap().1,
    );
    world.deliver(('B', 'A'), Stanza::parse(&gone).unwrap());
    let seen = world.run("release B A\nheal A B\nwait 60");
    assert!(
        seen.iter()
            .any(|line| line.starts_with("al: M Hamlet: Words, words, words.")),
        "{seen:#?}"
    );
}

/// A link that was up anew for a moment is not as it was, though the next one is resumed.
#[test]
fn what_was_lost_before_the_last_outage_is_lost() {
    let mut world = World::new("A B>A");
    world.run(
        "al enters A\nhm enters B\nwait 60\nhold B A\nhm leaves B\ncut A B\nwait 60\nrelease B A",
    );
    world.run("heal A B\ncut A B\nwait 1\nresume A B\nwait 60");
    let seen = world.run("ha enters A");
    assert!(!seen.contains(&"ha: P Hamlet".to_owned()), "{seen:#?}");
    assert!(world.nodes[&'A'].children.is_empty());
}

/// Which nodes can be heard of again is told also to a room whose own link was down at that moment, and nothing else was missed.
#[test]
fn who_is_heard_of_again_while_a_link_is_down_is_told_when_it_is_up() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nhm enters B\nmb enters C\nwait 60");
    // C hears that B is cut off; that it is back happens while C's own way stands still.
    world.run(
        "cut A B\nwait 5\nhold A C\nhold C A\ncut A C\nheal A B\nwait 1\nrelease A C\nrelease C A",
    );
    let seen = world.run("resume A C\nwait 600");
    assert!(
        !seen.iter().any(|line| line.starts_with("mb: U Hamlet")),
        "{seen:#?}"
    );
}

/// By which way the room that it has joined hangs on the root is told to a room when its link is up: not into the link that is down.
#[test]
fn the_way_to_the_root_is_not_told_into_a_link_that_is_down() {
    let mut world = World::new("A B>A C>B");
    world.run("cut A B\nhm enters B\nmb enters C\nwait 60\ncut B C\nwait 1");
    let seen = world.run("heal A B\nal enters A\nwait 10");
    assert!(
        !seen.iter().any(|line| line.starts_with("B>C")),
        "{seen:#?}"
    );
    world.run("resume B C\nwait 60");
    let path: Vec<_> = world.nodes[&'C']
        .ancestors
        .iter()
        .map(|node| node.as_str().to_owned())
        .collect();
    let way = [super::address('B'), super::address('A')];
    assert_eq!(path, way.map(|room| room.to_string()));
}

/// On whose behalf a room joins is told of by that; what becomes of them until there is an answer is told like anything else.
#[test]
fn what_becomes_of_the_one_who_is_named_while_a_room_joins_is_told() {
    let mut world = World::new("A B>A");
    world.run("al enters A\ncut A B\nhm enters B\nop enters B\nwait 1\nhold A B\nheal A B\nwait 1");
    world.run("hm sends B <presence to='x/Prince'/>");
    let seen = world.run("release A B\nwait 5");
    assert!(
        seen.iter().any(|line| line.starts_with("al: P Prince")),
        "{seen:#?}"
    );
    assert_eq!(world.roster('A'), ["Alice", "Ophelia", "Prince"]);
}

/// Who is named by a join, and forgotten before there is an answer, is gone: that a room leaves is no event of anybody's.
#[test]
fn who_was_named_by_a_join_and_is_forgotten_is_not_there() {
    let mut world = World::new("A B>A C>B");
    world.run("al enters A\ncut A B\nbc enters C\nhm enters B\nwait 1\nhold A B\nheal A B\nwait 1");
    let mut federation = world.setups[&'C'].federation.clone();
    federation.parents.clear();
    world.handle('C', super::Input::Configure(federation));
    world.settle();
    world.run("release A B\nwait 60");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
}

/// Of one who is forgotten while a link is down nothing is told when it is up, be it that something of them was yet to be told.
#[test]
fn who_is_forgotten_is_not_told_of_any_more() {
    let mut world = World::new("A B>A C>B");
    world.run(
        "al enters A\nhm enters B\nwait 60\nhold B A\nmb enters C\nwait 1\ncut A B\nrelease B A",
    );
    world.run("mb sends C <presence to='x/Macbeth'><show>dnd</show></presence>\nwait 5");
    let mut federation = world.setups[&'C'].federation.clone();
    federation.parents.clear();
    world.handle('C', super::Input::Configure(federation));
    world.settle();
    world.run("heal A B\nwait 600");
    assert_eq!(world.roster('A'), ["Alice", "Hamlet"]);
}

/// That somebody has come, and it is known already that they are gone, is not told to a room that has never heard of either.
#[test]
fn who_is_gone_by_the_time_that_one_hears_of_their_coming_is_not_introduced() {
    let mut world = World::new("A B>A C>A");
    world.run("al enters A\nhm enters B\nwait 60\nhold B A\nop enters B\nop leaves B");
    let mut stanzas = world.all_taken('B', 'A');
    stanzas.reverse();
    let (gone, here) = (stanzas.remove(0), stanzas.remove(0));
    world.deliver(('B', 'A'), gone);
    world.run("mb enters C\nwait 1");
    world.deliver(('B', 'A'), here);
    let seen = world.run("release B A\nwait 60");
    assert!(
        !seen.iter().any(|line| line.contains("P Ophelia")),
        "{seen:#?}"
    );
    assert_eq!(world.roster('C'), ["Alice", "Hamlet", "Macbeth"]);
}

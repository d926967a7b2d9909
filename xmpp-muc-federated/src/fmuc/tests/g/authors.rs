//! Whom a peer may speak for.

use super::{here, line, nothing, own, says, unharmed, world};
use crate::fmuc::tests::{Setup, World, address};
use crate::fmuc::{Dialect, Peer};

/// G4: "refused, counted".
#[test]
fn g4_no_peer_introduces_one_of_ours_or_of_another_peer() {
    let mut world = world(|_, _| {});
    for (dot, jid, why) in [
        (2, "bob@wonderland.lit/w", "it may not speak for them"),
        (3, "alice@wonderland.lit/w", "the occupant is here"),
        (4, "hamlet@denmark.lit/p", "the occupant is another's"),
    ] {
        nothing(
            &mut world,
            &here(jid, "Iago", &format!("<o NS i='1.{dot}'/>")),
            why,
        );
        nothing(&mut world, &here(jid, "Iago", ""), why);
    }
    // It was heard all the same: nothing is missing.
    world.run(&says(
        "othello@cyprus.lit/c",
        "Othello",
        "enough",
        "<o NS i='1.5'/>",
    ));
    unharmed(&mut world);
    // Those further away ask for it once, and hear that it will not come.
    let asked = world.run("wait 600");
    let count = |what: &str| asked.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (count("A own want.2-4"), count("own gone.2-4"), asked.len()),
        (2, 2, 4),
        "{asked:#?}"
    );
    assert!(world.is_quiet());
}

/// G4: those whom it may speak for may be named.
#[test]
fn g4_a_peer_may_be_bound_to_its_own_domains() {
    let mut world = world(|_, setup: &mut Setup| {
        setup.peers(|peer| {
            if peer.jid.as_str() == address('F').as_str() {
                let own = "cyprus.lit".parse().unwrap();
                peer.speak_for = crate::fmuc::SpeakFor::Only(vec![own]);
            }
        });
    });
    nothing(
        &mut world,
        &here("viola@illyria.lit/s", "Viola", ""),
        "it may not speak for them",
    );
    assert!(!world.run(&here("iago@cyprus.lit/c", "Iago", "")).is_empty());
}

/// G5: what is said in the name of one behind another link.
#[test]
fn g5_nobody_is_quoted_by_another_peer() {
    let mut world = world(|_, _| {});
    for (dot, jid, why) in [
        (2, "hamlet@denmark.lit/p", "the occupant is another's"),
        (3, "alice@wonderland.lit/w", "the occupant is here"),
        (4, "bob@wonderland.lit/w", "it may not speak for them"),
    ] {
        nothing(
            &mut world,
            &says(jid, "Hamlet", "I confess", &format!("<o NS i='1.{dot}'/>")),
            why,
        );
    }
    let private = line(
        'F',
        'A',
        "<message type='chat' from='FROM/Hamlet' to='TO/Alice'><body>psst</body><fmuc from='hamlet@denmark.lit/p'/></message>",
    );
    assert_eq!(world.run(&private), [""; 0]);
    let subject = line(
        'F',
        'A',
        "<message type='groupchat' from='FROM/Hamlet' to='TO'><subject>mine</subject><fmuc from='hamlet@denmark.lit/p'/></message>",
    );
    assert_eq!(world.run(&subject), [""; 0]);
    unharmed(&mut world);
}

/// G5: somebody who is not there (any more) is not heard under the nick of one who is.
#[test]
fn g5_nobody_borrows_the_nick_of_another() {
    let mut world = world(|_, _| {});
    let seen = world.run(&says(
        "iago@cyprus.lit/c",
        "Alice",
        "off with their heads",
        "<o NS i='1.2'/>",
    ));
    let heard: Vec<_> = seen.iter().filter(|line| line.contains(": M ")).collect();
    assert_eq!(heard.len(), 3, "{seen:#?}");
    assert!(
        heard.iter().all(|line| line.contains(": M Alice~")),
        "{seen:#?}"
    );
}

/// G6: history in which ours have said something.
#[test]
fn g6_history_does_not_say_what_ours_have_said() {
    let mut world = World::with("B>F", |_, setup: &mut Setup| {
        setup.peers(|peer: &mut Peer| peer.dialect = Dialect::Xep);
    });
    world.run("hm enters B\nhm says B words");
    let said = |jid: &str, nick: &str, text: &str| {
        let delay = "<delay xmlns='urn:xmpp:delay' stamp='2012-04-19T15:00:00Z'/>";
        line(
            'F',
            'B',
            &format!(
                "<message type='groupchat' from='FROM/{nick}' to='TO'><body>{text}</body>{delay}<fmuc from='{jid}'/></message>"
            ),
        )
    };
    let end = line(
        'F',
        'B',
        "<message type='groupchat' from='FROM' to='TO'><subject/><fmuc from='othello@cyprus.lit/c'/></message>",
    );
    let burst = [
        said("ophelia@denmark.lit/p", "Ophelia", "I did it"),
        said("hamlet@denmark.lit/p", "Hamlet", "so did I"),
        said("viola@illyria.lit/s", "Viola", "I saw it"),
        end,
    ];
    let seen = world.run(&burst.concat());
    let heard: Vec<_> = seen.iter().filter(|line| line.contains(": M ")).collect();
    assert_eq!(heard, ["hm: M Viola: I saw it delay"]);
    // Who has said something once is not there therefore.
    assert_eq!(world.roster('B'), ["Hamlet"]);
    assert!(world.is_quiet());
}

/// G6: no more of it than is wanted, and the newest.
#[test]
fn g6_history_is_bounded() {
    let mut world = World::with("B>F", |_, setup: &mut Setup| {
        setup.settings.limits.history = 2;
        setup.peers(|peer: &mut Peer| peer.dialect = Dialect::Xep);
    });
    world.run("hm enters B");
    let said = |stamp: &str| {
        let delay = format!("<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>");
        line(
            'F',
            'B',
            &format!(
                "<message type='groupchat' from='FROM/Viola' to='TO'><body>{stamp}</body>{delay}<fmuc from='viola@illyria.lit/s'/></message>"
            ),
        )
    };
    let end = line(
        'F',
        'B',
        "<message type='groupchat' from='FROM' to='TO'><subject/><fmuc from='othello@cyprus.lit/c'/></message>",
    );
    let burst = [
        said("2012-04-19T15:00:00Z"),
        said("2012-04-19T15:01:00Z"),
        said("1987-01-01T00:00:00Z"),
        end,
    ];
    let seen = world.run(&burst.concat());
    let heard: Vec<_> = seen.iter().filter(|line| line.contains(": M ")).collect();
    assert_eq!(heard, ["hm: M Viola: 2012-04-19T15:01:00Z delay"]);
}

/// G7: what a room that has joined says late is said now, with the time that it gives; nothing is of the future, or of another age.
#[test]
fn g7_what_comes_late_comes_now() {
    let mut world = world(|_, _| {});
    let said = |dot: u32, stamp: &str| {
        line(
            'F',
            'A',
            &format!(
                "<message type='groupchat' from='FROM/Othello' to='TO'><body>{dot}</body><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/><fmuc from='othello@cyprus.lit/c'><o NS i='1.{dot}'/></fmuc></message>"
            ),
        )
    };
    let heard = |seen: Vec<String>| {
        seen.iter()
            .filter(|line| line.starts_with("al: M") && line.ends_with(" delay"))
            .count()
    };
    assert_eq!(heard(world.run(&said(2, "2012-04-19T15:00:00Z"))), 1);
    assert_eq!(heard(world.run(&said(3, "2099-01-01T00:00:00Z"))), 1);
    assert_eq!(heard(world.run(&said(4, "1970-01-01T00:00:00Z"))), 0);
    let history: Vec<_> = world.run("ha enters A");
    let at = |text: &str| {
        history
            .iter()
            .position(|line| line.starts_with("ha: M") && line.contains(text))
    };
    assert!(at(": 2 delay") < at(": 3 delay"), "{history:#?}");
    // The archive has the time of the message, and none that is yet to come.
    let now = world.now.utc;
    assert!(world.nodes[&'A'].log.iter().all(|entry| entry.at <= now));
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// G10: "missing ⇒ drop; bare ⇒ unique match or drop; invalid JID ⇒ drop"
#[test]
fn g10_who_is_not_named_rightly_is_nobody() {
    let mut world = world(|_, _| {});
    for from in [
        "",
        "from=''",
        "from='@'",
        "from='othello@cyprus.lit'",
        "from='a@b@c/d/e'",
        "from=' '",
    ] {
        for stanza in [
            "<presence from='FROM/Iago' to='TO'><fmuc ATTR/></presence>",
            "<presence type='unavailable' from='FROM/Othello' to='TO'><fmuc ATTR/></presence>",
            "<message type='groupchat' from='FROM/Othello' to='TO'><body>x</body><fmuc ATTR/></message>",
            "<message type='chat' from='FROM/Othello' to='TO/Alice'><body>x</body><fmuc ATTR/></message>",
        ] {
            let script = line('F', 'A', &stanza.replace("ATTR", from));
            assert_eq!(world.run(&script), [""; 0], "{script}");
        }
    }
    unharmed(&mut world);
    assert!(world.is_quiet());
}

/// Codes that a room says of itself, and the name of somebody who has nothing to do with it.
#[test]
fn g5_a_departure_says_nothing_but_how_they_go() {
    let mut world = world(|_, _| {});
    let gone = line(
        'F',
        'A',
        "<presence type='unavailable' from='FROM/Othello' to='TO'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'><actor nick='Alice'/></item><status code='110'/><status code='307'/><status code='170'/></x><fmuc from='othello@cyprus.lit/c'><o NS i='1.2'/><act NS by='alice@wonderland.lit/w' nick='Alice'/></fmuc></presence>",
    );
    world.run(&here("iago@cyprus.lit/c", "Iago", ""));
    let seen = world.run(&gone);
    assert!(seen.contains(&"al: U Othello 307".to_owned()), "{seen:#?}");
    let event = world.nodes[&'A'].log.iter().last().expect("it is kept");
    let crate::fmuc::event::Event::Gone { parting, .. } = &event.event else {
        panic!("{event:?}");
    };
    assert_eq!((&parting.codes[..], &parting.actor), (&[307][..], &None));
}

/// What is refused is refused once: a nick that is none was passed on without one, and two rooms refused it to each other without end.
#[test]
fn g10_nobody_without_a_nick_is_passed_on() {
    let mut world = world(|_, _| {});
    let nobody = here("iago@cyprus.lit/c", "&#xa0;", "");
    assert!(world.run(&nobody).len() < 10);
    let refused = own("").replace("<fmuc ", "<fmuc from='viola@illyria.lit/s' ");
    assert_eq!(world.run(&refused), [""; 0]);
    unharmed(&mut world);
}

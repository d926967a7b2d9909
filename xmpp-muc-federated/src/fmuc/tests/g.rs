//! Peers that lie, or say too much: the scenarios G of the design. `F` is such a peer: there is no node of it in these worlds, and what it says stands in the script.

use super::{Setup, World, address};
use crate::fmuc::{Accept, Dialect, Input, Peer};
use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;

/// What is so for all names: of a node in a life that has begun when the worlds do.
const EPOCH: &str = "m2qhs0";

/// A line of a script: this stanza goes from one room to another. `FROM` and `TO` are their addresses, `NS` is our namespace, `X` what makes a join.
fn line(from: char, to: char, stanza: &str) -> String {
    let stanza = stanza
        .replace("<X/>", "<x xmlns='http://jabber.org/protocol/muc'/><x xmlns='http://jabber.org/protocol/muc#user'><item/></x>")
        .replace("<fmuc", &format!("<fmuc xmlns='{}'", crate::ns::FMUC))
        .replace("NS", &format!("xmlns='{}'", crate::ns::SYNC))
        .replace("FROM", address(from).as_str())
        .replace("TO", address(to).as_str());
    format!("{from}> {to} {stanza}\n")
}

/// F joins A with Othello, and speaks our extension: its own events have the name 1.
fn join(session: &str) -> String {
    let stanza = format!(
        "<presence from='FROM/Othello' to='TO/Othello'><X/><fmuc from='othello@cyprus.lit/c'><join NS v='1' m='pp' s='{session}'><h a='1' n='FROM' e='{EPOCH}' s='0'/></join><o NS i='1.1'/></fmuc></presence>"
    );
    line('F', 'A', &stanza)
}

/// F says that somebody is there.
fn here(jid: &str, nick: &str, extensions: &str) -> String {
    let stanza = format!(
        "<presence from='FROM/{nick}' to='TO'><fmuc from='{jid}'>{extensions}</fmuc></presence>"
    );
    line('F', 'A', &stanza)
}

/// F says that somebody has said this.
fn says(jid: &str, nick: &str, text: &str, extensions: &str) -> String {
    let stanza = format!(
        "<message type='groupchat' from='FROM/{nick}' to='TO'><body>{text}</body><fmuc from='{jid}'>{extensions}</fmuc></message>"
    );
    line('F', 'A', &stanza)
}

/// F says something in its own name.
fn own(extensions: &str) -> String {
    line(
        'F',
        'A',
        &format!("<presence from='FROM' to='TO'><fmuc>{extensions}</fmuc></presence>"),
    )
}

/// A with Alice, B with Hamlet and D with Rosalind that have joined it, and F that has.
fn world(change: impl Fn(char, &mut Setup)) -> World {
    let mut world = World::with("A B>A D>A", change);
    world.run("al enters A\nhm enters B\nro enters D");
    world.run(&join("s1"));
    world.notices.clear();
    world
}

/// Nothing comes of this, and an operator hears of it.
fn nothing(world: &mut World, script: &str, notice: &str) {
    assert_eq!(world.run(script), [""; 0], "{script}");
    let told = world.notices.iter().any(|told| told.contains(notice));
    assert!(told, "{script}: {:?}", world.notices);
    world.notices.clear();
}

/// All is as it was: everybody hears everybody.
fn unharmed(world: &mut World) {
    for (script, hears) in [
        ("al says A one", ["al", "hm", "ro"]),
        ("hm says B two", ["al", "hm", "ro"]),
        ("ro says D three", ["al", "hm", "ro"]),
    ] {
        let seen = world.run(script);
        for who in hears {
            let heard = seen
                .iter()
                .filter(|line| line.starts_with(&format!("{who}: M ")));
            assert_eq!(heard.count(), 1, "{script} {who}: {seen:#?}");
        }
    }
    for room in ['A', 'B', 'D'] {
        let roster = world.roster(room);
        for nick in ["Alice", "Hamlet", "Rosalind"] {
            assert!(roster.iter().any(|one| one == nick), "{room} {roster:?}");
        }
    }
}

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

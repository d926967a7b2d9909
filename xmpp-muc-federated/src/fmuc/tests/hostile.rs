//! A peer that says anything at all, well-formed or not, on either side of a link: nothing breaks, nothing grows, and nobody else is harmed.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use super::{Setup, World, address};
use crate::fmuc::Fmuc;
use crate::fmuc::crowd::{Sight, Via};
use xmpp_core::stanza::Stanza;
use xmpp_core::xml::Element;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// F says this to A, with the names of the rooms to be put in.
    Says(String),
    /// Something that happens elsewhere, in the world's language.
    Happens(&'static str),
}

const JIDS: &[&str] = &[
    "othello@cyprus.lit/c",
    "othello@cyprus.lit/c",
    "iago@cyprus.lit/c",
    "iago@cyprus.lit/c",
    "hamlet@denmark.lit/p",
    "ophelia@denmark.lit/p",
    "alice@wonderland.lit/w",
    "bob@wonderland.lit/w",
    "harbour@muc.cyprus.lit",
    "othello@cyprus.lit",
    "cyprus.lit",
    "@",
    "",
];
const NICKS: &[&str] = &[
    "/Othello",
    "/Iago",
    "/Alice",
    "/ALICE",
    "/Hamlet",
    "/Ｈａｍｌｅｔ",
    "/Bob",
    "/~",
    "/&#xa0;",
    "",
];
const NODES: &[&str] = &[
    "AAA",
    "BBB",
    "FFF",
    "x@x.example",
    "y@y.example",
    "nobody@",
    "",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "zz",
    "m2qhs0",
    "m2qlmw",
    "m2smxs",
    "3w5e11264sgsf",
    "3w5e11264sgsg",
    "-1",
    "",
];
const TEXTS: &[&str] = &[
    "",
    "forged",
    "Hamlet",
    "Alice",
    "othello@cyprus.lit/c",
    "hamlet@denmark.lit/p",
    "alice@wonderland.lit/w",
    "s1",
    "s2",
];
const CHILDREN: &[&str] = &[
    "<body>forged</body>",
    "<subject>forged</subject>",
    "<subject/>",
    "<thread>t</thread>",
    "<show>dnd</show>",
    "<active xmlns='http://jabber.org/protocol/chatstates'/>",
    "<delay xmlns='urn:xmpp:delay' stamp='2012-04-19T15:00:00Z'/>",
    "<delay xmlns='urn:xmpp:delay' stamp='9999-12-31T23:59:59Z'/>",
    "<delay xmlns='urn:xmpp:delay' stamp='0000-01-01T00:00:00Z'/>",
    "<x xmlns='urn:xmpp:delay' stamp='20120419T16:00:44'/>",
    "<x xmlns='http://jabber.org/protocol/muc'/>",
    "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='-1'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator' nick='Alice'/><status code='110'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item role='none'><actor nick='Alice'/><reason>r</reason></item><status code='307'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><item role='none' nick='Alice'/><status code='303'/></x>",
    "<x xmlns='http://jabber.org/protocol/muc#user'><destroy/></x>",
    "<fmuc xmlns='http://isode.com/protocol/fmuc' from='alice@wonderland.lit/w'/>",
    "<o xmlns='urn:x-fmuc:1' i='1.1'/>",
    "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
];

/// An element of ours, or one that is nearly one.
fn extension() -> impl Strategy<Value = String> {
    let number = || select(NUMBERS);
    let have = (number(), select(NODES), number(), number());
    let have = have.prop_map(|(a, n, e, s)| format!("<h a='{a}' n='{n}' e='{e}' s='{s}'/>"));
    let hello = (
        prop::collection::vec(have, 0..4),
        select(TEXTS),
        select(&["pp", "pr", "xx"][..]),
        any::<bool>(),
    );
    prop_oneof![
            1 => hello.prop_map(|(have, s, m, join)| {
                let (name, f) = if join {
                    ("join", " f='1'")
                } else {
                    ("sync", " reset='1'")
                };
                format!(
                    "<{name} NS v='1' m='{m}' s='{s}'{f}>{}<p>AAA x@x.example</p></{name}>",
                    have.concat()
                )
            }),
            1 => (number(), select(NODES), number())
                .prop_map(|(a, n, e)| format!("<a NS a='{a}' n='{n}' e='{e}'/>")),
            1 => (number(), number()).prop_map(|(a, s)| format!("<o NS i='{a}.{s}'/>")),
    // A name as it is used, of a node that may be another's.
            4 => (select(NODES), select(&["m2qhs0", "m2qlmw", "m2smxs", "3w5e11264sgsf"][..]), number()).prop_map(|(n, e, s)| {
                format!("<a NS a='7' n='{n}' e='{e}'/><o NS i='7.{s}'/>")
            }),
                    1 => (number(), number()).prop_map(|(a, s)| format!("<t NS s='{a}.{s}'/>")),
            1 => (select(&["want", "gone"][..]), number(), number(), number())
                .prop_map(|(name, a, one, other)| format!("<{name} NS i='{a}.{one}-{other}'/>")),
            1 => (select(&["unreach", "reach"][..]), number())
                .prop_map(|(name, a)| format!("<{name} NS a='{a}'/>")),
            1 => (select(TEXTS), select(TEXTS))
                .prop_map(|(nick, from)| format!("<collision NS nick='{nick}' from='{from}'/>")),
            1 => (select(TEXTS), select(TEXTS))
                .prop_map(|(by, nick)| format!("<act NS by='{by}' nick='{nick}'/>")),
            1 => select(NODES).prop_map(|node| format!("<path NS>FFF {node}</path>")),
            1 => select(TEXTS).prop_map(|text| format!("<left NS s='{text}'/>")),
            1 => select(TEXTS).prop_map(|text| format!("<refuse NS cond='{text}'/>")),
            1 => select(
                &[
                    "<synced NS/>",
                    "<leave NS/>",
                    "<rejoin NS/>",
                    "<other NS/>",
                    "<left/>",
                    "<reject>forged</reject>"
                ][..]
            )
            .prop_map(str::to_owned),
        ]
}

/// A stanza of F: most of them are what rooms say, with the name of an event that can be the next one.
fn stanza() -> impl Strategy<Value = String> {
    let kind = select(
        &[
            ("presence", ""),
            ("presence", ""),
            ("presence", "unavailable"),
            ("presence", "error"),
            ("presence", "subscribe"),
            ("message", "groupchat"),
            ("message", "groupchat"),
            ("message", "chat"),
            ("message", "error"),
            ("message", ""),
            ("iq", "get"),
        ][..],
    );
    let join = "<a NS a='1' n='FFF' e='m2qhs0'/>";
    let extensions = prop::collection::vec(extension(), 0..4);
    let extensions = (any::<Option<u8>>(), extensions).prop_map(move |(dot, extensions)| {
        let dot = dot.map(|dot| {
            format!(
                "{join}<o NS i='1.{}'/>",
                crate::fmuc::base36::write(dot.into())
            )
        });
        dot.unwrap_or_default() + &extensions.concat()
    });
    let children = prop::collection::vec(select(CHILDREN), 0..4);
    (
        kind,
        select(JIDS),
        select(NICKS),
        select(NICKS),
        extensions,
        children,
    )
        .prop_map(|((name, kind), jid, from, to, extensions, children)| {
            let mut text = format!("<{name} id='1' from='FFF{from}' to='AAA{to}'");
            if !kind.is_empty() {
                let _ = write!(text, " type='{kind}'");
            }
            let from = if jid.is_empty() {
                String::new()
            } else {
                format!(" from='{jid}'")
            };
            let _ = write!(
                text,
                "><fmuc xmlns='{}'{from}>{extensions}</fmuc>{}</{name}>",
                crate::ns::FMUC,
                children.concat()
            );
            text
        })
}

/// One of F by which it joins, or is joined.
fn opening() -> impl Strategy<Value = String> {
    let join = (select(&["s1", "s2", "s3"][..]), any::<u8>()).prop_map(|(session, dot)| {
        let dot = crate::fmuc::base36::write(dot.into());
        format!(
            "<presence from='FFF/Othello' to='AAA/Othello'><x xmlns='{}'/><x xmlns='{}'><item/></x><fmuc xmlns='{}' from='othello@cyprus.lit/c'><join NS v='1' m='pp' s='{session}'><h a='1' n='FFF' e='m2qhs0' s='0'/></join><o NS i='1.{dot}'/></fmuc></presence>",
            crate::ns::MUC,
            crate::ns::USER,
            crate::ns::FMUC
        )
    });
    let sync = format!(
        "<presence from='FFF' to='AAA'><fmuc xmlns='{}'><sync NS v='1' m='pp' s='SESSION'><h a='1' n='FFF' e='m2qhs0' s='7'/><p>FFF</p></sync></fmuc></presence>",
        crate::ns::FMUC
    );
    let subject = format!(
        "<message type='groupchat' from='FFF/Othello' to='AAA'><subject/><fmuc xmlns='{}' from='othello@cyprus.lit/c'/></message>",
        crate::ns::FMUC
    );
    prop_oneof![join, Just(sync), Just(subject)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => stanza().prop_map(Step::Says),
        3 => opening().prop_map(Step::Says),
        1 => select(&["wait 1", "wait 61", "wait 200", "cut A F", "heal A F", "resume A F", "al says A true", "hm says B true", "al subject A true"][..]).prop_map(Step::Happens),
    ]
}

/// The nicks of Alice and Hamlet.
fn ours(world: &World) -> Vec<String> {
    let all = world.nodes[&'A'].crowd.iter();
    let ours = all.filter(|known| {
        ["alice@wonderland.lit/w", "hamlet@denmark.lit/p"].contains(&known.occupant.jid.as_str())
    });
    ours.map(|known| known.occupant.nick.clone()).collect()
}

/// The session in which A has joined F, if it has.
fn session(world: &World) -> String {
    let parent = world.nodes[&'A'].parent.as_ref();
    parent.map_or_else(String::new, |parent| parent.link.session.clone())
}

fn take(world: &mut World, step: Step) -> Result<Vec<String>, TestCaseError> {
    let text = match step {
        Step::Happens(line) => return Ok(world.run(line)),
        Step::Says(text) => text,
    };
    let text = text
        .replace("NS", &format!("xmlns='{}'", crate::ns::SYNC))
        .replace("SESSION", &session(world))
        .replace("AAA", address('A').as_str())
        .replace("BBB", address('B').as_str())
        .replace("FFF", address('F').as_str());
    // What is no stanza does not come so far.
    let Ok(stanza) = Stanza::parse(&text) else {
        return Ok(Vec::new());
    };
    world.handle('A', crate::fmuc::Input::Stanza(stanza));
    world.settle();
    let seen = std::mem::take(&mut world.seen);
    // No stanza is worth more than a burst: A and B have said little, F has little room.
    prop_assert!(seen.len() <= 200, "{} for {text}", seen.len());
    Ok(seen)
}

/// What is so whatever F says. (That no client ever sees what is between rooms the world itself makes sure of.)
fn check(
    world: &World,
    nicks: &[String],
    seen: &[String],
    parent: bool,
) -> Result<(), TestCaseError> {
    let node = &world.nodes[&'A'];
    let limits = &node.settings.limits;
    let f = match parent {
        true => Via::Parent,
        false => Via::Child(address('F')),
    };
    prop_assert!(node.crowd.behind(&f).count() <= limits.occupants);
    prop_assert!(node.routes.values().filter(|via| **via == f).count() <= limits.nodes);
    prop_assert!(node.have.vector().iter().len() <= 2 + 2 * limits.nodes);
    prop_assert!(node.log.len() <= node.settings.log.events);
    prop_assert!(node.children.len() <= 2);
    for (who, via) in [
        ("alice@wonderland.lit/w", Via::Here),
        ("hamlet@denmark.lit/p", Via::Child(address('B'))),
    ] {
        let known = node.crowd.get(&who.parse().expect("a name"));
        prop_assert!(
            known.is_some_and(|known| known.via == via && known.sight == Sight::Shown),
            "{who}: {known:?}"
        );
    }
    // Who had a nick before and has it still is not quoted, and does not go. (The room that was joined may have it taken.)
    for nick in nicks.iter().filter(|nick| ours(world).contains(nick)) {
        for line in seen {
            let what = line.split_once(": ").map_or("", |(_, what)| what);
            for forged in [format!("M {nick}: forged"), format!("PM {nick}: forged")] {
                prop_assert!(!what.starts_with(&forged), "{line}");
            }
            let gone = format!("U {nick}");
            let gone = what
                .strip_prefix(&gone)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
            prop_assert!(!gone, "{line}");
        }
    }
    Ok(())
}

fn play(parent: bool, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let rooms = if parent { "A>F B>A" } else { "A B>A" };
    let mut world = World::with(rooms, |_, setup: &mut Setup| {
        setup.settings.limits.occupants = 5;
        setup.settings.limits.nodes = 5;
        setup.settings.log.events = 50;
        setup.peers(|peer| peer.honour_kicks = peer.jid.as_str() != address('F').as_str());
    });
    world.run("al enters A\nhm enters B");
    for step in steps {
        let nicks = ours(&world);
        let seen = take(&mut world, step)?;
        check(&world, &nicks, &seen, parent)?;
    }
    // Whatever it was, those two still hear each other, once.
    world.run("wait 61");
    for (line, who) in [
        ("al says A after all", "hm: M "),
        ("hm says B after all", "al: M "),
    ] {
        let seen = world.run(line);
        let heard = seen
            .iter()
            .filter(|line| line.starts_with(who) && line.ends_with(": after all"));
        prop_assert_eq!(heard.count(), 1, "{}: {:#?}", line, seen);
    }
    Ok(())
}

proptest! {
    #[test]
    fn g10_what_is_read_is_written(extensions in prop::collection::vec(extension(), 0..6)) {
        let text = format!("<fmuc xmlns='{}'>{}</fmuc>", crate::ns::FMUC, extensions.concat());
        let text = text.replace("NS", &format!("xmlns='{}'", crate::ns::SYNC));
        if let Ok(element) = Element::parse(&text)
            && let Ok(read) = Fmuc::read(&element)
        {
            prop_assert_eq!(Fmuc::read(&read.to_element()), Ok(read));
        }
    }

    #[test]
    fn g_a_room_that_has_joined_may_say_anything(steps in prop::collection::vec(step(), 1..40)) {
        play(false, steps)?;
    }

    #[test]
    fn g_a_room_that_was_joined_may_say_anything(steps in prop::collection::vec(step(), 1..40)) {
        play(true, steps)?;
    }
}

//! What it costs (§6.H). Bytes are those of the stanzas as XML: what compression makes of them depends on the stream that they go over.

use xmpp_core::stanza::Stanza;

use super::{Dialect, LinkProfile, World, profile, speaking};

/// H1.
#[test]
fn h1_a_room_without_occupants_costs_nothing() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nal says A Is anybody there?\nwait 86400\nal says A No.");
    assert_eq!(world.bytes.get(&('A', 'B')), None);
    assert_eq!(world.bytes.get(&('B', 'A')), None);
    assert!(world.is_quiet());
}

/// H2: keeping streams alive is theirs.
#[test]
fn h2_rooms_that_are_silent_cost_nothing() {
    for dialect in [Dialect::Ext, Dialect::Xep] {
        let mut world = World::with("A B>A C>B", speaking(dialect, LinkProfile::Lan));
        world.run("al enters A\nhm enters B\nmb enters C\nal says A hi");
        let bytes = world.bytes.clone();
        world.run("wait 86400");
        assert_eq!(world.bytes, bytes);
        assert!(world.is_quiet());
    }
}

/// H3.
#[test]
fn h3_a_message_is_one_stanza_however_many_there_are() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A\nhm enters B\nop enters B\nbb enters B\nmb enters B");
    world.bytes.clear();
    let seen = world.run(&format!(
        "al sends A {}",
        message("Curiouser and curiouser! Now I'm opening out like.")
    ));
    let links = seen.iter().filter(|line| line.contains('>'));
    assert_eq!(links.count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|line| line.contains(": M ")).count(), 5);
    within(world.bytes[&('A', 'B')], 320);
    // As one more of many, all in one stream.
    for said in WARM {
        world.run(&format!("al sends A {}", message(said)));
    }
    let all = packed(&world);
    world.xml.pop();
    let last = all - packed(&world);
    within(last, 60);
}

/// H4: ten here, ten there, and twenty messages.
#[test]
fn h4_a_join_tells_everybody_and_everything_once() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    crowd(&mut world, 'A', "wonderland");
    for at in 0..30 {
        world.run(&format!(
            "al sends A {}",
            message(&format!(
                "{at}: fifty characters are what one says at a time."
            ))
        ));
    }
    world.seen.clear();
    world.xml.clear();
    crowd(&mut world, 'B', "denmark");
    let seen = std::mem::take(&mut world.seen);
    let told = |what: &str| seen.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(
        (
            told("A>B P("),
            told("A>B M("),
            told("B>A J("),
            told("B>A P(")
        ),
        (10, 20, 1, 9)
    );
    within(world.bytes[&('A', 'B')] + world.bytes[&('B', 'A')], 13_500);
    within(packed(&world), 2500);
}

/// H5.
#[test]
fn h5_an_outage_in_which_nothing_was_said_costs_three_stanzas() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    crowd(&mut world, 'A', "wonderland");
    crowd(&mut world, 'B', "denmark");
    world.bytes.clear();
    world.xml.clear();
    world.seen.clear();
    let seen = world.run("cut A B\nwait 1\nheal A B");
    assert_eq!(
        seen,
        [
            "B>A J(denmark10@denmark.lit/client as denmark10) join o.10",
            "A>B own sync",
            "A>B own synced"
        ]
    );
    within(world.bytes[&('A', 'B')] + world.bytes[&('B', 'A')], 1200);
    // The design has 500, without a digest of who is on either side.
    within(packed(&world), 530);
}

/// H6: how long what goes over a link may wait for more is its link's; the rest is the task's that gathers it.
#[test]
fn h6_what_is_sent_may_wait_for_more_as_long_as_its_link_says() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A\nhm enters B");
    let batch = LinkProfile::Sat.timers().batch;
    world.sent.clear();
    for at in 0..10 {
        world.run(&format!("hm says B {at}"));
    }
    assert_eq!(world.sent.len(), 10);
    let first = world.sent[0];
    assert!(world.sent.iter().all(|at| *at < first + batch));
}

/// H7.
#[test]
fn h7_what_is_said_of_a_message_finds_it_at_both_ends() {
    for link in [LinkProfile::Lan, LinkProfile::Sat] {
        for dialect in [Dialect::Auto, Dialect::Xep] {
            let mut world = World::with("A B>A C>B", speaking(dialect, link));
            world.run("al enters A\nhm enters B\nmb enters C");
            let long = "9c1e5cbe-0d2c-4d0c-8ad8-b1b4d1e8c1f2";
            let seen = world.run(&format!(
                "mb sends C <message type='groupchat' id='{long}'><body>Toil</body></message>"
            ));
            assert_eq!(seen.iter().filter(|line| line.contains(": M ")).count(), 3);
            let said: Vec<_> = ["al", "hm", "mb"].map(|who| ids(&world, who)).into();
            let short = link == LinkProfile::Sat && dialect == Dialect::Auto;
            assert_eq!(said[0].0 == long, !short);
            // Everybody says something of it, as they know it.
            for (who, (id, own)) in ["al", "hm", "mb"].into_iter().zip(&said) {
                let room = ["A", "B", "C"][["al", "hm", "mb"]
                    .iter()
                    .position(|one| *one == who)
                    .unwrap()];
                let children = format!(
                    "<body>!</body><replace xmlns='urn:xmpp:message-correct:0' id='{id}'/><reactions xmlns='urn:xmpp:reactions:0' id='{own}'/>\
                     <reply xmlns='urn:xmpp:reply:0' id='{own}' to='{}/Macbeth'/><retract xmlns='urn:xmpp:message-retract:1' id='{own}'/>",
                    super::address(room.chars().next().unwrap())
                );
                world.run(&format!("{who} sends {room} <message type='groupchat' id='{who}-a-long-id-as-clients-give'>{children}</message>"));
                for (other, (id, own)) in ["al", "hm", "mb"].into_iter().zip(&said) {
                    let heard = &world.last[other];
                    let of = |name, ns| {
                        heard
                            .payload()
                            .child(name, ns)
                            .unwrap()
                            .attr("id")
                            .unwrap()
                            .into_owned()
                    };
                    let about = format!("{link:?} {dialect:?} {who} {other}: {heard}");
                    assert_eq!(of("replace", "urn:xmpp:message-correct:0"), *id, "{about}");
                    assert_eq!(of("reactions", "urn:xmpp:reactions:0"), *own, "{about}");
                    assert_eq!(of("retract", "urn:xmpp:message-retract:1"), *own, "{about}");
                    assert_eq!(of("reply", "urn:xmpp:reply:0"), *own, "{about}");
                    let reply = heard.payload().child("reply", "urn:xmpp:reply:0").unwrap();
                    let from = heard.from().unwrap().to_bare();
                    assert_eq!(
                        reply.attr("to").unwrap(),
                        format!("{from}/Macbeth"),
                        "{about}"
                    );
                }
            }
        }
    }
}

/// H7: an id that no room knows stays.
#[test]
fn h7_a_reference_to_what_is_not_known_stays() {
    let mut world = World::with("A B>A", profile(LinkProfile::Sat));
    world.run("al enters A\nhm enters B");
    world.run("hm sends B <message type='groupchat'><reactions xmlns='urn:xmpp:reactions:0' id='from-before-the-flood'/></message>");
    let heard = &world.last["al"];
    let reactions = heard
        .payload()
        .child("reactions", "urn:xmpp:reactions:0")
        .unwrap();
    assert_eq!(reactions.attr("id").unwrap(), "from-before-the-flood");
}

/// H8, and what rooms get over other links.
#[test]
fn h8_history_is_told_as_the_profile_has_it() {
    for (link, told) in [
        (LinkProfile::Lan, 20),
        (LinkProfile::Sat, 20),
        (LinkProfile::Hf, 0),
    ] {
        for dialect in [Dialect::Auto, Dialect::Xep] {
            let mut world = World::with("A B>A", speaking(dialect, link));
            world.run("al enters A");
            for at in 0..25 {
                world.run(&format!("al says A {at}"));
            }
            let seen = world.run("hm enters B\nwait 3600");
            let history = seen.iter().filter(|line| line.starts_with("A>B M("));
            assert_eq!(history.count(), told, "{link:?} {dialect:?}");
            assert_eq!(world.roster('B'), ["Alice", "Hamlet"]);
            assert!(world.is_quiet());
        }
    }
}

/// H8: a room that is joined over a wide link and joins over it tells one on a narrow link nothing of the time before, also after an outage.
#[test]
fn h8_history_does_not_go_further_than_it_is_wanted() {
    let mut world = World::with("A B>A C>B", |_, setup| {
        setup.peers(|peer| {
            if peer.jid == super::address('C').as_str() {
                peer.link = Some(LinkProfile::Hf);
            }
        });
    });
    world.run("al enters A");
    for at in 0..25 {
        world.run(&format!("al says A {at}"));
    }
    world.play(
        "
        mb enters C
            mb: P Macbeth 110
            mb: S
            C>B J(mb as Macbeth) join o.1
            B>C own sync
            B>C own synced
            B>A J(mb as Macbeth) join o.1
            al: P Macbeth
            A>B own sync
            A>B P(al as Alice) o.1
            A>B M(al as Alice: 5) delay o.7
            A>B M(al as Alice: 6) delay o.8
            A>B M(al as Alice: 7) delay o.9
            A>B M(al as Alice: 8) delay o.10
            A>B M(al as Alice: 9) delay o.11
            A>B M(al as Alice: 10) delay o.12
            A>B M(al as Alice: 11) delay o.13
            A>B M(al as Alice: 12) delay o.14
            A>B M(al as Alice: 13) delay o.15
            A>B M(al as Alice: 14) delay o.16
            A>B M(al as Alice: 15) delay o.17
            A>B M(al as Alice: 16) delay o.18
            A>B M(al as Alice: 17) delay o.19
            A>B M(al as Alice: 18) delay o.20
            A>B M(al as Alice: 19) delay o.21
            A>B M(al as Alice: 20) delay o.22
            A>B M(al as Alice: 21) delay o.23
            A>B M(al as Alice: 22) delay o.24
            A>B M(al as Alice: 23) delay o.25
            A>B M(al as Alice: 24) delay o.26
            A>B own synced
            B>C own path(2)
            B>C P(al as Alice) o.1
            B>C own gone.1-26
            mb: P Alice
    ",
    );
    assert!(world.is_quiet());
    world.play(
        "
        al says A now
            al: M Alice: now
            A>B M(al as Alice: now) o.27
            B>C M(al as Alice: now) o.27
            mb: M Alice: now
        cut B C
            B>A own unreach
        al says A meanwhile
            al: M Alice: meanwhile
            A>B M(al as Alice: meanwhile) o.28
        heal B C
            C>B J(mb as Macbeth) join o.1
            B>C own sync
            B>C M(al as Alice: meanwhile) delay o.28
            B>C own synced
            B>A own reach
            mb: M Alice: meanwhile delay
    ",
    );
}

/// So many enter a room, each with what clients say of themselves.
fn crowd(world: &mut World, room: char, domain: &str) {
    let seen = std::mem::take(&mut world.seen);
    let mut all = seen;
    if room == 'A' {
        all.extend(world.run("al enters A"));
    }
    let first = usize::from(room == 'A');
    for at in 1 + first..=10 {
        let nick = format!("{domain}{at}");
        let to = super::address(room).with_resource(&nick).unwrap();
        let stanza = Stanza::parse(&format!(
            "<presence from='{nick}@{domain}.lit/client' to='{to}'><show>chat</show><x xmlns='http://jabber.org/protocol/muc'/>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>\
             <x xmlns='vcard-temp:x:update'><photo>sha1-hash-of-image</photo></x></presence>"
        ));
        world.handle(room, super::Input::Stanza(stanza.unwrap()));
        world.settle();
    }
    all.append(&mut world.seen);
    world.seen = all;
}

/// A message as clients write it.
fn message(body: &str) -> String {
    format!(
        "<message type='groupchat' id='9c1e5cbe-0d2c-4d0c-8ad8-b1b4d1e8c1f2'><body>{body}</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='9c1e5cbe-0d2c-4d0c-8ad8-b1b4d1e8c1f2'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>"
    )
}

/// The ids of the last message at a client: its author's, and its room's.
fn ids(world: &World, who: &str) -> (String, String) {
    let message = &world.last[who];
    let own = message
        .payload()
        .child("stanza-id", "urn:xmpp:sid:0")
        .unwrap();
    (
        message.id().unwrap().to_owned(),
        own.attr("id").unwrap().into_owned(),
    )
}

/// What people say.
const WARM: &[&str] = &[
    "Now, what am I to do?",
    "Off with their heads!",
    "It is a long tail, certainly.",
    "Why is a raven like a writing desk?",
    "Curiouser! Now I'm shutting up like a telescope.",
];

/// What all that was written takes on streams that compress it (XEP-0138, as those between our servers do: zlib's level 9, a flush after each stanza), of
/// which each way has one that begins with it.
fn packed(world: &World) -> usize {
    let mut streams = std::collections::BTreeMap::new();
    for (way, xml) in &world.xml {
        let new = || flate2::Compress::new(flate2::Compression::best(), true);
        let stream = streams.entry(way).or_insert_with(new);
        let mut out = Vec::with_capacity(2 * xml.len() + 100);
        let flush = flate2::FlushCompress::Sync;
        let done = stream.compress_vec(xml.as_bytes(), &mut out, flush);
        assert_eq!(done.unwrap(), flate2::Status::Ok);
        assert!(out.len() < out.capacity());
    }
    let all = streams.values().map(flate2::Compress::total_out);
    usize::try_from(all.sum::<u64>()).unwrap()
}

fn within(bytes: usize, budget: usize) {
    assert!(bytes <= budget, "{bytes} of {budget} bytes");
}

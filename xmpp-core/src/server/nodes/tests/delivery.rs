//! Messages and IQs.

use super::*;
use crate::mailbox::{Origin, Outcome, Settlement, SmPoint};
use crate::server::Conflict;
use crate::server::testing::bare;
use crate::stanza::{Kind, PresenceType};
use crate::stream::StreamCondition;
use futures::FutureExt as _;

#[test]
fn a_message_for_an_account_elsewhere_goes_there_whole_and_its_sessions_get_it_once() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let orchard = online(&pair.a, "romeo@example.org/garden", 0);
    let balcony = online(&pair.b, "juliet@example.org/balcony", 5);
    let chamber = online(&pair.b, "juliet@example.org/chamber", 1);
    for client in [&romeo, &orchard, &balcony] {
        client.skip();
    }
    let [before, _] = pair.sent();
    romeo.send(&chat("juliet@example.org", "hi"));
    assert_eq!(pair.sent()[0] - before, 1, "once over the way");
    assert_eq!(heard(&balcony), ["hi"]);
    assert_eq!(heard(&chamber), ["received hi"]);
    assert_eq!(heard(&orchard), ["sent hi"]);
    assert_eq!(heard(&romeo), [""; 0]);
    assert_eq!(pair.open(), 0);
}

/// XEP-0280 §7, §8
#[test]
fn resources_on_both_nodes_get_each_message_or_its_copy_once() {
    let pair = pair();
    let romeos = [
        online(&pair.a, ROMEO, 0),
        online(&pair.b, "romeo@example.org/garden", 0),
    ];
    let juliets = [
        online(&pair.a, "juliet@example.org/balcony", 5),
        online(&pair.b, "juliet@example.org/chamber", 1),
    ];
    for (to, wanted) in [
        ("juliet@example.org", ["m", "received m"]),
        ("juliet@example.org/balcony", ["m", "received m"]),
        ("juliet@example.org/chamber", ["received m", "m"]),
    ] {
        for (from, other) in [(0, 1), (1, 0)] {
            romeos.iter().chain(&juliets).for_each(Client::skip);
            romeos[from].send(&chat(to, "m"));
            assert_eq!(juliets.each_ref().map(heard), wanted.map(|m| [m]), "{to}");
            assert_eq!(heard(&romeos[other]), ["sent m"], "{to}");
            assert_eq!(heard(&romeos[from]), [""; 0]);
            assert_eq!(pair.open(), 0);
        }
    }
}

#[test]
fn the_most_available_resources_on_several_nodes_all_get_it() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let one = online(&pair.a, "juliet@example.org/1", 0);
    let two = online(&pair.b, "juliet@example.org/2", 0);
    one.skip();
    romeo.send(&chat("juliet@example.org", "m"));
    romeo.send("<message to='juliet@example.org' type='headline'><body>h</body></message>");
    assert_eq!(pair.open(), 1, "shared as long as one may lose it");
    assert_eq!([&one, &two].map(heard), [["m", "h"]; 2]);
    assert_eq!(pair.open(), 0);
    two.end();
    assert_eq!(heard(&one), [""], "its goodbye, and not the messages");
}

#[test]
fn a_shared_message_that_both_lose_is_stored_once() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let one = online(&pair.a, "juliet@example.org/1", 0);
    let two = online(&pair.b, "juliet@example.org/2", 0);
    one.skip();
    romeo.send(&chat("juliet@example.org", "m"));
    two.end();
    one.end();
    let offline = pair.a.server.stores().offline.clone();
    let juliet = bare("juliet@example.org");
    assert_eq!(pair.a.run(offline.count(&juliet)).unwrap(), 1);
    assert_eq!(pair.open(), 0);
    let three = pair.b.login("juliet@example.org/3");
    three.send("<presence/>");
    assert!(heard(&three).contains(&"m".to_owned()));
}

/// XEP-0191 §3.3
#[test]
fn blocking_works_whichever_node_the_sessions_are_on() {
    for (balcony, chamber) in [(0, 1), (1, 0), (1, 1), (0, 0)] {
        let pair = pair();
        let worlds = [&pair.a, &pair.b];
        let romeo = online(&pair.a, ROMEO, 0);
        let balcony = online(worlds[balcony], "juliet@example.org/balcony", 0);
        let chamber = online(worlds[chamber], "juliet@example.org/chamber", 0);
        balcony.send("<iq id='1' type='set'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.org'/></block></iq>");
        assert_eq!(balcony.read().last().unwrap().id(), Some("1"));
        chamber.skip();
        for to in [
            "juliet@example.org",
            "juliet@example.org/balcony",
            "juliet@example.org/chamber",
        ] {
            romeo.send(&chat(to, "m"));
            assert_eq!(heard(&romeo), ["service-unavailable"], "{to}");
            romeo.send(&format!("<presence to='{to}'/>"));
            romeo.send(&format!(
                "<iq id='i' to='{to}' type='get'><x xmlns='y'/></iq>"
            ));
            assert_eq!(heard(&romeo), ["service-unavailable"], "{to}");
        }
        assert_eq!([&balcony, &chamber].map(heard), [[""; 0]; 2]);
        chamber.send(&chat("romeo@example.org", "m"));
        assert_eq!(heard(&chamber), ["not-acceptable"]);
        assert_eq!(heard(&romeo), [""; 0]);
    }
}

#[test]
fn requests_go_to_full_addresses_elsewhere_and_answers_come_back() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let juliet = online(&pair.b, "juliet@example.org/balcony", 0);
    romeo.send("<iq id='1' to='juliet@example.org/balcony' type='get'><x xmlns='y'/></iq>");
    juliet.expect(&["<iq id='1' to='juliet@example.org/balcony' from='romeo@example.org/orchard' type='get'><x xmlns='y'/></iq>"]);
    juliet.send("<iq id='1' to='romeo@example.org/orchard' type='result'/>");
    romeo.expect(&["<iq id='1' to='romeo@example.org/orchard' from='juliet@example.org/balcony' type='result'/>"]);
    romeo.send("<iq id='2' to='juliet@example.org/nobody' type='get'><x xmlns='y'/></iq>");
    assert_eq!(heard(&romeo), ["service-unavailable"]);
    // It has ended, and that is not known everywhere yet.
    pair.hold();
    juliet.end();
    romeo.send("<iq id='3' to='juliet@example.org/balcony' type='get'><x xmlns='y'/></iq>");
    pair.let_go();
    assert_eq!(heard(&romeo), ["service-unavailable"]);
    assert_eq!(pair.open(), 0);
}

#[test]
fn an_answer_is_owed_and_has_room_elsewhere_too() {
    let pair = Pair::on(shared(), modules, |config| config.session_queue.stanzas = 2);
    let romeo = pair.a.login(ROMEO);
    let juliet = pair.b.login("juliet@example.org/balcony");
    romeo.send("<iq id='1' to='juliet@example.org/balcony' type='get'><x xmlns='y'/></iq>");
    for _ in 0..4 {
        juliet.send("<message to='romeo@example.org/orchard' type='headline'/>");
    }
    juliet.send("<iq id='1' to='romeo@example.org/orchard' type='result'/>");
    assert_eq!(romeo.read().last().unwrap().id(), Some("1"));
    assert!(romeo.session.ending().is_none());
}

#[test]
fn what_a_full_queue_elsewhere_does_not_take_is_stored() {
    let pair = Pair::on(shared(), modules, |config| config.session_queue.stanzas = 2);
    let romeo = pair.a.login(ROMEO);
    let juliet = pair.b.login("juliet@example.org/balcony");
    juliet.send("<presence/>");
    juliet.skip();
    for n in 1..=4 {
        romeo.send(&chat("juliet@example.org", &n.to_string()));
    }
    assert_eq!(heard(&juliet), ["1", "2", "3", "4"]);
}

/// RFC 6121 §8.5.3.2.1
#[test]
fn what_comes_whole_to_a_node_without_sessions_is_filtered_there_and_goes_to_those_elsewhere() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let chamber = online(&pair.a, "juliet@example.org/chamber", 0);
    let send = || {
        let balcony = online(&pair.b, "juliet@example.org/balcony", 0);
        chamber.skip();
        pair.hold();
        balcony.end();
        romeo.send(&chat("juliet@example.org/balcony", "m"));
        assert_eq!(heard(&chamber), [""; 0]);
        pair.let_go();
        let mut to_juliet = heard(&chamber);
        to_juliet.retain(|what| !what.is_empty());
        [to_juliet, heard(&romeo)]
    };
    assert_eq!(send(), [vec!["m"], vec![]]);
    chamber.send("<iq id='1' type='set'><block xmlns='urn:xmpp:blocking'><item jid='romeo@example.org'/></block></iq>");
    assert_eq!(send(), [vec![], vec!["service-unavailable"]]);
}

#[test]
fn what_is_shared_and_full_on_both_nodes_is_stored_once() {
    let pair = Pair::on(shared(), modules, |config| config.session_queue.stanzas = 2);
    let romeo = pair.a.login(ROMEO);
    let one = pair.a.login("juliet@example.org/1");
    let two = pair.b.login("juliet@example.org/2");
    for juliet in [&one, &two] {
        juliet.send("<presence/>");
    }
    [&one, &two].into_iter().for_each(Client::skip);
    let send = |n: &str| romeo.send(&chat("juliet@example.org", n));
    send("1");
    send("2");
    assert_eq!(heard(&one), ["1", "2"]);
    send("3");
    send("4");
    // The second of them is full, and the first one has it.
    let offline = pair.a.server.stores().offline.clone();
    let juliet = bare("juliet@example.org");
    assert_eq!(pair.a.run(offline.count(&juliet)).unwrap(), 0);
    send("5");
    assert_eq!(pair.a.run(offline.count(&juliet)).unwrap(), 1);
    let mut all = [heard(&one), heard(&two)].concat();
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5"]);
    assert_eq!(pair.open(), 0);
}

#[test]
fn a_message_whose_session_has_ended_elsewhere_reaches_the_one_that_is_left() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let balcony = online(&pair.b, "juliet@example.org/balcony", 5);
    let chamber = online(&pair.a, "juliet@example.org/chamber", 1);
    // What the chamber has at once, and what when it is known that the balcony has ended.
    let send = |balcony: &Client| {
        pair.hold();
        balcony.end();
        chamber.skip();
        romeo.send(&chat("juliet@example.org", "m"));
        let at_once = heard(&chamber);
        pair.let_go();
        let mut later = heard(&chamber);
        assert_eq!(pair.open(), 0);
        later.retain(|what| !what.is_empty());
        [at_once, later]
    };
    assert_eq!(
        send(&balcony),
        [vec!["received m"], vec![]],
        "the copy will do"
    );
    let balcony = online(&pair.b, "juliet@example.org/balcony", 5);
    chamber.send("<iq id='c' type='set'><disable xmlns='urn:xmpp:carbons:2'/></iq>");
    assert_eq!(send(&balcony), [vec![], vec!["m"]]);
}

/// XEP-0198 §4: what a sender is told of.
#[test]
fn a_sender_that_acknowledges_waits_for_the_other_node() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let juliet = online(&pair.b, "juliet@example.org/balcony", 0);
    let origin = Origin {
        sm: Some(SmPoint {
            id: "s".into(),
            n: 1,
        }),
        ..Origin::session(romeo.session.id())
    };
    let message = || {
        let stanza = Stanza::parse(&chat("juliet@example.org", "m")).unwrap();
        stanza.with_from(crate::Jid::from(romeo.session.jid()))
    };
    let submit = || {
        pair.a.run(
            pair.a
                .server
                .submit(message(), &romeo.session, origin.clone())
                .finish(),
        )
    };
    let Settlement::Later(mut later) = submit() else {
        panic!()
    };
    assert!(later.is_pledged());
    assert_eq!((&mut later).now_or_never(), None, "it waits for its reader");
    for envelope in juliet.session.queue().take(usize::MAX).flatten().unwrap() {
        envelope.settle(Outcome::Settled);
    }
    pair.a.settle();
    assert_eq!(later.now_or_never(), Some(Outcome::Settled));
    // A reader that leaves it waiting: it is stored over there.
    let Settlement::Later(mut later) = submit() else {
        panic!()
    };
    pair.a.advance(pair.a.server.config().timeouts.settle);
    assert!((&mut later).now_or_never().is_some());
    assert_eq!(pair.open(), 0);
}

#[test]
fn what_a_node_that_is_gone_had_not_answered_takes_another_way() {
    let pair = pair();
    let romeo = online(&pair.a, ROMEO, 0);
    let _balcony = online(&pair.b, "juliet@example.org/balcony", 0);
    pair.hold();
    romeo.send(&chat("juliet@example.org", "m"));
    romeo.send("<iq id='1' to='juliet@example.org/balcony' type='get'><x xmlns='y'/></iq>");
    assert_eq!(pair.open(), 2);
    pair.cut();
    assert_eq!(pair.open(), 0);
    let offline = pair.a.server.stores().offline.clone();
    let juliet = bare("juliet@example.org");
    assert_eq!(pair.a.run(offline.count(&juliet)).unwrap(), 1);
    assert_eq!(heard(&romeo), ["service-unavailable"]);
}

/// RFC 6120 §7.7.2.2
#[test]
fn a_resource_that_is_bound_elsewhere_is_replaced() {
    let pair = pair();
    let first = online(&pair.a, "juliet@example.org/balcony", 0);
    let other = online(&pair.b, "juliet@example.org/chamber", 0);
    other.skip();
    let second = online(&pair.b, "juliet@example.org/balcony", 0);
    let conflict = StreamCondition::Conflict;
    assert_eq!(first.session.ending().unwrap().condition, conflict);
    for world in [&pair.a, &pair.b] {
        let bound = world.server.bound(second.session.jid()).unwrap();
        assert_eq!(bound.id(), second.session.id());
        assert!(bound.is_available());
    }
    // The one that is left sees it there at the end.
    let last = other.read().pop().unwrap();
    assert_eq!(last.kind(), Kind::Presence(PresenceType::Available));
    let romeo = online(&pair.a, ROMEO, 0);
    romeo.send(&chat("juliet@example.org/balcony", "m"));
    assert!(heard(&second).contains(&"m".to_owned()));
}

#[test]
fn a_resource_that_is_bound_elsewhere_can_refuse_or_rename_the_new_one() {
    for policy in [Conflict::Refuse, Conflict::Rename] {
        let pair = Pair::on(shared(), modules, |config| config.conflict = policy);
        let first = online(&pair.a, "juliet@example.org/balcony", 0);
        let account = first.session.account().clone();
        let account = pair.b.run(pair.b.server.account(account.jid())).unwrap();
        let bound = pair.b.server.bind(account, Some("balcony"));
        match policy {
            Conflict::Refuse => assert_eq!(bound.unwrap_err().condition, Condition::Conflict),
            _ => assert_ne!(bound.unwrap().session.jid(), first.session.jid()),
        }
        assert!(first.session.ending().is_none());
    }
}

/// RFC 6120 §7.6.2.1
#[test]
fn sessions_on_all_nodes_count_towards_the_limit_of_an_account() {
    let pair = Pair::on(shared(), modules, |config| config.account.resources = 2);
    let first = pair.a.login("juliet@example.org/1");
    pair.b.login("juliet@example.org/2");
    for world in [&pair.a, &pair.b] {
        let account = world
            .run(world.server.account(first.session.bare()))
            .unwrap();
        let refused = world.server.bind(account, None).unwrap_err();
        assert_eq!(refused.condition, Condition::ResourceConstraint);
    }
}

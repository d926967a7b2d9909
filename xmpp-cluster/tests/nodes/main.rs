//! Whole servers of one domain, joined by the engine of one process, on a clock that runs when nobody has anything to do.
#![allow(clippy::disallowed_methods)] // a test starts tasks and reads the runtime's clock
#![allow(clippy::unwrap_used)] // of a test, though not all of it is marked as one

mod remote;
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use world::{Client, SECOND, World};
use xmpp_core::stanza::{Kind, Stanza};

/// Romeo at one node and Juliet at another, who see each other.
async fn pair(world: &World) -> (Client, Client) {
    world.befriend("romeo", "juliet").await;
    let romeo = world.login(0, "romeo@example.org/garden").await;
    let juliet = world.login(1, "juliet@example.org/balcony").await;
    for client in [&romeo, &juliet] {
        client.send("<presence/>").await;
        world.wait(SECOND).await;
    }
    romeo.expect(&[
        "<presence from='romeo@example.org/garden'/>",
        "<presence from='juliet@example.org/balcony'/>",
    ]);
    juliet.expect(&[
        "<presence from='juliet@example.org/balcony'/>",
        "<presence from='romeo@example.org/garden'/>",
    ]);
    (romeo, juliet)
}

#[tokio::test(start_paused = true)]
async fn presence_chat_and_requests_go_between_nodes() {
    let world = World::new(2).await;
    let (romeo, juliet) = pair(&world).await;
    for n in 0..50 {
        let to = ["juliet@example.org/balcony", "juliet@example.org"][n % 2];
        let message =
            format!("<message to='{to}' type='chat' id='m{n}'><body>{n}</body></message>");
        romeo.send(&message).await;
    }
    world.wait(SECOND).await;
    let got = juliet.read();
    let ids: Vec<_> = got.iter().filter_map(|stanza| stanza.id()).collect();
    let sent: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    assert_eq!(ids, sent, "once, and in order");

    romeo
        .send("<iq type='get' id='v' to='juliet@example.org/balcony'><query xmlns='jabber:iq:version'/></iq>").await;
    world.wait(SECOND).await;
    juliet.expect(&["<iq type='get' from='romeo@example.org/garden' id='v'><query xmlns='jabber:iq:version'/></iq>"]);
    juliet
        .send("<iq type='result' id='v' to='romeo@example.org/garden'/>")
        .await;
    world.wait(SECOND).await;
    romeo.expect(&["<iq type='result' from='juliet@example.org/balcony' id='v'/>"]);

    juliet.send("<presence><show>away</show></presence>").await;
    world.wait(SECOND).await;
    romeo.expect(&["<presence from='juliet@example.org/balcony'/>"]);
    juliet.end();
    world.wait(SECOND).await;
    romeo.expect(&["<presence from='juliet@example.org/balcony' type='unavailable'/>"]);
}

#[tokio::test(start_paused = true)]
async fn who_logs_in_later_is_shown_who_is_there_and_is_seen() {
    let world = World::new(3).await;
    let (romeo, _juliet) = pair(&world).await;
    world.befriend("nurse", "romeo").await;
    let nurse = world.login(2, "nurse@example.org/hall").await;
    nurse.send("<presence/>").await;
    world.wait(SECOND).await;
    nurse.expect(&[
        "<presence from='nurse@example.org/hall'/>",
        "<presence from='romeo@example.org/garden'/>",
    ]);
    romeo.expect(&["<presence from='nurse@example.org/hall'/>"]);
}

#[tokio::test(start_paused = true)]
async fn the_other_device_of_an_account_gets_carbons_wherever_it_is() {
    let world = World::new(3).await;
    let (romeo, juliet) = pair(&world).await;
    let phone = world.login(2, "juliet@example.org/phone").await;
    phone.send("<presence/>").await;
    phone
        .send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        .await;
    world.wait(SECOND).await;
    for client in [&romeo, &juliet, &phone] {
        client.read();
    }
    // Received: the account's filters run where one of its sessions lives, which the sender's node has none of.
    romeo
        .send("<message to='juliet@example.org/balcony' type='chat' id='in'><body>Hark</body></message>").await;
    world.wait(SECOND).await;
    juliet.expect(&["<message from='romeo@example.org/garden' id='in'/>"]);
    phone.expect(&["<message from='juliet@example.org'/>"]);
    // Sent.
    juliet
        .send("<message to='romeo@example.org/garden' type='chat' id='out'><body>Ay me</body></message>").await;
    world.wait(SECOND).await;
    romeo.expect(&["<message from='juliet@example.org/balcony' id='out'/>"]);
    phone.expect(&["<message from='juliet@example.org'/>"]);
    assert_eq!(juliet.read(), []);
}

#[tokio::test(start_paused = true)]
async fn a_second_login_at_another_node_takes_the_address_over() {
    let world = World::new(3).await;
    let (romeo, old) = pair(&world).await;
    let new = world.login(2, "juliet@example.org/balcony").await;
    new.send("<presence><priority>3</priority></presence>")
        .await;
    world.wait(SECOND).await;
    assert!(old.has_conflict(), "the older one is closed");
    assert!(!new.has_conflict());
    let seen = romeo.read();
    let last = seen.last().expect("he is told");
    assert!(!last.to_string().contains("unavailable"), "{seen:?}");
    romeo
        .send("<message to='juliet@example.org/balcony' type='chat' id='m'><body>Hark</body></message>").await;
    world.wait(SECOND).await;
    let got = new.read();
    assert!(got.iter().any(|stanza| stanza.id() == Some("m")), "{got:?}");
    world.all_agree();
}

#[tokio::test(start_paused = true)]
async fn of_two_with_one_address_on_both_sides_of_a_cut_the_later_stays() {
    let world = World::new(2).await;
    world.befriend("romeo", "juliet").await;
    world.cut(0, 1);
    world.wait(10 * SECOND).await;
    let romeo = world.login(0, "romeo@example.org/garden").await;
    let first = world.login(0, "juliet@example.org/balcony").await;
    world.wait(SECOND).await;
    let second = world.login(1, "juliet@example.org/balcony").await;
    for client in [&romeo, &first, &second] {
        client.send("<presence/>").await;
    }
    world.wait(SECOND).await;
    assert!(!first.has_conflict() && !second.has_conflict());
    world.heal();
    world.wait(10 * SECOND).await;
    assert!(first.has_conflict());
    assert!(!second.has_conflict());
    world.all_agree();
    // Whatever he was told meanwhile, in the end she is there.
    let seen = romeo.read();
    let hers = seen.iter().filter(|s| s.to_string().contains("juliet"));
    let last = hers.last().expect("he is told").to_string();
    assert!(!last.contains("unavailable"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn when_a_node_dies_its_users_are_gone_once_and_what_was_for_them_is_kept() {
    let world = World::new(3).await;
    let (romeo, _juliet) = pair(&world).await;
    world.befriend("nurse", "juliet").await;
    let nurse = world.login(2, "nurse@example.org/hall").await;
    nurse.send("<presence/>").await;
    world.wait(SECOND).await;
    nurse.read();
    world.kill(1);
    romeo
        .send("<message to='juliet@example.org/balcony' type='chat' id='m'><body>Hark</body></message>").await;
    world.wait(10 * SECOND).await;
    let gone = "<presence from='juliet@example.org/balcony' type='unavailable'/>";
    romeo.expect(&[gone]);
    nurse.expect(&[gone]);
    assert_eq!(world.stored("juliet@example.org").await, 1, "for later");
    world.all_agree();
    // Her next login gets it, at any node.
    let juliet = world.login(2, "juliet@example.org/balcony").await;
    juliet.send("<presence/>").await;
    world.wait(SECOND).await;
    let got = juliet.read();
    assert!(got.iter().any(|stanza| stanza.id() == Some("m")), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_hides_the_others_and_its_end_shows_them_again() {
    let world = World::new(2).await;
    let (romeo, juliet) = pair(&world).await;
    world.cut(0, 1);
    world.wait(10 * SECOND).await;
    romeo.expect(&["<presence from='juliet@example.org/balcony' type='unavailable'/>"]);
    juliet.expect(&["<presence from='romeo@example.org/garden' type='unavailable'/>"]);
    juliet.send("<presence><show>away</show></presence>").await;
    world.wait(SECOND).await;
    juliet.read();
    world.heal();
    world.wait(10 * SECOND).await;
    let seen = romeo.read();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].to_string().contains("away"));
    juliet.expect(&["<presence from='romeo@example.org/garden'/>"]);
    romeo
        .send("<message to='juliet@example.org' type='chat' id='m'><body>Hark</body></message>")
        .await;
    world.wait(SECOND).await;
    juliet.expect(&["<message from='romeo@example.org/garden' id='m'/>"]);
}

#[tokio::test(start_paused = true)]
async fn a_roster_that_changes_at_one_node_is_known_at_all() {
    let world = World::new(2).await;
    let phone = world.login(0, "juliet@example.org/phone").await;
    let laptop = world.login(1, "juliet@example.org/laptop").await;
    for client in [&phone, &laptop] {
        client
            .send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            .await;
    }
    world.wait(SECOND).await;
    phone.read();
    laptop.read();
    phone
        .send(
            "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>\
             <item jid='nurse@example.org' name='Nurse'/></query></iq>",
        )
        .await;
    world.wait(SECOND).await;
    let pushed = laptop.read();
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    assert!(pushed[0].to_string().contains("nurse@example.org"));
    // Also what has changed while they did not hear each other.
    world.cut(0, 1);
    world.wait(10 * SECOND).await;
    phone
        .send(
            "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>\
             <item jid='nurse@example.org' subscription='remove'/></query></iq>",
        )
        .await;
    world.heal();
    world.wait(10 * SECOND).await;
    let pushed = laptop.read();
    assert!(
        pushed
            .iter()
            .any(|stanza| stanza.to_string().contains("remove")),
        "{pushed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_leaves_has_sent_what_waited() {
    let world = World::new(2).await;
    let (romeo, juliet) = pair(&world).await;
    romeo
        .send("<message to='juliet@example.org/balcony' type='chat' id='m'><body>Hark</body></message>").await;
    world.leave(0).await;
    world.wait(SECOND).await;
    let got = juliet.read();
    assert!(got.iter().any(|stanza| stanza.id() == Some("m")), "{got:?}");
    assert!(world.status(1).members[0].reach.is_none());
    world.wait(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_node_serves_is_reached_from_all_as_long_as_it_is_there() {
    let world = World::new(2).await;
    let romeo = world.login(0, "romeo@example.org/garden").await;
    let ask = async |id: &str| {
        let to = "echo.example.org";
        let chat = format!("<message to='{to}' type='chat' id='{id}'><body>?</body></message>");
        romeo.send(&chat).await;
        world.wait(SECOND).await;
    };
    let unknown = "<message from='echo.example.org' type='error' id='1'/>";
    ask("1").await;
    romeo.expect(&[unknown]);
    let echo = world.echo(1, "echo.example.org");
    world.wait(SECOND).await;
    for n in ["2", "3", "4"] {
        ask(n).await;
        romeo.expect(&[&format!(
            "<message from='echo.example.org' type='chat' id='{n}'/>"
        )]);
    }
    echo.abort();
    world.wait(SECOND).await;
    ask("5").await;
    romeo.expect(&["<message from='echo.example.org' type='error' id='5'/>"]);
    // Who comes later is told, and who goes is forgotten.
    let _echo = world.echo(1, "echo.example.org");
    world.cut(0, 1);
    world.wait(10 * SECOND).await;
    ask("6").await;
    romeo.expect(&["<message from='echo.example.org' type='error' id='6'/>"]);
    world.heal();
    world.wait(10 * SECOND).await;
    ask("7").await;
    romeo.expect(&["<message from='echo.example.org' type='chat' id='7'/>"]);
}

#[tokio::test(start_paused = true)]
async fn what_several_sessions_get_is_kept_once_if_all_of_them_are_lost() {
    let world = World::new(4).await;
    let (romeo, juliet) = pair(&world).await;
    let phone = world.login(2, "juliet@example.org/phone").await;
    phone.send("<presence/>").await;
    // Here the account's filters run, and the share stays.
    let home = world.login(0, "juliet@example.org/home").await;
    home.send("<presence><priority>-1</priority></presence>")
        .await;
    world.wait(SECOND).await;
    for client in [&romeo, &juliet, &phone, &home] {
        client.read();
    }
    let hark = |id: &str| {
        format!(
            "<message to='juliet@example.org' type='chat' id='{id}'><body>Hark</body></message>"
        )
    };
    romeo.send(&hark("one")).await;
    world.wait(SECOND).await;
    juliet.expect(&["<message from='romeo@example.org/garden' id='one'/>"]);
    phone.expect(&["<message from='romeo@example.org/garden' id='one'/>"]);
    assert_eq!(home.read(), []);

    // One of both is lost: the other has it.
    world.kill(1);
    romeo.send(&hark("two")).await;
    world.wait(10 * SECOND).await;
    let got = phone.read();
    let copies = got.iter().filter(|stanza| stanza.id() == Some("two"));
    assert_eq!(copies.count(), 1, "{got:?}");
    assert_eq!(world.stored("juliet@example.org").await, 0);

    // And both.
    let laptop = world.login(3, "juliet@example.org/laptop").await;
    laptop.send("<presence/>").await;
    world.wait(SECOND).await;
    world.kill(2);
    world.kill(3);
    romeo.send(&hark("three")).await;
    world.wait(10 * SECOND).await;
    assert_eq!(world.stored("juliet@example.org").await, 1);
    assert_eq!(
        home.read()
            .iter()
            .filter(|s| s.id() == Some("three"))
            .count(),
        0
    );
}

/// One node holds the other to be down, gives up an answer that it owes it, and the other does not notice.
#[tokio::test(start_paused = true)]
async fn who_was_held_to_be_down_without_noticing_hears_what_it_waits_for() {
    let world = World::new(2).await;
    let (romeo, juliet) = pair(&world).await;
    romeo.reads.store(false, Ordering::Relaxed);
    world.wait(Duration::from_millis(20)).await;
    juliet
        .send(
            "<message to='romeo@example.org/garden' type='chat' id='m'><body>Hark</body></message>",
        )
        .await;
    world.wait(Duration::from_millis(1)).await;
    // It is in his queue, and nobody has read it yet.
    world.cut(0, 1);
    romeo.reads.store(true, Ordering::Relaxed);
    world.wait(Duration::from_millis(2880)).await;
    romeo.expect(&["<message from='juliet@example.org/balcony' id='m'/>"]);
    assert_eq!(world.held(), 1);
    // One heartbeat gets through, between two tries of the answer.
    world.heal();
    world.cut_one_way(1, 0);
    world.wait(Duration::from_millis(200)).await;
    world.cut(0, 1);
    world.wait(Duration::from_millis(1400)).await;
    assert!(world.status(0).members[0].reach.is_none());
    assert!(world.status(1).members[0].reach.is_some());
    assert_eq!(world.held(), 1);
    world.heal();
    world.wait(5 * SECOND).await;
    assert_eq!(world.held(), 0);
    assert_eq!(world.stored("romeo@example.org").await, 0);
    world.all_agree();
}

/// What a node has forgotten of another that has not noticed is told to it again.
#[tokio::test(start_paused = true)]
async fn who_held_another_to_be_down_knows_again_what_that_one_serves() {
    let world = World::with_outlets(2).await;
    let romeo = world.login(0, "romeo@example.org/garden").await;
    let _echo = world.echo(1, "echo.example.org");
    world.wait(SECOND).await;
    let there = (0..)
        .map(|n| format!("d{n}.example.net"))
        .find(|domain| world.outlet(1, domain).as_deref() == Some("n1"))
        .unwrap();
    // As above: one heartbeat gets through, so that only one of both notices.
    world.wait(Duration::from_millis(21)).await;
    world.cut(0, 1);
    world.wait(Duration::from_millis(2880)).await;
    world.heal();
    world.cut_one_way(1, 0);
    world.wait(Duration::from_millis(200)).await;
    world.cut(0, 1);
    world.wait(Duration::from_millis(1400)).await;
    assert!(world.status(0).members[0].reach.is_none());
    assert!(world.status(1).members[0].reach.is_some());
    world.heal();
    world.wait(5 * SECOND).await;
    romeo
        .send("<message to='echo.example.org' type='chat' id='m'><body>?</body></message>")
        .await;
    world.wait(SECOND).await;
    romeo.expect(&["<message from='echo.example.org' type='chat' id='m'/>"]);
    assert_eq!(world.outlet(0, &there).as_deref(), Some("n1"));
}

/// Presence that changes while one node holds the other to be down, which that one does not notice.
#[tokio::test(start_paused = true)]
async fn what_changes_while_another_is_held_to_be_down_is_shown_to_it() {
    let world = World::new(2).await;
    world.befriend("juliet", "nurse").await;
    let (romeo, juliet) = pair(&world).await;
    let nurse = world.login(0, "nurse@example.org/hall").await;
    world.wait(Duration::from_millis(21)).await;
    juliet.read();
    world.cut(0, 1);
    world.wait(Duration::from_millis(2880)).await;
    world.heal();
    world.cut_one_way(1, 0);
    world.wait(Duration::from_millis(200)).await;
    world.cut(0, 1);
    world.wait(Duration::from_millis(1400)).await;
    assert!(world.status(0).members[0].reach.is_none());
    assert!(world.status(1).members[0].reach.is_some());
    nurse.send("<presence/>").await;
    romeo.end();
    world.wait(Duration::from_millis(10)).await;
    world.heal();
    world.wait(5 * SECOND).await;
    juliet.expect(&[
        "<presence from='romeo@example.org/garden' type='unavailable'/>",
        "<presence from='nurse@example.org/hall'/>",
    ]);
}

/// Whatever is cut, every message comes, in the order of its sender as long as nothing is cut.
#[tokio::test(start_paused = true)]
async fn whatever_is_cut_no_message_is_lost() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new(3).await;
        let names = ["romeo", "juliet", "nurse", "tybalt"];
        let mut people = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let person = world.login(n % 3, &format!("{name}@example.org/x")).await;
            person.send("<presence/>").await;
            people.push(person);
        }
        world.wait(SECOND).await;
        let mut sent: Vec<Vec<String>> = vec![Vec::new(); people.len()];
        let mut cut = false;
        for n in 0..rng.usize(50..150) {
            match rng.u8(0..30) {
                0 | 1 => {
                    world.cut_one_way(rng.usize(0..3), rng.usize(0..3));
                    cut = true;
                }
                2 => {
                    world.cut(rng.usize(0..3), rng.usize(0..3));
                    cut = true;
                }
                3 | 4 => world.heal(),
                5 => world.wait(Duration::from_millis(rng.u64(1000..9000))).await,
                6..=10 => world.wait(Duration::from_millis(rng.u64(0..300))).await,
                _ => {
                    let (from, to) = (rng.usize(0..names.len()), rng.usize(0..names.len()));
                    let resource = ["", "/x"][rng.usize(0..2)];
                    let to_jid = format!("{}@example.org{resource}", names[to]);
                    let message = format!(
                        "<message to='{to_jid}' type='chat' id='m{n}'><body>{n}</body></message>"
                    );
                    people[from].send(&message).await;
                    sent[to].push(format!("m{n}"));
                }
            }
        }
        world.heal();
        world.wait(20 * SECOND).await;
        world.all_agree();
        assert_eq!(world.held(), 0, "seed {seed}: nobody waits for ever");
        for (person, sent) in people.iter().zip(sent) {
            // What was stored meanwhile is given to who becomes available.
            person.send("<presence type='unavailable'/>").await;
            person.send("<presence/>").await;
            world.wait(SECOND).await;
            let got = person.read();
            for id in &sent {
                let copies = got.iter().filter(|stanza| stanza.id() == Some(id));
                let copies: Vec<_> = copies.map(ToString::to_string).collect();
                assert!(!copies.is_empty(), "seed {seed}: {id} is lost");
                assert!(cut || copies.len() == 1, "seed {seed}: {copies:?}");
            }
        }
    }
}

/// Each node speaks for its own sessions: they were shown by the one that approved and by their own.
#[tokio::test(start_paused = true)]
async fn who_is_approved_at_another_node_is_shown_each_presence_once() {
    for (phone_at, in_advance) in [0, 1, 2].into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let world = World::new(3).await;
        let romeo = world.login(0, "romeo@example.org/garden").await;
        let juliet = world.login(1, "juliet@example.org/balcony").await;
        let phone = world.login(phone_at, "juliet@example.org/phone").await;
        for client in [&romeo, &juliet, &phone] {
            let roster = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
            client.send(roster).await;
            client.send("<presence/>").await;
        }
        let approve = "<presence to='romeo@example.org' type='subscribed'/>";
        let ask = "<presence to='juliet@example.org' type='subscribe'/>";
        world.wait(SECOND).await;
        romeo.read();
        match in_advance {
            true => juliet.send(approve).await,
            false => romeo.send(ask).await,
        }
        world.wait(SECOND).await;
        match in_advance {
            true => romeo.send(ask).await,
            false => juliet.send(approve).await,
        }
        world.wait(SECOND).await;
        let got = romeo.read();
        let of = |kind: Option<&str>, from: &str| {
            let from = format!("juliet@example.org{from}");
            let same = |stanza: &&Stanza| {
                let is_presence = matches!(stanza.kind(), Kind::Presence(_));
                is_presence
                    && stanza.kind().type_name() == kind
                    && stanza.from().is_some_and(|f| f.as_str() == from)
            };
            got.iter().filter(same).count()
        };
        assert_eq!(of(Some("subscribed"), ""), 1, "{phone_at} {in_advance}");
        assert_eq!(of(None, "/balcony"), 1, "{phone_at} {in_advance}");
        assert_eq!(of(None, "/phone"), 1, "{phone_at} {in_advance}");
    }
}

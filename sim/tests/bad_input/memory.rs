//! Clients that would have the server hold more than it may.

use std::time::Duration;

use sim::client::Client;
use sim::link::Line;
use sim::world::quiet;
use sim::{World, run};
use tokio::time::timeout;

use super::{Bystanders, end};

/// What everything that waits may take, in these worlds.
const MEMORY: usize = 256 << 10;
/// What a socket's worth of written bytes takes at most: what is written at once, with room
/// to grow.
const WRITTEN: usize = 128 << 10;

fn world() -> World {
    World::builder(0)
        .configure(|config| {
            config.memory = MEMORY;
            config.session_queue.bytes = MEMORY;
        })
        .build()
}

/// RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to service the
/// stream."
#[test]
fn stanzas_that_never_end_cost_their_senders_their_streams_and_nobody_else() {
    run(async {
        let world = world();
        let mut bystanders = Bystanders::new(&world).await;
        let begun = format!("<message><body>{}", "x".repeat(100 << 10));
        let mut attackers = Vec::new();
        for name in ["tybalt", "sampson", "gregory", "abram", "paris"] {
            let mut attacker = world.login(name).await;
            // One that is over already cannot be sent all of it.
            let _ = attacker.send(&begun).await;
            attackers.push(attacker);
            quiet(Duration::from_millis(10)).await;
            bystanders.chat().await;
            assert!(world.server.budget().used() <= MEMORY);
        }
        assert!(world.server.budget().used() >= 100 << 10, "some is held");
        let (mut refused, mut held) = (0, Vec::new());
        for mut attacker in attackers {
            match timeout(Duration::from_secs(1), end(&mut attacker)).await {
                Ok(condition) => {
                    assert_eq!(condition, "resource-constraint");
                    refused += 1;
                }
                Err(_) => held.push(attacker),
            }
            bystanders.chat().await;
        }
        assert!(refused > 0 && !held.is_empty(), "{refused} refused");
        // Who was in time may finish.
        let mut held = held.swap_remove(0);
        held.send("</body></message><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await
            .unwrap();
        assert_eq!(held.element().await.unwrap().attr("id"), Some("1"));
        bystanders.chat().await;
        assert_eq!(world.server.budget().used(), 0);
    });
}

/// Else whoever fills the memory would throw everybody out: over TCP and TLS stanzas come in
/// whatever pieces the network makes.
#[test]
fn a_stanza_that_comes_in_two_pieces_costs_nobody_the_stream_though_memory_is_full() {
    run(async {
        let world = world();
        let mut bystanders = Bystanders::new(&world).await;
        let mut paris = world.login("paris").await;
        let left = world.server.budget().free();
        assert!(world.server.budget().take(left));
        let body = "x".repeat(9000);
        let begun = format!("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'>{body}");
        paris.send(begun).await.unwrap();
        quiet(Duration::from_millis(10)).await;
        assert!(world.server.budget().used() >= left + 9000, "it counts");
        paris.send("</ping></iq>").await.unwrap();
        quiet(Duration::from_millis(10)).await;
        assert_eq!(world.driver.connections(), 3, "nobody is gone");
        world.server.budget().give(left);
        assert_eq!(world.server.budget().used(), 0);
        bystanders.chat().await;
    });
}

#[test]
fn what_a_client_does_not_read_counts_until_it_is_gone() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let account = world.account("tybalt").await;
        let mut down = Line::perfect();
        down.window = 2048;
        let mut deaf = Client::new(world.connect(Line::perfect(), down));
        let jid = deaf
            .login(&account, Some("t"), &mut world.rng())
            .await
            .unwrap();
        let mut paris = world.login("paris").await;
        let body = "x".repeat(40 << 10);
        let message = format!("<message to='{jid}' type='chat'><body>{body}</body></message>");
        paris.send(message).await.unwrap();
        quiet(Duration::from_millis(10)).await;
        let used = world.server.budget().used();
        assert!((30 << 10..=WRITTEN).contains(&used), "{used} are taken");
        bystanders.chat().await;
        drop(deaf);
        quiet(Duration::from_secs(15 * 60)).await;
        assert_eq!(world.server.budget().used(), 0);
    });
}

#[test]
fn stored_messages_wait_until_there_is_memory_for_them() {
    run(async {
        let world = world();
        let mut bystanders = Bystanders::new(&world).await;
        let account = world.account("mercutio").await;
        let mut benvolio = world.login("benvolio").await;
        let body = "x".repeat(9 << 10);
        let message =
            format!("<message to='mercutio@example.org' type='chat'><body>{body}</body></message>");
        benvolio.send(message).await.unwrap();
        quiet(Duration::from_millis(10)).await;

        let most = world.server.budget().free() - (8 << 10);
        assert!(world.server.budget().take(most));
        let mut mercutio = world.client();
        mercutio
            .login(&account, None, &mut world.rng())
            .await
            .unwrap();
        mercutio.send("<presence/>").await.unwrap();
        let nothing = timeout(Duration::from_secs(2), mercutio.element()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        bystanders.chat().await;
        world.server.budget().give(most);
        let stored = timeout(Duration::from_secs(1), mercutio.element()).await;
        assert_eq!(stored.unwrap().unwrap().name, "message");
    });
}

/// Else those who wait for memory could keep it from each other for ever: what has come
/// since waits behind the stored messages.
#[test]
fn stored_messages_do_not_wait_for_memory_for_ever() {
    run(async {
        let world = world();
        let account = world.account("mercutio").await;
        let mut benvolio = world.login("benvolio").await;
        let message = "<message to='mercutio@example.org' type='chat'><body>Hi</body></message>";
        benvolio.send(message).await.unwrap();
        quiet(Duration::from_millis(10)).await;
        let all = world.server.budget().free();
        assert!(world.server.budget().take(all));
        let mut mercutio = world.client();
        mercutio
            .login(&account, None, &mut world.rng())
            .await
            .unwrap();
        mercutio.send("<presence/>").await.unwrap();
        let stored = timeout(Duration::from_secs(20), mercutio.element()).await;
        assert_eq!(stored.unwrap().unwrap().name, "message");
        // Nor does the end, for which no memory is needed.
        quiet(Duration::from_millis(10)).await;
        let left = world.server.stores().offline.count(&account.jid).await;
        assert_eq!(left.unwrap(), 0);
    });
}

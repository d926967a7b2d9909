//! Clients that take their time, and clients that do not read.

use std::time::Duration;

use sim::client::{Client, header};
use sim::link::Line;
use sim::world::quiet;
use sim::{World, run};
use tokio::time::{Instant, sleep};

use super::{Bystanders, condition, end};

/// RFC 6120 §4.9.3.4: "One party is closing the stream because it has reason to believe
/// that the other party has permanently lost the ability to communicate over the stream".
#[test]
fn a_header_that_comes_byte_by_byte_has_ten_seconds() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut attacker = world.client();
        let start = Instant::now();
        for byte in header("example.org").bytes() {
            if attacker.send([byte]).await.is_err() {
                break;
            }
            bystanders.chat().await;
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(end(&mut attacker).await, "connection-timeout");
        assert!(
            start.elapsed() <= Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(world.driver.connections(), 2);
    });
}

#[test]
fn a_login_has_a_minute_whatever_is_said_meanwhile() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut attacker = world.client();
        attacker.greet("example.org").await.unwrap();
        let start = Instant::now();
        // Spaces keep a connection, but not a login.
        while attacker.send(" ").await.is_ok() && start.elapsed() < Duration::from_secs(300) {
            bystanders.chat().await;
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(end(&mut attacker).await, "connection-timeout");
        assert!(
            start.elapsed() <= Duration::from_secs(70),
            "{:?}",
            start.elapsed()
        );
    });
}

const QUEUE_STANZAS: usize = 16;
const QUEUE_BYTES: usize = 16 << 10;

/// What waits for one who does not read is bounded; the rest goes the way it would go if
/// he were not there (RFC 6121 §8.5.3.2: kept, or returned), and his connection ends when
/// the link gives up on it.
#[test]
fn who_does_not_read_costs_no_more_than_his_queue() {
    run(async {
        let world = World::builder(0)
            .configure(|config| {
                config.session_queue.stanzas = QUEUE_STANZAS;
                config.session_queue.bytes = QUEUE_BYTES;
                config.xml.stanza_bytes = QUEUE_BYTES;
                config.account.offline_messages = 5;
            })
            .build();
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
        let body = "x".repeat(1000);
        let mut returned = 0;
        for n in 0..200 {
            let message =
                format!("<message to='{jid}' type='chat' id='{n}'><body>{body}</body></message>");
            paris.send(message).await.unwrap();
            bystanders.chat().await;
            quiet(Duration::from_millis(10)).await;
            assert!(world.server.budget().used() <= QUEUE_BYTES);
        }
        // 16 KiB wait, a few are on their way, 5 are kept.
        while let Ok(error) = tokio::time::timeout(Duration::from_secs(1), paris.element()).await {
            assert_eq!(condition(&error.unwrap()), Some("service-unavailable"));
            returned += 1;
        }
        assert!((150..200).contains(&returned), "{returned} came back");
        quiet(Duration::from_secs(15 * 60)).await;
        assert_eq!(world.driver.connections(), 3, "his is gone");
        assert_eq!(world.server.budget().used(), 0);
    });
}

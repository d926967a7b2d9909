//! An acknowledgement does not wait for a recipient that does not read (XEP-0198 §4: "handled").
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::Line;
use sim::world::{World, quiet, run};
use tokio::time::{Instant, sleep, timeout};

const SENT: usize = 200;

/// Counts the messages with each id that are heard until nothing more comes.
async fn listen<S>(client: &mut Client<S>, heard: &mut HashMap<String, usize>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Ok(Heard::Xml(xml)) = timeout(Duration::from_secs(5), client.hear()).await {
        let text = xml.to_string();
        if let Some((_, rest)) = text.split_once(" id='m") {
            let id = rest.split('\'').next().unwrap();
            *heard.entry(id.to_owned()).or_default() += 1;
        }
    }
}

/// The recipient takes what its buffers hold and then reads no more. What the server cannot give it goes to
/// the store, within the bound, and the sender hears that everything is handled. When the recipient
/// reads on and comes again, it has each message, and those that it was given it has once.
#[test]
fn what_a_client_does_not_take_is_stored_and_its_sender_is_told() {
    run(async {
        let world = World::new(0);
        let account = world.account("romeo").await;
        let mut line = Line::perfect();
        line.window = 2000;
        let mut romeo = Client::new(world.connect(Line::perfect(), line));
        let mut rng = world.rng();
        romeo
            .login(&account, Some("romeo"), &mut rng)
            .await
            .unwrap();
        romeo.send("<presence/>").await.unwrap();

        let mut juliet = world.login("juliet").await;
        juliet
            .send("<enable xmlns='urn:xmpp:sm:3'/>")
            .await
            .unwrap();
        juliet.element().await.unwrap();
        let body = "O ".repeat(500);
        for n in 0..SENT {
            let to = "to='romeo@example.org' type='chat'";
            let message = format!("<message {to} id='m{n}'><body>{body}</body></message>");
            juliet.send(message).await.unwrap();
        }
        let sent = Instant::now();
        let bound = world.server.config().timeouts.settle;
        // It is told step by step, and of all of them in time.
        sleep(bound + Duration::from_millis(50)).await;
        juliet.send("<r xmlns='urn:xmpp:sm:3'/>").await.unwrap();
        let expected = format!("h='{SENT}'");
        loop {
            let told = juliet.element().await.unwrap().to_string();
            if told.contains(&expected) {
                break;
            }
        }
        assert!(sent.elapsed() < 2 * bound, "after {:?}", sent.elapsed());
        let offline = &world.server.stores().offline;
        let kept = offline
            .count(&"romeo@example.org".parse().unwrap())
            .await
            .unwrap();
        assert!((1..SENT).contains(&kept), "{kept} of {SENT} kept");

        let mut heard = HashMap::new();
        listen(&mut romeo, &mut heard).await;
        romeo
            .send("<presence type='unavailable'/><presence/>")
            .await
            .unwrap();
        listen(&mut romeo, &mut heard).await;
        quiet(Duration::from_secs(1)).await;
        assert_eq!(heard.len(), SENT, "each has come");
        assert_eq!(heard.values().max(), Some(&1), "and once");
    });
}

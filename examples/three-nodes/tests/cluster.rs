//! Three people, each at another node, and a node that goes.

use std::sync::Arc;

use embedded::{Client, Result};
use three_nodes::start;
use xmpp_cluster::io::Ended;
use xmpp_cluster::transport::local::Net;
use xmpp_core::Jid;
use xmpp_core::io::SystemClock;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns};

fn chat(to: Jid, body: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_to(to)
        .with_child(&Element::new("body", ns::CLIENT).with_text(body))
}

/// The next message, behind presence.
async fn heard(client: &mut Client) -> Result<String> {
    loop {
        let stanza = client.next().await?;
        if matches!(stanza.kind(), Kind::Message(_)) {
            let body = stanza.payload().child("body", ns::CLIENT);
            return Ok(body.ok_or("no body")?.element().text().into_owned());
        }
    }
}

#[tokio::test]
async fn a_message_goes_from_node_to_node_and_waits_for_who_was_at_one_that_went() -> Result<()> {
    let net = Net::new();
    let [a, b, c] = start(|| Arc::new(net.node(Arc::new(SystemClock)))).await?;
    let mut romeo = a.app.login("romeo@example.org").await?;
    let mut juliet = b.app.login("juliet@example.org").await?;
    let mut nurse = c.app.login("nurse@example.org").await?;
    for node in [&a, &b, &c] {
        for client in [&romeo, &juliet, &nurse] {
            node.sees(client.jid()).await?;
        }
    }

    let line = "Wilt thou be gone?";
    juliet.send(&chat(romeo.jid().clone().into(), line)).await?;
    assert_eq!(heard(&mut romeo).await?, line);
    romeo
        .send(&chat(nurse.jid().clone().into(), "Nurse!"))
        .await?;
    assert_eq!(heard(&mut nurse).await?, "Nurse!");

    // Her node stops, and the others go on.
    let home = Jid::from(nurse.jid().to_bare());
    let (ended, closed) = tokio::join!(c.stop(), async {
        let end = nurse.next().await;
        drop(nurse);
        end
    });
    assert_eq!(ended?, Ended::Left);
    assert!(closed.is_err(), "her stream is closed");
    for node in [&a, &b] {
        node.hears(1).await?;
    }
    romeo.send(&chat(home, "Art thou there?")).await?;
    let mut nurse = b.app.login("nurse@example.org").await?;
    let available = Stanza::presence(PresenceType::Available);
    nurse.send(&available).await?;
    assert_eq!(heard(&mut nurse).await?, "Art thou there?");
    Ok(())
}

//! The engine does what every engine has to, and carries a cluster.

use std::sync::Arc;

use embedded::Result;
use own_transport::Hub;
use xmpp_cluster::transport::conformance;
use xmpp_core::Jid;
use xmpp_core::stanza::{MessageType, Stanza};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_an_engine() {
    let hub = Hub::default();
    conformance::transport(|| hub.line()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_runs_on_it() -> Result<()> {
    let hub = Hub::default();
    let [a, b, _c] = three_nodes::start(|| Arc::new(hub.line())).await?;
    let mut romeo = a.app.login("romeo@example.org").await?;
    let mut juliet = b.app.login("juliet@example.org").await?;
    b.sees(romeo.jid()).await?;
    let message = Stanza::message(MessageType::Chat).with_to(Jid::from(romeo.jid()));
    juliet.send(&message.with_id(Some("m"))).await?;
    let heard = romeo.next().await?;
    assert_eq!(
        (heard.id(), heard.from()),
        (Some("m"), Some(juliet.jid().as_jid()))
    );
    Ok(())
}

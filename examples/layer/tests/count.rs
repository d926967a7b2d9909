//! The layer around real streams.

use embedded::{App, Result};
use layer::Counter;
use xmpp_core::Jid;
use xmpp_core::stanza::{MessageType, Stanza};

#[tokio::test]
async fn a_message_counts_where_it_comes_in_and_where_it_goes_out() -> Result<()> {
    let counter = Counter::default();
    let app = App::start(|server| server.module(counter.clone()))?;
    let mut romeo = app.login("romeo@example.org").await?;
    let mut juliet = app.login("juliet@example.org").await?;
    // Binding a resource is the stream's own business, but for its answer.
    assert_eq!((counter.from_clients(), counter.to_clients()), (0, 2));

    let to = Jid::from(juliet.jid().clone());
    for _ in 0..3 {
        romeo
            .send(&Stanza::message(MessageType::Chat).with_to(to.clone()))
            .await?;
        juliet.next().await?;
    }
    assert_eq!((counter.from_clients(), counter.to_clients()), (3, 5));
    Ok(())
}

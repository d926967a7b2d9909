//! Two servers of one domain, as their clients meet them.

use std::sync::Arc;

use directory::Twin;
use embedded::{App, Client, PASSWORD, ROUNDS, Result};
use xmpp_core::sasl::Credentials;
use xmpp_core::session::Session;
use xmpp_core::stanza::{Condition, MessageType, PresenceType, Stanza};
use xmpp_core::store::Stores;
use xmpp_core::stream::StreamError;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

fn twins() -> Result<(App, App)> {
    let stores = Stores::memory();
    let (first, second) = Twin::pair();
    let start = |directory| {
        let stores = stores.clone();
        App::start(|server| server.stores(stores).directory(directory))
    };
    Ok((start(first)?, start(second)?))
}

fn chat(to: &Jid) -> Stanza {
    Stanza::message(MessageType::Chat).with_to(to.clone())
}

async fn appear(client: &mut Client) -> Result<()> {
    client
        .send(&Stanza::presence(PresenceType::Available))
        .await?;
    // One's own presence comes back (RFC 6121 §4.2.2): it has been dealt with.
    client.next().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_reaches_a_session_on_the_other_server() -> Result<()> {
    let (here, there) = twins()?;
    let mut romeo = here.login("romeo@example.org").await?;
    let mut juliet = there.login("juliet@example.org").await?;
    appear(&mut juliet).await?;
    // By her full address, and by her bare one.
    for to in [
        juliet.jid().as_jid().clone(),
        Jid::from(juliet.jid().to_bare()),
    ] {
        romeo.send(&chat(&to)).await?;
        assert_eq!(juliet.next().await?.from(), Some(romeo.jid().as_jid()));
    }
    Ok(())
}

#[tokio::test]
async fn devices_of_one_account_see_each_other_come_and_go() -> Result<()> {
    let (here, there) = twins()?;
    let mut phone = here.login("romeo@example.org").await?;
    appear(&mut phone).await?;
    let mut laptop = there.login("romeo@example.org").await?;
    laptop
        .send(&Stanza::presence(PresenceType::Available))
        .await?;
    let seen = phone.next().await?;
    assert_eq!(seen.from(), Some(laptop.jid().as_jid()));
    drop(laptop);
    let gone = phone.next().await?;
    assert_eq!(
        gone.kind(),
        xmpp_core::stanza::Kind::Presence(PresenceType::Unavailable)
    );
    Ok(())
}

#[tokio::test]
async fn whoever_is_gone_from_one_is_gone_from_both() -> Result<()> {
    let (here, there) = twins()?;
    let mut romeo = here.login("romeo@example.org").await?;
    let juliet = there.login("juliet@example.org").await?;
    let address = juliet.jid().as_jid().clone();
    drop(juliet);
    while here.server().directory().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(there.server().directory().len(), 1);
    let request = Stanza::iq(xmpp_core::stanza::IqType::Get, "1")
        .with_to(address)
        .with_child(&xmpp_core::xml::Element::new("ping", "urn:xmpp:ping"));
    let error = romeo.ask(&request).await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    Ok(())
}

#[tokio::test]
async fn who_takes_an_address_over_from_the_other_server_gets_what_it_was_not_given() -> Result<()>
{
    let (here, there) = twins()?;
    let mut romeo = here.login("romeo@example.org").await?;
    // Bound without a connection: nobody reads what is sent there.
    let juliet = BareJid::new("juliet@example.org")?;
    let bind = async |app: &App| -> Result<Arc<Session>> {
        let account = app.server().account(&juliet).await?;
        let bound = app.server().bind(account, Some("balcony"));
        Ok(bound.map_err(|error| error.condition.name())?.session)
    };
    let password = Credentials::derive(PASSWORD, ROUNDS, || here.server().random())?;
    let stores = here.server().stores();
    stores.accounts.create(&juliet, &password).await?;
    let old = bind(&here).await?;
    let body = Element::new("body", "jabber:client").with_text("Hark");
    romeo
        .send(&chat(old.jid().as_jid()).with_child(&body))
        .await?;
    while old.queue().depth().0 == 0 {
        tokio::task::yield_now().await;
    }

    let new = bind(&there).await?;
    assert_eq!(old.ending(), Some(StreamError::conflict()));
    // Its connection sees that, and ends it.
    let _ = here.server().end(&old).finish().await;
    assert_eq!(here.server().metrics().sessions.value(), 1, "romeo's");
    assert_eq!(stores.offline.count(&juliet).await?, 1);
    for app in [&here, &there] {
        assert_eq!(
            app.server().bound(new.jid()).map(|r| r.id()),
            Some(new.id())
        );
    }
    Ok(())
}

//! Two tenants of one server.

use embedded::{App, Client, Result, domain};
use router::Tenants;
use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, IqType, MessageType, Stanza};
use xmpp_core::xml::Element;

fn app() -> Result<App> {
    let other = domain("example.net")?;
    App::start(|server| server.domain(other).router(Tenants::around_rules))
}

fn chat(to: &Client) -> Stanza {
    Stanza::message(MessageType::Chat).with_to(Jid::from(to.jid().clone()))
}

#[tokio::test]
async fn people_of_one_tenant_reach_each_other() -> Result<()> {
    let app = app()?;
    let mut romeo = app.login("romeo@example.org").await?;
    let mut juliet = app.login("juliet@example.org").await?;
    romeo.send(&chat(&juliet)).await?;
    assert_eq!(juliet.next().await?.from(), Some(romeo.jid().as_jid()));
    Ok(())
}

#[tokio::test]
async fn nobody_reaches_another_tenant_and_everybody_is_told() -> Result<()> {
    let app = app()?;
    let mut romeo = app.login("romeo@example.org").await?;
    let mut juliet = app.login("juliet@example.net").await?;
    romeo.send(&chat(&juliet)).await?;
    let error = romeo.next().await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::Forbidden);

    // What does not exist there is no other than what does.
    let to = Jid::new("nobody@example.net")?;
    romeo
        .send(&Stanza::message(MessageType::Chat).with_to(to))
        .await?;
    let error = romeo.next().await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::Forbidden);

    let request = Stanza::iq(IqType::Get, "1")
        .with_to(Jid::from(romeo.jid().clone()))
        .with_child(&Element::new("query", "jabber:iq:version"));
    let error = juliet.ask(&request).await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::Forbidden);
    Ok(())
}

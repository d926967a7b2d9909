//! The bot as a client meets it.

use embedded::{App, Result};
use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, IqType, MessageType, Stanza};
use xmpp_core::xml::{Element, ns};

const BOT: &str = "echo.example.org";

fn says(to: &str, body: &str) -> Result<Stanza> {
    Ok(Stanza::message(MessageType::Chat)
        .with_to(Jid::new(to)?)
        .with_child(&Element::new("body", ns::CLIENT).with_text(body)))
}

#[tokio::test]
async fn the_bot_repeats_what_it_is_told_from_the_address_that_was_spoken_to() -> Result<()> {
    let app = App::start(|server| server)?;
    entity::start(app.server(), &Jid::new(BOT)?).ok_or("the address is taken")?;
    let mut romeo = app.login("romeo@example.org").await?;
    for (to, body) in [(BOT, "Ay me!"), ("nymph@echo.example.org/cave", "Me!")] {
        romeo.send(&says(to, body)?).await?;
        let answer = romeo.next().await?;
        assert_eq!(answer.from().map(Jid::as_str), Some(to));
        let heard = answer
            .payload()
            .child("body", ns::CLIENT)
            .ok_or("no body")?;
        assert_eq!(heard.element().text(), body);
    }
    Ok(())
}

#[tokio::test]
async fn a_request_to_the_bot_is_answered() -> Result<()> {
    let app = App::start(|server| server)?;
    entity::start(app.server(), &Jid::new(BOT)?).ok_or("the address is taken")?;
    let mut romeo = app.login("romeo@example.org").await?;
    let request = Stanza::iq(IqType::Get, "1")
        .with_to(Jid::new(BOT)?)
        .with_child(&Element::new("query", "jabber:iq:version"));
    let error = romeo.ask(&request).await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    Ok(())
}

#[tokio::test]
async fn an_address_is_served_once_and_is_nobodys_when_its_mailbox_is_closed() -> Result<()> {
    let app = App::start(|server| server)?;
    let mailbox = entity::start(app.server(), &Jid::new(BOT)?).ok_or("the address is taken")?;
    assert!(entity::start(app.server(), &Jid::new(BOT)?).is_none());

    mailbox.close();
    let mut romeo = app.login("romeo@example.org").await?;
    romeo.send(&says(BOT, "Anybody?")?).await?;
    let error = romeo.next().await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::RemoteServerNotFound);
    Ok(())
}

//! Two people, and a server between them, in one process.

use embedded::{App, Client, Result};
use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, IqType, Kind, MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns};

fn app() -> Result<App> {
    App::start(|server| server)
}

fn chat(to: &Client, body: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_to(Jid::from(to.jid().clone()))
        .with_child(&Element::new("body", ns::CLIENT).with_text(body))
}

#[tokio::test]
async fn two_people_chat() -> Result<()> {
    let app = app()?;
    let mut romeo = app.login("romeo@example.org").await?;
    let mut juliet = app.login("juliet@example.org").await?;

    for line in ["Wilt thou be gone?", "It is not yet near day."] {
        juliet.send(&chat(&romeo, line)).await?;
        let heard = romeo.next().await?;
        assert_eq!(heard.from(), Some(juliet.jid().as_jid()));
        let body = heard.payload().child("body", ns::CLIENT).ok_or("no body")?;
        assert_eq!(body.element().text(), line);
    }

    romeo.close().await?;
    juliet.close().await?;
    assert!(app.stop().await, "all connections are gone");
    Ok(())
}

#[tokio::test]
async fn a_request_that_nobody_knows_is_answered_all_the_same() -> Result<()> {
    let app = app()?;
    let mut juliet = app.login("juliet@example.org").await?;
    let request = Stanza::iq(IqType::Get, "1")
        .with_to(Jid::new(embedded::DOMAIN)?)
        .with_child(&Element::new("query", "urn:example:unheard-of"));
    let answer = juliet.ask(&request).await?;
    // RFC 6120 §8.4: "the entity MUST return an IQ stanza of type "error" with an error
    // condition of <service-unavailable/>"
    let error = answer.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    Ok(())
}

#[tokio::test]
async fn what_is_said_to_somebody_who_is_away_waits() -> Result<()> {
    let app = app()?;
    let mut romeo = app.login("romeo@example.org").await?;
    let mut juliet = app.login("juliet@example.org").await?;
    let away = chat(&juliet, "Art thou there?").with_to(Jid::from(juliet.jid().to_bare()));
    romeo.send(&away).await?;

    juliet
        .send(&Stanza::presence(PresenceType::Available))
        .await?;
    let heard = loop {
        let stanza = juliet.next().await?; // her own presence comes back as well
        if matches!(stanza.kind(), Kind::Message(_)) {
            break stanza;
        }
    };
    assert_eq!(heard.from(), Some(romeo.jid().as_jid()));
    assert!(heard.payload().has("delay", "urn:xmpp:delay"));
    Ok(())
}

#[tokio::test]
async fn a_server_that_stops_says_so() -> Result<()> {
    let app = app()?;
    let mut juliet = app.login("juliet@example.org").await?;
    let hears = async {
        let heard = juliet.next().await;
        drop(juliet); // the server waits for that
        heard
    };
    let (heard, all_gone) = tokio::join!(hears, app.stop());
    let end = heard.expect_err("a stanza came").to_string();
    assert!(end.contains("system-shutdown"), "{end}");
    assert!(all_gone);
    Ok(())
}

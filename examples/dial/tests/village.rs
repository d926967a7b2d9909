//! Two servers in one process.

use dial::Village;
use embedded::{App, Client, Result, domain};
use xmpp_core::io::s2s::Gate;
use xmpp_core::stanza::{Condition, MessageType, Stanza};
use xmpp_core::{BareJid, Jid};

fn house(village: &Village, name: &str) -> Result<App> {
    let (gate, served) = (Gate::default(), domain(name)?);
    let app = App::start(|server| server.domain(served).remote(gate.mailbox()))?;
    village.join(BareJid::new(name)?, app.server(), gate);
    Ok(app)
}

fn chat(to: &Client) -> Stanza {
    Stanza::message(MessageType::Chat).with_to(Jid::from(to.jid().clone()))
}

#[tokio::test]
async fn people_of_two_servers_speak() -> Result<()> {
    let village = Village::default();
    let (montague, capulet) = (
        house(&village, "montague.example")?,
        house(&village, "capulet.example")?,
    );
    let mut romeo = montague.login("romeo@montague.example").await?;
    let mut juliet = capulet.login("juliet@capulet.example").await?;
    romeo.send(&chat(&juliet)).await?;
    assert_eq!(juliet.next().await?.from(), Some(romeo.jid().as_jid()));
    juliet.send(&chat(&romeo)).await?;
    assert_eq!(romeo.next().await?.from(), Some(juliet.jid().as_jid()));
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_of_the_village_is_not_found() -> Result<()> {
    let village = Village::default();
    let montague = house(&village, "montague.example")?;
    let mut romeo = montague.login("romeo@montague.example").await?;
    let stranger = Jid::new("paris@verona.example")?;
    romeo
        .send(&Stanza::message(MessageType::Chat).with_to(stranger))
        .await?;
    let error = romeo.next().await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::RemoteServerNotFound);
    Ok(())
}

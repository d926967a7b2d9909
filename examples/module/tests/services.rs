//! The module as a client sees it.

use embedded::{App, DOMAIN, Result};
use module::{ExternalServices, NS, Service};
use xmpp_core::Jid;
use xmpp_core::stanza::{Condition, IqType, Stanza};
use xmpp_core::xml::Element;

fn app() -> Result<App> {
    let service = |kind, host: &str, port| Service {
        kind,
        host: host.to_owned(),
        port,
        transport: "udp",
    };
    App::start(|server| {
        server.module(ExternalServices::new(vec![
            service("stun", "stun.example.org", 3478),
            service("turn", "192.0.2.1", 3479),
        ]))
    })
}

fn request(kind: IqType, services: Element) -> Result<Stanza> {
    let server = Jid::new(DOMAIN)?;
    Ok(Stanza::iq(kind, "1").with_to(server).with_child(&services))
}

/// The `host` of each service that the answer names.
fn hosts(answer: &Stanza) -> Vec<String> {
    let Some(services) = answer.payload().child("services", NS) else {
        return Vec::new();
    };
    let services = services.element();
    let hosts = services
        .children()
        .filter_map(|service| service.attr("host"));
    hosts.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_client_learns_of_all_services_or_of_those_of_a_type() -> Result<()> {
    let app = app()?;
    let mut juliet = app.login("juliet@example.org").await?;
    let all = request(IqType::Get, Element::new("services", NS))?;
    let answer = juliet.ask(&all).await?;
    assert_eq!(hosts(&answer), ["stun.example.org", "192.0.2.1"]);

    let turn = Element::new("services", NS).with_attr("type", "turn");
    let answer = juliet.ask(&request(IqType::Get, turn)?).await?;
    assert_eq!(hosts(&answer), ["192.0.2.1"]);
    Ok(())
}

#[tokio::test]
async fn services_cannot_be_set() -> Result<()> {
    let app = app()?;
    let mut juliet = app.login("juliet@example.org").await?;
    let set = request(IqType::Set, Element::new("services", NS))?;
    let error = juliet.ask(&set).await?.error().ok_or("no error")?;
    assert_eq!(error.condition, Condition::NotAllowed);
    Ok(())
}

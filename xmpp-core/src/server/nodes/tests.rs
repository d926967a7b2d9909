//! Two nodes of one domain.

use std::sync::Arc;

use crate::im::blocking::Blocking;
use crate::im::carbons::Carbons;
use crate::im::last_activity::LastActivity;
use crate::im::offline::Offline;
use crate::im::presence::Presence;
use crate::im::roster::Roster;
use crate::module::Module;
use crate::server::testing::{Client, Pair, World};
use crate::stanza::{Condition, Stanza};
use crate::store::Stores;

mod accounts;
mod delivery;
mod offline;
mod presence;

const ROMEO: &str = "romeo@example.org/orchard";

fn modules() -> Vec<Arc<dyn Module>> {
    vec![
        Arc::new(Roster),
        Arc::new(Presence),
        Arc::new(Blocking),
        Arc::new(LastActivity::default()),
        Arc::new(Offline::default()),
        Arc::new(Carbons::default()),
    ]
}

fn pair() -> Pair {
    Pair::on(shared(), modules, |_| {})
}

fn shared() -> [Stores; 2] {
    let stores = Stores::memory();
    [stores.clone(), stores]
}

/// A client that is available, has its roster and wants copies.
fn online(world: &World, jid: &str, priority: i8) -> Client {
    let client = world.login(jid);
    client.send("<iq id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>");
    client.send("<iq id='b' type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
    client.send("<iq id='c' type='set'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    client.send(&format!(
        "<presence><priority>{priority}</priority></presence>"
    ));
    client.skip();
    client
}

fn chat(to: &str, text: &str) -> String {
    format!("<message to='{to}' type='chat' id='{text}'><body>{text}</body></message>")
}

/// What somebody was sent: bodies of messages, those of copies with their direction, or the conditions of errors.
fn heard(client: &Client) -> Vec<String> {
    client.read().iter().map(told).collect()
}

fn told(stanza: &Stanza) -> String {
    if let Some(error) = stanza.error() {
        return error.condition.name().to_owned();
    }
    let text = stanza.to_string();
    let body = text
        .split_once("<body>")
        .and_then(|(_, rest)| rest.split_once("</body>"));
    let body = body.map_or("", |(body, _)| body);
    let copied = ["sent", "received"].into_iter();
    let copied = copied.filter(|direction| stanza.payload().has(direction, crate::im::carbons::NS));
    copied
        .chain([body])
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

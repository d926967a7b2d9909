//! Dialogues of RFC 6121 §3 and §4.

use super::*;
use crate::im::roster::Roster;
use crate::server::Config;
use crate::server::testing::{Client, World, bare};
use crate::store::Subscription;

mod blocked;
mod exchange;
mod offline;
mod races;
mod subscriptions;

const ROMEO: &str = "romeo@example.org/orchard";
const JULIET: &str = "juliet@example.org/balcony";

fn world() -> World {
    configured(|_| {})
}

fn configured(configure: impl FnOnce(&mut Config)) -> World {
    World::with(vec![Arc::new(Roster), Arc::new(Presence)], configure)
}

/// A client that has its roster and is available.
fn online(world: &World, jid: &str) -> Client {
    let client = interested(world, jid);
    client.send("<presence/>");
    client.skip();
    client
}

/// A client that has its roster.
fn interested(world: &World, jid: &str) -> Client {
    let client = world.login(jid);
    client.send("<iq id='roster' type='get'><query xmlns='jabber:iq:roster'/></iq>");
    client.skip();
    client
}

/// Has the store hold an item before anybody logs in.
fn contact(world: &World, user: &str, contact: &str, subscription: Subscription) {
    let mut item = RosterItem::new(bare(contact));
    item.subscription = subscription;
    let user = world.account(user);
    world
        .run(world.server.stores().rosters.put(&user, &item))
        .unwrap();
}

/// Two accounts that see each other.
fn friends(world: &World) {
    let (romeo, juliet) = ("romeo@example.org", "juliet@example.org");
    contact(world, romeo, juliet, Subscription::Both);
    contact(world, juliet, romeo, Subscription::Both);
}

/// A roster push to `to`.
fn push(to: &str, item: &str) -> String {
    let user = to.split('/').next().unwrap();
    format!(
        "<iq to='{to}' from='{user}' id='*' type='set'>\
         <query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"
    )
}

/// The state that an account's roster holds of a contact.
fn state(world: &World, user: &str, contact: &str) -> String {
    let account = world.run(world.server.account(&bare(user))).unwrap();
    account.roster(|roster| State::of(roster.item(contact)).to_string())
}

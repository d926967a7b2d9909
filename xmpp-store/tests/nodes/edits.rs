//! Two servers over one store change the same roster at once.

use std::sync::{Arc, OnceLock};

use xmpp_core::BareJid;
use xmpp_core::account::{Account, AccountChange, AccountEvents, ItemChange};
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Domain, Server};
use xmpp_core::store::{Ask, RosterItem, Stores};

/// What is changed on one server is told to the other at once, as far as it is there.
#[derive(Default)]
struct Other(OnceLock<Server>);

impl AccountEvents for Other {
    fn changed(&self, account: &BareJid, change: AccountChange) {
        if let Some(server) = self.0.get() {
            server.account_changed(account, change);
        }
    }
}

const ROUNDS: usize = 40;

/// Each of two servers counts in a part of one contact of its own, and adds contacts. Nothing is lost.
pub async fn edits_on_two_servers_are_not_lost(each: [Stores; 2]) {
    let ann: BareJid = "ann@example.com".parse().unwrap();
    let stores = each[0].clone();
    assert!(
        stores
            .accounts
            .create(&ann, &Credentials::default())
            .await
            .unwrap()
    );
    let others = [Arc::new(Other::default()), Arc::new(Other::default())];
    let mut each = each.into_iter();
    let servers = others.each_ref().map(|other| {
        let stores = each.next().unwrap();
        let domain = Domain::new("example.com".parse().unwrap(), Secret::from([7; 32]));
        let builder = Server::builder().domain(domain).stores(stores);
        let builder = builder.account_events((*other).clone());
        builder.build(xmpp_core::io::surroundings()).unwrap()
    });
    let [first, second] = &servers;
    let _ = others[0].0.set(second.clone());
    let _ = others[1].0.set(first.clone());
    let mut accounts = Vec::new();
    for server in &servers {
        accounts.push(server.account(&ann).await.unwrap());
    }
    let one = async {
        for round in 1..=ROUNDS {
            let name = |item: &mut RosterItem| item.name = Some(round.to_string());
            edit(&accounts[0], first, "both@example.com", &name).await;
            let ask = |item: &mut RosterItem| item.ask = Some(Ask::Subscribe);
            edit(
                &accounts[0],
                first,
                &format!("one{round}@example.com"),
                &ask,
            )
            .await;
        }
    };
    let two = async {
        for round in 1..=ROUNDS {
            let group = |item: &mut RosterItem| item.groups.push(round.to_string());
            edit(&accounts[1], second, "both@example.com", &group).await;
            let approve = |item: &mut RosterItem| item.approved = true;
            edit(
                &accounts[1],
                second,
                &format!("two{round}@example.com"),
                &approve,
            )
            .await;
        }
    };
    futures::join!(one, two);
    let stored = stores.rosters.load(&ann).await.unwrap();
    assert_eq!(stored.items.len(), 1 + 2 * ROUNDS);
    let both = stored
        .items
        .iter()
        .find(|item| item.jid.as_str() == "both@example.com");
    let both = both.unwrap();
    assert_eq!(both.name, Some(ROUNDS.to_string()));
    let groups: Vec<_> = (1..=ROUNDS).map(|round| round.to_string()).collect();
    assert_eq!(both.groups, groups);
    // What both have in memory, as soon as they have heard of the last change.
    for server in &servers {
        let account = server.account(&ann).await.unwrap();
        account.roster(|roster| {
            assert_eq!(roster.version, stored.version);
            assert_eq!(roster.item("both@example.com"), Some(both));
            assert_eq!(roster.items().len(), stored.items.len());
        });
        server.close().await;
    }
}

async fn edit(account: &Account, server: &Server, contact: &str, edit: &dyn Fn(&mut RosterItem)) {
    let contact: BareJid = contact.parse().unwrap();
    let changed = account.change_roster(
        server.stores(),
        &contact,
        |_, item| {
            let mut item = item
                .cloned()
                .unwrap_or_else(|| RosterItem::new(contact.clone()));
            edit(&mut item);
            Ok::<_, ()>(ItemChange::Put(item))
        },
        |_| {},
    );
    changed.await.unwrap();
}

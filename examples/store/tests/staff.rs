//! The port by its contract, and in a server.

use std::sync::Arc;

use embedded::{App, PASSWORD, ROUNDS, Result};
use store::Staff;
use xmpp_core::BareJid;
use xmpp_core::sasl::{Credentials, SALT_LEN};
use xmpp_core::store::memory::Memory;
use xmpp_core::store::{Accounts as _, Stores, conformance};

const NURSE: &str = "nurse@example.org";

/// All from one store, but the accounts, of which one is on our table.
fn stores() -> Result<Stores> {
    let mut stores = Stores::from_one(Arc::new(Memory::new()));
    let password = Credentials::derive(PASSWORD, ROUNDS, || [1; SALT_LEN])?;
    let table = [(BareJid::new(NURSE)?, password)];
    stores.accounts = Arc::new(Staff::new(table, stores.accounts));
    Ok(stores)
}

/// Those who are not on the table find a store that keeps every promise.
#[tokio::test]
async fn it_conforms() {
    conformance::all(async || stores().expect("the table is sound")).await;
}

#[tokio::test]
async fn who_is_on_the_table_logs_in_and_cannot_be_changed() -> Result<()> {
    let stores = stores()?;
    let app = App::start(|server| server.stores(stores.clone()))?;
    let nurse = app.login(NURSE).await?;
    assert_eq!(nurse.jid().bare_str(), NURSE);
    nurse.close().await?;

    let jid = BareJid::new(NURSE)?;
    let none = Credentials::default();
    assert!(!stores.accounts.create(&jid, &none).await?, "it is there");
    assert!(stores.accounts.set_credentials(&jid, &none).await.is_err());
    assert!(stores.accounts.delete(&jid).await.is_err());
    assert!(stores.accounts.exists(&jid).await?);
    Ok(())
}

#[tokio::test]
async fn the_table_and_the_other_store_are_one_list() -> Result<()> {
    let memory = Arc::new(Memory::new());
    let none = Credentials::default();
    for name in ["a@example.org", "c@example.org", "b@example.net"] {
        memory.create(&BareJid::new(name)?, &none).await?;
    }
    let table = [(BareJid::new("b@example.org")?, none.clone())];
    let staff = Staff::new(table, memory);
    let first = staff.list("example.org", None, 2).await?;
    assert_eq!(
        first,
        ["a@example.org", "b@example.org"].map(|jid| BareJid::new(jid).unwrap())
    );
    let rest = staff.list("example.org", first.last(), 2).await?;
    assert_eq!(rest, [BareJid::new("c@example.org")?]);
    Ok(())
}

//! The PostgreSQL store, on servers that the tests start themselves:
//! `cargo test -p xmpp-store --features postgres --test postgres`.
//! Needs PostgreSQL: `apt-get install -y postgresql`.

#![allow(clippy::unwrap_used)]

#[path = "postgres/cluster.rs"]
mod cluster;
#[path = "nodes/edits.rs"]
mod edits;
#[path = "kill/oracle.rs"]
mod oracle;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::Cluster;
use futures::future::join_all;
use oracle::{Fault, Oracle};
use tokio_postgres::{Client, NoTls};
use xmpp_core::BareJid;
use xmpp_core::sasl::Credentials;
use xmpp_core::store::*;
use xmpp_core::time::Timestamp;
use xmpp_muc_federated::store as rooms;
use xmpp_store::{OpenError, Postgres, PostgresOptions};

fn ann() -> BareJid {
    "ann@example.com".parse().unwrap()
}

async fn connect(url: &str) -> Postgres {
    Postgres::connect(PostgresOptions::new(url)).await.unwrap()
}

/// A connection besides the store's.
#[allow(clippy::disallowed_methods)]
async fn sql(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Each with connections of its own.
#[tokio::test]
async fn two_servers_change_one_roster() {
    let cluster = Cluster::start(None);
    let [first, second] = [
        connect(&cluster.local()).await,
        connect(&cluster.local()).await,
    ];
    let stores = [first, second].map(|store| Stores::from_one(Arc::new(store)));
    edits::edits_on_two_servers_are_not_lost(stores).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let cluster = Cluster::start(None);
    let made = AtomicUsize::new(0);
    // Each store in a schema of its own.
    let client = sql(&cluster.local()).await;
    let new = async || {
        let name = format!("s{}", made.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE SCHEMA {name}");
        client.batch_execute(&create).await.unwrap();
        let url = format!("{} options='-c search_path={name}'", cluster.local());
        let mut options = PostgresOptions::new(url);
        options.readers = 2;
        Arc::new(Postgres::connect(options).await.unwrap())
    };
    conformance::all(async || Stores::from_one(new().await)).await;
    conformance::shared(async || Stores::from_one(new().await)).await;
    rooms::conformance::rooms(async || new().await as Arc<dyn rooms::Rooms>).await;
    assert!(made.into_inner() > 30, "the suite needs many stores");
}

#[tokio::test]
async fn two_servers_share_a_database() {
    let cluster = Cluster::start(None);
    let url = cluster.local();
    // Both migrate at the same time.
    let (a, b) = tokio::join!(connect(&url), connect(&url));
    let servers = [&a, &b];
    let accounts: Vec<BareJid> = (0..5)
        .map(|i| format!("user{i}@example.com").parse().unwrap())
        .collect();
    let texts: Vec<String> = (0..1000).map(|i| i.to_string()).collect();

    // Each account is written to by both, the groups of both have accounts in common, and a
    // reader takes messages away. None may appear behind the reader's back.
    let write = join_all(texts.iter().enumerate().map(|(i, xml)| {
        let account = &accounts[i * 7 % 5];
        servers[i % 2].push(account, Timestamp(0), xml, OfflineLimits::messages(1000))
    }));
    let read = async {
        let mut read = Vec::new();
        while read.len() < 200 {
            let page = a.page(&accounts[0], 0, 10).await.unwrap();
            let ids: Vec<u64> = page.iter().map(|message| message.id).collect();
            Offline::delete(&b, &accounts[0], &ids).await.unwrap();
            read.extend(page.into_iter().map(|message| message.xml));
        }
        read
    };
    let read = tokio::time::timeout(Duration::from_secs(60), read);
    let (pushed, read) = tokio::join!(write, read);
    assert!(pushed.into_iter().all(|pushed| pushed.unwrap()));
    let mut read: Vec<usize> = read
        .expect("messages were lost")
        .iter()
        .map(|xml| xml.parse().unwrap())
        .collect();
    read.sort_unstable();
    let wanted: Vec<usize> = (0..1000).filter(|i| i * 7 % 5 == 0).collect();
    assert_eq!(read, wanted);

    let contact = RosterItem::new("bob@example.com".parse().unwrap());
    let puts = (0..100).map(|i| servers[i % 2].put(&accounts[0], &contact));
    let mut versions: Vec<u64> = join_all(puts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 100, "a version was given twice");
}

#[tokio::test]
async fn a_change_that_fails_undoes_itself_and_not_its_neighbours() {
    let cluster = Cluster::start(None);
    let url = cluster.local();
    let store = connect(&url).await;
    let account = ann();
    // XML cannot hold U+0000, and neither can PostgreSQL.
    let texts = ["a", "b", "\0", "c"];
    let pushes =
        texts.map(|xml| store.push(&account, Timestamp(0), xml, OfflineLimits::messages(10)));
    let pushed = join_all(pushes).await;
    let failed: Vec<bool> = pushed.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, true, false], "{pushed:?}");
    let writing = store.writing();
    assert_eq!((writing.failed, writing.is_failing), (1, false));
    let page = store.page(&account, 0, 10).await.unwrap();
    let found: Vec<&str> = page.iter().map(|message| &*message.xml).collect();
    assert_eq!(found, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let mut cluster = Cluster::start(None);
    let store = connect(&cluster.local()).await;
    let account = ann();
    store
        .create(&account, &Credentials::default())
        .await
        .unwrap();
    cluster.crash();
    let lost = store.exists(&account).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let lost = store
        .push(&account, Timestamp(0), "x", OfflineLimits::messages(10))
        .await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let writing = store.writing();
    assert_eq!((writing.failed, writing.is_failing), (1, true));
    assert!(store.try_writing().await.is_err());
    cluster.restart(false);
    store.try_writing().await.unwrap();
    assert!(!store.writing().is_failing);
    assert!(store.exists(&account).await.unwrap());
    assert!(
        store
            .push(&account, Timestamp(0), "x", OfflineLimits::messages(10))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_holds_up_nobody_else() {
    let cluster = Cluster::start(None);
    let mut options = PostgresOptions::new(cluster.local());
    options.timeout = Duration::from_millis(300);
    options.readers = 1;
    let store = Postgres::connect(options).await.unwrap();
    assert!(
        store
            .push(&ann(), Timestamp(0), "a", OfflineLimits::messages(10))
            .await
            .unwrap()
    );
    let client = sql(&cluster.local()).await;
    let locked = "BEGIN; LOCK TABLE offline IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(locked).await.unwrap();
    let late = store
        .push(&ann(), Timestamp(0), "b", OfflineLimits::messages(10))
        .await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let late = store.count(&ann()).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    assert!(!store.exists(&ann()).await.unwrap(), "another table");
    VCards::save(&store, &ann(), "<vCard/>")
        .await
        .expect_err("of the same account");
    let bob = "bob@example.com".parse().unwrap();
    VCards::save(&store, &bob, "<vCard/>")
        .await
        .expect("of another account");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(
        store
            .push(&ann(), Timestamp(0), "c", OfflineLimits::messages(10))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_was_asked_for_before_closing_is_written() {
    let cluster = Cluster::start(None);
    let store = connect(&cluster.local()).await;
    let account = ann();
    let pushes =
        (0..1000).map(|_| store.push(&account, Timestamp(0), "x", OfflineLimits::messages(1000)));
    let (pushed, ()) = futures::join!(join_all(pushes), store.close());
    let pushed = pushed
        .into_iter()
        .filter(|pushed| matches!(pushed, Ok(true)));
    let late = store.exists(&account).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let late = VCards::save(&store, &account, "x").await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let count = connect(&cluster.local())
        .await
        .count(&account)
        .await
        .unwrap();
    assert!(count > 0, "nothing was pushed before closing");
    assert_eq!(count, pushed.count());
}

/// What a step to come may do: a column more in each table, one of them never null, an index, and a table that refers to another.
async fn expand(client: &Client) {
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'store_schema'";
    for row in client.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let add = format!(
            "ALTER TABLE {table} ADD COLUMN later text, ADD COLUMN later_count integer NOT NULL DEFAULT 7;
             CREATE INDEX {table}_later ON {table} (later)"
        );
        client.batch_execute(&add).await.unwrap();
    }
    let add = "CREATE TABLE later (account bytea PRIMARY KEY, text text);
         UPDATE store_schema SET version = version + 1";
    client.batch_execute(add).await.unwrap();
}

/// Nodes of two releases share the database while a site is upgraded: this release is the older one here.
#[tokio::test]
async fn this_release_works_on_what_a_later_one_has_expanded() {
    let cluster = Cluster::start(None);
    let client = sql(&cluster.local()).await;
    let made = AtomicUsize::new(0);
    let new = async || {
        let name = format!("s{}", made.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE SCHEMA {name}; SET search_path = {name}");
        client.batch_execute(&create).await.unwrap();
        let url = format!("{} options='-c search_path={name}'", cluster.local());
        let mut options = PostgresOptions::new(url);
        options.readers = 2;
        let store = Arc::new(Postgres::connect(options).await.unwrap());
        // It is at work already, and has prepared what it says.
        let bob: BareJid = "bob@example.net".parse().unwrap();
        let contact = RosterItem::new(ann());
        store.put(&bob, &contact).await.unwrap();
        VCards::save(&*store, &bob, "<vCard/>").await.unwrap();
        expand(&client).await;
        let mark = "UPDATE roster_item SET later = 'kept'; UPDATE vcard SET later = 'kept'";
        client.batch_execute(mark).await.unwrap();
        store.put(&bob, &contact).await.unwrap();
        VCards::save(&*store, &bob, "<vCard xmlns='x'/>")
            .await
            .unwrap();
        for table in ["roster_item", "vcard"] {
            let select = format!("SELECT later, later_count FROM {table}");
            let row = client.query_one(&select, &[]).await.unwrap();
            let kept: (Option<String>, i32) = (row.get(0), row.get(1));
            assert_eq!(kept, (Some("kept".into()), 7), "what is not its own");
        }
        client
            .batch_execute("DELETE FROM roster_item; DELETE FROM roster; DELETE FROM vcard")
            .await
            .unwrap();
        store
    };
    conformance::all(async || Stores::from_one(new().await)).await;
    conformance::shared(async || Stores::from_one(new().await)).await;
    rooms::conformance::rooms(async || new().await as Arc<dyn rooms::Rooms>).await;
}

#[tokio::test]
async fn data_of_a_newer_release_is_refused_if_it_needs_one() {
    let cluster = Cluster::start(None);
    let url = cluster.local();
    connect(&url).await.close().await;
    let client = sql(&url).await;
    let expanded = "UPDATE store_schema SET version = 99";
    client.batch_execute(expanded).await.unwrap();
    connect(&url).await.close().await;
    let contracted = "UPDATE store_schema SET needs = 98";
    client.batch_execute(contracted).await.unwrap();
    let refused = Postgres::connect(PostgresOptions::new(&url)).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_that_says_so() {
    let nowhere = "host=127.0.0.1 port=1 user=xmpp password=secret";
    let refused = Postgres::connect(PostgresOptions::new(nowhere)).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("refused"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn connections_over_tls_are_verified() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let cluster = Cluster::start(Some((&certificate, &key)));
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    let (roots, others) = (file(&certificate), file(&other.cert.pem()));
    let connect = async |host: &str, roots: Option<&tempfile::NamedTempFile>| {
        let url = format!("{} sslmode=require", cluster.tcp(host));
        let mut options = PostgresOptions::new(url);
        options.roots = roots.map(|file| file.path().to_owned());
        Postgres::connect(options).await
    };

    let store = connect("localhost", Some(&roots)).await.unwrap();
    store.create(&ann(), &Credentials::default()).await.unwrap();
    let client = sql(&cluster.local()).await;
    let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'xmpp-store' AND ssl";
    let row = client.query_one(encrypted, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) > 0, "no connection is encrypted");

    for (host, roots) in [
        ("localhost", Some(&others)),
        ("localhost", None),
        ("127.0.0.1", Some(&roots)),
    ] {
        let error = connect(host, roots).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{host}: {error}");
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_kill_9() {
    if let Some((round, fault)) = oracle::child() {
        let url = std::env::var("KILL_TEST_URL").unwrap();
        let stores = Stores::from_one(Arc::new(connect(&url).await));
        return oracle::write(&stores, round, fault).await;
    }
    let test = "nothing_acknowledged_is_missing_after_kill_9";
    let cluster = Cluster::start(None);
    let url = cluster.local();
    let stores = Stores::from_one(Arc::new(connect(&url).await));
    let mut oracle = Oracle::default();
    let env = [("KILL_TEST_URL", &*url)];
    for _ in 0..5 {
        oracle.run_and_kill(test, Fault::None, &env);
        assert_eq!(oracle.missing(&stores).await, []);
    }
    oracle::report(&format!("{} acknowledged", oracle.acknowledged()));
    for _ in 0..100 {
        oracle.run_and_kill(test, Fault::AcknowledgesEarly, &env);
        if !oracle.missing(&stores).await.is_empty() {
            return;
        }
    }
    panic!("the fault was not found");
}

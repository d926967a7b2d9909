//! Sessions over a restart of the server.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::time::Duration;

use async_trait::async_trait;
use sim::client::{Client, Heard};
use sim::link::End;
use sim::world::{WorldBuilder, quiet};
use sim::{World, run, xml};
use tokio::time::{Instant, sleep, timeout};
use xmpp_core::BareJid;
use xmpp_core::store::{KeptSession, Result, Sessions, StoreError, Stores};

const SM: &str = "xmlns='urn:xmpp:sm:3'";
const LIMIT: Duration = Duration::from_secs(20);

/// A server that is restarted now and then.
struct Site {
    world: World,
    stores: Stores,
    start: Instant,
    runs: u64,
}

impl Site {
    fn new() -> Site {
        Site::on(Stores::memory())
    }

    fn on(stores: Stores) -> Site {
        let start = Instant::now();
        let world = World::builder(0).stores(stores.clone()).build();
        Site {
            world,
            stores,
            start,
            runs: 0,
        }
    }

    /// Stops as for an upgrade.
    async fn stop(&self) {
        assert!(self.world.driver.suspend(LIMIT).await);
        self.world.server.close().await;
        assert!(self.world.server.directory().is_empty());
        assert_eq!(self.world.server.budget().used(), 0);
    }

    /// The next run; how many sessions it has taken up.
    async fn start(&mut self) -> usize {
        self.start_with(|builder| builder).await
    }

    async fn start_with(&mut self, change: impl FnOnce(WorldBuilder) -> WorldBuilder) -> usize {
        self.runs += 1;
        let builder = World::builder(self.runs).stores(self.stores.clone());
        self.world = change(builder.after(self.start)).build();
        self.world.driver.restore().await.unwrap()
    }

    async fn restart(&mut self) -> usize {
        self.stop().await;
        self.start().await
    }

    async fn offline(&self, name: &str) -> usize {
        let account = format!("{name}@example.org").parse().unwrap();
        self.stores.offline.count(&account).await.unwrap()
    }

    /// A client that can resume its stream; the stream's name.
    async fn login(&self, name: &str) -> (Client<End>, String) {
        let mut client = self.world.login(name).await;
        let enable = format!("<enable {SM} resume='true'/>");
        client.send(enable).await.unwrap();
        let enabled = client.element().await.unwrap();
        (client, enabled.attr("id").unwrap().to_owned())
    }

    /// A connection that resumes; what the server says to that.
    async fn resume(&self, name: &str, id: &str, h: u32) -> (Client<End>, String) {
        let account = self.world.account(name).await;
        let mut client = self.world.client();
        let mut rng = self.world.rng();
        client.authenticate(&account, &mut rng).await.unwrap();
        let resume = format!("<resume {SM} previd='{id}' h='{h}'/>");
        client.send(resume).await.unwrap();
        let answer = client.element().await.unwrap();
        (client, answer.to_string())
    }

    async fn kept(&self) -> usize {
        self.stores.sessions.kept(None, 99).await.unwrap().len()
    }
}

/// All stanzas that come until nothing more does.
async fn hear(client: &mut Client<End>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Heard::Xml(xml::Heard::Element(tree))) =
        timeout(Duration::from_secs(1), client.hear()).await
    {
        if tree.ns == xml::CLIENT {
            heard.push(tree.to_string());
        }
    }
    heard
}

fn bodies(heard: &[String]) -> Vec<&str> {
    let body = |text: &'_ str| text.contains("<body>");
    let heard = heard.iter().filter(|text| body(text));
    heard
        .map(|text| {
            let (_, rest) = text.split_once("<body>").unwrap();
            rest.split('<').next().unwrap()
        })
        .collect()
}

async fn say(client: &mut Client<End>, to: &str, body: &str) {
    let message =
        format!("<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>");
    client.send(message).await.unwrap();
}

#[test]
fn clients_resume_after_an_upgrade_with_nothing_lost_and_nothing_twice() {
    run(async {
        let mut site = Site::new();
        let (mut romeo, romeos) = site.login("romeo").await;
        let (mut juliet, juliets) = site.login("juliet").await;
        romeo.send("<presence/>").await.unwrap();
        let heard = hear(&mut romeo).await.len() as u32;
        for body in ["one", "two", "three"] {
            say(&mut juliet, "romeo@example.org", body).await;
        }
        quiet(Duration::from_millis(1)).await;
        say(&mut juliet, "romeo@example.org", "four").await;
        site.stop().await;
        let rest = juliet.rest().await;
        assert!(
            rest.iter()
                .all(|heard| !matches!(heard, Heard::Xml(xml::Heard::Footer)))
        );
        assert_eq!(rest.last(), Some(&Heard::End), "no footer: {rest:?}");
        assert_eq!(site.kept().await, 2);

        quiet(Duration::from_secs(30)).await;
        assert_eq!(site.start().await, 2);
        // What she said last may have come too late; then she is told so.
        let (mut juliet, answer) = site.resume("juliet", &juliets, 0).await;
        let handled: usize = answer.split("h='").nth(1).unwrap()[..1].parse().unwrap();
        for body in &["one", "two", "three", "four"][handled..] {
            say(&mut juliet, "romeo@example.org", body).await;
        }
        say(&mut juliet, "romeo@example.org", "five").await;
        // He has two of them.
        let (mut romeo, answer) = site.resume("romeo", &romeos, heard + 2).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        let heard = hear(&mut romeo).await;
        assert_eq!(bodies(&heard), ["three", "four", "five"]);
        assert!(!heard.concat().contains("<delay"), "{heard:?}");
        assert_eq!(site.kept().await, 0, "they live again");
    });
}

#[test]
fn a_session_is_what_it_was_and_nobody_has_heard_of_the_restart() {
    run(async {
        let mut site = Site::new();
        let (mut romeo, romeos) = site.login("romeo").await;
        let (mut juliet, juliets) = site.login("juliet").await;
        let (mut nurse, nurses) = site.login("nurse").await;
        for client in [&mut romeo, &mut juliet, &mut nurse] {
            let all = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>\
                <iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>\
                <iq type='get' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>\
                <presence><priority>3</priority><status>here</status></presence>";
            client.send(all).await.unwrap();
        }
        romeo
            .send("<presence to='nurse@example.org/nurse'/>")
            .await
            .unwrap();
        let [r, j, n] = [&mut romeo, &mut juliet, &mut nurse];
        let [r, j, n] = [hear(r).await, hear(j).await, hear(n).await].map(|h| h.len() as u32);

        let look = |site: &Site| {
            let romeo = "romeo@example.org/romeo".parse().unwrap();
            let resource = site.world.server.bound(&romeo).unwrap();
            (
                (
                    resource.id(),
                    resource.priority(),
                    resource.presence().map(|p| p.to_string()),
                ),
                (
                    resource.is_interested(),
                    resource.wants_carbons(),
                    resource.knows_block_list(),
                ),
            )
        };
        let before = look(&site);
        assert_eq!(before.1, (true, true, true));
        assert_eq!(site.restart().await, 3);
        assert_eq!(look(&site), before);
        let (mut romeo, _) = site.resume("romeo", &romeos, r).await;
        let (mut juliet, _) = site.resume("juliet", &juliets, j).await;
        let (mut nurse, _) = site.resume("nurse", &nurses, n).await;
        for client in [&mut romeo, &mut juliet, &mut nurse] {
            assert_eq!(hear(client).await, [""; 0]);
        }
        // Who was sent directed presence hears that he goes.
        romeo.send("</stream:stream>").await.unwrap();
        let heard = hear(&mut nurse).await;
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("type='unavailable'"), "{heard:?}");
    });
}

/// XEP-0198 §4, RFC 6121 §8: what a session has not received when its time is over is stored.
#[test]
fn whose_time_is_over_gets_what_was_missing_from_the_store() {
    run(async {
        let mut site = Site::new();
        let (mut romeo, id) = site.login("romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let (mut juliet, _) = site.login("juliet").await;
        quiet(Duration::from_secs(1)).await;
        drop(romeo);
        for body in ["one", "two"] {
            say(&mut juliet, "romeo@example.org", body).await;
        }
        quiet(Duration::from_secs(1)).await;
        site.stop().await;
        assert_eq!(site.offline("romeo").await, 0);
        sleep(Duration::from_secs(601)).await;
        site.start().await;
        quiet(Duration::from_secs(1)).await;
        assert!(site.world.server.directory().is_empty());
        assert_eq!((site.offline("romeo").await, site.kept().await), (2, 0));
        let (mut romeo, answer) = site.resume("romeo", &id, 0).await;
        assert!(
            answer.contains("<item-not-found") && answer.contains("h='1'"),
            "{answer}"
        );
        romeo.bind(Some("romeo")).await.unwrap();
        romeo.send("<presence/>").await.unwrap();
        let heard = hear(&mut romeo).await;
        assert_eq!(bodies(&heard), ["one", "two"]);
        let late = heard.iter().filter(|text| text.contains("<delay"));
        assert_eq!(late.count(), 2, "{heard:?}");
    });
}

#[test]
fn a_crash_behind_a_restart_loses_nothing_that_was_kept() {
    run(async {
        let mut site = Site::new();
        let (mut romeo, id) = site.login("romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let (mut juliet, _) = site.login("juliet").await;
        say(&mut juliet, "romeo@example.org", "one").await;
        quiet(Duration::from_secs(1)).await;
        site.restart().await;
        // Nobody stops this one.
        quiet(Duration::from_secs(1)).await;
        assert_eq!(site.kept().await, 2);
        assert_eq!(site.start().await, 2);
        let (mut romeo, answer) = site.resume("romeo", &id, 1).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), ["one"]);
        assert_eq!(site.kept().await, 1);
        // What its client has left behind must not come back.
        romeo.send("</stream:stream>").await.unwrap();
        quiet(Duration::from_secs(1)).await;
        site.start().await;
        let (_, answer) = site.resume("romeo", &id, 2).await;
        assert!(answer.starts_with("<failed "), "{answer}");
    });
}

#[test]
fn what_a_release_does_not_understand_is_stored_or_returned() {
    run(async {
        let mut site = Site::new();
        let (mut romeo, id) = site.login("romeo").await;
        let (mut juliet, juliets) = site.login("juliet").await;
        romeo.send("<presence/>").await.unwrap();
        quiet(Duration::from_secs(1)).await;
        say(&mut juliet, "romeo@example.org", "one").await;
        let ask =
            "<iq type='get' id='q' to='romeo@example.org/romeo'><x xmlns='urn:example'/></iq>";
        juliet.send(ask).await.unwrap();
        quiet(Duration::from_secs(1)).await;
        site.stop().await;
        let kept = site.stores.sessions.kept(None, 9).await.unwrap();
        for KeptSession {
            account,
            name,
            state,
        } in kept
        {
            if account.as_str() == "romeo@example.org" {
                let state = state.replace(" v='1'", " v='2'");
                let kept = site.stores.sessions.keep(&account, &name, &state);
                kept.await.unwrap();
            }
        }
        assert_eq!(site.start().await, 1);
        quiet(Duration::from_secs(1)).await;
        assert_eq!(site.world.server.metrics().unreadable_sessions.value(), 1);
        assert_eq!((site.offline("romeo").await, site.kept().await), (1, 1));
        let (mut juliet, _) = site.resume("juliet", &juliets, 0).await;
        let heard = hear(&mut juliet).await.concat();
        assert!(heard.contains("<service-unavailable"), "{heard}");
        let (_, answer) = site.resume("romeo", &id, 0).await;
        assert!(answer.starts_with("<failed "), "{answer}");
    });
}

/// Takes no session.
struct Full;

#[async_trait]
impl Sessions for Full {
    async fn keep(&self, _: &BareJid, _: &str, _: &str) -> Result<()> {
        Err(StoreError::Unavailable("full".into()))
    }

    async fn kept(&self, _: Option<(&BareJid, &str)>, _: usize) -> Result<Vec<KeptSession>> {
        Ok(Vec::new())
    }

    async fn release(&self, _: &BareJid, _: &str) -> Result<()> {
        Ok(())
    }

    async fn forget(&self, _: &BareJid) -> Result<()> {
        Ok(())
    }
}

#[test]
fn where_nothing_can_be_kept_clients_are_told_and_nothing_is_lost() {
    run(async {
        let mut stores = Stores::memory();
        stores.sessions = std::sync::Arc::new(Full);
        let site = Site::on(stores);
        let (mut romeo, _) = site.login("romeo").await;
        romeo.send("<presence/>").await.unwrap();
        let (mut juliet, _) = site.login("juliet").await;
        say(&mut juliet, "romeo@example.org", "one").await;
        quiet(Duration::from_secs(1)).await;
        let (told, ()) = futures::join!(romeo.rest(), site.stop());
        let told: String = told.iter().map(|heard| heard.to_string()).collect();
        assert!(told.contains("<system-shutdown"), "{told}");
        assert_eq!(site.offline("romeo").await, 1, "he has not acknowledged it");
    });
}

#[test]
fn a_final_stop_ends_all_sessions() {
    run(async {
        let site = Site::new();
        let (mut romeo, _) = site.login("romeo").await;
        let (told, gone) = futures::join!(romeo.rest(), site.world.driver.shutdown(LIMIT));
        assert!(gone);
        let told: String = told.iter().map(|heard| heard.to_string()).collect();
        assert!(told.contains("<system-shutdown"), "{told}");
        assert_eq!(site.kept().await, 0);
    });
}

/// A burst that the stop cuts short goes on, behind what was sent of it and before what came after
/// it.
#[test]
fn stored_messages_that_are_on_their_way_come_once_and_in_order() {
    for window in [500, 3000, 9000, 13_000] {
        cut_short(window);
    }
}

fn cut_short(window: usize) {
    run(async {
        let mut site = Site::new();
        let account = site.world.account("romeo").await;
        let mut juliet = site.world.login("juliet").await;
        let said: Vec<String> = (0..100).map(|n| format!("line{n:03}")).collect();
        for body in &said[..90] {
            say(&mut juliet, "romeo@example.org", body).await;
        }
        quiet(Duration::from_secs(1)).await;
        // A line so slow that the server stops in the middle.
        let mut line = sim::link::Line::perfect();
        line.window = window;
        let mut romeo = Client::new(site.world.connect(sim::link::Line::perfect(), line));
        let mut rng = site.world.rng();
        romeo
            .login(&account, Some("romeo"), &mut rng)
            .await
            .unwrap();
        romeo
            .send(format!("<enable {SM} resume='true'/><presence/>"))
            .await
            .unwrap();
        let enabled = romeo.element().await.unwrap();
        let id = enabled.attr("id").unwrap().to_owned();
        quiet(Duration::from_secs(1)).await;
        for body in &said[90..] {
            say(&mut juliet, "romeo@example.org/romeo", body).await;
        }
        quiet(Duration::from_secs(1)).await;
        let left = site.offline("romeo").await;
        assert!((1..=90).contains(&left), "{left} left of {window}");
        drop(juliet);
        drop(romeo);
        assert_eq!(site.restart().await, 1);
        let (mut romeo, answer) = site.resume("romeo", &id, 0).await;
        assert!(answer.starts_with("<resumed "), "{answer}");
        assert_eq!(bodies(&hear(&mut romeo).await), said);
        assert_eq!(site.offline("romeo").await, 0);
    });
}

/// The sessions of a server that shares the store are none of ours.
#[test]
fn what_another_server_has_kept_stays() {
    run(async {
        let mut site = Site::new();
        let (romeo, _) = site.login("romeo").await;
        drop(romeo);
        site.stop().await;
        let kept = site.stores.sessions.kept(None, 9).await.unwrap();
        let other = "romeo@example.net".parse().unwrap();
        let keep = site.stores.sessions.keep(&other, "one", &kept[0].state);
        keep.await.unwrap();
        assert_eq!(site.start().await, 1);
        assert_eq!(site.kept().await, 2);
    });
}

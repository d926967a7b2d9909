//! Sessions over a restart of the server.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::End;
use sim::world::{WorldBuilder, quiet};
use sim::{World, run, xml};
use tokio::time::{Instant, timeout};
use xmpp_core::store::Stores;

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
    async fn new() -> Site {
        let (stores, start) = (Stores::memory(), Instant::now());
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
        let mut site = Site::new().await;
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
        let mut site = Site::new().await;
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

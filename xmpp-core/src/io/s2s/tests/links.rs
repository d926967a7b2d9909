//! Connections, and what becomes of them.

use super::*;
use crate::mailbox::{Settlement, SmPoint};
use crate::stanza::Condition;

/// XEP-0288
#[tokio::test]
async fn one_connection_is_enough_for_both_directions_or_there_are_two() {
    for bidi in [true, false] {
        let net = Net::default();
        let policy = Policy {
            bidi,
            ..Policy::default()
        };
        let [a, b] = ["a.example", "b.example"]
            .map(|domain| Site::with(&net, domain, With::policy(domain, policy)));
        let romeo = a.login("romeo@a.example/orchard").await;
        let juliet = b.login("juliet@b.example/balcony").await;
        for n in 0..3 {
            let body = format!("m{n}");
            romeo
                .send(&message("juliet@b.example/balcony", &body))
                .await;
            juliet.hears(&body).await;
            juliet
                .send(&message("romeo@a.example/orchard", &body))
                .await;
            romeo.hears(&body).await;
        }
        assert_eq!(net.dialled(), if bidi { 1 } else { 2 });
        let links = a.federation.links();
        assert_eq!(links.iter().all(LinkView::is_bidi), bidi, "{links:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_cut_is_dialled_again_when_there_is_something_to_say() {
    let net = Net::default();
    let (a, romeo, b, juliet) = pair(&net).await;
    for n in 0..3 {
        let body = format!("m{n}");
        romeo
            .send(&message("juliet@b.example/balcony", &body))
            .await;
        juliet.hears(&body).await;
        net.cut();
        a.until("the link is gone", |links| links.is_empty()).await;
        b.until("the link is gone", |links| links.is_empty()).await;
    }
    assert_eq!(net.dialled(), 3);
}

/// Whoever waits hears when it is written, or has come back.
#[tokio::test]
async fn a_stanza_is_settled_when_it_is_written_or_returned() {
    let net = Net::default();
    let (a, romeo, _b, juliet) = pair(&net).await;
    let submit = |to: &str, n: u32| {
        let stanza = Stanza::parse(&message(to, "hark")).unwrap();
        let stanza = stanza.with_from(Jid::from(romeo.session.jid()));
        let mut origin = Origin::session(romeo.session.id());
        origin.sm = Some(SmPoint { id: "s".into(), n });
        a.server.submit(stanza, &romeo.session, origin)
    };
    for (n, to) in ["juliet@b.example/balcony", "x@nowhere.example"]
        .into_iter()
        .enumerate()
    {
        let settlement = submit(to, n as u32).finish().await;
        let Settlement::Later(later) = settlement else {
            panic!("{settlement:?}");
        };
        let outcome = timeout(PATIENCE, later).await.unwrap();
        assert_eq!(format!("{outcome:?}"), ["Settled", "Returned"][n]);
    }
    juliet.hears("hark").await;
    romeo.hears("remote-server-not-found").await;
}

/// RFC 6120 §4.9.3.6, §4.9.3.14: the time for connecting is a minute, and nobody waits for it.
#[tokio::test]
async fn what_a_server_says_for_good_its_peer_tells_at_once() {
    let net = Net::default();
    let a = Site::new(&net, "a.example");
    let romeo = a.login("romeo@a.example/orchard").await;
    let mut with = With::default("b.example");
    with.rules.default = None;
    let b = Site::with(&net, "b.example", with);
    // Somebody has pointed a name there.
    net.0
        .sites
        .lock()
        .unwrap()
        .insert("c.example".into(), b.federation.clone());
    romeo.send(&message("x@c.example", "who")).await;
    romeo.hears("remote-server-not-found").await;
    romeo.send(&message("juliet@b.example", "hark")).await;
    romeo.hears("remote-server-timeout").await;
}

/// RFC 6120 §4.9.3.14
#[tokio::test]
async fn who_is_blocked_is_so_at_once_on_streams_that_are_open_too() {
    let net = Net::default();
    let (a, romeo, _b, juliet) = pair(&net).await;
    romeo
        .send(&message("juliet@b.example/balcony", "hark"))
        .await;
    juliet.hears("hark").await;
    juliet
        .send(&message("romeo@a.example/orchard", "ay me"))
        .await;
    romeo.hears("ay me").await;
    let mut rules = Rules::default();
    rules.exceptions.insert("b.example".parse().unwrap(), None);
    a.federation.peers().replace(rules);
    romeo
        .send(&message("juliet@b.example/balcony", "she speaks"))
        .await;
    romeo.hears("not-allowed").await;
    juliet
        .send(&message("romeo@a.example/orchard", "wherefore"))
        .await;
    a.until("the link is gone", |links| links.is_empty()).await;
    romeo.hears_nothing().await;
    a.federation.peers().replace(Rules::default());
    juliet
        .send(&message("romeo@a.example/orchard", "good night"))
        .await;
    romeo.hears("good night").await;
}

#[tokio::test]
async fn a_server_that_closes_says_good_bye_and_returns_what_waits() {
    let net = Net::default();
    let (a, romeo, b, juliet) = pair(&net).await;
    romeo
        .send(&message("juliet@b.example/balcony", "hark"))
        .await;
    juliet.hears("hark").await;
    // Nobody answers there.
    let silent = net.expect("silent.example");
    romeo.send(&message("x@silent.example", "?")).await;
    a.until("it is dialled", |links| links.len() == 2).await;
    let waiting = &a.server.metrics().s2s.waiting;
    a.until("it waits", |_| waiting.value() == 1).await;
    let begun = std::time::Instant::now();
    let server = a.server.clone();
    a.close().await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    romeo.hears("remote-server-timeout").await;
    b.until("the link is gone", |links| links.is_empty()).await;
    assert_eq!(
        b.server
            .metrics()
            .s2s
            .stream_errors()
            .map(|(_, n)| n)
            .sum::<u64>(),
        0
    );
    drop(silent);
    // Nobody is reached any more.
    let error = {
        romeo.send(&message("juliet@b.example", "late")).await;
        romeo.next().await.error().unwrap().condition
    };
    assert_eq!(error, Condition::ServiceUnavailable);
    assert_eq!(server.metrics().s2s.connections.value(), 0);
}

#[tokio::test]
async fn links_can_be_closed_while_clients_are_still_there_to_hear_of_it() {
    let net = Net::default();
    let (a, romeo, b, juliet) = pair(&net).await;
    romeo.send(&message("juliet@b.example", "hark")).await;
    a.until("there is a link", |links| links.len() == 1).await;
    let _silent = net.expect("silent.example");
    romeo.send(&message("x@silent.example", "?")).await;
    let waiting = &a.server.metrics().s2s.waiting;
    a.until("it waits", |_| waiting.value() == 1).await;
    timeout(PATIENCE, a.federation.close()).await.unwrap();
    romeo.hears("remote-server-timeout").await;
    b.until("the link is gone", |links| links.is_empty()).await;
    // Whoever asks once more has the same answer, and this server is there for its own.
    timeout(PATIENCE, a.federation.close()).await.unwrap();
    romeo
        .send(&message("romeo@a.example/orchard", "oh speak again"))
        .await;
    romeo.hears("oh speak again").await;
    // It is not reached from outside either.
    juliet
        .send(&message("romeo@a.example/orchard", "late"))
        .await;
    assert!(a.federation.links().is_empty());
    a.close().await;
}

#[tokio::test]
async fn those_who_watch_links_hear_of_them() {
    use crate::module::{Hooks, LinkWatcher, Module};
    use crate::s2s::links::LinkEvent;

    #[derive(Default)]
    struct Watch(Mutex<Vec<LinkEvent>>);

    struct Watcher(Arc<Watch>);

    impl LinkWatcher for Watch {
        fn link(&self, event: &LinkEvent, _: &Server) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    impl Module for Watcher {
        fn register(self: Arc<Self>, on: &mut Hooks) {
            on.watch_links(self.0.clone());
        }
    }

    let net = Net::default();
    let watch = Arc::new(Watch::default());
    let mut with = With::default("a.example");
    with.modules.push(Arc::new(Watcher(watch.clone())));
    let a = Site::with(&net, "a.example", with);
    let _b = Site::new(&net, "b.example");
    let romeo = a.login("romeo@a.example/orchard").await;
    romeo
        .send("<iq type='get' id='p' to='b.example'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    romeo.hears("id='p'").await;
    net.cut();
    a.until("the link is gone", |links| links.is_empty()).await;
    let mut events = watch.0.lock().unwrap().clone();
    events.retain(|event| !matches!(event, LinkEvent::Waiting { .. }));
    let text = format!("{events:?}");
    let (up, down) = (text.find("Up {"), text.find("Down {"));
    assert!(up.is_some() && up < down, "{text}");
}

//! Rooms that come and go on many threads.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::Duration;

use xmpp_core::io;
use xmpp_core::mailbox::{Origin, QueueLimits};
use xmpp_core::sasl::Secret;
use xmpp_core::server::{Domain, Server};
use xmpp_core::stanza::Stanza;
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::room::Config;
use xmpp_muc_federated::store::memory::Memory;
use xmpp_muc_federated::{Service, Settings, service};

const USERS: usize = 8;
const ROUNDS: usize = 400;
const PATIENCE: Duration = Duration::from_secs(60);

fn server() -> (Server, Service) {
    let settings = Settings {
        admins: Vec::new(),
        defaults: Config::default(),
        limits: Default::default(),
        secret: [7; 32],
        random: Arc::new(io::OsRandom),
    };
    let address: BareJid = "rooms.example.org".parse().unwrap();
    let store = Arc::new(Memory::new());
    let mut options = service::Options::new(address, Arc::new(settings), store);
    options.limits.idle = Duration::ZERO;
    let service = Service::new(options);
    let domain = "example.org".parse().unwrap();
    let server = Server::builder()
        .domain(Domain::new(domain, Secret::from([7; 32])))
        .module(service.clone())
        .build(io::surroundings())
        .unwrap();
    (server, service)
}

/// Rooms leave memory whenever nobody is in them, which is all the time here: every request of every user is answered
/// once and in its order, whether the room was there, was about to leave, or was being loaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_overtaken_while_rooms_come_and_go() {
    let (server, service) = server();
    let users = (0..USERS).map(|user| {
        let server = server.clone();
        tokio::spawn(async move {
            let me = Jid::new(&format!("user{user}.example.net")).unwrap();
            let mut limits = QueueLimits::default();
            limits.stanzas = 10 * ROUNDS;
            let served = server.serve(&me, limits).unwrap();
            let mut answered = Vec::new();
            for round in 0..ROUNDS {
                let room = format!("room{}@rooms.example.org", round % 3);
                // Asked from outside: the room need not exist.
                for (id, to) in [
                    (2 * round, room.clone()),
                    (2 * round + 1, format!("{room}/x")),
                ] {
                    let ask = format!(
                        "<iq type='get' id='{id}' from='{me}' to='{to}'><x xmlns='urn:x'/></iq>"
                    );
                    let stanza = Stanza::parse(&ask).unwrap();
                    let _ = server.route(stanza, Origin::ENTITY).finish().await;
                }
                if round % 7 == user % 7 {
                    tokio::task::yield_now().await;
                }
            }
            while answered.len() < 2 * ROUNDS {
                let read = tokio::time::timeout(PATIENCE, served.next(usize::MAX)).await;
                let read = read.expect("an answer is missing").unwrap();
                let ids = read.iter().filter_map(|envelope| envelope.stanza.id());
                answered.extend(ids.map(|id| id.parse::<usize>().unwrap()));
            }
            answered
        })
    });
    let all: Vec<_> = users.collect();
    for user in all {
        let answered = user.await.unwrap();
        for room in 0..3 {
            // In order between two entities; rooms are three.
            let of_room = answered.iter().filter(|id| *id / 2 % 3 == room);
            assert!(of_room.is_sorted_by(|a, b| a < b), "{answered:?}");
        }
        assert_eq!(answered.len(), 2 * ROUNDS, "each once");
    }
    assert!(service.metrics().rooms.total() > 3, "none ever left");
    tokio::time::timeout(PATIENCE, server.close())
        .await
        .unwrap();
    assert_eq!(service.metrics().rooms.value(), 0);
}

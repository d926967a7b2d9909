//! Crowds that do not log in, from many networks at once.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sim::client::Client;
use sim::link::{End, Line};
use sim::world::quiet;
use sim::{World, run};
use xmpp_core::io::Security;

/// Connections that have not logged in, at most.
const PLACES: usize = 100;
/// The networks of the crowd, who would take twice as many.
const NETWORKS: u8 = 20;
const EACH: usize = 10;

fn from(world: &World, peer: Ipv4Addr, latency: Duration) -> Client<End> {
    let line = || Line {
        latency,
        ..Line::perfect()
    };
    let peer = Some(IpAddr::from(peer));
    Client::new(world.connect_as(peer, Security::Plain, line(), line()))
}

/// Those who have lost their place come again.
async fn renew(world: &World, crowd: &mut [(Ipv4Addr, Client<End>)]) {
    for (peer, client) in crowd {
        if client.send(" ").await.is_err() {
            *client = from(world, *peer, Duration::ZERO);
            let _ = client.open("example.org").await;
        }
    }
}

/// Every client is silent until its header is there. If that were a reason to go first, a
/// crowd that greets at once would keep all others out.
#[test]
fn a_crowd_that_greets_keeps_nobody_out() {
    run(async {
        let world = World::builder(0)
            .driver(|config| config.accept.before_login = PLACES)
            .build();
        let mut crowd = Vec::new();
        for network in 0..NETWORKS {
            for _ in 0..EACH {
                let peer = Ipv4Addr::new(198, 51, 100, network);
                crowd.push((peer, from(&world, peer, Duration::ZERO)));
            }
        }
        renew(&world, &mut crowd).await;
        quiet(Duration::from_millis(10)).await;
        let mut guests = Vec::new();
        for newcomer in 0..20_u8 {
            renew(&world, &mut crowd).await;
            let account = world.account(&format!("guest{newcomer}")).await;
            let peer = Ipv4Addr::new(192, 0, 2, newcomer);
            let mut guest = from(&world, peer, Duration::from_millis(100));
            let mut rng = world.rng();
            let coming = async { guest.login(&account, None, &mut rng).await };
            let renewing = async {
                loop {
                    quiet(Duration::from_millis(20)).await;
                    renew(&world, &mut crowd).await;
                }
            };
            tokio::select! {
                biased;
                came = coming => drop(came.expect("everybody honest gets in")),
                () = renewing => {}
            }
            guests.push(guest);
        }
        assert_eq!(world.server.directory().len(), guests.len());
    });
}

//! Many connections.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sim::client::{Client, Heard};
use sim::link::{End, Line};
use sim::world::{quiet, turns};
use sim::{World, run};
use xmpp_core::io::Security;

use super::{Bystanders, end};

const ADDRESSES: u8 = 25;
const EACH: usize = 480;
/// What the server takes by default: of all strangers, and of those of one address.
const STRANGERS: usize = 10_000;
const OF_ONE_ADDRESS: usize = 500;

/// Turns within which a login is done, whoever else is there: fourteen steps of a dialogue,
/// in each of which both sides have a turn or two.
const LOGIN_TURNS: usize = 60;

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn connect(world: &World, from: IpAddr) -> Client<End> {
    let line = Line::perfect;
    Client::new(world.connect_as(Some(from), Security::Plain, line(), line()))
}

#[test]
fn ten_thousand_half_open_connections_do_not_slow_those_who_are_in() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let mut half_open = Vec::new();
        for from in 1..=ADDRESSES {
            half_open.extend((0..EACH).map(|_| connect(&world, address(from))));
        }
        for _ in 0..20 {
            bystanders.chat().await;
        }
        quiet(Duration::from_millis(1)).await;
        assert_eq!(world.driver.connections(), STRANGERS + 2);
        // The oldest have given way, without a word.
        assert_eq!(half_open[0].hear().await, Heard::End);

        // Who comes now gets in at once.
        let account = world.account("mercutio").await;
        let mut mercutio = connect(&world, address(200));
        let mut rng = world.rng();
        let login = mercutio.login(&account, None, &mut rng);
        let (login, turns) = turns(login).await;
        login.unwrap();
        assert!(turns <= LOGIN_TURNS, "it took {turns} turns");
        quiet(Duration::from_millis(1)).await;
        assert_eq!(world.driver.connections(), STRANGERS + 2);
        bystanders.chat().await;

        // They have had their time.
        quiet(Duration::from_secs(15)).await;
        assert_eq!(world.driver.connections(), 3);
    });
}

/// Who has said something goes after all who have not for a while, and is told why. RFC 6120
/// §4.9.3.17:
/// "The server lacks the system resources necessary to service the stream."
#[test]
fn one_that_has_begun_gives_way_when_all_have_begun() {
    run(async {
        let world = World::builder(0)
            .driver(|driver| driver.accept.before_login = 2)
            .build();
        let mut begun = connect(&world, address(1));
        begun.greet("example.org").await.unwrap();
        let mut silent = connect(&world, address(2));
        quiet(Duration::from_secs(2)).await;
        let mut second = connect(&world, address(3));
        assert_eq!(silent.hear().await, Heard::End);
        second.greet("example.org").await.unwrap();
        let _third = connect(&world, address(4));
        quiet(Duration::from_millis(1)).await;
        let held = world.driver.connections();
        assert_eq!(held, 2, "it keeps no place while it is told");
        assert_eq!(end(&mut begun).await, "resource-constraint");
        assert_eq!(world.server.metrics().evicted_connections.value(), 2);
    });
}

#[test]
fn one_address_cannot_take_the_places_of_all() {
    run(async {
        let world = World::new(0);
        let mut bystanders = Bystanders::new(&world).await;
        let _half_open: Vec<_> = (0..3 * OF_ONE_ADDRESS)
            .map(|_| connect(&world, address(1)))
            .collect();
        assert_eq!(world.driver.connections(), OF_ONE_ADDRESS + 2);
        bystanders.chat().await;
        // Others come in.
        let account = world.account("mercutio").await;
        let mut mercutio = connect(&world, address(2));
        mercutio
            .login(&account, None, &mut world.rng())
            .await
            .unwrap();
        bystanders.chat().await;
    });
}

/// RFC 6120 §7.6.2.1: "the client has reached a limit on the number of simultaneous
/// connected resources".
#[test]
fn an_account_has_so_many_resources_and_no_more() {
    run(async {
        let world = World::new(0);
        let account = world.account("tybalt").await;
        let most = world.server.config().account.resources;
        let mut clients = Vec::new();
        for _ in 0..most {
            let mut client = world.client();
            client
                .login(&account, None, &mut world.rng())
                .await
                .unwrap();
            clients.push(client);
        }
        let mut client = world.client();
        client
            .authenticate(&account, &mut world.rng())
            .await
            .unwrap();
        let refused = client.bind(None).await.unwrap_err().to_string();
        assert!(refused.contains("<resource-constraint"), "{refused}");
    });
}

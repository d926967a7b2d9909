use std::net::{Ipv4Addr, Ipv6Addr};

use names::Zone;

use super::*;

fn dns(zone: &str) -> Dns {
    let zone = Zone::read(zone).unwrap();
    let server = names::serve("127.0.0.1:0".parse().unwrap(), move || zone.clone()).unwrap();
    Dns::servers(&[server]).unwrap()
}

#[tokio::test]
async fn servers_and_addresses_are_read() {
    let dns = dns(
        "_xmpp-server._tcp.juliet.example SRV 10 20 5270 xmpp.juliet.example
        _xmpps-server._tcp.juliet.example SRV 0 0 0 .
        xmpp.juliet.example A 192.0.2.1
        xmpp.juliet.example AAAA 2001:db8::1
        _xmpp-server._tcp.xn--bcher-kva.example SRV 0 0 5269 xn--bcher-kva.example",
    );
    assert_eq!(
        dns.srv("_xmpp-server._tcp.juliet.example.").await,
        Ok(vec![Srv {
            priority: 10,
            weight: 20,
            port: 5270,
            target: "xmpp.juliet.example.".to_owned(),
        }])
    );
    let direct = dns.srv("_xmpps-server._tcp.juliet.example.").await;
    assert_eq!(direct.unwrap()[0].target, ".");
    assert_eq!(
        dns.addresses("xmpp.juliet.example.").await,
        Ok(vec![
            "2001:db8::1".parse::<Ipv6Addr>().unwrap().into(),
            Ipv4Addr::new(192, 0, 2, 1).into()
        ])
    );
    let international = dns.srv("_xmpp-server._tcp.xn--bcher-kva.example.").await;
    assert_eq!(international.unwrap()[0].target, "xn--bcher-kva.example.");
}

#[tokio::test]
async fn no_such_name_and_no_such_record_are_none_and_a_failure_is_not() {
    let dns = dns("there.example A 192.0.2.1\nbroken.example SERVFAIL");
    assert_eq!(
        dns.srv("_xmpp-server._tcp.there.example.").await,
        Ok(vec![])
    );
    assert_eq!(dns.srv("there.example.").await, Ok(vec![]));
    assert_eq!(dns.addresses("not-there.example.").await, Ok(vec![]));
    let failed = dns.srv("_xmpp-server._tcp.broken.example.").await;
    assert_eq!(failed, Err(Unresolved));
    assert_eq!(dns.addresses("broken.example.").await, Err(Unresolved));
}

#[tokio::test]
async fn what_does_not_fit_into_a_datagram_is_asked_for_by_tcp() {
    let lines: Vec<_> = (1..=40)
        .map(|n| format!("_xmpp-server._tcp.large.example SRV {n} 0 5269 s{n}.large.example"))
        .collect();
    let records = dns(&lines.join("\n"))
        .srv("_xmpp-server._tcp.large.example.")
        .await;
    assert_eq!(records.unwrap().len(), 40);
}

// Nothing comes of waiting here, so that the clock may run ahead.
#[tokio::test(start_paused = true)]
async fn a_name_server_that_is_silent_or_gone_has_not_said_that_there_is_nothing() {
    let silent = dns("dead.example SILENCE");
    let began = tokio::time::Instant::now();
    let (srv, addresses) = tokio::join!(
        silent.srv("_xmpp-server._tcp.dead.example."),
        silent.addresses("dead.example.")
    );
    assert_eq!((srv, addresses), (Err(Unresolved), Err(Unresolved)));
    let waited = ANSWER..Duration::from_secs(15);
    assert!(waited.contains(&began.elapsed()), "{:?}", began.elapsed());
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gone = Dns::servers(&[address]).unwrap();
    assert_eq!(gone.addresses("juliet.example.").await, Err(Unresolved));
}

#[test]
fn without_a_name_server_there_is_no_dns() {
    assert!(Dns::servers(&[]).is_err());
}

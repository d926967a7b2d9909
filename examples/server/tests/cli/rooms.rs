//! Rooms at `rooms.DOMAIN`.

use super::harness::{Client, Running, Site, free_address, soon};

const CAVE: &str = "cave@rooms.localhost";

/// A server with two accounts, whose passwords are `pw`.
fn site() -> Site {
    let site = Site::new();
    site.set("listen__monitoring", r#"["127.0.0.1:0"]"#);
    for user in ["hag@localhost", "crone@localhost"] {
        site.run(&["adduser", user, "--password", "pw"])
            .succeeds("added");
    }
    site
}

fn enter(client: &mut Client, occupant: &str) -> String {
    let muc = "<x xmlns='http://jabber.org/protocol/muc'/>";
    client.send(&format!("<presence to='{occupant}'>{muc}</presence>"));
    client.read_until(&["</subject>", "<subject/>", "type='error'"])
}

/// Enters a room that is not there yet, and gives it a name.
fn make(client: &mut Client, room: &str, name: &str) {
    let muc = "<x xmlns='http://jabber.org/protocol/muc'/>";
    client.send(&format!("<presence to='{room}/hag'>{muc}</presence>"));
    let entered = client.read_until(&["</subject>", "<subject/>", "type='error'"]);
    assert!(entered.contains("<status code='201'/>"), "{entered}");
    client.send(&format!(
        "<iq type='set' id='c' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_roomname'><value>{name}</value></field>\
         <field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>"
    ));
    let configured = client.read_until(&["id='c'"]);
    assert!(configured.contains("type='result'"), "{configured}");
}

fn say(client: &mut Client, room: &str, text: &str) {
    client.send(&format!(
        "<message type='groupchat' to='{room}'><body>{text}</body></message>"
    ));
}

fn end(mut server: Running) {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_room_is_found_entered_and_there_again_after_a_restart() {
    let site = site();
    let server = site.start(&["--insecure-plaintext"]);
    let mut hag = server.bind("hag", "pw");
    let mut crone = server.bind("crone", "pw");
    make(&mut hag, CAVE, "A Dark Cave");
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    for (to, item) in [
        ("localhost", "<item jid='rooms.localhost' name='Rooms'/>"),
        (
            "rooms.localhost",
            "<item jid='cave@rooms.localhost' name='A Dark Cave'/>",
        ),
    ] {
        crone.send(&format!("<iq type='get' id='i' to='{to}'>{items}</iq>"));
        let found = crone.read_until(&["</iq>"]);
        assert!(found.contains(item), "{found}");
    }
    enter(&mut crone, "cave@rooms.localhost/crone");
    say(&mut hag, CAVE, "Harpier cries");
    for witch in [&mut hag, &mut crone] {
        let heard = witch.read_until(&["</message>"]);
        let heard = match heard.contains("<body>") {
            true => heard,
            false => witch.read_until(&["<body>"]),
        };
        assert!(heard.contains("from='cave@rooms.localhost/hag'"), "{heard}");
    }

    let view = "cave@rooms.localhost                     persistent occupants 2 waiting 0\n";
    site.run(&["rooms"]).is(view);
    // Another message has told that the room was configured.
    let (_, metrics) = server.http("GET /metrics");
    for sample in [
        "xmpp_rooms 1",
        "xmpp_room_occupants 2",
        "xmpp_room_messages_total 2",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{metrics}");
    }

    end(server);
    // XEP-0045 §11.2
    for witch in [&mut hag, &mut crone] {
        let rest = witch.read_to_end();
        assert!(rest.contains("<status code='332'/>"), "{rest}");
        assert!(rest.contains("<system-shutdown"), "{rest}");
    }
    site.run(&["rooms"]).is("");

    let server = site.start(&["--insecure-plaintext"]);
    let mut crone = server.bind("crone", "pw");
    let entered = enter(&mut crone, "cave@rooms.localhost/crone");
    assert!(entered.contains("<body>Harpier cries</body>"), "{entered}");
    assert!(entered.contains("affiliation='none'"), "{entered}");
    let mut hag = server.bind("hag", "pw");
    let entered = enter(&mut hag, "cave@rooms.localhost/hag");
    assert!(entered.contains("affiliation='owner'"), "{entered}");
    assert!(!entered.contains("<status code='201'/>"), "{entered}");
    end(server);
}

#[test]
fn a_domain_can_do_without_rooms_and_strangers_do_not_make_them() {
    let site = site();
    site.set("rooms__enabled", "false");
    let server = site.start(&["--insecure-plaintext"]);
    let mut hag = server.bind("hag", "pw");
    hag.send("<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
    let items = hag.read_until(&["</iq>", "disco#items'/>"]);
    assert!(!items.contains("rooms.localhost"), "{items}");
    end(server);

    site.set("rooms__enabled", "true");
    site.set("rooms__creation", "admins");
    let server = site.start(&["--insecure-plaintext"]);
    let mut hag = server.bind("hag", "pw");
    let refused = enter(&mut hag, "cave@rooms.localhost/hag");
    assert!(refused.contains("<not-allowed"), "{refused}");
    end(server);
}

/// A server of a domain, which finds the other one and its rooms by its settings.
fn federated(domain: &str, other: &str, here: &str, there: &str) -> (Site, Running) {
    let site = Site::new();
    site.set("domains__0__name", domain);
    site.set("s2s__listen", &format!("[\"{here}\"]"));
    let peers = format!(
        "{{ \"{other}\" = {{ host = \"{there}\" }}, \"rooms.{other}\" = {{ host = \"{there}\" }} }}"
    );
    site.set("s2s__peers", &peers);
    site.run(&["adduser", &format!("hag@{domain}"), "--password", "pw"])
        .succeeds("added");
    let server = site.start(&["--insecure-plaintext"]);
    (site, server)
}

#[test]
fn people_of_two_servers_meet_in_a_room() {
    let (a, b) = (free_address().to_string(), free_address().to_string());
    let (site, verona) = federated("verona.example", "mantua.example", &a, &b);
    let (_other, mantua) = federated("mantua.example", "verona.example", &b, &a);
    let mut here = verona.bind_at("verona.example", "hag", "pw");
    let mut there = mantua.bind_at("mantua.example", "hag", "pw");
    let room = "cave@rooms.verona.example";
    make(&mut here, room, "Cave");
    let entered = enter(&mut there, "cave@rooms.verona.example/stranger");
    assert!(entered.contains("<status code='110'/>"), "{entered}");
    say(&mut there, room, "from afar");
    here.read_until(&["<body>from afar</body>"]);
    there.read_until(&["<body>from afar</body>"]);
    // Strangers do not make rooms.
    let refused = enter(&mut there, "other@rooms.verona.example/stranger");
    assert!(refused.contains("<not-allowed"), "{refused}");

    // Who is gone leaves the room.
    end(mantua);
    soon("one is left", || {
        let view = site.run(&["rooms"]);
        view.stdout().contains("occupants 1").then_some(())
    });
    end(verona);
}

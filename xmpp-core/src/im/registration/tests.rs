use super::*;
use crate::im::presence::Presence;
use crate::sasl::MIN_ITERATIONS;
use crate::server::testing::{Client, World, bare};
use crate::store::Subscription;
use crate::stream::StreamCondition;

fn world(registration: &Arc<Registration>) -> World {
    World::with(vec![registration.clone()], |config| {
        config.domains[0].sasl.iterations = MIN_ITERATIONS;
    })
}

fn set(content: &str) -> Element {
    Element::parse(&format!("<query xmlns='{NS}'>{content}</query>")).unwrap()
}

fn filled(username: &str, password: &str) -> Element {
    set(&format!(
        "<username>{username}</username><password>{password}</password>"
    ))
}

/// A stranger's request; what comes back, or the condition.
fn ask(world: &World, verb: Verb, payload: Element, peer: &str) -> Result<String, &'static str> {
    let handler = world.server.hooks().stranger_handler("query", NS).unwrap();
    let request = StrangerRequest {
        verb,
        payload,
        domain: bare("example.org"),
        peer: Some(peer.parse().unwrap()),
    };
    match world.run(handler.handle(&request, &world.server)) {
        Ok(answer) => Ok(answer.map(|e| e.to_string()).unwrap_or_default()),
        Err(error) => Err(error.condition.name()),
    }
}

fn register(world: &World, username: &str, password: &str) -> Result<String, &'static str> {
    ask(world, Verb::Set, filled(username, password), "192.0.2.1")
}

fn password_is(world: &World, account: &str, password: &str) -> bool {
    let accounts = world.server.stores().accounts.clone();
    let credentials = world.run(accounts.credentials(&bare(account))).unwrap();
    credentials.unwrap().verify(password)
}

#[track_caller]
fn request(client: &Client, kind: &str, to: &str, content: &str) -> Result<String, &'static str> {
    client.send(&format!(
        "<iq type='{kind}' {to} id='r'><query xmlns='{NS}'>{content}</query></iq>"
    ));
    match &client.read()[..] {
        [reply] => match reply.error() {
            Some(error) => Err(error.condition.name()),
            None => Ok(reply.payload().elements().map(|e| e.to_string()).collect()),
        },
        other => panic!("{other:?}"),
    }
}

/// XEP-0077 §3.1: "the host MUST inform the entity of the required registration fields"
#[test]
fn a_stranger_learns_what_to_fill_in() {
    let world = world(&Arc::default());
    let asked = ask(&world, Verb::Get, set(""), "192.0.2.1").unwrap();
    let asked = Element::parse(&asked).unwrap();
    for name in ["instructions", "username", "password"] {
        assert!(asked.child(name, NS).is_some(), "{name}");
    }
    // §4: "The x:data form SHOULD contain x:data fields that correspond to all of the
    // iq:register fields"
    let form = asked.child("x", form::NS).unwrap();
    assert_eq!(form::form_type(form).as_deref(), Some(NS));
    let vars: Vec<_> = form::fields(form).map(|(var, _)| var).collect();
    assert_eq!(vars, ["FORM_TYPE", "username", "password"]);
}

/// XEP-0077 §3.1: "a username conflict"
#[test]
fn nobody_becomes_an_administrator_by_registering() {
    let registration: Arc<Registration> = Arc::default();
    let world = World::with(vec![registration], |config| {
        config.domains[0].sasl.iterations = MIN_ITERATIONS;
        config.domains[0].administrators = vec![bare("nurse@example.org")];
    });
    let refused = register(&world, "Nurse", "o holy, simple truth");
    assert_eq!(refused, Err("conflict"));
    let account = world.server.stores().accounts.clone();
    assert!(
        !world
            .run(account.exists(&bare("nurse@example.org")))
            .unwrap()
    );
}

/// XEP-0077 §3.1, §4
#[test]
fn an_account_is_made_of_fields_or_of_a_form() {
    let world = world(&Arc::default());
    assert_eq!(register(&world, "Bill", "Calliope"), Ok(String::new()));
    assert!(password_is(&world, "bill@example.org", "Calliope"));
    let form = set("<x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>jabber:iq:register</value></field>\
         <field var='username'><value>juliet</value></field>\
         <field var='password'><value>R0m30</value></field></x>");
    assert_eq!(ask(&world, Verb::Set, form, "192.0.2.1"), Ok(String::new()));
    assert!(password_is(&world, "juliet@example.org", "R0m30"));
}

/// XEP-0077 §3.1, §3.1.1, §3.2
#[test]
fn what_cannot_be_registered_gets_the_error_of_the_specification() {
    let world = world(&Arc::default());
    world.account("bill@example.org");
    for (payload, condition) in [
        (filled("bill", "x"), "conflict"),
        (filled("BILL", "x"), "conflict"),
        (filled("juliet", ""), "not-acceptable"),
        (filled("", "x"), "not-acceptable"),
        (set("<username>juliet</username>"), "not-acceptable"),
        (set("<password>juliet</password>"), "not-acceptable"),
        (set(""), "not-acceptable"),
        (filled("a b", "x"), "not-acceptable"),
        (filled("juliet", "\t"), "not-acceptable"),
        (set("<remove/>"), "unexpected-request"),
    ] {
        let text = payload.to_string();
        // Each from another address, to stay below the limit.
        let peer = format!("2001:db8:{:x}::1", text.len());
        let answer = ask(&world, Verb::Set, payload, &peer);
        assert_eq!(answer, Err(condition), "{text}");
    }
    let accounts = world.server.stores().accounts.clone();
    let all = world.run(accounts.list("example.org", None, 10)).unwrap();
    assert_eq!(all, [bare("bill@example.org")]);
}

/// XEP-0077 §3.1.1: "MAY return a <not-acceptable/> stanza error if an unregistered entity
/// attempts to register too many times"
#[test]
fn one_address_registers_only_so_often() {
    let options = Options {
        attempts: 2,
        remembered: 3,
        ..Options::default()
    };
    let registration = Arc::new(Registration::new(options));
    let world = world(&registration);
    let try_from = |name: &str, peer: &str| ask(&world, Verb::Set, filled(name, "x"), peer);
    assert!(try_from("a", "2001:db8::1").is_ok());
    assert!(try_from("b", "2001:db8::2").is_ok());
    assert_eq!(
        try_from("c", "2001:db8::3"),
        Err("not-acceptable"),
        "same /64"
    );
    assert!(try_from("c", "192.0.2.1").is_ok(), "another address");
    world.advance(Options::default().window);
    assert!(try_from("d", "2001:db8::1").is_ok(), "later");
    for n in 2..100u8 {
        let _ = try_from("a", &format!("192.0.2.{n}"));
    }
    assert_eq!(registration.attempts.lock().unwrap().len(), 3);
}

/// XEP-0077 §3.1: "If the host does not support In-Band Registration, it MUST return a
/// <service-unavailable/> error."; §8
#[test]
fn registration_is_offered_where_it_is_open_and_nowhere_else() {
    let elsewhere = Options {
        domains: vec![bare("example.net")],
        ..Options::default()
    };
    let registration = Arc::new(Registration::new(elsewhere));
    let world = world(&registration);
    assert_eq!(register(&world, "a", "x"), Err("service-unavailable"));
    let (net, org) = (bare("example.net"), bare("example.org"));
    let account = bare("a@example.net");
    let offered = |domain, account, passwords| {
        let context = FeatureContext {
            domain,
            account,
            tls: passwords,
            passwords,
        };
        registration.advertise(&context).is_some()
    };
    assert!(offered(&net, None, true));
    assert!(!offered(&org, None, true));
    assert!(!offered(&net, Some(&account), true));
    assert!(!offered(&net, None, false), "the password would be seen");

    let closed = Options {
        strangers: false,
        ..Options::default()
    };
    let world = self::world(&Arc::new(Registration::new(closed)));
    assert!(world.server.hooks().stranger_handler("query", NS).is_none());
    assert!(world.server.hooks().stream_features().is_empty());
}

/// XEP-0077 §3.1, §3.3
#[test]
fn a_user_learns_that_there_is_an_account_and_changes_its_password() {
    let world = world(&Arc::default());
    let bill = world.login("bill@example.org/globe");
    for to in ["", "to='example.org'", "to='bill@example.org'"] {
        assert_eq!(
            request(&bill, "get", to, "").unwrap(),
            "<query xmlns='jabber:iq:register'><registered/><username>bill</username>\
             <password/></query>"
        );
        let new = format!("new {}", to.len());
        let content = format!("<username>bill</username><password>{new}</password>");
        assert_eq!(request(&bill, "set", to, &content), Ok(String::new()));
        assert!(password_is(&world, "bill@example.org", &new));
    }
    for (content, condition) in [
        // "MUST NOT change the password to a null value, but instead MUST maintain the
        // existing password"
        ("<username>bill</username><password/>", "bad-request"),
        ("<username>bill</username>", "bad-request"),
        ("<password>x</password>", "bad-request"),
        (
            "<username>juliet</username><password>x</password>",
            "bad-request",
        ),
        (
            "<username>bill</username><password>\t</password>",
            "not-acceptable",
        ),
    ] {
        assert_eq!(request(&bill, "set", "", content), Err(condition));
    }
    world.account("juliet@example.org");
    assert_eq!(
        request(&bill, "set", "to='juliet@example.org'", "<remove/>"),
        Err("forbidden")
    );
    assert!(password_is(&world, "bill@example.org", "new 21"));
}

/// XEP-0077 §3.3: "A given deployment MAY choose to disable password changes if the stream is
/// not properly encrypted"
#[test]
fn a_password_is_not_changed_where_it_would_cross_the_wire_as_it_is() {
    let world = world(&Arc::default());
    let bill = world.login("bill@example.org/globe");
    let content = "<username>bill</username><password>seen</password>";
    let form = "<x xmlns='jabber:x:data' type='submit'>\
         <field var='username'><value>bill</value></field>\
         <field var='password'><value>seen</value></field></x>";
    bill.session.set_encrypted(false);
    assert_eq!(
        request(&bill, "get", "", "").unwrap(),
        "<query xmlns='jabber:iq:register'><registered/><username>bill</username></query>"
    );
    for content in [content, form] {
        assert_eq!(request(&bill, "set", "", content), Err("not-allowed"));
    }
    bill.session.set_encrypted(true);
    assert_eq!(request(&bill, "set", "", content), Ok(String::new()));

    // Removing the account tells nobody a password.
    bill.session.set_encrypted(false);
    assert_eq!(request(&bill, "set", "", "<remove/>"), Ok(String::new()));

    let open = World::with(vec![Arc::<Registration>::default()], |config| {
        config.domains[0].sasl.iterations = MIN_ITERATIONS;
        config.domains[0].sasl.plain_without_tls = true;
    });
    let bill = open.login("bill@example.org/globe");
    bill.session.set_encrypted(false);
    assert_eq!(request(&bill, "set", "", content), Ok(String::new()));
}

/// XEP-0077 §3.2: "the server SHOULD then return a <not-authorized/> stream error and
/// terminate all active sessions for the entity", "SHOULD also cancel all existing presence
/// subscriptions"
#[test]
fn a_removed_account_leaves_nothing_behind() {
    let world = World::new(vec![Arc::new(Registration::default()), Arc::new(Presence)]);
    let outside = ["both", "from", "to", "none"].map(|name| {
        let contact = format!("{name}@example.net");
        let subscription = Subscription::parse(name).unwrap();
        world.contact("bill@example.org", &contact, subscription);
        world.entity(&contact)
    });
    let globe = world.login("bill@example.org/globe");
    let other = world.login("bill@example.org/other");
    globe.shows("<presence/>");
    assert_eq!(
        request(&globe, "set", "", "<remove/><username>bill</username>"),
        Err("bad-request")
    );
    assert_eq!(request(&globe, "set", "", "<remove/>"), Ok(String::new()));
    for client in [&globe, &other] {
        let ending = client.session.ending().unwrap();
        assert_eq!(ending.condition, StreamCondition::NotAuthorized);
    }
    let (unsubscribe, gone, unsubscribed) = (
        "bill@example.org unsubscribe",
        "bill@example.org/globe unavailable",
        "bill@example.org unsubscribed",
    );
    let wanted: [&[&str]; 4] = [
        &[unsubscribe, gone, unsubscribed],
        &[gone, unsubscribed],
        &[unsubscribe],
        &[],
    ];
    for (contact, wanted) in outside.iter().zip(wanted) {
        let got = contact.read();
        let got: Vec<_> = got
            .iter()
            .map(|p| format!("{} {}", p.from().unwrap(), p.kind().type_name().unwrap()))
            .collect();
        assert_eq!(got, wanted);
    }
    let accounts = world.server.stores().accounts.clone();
    assert!(
        !world
            .run(accounts.exists(&bare("bill@example.org")))
            .unwrap()
    );
    assert_eq!(
        request(&other, "set", "", "<remove/>"),
        Err("registration-required")
    );

    // The name is free, and its next owner starts afresh even while a session of the last
    // one has not quite gone.
    assert_eq!(register(&world, "bill", "x"), Ok(String::new()));
    let bill = world.login("bill@example.org/new");
    assert!(bill.session.account().exists());
    assert_eq!(bill.session.account().roster(|r| r.items().len()), 0);
}

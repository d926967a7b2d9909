use super::*;
use crate::im::presence::Presence;
use crate::server::Config;
use crate::server::testing::{Client, World, bare};
use crate::stanza::Kind;
use crate::store::{Ask, Subscription};
use crate::stream::StreamCondition;

const BALCONY: &str = "juliet@example.org/balcony";
const CHAMBER: &str = "juliet@example.org/chamber";

fn world() -> World {
    configured(|_| {})
}

fn configured(configure: impl FnOnce(&mut Config)) -> World {
    World::with(vec![Arc::new(Roster), Arc::new(Presence)], configure)
}

const GET: &str = "<iq id='g' type='get'><query xmlns='jabber:iq:roster'/></iq>";

fn interested(world: &World, jid: &str) -> Client {
    let client = world.login(jid);
    client.send(GET);
    client.skip();
    client
}

fn set(client: &Client, item: &str) {
    client.send(&format!(
        "<iq id='s' type='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
    ));
}

fn push(to: &str, item: &str) -> String {
    format!(
        "<iq to='{to}' from='juliet@example.org' id='*' type='set'>\
         <query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"
    )
}

/// The error that a set comes back with.
#[track_caller]
fn refused(client: &Client, item: &str) -> Condition {
    set(client, item);
    let read = client.read();
    assert_eq!(read.len(), 1, "{read:?}");
    read[0].error().expect("an error").condition
}

const RESULT: &str =
    "<iq to='juliet@example.org/balcony' from='juliet@example.org' id='s' type='result'/>";

#[test]
fn an_empty_roster_is_a_query_without_items() {
    // §2.1.4: "MUST return an IQ-result containing a child <query/> element that in turn
    // contains no <item/> children"
    let world = world();
    let juliet = world.login(BALCONY);
    juliet.send(GET);
    juliet.expect(&[
        "<iq to='juliet@example.org/balcony' from='juliet@example.org' id='g' type='result'>\
         <query xmlns='jabber:iq:roster' ver='0'/></iq>",
    ]);
}

#[test]
fn a_roster_shows_everything_but_strangers_requests() {
    let world = world();
    let user = world.account("juliet@example.org");
    let rosters = world.server.stores().rosters.clone();
    let mut romeo = RosterItem::new(bare("romeo@example.net"));
    romeo.name = Some("Romeo & co.".into());
    romeo.groups = vec!["Friends".into(), "Lovers".into()];
    romeo.subscription = Subscription::From;
    romeo.ask = Some(Ask::Subscribe);
    let mut nurse = RosterItem::new(bare("nurse@example.org"));
    nurse.approved = true;
    let mut paris = RosterItem::new(bare("paris@example.net"));
    paris.pending_in = Some("<presence type='subscribe'/>".into());
    for item in [&romeo, &nurse, &paris] {
        world.run(rosters.put(&user, item)).unwrap();
    }
    let juliet = world.login(BALCONY);
    juliet.send(GET);
    juliet.expect(&[
        "<iq to='juliet@example.org/balcony' from='juliet@example.org' id='g' type='result'>\
         <query xmlns='jabber:iq:roster' ver='3'>\
         <item approved='true' jid='nurse@example.org' subscription='none'/>\
         <item ask='subscribe' jid='romeo@example.net' name='Romeo &amp; co.' subscription='from'>\
         <group>Friends</group><group>Lovers</group></item></query></iq>",
    ]);
}

#[test]
fn a_client_that_has_this_version_gets_an_empty_result() {
    // §2.6.3
    let world = world();
    let balcony = interested(&world, BALCONY);
    set(&balcony, "<item jid='nurse@example.org'/>");
    let push = balcony.read().remove(0);
    let query = push.payload().children().next().unwrap();
    let version = query.attr("ver").unwrap().into_owned();
    let chamber = world.login(CHAMBER);
    let get = |version: &str| {
        chamber.send(&format!(
            "<iq id='v' type='get'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>"
        ));
    };
    get(&version);
    chamber.expect(&[
        "<iq to='juliet@example.org/chamber' from='juliet@example.org' id='v' type='result'/>",
    ]);
    // It is interested all the same.
    set(&balcony, "<item jid='romeo@example.net'/>");
    assert_eq!(chamber.read().len(), 1);
    // §2.6.2: an empty version bootstraps; an old or unknown one gets it all
    for other in ["", &version, "99", "nonsense"] {
        get(other);
        let read = chamber.read();
        let query = read[0].payload().children().next().unwrap().element();
        assert_eq!(query.children().count(), 2, "{other:?}");
    }
}

#[test]
fn items_are_added_updated_and_removed_and_pushed_to_all_who_asked() {
    let world = world();
    let balcony = interested(&world, BALCONY);
    let chamber = interested(&world, CHAMBER);
    let ignorant = world.login("juliet@example.org/ignorant");
    let versions = |client: &Client| -> Vec<u64> {
        let read = client.read();
        let sets = read.iter().filter(|s| s.kind() == Kind::Iq(IqType::Set));
        sets.map(|s| {
            s.payload()
                .children()
                .next()
                .unwrap()
                .attr("ver")
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
    };
    // §2.3.2; §2.1.5: the subscription and what the server manages are ignored (§2.1.2.1, §2.1.2.2)
    set(
        &balcony,
        "<item approved='true' ask='subscribe' jid='nurse@example.org' name='Nurse' subscription='both'><group>Servants</group></item>",
    );
    let item = "<item jid='nurse@example.org' name='Nurse' subscription='none'><group>Servants</group></item>";
    balcony.expect(&[&push(BALCONY, item), RESULT]);
    chamber.expect(&[&push(CHAMBER, item)]);
    // §2.4.1: "the item MUST be updated exactly as provided in the roster set"
    set(
        &balcony,
        "<item jid='nurse@example.org' name=''><group>b</group><group>a</group></item>",
    );
    let item =
        "<item jid='nurse@example.org' subscription='none'><group>a</group><group>b</group></item>";
    balcony.expect(&[&push(BALCONY, item), RESULT]);
    chamber.expect(&[&push(CHAMBER, item)]);
    // §2.5
    set(
        &chamber,
        "<item jid='nurse@example.org' subscription='remove'/>",
    );
    let item = "<item jid='nurse@example.org' subscription='remove'/>";
    balcony.expect(&[&push(BALCONY, item)]);
    assert_eq!(chamber.read().len(), 2);
    ignorant.expect(&[]);
    // §2.6.3: "the version contained in a roster push MUST be unique", and in order
    for n in 0..3 {
        set(&balcony, &format!("<item jid='c{n}@example.org'/>"));
    }
    let versions = versions(&chamber);
    assert_eq!(versions.len(), 3);
    assert!(versions.is_sorted_by(|a, b| a < b));
}

#[test]
fn sets_that_break_the_rules_are_refused() {
    // §2.3.3
    let world = configured(|config| {
        config.account.roster_name = 8;
        config.account.roster_groups = 2;
    });
    let juliet = interested(&world, BALCONY);
    #[rustfmt::skip]
    let cases = [
        ("", Condition::BadRequest),
        ("<item jid='a@example.org'/><item jid='b@example.org'/>", Condition::BadRequest),
        ("<item xmlns='urn:example' jid='a@example.org'/>", Condition::BadRequest),
        ("<item name='nobody'/>", Condition::BadRequest),
        ("<item jid='a@example.org/full'/>", Condition::BadRequest),
        ("<item jid='@example.org'/>", Condition::JidMalformed),
        ("<item jid='juliet@example.org'/>", Condition::NotAllowed),
        ("<item jid='a@example.org' name='123456789'/>", Condition::NotAcceptable),
        ("<item jid='a@example.org'><group/></item>", Condition::NotAcceptable),
        ("<item jid='a@example.org'><group>123456789</group></item>", Condition::NotAcceptable),
        ("<item jid='a@example.org'><group>a</group><group>b</group><group>c</group></item>", Condition::NotAcceptable),
        ("<item jid='a@example.org'><group>a</group><group>a</group></item>", Condition::BadRequest),
        // §2.5.3
        ("<item jid='a@example.org' subscription='remove'/>", Condition::ItemNotFound),
    ];
    for (item, condition) in cases {
        assert_eq!(refused(&juliet, item), condition, "{item}");
    }
    // §2.1.3
    juliet.send("<iq id='g' type='get'><query xmlns='jabber:iq:roster'><item jid='a@example.org'/></query></iq>");
    assert_eq!(
        juliet.read()[0].error().unwrap().condition,
        Condition::BadRequest
    );
}

#[test]
fn nobody_sees_or_changes_the_roster_of_another() {
    // §2.3.3: "MUST return a <forbidden/> stanza error to the client if the sender of the
    // roster set is not authorized to update the roster"; no matter whether there is one.
    let world = world();
    let juliet = interested(&world, BALCONY);
    let romeo = world.login("romeo@example.org/orchard");
    for to in ["juliet@example.org", "nobody@example.org"] {
        romeo.send(&format!("<iq to='{to}' id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@example.com'/></query></iq>"));
        romeo.send(&format!(
            "<iq to='{to}' id='g' type='get'><query xmlns='jabber:iq:roster'/></iq>"
        ));
        let errors: Vec<_> = romeo
            .read()
            .iter()
            .map(|s| s.error().unwrap().condition)
            .collect();
        assert_eq!(errors[0], Condition::Forbidden);
        assert_eq!(errors[1], Condition::ServiceUnavailable);
    }
    juliet.expect(&[]);
    // What clients answer to pushes, and what others pretend, changes nothing (§2.1.6).
    romeo.send("<iq to='juliet@example.org' id='r' type='result'><query xmlns='jabber:iq:roster'><item jid='romeo@example.org' subscription='both'/></query></iq>");
    juliet.send("<iq id='p' type='error'><error type='cancel'/></iq>");
    juliet.expect(&[]);
    romeo.expect(&[]);
}

#[test]
fn an_account_may_name_itself() {
    // §2.6.2, example: to='romeo@example.net' from his own resource
    let world = world();
    let juliet = world.login(BALCONY);
    juliet.send(
        "<iq to='juliet@example.org' id='g' type='get'><query xmlns='jabber:iq:roster'/></iq>",
    );
    assert_eq!(juliet.read()[0].kind(), Kind::Iq(IqType::Result));
}

#[test]
fn a_roster_has_room_for_so_many() {
    let world = configured(|config| config.account.roster_items = 2);
    world.inject("<presence from='paris@example.net' to='juliet@example.org' type='subscribe'/>");
    let juliet = interested(&world, BALCONY);
    for name in ["a", "b", "a"] {
        set(&juliet, &format!("<item jid='{name}@example.org'/>"));
        assert_eq!(juliet.read().len(), 2);
    }
    assert_eq!(
        refused(&juliet, "<item jid='c@example.org'/>"),
        Condition::ResourceConstraint
    );
}

#[test]
fn an_item_stays_visible_while_its_contact_asks() {
    // §A.1: "if the user has created a roster item for the contact then the server MUST
    // maintain that roster item and also note the existence of the inbound [...] request"
    let world = world();
    world.account("juliet@example.org");
    world.inject("<presence from='paris@example.net' to='juliet@example.org' type='subscribe'/>");
    let juliet = interested(&world, BALCONY);
    assert_eq!(
        refused(
            &juliet,
            "<item jid='paris@example.net' subscription='remove'/>"
        ),
        Condition::ItemNotFound
    );
    let item = "<item jid='paris@example.net' subscription='none'/>";
    set(&juliet, "<item jid='paris@example.net'/>");
    juliet.expect(&[&push(BALCONY, item), RESULT]);
    juliet.send(GET);
    let query = juliet.read()[0]
        .payload()
        .children()
        .next()
        .unwrap()
        .element();
    assert_eq!(query.children().count(), 1);
    // and the other way round: there first, then asked
    set(&juliet, "<item jid='tybalt@example.net'/>");
    juliet.skip();
    world.inject("<presence from='tybalt@example.net' to='juliet@example.org' type='subscribe'/>");
    juliet.send(GET);
    let query = juliet.read()[0]
        .payload()
        .children()
        .next()
        .unwrap()
        .element();
    assert_eq!(query.children().count(), 2);
    juliet.send("<presence/>");
    assert_eq!(juliet.read().len(), 3, "both requests are still there");
}

#[test]
fn who_is_removed_is_parted_from() {
    // §2.5.2
    let cases = [
        (Subscription::None, None, false, vec![]),
        (Subscription::To, None, false, vec!["unsubscribe"]),
        (
            Subscription::From,
            None,
            false,
            vec!["unavailable", "unsubscribed"],
        ),
        (
            Subscription::Both,
            None,
            false,
            vec!["unsubscribe", "unavailable", "unsubscribed"],
        ),
        // Requests that wait are answered too: nobody else would.
        (
            Subscription::None,
            Some(Ask::Subscribe),
            false,
            vec!["unsubscribe"],
        ),
        (
            Subscription::To,
            None,
            true,
            vec!["unsubscribe", "unsubscribed"],
        ),
    ];
    for (subscription, ask, request, expected) in cases {
        let world = world();
        let user = world.account("juliet@example.org");
        let mut romeo = RosterItem::new(bare("romeo@example.net"));
        romeo.subscription = subscription;
        romeo.ask = ask;
        romeo.pending_in = request.then(|| "<presence type='subscribe'/>".into());
        world
            .run(world.server.stores().rosters.put(&user, &romeo))
            .unwrap();
        let juliet = interested(&world, BALCONY);
        juliet.send("<presence/>");
        let outside = world.entity("example.net");
        set(
            &juliet,
            "<item jid='romeo@example.net' subscription='remove'/>",
        );
        let read = outside.read();
        let types: Vec<_> = read.iter().filter_map(|s| s.kind().type_name()).collect();
        assert_eq!(types, expected, "{subscription:?}");
        for stanza in read
            .iter()
            .filter(|s| s.kind().type_name() != Some("unavailable"))
        {
            assert_eq!(stanza.from().unwrap().as_str(), "juliet@example.org");
        }
        let stored = world
            .run(world.server.stores().rosters.load(&user))
            .unwrap();
        assert_eq!(stored.items, []);
    }
}

#[test]
fn removal_cancels_the_subscription_on_the_other_side() {
    let world = world();
    for (user, contact) in [("juliet", "romeo"), ("romeo", "juliet")] {
        let user = world.account(&format!("{user}@example.org"));
        let mut item = RosterItem::new(bare(&format!("{contact}@example.org")));
        item.subscription = Subscription::Both;
        world
            .run(world.server.stores().rosters.put(&user, &item))
            .unwrap();
    }
    let juliet = interested(&world, BALCONY);
    let romeo = interested(&world, "romeo@example.org/orchard");
    set(
        &juliet,
        "<item jid='romeo@example.org' subscription='remove'/>",
    );
    let items: Vec<_> = romeo
        .read()
        .iter()
        .filter_map(|stanza| {
            let query = stanza.payload().child("query", NS)?.element();
            let item = query.children().next()?;
            Some(item.attr("subscription")?.to_owned())
        })
        .collect();
    assert_eq!(items, ["to", "none"]);
}

#[test]
fn versioning_is_advertised_after_login() {
    // §2.6.1
    let domain = bare("example.org");
    let world = world();
    let features = world.server.hooks().stream_features();
    let offered = |account: Option<&BareJid>| -> Vec<String> {
        let to = FeatureContext {
            domain: &domain,
            account,
            tls: true,
            passwords: true,
        };
        let all = features.iter().filter_map(|feature| feature.advertise(&to));
        all.map(|element| element.to_string()).collect()
    };
    assert_eq!(offered(None), [""; 0]);
    assert_eq!(
        offered(Some(&bare("juliet@example.org"))),
        [
            "<ver xmlns='urn:xmpp:features:rosterver'/>",
            "<sub xmlns='urn:xmpp:features:pre-approval'/>",
        ]
    );
}

/// Who logged in anonymously has no account, and nothing is kept for it (RFC 4505).
#[test]
fn without_an_account_there_is_no_roster_to_change() {
    let world = World::new(vec![Arc::new(Roster), Arc::new(presence::Presence)]);
    let guest = world.guest("guest@example.org/1");
    world.account("juliet@example.org");
    let refused = |stanza: &str| {
        guest.send(stanza);
        let read = guest.read();
        let [reply] = &read[..] else {
            panic!("{read:?}");
        };
        assert_eq!(reply.error().unwrap().condition, Condition::NotAllowed);
    };
    refused(
        "<iq id='1' type='set'><query xmlns='jabber:iq:roster'>\
         <item jid='juliet@example.org'/></query></iq>",
    );
    for act in ["subscribe", "subscribed", "unsubscribe", "unsubscribed"] {
        refused(&format!(
            "<presence to='juliet@example.org' type='{act}' id='2'/>"
        ));
    }
    let rosters = world.server.stores().rosters.clone();
    for account in ["guest@example.org", "juliet@example.org"] {
        let stored = world.run(rosters.load(&bare(account))).unwrap();
        assert_eq!(stored.items, []);
    }
}

/// Lets something happen between the look at the roster and the answer.
struct Slow(Arc<futures::lock::Mutex<()>>);

impl Module for Slow {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.iq(Scope::Account, "query", NS, self);
    }
}

#[async_trait]
impl IqHandler for Slow {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        let result = Roster.handle(request, server).await;
        if request.verb == Verb::Get {
            drop(self.0.lock().await);
        }
        result
    }

    fn is_snapshot(&self, request: &Request) -> bool {
        Roster.is_snapshot(request)
    }
}

/// §2.6.3: "Roster pushes MUST occur in order of modification". Another device changes the
/// roster when this one's has been read and the result is not yet on its way: a result
/// behind the push would undo it.
#[test]
fn a_push_does_not_come_before_the_roster_that_it_changes() {
    let gate = Arc::new(futures::lock::Mutex::new(()));
    let world = World::with(vec![Arc::new(Slow(gate.clone()))], |_| {});
    let [balcony, chamber] = [BALCONY, CHAMBER].map(|jid| world.login(jid));
    let begin = |client: &Client, stanza: &str| {
        let dispatch = client.submit(stanza);
        world.server.spawn(Box::pin(async {
            let _ = dispatch.finish().await;
        }));
        world.settle();
    };
    let closed = gate.try_lock().expect("nobody is there yet");
    begin(&balcony, GET);
    begin(
        &chamber,
        "<iq id='s' type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@example.org'/>\
         </query></iq>",
    );
    balcony.expect(&[]);
    drop(closed);
    world.settle();
    balcony.expect(&[
        "<iq to='juliet@example.org/balcony' from='juliet@example.org' id='g' type='result'>\
         <query xmlns='jabber:iq:roster' ver='0'/></iq>",
        &push(
            BALCONY,
            "<item jid='romeo@example.org' subscription='none'/>",
        ),
    ]);
}

/// A client that goes on without a push has a roster that is wrong, and does not know it.
#[test]
fn a_session_that_cannot_be_told_of_a_change_ends() {
    let world = configured(|config| config.session_queue.stanzas = 1);
    let juliet = interested(&world, BALCONY);
    let other = interested(&world, CHAMBER);
    let change = |contact: &str| {
        set(&juliet, &format!("<item jid='{contact}@example.com'/>"));
        juliet.skip();
    };
    change("romeo");
    change("nurse");
    assert!(other.session.ending().is_none(), "there is room for pushes");
    change("paris");
    let error = other.session.ending().expect("it was not told of paris");
    assert_eq!(error.condition, StreamCondition::ResourceConstraint);
    assert_eq!(other.read().len(), 2);
    assert!(juliet.session.ending().is_none());
}

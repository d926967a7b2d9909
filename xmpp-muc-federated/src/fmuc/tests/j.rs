//! The examples of XEP-0289, byte for byte as they stand there: what each side does at the other's stanzas, and that ours say the same (§6.J).

use xmpp_core::stanza::Stanza;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::{Dialect, LinkProfile, World, speaking};
use crate::fmuc::Input;
use crate::ns;

/// Example: "FMUC Node begins initiates federation".
const JOIN: &str = r#"<presence from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit/Hamlet'>
    <fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/priam-ubuntu-vm'/>
    <x xmlns="http://jabber.org/protocol/muc"/>
    <x xmlns="http://jabber.org/protocol/muc#user">
      <item affiliation="none" role="participant" jid="hamlet@denmark.lit/priam-ubuntu-vm"/>
    </x>
</presence>"#;

/// Example: "Second FMUC Node rejects federation".
const REJECT: &str = r#"<presence from="rabbithole@rooms.wonderland.lit" to="elsinore@talk.denmark.lit">
  <fmuc xmlns="http://isode.com/protocol/fmuc">
    <reject>No cross-domain federation.</reject>
  </fmuc>
</presence>"#;

/// Example: "Second FMUC Node accepts federation and sends occupants and history".
const BURST: [&str; 5] = [
    r#"<presence from="rabbithole@rooms.wonderland.lit/Alice" to="elsinore@talk.denmark.lit">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="alice@wonderland.lit/priam-ubuntu-vm"/>
  <x xmlns="http://jabber.org/protocol/muc#user">
    <item affiliation="owner" role="moderator" jid="alice@wonderland.lit/priam-ubuntu-vm"/>
  </x>
</presence>"#,
    r#"<presence from="rabbithole@rooms.wonderland.lit/Hamlet" to="elsinore@talk.denmark.lit">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="hamlet@denmark.lit/priam-ubuntu-vm"/>
  <x xmlns="http://jabber.org/protocol/muc#user">
    <item affiliation="none" role="participant" jid="hamlet@denmark.lit/priam-ubuntu-vm"/>
  </x>
</presence>"#,
    r#"<message from="rabbithole@rooms.wonderland.lit/Alice" to="elsinore@talk.denmark.lit" type="groupchat">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="alice@wonderland.lit/priam-ubuntu-vm"/>
  <body>This is an old message from the history</body>
  <x xmlns="urn:xmpp:delay" from="rabbithole@rooms.wonderland.lit" stamp="20120419T16:00:44"/>
</message>"#,
    r#"<message from="rabbithole@rooms.wonderland.lit/Hatter" to="elsinore@talk.denmark.lit" type="groupchat">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="hatter@wonderland.lit/priam-ubuntu-vm"/>
  <body>This is another old message from the history</body>
  <x xmlns="urn:xmpp:delay" from="rabbithole@rooms.wonderland.lit" stamp="20120501T10:03:24"/>
</message>"#,
    r#"<message from="rabbithole@rooms.wonderland.lit/Alice" to="elsinore@talk.denmark.lit" type="groupchat">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="hatter@wonderland.lit/priam-ubuntu-vm"/>
  <subject>This is the subject</subject>
  <x xmlns="urn:xmpp:delay" from="rabbithole@rooms.wonderland.lit" stamp="20120528T14:39:34"/>
</message>"#,
];

/// Of the examples "User on FMUC Node sends a message" and "User on other FMUC Node replies to message".
const SAID: &str = r#"<message from='elsinore@talk.denmark.lit/Hamlet' to='rabbithole@rooms.wonderland.lit' type='groupchat'>
    <body>Hi Alice</body>
    <fmuc xmlns="http://isode.com/protocol/fmuc" from="hamlet@denmark.lit/priam-ubuntu-vm"/>
</message>"#;
const REPLIED: &str = r#"<message from='rabbithole@rooms.wonderland.lit/Alice' to='elsinore@talk.denmark.lit' type='groupchat'>
    <body>Hi Hamlet</body>
    <fmuc xmlns="http://isode.com/protocol/fmuc" from="alice@wonderland.lit/priam-ubuntu-vm"/>
</message>"#;

/// Of the example "Additional user joins FMUC room".
const JOINED: &str = r#"<presence from='rabbithole@rooms.wonderland.lit/Hatter' to='elsinore@talk.denmark.lit/Hatter'>
  <fmuc xmlns='http://isode.com/protocol/fmuc' from='hatter@wonderland.lit/priam-ubuntu-vm'/>
  <x xmlns="http://jabber.org/protocol/muc#user">
    <item affiliation="none" role="participant" jid="hatter@wonderland.lit/priam-ubuntu-vm"/>
  </x>
</presence>"#;

/// Of the example "User leaves FMUC node".
const LEFT: &str = r#"<presence from='rabbithole@rooms.wonderland.lit/Hatter' to='elsinore@talk.denmark.lit/Hamlet' type='unavailable'>
  <x xmlns='http://jabber.org/protocol/muc#user'>
    <item affiliation='none' role='none' jid='hatter@wonderland.lit/priam-ubuntu-vm'/>
  </x>
  <fmuc xmlns='http://isode.com/protocol/fmuc' from='hatter@wonderland.lit/priam-ubuntu-vm'/>
</presence>"#;

/// Example: "Joined FMUC node alerts the joining node that it is no longer in the FMUC set".
const CONFIRMED: &str = r#"<presence from="rabbithole@rooms.wonderland.lit" to="elsinore@talk.denmark.lit">
  <fmuc xmlns="http://isode.com/protocol/fmuc">
    <left/>
  </fmuc>
</presence>"#;

/// Of the example "User sends private message to occupant of other node".
const PRIVATE: &str = r#"<message to="rabbithole@rooms.wonderland.lit/Alice" from="elsinore@talk.denmark.lit/Hamlet" type="chat">
  <fmuc xmlns="http://isode.com/protocol/fmuc" from="hamlet@denmark.lit/priam-ubuntu-vm"/>
  <body>Hi, I want to say something in private</body>
</message>"#;

const HAMLET: &str = "hamlet@denmark.lit/priam-ubuntu-vm";
const ALICE: &str = "alice@wonderland.lit/priam-ubuntu-vm";

/// The joining side, elsinore: each stanza of the examples that it receives, and what Hamlet sees.
#[test]
fn the_joining_room_understands_the_examples() {
    let mut world = World::with("B>A", |name, setup| {
        speaking(Dialect::Auto, LinkProfile::Lan)(name, setup);
        // Some weeks are between the messages of the examples.
        setup.settings.limits.history_age = std::time::Duration::from_secs(100 * 24 * 60 * 60);
    });
    // After all that the examples tell of.
    world.now.utc = "2012-05-29T00:00:00Z".parse().unwrap();
    enter(&mut world, 'B', HAMLET, "Hamlet");
    let burst: Vec<_> = BURST
        .iter()
        .flat_map(|stanza| from_peer(&mut world, 'B', stanza))
        .collect();
    assert_eq!(
        burst,
        [
            "hamlet@denmark.lit/priam-ubuntu-vm: P Alice",
            "hamlet@denmark.lit/priam-ubuntu-vm: M Alice: This is an old message from the history delay",
            "hamlet@denmark.lit/priam-ubuntu-vm: M Hatter: This is another old message from the history delay",
            "hamlet@denmark.lit/priam-ubuntu-vm: S This is the subject delay",
        ]
    );
    // "First FMUC Node relays the state to the joined client": the subject is Hatter's, whatever its address says.
    let last = world.last[HAMLET].clone();
    assert_eq!(
        last.from().unwrap().as_str(),
        "elsinore@talk.denmark.lit/Hatter"
    );
    assert!(
        last.to_string().contains("stamp='2012-05-28T14:39:34Z'"),
        "{last}"
    );
    for (stanza, seen) in [
        (REPLIED, "M Alice: Hi Hamlet"),
        (JOINED, "P Hatter"),
        (LEFT, "U Hatter"),
    ] {
        let seen = format!("{HAMLET}: {seen}");
        assert_eq!(from_peer(&mut world, 'B', stanza), [seen]);
    }
    let gone = client(
        &mut world,
        'B',
        HAMLET,
        "<presence type='unavailable' to='elsinore@talk.denmark.lit/Hamlet'/>",
    );
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(from_peer(&mut world, 'B', CONFIRMED).is_empty());
    assert!(world.is_quiet());
}

/// It is not let in.
#[test]
fn the_joining_room_understands_that_it_is_rejected() {
    let mut world = World::with("B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    enter(&mut world, 'B', HAMLET, "Hamlet");
    assert!(from_peer(&mut world, 'B', REJECT).is_empty());
    assert_eq!(
        world.notices,
        ["B!A Rejected(\"No cross-domain federation.\")"]
    );
}

/// The joined side, rabbithole: each stanza of the examples that it receives, and what comes back.
#[test]
fn the_joined_room_understands_the_examples() {
    let mut world = World::with("A", speaking(Dialect::Auto, LinkProfile::Lan));
    enter(&mut world, 'A', ALICE, "Alice");
    assert_eq!(
        from_peer(&mut world, 'A', JOIN),
        [
            "alice@wonderland.lit/priam-ubuntu-vm: P Hamlet",
            "A>B P(alice@wonderland.lit/priam-ubuntu-vm as Alice)",
            "A>B P(hamlet@denmark.lit/priam-ubuntu-vm as Hamlet)",
            "A>B S(rabbithole@rooms.wonderland.lit: )",
        ]
    );
    assert_eq!(
        from_peer(&mut world, 'A', SAID),
        [format!("{ALICE}: M Hamlet: Hi Alice")]
    );
    assert_eq!(
        from_peer(&mut world, 'A', PRIVATE),
        [format!(
            "{ALICE}: PM Hamlet: Hi, I want to say something in private"
        )]
    );
    let leaves = JOIN.replace("<presence ", "<presence type='unavailable' ");
    assert_eq!(
        from_peer(&mut world, 'A', &leaves),
        [format!("{ALICE}: U Hamlet"), "A>B LEFT".to_owned()]
    );
    assert!(world.is_quiet());
}

/// What ours send is what the examples have: the same elements with the same attributes, but for what the XEP leaves to be (defaults and the real address in the
/// item, a limit of history), and for what is wrong there (§1 of the design).
#[test]
fn ours_say_what_the_examples_say() {
    let mut world = World::with("B>A", speaking(Dialect::Xep, LinkProfile::Lan));
    world.held.insert(('B', 'A'));
    let sent = |world: &mut World, what: &str| {
        client(world, 'B', HAMLET, what);
        world.taken('B', 'A')
    };
    let join = sent(
        &mut world,
        "<presence to='elsinore@talk.denmark.lit/Hamlet'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    // Of this room he is the owner.
    same(
        &join,
        &JOIN.replace(
            "affiliation=\"none\" role=\"participant\"",
            "affiliation=\"owner\" role=\"moderator\"",
        ),
    );
    for stanza in BURST {
        from_peer(&mut world, 'B', stanza);
    }
    let said = sent(
        &mut world,
        "<message type='groupchat' to='elsinore@talk.denmark.lit'><body>Hi Alice</body></message>",
    );
    same(&said, SAID);
    let private = sent(
        &mut world,
        "<message type='chat' to='elsinore@talk.denmark.lit/Alice'><body>Hi, I want to say something in private</body></message>",
    );
    same(&private, PRIVATE);

    let mut world = World::with("A", speaking(Dialect::Xep, LinkProfile::Lan));
    enter(&mut world, 'A', ALICE, "Alice");
    world.held.insert(('A', 'B'));
    from_peer(&mut world, 'A', JOIN);
    let burst = world.all_taken('A', 'B');
    same(&burst[0], BURST[0]);
    same(&burst[1], BURST[1]);
    let sent = |world: &mut World, who: &str, what: &str| {
        client(world, 'A', who, what);
        world.taken('A', 'B')
    };
    let replied = sent(
        &mut world,
        ALICE,
        "<message type='groupchat' to='rabbithole@rooms.wonderland.lit'><body>Hi Hamlet</body></message>",
    );
    same(&replied, REPLIED);
    let hatter = "hatter@wonderland.lit/priam-ubuntu-vm";
    let joined = sent(
        &mut world,
        hatter,
        "<presence to='rabbithole@rooms.wonderland.lit/Hatter'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    same(&joined, JOINED);
    let left = sent(
        &mut world,
        hatter,
        "<presence type='unavailable' to='rabbithole@rooms.wonderland.lit/Hatter'/>",
    );
    same(&left, LEFT);
}

fn enter(world: &mut World, room: char, who: &str, nick: &str) {
    let to = super::address(room).with_resource(nick).unwrap();
    client(
        world,
        room,
        who,
        &format!("<presence to='{to}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
    );
}

fn client(world: &mut World, room: char, who: &str, stanza: &str) -> Vec<String> {
    let stanza = Stanza::parse(stanza)
        .unwrap()
        .with_from(Jid::new(who).unwrap());
    world.handle(room, Input::Stanza(stanza));
    world.settle();
    std::mem::take(&mut world.seen)
}

/// A stanza of another room.
fn from_peer(world: &mut World, room: char, stanza: &str) -> Vec<String> {
    world.handle(room, Input::Stanza(Stanza::parse(stanza).unwrap()));
    world.settle();
    std::mem::take(&mut world.seen)
}

/// That a stanza of ours says what an example says.
fn same(ours: &Stanza, example: &str) {
    let example = Stanza::parse(example).unwrap();
    let bare = |jid: Option<&Jid>| jid.map(Jid::to_bare).map(|jid: BareJid| jid.to_string());
    assert_eq!(ours.kind(), example.kind(), "{ours}\n{example}");
    assert_eq!(ours.from(), example.from(), "{ours}\n{example}");
    assert_eq!(bare(ours.to()), bare(example.to()), "{ours}\n{example}");
    let elements = |stanza: &Stanza| {
        let all = stanza.payload().elements().filter_map(plain);
        let mut all: Vec<_> = all.map(|one| one.to_string()).collect();
        all.sort();
        all
    };
    assert_eq!(elements(ours), elements(&example), "{ours}\n{example}");
}

/// An element without what may be said or not.
fn plain(element: Element) -> Option<Element> {
    if element.is("x", ns::USER) {
        let item = element.child("item", ns::USER);
        let of = |name, default: &str| {
            let value = item.and_then(|item| item.attr(name));
            value.unwrap_or(default).to_owned()
        };
        let (affiliation, role) = (of("affiliation", "none"), of("role", "participant"));
        let anybody = affiliation == "none" && (role == "participant" || role == "none");
        let item = Element::new("item", ns::USER).with_attr("affiliation", &affiliation);
        return (!anybody)
            .then(|| Element::new("x", ns::USER).with_child(item.with_attr("role", &role)));
    }
    match element.is("x", ns::MUC) {
        true => Some(Element::new("x", ns::MUC)),
        false => Some(element),
    }
}

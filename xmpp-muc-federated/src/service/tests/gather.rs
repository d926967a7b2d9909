//! What one batch says to the same recipients goes out together, and nothing overtakes it.

use super::world::{Client, bodies};
use super::*;

/// More than a room tells before others have their turn.
const CROWD: usize = 600;
const PERSISTENT: (&str, &str) = ("muc#roomconfig_persistentroom", "1");
const UNANNOUNCED: (&str, &str) = ("muc#roomconfig_presencebroadcast", "moderator");

impl World {
    /// A persistent room that waits for its store, so that what it is told until that goes on is one batch.
    fn waiting(&self) -> Client<'_> {
        let hag = self.login("hag@example.org/pda");
        hag.enter(&nick("hag"));
        hag.configure(COVEN, &[PERSISTENT, UNANNOUNCED]);
        hag.read();
        self.store.hold(true);
        hag.say(COVEN, "first");
        assert_eq!(hag.heard(), ["first"]);
        hag
    }
}

#[test]
fn each_of_a_crowd_is_told_what_one_batch_says_before_the_next_one_is() {
    let world = World::new();
    let crowd = world.outside("crowd.example", 1 << 20);
    let hag = world.waiting();
    world.store.hold(false);
    world.settle();
    for n in 0..CROWD {
        let x = "<x xmlns='http://jabber.org/protocol/muc'/>";
        world.inject(&format!(
            "<presence from='u{n}@crowd.example/x' to='{COVEN}/n{n}'>{x}</presence>"
        ));
    }
    world.advance(Duration::from_millis(100));
    assert_eq!(
        world.service.metrics().occupants(),
        CROWD as u64 + 1,
        "they are there"
    );
    world.store.hold(true);
    hag.say(COVEN, "first");
    crowd.read();
    let batch = ["eye", "toe", "wool"];
    batch.iter().for_each(|text| hag.say(COVEN, text));
    assert!(crowd.read().is_empty(), "they are a batch");
    world.store.hold(false);
    world.settle();
    let told = crowd.read();
    assert_eq!(told.len(), CROWD * batch.len());
    let to = |stanza: &String| {
        let (_, rest) = stanza.split_once(" to='").unwrap();
        rest.split_once('\'').unwrap().0.to_owned()
    };
    for told in told.chunks(batch.len()) {
        assert_eq!(bodies(told), batch);
        assert!(told.iter().all(|stanza| to(stanza) == to(&told[0])));
    }
}

/// RFC 6120 §10.1: in order between two entities.
#[test]
fn nothing_that_the_room_says_overtakes_what_it_has_gathered() {
    let world = World::new();
    let crone = world.login("crone@example.org/desk");
    let hag = world.waiting();
    world.store.hold(false);
    world.settle();
    crone.enter(&nick("crone"));
    world.store.hold(true);
    hag.say(COVEN, "first");
    crone.read();
    hag.say(COVEN, "1");
    // To her alone, …
    hag.send(&format!(
        "<message type='chat' to='{}'><body>2</body></message>",
        nick("crone")
    ));
    hag.say(COVEN, "3");
    // … a request of somebody's, …
    hag.send(&format!(
        "<iq type='get' id='request' to='{}'><query xmlns='jabber:iq:version'/></iq>",
        nick("crone")
    ));
    hag.say(COVEN, "4");
    // … an answer, …
    crone.send(&format!("<iq type='get' id='ask' to='{COVEN}'>{INFO}</iq>"));
    hag.say(COVEN, "5");
    // … and the room anew.
    crone.send(&format!(
        "<presence to='{}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>",
        nick("crone")
    ));
    hag.say(COVEN, "6");
    assert_eq!(crone.read(), [""; 0], "they are a batch");
    world.store.hold(false);
    world.settle();
    let read = crone.read();
    let of = |stanza: &String| match stanza {
        s if s.contains("<body>") => bodies(std::slice::from_ref(s)).concat(),
        s if s.contains("jabber:iq:version") => "request".to_owned(),
        s if s.contains("id='ask'") => "answer".to_owned(),
        s if s.contains("<subject") => "subject".to_owned(),
        s if s.contains("<status code='110'/>") => "crone".to_owned(),
        _ => "hag".to_owned(),
    };
    let read: Vec<_> = read.iter().map(of).collect();
    let order = "1 2 3 request 4 answer 5 hag crone subject 6";
    assert_eq!(read.join(" "), order);
}

#[test]
fn what_is_gathered_does_not_wait_for_the_store() {
    let world = World::new();
    let hag = world.waiting();
    hag.say(COVEN, "eye");
    hag.say(COVEN, "toe");
    world.store.hold_after(1);
    world.settle();
    assert_eq!(hag.heard(), ["eye", "toe"], "at the end of a batch");
    // An answer waits for what it speaks of, and others do not.
    hag.say(COVEN, "wool");
    hag.configure(COVEN, &[("muc#roomconfig_roomname", "Cave")]);
    hag.say(COVEN, "tongue");
    world.store.hold_after(1);
    world.settle();
    assert_eq!(hag.heard(), ["wool"], "before an answer");
    world.store.hold(false);
    world.settle();
    assert_eq!(hag.heard(), ["tongue"]);
}

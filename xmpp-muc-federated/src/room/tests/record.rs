//! What a persistent room has written down of itself

use super::*;
use crate::store::{StoredMessage, StoredRoom};

/// All that a store would have of a room.
#[derive(Default)]
struct Stored {
    state: String,
    entries: Vec<Entry>,
    messages: Vec<StoredMessage>,
}

impl Stored {
    fn apply(&mut self, outputs: &[Output]) {
        for output in outputs {
            let Output::Store(change) = output else {
                continue;
            };
            match change.clone() {
                Change::State { state, .. } => self.state = state,
                Change::Entry(entry) => {
                    self.entries.retain(|one| one.jid != entry.jid);
                    self.entries.push(entry);
                }
                Change::NoEntry(jid) => self.entries.retain(|one| one.jid != jid),
                Change::Message(message) => self.messages.push(message),
                Change::Keep(most) => {
                    let excess = self.messages.len().saturating_sub(most);
                    self.messages.drain(..excess);
                }
                Change::Destroyed => *self = Stored::default(),
                Change::Federation(_) => {}
            }
        }
    }

    fn restore(&self, like: &Bench) -> Room {
        let stored = StoredRoom {
            state: self.state.clone(),
            affiliations: self.entries.clone(),
        };
        Room::restore(
            ROOM.parse().unwrap(),
            stored,
            &self.messages,
            like.room.settings.clone(),
        )
        .unwrap()
    }
}

/// A room that leaves memory before it has told the store what is of no use any more tells it when it is back.
#[test]
fn what_is_stored_of_a_room_that_comes_and_goes_has_bounds() {
    let mut bench = Bench::new();
    let mut stored = Stored::default();
    for line in [
        "crone1/desktop enters firstwitch",
        "crone1/desktop configures persistentroom=1",
    ] {
        stored.apply(&bench.outputs(line));
    }
    for visit in 0..10 {
        for _ in 0..19 {
            stored.apply(&bench.outputs("crone1/desktop says Double, double"));
        }
        assert!(stored.messages.len() <= 2 * 20, "{visit}");
        bench.room = stored.restore(&bench);
        bench.happens("crone1/desktop enters firstwitch");
    }
}

#[test]
fn a_room_comes_back_as_it_was() {
    let mut bench = Bench::new();
    let mut stored = Stored::default();
    for line in [
        "crone1/desktop enters firstwitch",
        "crone1/desktop configures roomname=\"A <Dark> & 'damp' Cave\"",
        "crone1/desktop says Double, double",
        "crone1/desktop configures persistentroom=1, roomadmins=wiccarocks@shakespeare.lit, whois=anyone, presencebroadcast=, roomsecret=\" x \", maxusers=7, allowpm=none, lang=de",
        "crone1/desktop says toil and trouble",
        "crone1/desktop <message to='' type='groupchat' xml:lang='en'><subject>Fire &amp; cauldron</subject></message>",
        "crone1/desktop admin <item affiliation='member' jid='hag66@shakespeare.lit' nick='thirdwitch'/><item affiliation='outcast' jid='x.example'><reason>Treason</reason></item>",
        "crone1/desktop admin <item affiliation='none' jid='wiccarocks@shakespeare.lit'/>",
        "crone1/desktop leaves firstwitch",
    ] {
        let line = line
            .replace(" & ", " &amp; ")
            .replace("<Dark>", "&lt;Dark&gt;");
        let out = bench.outputs(&line);
        stored.apply(&out);
    }
    let restored = stored.restore(&bench);
    assert_eq!(restored.config, bench.room.config);
    assert_eq!(
        restored.config.name.as_deref(),
        Some("A <Dark> & 'damp' Cave")
    );
    assert_eq!(restored.config.password.as_deref(), Some(" x "));
    assert_eq!(restored.subject, bench.room.subject);
    assert!(restored.subject.is_some());
    let entries = |room: &Room| room.affiliations.iter().cloned().collect::<Vec<_>>();
    assert_eq!(entries(&restored), entries(&bench.room));
    assert_eq!(entries(&restored).len(), 3);
    // Who enters hears the same, before and after.
    let was = bench.happens("hag66/pda enters thirdwitch <password> x </password>");
    bench.room = restored;
    assert_eq!(
        bench.happens("hag66/pda enters thirdwitch <password> x </password>"),
        was
    );
    assert!(was.iter().any(|line| line.contains("toil")), "{was:#?}");
    assert!(was.iter().any(|line| line.contains("double")), "{was:#?}");
}

/// A later version may write more.
#[test]
fn what_is_unknown_in_a_record_is_passed_over() {
    let bench = Bench::new();
    let read = |state: &str| {
        let stored = StoredRoom {
            state: state.to_owned(),
            affiliations: Vec::new(),
        };
        Room::restore(
            ROOM.parse().unwrap(),
            stored,
            &[],
            bench.room.settings.clone(),
        )
    };
    let room = read(
        "<room xmlns='urn:uuid:086f7cd3-4f49-4e65-bdff-1e88165a1699' version='1' new='1'><new xmlns='urn:x'/><x xmlns='jabber:x:data' type='submit'>\
         <field var='muc#roomconfig_new'><value>1</value></field><field var='muc#roomconfig_whois'><value>nobody</value></field>\
         <field var='muc#roomconfig_moderatedroom'><value>1</value></field></x><subject at='never'/></room>",
    );
    let room = room.unwrap_or_else(|error| panic!("{error}"));
    assert!(room.config.moderated && room.config.persistent && !room.locked);
    assert_eq!(room.subject, None);
    let other = "<room xmlns='urn:uuid:086f7cd3-4f49-4e65-bdff-1e88165a1699' version='2'/>";
    for wrong in ["", "room", "<room/>", "<room xmlns='urn:x'/>", other] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

/// Who has made it has made it for good.
#[test]
fn a_room_knows_its_maker() {
    let mut bench = Bench::new();
    bench.happens("hag66/pda enters thirdwitch");
    let mut stored = Stored::default();
    stored.apply(&bench.outputs("hag66/pda configures persistentroom=1"));
    let room = stored.restore(&bench);
    assert_eq!(
        room.creator(),
        Some(&"hag66@shakespeare.lit".parse().unwrap())
    );
}

//! A room goes on from its snapshot as the one goes on that it was taken of.

use super::world::World;
use super::*;
use crate::room::occupants::Occupant;

/// One room that is left alone, and one that is taken down and made anew all the time: whatever happens to both, nobody can tell them apart.
struct Twins {
    world: World,
    twin: Bench,
    /// An element of the records that is lost, in the test of the test.
    lost: Option<&'static str>,
    whispers: usize,
    /// What says that the last private message has not been taken.
    whispered: Option<String>,
}

impl Twins {
    fn new(seed: u64, lost: Option<&'static str>) -> Twins {
        // Both are made in the same way, and have the same chances.
        let mut twin = World::new(seed, None).bench;
        let mut world = World::new(seed, None);
        world.bench.now = twin.now;
        for bench in [&mut world.bench, &mut twin] {
            let settings = Arc::get_mut(&mut bench.room.settings);
            let settings = settings.expect("nobody else has them yet");
            // In every other run some have said too much.
            settings.limits.burst = if seed.is_multiple_of(2) {
                1_000_000
            } else {
                20
            };
            settings.limits.rate = 1;
        }
        Twins {
            world,
            twin,
            lost,
            whispers: 0,
            whispered: None,
        }
    }

    /// Where they differ.
    fn run(&mut self, steps: usize) -> Option<String> {
        for step in 0..steps {
            if self.world.below(4) == 0 {
                self.renew();
            }
            let line = match self.world.below(4) {
                0 => self.rare(),
                _ => self.world.something(),
            };
            let (ours, theirs) = match line.strip_prefix("elsewhere ") {
                Some(line) => {
                    let (refused, ours) = self.world.bench.others_do(line);
                    let (refused_too, theirs) = self.twin.others_do(line);
                    if refused != refused_too {
                        return Some(format!("step {step}: {line}: {refused:?}, {refused_too:?}"));
                    }
                    (ours, theirs)
                }
                None => (self.world.bench.outputs(&line), self.twin.outputs(&line)),
            };
            let (told, told_too) = (format!("{ours:?}"), format!("{theirs:?}"));
            if told != told_too {
                return Some(format!("step {step}: {line}: {told}\n{told_too}"));
            }
            let due = |bench: &Bench| bench.room.next_timeout();
            if due(&self.world.bench) != due(&self.twin) {
                return Some(format!("step {step}: {line}: another time"));
            }
            ours.iter().for_each(|output| self.world.perform(output));
        }
        None
    }

    fn renew(&mut self) {
        let (room, now) = (&self.twin.room, self.twin.now);
        let snapshot = room.snapshot(now);
        let snapshot = match self.lost {
            Some(name) => without(&snapshot, name),
            None => snapshot,
        };
        let (jid, settings) = (room.jid.clone(), room.settings.clone());
        let resumed = Room::resume(jid, &snapshot, settings, now);
        let resumed = resumed.unwrap_or_else(|error| panic!("{error}: {snapshot}"));
        assert!(self.lost.is_some() || resumed.snapshot(now) == snapshot);
        self.twin.room = resumed;
    }

    /// What the other test does not do, and what takes time.
    fn rare(&mut self) -> String {
        let world = &mut self.world;
        let who = world.somebody();
        let (nick, user) = (world.nick(), world.somebody());
        let bare = user.split('/').next().unwrap_or_default();
        let user_ns = ns::USER;
        match world.below(13) {
            0 => format!("wait {}", world.below(300) as f64 / 10.0),
            1 => format!("wait {}", world.below(90)),
            2 | 3 => format!(
                "{who} <iq to='/{nick}' type='get' id='q'><query xmlns='jabber:iq:version'/></iq>"
            ),
            4 => self.answer(),
            5 => format!(
                "{who} <message to=''><x xmlns='{user_ns}'><invite to='{bare}@shakespeare.lit'/></x></message>"
            ),
            6 => format!(
                "{who} <message to=''><x xmlns='{user_ns}'><decline to='{bare}@shakespeare.lit'/></x></message>"
            ),
            7 => format!("{who} submits http://jabber.org/protocol/muc#request role=participant"),
            8 => format!("{who} registers roomnick={nick}"),
            9 => {
                format!("{who} <message to='' type='groupchat'><subject>{nick}</subject></message>")
            }
            10 => format!("{who} configures maxhistoryfetch={}", world.below(30)),
            11 => self.whisper(),
            _ => self
                .whispered
                .clone()
                .unwrap_or_else(|| "wait 1".to_owned()),
        }
    }

    /// Somebody who is there says something to somebody who is there, who perhaps does not take it later.
    fn whisper(&mut self) -> String {
        let occupants = &self.world.bench.room.occupants;
        let here = occupants.iter().map(|(_, one)| one);
        let here: Vec<_> = here.filter(|one| !one.is_away()).collect();
        let (Some(from), Some(to)) = (here.first(), here.last()) else {
            return "wait 1".to_owned();
        };
        let client = |one: &Occupant| {
            let jid = one.sessions.last().map(|session| session.jid.to_string());
            jid.unwrap_or_default().replace("@shakespeare.lit", "")
        };
        self.whispers += 1;
        let id = self.whispers;
        self.whispered = Some(format!(
            "{} <message to='/{}' type='error' id='{id}'><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
            client(to),
            from.address.resource()
        ));
        format!(
            "{} <message to='/{}' type='chat' id='{id}'><body>Hush</body></message>",
            client(from),
            to.address.resource()
        )
    }

    /// Somebody answers a request that waits.
    fn answer(&mut self) -> String {
        let requests = &self.world.bench.room.requests;
        let first = requests.order.front();
        match first.and_then(|(_, id)| Some((id, requests.waiting.get(id)?))) {
            Some((id, request)) => {
                let of = request.real.as_str().replace("@shakespeare.lit", "");
                format!("{of} <iq to='' type='result' id='{id}'/>")
            }
            None => "wait 1".to_owned(),
        }
    }
}

/// The record without elements of this name.
fn without(snapshot: &str, name: &str) -> String {
    let mut record = Element::restore(snapshot).unwrap();
    let ns = match name {
        "x" => "jabber:x:data",
        _ => crate::room::live::NS,
    };
    while record.remove_child(name, ns).is_some() {}
    for child in record.children_mut() {
        while child.remove_child(name, ns).is_some() {}
    }
    record.to_string()
}

#[test]
fn a_room_goes_on_from_its_snapshot_and_nobody_can_tell() {
    for seed in 0..20 {
        let differs = Twins::new(seed, None).run(200);
        assert_eq!(differs, None, "seed {seed}");
    }
}

#[test]
fn what_a_snapshot_lacks_is_missed() {
    for lost in [
        "x",
        "subject",
        "entry",
        "said",
        "rate",
        "sent",
        "request",
        "invitation",
        "voice",
        "asked",
        "applicant",
        "occupant",
    ] {
        let missed = |seed: u64| Twins::new(seed, Some(lost)).run(300).is_some();
        assert!((0..30).any(missed), "{lost}");
    }
}

/// It may be another machine, and another release.
#[test]
fn what_is_no_snapshot_is_refused_and_what_is_unknown_in_one_passed_over() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let snapshot = bench.room.snapshot(bench.now);
    let resume = |text: &str| {
        let (jid, settings) = (bench.room.jid.clone(), bench.room.settings.clone());
        Room::resume(jid, text, settings, bench.now)
    };
    let newer = snapshot.replacen("<occupants", "<news a='1'/><occupants b='1'", 1);
    let resumed = resume(&newer).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(resumed.snapshot(bench.now), snapshot);
    let session = Element::restore(&snapshot).unwrap();
    let session = session.child("occupants", crate::room::live::NS).unwrap();
    let occupant = session.children().next().unwrap().to_string();
    for wrong in [
        "".to_owned(),
        "<live/>".to_owned(),
        snapshot.replace("version='1'", "version='2'"),
        snapshot.replace("role='moderator'", "role='king'"),
        snapshot.replace("seat='0'", "seat='1'"),
        snapshot.replace("free=''", "free='7'"),
        snapshot.replace("full='", "full='x"),
        snapshot.replace("full='", "full='99999999999999999999999"),
        snapshot.replace("crone1@shakespeare.lit/desktop", "@"),
        // The same twice at one seat.
        snapshot.replace("</occupants>", &format!("{occupant}</occupants>")),
    ] {
        assert_ne!(wrong, snapshot);
        assert!(resume(&wrong).is_err(), "{wrong}");
    }
}

/// Nobody hears anything of it, and what is said next reaches all.
#[test]
fn who_was_in_a_room_is_in_it_when_it_goes_on() {
    let mut bench = Bench::open(|config| config.history = 5);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda <presence to='/thirdwitch'><show>away</show><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    let (jid, settings) = (bench.room.jid.clone(), bench.room.settings.clone());
    let snapshot = bench.room.snapshot(bench.now);
    bench.room = Room::resume(jid, &snapshot, settings, bench.now).unwrap();
    bench.play(
        "
        hag66/pda leaves thirdwitch
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110
            crone1/desktop: /thirdwitch gone none/none jid=hag66/pda
        ",
    );
}

//! One occupant of one room.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{self, Write},
    rc::Rc,
    time::Instant,
};

use tokio::sync::Notify;

use super::{Floor, Hall};
use crate::{
    account,
    connection::Event,
    login::Peer,
    meter::Phase,
    oracle::{Oracle, Tally},
    scanner,
    session::{Session, answer},
};

/// How others reach an occupant's task.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// There is something to be done.
    pub(super) bell: Notify,
    /// What is to be done.
    pub(super) wish: Cell<Option<Wish>>,
}

/// What one wants of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To be in it.
    Enter,
    /// That others get in: it is an instant room (XEP-0045 §10.1.2). Follows for the first one who enters.
    Open,
    /// To be out of it.
    Leave,
}

/// Who is in the room, as one has heard: a bit for each occupant.
struct Heard(Vec<u64>);

impl Heard {
    fn nobody(occupants: usize) -> Heard {
        Heard(vec![0; occupants.div_ceil(64)])
    }

    fn set(&mut self, place: usize, is_there: bool) {
        let Some(word) = self.0.get_mut(place / 64) else {
            return;
        };
        let bit = 1 << (place % 64);
        match is_there {
            true => *word |= bit,
            false => *word &= !bit,
        }
    }

    /// How many of these, each of whom is there once, are not in it, and how many others are.
    fn unknown(&self, others: impl IntoIterator<Item = usize>) -> u64 {
        let mut wrong = Heard(self.0.clone());
        for place in others {
            wrong.0[place / 64] ^= 1 << (place % 64);
        }
        let wrong = wrong.0.iter().map(|word| u64::from(word.count_ones()));
        wrong.sum()
    }
}

/// One occupant of one room.
pub(super) struct Occupant {
    hall: Rc<Hall>,
    floor: Rc<Floor>,
    seat: Rc<Seat>,
    session: Session,
    room: usize,
    /// Among those of the room; the first ones speak.
    place: usize,
    /// `room@service/nick`.
    address: String,
    head: String,
    /// By speaker.
    oracles: Vec<Oracle>,
    /// What nobody in this room has said.
    foreign: u64,
    heard: Heard,
    /// What has been asked for, and when.
    asked: Option<(Wish, Instant)>,
}

/// What the owner of an instant room sends.
const OPEN: &str = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
/// What the owner of a room sends in which nobody hears who is there, but that the owner is.
const UNANNOUNCED: &str = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
     <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
     <field var='muc#roomconfig_presencebroadcast'><value>moderator</value></field></x></query>";

impl Occupant {
    pub(super) fn new(
        hall: &Rc<Hall>,
        floor: Rc<Floor>,
        index: usize,
        session: Session,
    ) -> Occupant {
        let load = &hall.load;
        let (room, place) = (index / load.occupants, index % load.occupants);
        let bare = format!("room{room}@{}", load.service);
        let head = match hall.peer {
            Peer::Server => format!("<message to='{bare}' type='groupchat' id='"),
            Peer::Relay => {
                format!("<message room='{room}' from='{bare}/{index}' type='groupchat' id='")
            }
        };
        let plant = |speaker| load.plant.filter(|_| index == 0 && speaker == 0);
        let seat = Rc::new(Seat::default());
        if place < load.speakers {
            floor.take(place, seat.clone());
        }
        Occupant {
            oracles: (0..load.speakers)
                .map(|speaker| Oracle::new(plant(speaker)))
                .collect(),
            address: format!("{bare}/{}", account::user(index)),
            foreign: 0,
            heard: Heard::nobody(load.occupants),
            asked: None,
            hall: hall.clone(),
            floor,
            seat,
            session,
            room,
            place,
            head,
        }
    }

    pub(super) fn seat(&self) -> Rc<Seat> {
        self.seat.clone()
    }

    /// The oracle's verdict, and how many presences have not been heard.
    pub(super) async fn run(mut self) -> io::Result<(Tally, u64)> {
        let seat = self.seat();
        let mut phases = self.hall.meter.phases();
        loop {
            if let Some(wish) = seat.wish.take() {
                self.ask(wish)?;
            }
            match *phases.borrow_and_update() {
                Phase::WarmUp | Phase::Measured => self.speak()?,
                Phase::Draining => {}
                Phase::Over => return self.verdict(),
            }
            tokio::select! {
                biased;
                open = self.session.connection.exchange() => {
                    if !open? {
                        return Err(io::Error::other("the server closed a stream"));
                    }
                    self.receive()?;
                }
                () = seat.bell.notified() => {}
                changed = phases.changed() => changed.expect("the meter outlives its tasks"),
            }
        }
    }

    fn ask(&mut self, wish: Wish) -> io::Result<()> {
        let (address, room) = (&self.address, self.room);
        let bare = address.split('/').next().unwrap_or_default();
        let out = self.session.connection.outbox();
        match (self.hall.peer, wish) {
            (Peer::Relay, _) => writeln!(out, "<enter room='{room}'/>"),
            (Peer::Server, Wish::Enter) => write!(
                out,
                "<presence to='{address}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ),
            (Peer::Server, Wish::Open) => {
                let form = match self.hall.load.unannounced {
                    true => UNANNOUNCED,
                    false => OPEN,
                };
                write!(out, "<iq type='set' id='open' to='{bare}'>{form}</iq>")
            }
            (Peer::Server, Wish::Leave) => {
                write!(out, "<presence to='{address}' type='unavailable'/>")
            }
        }?;
        let since = self.asked.map_or_else(Instant::now, |(_, since)| since);
        self.asked = Some((wish, since));
        self.count(1);
        Ok(())
    }

    /// What was asked for has come true.
    fn granted(&mut self, wish: Wish, since: Instant) -> io::Result<()> {
        if wish == Wish::Enter && self.place == 0 && self.hall.peer == Peer::Server {
            return self.ask(Wish::Open);
        }
        if wish == Wish::Leave {
            self.heard = Heard::nobody(self.hall.load.occupants);
        }
        self.asked = None;
        // Whoever counts them is there until the last has ended.
        let _ = self.hall.granted.send(since.elapsed());
        Ok(())
    }

    /// Queues what may be said now; the next poll writes it at once.
    fn speak(&mut self) -> io::Result<()> {
        if !self.hall.open.get() || self.place >= self.hall.load.speakers {
            return Ok(());
        }
        let (now, mut count) = (Instant::now(), 0);
        while let Some(number) = self.floor.speak(self.place, now) {
            let (head, room, place) = (&self.head, self.room, self.place);
            let filler = &self.hall.filler;
            writeln!(
                self.session.connection.outbox(),
                "{head}{number}'><body>{room} {place} {number} {filler}</body></message>"
            )?;
            count += 1;
        }
        self.hall.meter.departed(count * self.hall.load.occupants);
        self.count(count);
        Ok(())
    }

    /// What is sent on a managed stream is counted.
    fn count(&mut self, stanzas: usize) {
        if let Some(management) = &mut self.session.management {
            let request = management.sent(stanzas);
            self.session.connection.outbox().extend_from_slice(request);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let (mut replies, mut stanzas, mut came_true) = (Vec::new(), 0, None);
        while let Some(event) = self.session.connection.event()? {
            let Event::Stanza(stanza) = event else {
                return Err(io::Error::other("the server closed a stream"));
            };
            stanzas += 1;
            let attribute = |name| scanner::attribute(stanza, name);
            match scanner::name(stanza) {
                b"message" => match scanner::text(stanza, "body") {
                    Some(body) => {
                        if let Some(management) = &mut self.session.management {
                            management.hear(stanza)?;
                        }
                        let said = said(body, self.room, &self.hall.filler);
                        let said = said.filter(|(speaker, _)| *speaker < self.oracles.len());
                        match said {
                            None => self.foreign += 1,
                            Some((speaker, number)) => {
                                self.oracles[speaker].arrived(number);
                                if let Some(took) = self.floor.heard(speaker, number, now) {
                                    self.hall.meter.completed(took);
                                }
                            }
                        }
                        continue;
                    }
                    // XEP-0045 §7.2.15: the subject comes last, and always.
                    None if scanner::contains(stanza, "<subject") => came_true = Some(Wish::Enter),
                    None => {}
                },
                b"presence" if !self.hall.open.get() => {
                    // At the end they leave when they have heard everything, some before others.
                    let from = attribute("from").unwrap_or_default();
                    let place = place(from, self.room * self.hall.load.occupants);
                    match (attribute("type"), place) {
                        (None, Some(place)) => self.heard.set(place, true),
                        (Some(b"unavailable"), Some(other)) => {
                            self.heard.set(other, false);
                            if other == self.place {
                                came_true = Some(Wish::Leave);
                            }
                        }
                        _ => {}
                    }
                }
                b"iq" if attribute("id") == Some(b"open") => came_true = Some(Wish::Open),
                b"entered" => came_true = Some(Wish::Enter),
                _ => {}
            }
            // Errors end the run.
            replies.extend(answer(&mut self.session.management, stanza)?);
        }
        self.hall.heard.set(self.hall.heard.get() + stanzas);
        self.session.connection.outbox().extend_from_slice(&replies);
        match self.asked {
            Some((wish, since)) if came_true == Some(wish) => self.granted(wish, since),
            _ => Ok(()),
        }
    }

    fn verdict(self) -> io::Result<(Tally, u64)> {
        let mut tally = Tally {
            foreign: self.foreign,
            ..Tally::default()
        };
        for (oracle, sent) in self.oracles.into_iter().zip(self.floor.sent()) {
            tally += oracle.verdict(sent).map_err(io::Error::other)?;
        }
        let unknown = match self.hall.peer {
            Peer::Relay => 0,
            // Oneself, always; and the owner, who is a moderator.
            Peer::Server if self.hall.load.unannounced => {
                self.heard.unknown(BTreeSet::from([0, self.place]))
            }
            Peer::Server => self.heard.unknown(0..self.hall.load.occupants),
        };
        Ok((tally, unknown))
    }
}

/// Who has said this in this room, and its number; `None` if it is not whole, or another room's.
fn said(body: &[u8], room: usize, filler: &str) -> Option<(usize, u64)> {
    let mut words = std::str::from_utf8(body).ok()?.splitn(4, ' ');
    let ours = words.next()?.parse() == Ok(room);
    let (speaker, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (ours && words.next()? == filler).then_some((speaker, number))
}

/// The place of the occupant with this address in the room whose first one is account `first`.
fn place(address: &[u8], first: usize) -> Option<usize> {
    let nick = address.rsplit(|byte| *byte == b'/').next()?;
    let digits = std::str::from_utf8(nick.strip_prefix(b"u")?).ok()?;
    digits.parse::<usize>().ok()?.checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_body_counts() {
        assert_eq!(said(b"1 3 17 xx", 1, "xx"), Some((3, 17)));
        for bad in [
            "1 3 17 xy",
            "1 3 17 xxx",
            "1 3 17",
            "1",
            "",
            "1 x 17 xx",
            "2 3 17 xx",
        ] {
            assert_eq!(said(bad.as_bytes(), 1, "xx"), None, "{bad}");
        }
    }

    #[test]
    fn who_is_there_is_known_by_place() {
        assert_eq!(place(b"room1@rooms.localhost/u103", 100), Some(3));
        assert_eq!(place(b"room0@rooms.localhost/u3", 100), None);
        assert_eq!(place(b"u3@localhost/balcony", 0), None);
        let mut heard = Heard::nobody(70);
        assert_eq!(heard.unknown(0..70), 70);
        (0..70).for_each(|place| heard.set(place, true));
        heard.set(69, true);
        heard.set(500, true);
        assert_eq!(heard.unknown(0..70), 0);
        heard.set(64, false);
        assert_eq!(heard.unknown(0..70), 1);
        // Others than who should be there, and as many, are not all well.
        assert_eq!(heard.unknown(1..65), 7);
    }
}

//! Rooms (XEP-0045): everybody enters, some speak, and everybody hears each message once and in order.

use std::{cell::Cell, fmt, io, rc::Rc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    latency::{Histogram, Latency},
    login::{Peer, Target},
    meter::Meter,
    oracle::{Fault, Tally},
    process::ProcessTree,
    report::Report,
};

mod floor;
mod occupant;

use floor::Floor;
use occupant::{Occupant, Seat, Wish};

/// A load of rooms. An operation is one message that one occupant hears; how long it took counts from when its speaker sent it.
#[derive(Debug, Clone)]
pub struct Rooms {
    /// Rooms, none of which is there before.
    pub rooms: usize,
    /// Occupants of each, each of its own account.
    pub occupants: usize,
    /// Occupants of each that speak.
    pub speakers: usize,
    /// Messages of each speaker that not everybody has heard.
    pub window: usize,
    /// Bytes of a message's body.
    pub body: usize,
    /// The rooms' domain.
    pub service: String,
    /// Whether nobody hears who is there but the first, to whom the room belongs (`muc#roomconfig_presencebroadcast`). With everybody's presence
    /// to everybody, a full room of n takes n² of them.
    pub unannounced: bool,
    /// Those who enter at once, all rooms together; the first of each room comes before.
    pub entering: usize,
    /// How often somebody leaves a full room and enters again, one after the other: how long it takes is measured.
    pub entries: usize,
    /// A fault for the first occupant's oracle.
    pub plant: Option<Fault>,
    /// The server, to weigh it.
    pub server: Option<ProcessTree>,
}

/// What rooms full of people are like before anybody speaks.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Crowd {
    /// Occupants of all rooms.
    pub occupants: usize,
    /// Presences that occupants have not heard of others, or that were not for them.
    pub unknown: u64,
    /// From the presence with which one enters a full room to the subject, which comes last (XEP-0045 §7.2.15).
    pub entered: Option<Latency>,
    /// The server's resident memory.
    pub weight: Option<Weight>,
}

/// Resident memory of the server.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Weight {
    /// With everybody logged in and in no room.
    pub before_kib: u64,
    /// With everybody in their rooms, and quiet.
    pub quiet_kib: u64,
    /// The difference, by occupant.
    pub bytes_per_occupant: f64,
    /// The same by room.
    pub bytes_per_room: f64,
    /// When everything has been said.
    pub after_kib: u64,
}

/// What the tasks of a run share.
struct Hall {
    load: Rooms,
    peer: Peer,
    filler: String,
    meter: Meter,
    /// Whether the load is on.
    open: Cell<bool>,
    /// Stanzas that came to anybody.
    heard: Cell<u64>,
    /// Who has got what they wished for, and how long it took.
    granted: mpsc::UnboundedSender<Duration>,
}

type Tasks = JoinSet<io::Result<(Tally, u64)>>;

/// How long one may take to enter or leave.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long nothing comes to anybody when all is quiet.
const QUIET: Duration = Duration::from_millis(200);
/// The first occupants of rooms that enter at once.
const FIRST: usize = 50;

impl Rooms {
    /// Logs everybody in, fills the rooms, has some speak, and judges.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let sessions = target.enter_all(self.rooms * self.occupants, meter).await?;
        let (granted, mut grants) = mpsc::unbounded_channel();
        let hall = Rc::new(Hall {
            load: self.clone(),
            peer: target.peer,
            filler: "x".repeat(self.body),
            meter: meter.clone(),
            open: Cell::new(false),
            heard: Cell::new(0),
            granted,
        });
        let (mut tasks, mut seats, mut floor) = (Tasks::new(), Vec::new(), None);
        for (index, session) in sessions.into_iter().enumerate() {
            if index % self.occupants == 0 {
                floor = Some(Rc::new(Floor::new(self)));
            }
            let floor = floor
                .clone()
                .expect("each room begins with its first occupant");
            let occupant = Occupant::new(&hall, floor, index, session);
            seats.push(occupant.seat());
            tasks.spawn_local(occupant.run());
        }
        let crowd = self.fill(&hall, &seats, &mut grants, &mut tasks).await?;
        hall.open.set(true);
        seats.iter().for_each(|seat| seat.bell.notify_one());
        self.speak(crowd, meter, tasks).await
    }

    /// Has everybody enter.
    async fn fill(
        &self,
        hall: &Hall,
        seats: &[Rc<Seat>],
        grants: &mut mpsc::UnboundedReceiver<Duration>,
        tasks: &mut Tasks,
    ) -> io::Result<Crowd> {
        hall.quiet().await;
        let before = self.weigh()?;
        let (first, others): (Vec<_>, Vec<_>) =
            (0..seats.len()).partition(|index| index % self.occupants == 0);
        // Those of one room come one after the other.
        let mut others = others;
        others.sort_by_key(|index| (index % self.occupants, *index));
        for (wave, at_once) in [(first, FIRST), (others, self.entering.max(1))] {
            let wishes = wave.into_iter().map(|index| (&seats[index], Wish::Enter));
            hall.grant(wishes, at_once, grants, tasks, |_| {}).await?;
        }
        hall.quiet().await;
        let quiet = self.weigh()?;
        let mut entered = Histogram::default();
        if hall.peer == Peer::Server && self.occupants > 1 {
            for entry in 0..self.entries {
                // Not the first, to whom the room belongs.
                let room = entry % self.rooms;
                let place = 1 + (entry / self.rooms) % (self.occupants - 1);
                let seat = &seats[room * self.occupants + place];
                hall.grant([(seat, Wish::Leave)], 1, grants, tasks, |_| {})
                    .await?;
                hall.quiet().await;
                hall.grant([(seat, Wish::Enter)], 1, grants, tasks, |took| {
                    entered.record(took)
                })
                .await?;
                hall.quiet().await;
            }
        }
        let weight = before.zip(quiet).map(|(before, quiet)| {
            let more = quiet as f64 - before as f64;
            Weight {
                before_kib: before / 1024,
                quiet_kib: quiet / 1024,
                bytes_per_occupant: more / seats.len() as f64,
                bytes_per_room: more / self.rooms as f64,
                after_kib: 0,
            }
        });
        Ok(Crowd {
            occupants: seats.len(),
            unknown: 0,
            entered: entered.summary(),
            weight,
        })
    }

    /// The load itself.
    async fn speak(&self, mut crowd: Crowd, meter: &Meter, tasks: Tasks) -> io::Result<Report> {
        let Rooms {
            rooms,
            occupants,
            speakers,
            window,
            body,
            unannounced,
            ..
        } = self;
        let unannounced = if *unannounced { ", unannounced" } else { "" };
        let load = format!(
            "rooms, {rooms} of {occupants}{unannounced}, {speakers} of each speak, window {window}, {body} byte bodies"
        );
        let (report, ends) = meter.run(load, tasks).await?;
        let mut tally = Tally::default();
        for (each, unknown) in ends {
            tally += each;
            crowd.unknown += unknown;
        }
        if let (Some(weight), Some(after)) = (&mut crowd.weight, self.weigh()?) {
            weight.after_kib = after / 1024;
        }
        Ok(Report {
            oracle: Some(tally),
            rooms: Some(crowd),
            ..report
        })
    }

    fn weigh(&self) -> io::Result<Option<u64>> {
        self.server.as_ref().map(ProcessTree::resident).transpose()
    }
}

impl Hall {
    /// Has these wishes come true, so many at a time.
    async fn grant<'a>(
        &self,
        wishes: impl IntoIterator<Item = (&'a Rc<Seat>, Wish)>,
        at_once: usize,
        grants: &mut mpsc::UnboundedReceiver<Duration>,
        tasks: &mut Tasks,
        mut took: impl FnMut(Duration),
    ) -> io::Result<()> {
        let mut wishes = wishes.into_iter();
        let (mut under_way, mut done) = (0, 0);
        loop {
            while under_way < at_once
                && let Some((seat, wish)) = wishes.next()
            {
                seat.wish.set(Some(wish));
                seat.bell.notify_one();
                under_way += 1;
            }
            if under_way == 0 {
                return Ok(());
            }
            let granted = async {
                tokio::select! {
                    granted = grants.recv() => Ok(granted),
                    Some(ended) = tasks.join_next() => {
                        ended.map_err(io::Error::other)??;
                        Err(io::Error::other("an occupant ended before the load began"))
                    }
                }
            };
            let granted = timeout(PATIENCE, granted).await;
            let granted =
                granted.map_err(|_| io::Error::other("nobody gets into a room, or out"))?;
            took(granted?.expect("the hall keeps a sender"));
            under_way -= 1;
            done += 1;
            if done % 50 == 0 {
                self.meter.show(format!("{done} in their rooms"));
            }
        }
    }

    /// Waits until nothing comes any more.
    async fn quiet(&self) {
        loop {
            let before = self.heard.get();
            sleep(QUIET).await;
            if self.heard.get() == before {
                return;
            }
        }
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crowd {
            occupants, unknown, ..
        } = self;
        write!(f, "{occupants} occupants, {unknown} presences unknown")?;
        if let Some(entered) = &self.entered {
            let (p50, p99, max) = (entered.p50_ms, entered.p99_ms, entered.max_ms);
            write!(
                f,
                ", entered in p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms"
            )?;
        }
        let Some(weight) = &self.weight else {
            return Ok(());
        };
        let (each, room) = (weight.bytes_per_occupant, weight.bytes_per_room);
        let (before, quiet, after) = (weight.before_kib, weight.quiet_kib, weight.after_kib);
        write!(
            f,
            "; {before} KiB before, {quiet} KiB in the rooms, {after} KiB at the end, {each:.0} bytes an occupant, {room:.0} bytes a room"
        )
    }
}

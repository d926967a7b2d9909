//! Chat over connections that are cut again and again, and streams that are resumed (XEP-0198 §5): every message once and in order all the same.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinSet, spawn_local},
    time::{Interval, interval, sleep, timeout},
};

use crate::{
    chat::number,
    connection::Event,
    cutter::{Cuts, Cutter},
    flight::Flight,
    latency::{Histogram, Latency},
    login::{self, Target},
    meter::{Meter, Phase},
    oracle::{Fault, Tally},
    report::Report,
    scanner,
    session::Session,
};

/// A load over bad connections.
#[derive(Debug, Clone)]
pub struct Outages {
    /// Pairs; both sides send.
    pub pairs: usize,
    /// Messages a second from each side.
    pub rate: f64,
    /// Bytes of a message's body.
    pub body: usize,
    /// Mean time until a connection is cut.
    pub every: Duration,
    /// What is random comes from this.
    pub seed: u64,
    /// A fault for the first pair's oracle.
    pub plant: Option<Fault>,
}

/// What the connections went through.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Survived {
    /// Connections cut.
    pub cuts: Cuts,
    /// Streams resumed.
    pub resumptions: u64,
    /// From the cut, as the client learns of it, to `<resumed/>`.
    pub back_after: Option<Latency>,
}

/// Messages under way from one side before it waits.
const WINDOW: usize = 1000;
/// Between two attempts to come back.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a client tries to come back.
const GIVE_UP: Duration = Duration::from_secs(60);
/// How long a server may take to acknowledge what has arrived.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

impl Outages {
    /// Logs everybody in, cuts and chats, and judges.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let cutter = Cutter::new(target.address, self.every, self.seed);
        let target = Target {
            address: listener.local_addr()?,
            managed: true,
            ..target.clone()
        };
        spawn_local(cutter.clone().serve(listener));
        let mut sessions = target.enter_all(self.pairs * 2, meter).await?.into_iter();
        let back = Rc::new(RefCell::new(Histogram::default()));
        let mut tasks = JoinSet::new();
        let mut index = 0;
        while let (Some(first), Some(second)) = (sessions.next(), sessions.next()) {
            let peers = [second.jid.clone(), first.jid.clone()];
            let plant = self.plant.filter(|_| index == 0);
            let flights = Rc::new(RefCell::new([
                Some(Flight::new(WINDOW, plant)),
                Some(Flight::new(WINDOW, None)),
            ]));
            for (side, (session, peer)) in [first, second].into_iter().zip(peers).enumerate() {
                let line = Line {
                    target: target.clone(),
                    index: index * 2 + side,
                    side,
                    session,
                    // What made it available.
                    unacked: VecDeque::from([login::AVAILABLE.to_vec()]),
                    peer,
                    filler: "x".repeat(self.body),
                    flights: flights.clone(),
                    back: back.clone(),
                };
                let tick = interval(Duration::from_secs_f64(1.0 / self.rate));
                tasks.spawn_local(line.run(meter.clone(), tick));
            }
            index += 1;
        }
        cutter.arm(true);
        spawn_local(spare_the_end(cutter.clone(), meter.phases()));
        let load = format!(
            "outages, {} pairs, {} a second each way, cut every {:.1} s",
            self.pairs,
            self.rate,
            self.every.as_secs_f64()
        );
        let (report, tallies) = meter.run(load, tasks).await?;
        let mut tally = Tally::default();
        tallies.into_iter().for_each(|each| tally += each);
        let back = back.borrow();
        Ok(Report {
            oracle: Some(tally),
            survived: Some(Survived {
                cuts: cutter.cuts(),
                resumptions: back.total(),
                back_after: back.summary(),
            }),
            ..report
        })
    }
}

/// Nothing is cut while what is owed comes in.
async fn spare_the_end(cutter: Cutter, mut phases: watch::Receiver<Phase>) {
    let _ = phases.wait_for(|phase| *phase >= Phase::Draining).await;
    cutter.arm(false);
}

/// One side of a pair.
struct Line {
    target: Target,
    index: usize,
    side: usize,
    session: Session,
    /// Sent, and not known to be handled.
    unacked: VecDeque<Vec<u8>>,
    peer: String,
    filler: String,
    /// Of both sides, as they send.
    flights: Rc<RefCell<[Option<Flight>; 2]>>,
    back: Rc<RefCell<Histogram>>,
}

/// Why a line stops talking.
enum Stop {
    /// The connection is gone.
    Cut,
    /// The run is over.
    Over,
}

impl Line {
    async fn run(mut self, meter: Meter, mut tick: Interval) -> io::Result<Tally> {
        let mut phases = meter.phases();
        while let Stop::Cut = self.talk(&meter, &mut phases, &mut tick).await? {
            self.come_back().await?;
        }
        self.leave().await?;
        let flight = self.flights.borrow_mut()[self.side].take();
        let flight = flight.ok_or_else(|| io::Error::other("a line ended twice"))?;
        flight.verdict().map_err(io::Error::other)
    }

    async fn talk(
        &mut self,
        meter: &Meter,
        phases: &mut watch::Receiver<Phase>,
        tick: &mut Interval,
    ) -> io::Result<Stop> {
        loop {
            self.receive(meter)?;
            let phase = *phases.borrow_and_update();
            if phase == Phase::Over {
                return Ok(Stop::Over);
            }
            tokio::select! {
                biased;
                open = self.session.connection.exchange() => match open {
                    Ok(true) => {}
                    Ok(false) | Err(_) => {
                        self.receive(meter)?;
                        return Ok(Stop::Cut);
                    }
                },
                changed = phases.changed() => changed.expect("the meter outlives its tasks"),
                _ = tick.tick(), if phase < Phase::Draining => self.send(meter),
            }
        }
    }

    /// Queues a message, if there are not too many under way.
    fn send(&mut self, meter: &Meter) {
        let mut flights = self.flights.borrow_mut();
        let Some(flight) = &mut flights[self.side] else {
            return;
        };
        if flight.room() == 0 {
            return;
        }
        let number = flight.depart(Instant::now());
        meter.departed(1);
        drop(flights);
        let (peer, index, filler) = (&self.peer, self.index, &self.filler);
        let message = format!(
            "<message to='{peer}' type='chat' id='{number}'><body>{index} {number} {filler}</body></message>"
        );
        self.stanza(message.into_bytes());
    }

    fn stanza(&mut self, stanza: Vec<u8>) {
        let outbox = self.session.connection.outbox();
        outbox.extend_from_slice(&stanza);
        self.unacked.push_back(stanza);
        if let Some(management) = &mut self.session.management {
            outbox.extend_from_slice(management.sent(1));
        }
    }

    /// Deals with everything that has been read.
    fn receive(&mut self, meter: &Meter) -> io::Result<()> {
        let now = Instant::now();
        let Session {
            connection,
            management,
            ..
        } = &mut self.session;
        let management = management.as_mut().expect("the target is managed");
        let (mut replies, mut answers) = (Vec::new(), Vec::new());
        while let Some(event) = connection.event()? {
            let Event::Stanza(stanza) = event else {
                continue;
            };
            answers.extend(management.hear(stanza)?.unwrap_or_default());
            // What a replaced connection is told last.
            if scanner::name(stanza) == b"stream:error" && scanner::contains(stanza, "<conflict") {
                continue;
            }
            replies.extend(Session::reply(stanza)?);
            if scanner::name(stanza) != b"message" {
                continue;
            }
            let body = scanner::text(stanza, "body");
            let flights = &mut *self.flights.borrow_mut();
            // Its verdict is given; who listens to the end must not be told more.
            let Some(flight) = &mut flights[1 - self.side] else {
                return Err(io::Error::other("a message came when all had come"));
            };
            match body.and_then(|body| number(body, self.index ^ 1, &self.filler)) {
                None => flight.foreign(),
                Some(number) => {
                    if let Some(took) = flight.land(number, now) {
                        meter.completed(took);
                    }
                }
            }
        }
        let handled = self.unacked.len() - management.under_way() as usize;
        self.unacked.drain(..handled);
        connection.outbox().extend_from_slice(&answers);
        replies.into_iter().for_each(|reply| self.stanza(reply));
        Ok(())
    }

    /// Connects until the stream goes on, and sends again what has not been handled.
    async fn come_back(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        let management = self.session.management.as_mut();
        let management = management.expect("the target is managed");
        let id = management.id().map(str::to_owned);
        let id =
            id.ok_or_else(|| io::Error::other("the server does not let streams be resumed"))?;
        let (connection, handled) = loop {
            let attempt = self.target.resume(self.index, &id, management.received());
            match attempt.await {
                Ok(resumed) => break resumed,
                Err(error) if begin.elapsed() > GIVE_UP => return Err(error),
                Err(_) => sleep(PATIENCE).await,
            }
        };
        let Some(handled) = handled else {
            return Err(io::Error::other("a stream was not resumed"));
        };
        management.resumed(handled)?;
        let handled = self.unacked.len() - management.under_way() as usize;
        self.unacked.drain(..handled);
        self.session.connection = connection;
        let outbox = self.session.connection.outbox();
        self.unacked
            .iter()
            .for_each(|stanza| outbox.extend_from_slice(stanza));
        outbox.extend_from_slice(management.ask());
        self.back.borrow_mut().record(begin.elapsed());
        Ok(())
    }

    /// Waits until everything is acknowledged, and closes the stream.
    async fn leave(&mut self) -> io::Result<()> {
        let Session {
            connection,
            management,
            ..
        } = &mut self.session;
        let management = management.as_mut().expect("the target is managed");
        connection.outbox().extend_from_slice(management.ask());
        let all = async {
            while management.under_way() > 0 {
                connection.exchange().await?;
                while let Some(event) = connection.event()? {
                    if let Event::Stanza(stanza) = event {
                        management.hear(stanza)?;
                    }
                }
            }
            io::Result::Ok(())
        };
        timeout(ACKNOWLEDGED, all).await.unwrap_or_else(|_| {
            let missing = "the server did not acknowledge what it has delivered";
            Err(io::Error::other(missing))
        })?;
        let end = format!(
            "<a xmlns='urn:xmpp:sm:3' h='{}'/></stream:stream>",
            management.received()
        );
        connection.outbox().extend_from_slice(end.as_bytes());
        connection.flush().await
    }
}

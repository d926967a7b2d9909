//! XEP-0199 pings to the server, a window of them under way on each connection.

use std::{
    io::{self, Write},
    time::Instant,
};

use tokio::task::JoinSet;

use crate::{
    connection::Event,
    flight::Flight,
    login::{Peer, Target},
    meter::{Meter, Phase},
    oracle::{Fault, Tally},
    report::Report,
    scanner,
    session::Session,
};

/// A ping load.
#[derive(Debug, Clone)]
pub struct Ping {
    /// Sessions that ping.
    pub sessions: usize,
    /// Pings under way on each.
    pub window: usize,
    /// A fault for the first session's oracle.
    pub plant: Option<Fault>,
}

impl Ping {
    /// Logs everybody in, pings, and judges: each answer once, and in order (RFC 6120 §10.1).
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let mut tasks = JoinSet::new();
        for (index, session) in target
            .enter_all(self.sessions, meter)
            .await?
            .into_iter()
            .enumerate()
        {
            let plant = self.plant.filter(|_| index == 0);
            let flight = Flight::new(self.window, plant);
            // The relay answers nothing, so there a session sends itself the answer.
            let (kind, to) = match target.peer {
                Peer::Server => ("get", target.domain.clone()),
                Peer::Relay => ("result", session.jid.clone()),
            };
            let head = format!("<iq type='{kind}' to='{to}' id='");
            tasks.spawn_local(ping(session, head, flight, meter.clone()));
        }
        let load = format!("ping, {} sessions, window {}", self.sessions, self.window);
        let (report, tallies) = meter.run(load, tasks).await?;
        let mut tally = Tally::default();
        tallies.into_iter().for_each(|each| tally += each);
        Ok(Report {
            oracle: Some(tally),
            ..report
        })
    }
}

async fn ping(
    mut session: Session,
    head: String,
    mut flight: Flight,
    meter: Meter,
) -> io::Result<Tally> {
    let mut phases = meter.phases();
    loop {
        match *phases.borrow_and_update() {
            Phase::WarmUp | Phase::Measured => {
                let now = Instant::now();
                let count = flight.room();
                meter.departed(count);
                for _ in 0..count {
                    let number = flight.depart(now);
                    writeln!(
                        session.connection.outbox(),
                        "{head}{number}'><ping xmlns='urn:xmpp:ping'/></iq>"
                    )?;
                }
            }
            Phase::Draining => {}
            Phase::Over => return flight.verdict().map_err(io::Error::other),
        }
        tokio::select! {
            biased;
            open = session.connection.exchange() => {
                if !open? {
                    return Err(io::Error::other("the server closed a stream"));
                }
                receive(&mut session, &mut flight, &meter)?;
            }
            changed = phases.changed() => changed.expect("the meter outlives its tasks"),
        }
    }
}

fn receive(session: &mut Session, flight: &mut Flight, meter: &Meter) -> io::Result<()> {
    let now = Instant::now();
    while let Some(event) = session.connection.event()? {
        let Event::Stanza(stanza) = event else {
            return Err(io::Error::other("the server closed a stream"));
        };
        let result =
            scanner::name(stanza) == b"iq" && scanner::attribute(stanza, "type") == Some(b"result");
        if !result {
            if let Some(reply) = Session::reply(stanza)? {
                session.connection.outbox().extend(reply);
            }
            continue;
        }
        let id = scanner::attribute(stanza, "id").unwrap_or_default();
        match std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
            None => flight.foreign(),
            Some(number) => {
                if let Some(took) = flight.land(number, now) {
                    meter.completed(took);
                }
            }
        }
    }
    Ok(())
}

//! One-to-one chat: pairs of sessions, a window of messages under way in each, or a fixed rate.

use std::{
    future::{pending, poll_fn},
    io::{self, Write},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    connection::Event,
    flight::Flight,
    login::Target,
    meter::{Meter, Phase},
    oracle::{Fault, Tally},
    report::Report,
    scanner,
    session::{Session, answer},
};

/// A chat load.
#[derive(Debug, Clone)]
pub struct Chat {
    /// Pairs; each has a sender and a receiver.
    pub pairs: usize,
    /// How messages are paced.
    pub pace: Pace,
    /// Bytes of a message's body.
    pub body: usize,
    /// A fault for the first pair's oracle.
    pub plant: Option<Fault>,
    /// Where the receivers log in, if that is another server.
    pub receivers: Option<Target>,
}

/// When a sender sends.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as fewer than this many are under way.
    Window(usize),
    /// This many a second, all pairs together.
    Rate(f64),
}

/// Messages a pair may have under way at a fixed rate before the run gives up on the server.
const MAX_BACKLOG: usize = 10_000;

/// How long a server may take to acknowledge what has arrived.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

/// How long one node of a domain may take to hear who has logged in at another.
const HEARSAY: Duration = Duration::from_secs(1);

impl Chat {
    /// Logs everybody in, chats, and judges.
    pub async fn run(&self, target: &Target, meter: &Meter) -> io::Result<Report> {
        let pairs = self.enter(target, meter).await?;
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        for (index, (sender, receiver)) in pairs.into_iter().enumerate() {
            let pair = Pair::new(self, index, begin, sender, receiver);
            tasks.spawn_local(pair.run(meter.clone()));
        }
        let pace = match self.pace {
            Pace::Window(window) => format!("window {window}"),
            Pace::Rate(rate) => format!("{rate} a second"),
        };
        let where_to = self.receivers.as_ref().map_or("", |_| " on two servers");
        let load = format!(
            "chat, {} pairs{where_to}, {pace}, {} byte bodies",
            self.pairs, self.body
        );
        let (report, tallies) = meter.run(load, tasks).await?;
        let mut tally = Tally::default();
        tallies.into_iter().for_each(|each| tally += each);
        Ok(Report {
            oracle: Some(tally),
            ..report
        })
    }
}

impl Chat {
    /// The sessions of each pair. The first accounts of either server, if there are two.
    async fn enter(&self, target: &Target, meter: &Meter) -> io::Result<Vec<(Session, Session)>> {
        let Some(receivers) = &self.receivers else {
            let mut sessions = target.enter_all(self.pairs * 2, meter).await?.into_iter();
            let pair = |_| Some((sessions.next()?, sessions.next()?));
            return Ok((0..self.pairs).filter_map(pair).collect());
        };
        let senders = target.enter_all(self.pairs, meter).await?;
        let receivers = receivers.enter_all(self.pairs, meter).await?;
        sleep(HEARSAY).await;
        Ok(senders.into_iter().zip(receivers).collect())
    }
}

struct Pair {
    index: usize,
    sender: Session,
    receiver: Session,
    flight: Flight,
    head: String,
    filler: String,
    pacer: Option<Pacer>,
}

impl Pair {
    fn new(chat: &Chat, index: usize, begin: Instant, sender: Session, receiver: Session) -> Pair {
        let plant = chat.plant.filter(|_| index == 0);
        let (window, pacer) = match chat.pace {
            Pace::Window(window) => (window, None),
            Pace::Rate(rate) => {
                let gap = Duration::from_secs_f64(chat.pairs as f64 / rate);
                let next = begin + gap.mul_f64(index as f64 / chat.pairs as f64);
                (MAX_BACKLOG, Some(Pacer { gap, next }))
            }
        };
        Pair {
            index,
            flight: Flight::new(window, plant),
            head: format!("<message to='{}' type='chat' id='", receiver.jid),
            filler: "x".repeat(chat.body),
            sender,
            receiver,
            pacer,
        }
    }

    async fn run(mut self, meter: Meter) -> io::Result<Tally> {
        let mut phases = meter.phases();
        loop {
            let phase = *phases.borrow_and_update();
            match phase {
                Phase::WarmUp | Phase::Measured => self.send(&meter)?,
                Phase::Draining => {}
                Phase::Over => {
                    self.acknowledged().await?;
                    return self.flight.verdict().map_err(io::Error::other);
                }
            }
            let due = self.pacer.as_ref().filter(|_| phase < Phase::Draining);
            let due = due.map(|pacer| pacer.next);
            tokio::select! {
                biased;
                open = poll_fn(|cx| poll_either(&mut self.sender, &mut self.receiver, cx)) => {
                    if !open? {
                        return Err(io::Error::other("the server closed a stream"));
                    }
                    self.receive(&meter)?;
                }
                changed = phases.changed() => changed.expect("the meter outlives its tasks"),
                () = wait(due) => {}
            }
        }
    }

    /// Queues what may be sent now; the next poll writes it at once.
    fn send(&mut self, meter: &Meter) -> io::Result<()> {
        let room = self.flight.room();
        let now = Instant::now();
        let count = match &mut self.pacer {
            None => room,
            Some(pacer) => pacer.due(now),
        };
        if count > room {
            return Err(io::Error::other(
                "the server does not keep up with this rate",
            ));
        }
        meter.departed(count);
        for _ in 0..count {
            let number = self.flight.depart(now);
            let (head, index, filler) = (&self.head, self.index, &self.filler);
            writeln!(
                self.sender.connection.outbox(),
                "{head}{number}'><body>{index} {number} {filler}</body></message>"
            )?;
        }
        if let Some(management) = &mut self.sender.management {
            let request = management.sent(count);
            self.sender.connection.outbox().extend_from_slice(request);
        }
        Ok(())
    }

    /// Waits until the server has acknowledged everything, if it acknowledges at all.
    async fn acknowledged(&mut self) -> io::Result<()> {
        if let Some(management) = &mut self.sender.management {
            let request = management.ask();
            self.sender.connection.outbox().extend_from_slice(request);
        }
        let sender = &mut self.sender;
        let all = async {
            while sender
                .management
                .as_ref()
                .is_some_and(|m| m.under_way() > 0)
            {
                sender.connection.exchange().await?;
                sender.handle_unasked()?;
            }
            io::Result::Ok(())
        };
        timeout(ACKNOWLEDGED, all).await.unwrap_or_else(|_| {
            Err(io::Error::other(
                "the server did not acknowledge what it has delivered",
            ))
        })
    }

    fn receive(&mut self, meter: &Meter) -> io::Result<()> {
        self.sender.handle_unasked()?;
        let now = Instant::now();
        while let Some(event) = self.receiver.connection.event()? {
            let Event::Stanza(stanza) = event else {
                return Err(io::Error::other("the server closed a stream"));
            };
            let body = match scanner::name(stanza) {
                b"message" => {
                    if let Some(management) = &mut self.receiver.management {
                        management.hear(stanza)?;
                    }
                    scanner::text(stanza, "body")
                }
                _ => {
                    let answer = answer(&mut self.receiver.management, stanza)?;
                    self.receiver.connection.outbox().extend(answer);
                    continue;
                }
            };
            match body.and_then(|body| number(body, self.index, &self.filler)) {
                None => self.flight.foreign(),
                Some(number) => {
                    if let Some(took) = self.flight.land(number, now) {
                        meter.completed(took);
                    }
                }
            }
        }
        Ok(())
    }
}

/// When a sender at a fixed rate sends next.
struct Pacer {
    gap: Duration,
    next: Instant,
}

impl Pacer {
    fn due(&mut self, now: Instant) -> usize {
        let mut count = 0;
        while self.next <= now {
            self.next += self.gap;
            count += 1;
        }
        count
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => pending().await,
    }
}

/// Ready when either end has read something. Both are always polled, so that both write.
fn poll_either(
    sender: &mut Session,
    receiver: &mut Session,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let first = sender.connection.poll(cx)?;
    let second = receiver.connection.poll(cx)?;
    match (first, second) {
        (Poll::Pending, Poll::Pending) => Poll::Pending,
        (Poll::Ready(false), _) | (_, Poll::Ready(false)) => Poll::Ready(Ok(false)),
        _ => Poll::Ready(Ok(true)),
    }
}

/// The number of a message whose body is whole and comes from pair `index`.
pub(crate) fn number(body: &[u8], index: usize, filler: &str) -> Option<u64> {
    let mut words = std::str::from_utf8(body).ok()?.splitn(3, ' ');
    let ours = words.next()?.parse() == Ok(index);
    let number = words.next()?.parse().ok()?;
    (ours && words.next()? == filler).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_body_of_the_own_pair_counts() {
        assert_eq!(number(b"3 17 xx", 3, "xx"), Some(17));
        for bad in ["3 17 xy", "4 17 xx", "3 17 xxx", "3 17", "3", "", "3 x xx"] {
            assert_eq!(number(bad.as_bytes(), 3, "xx"), None, "{bad}");
        }
    }

    #[test]
    fn a_pacer_catches_up_after_a_late_wake() {
        let begin = Instant::now();
        let gap = Duration::from_millis(10);
        let mut pacer = Pacer { gap, next: begin };
        assert_eq!(pacer.due(begin), 1);
        assert_eq!(pacer.due(begin + Duration::from_millis(9)), 0);
        assert_eq!(pacer.due(begin + Duration::from_millis(35)), 3);
        assert_eq!(pacer.next, begin + Duration::from_millis(40));
    }
}

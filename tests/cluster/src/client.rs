//! Clients that count: each sends numbered messages to its partner, resumes its stream (XEP-0198 §5) wherever it can when a connection is gone,
//! and logs in anew where it cannot.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use benches::{
    connection::Event,
    login::{AVAILABLE, Target},
    scanner,
    session::Session,
};
use tokio::{
    sync::{Notify, watch},
    time::{interval, sleep, timeout},
};

use crate::ledger::Ledger;

/// One client's side of a pair.
pub struct Client {
    /// The account; its partner's is the one beside it.
    pub index: usize,
    /// How it logs in; the address is one of `nodes`.
    pub target: Target,
    /// Where the nodes take clients.
    pub nodes: Rc<[SocketAddr]>,
    /// Of this client's messages, and of its partner's.
    pub ledgers: [Rc<RefCell<Ledger>>; 2],
    /// What all have gone through.
    pub troubles: Rc<RefCell<Troubles>>,
    /// What it is told.
    pub orders: Rc<Orders>,
    /// Between two messages.
    pub pace: Duration,
    /// Where the run is.
    pub phase: watch::Receiver<Phase>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not everybody is there.
    Enter,
    /// Everybody talks.
    Talk,
    /// Nobody sends anything new.
    Listen,
    /// The streams are closed.
    Over,
}

/// What a client is told, and where it is.
#[derive(Debug, Default)]
pub struct Orders {
    /// Cut the connection, and go on at another node.
    pub hop: Notify,
    /// The node it is at.
    pub node: Cell<usize>,
}

/// What the clients of a run have gone through.
#[derive(Debug, Default)]
pub struct Troubles {
    /// Streams that went on at the node where they were.
    pub resumed_here: u64,
    /// Streams that went on at another node.
    pub resumed_elsewhere: u64,
    /// Sessions that were not there any more: their clients have logged in anew.
    pub ended: u64,
    /// The longest time without a stream.
    pub longest: Duration,
    /// What a server must not say.
    pub wrong: Vec<String>,
}

/// Sent, and not known to be handled: its number, if it is a message, and its bytes.
type Unacked = VecDeque<(Option<u64>, Vec<u8>)>;

/// A server that owes an acknowledgement for as long is held to be gone.
const SILENCE: Duration = Duration::from_secs(3);
/// How long one attempt to come back may take.
const ATTEMPT: Duration = Duration::from_secs(8);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client tries.
const GIVE_UP: Duration = Duration::from_secs(90);
/// Messages not acknowledged, at most; then it waits.
const WINDOW: usize = 400;
/// What all sessions are called: who logs in anew takes the place of the one before.
pub const RESOURCE: &str = "proof";

enum Stop {
    Gone,
    Over,
}

struct Line {
    client: Client,
    session: Session,
    unacked: Unacked,
    /// Sessions of this client before this one.
    count: u32,
    /// Since when the server owes an answer.
    owed: Option<Instant>,
}

impl Client {
    /// Logs in, talks until the run is over, and closes the stream.
    pub async fn run(mut self, ready: Rc<Cell<usize>>) -> io::Result<()> {
        let node = self.orders.node.get();
        self.target.address = self.nodes[node];
        let session = self.target.login(self.index).await?;
        let mut line = Line {
            client: self,
            session,
            unacked: VecDeque::new(),
            count: 0,
            owed: None,
        };
        line.stanza(None, AVAILABLE.to_vec());
        ready.set(ready.get() + 1);
        while let Stop::Gone = line.talk().await {
            line.come_back().await?;
        }
        let management = line.session.management.as_ref();
        let received = management.expect("the target is managed").received();
        let end = format!("<a xmlns='urn:xmpp:sm:3' h='{received}'/></stream:stream>");
        line.session
            .connection
            .outbox()
            .extend_from_slice(end.as_bytes());
        let _ = timeout(SILENCE, line.session.connection.flush()).await;
        Ok(())
    }
}

impl Line {
    async fn talk(&mut self) -> Stop {
        let mut tick = interval(self.client.pace);
        let orders = self.client.orders.clone();
        loop {
            if let Err(error) = self.receive() {
                self.client
                    .troubles
                    .borrow_mut()
                    .wrong
                    .push(error.to_string());
                return Stop::Gone;
            }
            let phase = *self.client.phase.borrow_and_update();
            if phase == Phase::Over {
                return Stop::Over;
            }
            if self.owed.is_some_and(|since| since.elapsed() > SILENCE) {
                return Stop::Gone;
            }
            tokio::select! {
                biased;
                open = self.session.connection.exchange() => if !matches!(open, Ok(true)) {
                    let _ = self.receive();
                    return Stop::Gone;
                },
                () = orders.hop.notified() => return Stop::Gone,
                _ = self.client.phase.changed() => {}
                _ = tick.tick() => match phase {
                    Phase::Talk => self.say(),
                    _ => self.ask(),
                },
            }
        }
    }

    fn say(&mut self) {
        if self.unacked.len() >= WINDOW {
            return self.ask();
        }
        let (number, goes) = self.client.ledgers[0].borrow_mut().depart(self.count);
        if goes {
            let (index, partner) = (self.client.index, self.client.index ^ 1);
            let message = format!(
                "<message to='u{partner}@{}/{RESOURCE}' type='chat' id='{number}'><body>{index} {number}</body></message>",
                self.client.target.domain
            );
            self.stanza(Some(number), message.into_bytes());
        }
        self.ask();
    }

    fn stanza(&mut self, number: Option<u64>, stanza: Vec<u8>) {
        let outbox = self.session.connection.outbox();
        outbox.extend_from_slice(&stanza);
        self.unacked.push_back((number, stanza));
        if let Some(management) = &mut self.session.management {
            outbox.extend_from_slice(management.sent(1));
        }
    }

    /// Asks what has been handled, if anything is open and it has not been asked before.
    fn ask(&mut self) {
        if let Some(management) = &mut self.session.management
            && management.under_way() > 0
            && self.owed.is_none()
        {
            let ask = management.ask();
            self.session.connection.outbox().extend_from_slice(ask);
            self.owed = Some(Instant::now());
        }
    }

    /// Deals with everything that has been read.
    fn receive(&mut self) -> io::Result<()> {
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
            match scanner::name(stanza) {
                b"a" => self.owed = None,
                // A session that has moved, or a server that stops: its connection ends, and that is dealt with.
                b"stream:error" => {}
                b"message" => {
                    let is_error = scanner::attribute(stanza, "type") == Some(b"error");
                    let [ours, theirs] = &self.client.ledgers;
                    if is_error {
                        let number = scanner::attribute(stanza, "id").and_then(parse);
                        if let Some(number) = number {
                            ours.borrow_mut().returned(number);
                        }
                        continue;
                    }
                    match number(stanza, self.client.index ^ 1) {
                        Some(number) => theirs.borrow_mut().arrived(number, self.count),
                        None => theirs.borrow_mut().foreign(),
                    }
                }
                // Nobody is subscribed to anybody; what comes of it is no matter here.
                b"presence" => {}
                _ => replies.extend(Session::reply(stanza)?),
            }
        }
        self.settle();
        self.session.connection.outbox().extend_from_slice(&answers);
        replies
            .into_iter()
            .for_each(|reply| self.stanza(None, reply));
        Ok(())
    }

    /// What the server has said to have is acknowledged.
    fn settle(&mut self) {
        let management = self.session.management.as_ref();
        let open = management.expect("the target is managed").under_way() as usize;
        let handled = self.unacked.len().saturating_sub(open);
        let mut ledger = self.client.ledgers[0].borrow_mut();
        for (number, _) in self.unacked.drain(..handled) {
            number
                .into_iter()
                .for_each(|number| ledger.acknowledged(number));
        }
    }

    /// Goes from node to node until the stream goes on or a new one begins.
    async fn come_back(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        self.owed = None;
        let last = self.client.orders.node.get();
        for step in 1.. {
            let node = (last + step) % self.client.nodes.len();
            self.client.target.address = self.client.nodes[node];
            match timeout(ATTEMPT, self.attempt(node, node == last)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if begin.elapsed() > GIVE_UP => return Err(error),
                Err(_) if begin.elapsed() > GIVE_UP => return Err(io::ErrorKind::TimedOut.into()),
                _ => sleep(PAUSE).await,
            }
        }
        let mut troubles = self.client.troubles.borrow_mut();
        troubles.longest = troubles.longest.max(begin.elapsed());
        Ok(())
    }

    async fn attempt(&mut self, node: usize, is_here: bool) -> io::Result<()> {
        let Client { target, index, .. } = &self.client;
        let management = self
            .session
            .management
            .as_mut()
            .expect("the target is managed");
        let id = management.id().map(str::to_owned);
        let id =
            id.ok_or_else(|| io::Error::other("the server does not let streams be resumed"))?;
        let (connection, handled) = target.resume(*index, &id, management.received()).await?;
        let Some(handled) = handled else {
            drop(connection);
            return self.begin_anew(node).await;
        };
        management.resumed(handled)?;
        self.session.connection = connection;
        self.client.orders.node.set(node);
        let mut troubles = self.client.troubles.borrow_mut();
        match is_here {
            true => troubles.resumed_here += 1,
            false => troubles.resumed_elsewhere += 1,
        }
        drop(troubles);
        self.settle();
        let outbox = self.session.connection.outbox();
        self.unacked
            .iter()
            .for_each(|(_, stanza)| outbox.extend_from_slice(stanza));
        self.ask();
        Ok(())
    }

    /// What was not acknowledged is not sent again: it may have arrived.
    async fn begin_anew(&mut self, node: usize) -> io::Result<()> {
        self.session = self.client.target.login(self.client.index).await?;
        self.unacked.clear();
        self.count += 1;
        let mut theirs = self.client.ledgers[1].borrow_mut();
        theirs.anew();
        for stanza in &self.session.early {
            let number = number(stanza, self.client.index ^ 1);
            number
                .into_iter()
                .for_each(|number| theirs.arrived(number, self.count));
        }
        drop(theirs);
        self.client.orders.node.set(node);
        self.client.troubles.borrow_mut().ended += 1;
        self.stanza(None, AVAILABLE.to_vec());
        Ok(())
    }
}

/// Logs in once more at this node, and takes what was stored for an account.
pub async fn collect(target: &Target, index: usize, theirs: &RefCell<Ledger>) -> io::Result<()> {
    /// Nothing comes for so long when all has come.
    const QUIET: Duration = Duration::from_millis(1500);
    let plain = Target {
        managed: false,
        ..target.clone()
    };
    let mut session = plain.login(index).await?;
    session.connection.outbox().extend_from_slice(AVAILABLE);
    loop {
        while let Some(event) = session.connection.event()? {
            let Event::Stanza(stanza) = event else {
                continue;
            };
            if let (b"message", Some(number)) = (scanner::name(stanza), number(stanza, index ^ 1)) {
                theirs.borrow_mut().arrived(number, u32::MAX);
            }
        }
        match timeout(QUIET, session.connection.exchange()).await {
            Ok(Ok(true)) => {}
            _ => break,
        }
    }
    session
        .connection
        .outbox()
        .extend_from_slice(b"</stream:stream>");
    let _ = timeout(QUIET, session.connection.flush()).await;
    Ok(())
}

/// The number of a message, if it is of this sender.
fn number(message: &[u8], sender: usize) -> Option<u64> {
    let body = std::str::from_utf8(scanner::text(message, "body")?).ok()?;
    let (index, number) = body.split_once(' ')?;
    (index.parse() == Ok(sender))
        .then_some(number)?
        .parse()
        .ok()
}

fn parse(number: &[u8]) -> Option<u64> {
    std::str::from_utf8(number).ok()?.parse().ok()
}

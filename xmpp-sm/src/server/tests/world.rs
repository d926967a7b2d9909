//! Two servers, the connections between them, and those who stand above: a link manager that is too simple to be wrong, and a record of
//! all that was ever sent.

use std::collections::{BTreeMap, HashMap, VecDeque};

use xmpp_core::mailbox::{
    Envelope, Inbox as _, Origin, Outcome, Queue, QueueLimits, Settlement, SmPoint, Source,
};
use xmpp_core::s2s::{
    self, Compression, Found, Pair, Policy, Proof, Session, SessionLimits, Sessions,
};
use xmpp_core::xml::{Limits, Reader};

use super::*;

mod above;
mod record;

pub(super) use record::{Counts, Record};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Opens connections.
    A,
    /// Accepts them.
    B,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// What is planted, to see that the record notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// What is delivered counts as settled at once.
    Early,
    /// A session forgets the first stanza that it has sent.
    Skip,
    /// A session forgets that it has handled the last stanza.
    Repeat,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) bidi: bool,
    /// B keeps sessions; else it only acknowledges.
    pub(super) resumes: bool,
    pub(super) proof: Proof,
    pub(super) compression: Option<Compression>,
    pub(super) fault: Fault,
}

pub(super) struct World {
    rules: Rules,
    now: Now,
    /// By side and number of the connection.
    conns: BTreeMap<(u64, bool), Conn>,
    pipes: BTreeMap<(u64, bool), Pipe>,
    connections: u64,
    /// What is to be told to whom.
    todo: VecDeque<(Side, u64, Input)>,
    /// What waits, by side and pair.
    queues: HashMap<Pair, VecDeque<Envelope>>,
    /// A's session, without a connection.
    session: Option<Box<Session>>,
    table: Sessions<u64>,
    /// Pairs that B does not accept on this connection.
    refused: Vec<Pair>,
    /// Whether this connection may be used in both directions.
    bidi: bool,
    surroundings: [Arc<Surroundings>; 2],
    settings: [Arc<s2s::Settings>; 2],
    pub(super) records: Vec<Record>,
    /// The stanzas in the order in which they came for the first time.
    order: Vec<usize>,
    by_id: HashMap<String, usize>,
    pub(super) counts: Counts,
    pub(super) failures: Vec<String>,
}

struct Conn {
    machine: s2s::BoxStream,
    reader: Reader,
    unread: VecDeque<u8>,
    asking: bool,
    /// It reads and writes.
    open: bool,
    granted: Vec<Pair>,
    hold: bool,
    unsettled: VecDeque<usize>,
}

/// What is on its way to a side.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    cut: bool,
    closed: bool,
}

struct Counting(std::sync::atomic::AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        bytes.fill(0);
        let n = n.to_be_bytes();
        bytes[..8].copy_from_slice(&n);
    }
}

pub(super) fn pairs() -> [Pair; 2] {
    [
        pair("capulet.example", "montague.example"),
        pair("rooms.capulet.example", "montague.example"),
    ]
}

impl World {
    pub(super) fn new(rules: Rules) -> World {
        let random: Arc<dyn Random> = Arc::new(Counting(0.into()));
        let surroundings = |max| {
            let options = Options {
                max,
                stanzas: 5,
                ..Options::default()
            };
            let budget = Arc::new(Budget::new(1 << 30));
            let random = random.clone();
            Arc::new(Surroundings {
                options,
                random,
                budget,
            })
        };
        let max = Duration::from_secs(600);
        let settings = |secret: &[u8]| {
            let mut settings = settings(secret);
            settings.random = random.clone();
            Arc::new(settings)
        };
        World {
            rules,
            now: now(),
            conns: BTreeMap::new(),
            pipes: BTreeMap::new(),
            connections: 0,
            todo: VecDeque::new(),
            queues: HashMap::new(),
            session: None,
            table: Sessions::new(SessionLimits::default(), Arc::new(Budget::new(1 << 20))),
            refused: Vec::new(),
            bidi: false,
            surroundings: [
                surroundings(max),
                surroundings(if rules.resumes { max } else { Duration::ZERO }),
            ],
            settings: [settings(b"one"), settings(b"two")],
            records: Vec::new(),
            order: Vec::new(),
            by_id: HashMap::new(),
            counts: Counts::default(),
            failures: Vec::new(),
        }
    }

    /// Somebody sends a stanza.
    pub(super) fn send(&mut self, pair: &Pair) {
        let n = self.records.len();
        let id = format!("s{n}");
        let (from, to) = (pair.from(), pair.to());
        let text = format!("<message from='x@{from}' to='y@{to}' id='{id}'/>");
        let queue = Queue::new(QueueLimits::default(), Arc::new(Budget::new(1 << 20)));
        let origin = Origin {
            source: Source::Server,
            sm: Some(SmPoint {
                id: "sender".into(),
                n: 0,
            }),
        };
        let stanza = Stanza::parse(&text).unwrap();
        let Settlement::Later(later) = queue.push(Envelope::new(stanza, origin)) else {
            panic!("it is awaited");
        };
        let envelope = queue.take(1).unwrap().unwrap().pop_front().unwrap();
        self.by_id.insert(id, n);
        self.records.push(Record {
            pair: pair.clone(),
            later,
            delivered: Vec::new(),
            settled: false,
            returned: false,
            unmanaged: false,
            told: false,
        });
        self.queues
            .entry(pair.clone())
            .or_default()
            .push_back(envelope);
        self.run();
    }

    /// A opens a connection, unless it has one. Of the pairs B refuses these.
    pub(super) fn connect(&mut self, refused: &[Pair], bidi: bool) {
        if self.conns.keys().any(|(_, is_b)| !is_b) {
            return;
        }
        self.refused = refused.to_vec();
        self.connections += 1;
        let link = self.connections;
        let mut channel = Channel::default();
        channel.tls = true;
        self.bidi = bidi && self.rules.bidi;
        let policy = self.policy();
        let [a, b] = &self.settings;
        let first = pairs()[0].clone();
        let outgoing = s2s::Outgoing::new(a.clone(), first, policy, &channel, self.now);
        let incoming = s2s::Incoming::new(b.clone(), &channel, self.now);
        let [sa, sb] = &self.surroundings;
        let outgoing = Outgoing::new(Box::new(outgoing), sa.clone());
        let incoming = Incoming::new(Box::new(incoming), sb.clone());
        self.conns
            .insert((link, false), Conn::new(Box::new(outgoing)));
        self.conns
            .insert((link, true), Conn::new(Box::new(incoming)));
        self.pipes.insert((link, false), Pipe::default());
        self.pipes.insert((link, true), Pipe::default());
        if let Some(session) = self.session.take() {
            self.tell(Side::A, link, s2s::Input::Session(Found::Session(session)));
        }
        for pair in pairs() {
            self.tell(Side::A, link, s2s::Input::Request(pair));
        }
        self.tell(Side::A, link, s2s::Input::Open);
        self.run();
    }

    fn policy(&self) -> Policy {
        Policy {
            tls: true,
            proof: self.rules.proof,
            bidi: self.bidi,
            compression: self.rules.compression,
            ..Policy::default()
        }
    }

    /// So many bytes arrive at this side.
    pub(super) fn arrive(&mut self, at: Side, bytes: usize) {
        let Some(link) = self.link(at) else { return };
        let key = key(at, link);
        let pipe = self.pipes.get_mut(&key).unwrap();
        let n = bytes.min(pipe.bytes.len());
        let arrived: Vec<u8> = pipe.bytes.drain(..n).collect();
        let is_end = pipe.closed && pipe.bytes.is_empty();
        if let Some(conn) = self.conns.get_mut(&key).filter(|conn| conn.open) {
            conn.unread.extend(arrived);
            self.read(at, link);
            if is_end {
                self.todo.push_back((at, link, Input::Eof));
            }
        }
        self.run();
    }

    /// The newest connection that this side has.
    fn link(&self, side: Side) -> Option<u64> {
        let mut links = self.conns.keys().rev();
        let of = |(_, is_b): &&(u64, bool)| *is_b == (side == Side::B);
        links.find(of).map(|(link, _)| *link)
    }

    /// The cable is cut; nobody has noticed.
    pub(super) fn cut(&mut self) {
        for pipe in self.pipes.values_mut() {
            pipe.bytes.clear();
            pipe.cut = true;
        }
    }

    /// This side notices.
    pub(super) fn notice(&mut self, side: Side) {
        let links: Vec<u64> = self
            .conns
            .keys()
            .filter(|(link, is_b)| *is_b == (side == Side::B) && self.pipes[&(*link, *is_b)].cut)
            .map(|(link, _)| *link)
            .collect();
        for link in links {
            self.todo.push_back((side, link, Input::Eof));
        }
        self.run();
    }

    /// This side ends its stream.
    pub(super) fn close(&mut self, side: Side) {
        if let Some(link) = self.link(side) {
            self.todo.push_back((side, link, Input::Close(None)));
            self.run();
        }
    }

    /// The oldest delivery at this side is settled.
    pub(super) fn settle(&mut self, side: Side) -> bool {
        let mut conns = self.conns.iter_mut();
        let found = conns
            .find(|((_, is_b), conn)| *is_b == (side == Side::B) && !conn.unsettled.is_empty());
        let Some(((link, _), conn)) = found else {
            return false;
        };
        let link = *link;
        let n = conn.unsettled.pop_front().unwrap();
        self.records[n].settled = true;
        if self.rules.fault != Fault::Early {
            self.todo.push_back((side, link, Input::Settled));
        }
        self.run();
        true
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.utc = self.now.utc.plus(time);
        let links: Vec<_> = self.conns.keys().copied().collect();
        for (link, is_b) in links {
            let side = if is_b { Side::B } else { Side::A };
            let Some(conn) = self.conns.get_mut(&(link, is_b)) else {
                continue;
            };
            let due = conn.machine.next_timeout();
            if due.is_some_and(|due| due <= self.now.instant) {
                let mut out = Vec::new();
                conn.machine.handle_timeout(self.now, &mut out);
                self.perform_all(side, link, out);
            }
        }
        let mut out = Vec::new();
        self.table.handle_timeout(self.now, &mut out);
        self.do_all(out);
        self.run();
    }

    fn tell(&mut self, side: Side, link: u64, input: s2s::Input) {
        self.todo.push_back((side, link, Input::S2s(input)));
    }

    /// Until there is nothing more to do without time or the network.
    fn run(&mut self) {
        loop {
            while let Some((side, link, input)) = self.todo.pop_front() {
                self.input(side, link, input);
            }
            if !self.pump() && self.todo.is_empty() {
                break;
            }
        }
        let links: Vec<_> = self.conns.keys().copied().collect();
        for (link, is_b) in links {
            let side = if is_b { Side::B } else { Side::A };
            if self.conns.get(&(link, is_b)).is_some_and(|conn| conn.open) {
                self.input(side, link, Input::Flush);
            }
        }
        self.check();
    }

    fn input(&mut self, side: Side, link: u64, input: Input) {
        let Some(conn) = self.conns.get_mut(&key(side, link)) else {
            // What cannot be told comes back.
            if let Input::S2s(s2s::Input::Session(Found::Session(session))) = input {
                self.keep(side, session);
            }
            return;
        };
        let is_answer = matches!(
            input,
            Input::S2s(s2s::Input::Session(_) | s2s::Input::Known(..))
        );
        if is_answer {
            conn.asking = false;
        }
        let mut out = Vec::new();
        conn.machine.handle(input, self.now, &mut out);
        self.perform_all(side, link, out);
        if is_answer {
            self.read(side, link);
        }
    }

    fn read(&mut self, side: Side, link: u64) {
        while let Some(conn) = self.conns.get_mut(&key(side, link)) {
            if conn.asking || !conn.open || conn.unread.is_empty() {
                return;
            }
            let bytes: Vec<u8> = conn.unread.drain(..).collect();
            let mut rest = &bytes[..];
            let received = conn.reader.next(&mut rest);
            let rest = rest.to_vec();
            conn.unread = rest.into();
            match received {
                Ok(Some(received)) => self.input(side, link, Input::Received(received)),
                Ok(None) => return,
                // Who closes while the other one begins anew (after SASL) closes a stream that is not there any more.
                Err(error) => return self.input(side, link, Input::Unreadable(error)),
            }
        }
    }

    fn perform_all(&mut self, side: Side, link: u64, outputs: Vec<Output>) {
        let mut back = Vec::new();
        for output in outputs {
            match output {
                Output::S2s(s2s::Output::Unsent(envelope)) => {
                    self.counts.unsent += 1;
                    back.push(envelope);
                }
                output => self.perform(side, link, output),
            }
        }
        self.put_back(back);
    }

    fn number(&self, stanza: &Stanza) -> usize {
        self.by_id[stanza.id().unwrap()]
    }

    fn perform(&mut self, side: Side, link: u64, output: Output) {
        let key = key(side, link);
        let conn = self.conns.get_mut(&key).unwrap();
        match output {
            Output::Write(bytes) => {
                self.counts.written(&bytes);
                self.write(side, link, &bytes);
            }
            Output::Send(envelope) => {
                let mut bytes = Vec::new();
                envelope.stanza.write(&mut bytes);
                self.write(side, link, &bytes);
                if !envelope.is_kept() {
                    let n = self.number(&envelope.stanza);
                    self.records[n].unmanaged = true;
                    self.counts.unmanaged += 1;
                    envelope.settle(Outcome::Settled);
                }
            }
            Output::Deliver(stanza, _) => {
                let is_early = self.rules.fault == Fault::Early;
                let n = self.by_id[stanza.id().unwrap()];
                conn.unsettled.push_back(n);
                if is_early {
                    self.todo.push_back((side, link, Input::Settled));
                }
                let late = stanza.payload().has("delay", "urn:xmpp:delay");
                self.counts.delivered += 1;
                match self.records[n].delivered.is_empty() {
                    true => self.order.push(n),
                    false => self.counts.again += 1,
                }
                self.records[n].delivered.push(late);
            }
            Output::Resumable(id) => {
                let mut out = Vec::new();
                self.table.running(link, id, &mut out);
                self.do_all(out);
            }
            Output::Detach => {
                self.counts.drained += 1;
                conn.open = false;
            }
            Output::Hold(hold) => conn.hold = hold,
            Output::Return(envelope) => {
                let n = self.number(&envelope.stanza);
                self.records[n].returned = true;
                self.counts.returned += 1;
                envelope.settle(Outcome::Returned);
            }
            Output::Restart => conn.reader.restart(),
            Output::Close(_) => self.end(side, link),
            Output::S2s(output) => self.perform_s2s(side, link, output),
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, from: Side, link: u64, bytes: &[u8]) {
        let open = self.conns[&key(from, link)].open;
        let pipe = self.pipes.get_mut(&key(from.other(), link)).unwrap();
        if open && !pipe.cut {
            pipe.bytes.extend(bytes);
        }
    }

    /// The connection is closed by this side.
    fn end(&mut self, side: Side, link: u64) {
        let conn = self.conns.remove(&key(side, link)).unwrap();
        for n in conn.unsettled {
            self.records[n].settled = true;
        }
        self.pipes.get_mut(&key(side.other(), link)).unwrap().closed = true;
        if side == Side::B {
            let mut out = Vec::new();
            self.table.gone(link, &mut out);
            self.do_all(out);
        }
    }

    /// The network works again; until nothing happens any more.
    pub(super) fn heal(&mut self) {
        self.cut();
        self.notice(Side::A);
        self.notice(Side::B);
        while self.settle(Side::A) || self.settle(Side::B) {}
        for _ in 0..200 {
            self.connect(&[], true);
            for _ in 0..20 {
                self.arrive(Side::A, usize::MAX);
                self.arrive(Side::B, usize::MAX);
            }
            while self.settle(Side::A) || self.settle(Side::B) {}
            self.wait(Duration::from_secs(5));
            if self.records.iter().all(|record| record.told) {
                return;
            }
        }
        let open = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| !record.told);
        let open: Vec<_> = open.map(|(n, _)| n).collect();
        self.failures.push(format!("nobody hears of {open:?}"));
    }
}

fn key(side: Side, link: u64) -> (u64, bool) {
    (link, side == Side::B)
}

impl Conn {
    fn new(machine: s2s::BoxStream) -> Conn {
        Conn {
            machine,
            reader: Reader::new(Limits::default()),
            unread: VecDeque::new(),
            asking: false,
            open: true,
            granted: Vec::new(),
            hold: false,
            unsettled: VecDeque::new(),
        }
    }
}

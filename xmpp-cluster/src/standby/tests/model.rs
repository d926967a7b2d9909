//! Nodes in one thread: with a network that keeps what waits, cuts and kills, an app on each node that does with sessions what a server does, clients that
//! count, and senders that send once more what was not settled.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use xmpp_core::machine::Machine;
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::{Now, Timestamp};
use xmpp_sm::Counter;

use super::super::*;
use crate::frame::standby::{ItemId, Op};
use crate::node::Incarnation;

/// What is broken, to see whether the invariants notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// What was told counts as safe at once.
    AckEarly,
    /// A stanza that came before is taken once more.
    SkipDedupe,
    /// A standby loses one thing in thirty.
    DropDelta,
    /// And whatever comes right after a snapshot.
    DropBehindSnapshots,
    /// Nobody hears who owns what.
    DropClaims,
}

/// Which faults happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// One at a time: the next when all sessions have two copies again. Then nothing is lost and nothing comes twice.
    OneByOne,
    /// Whenever. Then all agree in the end.
    Chaos,
}

type Message = (SmPoint, u64);

enum Packet {
    Parcel(Parcel),
    Claim(SessionId, u32),
}

#[derive(Default)]
struct App {
    sessions: HashMap<SessionId, Local>,
    frozen: bool,
}

/// A session as its node has it.
#[derive(Default)]
struct Local {
    safe: u64,
    waiting: VecDeque<ItemId>,
    /// What was sent: the stanza, and the number that is to be safe before it is written.
    sent: VecDeque<(Message, u64)>,
    items: HashMap<ItemId, Message>,
    /// Whose stanzas are settled at which number.
    promises: Vec<(u64, Message)>,
    handled: u32,
    counts: Vec<(u64, u32)>,
    acked: u32,
    /// How many of those sent were written on this connection.
    written: usize,
    generation: u32,
}

struct Node {
    life: Life,
    machine: Standby,
    app: App,
    alive: bool,
    stopped: bool,
    /// Whom it holds to be up.
    view: BTreeMap<usize, Incarnation>,
}

struct Client {
    session: SessionId,
    name: Arc<str>,
    at: Option<usize>,
    got: Vec<Message>,
    /// How many of its stanzas it has been told are handled, and has sent.
    told: u32,
    sent: u32,
    /// It could not resume: what the node knows is not what it knows.
    gone: bool,
}

struct Sender {
    next: u32,
    /// What is not settled: for which client, and where it was given, in which life.
    open: BTreeMap<u32, (usize, Option<Life>)>,
}

pub(super) struct World {
    rng: Rng,
    now: Now,
    fault: Fault,
    plan: Plan,
    nodes: Vec<Node>,
    links: BTreeMap<(usize, usize), VecDeque<Packet>>,
    cut: BTreeSet<(usize, usize)>,
    clients: Vec<Client>,
    senders: Vec<Sender>,
    settled: BTreeSet<(usize, u32)>,
    /// What was stored: its client and the stanza.
    store: BTreeMap<(usize, u32), usize>,
    runs: u64,
    pub(super) faults: usize,
}

const NODES: usize = 4;
const CLIENTS: usize = 3;
const SENDERS: usize = 4;

impl World {
    pub(super) fn new(seed: u64, plan: Plan, fault: Fault) -> World {
        #[allow(clippy::disallowed_methods)] // only differences count
        let instant = Instant::now();
        let mut world = World {
            rng: Rng::with_seed(seed),
            now: Now {
                instant,
                utc: Timestamp(1_000_000),
            },
            fault,
            plan,
            nodes: Vec::new(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            clients: Vec::new(),
            senders: Vec::new(),
            settled: BTreeSet::new(),
            store: BTreeMap::new(),
            runs: 0,
            faults: 0,
        };
        for n in 0..NODES {
            let node = world.node(n);
            world.nodes.push(node);
        }
        for a in 0..NODES {
            for b in 0..NODES {
                if a != b {
                    world.see(a, b);
                }
            }
        }
        for n in 0..CLIENTS {
            let session = SessionId {
                run: 9,
                n: n as u64,
            };
            let name: Arc<str> = format!("c{n}").into();
            world.clients.push(Client {
                session,
                name: name.clone(),
                at: Some(n % NODES),
                got: Vec::new(),
                told: 0,
                sent: 0,
                gone: false,
            });
            let replica = Replica::new(session, name, Duration::from_secs(600), Bytes::new());
            let local = Local::default();
            world.nodes[n % NODES].app.sessions.insert(session, local);
            world.input(n % NODES, Input::Open(Box::new(replica)));
        }
        world.senders.extend((0..SENDERS).map(|n| Sender {
            // Its count wraps on the way.
            next: u32::MAX - 5 + n as u32,
            open: BTreeMap::new(),
        }));
        world
    }

    fn node(&mut self, n: usize) -> Node {
        self.runs += 1;
        let node: NodeId = format!("n{n}").parse().unwrap();
        Node {
            life: Life {
                node: node.clone(),
                incarnation: Incarnation(self.runs),
            },
            machine: Standby::new(node, self.runs, Limits::default()),
            app: App::default(),
            alive: true,
            stopped: false,
            view: BTreeMap::new(),
        }
    }

    fn index(node: &NodeId) -> usize {
        node.as_str()[1..].parse().unwrap()
    }

    fn runs(&self, n: usize) -> bool {
        self.nodes[n].alive && !self.nodes[n].stopped
    }

    fn joined(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b)))
    }

    // --- what happens ---

    pub(super) fn run(&mut self, steps: usize) -> Result<(), String> {
        let mut healing = 0;
        for _ in 0..steps {
            self.step()?;
            healing -= i32::from(healing > 0);
            let due = match self.plan {
                Plan::OneByOne => healing == 0 && self.is_in_sync(),
                Plan::Chaos => true,
            };
            if due && self.rng.u8(..) < 4 {
                self.break_something();
                healing = 200;
            } else if self.rng.u8(..) < 3 {
                self.mend();
            }
        }
        self.quiet()?;
        self.check()
    }

    fn step(&mut self) -> Result<(), String> {
        let node = self.rng.usize(..NODES);
        match self.rng.u8(..24) {
            0..8 => self.deliver(),
            8..11 => self.flush(node),
            11..14 => self.send(),
            14 => self.send_again(),
            15..18 => return self.write(),
            18 => return self.acknowledge(),
            19 => return self.speak(),
            20 => self.leave_or_come()?,
            21 => self.notice(),
            22 => self.unstore(),
            _ => {
                let ms = self.rng.u64(1..60);
                self.pass(ms);
            }
        }
        Ok(())
    }

    fn pass(&mut self, ms: u64) {
        self.now.instant += Duration::from_millis(ms);
        self.now.utc = self.now.utc.plus(Duration::from_millis(ms));
        for n in 0..NODES {
            let due = self.nodes[n].machine.next_timeout();
            if self.runs(n) && due.is_some_and(|at| at <= self.now.instant) {
                let mut out = Vec::new();
                let now = self.now;
                self.nodes[n].machine.handle_timeout(now, &mut out);
                self.outputs(n, out);
            }
        }
    }

    fn break_something(&mut self) {
        let n = self.rng.usize(..NODES);
        self.faults += 1;
        match self.rng.u8(..4) {
            0 | 1 if self.runs(n) => {
                self.nodes[n].alive = false;
                self.hang_up(n);
                for ((from, _), packets) in &mut self.links {
                    if *from == n {
                        // What it has sent is on its way, or is not.
                        packets.truncate(self.rng.usize(..=packets.len()));
                    }
                }
            }
            2 if self.runs(n) => self.nodes[n].stopped = true,
            3 => {
                let other = (n + self.rng.usize(1..NODES)) % NODES;
                self.cut.insert((n.min(other), n.max(other)));
            }
            _ => self.faults -= 1,
        }
    }

    /// Something that was broken works again, once everybody who could has noticed.
    fn mend(&mut self) {
        let n = self.rng.usize(..NODES);
        if !self.nodes[n].alive {
            if (0..NODES).all(|m| m == n || !self.runs(m) || !self.nodes[m].view.contains_key(&n)) {
                self.links.retain(|(a, b), _| *a != n && *b != n);
                self.nodes[n] = self.node(n);
            }
        } else if self.nodes[n].stopped {
            self.nodes[n].stopped = false;
            self.input(n, Input::HeldUp);
        } else if let Some(pair) = self.cut.iter().nth(n).copied() {
            self.cut.remove(&pair);
        }
    }

    /// Somebody notices who is there, and who is not.
    fn notice(&mut self) {
        let (a, b) = (self.rng.usize(..NODES), self.rng.usize(..NODES));
        if a == b || !self.runs(a) {
            return;
        }
        let life = &self.nodes[b].life;
        let known = self.nodes[a].view.get(&b);
        let same = known.is_none_or(|known| *known == life.incarnation);
        let there = self.runs(b) && self.joined(a, b) && same;
        match (self.nodes[a].view.contains_key(&b), there) {
            (true, false) => {
                let incarnation = self.nodes[a].view.remove(&b).unwrap();
                let waiting = self.links.entry((a, b)).or_default();
                waiting.truncate(self.rng.usize(..=waiting.len()));
                let life = Life {
                    node: self.nodes[b].life.node.clone(),
                    incarnation,
                };
                self.input(a, Input::Down(life));
            }
            (false, true) => self.see(a, b),
            _ => {}
        }
    }

    fn see(&mut self, a: usize, b: usize) {
        let life = self.nodes[b].life.clone();
        self.nodes[a].view.insert(b, life.incarnation);
        self.links.remove(&(a, b));
        self.input(a, Input::Up(life));
        let incarnation = self.nodes[a].life.incarnation;
        if self.nodes[b].view.get(&a) == Some(&incarnation) {
            let life = self.nodes[a].life.clone();
            self.input(b, Input::Reset(life));
        }
        let owned: Vec<(SessionId, u32)> = self.nodes[a]
            .machine
            .sessions()
            .map(|replica| (replica.session, replica.generation))
            .collect();
        for (session, generation) in owned {
            self.put(a, b, Packet::Claim(session, generation));
        }
    }

    fn put(&mut self, from: usize, to: usize, packet: Packet) {
        if self.nodes[from].view.contains_key(&to) {
            self.links.entry((from, to)).or_default().push_back(packet);
        }
    }

    fn deliver(&mut self) {
        let open: Vec<(usize, usize)> = self
            .links
            .iter()
            .filter(|((a, b), packets)| {
                !packets.is_empty()
                    && self.runs(*b)
                    && self.joined(*a, *b)
                    && self.nodes[*b].view.get(a) == Some(&self.nodes[*a].life.incarnation)
            })
            .map(|(pair, _)| *pair)
            .collect();
        let Some(&(a, b)) = self.rng.choice(&open) else {
            return;
        };
        let Some(packet) = self.links.get_mut(&(a, b)).and_then(VecDeque::pop_front) else {
            return;
        };
        let from = self.nodes[a].life.node.clone();
        let input = match packet {
            Packet::Parcel(parcel) => {
                // As it travels.
                let parcel = Parcel::decode(parcel.encode()).unwrap();
                Input::Parcel(from, self.damage(parcel))
            }
            Packet::Claim(..) if self.fault == Fault::DropClaims => return,
            Packet::Claim(session, generation) => Input::Claimed(from, session, generation),
        };
        self.input(b, input);
    }

    fn damage(&mut self, mut parcel: Parcel) -> Parcel {
        let Parcel::Log(log) = &mut parcel else {
            return parcel;
        };
        let mut behind = 0;
        for (_, op) in &mut log.ops {
            let drop = match self.fault {
                Fault::DropDelta => self.rng.u8(..30) == 0,
                Fault::DropBehindSnapshots => behind > 0,
                _ => false,
            };
            behind -= i32::from(behind > 0);
            match op {
                Op::Whole => behind = 3,
                Op::Begin(_) | Op::Ended => {}
                op if drop => *op = Op::Unknown,
                _ => {}
            }
        }
        parcel
    }

    fn flush(&mut self, n: usize) {
        if self.runs(n) {
            self.input(n, Input::Flush);
        }
    }

    fn input(&mut self, n: usize, input: Input) {
        let mut out = Vec::new();
        let now = self.now;
        self.nodes[n].machine.handle(input, now, &mut out);
        self.outputs(n, out);
    }

    fn outputs(&mut self, n: usize, out: Vec<Output>) {
        for output in out {
            self.output(n, output);
        }
    }

    fn output(&mut self, n: usize, output: Output) {
        match output {
            Output::Send(life, parcel) => {
                let to = World::index(&life.node);
                if self.nodes[to].life == life {
                    self.put(n, to, Packet::Parcel(parcel));
                }
            }
            Output::Safe(session, upto) => self.safe(n, session, upto),
            Output::Overdue(session, item) => self.overdue(n, session, item),
            Output::Protection(..) => {}
            Output::Raised(session, generation) => {
                if let Some(local) = self.nodes[n].app.sessions.get_mut(&session) {
                    local.generation = generation;
                }
                for to in 0..NODES {
                    self.put(n, to, Packet::Claim(session, generation));
                }
            }
            Output::TookOver(replica) | Output::Replaced(replica) => self.restore(n, *replica),
            Output::Lost(session, _) => {
                self.cut_off(n, session);
                // What is open is told when it is gone, and goes another way if this node dies before.
            }
            Output::Gone(session) => {
                if let Some(local) = self.nodes[n].app.sessions.remove(&session) {
                    for (_, message) in local.promises {
                        self.settle(&message);
                    }
                }
            }
            Output::Added(session, items) => {
                let Some(local) = self.nodes[n].app.sessions.get_mut(&session) else {
                    return;
                };
                for item in items {
                    local.items.insert(item.id, message(&item.stanza));
                    local.waiting.push_back(item.id);
                }
            }
            Output::Orphaned(..) => panic!("no session ends here"),
            Output::Freeze => self.nodes[n].app.frozen = true,
            Output::Thaw => self.nodes[n].app.frozen = false,
        }
    }

    fn restore(&mut self, n: usize, replica: Replica) {
        self.cut_off(n, replica.session);
        let locals = &mut self.nodes[n].app.sessions;
        let before = locals.remove(&replica.session).unwrap_or_default();
        let sent = replica.sent.iter().map(|item| (message(&item.stanza), 0));
        let items = replica.waiting.iter();
        let local = Local {
            safe: before.safe,
            sent: sent.collect(),
            waiting: items.clone().map(|item| item.id).collect(),
            items: items.map(|item| (item.id, message(&item.stanza))).collect(),
            promises: before.promises,
            handled: replica.handled.0,
            counts: Vec::new(),
            acked: replica.acked.0,
            written: 0,
            generation: replica.generation,
        };
        locals.insert(replica.session, local);
    }

    fn safe(&mut self, n: usize, session: SessionId, upto: u64) {
        let client = self
            .clients
            .iter()
            .position(|client| client.session == session);
        let client = client.unwrap();
        let here = self.clients[client].at == Some(n);
        let Some(local) = self.nodes[n].app.sessions.get_mut(&session) else {
            return;
        };
        local.safe = local.safe.max(upto);
        let safe = local.safe;
        let mut settled = Vec::new();
        local.promises.retain(|(told, message)| {
            let kept = *told <= safe;
            if kept {
                settled.push(message.clone());
            }
            !kept
        });
        let told = local.counts.iter().filter(|(told, _)| *told <= safe);
        let told = told.map(|(_, h)| *h).max();
        local.counts.retain(|(told, _)| *told > safe);
        if let Some(told) = told.filter(|_| here) {
            self.clients[client].told = self.clients[client].told.max(told);
        }
        for message in settled {
            self.settle(&message);
        }
    }

    fn settle(&mut self, (point, _): &Message) {
        let sender: usize = point.id[1..].parse().unwrap();
        self.senders[sender].open.remove(&point.n);
        self.settled.insert((sender, point.n));
        // If it came by the store.
        self.store.remove(&(sender, point.n));
    }

    /// It is stored, and comes back when there is time.
    fn overdue(&mut self, n: usize, session: SessionId, item: ItemId) {
        let Some(local) = self.nodes[n].app.sessions.get_mut(&session) else {
            return;
        };
        let Some(at) = local.waiting.iter().position(|waits| *waits == item) else {
            return;
        };
        local.waiting.remove(at);
        let message = local.items[&item].clone();
        local.promises.retain(|(_, other)| *other != message);
        self.tell(n, session, Op::Withdrawn(item));
        self.settle(&message);
        let client = self.clients.iter().position(|c| c.session == session);
        let sender = message.0.id[1..].parse().unwrap();
        self.store.insert((sender, message.0.n), client.unwrap());
    }

    fn unstore(&mut self) {
        let stored: Vec<_> = self
            .store
            .iter()
            .map(|(key, client)| (*key, *client))
            .collect();
        let Some(&((sender, n), client)) = self.rng.choice(&stored) else {
            return;
        };
        let session = self.clients[client].session;
        if let Some(owner) = self.owner(client, None) {
            self.push(owner, session, sender, n);
        }
    }

    fn tell(&mut self, n: usize, session: SessionId, op: Op) -> u64 {
        let mut out = Vec::new();
        let now = self.now;
        let told = self.nodes[n].machine.tell(session, op, now, &mut out);
        let told = told.expect("the app knows its sessions");
        if self.fault == Fault::AckEarly {
            out.push(Output::Safe(session, told));
        }
        self.outputs(n, out);
        told
    }

    /// Who is the owner, as those see it that can be reached from a node.
    fn owner(&self, client: usize, from: Option<usize>) -> Option<usize> {
        let session = self.clients[client].session;
        let reaches = |n: &usize| from.is_none_or(|from| from == *n || self.joined(from, *n));
        (0..NODES)
            .filter(|n| self.runs(*n) && reaches(n))
            .filter_map(|n| {
                let replica = self.nodes[n].machine.replica(session)?;
                Some((replica.generation, n))
            })
            .max()
            .map(|(_, n)| n)
    }

    // --- senders ---

    fn send(&mut self) {
        let sender = self.rng.usize(..SENDERS);
        let client = self.rng.usize(..CLIENTS);
        if self.senders[sender].open.len() >= 8 {
            return;
        }
        let n = self.senders[sender].next;
        self.senders[sender].next = n.wrapping_add(1);
        self.senders[sender].open.insert(n, (client, None));
        self.give(sender, n);
    }

    /// What was given to a node that is gone, or was never given, is given to another.
    fn send_again(&mut self) {
        let sender = self.rng.usize(..SENDERS);
        let gone = |life: &Option<Life>| match life {
            None => true,
            Some(life) => {
                let node = &self.nodes[World::index(&life.node)];
                // It is known to be down, or to have lost the session.
                !node.alive || node.life != *life || node.stopped
            }
        };
        let open = &self.senders[sender].open;
        let again: Vec<u32> = open
            .iter()
            .filter(|(_, (_, life))| gone(life))
            .map(|(n, _)| *n)
            .collect();
        for n in again {
            self.give(sender, n);
        }
    }

    fn give(&mut self, sender: usize, n: u32) {
        let (client, _) = self.senders[sender].open[&n];
        // Each sender is somewhere, and reaches what can be reached from there.
        let Some(owner) = self.owner(client, Some(sender % NODES)) else {
            return;
        };
        let life = self.nodes[owner].life.clone();
        self.senders[sender].open.insert(n, (client, Some(life)));
        let session = self.clients[client].session;
        self.push(owner, session, sender, n);
    }

    fn push(&mut self, owner: usize, session: SessionId, sender: usize, n: u32) {
        let point = SmPoint {
            id: format!("s{sender}").into(),
            n,
        };
        let mut out = Vec::new();
        let now = self.now;
        let stanza = Bytes::from(format!("{sender} {n}"));
        let machine = &mut self.nodes[owner].machine;
        let mut queued = machine.queue(
            session,
            Some(point.clone()),
            stanza.clone(),
            None,
            now,
            &mut out,
        );
        if let (Ok(Queued::Copy(_)), Fault::SkipDedupe) = (&queued, self.fault) {
            queued = machine.queue(session, None, stanza, None, now, &mut out);
        }
        let queued = queued.expect("it is the owner");
        let message = (point, u64::from(n));
        let local = self.nodes[owner].app.sessions.get_mut(&session).unwrap();
        let told = match queued {
            Queued::New(id, told) => {
                local.items.insert(id, message.clone());
                local.waiting.push_back(id);
                told
            }
            Queued::Copy(told) => told,
        };
        local.promises.push((told, message));
        if self.fault == Fault::AckEarly {
            out.push(Output::Safe(session, told));
        }
        let safe = local.safe;
        self.outputs(owner, out);
        self.safe(owner, session, safe);
    }

    // --- clients ---

    fn here(&mut self) -> Option<(usize, usize)> {
        let client = self.rng.usize(..CLIENTS);
        let n = self.clients[client].at?;
        let served = self.runs(n) && !self.nodes[n].app.frozen;
        served.then_some((client, n))
    }

    /// A session's node sends what waits, and writes what may be written.
    fn write(&mut self) -> Result<(), String> {
        let Some((client, n)) = self.here() else {
            return Ok(());
        };
        let session = self.clients[client].session;
        let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
        if let Some(item) = local.waiting.pop_front() {
            let at = self.now.utc;
            let told = self.tell(n, session, Op::Sent(item, at));
            let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
            let message = local.items.remove(&item).unwrap();
            local.sent.push_back((message, told));
        }
        let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
        while let Some((message, told)) = local.sent.get(local.written)
            && *told <= local.safe
        {
            local.written += 1;
            let client = &mut self.clients[client];
            if client.got.contains(message) && self.plan == Plan::OneByOne {
                return Err(format!("{message:?} came twice to {}", client.name));
            }
            client.got.push(message.clone());
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let Some((client, n)) = self.here() else {
            return Ok(());
        };
        let h = self.clients[client].got.len() as u32;
        self.acked(client, n, h)
    }

    fn acked(&mut self, client: usize, n: usize, h: u32) -> Result<(), String> {
        let session = self.clients[client].session;
        let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
        let had = h.checked_sub(local.acked).map(|had| had as usize);
        let Some(had) = had.filter(|had| *had <= local.sent.len()) else {
            let (acked, sent) = (local.acked, local.sent.len());
            return self.broken(
                client,
                format!("h='{h}', and {sent} were sent after {acked}"),
            );
        };
        local.acked = h;
        local.sent.drain(..had);
        local.written = local.written.saturating_sub(had);
        self.tell(n, session, Op::Acked(Counter(h)));
        Ok(())
    }

    /// A client sends something, which is settled at once.
    fn speak(&mut self) -> Result<(), String> {
        let Some((client, n)) = self.here() else {
            return Ok(());
        };
        self.clients[client].sent += 1;
        let session = self.clients[client].session;
        let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
        local.handled += 1;
        let handled = local.handled;
        let told = self.tell(n, session, Op::Handled(Counter(handled)));
        let local = self.nodes[n].app.sessions.get_mut(&session).unwrap();
        local.counts.push((told, handled));
        let safe = local.safe;
        self.safe(n, session, safe);
        Ok(())
    }

    fn leave_or_come(&mut self) -> Result<(), String> {
        let client = self.rng.usize(..CLIENTS);
        match self.clients[client].at {
            Some(n) => {
                // Nobody leaves a node that serves them but now and then.
                if !self.runs(n) || self.rng.u8(..4) == 0 {
                    self.clients[client].at = None;
                }
                Ok(())
            }
            None => self.resume(client),
        }
    }

    fn resume(&mut self, client: usize) -> Result<(), String> {
        let Some(n) = self.owner(client, None) else {
            return Ok(());
        };
        if self.nodes[n].app.frozen || self.clients[client].gone {
            return Ok(());
        }
        let name = self.clients[client].name.clone();
        let session = self.clients[client].session;
        assert_eq!(self.nodes[n].machine.arbiter(&name), Arbiter::Here(session));
        let local = &self.nodes[n].app.sessions[&session];
        let Client { told, sent, .. } = self.clients[client];
        if !(told..=sent).contains(&local.handled) {
            let handled = local.handled;
            let error = format!("resumed with h='{handled}', told {told} of {sent}");
            return self.broken(client, error);
        }
        let h = self.clients[client].got.len() as u32;
        self.acked(client, n, h)?;
        if self.clients[client].gone {
            return Ok(());
        }
        // It sends again what is not handled.
        self.clients[client].sent = self.nodes[n].app.sessions[&session].handled;
        self.clients[client].at = Some(n);
        self.nodes[n]
            .app
            .sessions
            .get_mut(&session)
            .unwrap()
            .written = 0;
        self.input(n, Input::Resumed(session));
        Ok(())
    }

    /// A client and a node disagree. When more than one node has died that can be.
    fn broken(&mut self, client: usize, error: String) -> Result<(), String> {
        match self.plan {
            Plan::OneByOne => Err(error),
            Plan::Chaos => {
                self.clients[client].gone = true;
                self.clients[client].at = None;
                Ok(())
            }
        }
    }

    /// Whether a session died with all who had it.
    fn is_dead(&self, client: usize) -> bool {
        self.plan == Plan::Chaos && self.owner(client, None).is_none()
    }

    fn cut_off(&mut self, n: usize, session: SessionId) {
        for client in &mut self.clients {
            if client.session == session && client.at == Some(n) {
                client.at = None;
            }
        }
    }

    fn hang_up(&mut self, n: usize) {
        for client in &mut self.clients {
            if client.at == Some(n) {
                client.at = None;
            }
        }
    }

    // --- the end ---

    /// Whether each session is with one node that runs and with its standby, and all see each other.
    fn is_in_sync(&self) -> bool {
        let seen = (0..NODES).all(|n| {
            self.runs(n) && !self.nodes[n].app.frozen && self.nodes[n].view.len() == NODES - 1
        });
        let of = |client: &Client| {
            let owners = self.nodes.iter().filter_map(|node| {
                let replica = node.machine.replica(client.session)?;
                Some(node.machine.protection(replica.session)?.0)
            });
            let owners: Vec<Protection> = owners.collect();
            let machines = self.nodes.iter().map(|node| &node.machine);
            let kept = machines.filter(|m| m.kept_replica(client.session).is_some());
            let dead = self.plan == Plan::Chaos && owners.is_empty();
            dead || owners == [Protection::Replicated] && kept.count() == 1
        };
        let yielding = |node: &Node| node.machine.counts().yielding > 0;
        seen && self.cut.is_empty()
            && self.clients.iter().all(of)
            && !self.nodes.iter().any(yielding)
    }

    /// Everything is mended, and all that is under way comes.
    fn quiet(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            self.mend();
            self.notice();
            self.deliver();
            self.deliver();
            let n = self.rng.usize(..NODES);
            self.flush(n);
            self.send_again();
            self.unstore();
            self.write()?;
            let client = self.rng.usize(..CLIENTS);
            if self.clients[client].at.is_none_or(|n| !self.runs(n)) {
                self.clients[client].at = None;
                self.resume(client)?;
            }
            if self.rng.u8(..8) == 0 {
                self.pass(20);
            }
            if self.is_done() {
                return Ok(());
            }
        }
        let open: Vec<_> = self
            .senders
            .iter()
            .map(|sender| sender.open.clone())
            .collect();
        let views: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                (
                    node.alive,
                    node.stopped,
                    node.app.frozen,
                    node.view.clone(),
                    node.machine.counts(),
                )
            })
            .collect();
        Err(format!(
            "it does not come to rest: open {open:?}, store {:?}, {views:#?}",
            self.store
        ))
    }

    fn is_done(&self) -> bool {
        let written = |client: &Client| {
            let at = client.at.map(|n| &self.nodes[n].app.sessions);
            let local = at.and_then(|sessions| sessions.get(&client.session));
            local.is_some_and(|local| local.waiting.is_empty() && local.written == local.sent.len())
        };
        let dead: Vec<bool> = (0..CLIENTS).map(|client| self.is_dead(client)).collect();
        let mut open = self.senders.iter().flat_map(|sender| sender.open.values());
        let mut clients = self.clients.iter().zip(&dead);
        self.is_in_sync()
            && self.links.values().all(VecDeque::is_empty)
            && self.nodes.iter().all(|node| node.machine.is_idle())
            && self.store.values().all(|client| dead[*client])
            && open.all(|(client, _)| dead[*client])
            && clients.all(|(client, dead)| *dead || client.gone || written(client))
    }

    fn check(&self) -> Result<(), String> {
        for &(sender, n) in self.settled.iter().filter(|_| self.plan == Plan::OneByOne) {
            let is = |(point, _): &&Message| *point.id == *format!("s{sender}") && point.n == n;
            let got: usize = self
                .clients
                .iter()
                .map(|c| c.got.iter().filter(is).count())
                .sum();
            if got != 1 {
                return Err(format!("({sender}, {n}) was settled and came {got} times"));
            }
        }
        // What the standby has is what the owner has.
        for node in &self.nodes {
            for replica in node.machine.sessions() {
                let (_, home) = node.machine.protection(replica.session).unwrap();
                let home = &self.nodes[World::index(home.unwrap())].machine;
                let kept = home.kept_replica(replica.session).ok_or("no replica")?;
                let view = |replica: &Replica| {
                    let Replica {
                        handled,
                        acked,
                        sent,
                        waiting,
                        until,
                        steps,
                        generation,
                        served,
                        ..
                    } = replica.clone();
                    format!(
                        "{:?}",
                        (
                            handled, acked, sent, waiting, until, steps, generation, served
                        )
                    )
                };
                if view(kept) != view(replica) {
                    return Err(format!("owner {}\nstandby {}", view(replica), view(kept)));
                }
            }
        }
        Ok(())
    }
}

fn message(stanza: &[u8]) -> Message {
    let text = std::str::from_utf8(stanza).unwrap();
    let (sender, n) = text.split_once(' ').unwrap();
    let n: u32 = n.parse().unwrap();
    let id = format!("s{sender}").into();
    (SmPoint { id, n }, u64::from(n))
}

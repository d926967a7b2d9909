//! Connections, as far as the manager sees of them, and the peers behind them.

use super::*;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) peer: usize,
    pub(super) open: bool,
    pub(super) closing: bool,
    pub(super) held: bool,
    pub(super) requested: Vec<Pair>,
    pub(super) granted: Vec<Pair>,
    pub(super) accepted: Vec<Pair>,
    pub(super) verifies: Vec<Verify>,
    /// Handed over, not written.
    pub(super) queue: VecDeque<Envelope>,
    /// Written, not acknowledged; and how many of these the peer has.
    pub(super) kept: VecDeque<Envelope>,
    pub(super) handled: usize,
    pub(super) acked: u32,
    /// Its name, if there is XEP-0198 on it.
    pub(super) session: Option<Arc<str>>,
    /// To go on with.
    pub(super) resumes: Option<Box<Session>>,
    /// It is known what it goes on with.
    pub(super) settled: bool,
    pub(super) bidi: bool,
}

impl Conn {
    pub(super) fn new(peer: usize, open: bool) -> Conn {
        Conn {
            peer,
            open,
            closing: false,
            held: false,
            requested: Vec::new(),
            granted: Vec::new(),
            accepted: Vec::new(),
            verifies: Vec::new(),
            queue: VecDeque::new(),
            kept: VecDeque::new(),
            handled: 0,
            acked: 0,
            session: None,
            resumes: None,
            settled: false,
            bidi: false,
        }
    }
}

impl World {
    pub(super) fn stream(&mut self, id: LinkId, input: stream::Input) {
        let Some(conn) = self.conns.get_mut(&id) else {
            match input {
                stream::Input::Send(_) => self
                    .wrong
                    .push(format!("{id} is gone and is handed a stanza")),
                stream::Input::S2s(s2s::Input::Session(Found::Session(_))) => {
                    self.wrong
                        .push(format!("{id} is gone and is handed a session"));
                }
                _ => {}
            }
            return;
        };
        match input {
            stream::Input::Send(envelope) => self.handed(id, envelope),
            stream::Input::Close(_) => conn.closing = true,
            stream::Input::S2s(s2s::Input::Request(pair)) => {
                conn.requested.push(pair);
            }
            stream::Input::S2s(s2s::Input::Verify(verify)) => conn.verifies.push(verify),
            stream::Input::S2s(s2s::Input::Verified(verify, _)) => {
                self.asked
                    .retain(|(by, asked)| *by != id || *asked != verify);
            }
            stream::Input::S2s(s2s::Input::Session(found)) => match id {
                LinkId::Out(_) => {
                    if let Found::Session(session) = found {
                        conn.resumes = Some(session);
                    }
                }
                LinkId::In(_) => self.found(id, found),
            },
            stream::Input::S2s(s2s::Input::Claimed(claim)) => {
                let good = conn.session.as_deref() == Some(&*claim.id)
                    && claim.is_good(&conn.accepted, true);
                match good {
                    true => self.lose(id, false),
                    false => self.give(Input::Stream(id, s2s::Output::Denied(claim))),
                }
            }
            _ => {}
        }
    }

    fn handed(&mut self, id: LinkId, envelope: Envelope) {
        if self.fault == Some(Fault::DropsOne) && self.rng.one_in(100) {
            let size = envelope.stanza.size();
            return self.give(Input::Written(id, size));
        }
        let (pair, n) = number(&envelope);
        let others = self.conns.iter().filter(|(other, _)| **other != id);
        let of = |envelope: &Envelope| number(envelope).0 == pair;
        for (other, conn) in others {
            let there = conn.queue.iter().any(of);
            let there = there
                || conn
                    .resumes
                    .as_ref()
                    .is_some_and(|s| s.queue.iter().any(|s| of(&s.envelope)));
            if there {
                self.wrong
                    .push(format!("{pair:?} {n} goes to {id}, with others at {other}"));
            }
        }
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if !conn.granted.contains(&pair) {
            self.wrong.push(format!(
                "{pair:?} {n} goes to {id}, where it is not granted"
            ));
        }
        conn.queue.push_back(envelope);
    }

    /// A connection does some of what there is for it to do.
    pub(super) fn progress(&mut self, id: LinkId) {
        let calm = self.calm;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let peer = self.peers[conn.peer].clone();
        if !conn.open {
            let why = match (conn.closing, peer.found, peer.reachable) {
                (false, true, true) => {
                    conn.open = true;
                    return self.give(Input::Connected(id));
                }
                (false, false, _) => Condition::RemoteServerNotFound,
                _ => Condition::RemoteServerTimeout,
            };
            self.conns.remove(&id);
            return self.give(Input::NotConnected(id, why));
        }
        if conn.closing {
            // What comes then comes back.
            if self.rng.one_in(2)
                && let Some(envelope) = conn.queue.pop_front()
            {
                return self.give(Input::Stream(id, s2s::Output::Unsent(envelope)));
            }
            return self.lose(id, true);
        }
        match self.rng.below(6) {
            0 => self.answer_requests(id),
            1 => self.verify(id),
            2 if !calm => {
                let conn = self.conns.get_mut(&id).unwrap();
                conn.held = !conn.held && conn.session.is_some();
                let held = conn.held;
                self.give(Input::Hold(id, held));
            }
            _ => {
                if calm {
                    self.answer_requests(id);
                    self.verify(id);
                    self.give(Input::Hold(id, false));
                }
                self.write(id);
                self.handle(id);
            }
        }
    }

    fn answer_requests(&mut self, id: LinkId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let peer = self.peers[conn.peer].clone();
        if peer.disowns && conn.granted.is_empty() && matches!(id, LinkId::Out(_)) {
            let error = crate::s2s::links::tests::last_word::error("host-unknown");
            self.give(Input::Stream(id, error));
            return self.lose(id, true);
        }
        for pair in std::mem::take(&mut conn.requested) {
            let Some(conn) = self.conns.get_mut(&id) else {
                return;
            };
            let why = if conn.granted.contains(&pair) {
                None
            } else if peer.refuses {
                Some(Refusal::Error(Condition::PolicyViolation))
            } else if matches!(id, LinkId::In(_))
                && (!conn.bidi
                    || !conn
                        .accepted
                        .iter()
                        .any(|proven| proven.from() == pair.to()))
            {
                Some(Refusal::Direction)
            } else if !peer.multiplexes && conn.granted.iter().any(|other| *other != pair) {
                Some(Refusal::Multiplexing)
            } else {
                None
            };
            match why {
                Some(why) => self.give(Input::Stream(id, s2s::Output::Refused(pair, why))),
                None => self.grant(id, pair, peer.manages),
            }
        }
    }

    /// The pair is granted; with the first it is known what the stream goes on with.
    fn grant(&mut self, id: LinkId, pair: Pair, manages: bool) {
        let conn = self.conns.get_mut(&id).unwrap();
        if !conn.granted.contains(&pair) {
            conn.granted.push(pair.clone());
        }
        let first = !std::mem::replace(&mut conn.settled, true);
        if first && let Some(mut session) = conn.resumes.take() {
            let peer = &mut self.peers[conn.peer];
            let fits = session.granted.contains(&pair) && manages;
            let handled = peer.handled.get(&session.id).copied().filter(|_| fits);
            match handled {
                Some(h) => {
                    for _ in session.acked..h {
                        session.queue.pop_front();
                    }
                    session.acked = h;
                    let conn = self.conns.get_mut(&id).unwrap();
                    conn.acked = h;
                    conn.session = Some(session.id.clone());
                    self.go_on(id, *session);
                }
                None => self.over(id, *session),
            }
        }
        let conn = self.conns.get_mut(&id).unwrap();
        if first && manages && conn.session.is_none() {
            self.enable(id);
        }
        self.give(Input::Stream(id, s2s::Output::Granted(pair)));
    }

    /// What is not acknowledged goes again, as far as its pair is granted.
    fn go_on(&mut self, id: LinkId, session: Session) {
        let name = session.id.clone();
        let mut back = Vec::new();
        let conn = self.conns.get_mut(&id).unwrap();
        for sent in session.queue {
            let pair = number(&sent.envelope).0;
            match conn.granted.contains(&pair) {
                true => conn.kept.push_back(sent.envelope),
                false => back.push(sent.envelope),
            }
        }
        conn.handled = 0;
        for envelope in back {
            self.give(Input::Stream(id, s2s::Output::Unsent(envelope)));
        }
        self.give(Input::Resumable(id, name));
    }

    /// Nobody knows how far the session came.
    fn over(&mut self, id: LinkId, session: Session) {
        for sent in session.queue {
            if self.fault != Some(Fault::DropsSession) {
                self.give(Input::Stream(id, s2s::Output::Unsent(sent.late())));
            }
        }
    }

    fn enable(&mut self, id: LinkId) {
        self.sessions += 1;
        let name: Arc<str> = format!("s{}", self.sessions).into();
        let conn = self.conns.get_mut(&id).unwrap();
        conn.session = Some(name.clone());
        conn.acked = 0;
        self.peers[conn.peer].handled.insert(name.clone(), 0);
        if matches!(id, LinkId::In(_)) {
            self.give(Input::Resumable(id, name));
        }
    }

    fn verify(&mut self, id: LinkId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        for verify in std::mem::take(&mut conn.verifies) {
            self.give(Input::Stream(
                id,
                s2s::Output::Verified(verify, Verdict::Valid),
            ));
        }
    }

    fn write(&mut self, id: LinkId) {
        let count = self.rng.below(4) + usize::from(self.calm) * 100;
        for _ in 0..count {
            let Some(conn) = self.conns.get_mut(&id) else {
                return;
            };
            if conn.held && !self.calm {
                return;
            }
            let Some(envelope) = conn.queue.pop_front() else {
                return;
            };
            let size = envelope.stanza.size();
            match conn.session {
                Some(_) => conn.kept.push_back(envelope),
                None => self.deliver(&envelope),
            }
            self.give(Input::Written(id, size));
        }
    }

    /// The peer handles some of what was written, and acknowledges.
    fn handle(&mut self, id: LinkId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Some(name) = conn.session.clone() else {
            return;
        };
        let more = conn.kept.len() - conn.handled;
        let n = if self.calm {
            more
        } else {
            self.rng.below(more + 1)
        };
        let peer = &mut self.peers[conn.peer];
        let (from, to) = (conn.handled, conn.handled + n);
        conn.handled = to;
        // A peer that has forgotten the session while it goes on remembers it again.
        peer.handled.insert(name, conn.acked + to as u32);
        let got: Vec<_> = conn.kept.range(from..to).map(number).collect();
        for one in got {
            self.arrived(one);
        }
        let conn = self.conns.get_mut(&id).unwrap();
        if self.calm || self.rng.one_in(2) {
            let handled = std::mem::take(&mut conn.handled);
            conn.kept.drain(..handled);
            conn.acked += handled as u32;
            self.give(Input::Stream(id, s2s::Output::Acked(handled as u32)));
        }
    }

    /// The connection is gone. `clean`: the stream has ended before.
    pub(super) fn lose(&mut self, id: LinkId, clean: bool) {
        let Some(mut conn) = self.conns.remove(&id) else {
            return;
        };
        if !conn.open {
            return self.give(Input::NotConnected(id, Condition::RemoteServerTimeout));
        }
        for pair in conn.requested.drain(..) {
            self.give(Input::Stream(
                id,
                s2s::Output::Refused(pair, Refusal::Timeout),
            ));
        }
        for verify in conn.verifies.drain(..) {
            self.give(Input::Stream(
                id,
                s2s::Output::Verified(verify, Verdict::Timeout),
            ));
        }
        self.asked.retain(|(by, _)| *by != id);
        if let Some(session) = conn.resumes.take() {
            self.give(Input::Stream(id, s2s::Output::Session(session)));
        }
        // What waits to be acknowledged survives, as a session, or is given up.
        if let Some(name) = conn.session.take() {
            let accepted = conn.accepted.clone();
            let queue: VecDeque<_> = conn
                .kept
                .drain(..)
                .map(|envelope| Sent {
                    envelope,
                    at: self.now.utc,
                })
                .collect();
            let session = Box::new(Session {
                id: name.clone(),
                granted: conn.granted.clone(),
                accepted,
                encrypted: true,
                max: Duration::from_secs(20),
                handled: 0,
                acked: conn.acked,
                queue,
            });
            if clean && session.queue.is_empty() {
                let (_, ended) = session.end();
                if matches!(id, LinkId::In(_)) {
                    self.give(Input::Stream(id, s2s::Output::Ended(ended)));
                }
            } else {
                if matches!(id, LinkId::In(_)) {
                    self.peers[conn.peer].lost.push(name);
                }
                self.give(Input::Stream(id, s2s::Output::Session(session)));
            }
        }
        let mut returned: Vec<_> = conn.queue.into_iter().collect();
        if self.fault == Some(Fault::ForgetsReturned) {
            returned.clear();
        }
        if self.fault == Some(Fault::ReturnsBackwards) {
            returned.reverse();
        }
        self.give(Input::Ended(
            id,
            Ended {
                error: None,
                lost: false,
                returned,
            },
        ));
    }

    /// A peer opens a connection, for one direction or for both; it may go on with a session that it had.
    pub(super) fn incoming(&mut self) {
        let at = self.rng.below(self.peers.len());
        self.accepted += 1;
        let id = LinkId::In(self.accepted);
        let mut conn = Conn::new(at, true);
        conn.bidi = !self.rng.one_in(3);
        let bidi = conn.bidi;
        self.conns.insert(id, conn);
        self.give(Input::Accepted(id));
        let pair = Pair::new(&domain(THEIRS[at]), &domain(OURS[self.rng.below(2)]));
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.closing {
            return;
        }
        conn.accepted.push(pair.clone());
        self.give(Input::Stream(id, s2s::Output::Accepted(pair.clone())));
        if !bidi {
            return;
        }
        let lost = self.peers[at].lost.pop();
        match lost.filter(|_| !self.rng.one_in(3)) {
            Some(name) => {
                let conn = self.conns.get_mut(&id).unwrap();
                let claim = Claim {
                    id: name.to_string(),
                    accepted: conn.accepted.clone(),
                    encrypted: true,
                };
                conn.granted.push(pair.inverse());
                self.give(Input::Stream(id, s2s::Output::Ask(Ask::Session(claim))));
            }
            None => {
                let manages = self.peers[at].manages;
                self.grant(id, pair.inverse(), manages);
            }
        }
    }

    /// The answer to a claim.
    fn found(&mut self, id: LinkId, found: Found) {
        let conn = self.conns.get_mut(&id).unwrap();
        conn.settled = true;
        match found {
            Found::Session(mut session) => {
                let peer = &mut self.peers[conn.peer];
                let handled = peer.handled.get(&session.id).copied();
                match handled {
                    Some(h) => {
                        for _ in session.acked..h {
                            session.queue.pop_front();
                        }
                        conn.acked = h;
                        session.acked = h;
                        conn.session = Some(session.id.clone());
                        self.go_on(id, *session);
                    }
                    None => {
                        self.over(id, *session);
                        self.enable(id);
                    }
                }
            }
            Found::Ended(_) | Found::Unknown => {
                if self.peers[conn.peer].manages {
                    self.enable(id);
                }
            }
        }
        let granted = self.conns[&id].granted.clone();
        for pair in granted {
            self.give(Input::Stream(id, s2s::Output::Granted(pair)));
        }
    }
}

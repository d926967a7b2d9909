//! The sessions that other servers may go on with: which connection has one, which wait for one, and which are over.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::{Claim, Ended, Found, Input, Pair, Session};
use crate::BareJid;
use crate::mailbox::{Budget, Envelope};
use crate::time::Now;

/// Bounds of [`Sessions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLimits {
    /// Sessions that wait for a connection; default 2000. With one more, the one that would end first ends.
    pub waiting: usize,
    /// Sessions that are over and whose count is remembered; default 2000. With one more, the oldest is forgotten.
    pub ended: usize,
    /// Of each of these, as many for one remote domain; default 20.
    pub domain: usize,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            waiting: 2000,
            ended: 2000,
            domain: 20,
        }
    }
}

/// The sessions that others have with us, by name. `L` is what connections are known by.
///
/// Whoever may go on with a session takes it from the connection that has it; of several at once each takes it from the one before. Who may
/// not learns nothing, and changes nothing.
#[derive(Debug)]
pub struct Sessions<L> {
    limits: SessionLimits,
    /// What waits in those that wait is taken from it.
    budget: Arc<Budget>,
    places: HashMap<Arc<str>, Place<L>>,
    /// Those that wait, by the time at which they end.
    until: BTreeSet<(Instant, Arc<str>)>,
    /// Those that are over, oldest first.
    ended: VecDeque<Arc<str>>,
}

/// What is to be done for a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Do<L> {
    /// This is for the stream of the connection. A session that does not reach it has to come back:
    /// [`Sessions::keep`].
    Tell(L, Input),
    /// A session is over. It has sent this, and nobody knows whether it arrived: it goes the way of what waits for its pair.
    Late(Envelope),
    /// The session of this name, which has waited, is over, and its stanzas are out: these are the pairs that it could send. They may go
    /// another way now.
    Over(Arc<str>, Vec<Pair>),
}

#[derive(Debug)]
enum Place<L> {
    /// A connection has it, and others want it.
    Running(L, VecDeque<(L, Claim)>),
    /// It waits until then.
    Waiting(Box<Session>, Instant),
    Ended(Ended),
}

impl<L: Copy + Eq> Sessions<L> {
    /// None yet. What waits in sessions that wait for a connection is taken from `budget`.
    pub fn new(limits: SessionLimits, budget: Arc<Budget>) -> Sessions<L> {
        Sessions {
            limits,
            budget,
            places: HashMap::new(),
            until: BTreeSet::new(),
            ended: VecDeque::new(),
        }
    }

    /// The connection has the session of that name ([`Output::Resumable`](crate::stream::Output::Resumable)).
    pub fn running(&mut self, on: L, id: Arc<str>, out: &mut Vec<Do<L>>) {
        let claims = match self.take(&id) {
            Some(Place::Running(_, claims)) => claims,
            _ => VecDeque::new(),
        };
        let next = claims.front().map(|(_, claim)| claim.clone());
        self.places.insert(id, Place::Running(on, claims));
        out.extend(next.map(|claim| Do::Tell(on, Input::Claimed(claim))));
    }

    /// The connection asks for a session ([`Ask::Session`](super::Ask::Session)). The answer comes out, now or later.
    pub fn claim(&mut self, by: L, claim: Claim, out: &mut Vec<Do<L>>) {
        let found = match self.places.get_mut(&*claim.id) {
            Some(Place::Running(on, claims)) => {
                claims.push_back((by, claim.clone()));
                if claims.len() == 1 {
                    out.push(Do::Tell(*on, Input::Claimed(claim)));
                }
                return;
            }
            Some(Place::Waiting(session, _)) if session.is_open_to(&claim) => {
                let id = session.id.clone();
                match self.take(&id) {
                    Some(Place::Waiting(session, _)) => {
                        self.places.insert(id, Place::Running(by, VecDeque::new()));
                        Found::Session(session)
                    }
                    _ => Found::Unknown,
                }
            }
            Some(Place::Ended(ended)) if ended.is_open_to(&claim) => Found::Ended(ended.handled),
            _ => Found::Unknown,
        };
        out.push(Do::Tell(by, Input::Session(found)));
    }

    /// The claim is not good ([`Output::Denied`](super::Output::Denied)).
    pub fn denied(&mut self, on: L, claim: &Claim, out: &mut Vec<Do<L>>) {
        let Some(Place::Running(_, claims)) = self.places.get_mut(&*claim.id) else {
            return;
        };
        if claims.front().is_some_and(|(_, first)| first == claim)
            && let Some((by, _)) = claims.pop_front()
        {
            out.push(Do::Tell(by, Input::Session(Found::Unknown)));
            let next = claims.front().map(|(_, claim)| claim.clone());
            out.extend(next.map(|claim| Do::Tell(on, Input::Claimed(claim))));
        }
    }

    /// The session has come out of its connection ([`Output::Session`](super::Output::Session)): it goes to whoever wants it,
    /// or waits.
    pub fn keep(&mut self, session: Box<Session>, now: Now, out: &mut Vec<Do<L>>) {
        let id = session.id.clone();
        let mut claims = match self.take(&id) {
            Some(Place::Running(_, claims)) => claims,
            _ => VecDeque::new(),
        };
        while let Some((by, claim)) = claims.pop_front() {
            if session.is_open_to(&claim) {
                self.places.insert(id, Place::Running(by, claims));
                let found = Input::Session(Found::Session(session));
                return out.push(Do::Tell(by, found));
            }
            out.push(Do::Tell(by, Input::Session(Found::Unknown)));
        }
        let until = now.instant + session.max;
        self.make_room(domain(&session.accepted), out);
        self.budget.take_anyway(session.bytes());
        self.until.insert((until, id.clone()));
        self.places.insert(id, Place::Waiting(session, until));
    }

    /// A session is over ([`Output::Ended`](super::Output::Ended)): its count is remembered.
    pub fn ended(&mut self, ended: Ended, out: &mut Vec<Do<L>>) {
        let id = ended.id.clone();
        if let Some(Place::Running(_, claims)) = self.take(&id) {
            for (by, claim) in claims {
                let found = match ended.is_open_to(&claim) {
                    true => Found::Ended(ended.handled),
                    false => Found::Unknown,
                };
                out.push(Do::Tell(by, Input::Session(found)));
            }
        }
        let domain = domain(&ended.accepted).cloned();
        let same = |places: &HashMap<Arc<str>, Place<L>>, id: &Arc<str>| match places.get(id) {
            Some(Place::Ended(ended)) => self::domain(&ended.accepted) == domain.as_ref(),
            _ => false,
        };
        let mut ours = self.ended.iter().enumerate();
        let mut ours = ours.by_ref().filter(|(_, id)| same(&self.places, id));
        let oldest = ours.next().map(|(at, _)| at);
        let count = ours.count() + usize::from(oldest.is_some());
        let forgotten = match oldest {
            Some(at) if count >= self.limits.domain => self.ended.remove(at),
            _ if self.ended.len() >= self.limits.ended => self.ended.pop_front(),
            _ => None,
        };
        if let Some(forgotten) = forgotten {
            self.places.remove(&forgotten);
        }
        self.ended.push_back(id.clone());
        self.places.insert(id, Place::Ended(ended));
    }

    /// The connection is gone. What it had has come out before.
    pub fn gone(&mut self, link: L, out: &mut Vec<Do<L>>) {
        self.places.retain(|_, place| match place {
            Place::Running(on, claims) if *on == link => {
                let unknown = |(by, _)| Do::Tell(by, Input::Session(Found::Unknown));
                out.extend(claims.drain(..).filter(|(by, _)| *by != link).map(unknown));
                false
            }
            Place::Running(_, claims) => {
                // The first one stays: if the session comes out for it, it comes back.
                let mut first = true;
                claims.retain(|(by, _)| std::mem::take(&mut first) || *by != link);
                true
            }
            Place::Waiting(..) | Place::Ended(_) => true,
        });
    }

    /// The peer has gone on without the session of that name: if it waits, it is over.
    pub fn give_up(&mut self, id: &Arc<str>, out: &mut Vec<Do<L>>) {
        self.end(id, out);
    }

    /// Whether the session of that name waits for a connection.
    pub fn is_waiting(&self, id: &str) -> bool {
        matches!(self.places.get(id), Some(Place::Waiting(..)))
    }

    /// All that wait are over.
    pub fn close(&mut self, out: &mut Vec<Do<L>>) {
        while let Some((_, id)) = self.until.first().cloned() {
            self.end(&id, out);
        }
    }

    /// Whether a session waits that could send this pair: there should be no other way for it meanwhile.
    pub fn waits_for(&self, pair: &Pair) -> bool {
        self.waiting().any(|session| session.granted.contains(pair))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Those that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Session> {
        self.places.values().filter_map(|place| match place {
            Place::Waiting(session, _) => Some(&**session),
            _ => None,
        })
    }

    /// Ends what has waited for too long.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Vec<Do<L>>) {
        while let Some((until, id)) = self.until.first().cloned() {
            if until > now.instant {
                return;
            }
            self.end(&id, out);
        }
    }

    /// When to call [`handle_timeout`](Sessions::handle_timeout) at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.until.first().map(|(until, _)| *until)
    }

    /// A session that waits is over.
    fn end(&mut self, id: &Arc<str>, out: &mut Vec<Do<L>>) {
        if self.is_waiting(id)
            && let Some(Place::Waiting(session, _)) = self.take(id)
        {
            let granted = session.granted.clone();
            let (late, ended) = session.end();
            out.extend(late.map(Do::Late));
            out.push(Do::Over(id.clone(), granted));
            self.ended(ended, out);
        }
    }

    /// There is to be one more that waits.
    fn make_room(&mut self, domain: Option<&BareJid>, out: &mut Vec<Do<L>>) {
        let of = |id: &Arc<str>| match self.places.get(id) {
            Some(Place::Waiting(session, _)) => self::domain(&session.accepted) == domain,
            _ => false,
        };
        let mut ours = self.until.iter().filter(|(_, id)| of(id));
        let first = ours.next().map(|(_, id)| id.clone());
        let count = ours.count() + usize::from(first.is_some());
        let over = match first {
            Some(first) if count >= self.limits.domain => Some(first),
            _ if self.until.len() >= self.limits.waiting => {
                self.until.first().map(|(_, id)| id.clone())
            }
            _ => None,
        };
        if let Some(over) = over {
            self.end(&over, out);
        }
    }

    fn take(&mut self, id: &Arc<str>) -> Option<Place<L>> {
        let place = self.places.remove(id)?;
        match &place {
            Place::Waiting(session, until) => {
                self.budget.give(session.bytes());
                self.until.remove(&(*until, id.clone()));
            }
            Place::Ended(_) => self.ended.retain(|ended| ended != id),
            Place::Running(..) => {}
        }
        Some(place)
    }
}

/// Whose session it is.
fn domain(accepted: &[Pair]) -> Option<&BareJid> {
    accepted.first().map(Pair::from)
}

#[cfg(test)]
mod tests;

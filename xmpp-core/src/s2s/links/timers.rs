//! What happens because time has passed, and what is remembered until then.

use std::sync::Arc;
use std::time::Duration;

use super::line::{Domain, Line};
use super::{Links, Output};
use crate::BareJid;
use crate::s2s::Pair;
use crate::stanza::Condition;
use crate::time::Now;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// What waits for a pair goes back, or the pair may be requested again.
    Line(Pair),
    /// A domain may be tried again.
    Domain(BareJid),
    /// A session that we have with another server has waited for long enough.
    Held(Arc<str>),
}

impl Links {
    pub(super) fn expire(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now.instant
            && let Some((_, timer)) = self.timers.pop_first()
        {
            match timer {
                Timer::Line(pair) => self.line_due(&pair, now, out),
                Timer::Domain(domain) => self.domain_due(&domain, now, out),
                Timer::Held(id) => self.end_held(&id, Condition::RemoteServerTimeout, out),
            }
        }
        while let Some((at, _)) = self.remembered.first()
            && *at <= now.instant
            && let Some((_, domain)) = self.remembered.pop_first()
        {
            self.forget(&domain);
        }
        self.expire_verifications(now, out);
        self.with_sessions(now, out, |sessions, todo| {
            sessions.handle_timeout(now, todo)
        });
    }

    fn line_due(&mut self, pair: &Pair, now: Now, out: &mut Vec<Output>) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        line.timer = None;
        line.pause.is_over(now.instant);
        if line.until.is_some_and(|until| until <= now.instant) && !line.queue.is_empty() {
            let why = line.why.unwrap_or(Condition::RemoteServerTimeout);
            return self.bounce(pair, why, out);
        }
        self.seek(pair, now, out);
        self.look(pair, out);
    }

    /// A domain may be tried again.
    pub(super) fn domain_due(&mut self, jid: &BareJid, now: Now, out: &mut Vec<Output>) {
        let Some(domain) = self.domains.get_mut(jid) else {
            return;
        };
        domain.timer = None;
        domain.pause.is_over(now.instant);
        let lines = domain.lines.clone();
        self.revive_all(jid, now, out);
        self.seek_verifications(jid, now, out);
        for pair in lines {
            self.seek(&pair, now, out);
            self.look(&pair, out);
        }
        self.tidy(jid);
    }

    /// Sets the pair's timer to what is due first.
    pub(super) fn arm(&mut self, pair: &Pair) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        let due = line.due();
        if due == line.timer {
            return;
        }
        if let Some(at) = std::mem::replace(&mut line.timer, due) {
            self.timers.remove(&(at, Timer::Line(pair.clone())));
        }
        if let Some(at) = due {
            self.timers.insert((at, Timer::Line(pair.clone())));
        }
    }

    /// Another failure of the domain.
    pub(super) fn failed(&mut self, jid: &BareJid, why: Condition, now: Now) {
        if let Some(domain) = self.domains.get_mut(jid) {
            let (backoff, random) = (&self.limits.backoff, &*self.random);
            domain.pause.fail(why, backoff, random, now.instant);
            self.arm_domain(jid);
        }
    }

    /// Sets the domain's timer to the end of its pause.
    pub(super) fn arm_domain(&mut self, jid: &BareJid) {
        let Some(domain) = self.domains.get_mut(jid) else {
            return;
        };
        let due = domain.pause.until();
        if due == domain.timer {
            return;
        }
        if let Some(at) = std::mem::replace(&mut domain.timer, due) {
            self.timers.remove(&(at, Timer::Domain(jid.clone())));
        }
        if let Some(at) = due {
            self.timers.insert((at, Timer::Domain(jid.clone())));
        }
    }

    /// The pair, from now on if it is new.
    pub(super) fn line(&mut self, pair: &Pair) -> &mut Line {
        if !self.lines.contains_key(pair) {
            self.domain(pair.to()).lines.push(pair.clone());
        }
        self.lines.entry(pair.clone()).or_default()
    }

    /// How long what is for a domain waits until a pair is granted.
    pub(super) fn connect(&self, to: &BareJid) -> Duration {
        self.patient(self.limits.connect, to)
    }

    /// So long, or longer for a domain for which it is waited longer.
    pub(super) fn patient(&self, time: Duration, domain: &BareJid) -> Duration {
        let patience = self.patience.get(domain).copied().unwrap_or(1);
        time.saturating_mul(patience.max(1))
    }

    /// The domain, from now on if it is new; it is not only remembered any more.
    pub(super) fn domain(&mut self, jid: &BareJid) -> &mut Domain {
        let domain = self.domains.entry(jid.clone()).or_default();
        if let Some(at) = domain.remembered.take() {
            self.remembered.remove(&(at, jid.clone()));
        }
        domain
    }

    /// A domain of which there is nothing is forgotten, though not at once if it has failed.
    pub(super) fn tidy(&mut self, jid: &BareJid) {
        let Some(domain) = self.domains.get_mut(jid) else {
            return;
        };
        if !domain.lines.is_empty() || !domain.links.is_empty() || domain.remembered.is_some() {
            return;
        }
        match domain.pause.until() {
            Some(until) => {
                let at = until + self.limits.backoff.max;
                domain.remembered = Some(at);
                self.remembered.insert((at, jid.clone()));
            }
            None => {
                self.domains.remove(jid);
            }
        }
    }

    /// Whether there may be a domain more; perhaps one that is only remembered makes room.
    pub(super) fn has_room_for_domain(&self) -> bool {
        self.domains.len() < self.limits.domains || !self.remembered.is_empty()
    }

    /// Forgets what is only remembered, if there is too much.
    pub(super) fn make_room_for_domain(&mut self) {
        while self.domains.len() > self.limits.domains
            && let Some((_, jid)) = self.remembered.pop_first()
        {
            self.forget(&jid);
        }
    }

    fn forget(&mut self, jid: &BareJid) {
        if let Some(domain) = self.domains.remove(jid)
            && let Some(at) = domain.timer
        {
            self.timers.remove(&(at, Timer::Domain(jid.clone())));
        }
    }
}

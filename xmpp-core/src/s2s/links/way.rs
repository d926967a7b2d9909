//! A way for a pair: a link that carries it, one that can be asked to, or a new one.

use super::line::Way;
use super::table::{Link, Slot};
use super::{LinkEvent, LinkId, Links, Output};
use crate::s2s::{self, Pair, Refusal};
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

impl Links {
    /// Finds a way for a pair that has none and for which something waits.
    pub(super) fn seek(&mut self, pair: &Pair, now: Now, out: &mut Vec<Output>) {
        let (Some(line), Some(domain)) =
            (self.lines.get_mut(pair), self.domains.get_mut(pair.to()))
        else {
            return;
        };
        if line.way != Way::None || line.queue.is_empty() || self.closed {
            return;
        }
        let links = &self.links;
        let find = |fits: &dyn Fn(&Link) -> bool| {
            let mut slots = domain.links.iter().copied();
            slots.find(|slot| links.get(*slot).is_some_and(fits))
        };
        if let Some(slot) = find(&|link| link.carries(pair)) {
            return self.up(pair, slot, now, out);
        }
        if !line.pause.is_over(now.instant) {
            let (until, why) = (line.pause.until(), line.pause.why());
            return self.put_off(pair, until, why, out);
        }
        if let Some(slot) = find(&|link| link.may_carry(pair)) {
            return self.ask(pair, slot, out);
        }
        if !domain.pause.is_over(now.instant) {
            let (until, why) = (domain.pause.until(), domain.pause.why());
            return self.put_off(pair, until, why, out);
        }
        let dialled = |slot: &&Slot| self.links.get(**slot).is_some_and(|l| l.dialled.is_some());
        let to_domain = domain.links.iter().filter(dialled).count();
        if self.links.outgoing < self.limits.outgoing && to_domain < self.limits.outgoing_domain {
            let slot = self.dial(pair, out);
            return self.ask(pair, slot, out);
        }
        line.why = Some(Condition::ResourceConstraint);
        if !std::mem::replace(&mut line.short, true) {
            self.short.push_back(pair.clone());
            if self.links.outgoing >= self.limits.outgoing {
                self.make_way(now, out);
            }
        }
    }

    /// Has the connection closed that was of use longest ago, if that is longer than any answer takes.
    pub(super) fn make_way(&mut self, now: Now, out: &mut Vec<Output>) {
        let patience = self.limits.stable.max(self.limits.verify);
        let links = self.links.iter_mut();
        let idle = links.filter(|link| link.dialled.is_some() && link.is_idle());
        let oldest = idle.filter_map(|link| Some((link.used?, link.id))).min();
        if let Some((used, id)) = oldest
            && used + patience <= now.instant
        {
            self.end(id, None, out);
        }
    }

    /// It has to wait until then, if it can.
    fn put_off(
        &mut self,
        pair: &Pair,
        until: Option<std::time::Instant>,
        why: Condition,
        out: &mut Vec<Output>,
    ) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        match line
            .until
            .is_some_and(|end| until.is_some_and(|until| end <= until))
        {
            true => self.bounce(pair, why, out),
            false => line.why = Some(why),
        }
    }

    /// Requests the pair.
    pub(super) fn ask(&mut self, pair: &Pair, slot: Slot, out: &mut Vec<Output>) {
        let (Some(line), Some(link)) = (self.lines.get_mut(pair), self.links.get_mut(slot)) else {
            return;
        };
        line.way = Way::Asked(slot);
        line.why = None;
        link.lines.push(pair.clone());
        if link.open {
            out.push(request(link.id, pair.clone()));
        }
    }

    /// Has a connection opened.
    pub(super) fn dial(&mut self, pair: &Pair, out: &mut Vec<Output>) -> Slot {
        self.dials += 1;
        let id = LinkId::Out(self.dials);
        let slot = self.links.insert(Link::new(id, Some(pair.clone())));
        self.domain(pair.to()).links.push(slot);
        out.push(Output::Dial(id, pair.clone()));
        slot
    }

    /// There may be a connection more than before.
    pub(super) fn serve_short(&mut self, now: Now, out: &mut Vec<Output>) {
        for _ in 0..self.short.len() {
            if self.links.outgoing >= self.limits.outgoing {
                return;
            }
            let Some(pair) = self.short.pop_front() else {
                return;
            };
            if let Some(line) = self.lines.get_mut(&pair) {
                line.short = false;
            }
            self.seek(&pair, now, out);
            self.look(&pair, out);
        }
    }

    /// The pair's stanzas go over this link from now on.
    pub(super) fn up(&mut self, pair: &Pair, slot: Slot, now: Now, out: &mut Vec<Output>) {
        self.leave(pair);
        let (Some(line), Some(link)) = (self.lines.get_mut(pair), self.links.get_mut(slot)) else {
            return;
        };
        line.way = Way::Up(slot);
        // What comes back from now on is older than all that waits.
        line.older = 0;
        line.why = None;
        line.pause.forget();
        link.lines.push(pair.clone());
        out.push(Output::Event(LinkEvent::Up {
            link: link.id,
            pair: pair.clone(),
            resumed: link.resumed,
        }));
        self.flush(pair, now, out);
    }

    /// The pair has no way any more.
    pub(super) fn leave(&mut self, pair: &Pair) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        if let Way::Asked(slot) | Way::Up(slot) = std::mem::take(&mut line.way)
            && let Some(link) = self.links.get_mut(slot)
        {
            link.lines.retain(|other| other != pair);
        }
    }

    /// The peer lets us send the pair over this link.
    pub(super) fn granted(&mut self, id: LinkId, pair: Pair, now: Now, out: &mut Vec<Output>) {
        let Some(slot) = self.links.slot(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        link.since.get_or_insert(now.instant);
        if !link.granted.contains(&pair) {
            link.granted.push(pair.clone());
        }
        let closing = link.closing;
        let domain = self.domain(pair.to());
        domain.pause.end();
        if !domain.links.contains(&slot) {
            domain.links.push(slot);
        }
        self.arm_domain(pair.to());
        if closing {
            return;
        }
        self.resolve(id, now, out);
        let way = self.lines.get(&pair).map(|line| line.way);
        match way {
            // Something of it waits elsewhere.
            Some(Way::Asked(_)) if self.is_pending(&pair) => {}
            Some(Way::None | Way::Asked(_)) => self.up(&pair, slot, now, out),
            // The peer has gone on without the session that it had with us.
            Some(Way::Held) if matches!(id, LinkId::In(_)) => {
                let line = self.lines.get(&pair);
                if let Some(name) = line.and_then(|line| line.holder.clone()) {
                    self.with_sessions(now, out, |sessions, todo| sessions.give_up(&name, todo));
                }
            }
            Some(Way::Held | Way::Up(_)) | None => {}
        }
        // It can be reached again, and nobody waits any more to try.
        self.revive_all(pair.to(), now, out);
        // Others to this domain can be asked for now (XEP-0288).
        let lines = self.domain(pair.to()).lines.clone();
        for other in lines {
            self.seek(&other, now, out);
            self.look(&other, out);
        }
    }

    /// The pair cannot be sent over this link.
    pub(super) fn refused(
        &mut self,
        id: LinkId,
        pair: &Pair,
        why: Refusal,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(slot) = self.links.slot(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        let line = self.lines.get_mut(pair);
        let Some(line) = line.filter(|line| line.way == Way::Asked(slot)) else {
            // It was asked for only to resume a session.
            return self.end_in_vain(slot, out);
        };
        // Another connection may be able to.
        let elsewhere = match why {
            Refusal::Multiplexing | Refusal::Full | Refusal::Direction => true,
            // EXTERNAL proves the pair for which the stream was opened, and no other.
            Refusal::NoMethod => link.dialled.as_ref() != Some(pair),
            _ => false,
        };
        link.full |= elsewhere;
        let last_word = link.last_word(pair);
        let condition = last_word.unwrap_or_else(|| why.condition());
        if !elsewhere {
            let (backoff, random) = (&self.limits.backoff, &*self.random);
            line.pause.fail(condition, backoff, random, now.instant);
        }
        let holder = link.session.clone();
        let holder = holder.filter(|_| link.pending.contains(pair));
        self.leave(pair);
        if let Some(name) = holder {
            self.hold_line(pair, &name);
        }
        match why {
            // It may be the connection that has failed.
            Refusal::Timeout if last_word.is_none() => {}
            _ if elsewhere => {}
            _ => self.bounce(pair, condition, out),
        }
        self.seek(pair, now, out);
        self.look(pair, out);
        self.end_in_vain(slot, out);
    }

    /// Ends a connection that was opened for a session, if no pair is left that it could be resumed with.
    fn end_in_vain(&mut self, slot: Slot, out: &mut Vec<Output>) {
        if let Some(link) = self.links.get(slot)
            && link.dialled.is_some()
            && link.session.is_some()
            && !link.resumed
            && link.lines.is_empty()
            && link.granted.is_empty()
        {
            self.end(link.id, None, out);
        }
    }
}

pub(super) fn request(link: LinkId, pair: Pair) -> Output {
    Output::Stream(link, stream::Input::S2s(s2s::Input::Request(pair)))
}

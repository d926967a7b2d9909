//! What is to be sent: to a link that has room, or into the queue of its pair, and out of it again.

use super::line::{Depth, Ends, Line, Way};
use super::{LinkEvent, LinkId, Links, Output};
use crate::BareJid;
use crate::mailbox::Envelope;
use crate::s2s::Pair;
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

impl Links {
    /// A stanza for another domain.
    pub(super) fn send(&mut self, envelope: Envelope, now: Now, out: &mut Vec<Output>) {
        let Some(ends) = ends(&envelope) else {
            return out.push(Output::Return(envelope, Condition::BadRequest));
        };
        if let Some(line) = self.lines.get(&ends as &dyn Ends)
            && let Way::Up(slot) = line.way
            && line.queue.is_empty()
            && let Some(link) = self.links.get_mut(slot)
        {
            let bytes = envelope.stanza.size();
            if link.has_room(bytes, self.limits.window) && self.budget.take(bytes) {
                if envelope.read() {
                    link.flying += bytes;
                    link.used = Some(now.instant);
                    out.push(hand_over(link.id, envelope));
                } else {
                    self.budget.give(bytes);
                }
                return;
            }
        }
        self.wait(envelope, now, out);
    }

    /// It has to wait.
    fn wait(&mut self, envelope: Envelope, now: Now, out: &mut Vec<Output>) {
        if self.closed {
            return self.give_back(envelope, Condition::RemoteServerTimeout, out);
        }
        let Some(pair) = self.pair(&envelope) else {
            return;
        };
        let bytes = envelope.stanza.size();
        let line = self.lines.get(&pair);
        let domain = self.domains.get(pair.to());
        let has_room = line.is_none_or(|line| line.depth.has_room(bytes, &self.limits.pair))
            && domain.is_none_or(|domain| domain.depth.has_room(bytes, &self.limits.domain))
            && self.depth.has_room(bytes, &self.limits.total)
            && (line.is_some() || self.lines.len() < self.limits.pairs)
            && (domain.is_some() || self.has_room_for_domain())
            && self.budget.take(bytes);
        if !has_room {
            // RFC 6120 §8.3.3.18: not now; its type is `wait`.
            return self.give_back(envelope, Condition::ResourceConstraint, out);
        }
        self.enqueue(envelope, pair, now, out);
    }

    /// It waited in an earlier run.
    pub(super) fn send_again(&mut self, envelope: Envelope, now: Now, out: &mut Vec<Output>) {
        let Some(pair) = self.pair(&envelope) else {
            return out.push(Output::Return(envelope, Condition::BadRequest));
        };
        if self.closed {
            return self.give_back(envelope, Condition::RemoteServerTimeout, out);
        }
        self.budget.take_anyway(envelope.stanza.size());
        self.enqueue(envelope, pair, now, out);
    }

    /// There is room for it.
    fn enqueue(&mut self, envelope: Envelope, pair: Pair, now: Now, out: &mut Vec<Output>) {
        let bytes = envelope.stanza.size();
        let until = now.instant + self.connect(pair.to());
        self.line(&pair);
        self.make_room_for_domain();
        let line = self.line(&pair);
        let first = line.queue.is_empty();
        if first {
            line.until = (line.way != Way::Held).then_some(until);
        }
        line.queue.push_back(envelope);
        let way = line.way;
        self.add(&pair, bytes);
        match way {
            Way::None if first => self.seek(&pair, now, out),
            Way::Held if first => self.revive(&pair, now, out),
            Way::Up(_) if first => self.flush(&pair, now, out),
            _ => {}
        }
        self.look(&pair, out);
    }

    /// What was handed to a link comes back: it is before all that waits, but for what has come back before it.
    pub(super) fn put_back(&mut self, envelope: Envelope, now: Now, out: &mut Vec<Output>) {
        if self.closed {
            return self.give_back(envelope, Condition::RemoteServerTimeout, out);
        }
        let Some(pair) = self.pair(&envelope) else {
            return;
        };
        let bytes = envelope.stanza.size();
        self.budget.take_anyway(bytes);
        let until = now.instant + self.connect(pair.to());
        let line = self.line(&pair);
        if line.queue.is_empty() {
            line.until = (line.way != Way::Held).then_some(until);
        }
        line.queue
            .insert(line.older.min(line.queue.len()), envelope);
        line.older += 1;
        self.add(&pair, bytes);
    }

    /// Hands over as much as there is room for.
    pub(super) fn flush(&mut self, pair: &Pair, now: Now, out: &mut Vec<Output>) {
        let until = now.instant + self.connect(pair.to());
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        let Way::Up(slot) = line.way else { return };
        let (Some(link), Some(domain)) =
            (self.links.get_mut(slot), self.domains.get_mut(pair.to()))
        else {
            return;
        };
        let mut moved = false;
        while let Some(first) = line.queue.front() {
            let bytes = first.stanza.size();
            if !link.has_room(bytes, self.limits.window) {
                break;
            }
            let Some(envelope) = line.queue.pop_front() else {
                break;
            };
            moved = true;
            for depth in [&mut line.depth, &mut domain.depth, &mut self.depth] {
                depth.take(bytes);
            }
            if envelope.read() {
                link.flying += bytes;
                link.used = Some(now.instant);
                out.push(hand_over(link.id, envelope));
            } else {
                self.budget.give(bytes);
            }
        }
        if line.queue.is_empty() {
            // What a burst has needed is not kept for ever.
            line.queue = Default::default();
        } else {
            if moved || line.until.is_none() {
                line.until = Some(until);
            }
            if !line.stalled {
                line.stalled = true;
                link.stalled.push_back(pair.clone());
            }
        }
        self.look(pair, out);
    }

    /// So many bytes are written.
    pub(super) fn written(&mut self, id: LinkId, bytes: usize, now: Now, out: &mut Vec<Output>) {
        let Some(link) = self.links.by_id(id) else {
            return;
        };
        let bytes = bytes.min(link.flying);
        link.flying -= bytes;
        self.budget.give(bytes);
        self.refill(id, now, out);
    }

    /// Whether the stream of the link wants no more for now.
    pub(super) fn hold(&mut self, id: LinkId, hold: bool, now: Now, out: &mut Vec<Output>) {
        if let Some(link) = self.links.by_id(id) {
            link.hold = hold;
            self.refill(id, now, out);
        }
    }

    /// Hands over of what waits for room on the link; each pair has its turn.
    fn refill(&mut self, id: LinkId, now: Now, out: &mut Vec<Output>) {
        while let Some(link) = self.links.by_id(id)
            && link.has_room(1, self.limits.window)
            && let Some(pair) = link.stalled.pop_front()
        {
            if let Some(line) = self.lines.get_mut(&pair) {
                line.stalled = false;
            }
            self.flush(&pair, now, out);
            // It has been put back at the end.
            if self.lines.get(&pair).is_some_and(|line| line.stalled) {
                return;
            }
        }
    }

    /// All that waits for the pair goes back.
    pub(super) fn bounce(&mut self, pair: &Pair, why: Condition, out: &mut Vec<Output>) {
        let Some(line) = self.lines.get_mut(pair) else {
            return;
        };
        line.older = 0;
        line.until = None;
        line.why = None;
        let queue = std::mem::take(&mut line.queue);
        for envelope in queue {
            self.take(pair, envelope.stanza.size());
            self.give_back(envelope, why, out);
        }
        self.look(pair, out);
    }

    /// Back to its sender, if that has not taken it back itself.
    pub(super) fn give_back(&self, envelope: Envelope, why: Condition, out: &mut Vec<Output>) {
        if envelope.read() {
            out.push(Output::Return(envelope, why));
        }
    }

    /// Sets the pair's timer, forgets a pair of which there is nothing, and tells how much waits for the domain.
    pub(super) fn look(&mut self, pair: &Pair, out: &mut Vec<Output>) {
        self.tell_depth(pair.to(), out);
        self.arm(pair);
        if self.lines.get(pair).is_some_and(Line::is_idle) {
            self.lines.remove(pair);
            if let Some(domain) = self.domains.get_mut(pair.to()) {
                domain.lines.retain(|other| other != pair);
            }
        }
        self.tidy(pair.to());
    }

    fn tell_depth(&mut self, to: &BareJid, out: &mut Vec<Output>) {
        let Some(domain) = self.domains.get_mut(to) else {
            return;
        };
        let (bytes, told) = (domain.depth.bytes, domain.told);
        let news = match told {
            0 => bytes > 0,
            _ => bytes == 0 || bytes >= told.saturating_mul(2) || bytes <= told / 2,
        };
        if news {
            domain.told = bytes;
            let to = to.clone();
            out.push(Output::Event(LinkEvent::Waiting { to, bytes }));
        }
    }

    /// The pair of a stanza.
    pub(super) fn pair(&self, envelope: &Envelope) -> Option<Pair> {
        let ends = ends(envelope)?;
        if let Some((pair, _)) = self.lines.get_key_value(&ends as &dyn Ends) {
            return Some(pair.clone());
        }
        let stanza = &envelope.stanza;
        Some(Pair::new(
            &stanza.from()?.to_bare(),
            &stanza.to()?.to_bare(),
        ))
    }

    fn add(&mut self, pair: &Pair, bytes: usize) {
        for depth in self.depths(pair) {
            depth.add(bytes);
        }
    }

    fn take(&mut self, pair: &Pair, bytes: usize) {
        for depth in self.depths(pair) {
            depth.take(bytes);
        }
        self.budget.give(bytes);
    }

    fn depths(&mut self, pair: &Pair) -> impl Iterator<Item = &mut Depth> {
        let line = self.lines.get_mut(pair).map(|line| &mut line.depth);
        let domain = self.domains.get_mut(pair.to());
        let domain = domain.map(|domain| &mut domain.depth);
        let all = Some(&mut self.depth);
        [line, domain, all].into_iter().flatten()
    }
}

/// The domains of its addresses.
fn ends(envelope: &Envelope) -> Option<(&str, &str)> {
    let stanza = &envelope.stanza;
    Some((stanza.from()?.domain(), stanza.to()?.domain()))
}

fn hand_over(link: LinkId, envelope: Envelope) -> Output {
    Output::Stream(link, stream::Input::Send(envelope))
}

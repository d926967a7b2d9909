//! A connection, from the first attempt to its end.

use super::line::Way;
use super::table::{Link, Slot};
use super::verify;
use super::way::request;
use super::{Down, Ended, LinkEvent, LinkId, Links, Output};
use crate::BareJid;
use crate::mailbox::Envelope;
use crate::s2s::{self, Pair, Verdict};
use crate::stanza::Condition;
use crate::stream::{self, StreamCondition, StreamError};
use crate::time::Now;

/// How a link has come to its end.
struct End {
    /// What is said to those who had asked for it.
    why: Condition,
    verdict: Verdict,
    error: Option<StreamCondition>,
    lost: bool,
    returned: Vec<Envelope>,
}

impl Links {
    /// Another server has opened a connection.
    pub(super) fn incoming(&mut self, id: LinkId, out: &mut Vec<Output>) {
        if self.links.slot(id).is_some() {
            return;
        }
        self.links.insert(Link::new(id, None));
        if self.closed {
            self.end(id, None, out);
        }
    }

    /// The peer has proven that it may send the pair.
    pub(super) fn accepted(&mut self, id: LinkId, pair: Pair, now: Now, out: &mut Vec<Output>) {
        let Some(slot) = self.links.slot(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        if !link.accepted.contains(&pair) {
            link.accepted.push(pair.clone());
        }
        let jid = pair.from().clone();
        out.push(Output::Event(LinkEvent::Authenticated(id, pair)));
        let backoff = self.limits.backoff;
        let domain = self.domain(&jid);
        // It is there again.
        let again =
            domain.pause.until().is_some() && domain.pause.may_be_cut_short(&backoff, now.instant);
        if again {
            domain.pause.end();
        }
        if !domain.links.contains(&slot) {
            domain.links.push(slot);
            self.make_room_for_domain();
            self.make_room_for_link(&jid, out);
        }
        if again {
            self.arm_domain(&jid);
            self.domain_due(&jid, now, out);
        }
    }

    /// There may be one incoming link too many on which the domain is proven.
    fn make_room_for_link(&mut self, jid: &BareJid, out: &mut Vec<Output>) {
        let links = self.domain(jid).links.clone();
        let mut links = links.iter().filter_map(|slot| self.links.get(*slot));
        let theirs = |link: &&Link| link.dialled.is_none() && !link.closing;
        let count = links.clone().filter(theirs).count();
        // RFC 6120 §4.9.3.3: "is closing the existing stream for this entity because a new stream has been initiated that conflicts
        // with the existing stream"
        if count > self.limits.incoming_domain
            && let Some(oldest) = links.find(theirs).map(|link| link.id)
        {
            self.end(oldest, Some(StreamError::conflict()), out);
        }
    }

    /// A connection that was to be opened is there.
    pub(super) fn connected(&mut self, id: LinkId, now: Now, out: &mut Vec<Output>) {
        let Some(slot) = self.links.slot(id) else {
            return;
        };
        let Some(link) = self.links.get_mut(slot).filter(|link| !link.open) else {
            return;
        };
        link.open = true;
        link.used = Some(now.instant);
        if link.closing {
            return out.push(Output::Stream(id, stream::Input::Close(None)));
        }
        let besides = self.hand_session_over(slot, now, out);
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        // The pair of the stream itself can be proven by its certificate.
        let first = |pair: &&Pair| link.dialled.as_ref() == Some(*pair);
        let pairs = link.lines.iter().filter(first);
        let pairs = pairs.chain(link.lines.iter().filter(|pair| !first(pair)));
        let pairs = pairs.chain(&besides);
        out.extend(pairs.map(|pair| request(id, pair.clone())));
        out.extend(
            link.verifies
                .drain(..)
                .map(|verify| verify::ask(id, verify)),
        );
        let open = stream::Input::S2s(s2s::Input::Open);
        out.push(Output::Stream(id, open));
    }

    /// It cannot be opened.
    pub(super) fn not_connected(
        &mut self,
        id: LinkId,
        why: Condition,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let verdict = match why {
            Condition::RemoteServerNotFound => Verdict::NotFound,
            _ => Verdict::Timeout,
        };
        let end = End {
            why,
            verdict,
            error: None,
            lost: false,
            returned: Vec::new(),
        };
        if let Some(slot) = self.links.slot(id) {
            self.gone(slot, end, now, out);
        }
    }

    /// A connection is gone.
    pub(super) fn ended(&mut self, id: LinkId, ended: Ended, now: Now, out: &mut Vec<Output>) {
        let end = End {
            why: Condition::RemoteServerTimeout,
            verdict: Verdict::Timeout,
            error: ended.error,
            lost: ended.lost,
            returned: ended.returned,
        };
        match self.links.slot(id) {
            Some(slot) => self.gone(slot, end, now, out),
            // Not one that we know of; what it has is not lost all the same.
            None => {
                let pairs = self.put_all_back(end.returned, Vec::new(), now, out);
                self.go_on(&pairs, now, out);
            }
        }
    }

    fn gone(&mut self, slot: Slot, end: End, now: Now, out: &mut Vec<Output>) {
        let Some(mut link) = self.links.remove(slot) else {
            return;
        };
        self.budget.give(link.flying);
        let mut waiting = link.suspended.clone().unwrap_or_default();
        waiting.extend_from_slice(&link.pending);
        let carried = self.take_off(slot, &link, &end, now, out);
        waiting.extend(carried);
        let back = std::mem::take(&mut link.back);
        let returned = back.into_iter().chain(end.returned).collect();
        let pairs = self.put_all_back(returned, std::mem::take(&mut link.lines), now, out);
        let dialled = link.dialled.iter().map(Pair::to);
        let proven = link.accepted.iter().map(Pair::from);
        let mut domains: Vec<_> = dialled.chain(proven).cloned().collect();
        domains.extend(link.granted.iter().map(|pair| pair.to().clone()));
        for jid in &domains {
            self.domain(jid).links.retain(|other| *other != slot);
        }
        self.abandon_verifications(link.id, end.verdict, out);
        if let Some(name) = &link.session {
            self.part_with_session(link.id, name, waiting, now, out);
            if let Some(pair) = &link.dialled
                && let Some(why) = link.last_word(pair)
                && (why == Condition::RemoteServerNotFound || self.is_held_for(name, pair))
            {
                self.end_held(name, why, out);
            }
        }
        if matches!(link.id, LinkId::In(_)) {
            self.with_sessions(now, out, |sessions, todo| sessions.gone(link.id, todo));
        }
        if let Some(pair) = &link.dialled {
            let jid = pair.to();
            let why = link.last_word(pair).unwrap_or(end.why);
            let stanzas = self.domain(jid).depth.stanzas;
            let waits = stanzas > 0 || self.holds_for(jid) || self.verifies_for(jid);
            match link.since {
                None => self.failed(jid, why, now),
                Some(since) => {
                    self.domain(jid).pause.forget();
                    if waits && now.instant < since + self.limits.stable {
                        self.failed(jid, why, now);
                    }
                    self.arm_domain(jid);
                }
            }
            let not_found = end.why == Condition::RemoteServerNotFound && link.since.is_none();
            for pair in &pairs {
                let told = not_found.then_some(end.why);
                if let Some(why) = told.or_else(|| link.last_word(pair))
                    && let Some(line) = self.lines.get(pair)
                    && line.way == Way::None
                {
                    self.bounce(pair, why, out);
                }
            }
            self.revive_all(jid, now, out);
            self.seek_verifications(jid, now, out);
        }
        self.go_on(&pairs, now, out);
        for jid in &domains {
            self.tidy(jid);
        }
        self.serve_short(now, out);
    }

    /// The pairs that had this link have none; those that it carried.
    fn take_off(
        &mut self,
        slot: Slot,
        link: &Link,
        end: &End,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Vec<Pair> {
        let why = match (&link.suspended, &link.error, &end.error) {
            (Some(_), ..) => Down::Suspended,
            (None, Some(name), _) => Down::Peer(name.clone()),
            (None, None, Some(error)) => Down::Error(error.clone()),
            (None, None, None) if end.lost => Down::Lost,
            (None, None, None) => Down::Ended,
        };
        let mut carried = Vec::new();
        for pair in &link.lines {
            let until = now.instant + self.connect(pair.to());
            let Some(line) = self.lines.get_mut(pair) else {
                continue;
            };
            let way = std::mem::take(&mut line.way);
            line.stalled = false;
            if way == Way::Up(slot) {
                carried.push(pair.clone());
                line.until = Some(until);
                out.push(Output::Event(LinkEvent::Down {
                    link: link.id,
                    pair: pair.clone(),
                    why: why.clone(),
                }));
            }
        }
        carried
    }

    /// Puts back what has come back, and answers with all the pairs that this concerns.
    fn put_all_back(
        &mut self,
        returned: Vec<Envelope>,
        mut pairs: Vec<Pair>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Vec<Pair> {
        for envelope in returned {
            if let Some(pair) = self.pair(&envelope)
                && !pairs.contains(&pair)
            {
                pairs.push(pair);
            }
            self.put_back(envelope, now, out);
        }
        for pair in &pairs {
            if let Some(line) = self.lines.get_mut(pair) {
                line.older = 0;
            }
        }
        pairs
    }

    /// Finds ways for what has none.
    pub(super) fn go_on(&mut self, pairs: &[Pair], now: Now, out: &mut Vec<Output>) {
        for pair in pairs {
            self.seek(pair, now, out);
            self.flush(pair, now, out);
            self.look(pair, out);
        }
    }

    /// What was handed over comes back, or what a session has sent.
    pub(super) fn unsent(
        &mut self,
        id: LinkId,
        envelope: Envelope,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(pair) = self.pair(&envelope) else {
            return;
        };
        let way = self.lines.get(&pair).map(|line| line.way);
        if let Some(slot) = self.links.slot(id)
            && way == Some(Way::Up(slot))
            && let Some(link) = self.links.get_mut(slot)
        {
            // The stream comes to its end; more may come back with that.
            link.back.push(envelope);
            return self.end(id, None, out);
        }
        self.put_back(envelope, now, out);
        self.seek(&pair, now, out);
        self.look(&pair, out);
    }

    /// Has a link closed, if it is not closing already.
    pub(super) fn end(&mut self, id: LinkId, error: Option<StreamError>, out: &mut Vec<Output>) {
        if let Some(link) = self.links.by_id(id)
            && !std::mem::replace(&mut link.closing, true)
        {
            out.push(Output::Stream(id, stream::Input::Close(error)));
        }
    }

    /// The server stops.
    pub(super) fn close(&mut self, now: Now, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.verifications.clear();
        self.short.clear();
        self.drop_sessions(now, out);
        let mut pairs: Vec<_> = self.lines.keys().cloned().collect();
        pairs.sort_unstable();
        for pair in pairs {
            self.bounce(&pair, Condition::RemoteServerTimeout, out);
        }
        let ids: Vec<_> = self.links.iter_mut().map(|link| link.id).collect();
        for id in ids {
            self.end(id, None, out);
        }
    }
}

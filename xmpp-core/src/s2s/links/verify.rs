//! Keys that others have sent us, and that the authoritative server is asked about (XEP-0220 §2.2).

use std::time::{Duration, Instant};

use super::table::Slot;
use super::{LinkId, Links, Output};
use crate::BareJid;
use crate::s2s::{self, Verdict, Verify};
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

const SECOND: Duration = Duration::from_secs(1);

/// A key that is being verified.
#[derive(Debug)]
pub(super) struct Verification {
    verify: Verify,
    /// On whose behalf.
    by: LinkId,
    /// Over which link; without one it waits until the domain may be tried again.
    on: Option<LinkId>,
    pub(super) until: Instant,
}

/// How many connections were opened for keys of late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    count: usize,
}

impl Pace {
    /// Whether there may be one more; it is counted.
    fn admits(&mut self, most: usize, now: Instant) -> bool {
        if self.since.is_none_or(|since| since + SECOND <= now) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count <= most
    }
}

impl Links {
    /// A stream asks whether a key is the Sender Domain's.
    pub(super) fn verify(&mut self, by: LinkId, verify: Verify, now: Now, out: &mut Vec<Output>) {
        if self.verifications.len() >= self.limits.verifies || self.closed {
            return out.push(answer(by, verify, Verdict::NotFound));
        }
        let backoff = self.limits.backoff;
        let jid = verify.pair.from().clone();
        let pause = &self.domain(&jid).pause;
        // Whoever says that it is this domain's server speaks with us, so that it may be there again; but nobody has us call others more
        // often than that.
        let again = pause.until().is_some() && pause.may_be_cut_short(&backoff, now.instant);
        self.verifications.push(Verification {
            verify,
            by,
            on: None,
            until: now.instant + self.patient(self.limits.verify, &jid),
        });
        self.find_ways(&jid, again, now, out);
        let dialled = self.domain(&jid).links.clone();
        if again && dialled.iter().any(|slot| self.reaches(*slot, &jid)) {
            // All that waits for the domain goes there with the key.
            self.domain(&jid).pause.end();
            self.arm_domain(&jid);
            self.domain_due(&jid, now, out);
        }
        self.tidy(&jid);
        self.make_room_for_domain();
    }

    fn reaches(&self, slot: Slot, jid: &BareJid) -> bool {
        self.links.get(slot).is_some_and(|link| link.reaches(jid))
    }

    /// Finds ways for the keys of a domain that have none.
    ///
    /// XEP-0220 §2.5 has the initiating server return all that it has queued when it hears of "a problem with the connection to the
    /// Authoritative Server", so it hears of none that another attempt may mend in time.
    pub(super) fn seek_verifications(&mut self, jid: &BareJid, now: Now, out: &mut Vec<Output>) {
        self.find_ways(jid, false, now, out);
    }

    /// The same, whether the domain is to be left alone or not.
    fn find_ways(&mut self, jid: &BareJid, at_once: bool, now: Now, out: &mut Vec<Output>) {
        let mut at = 0;
        while let Some(it) = self.verifications.get(at) {
            if it.on.is_some() || it.verify.pair.from() != jid {
                at += 1;
                continue;
            }
            match self.seek_verification(at, at_once, now, out) {
                Ok(link) => {
                    self.verifications[at].on = link;
                    at += 1;
                }
                Err(verdict) => {
                    let it = self.verifications.remove(at);
                    out.push(answer(it.by, it.verify, verdict));
                }
            }
        }
    }

    /// The link over which the authoritative server is asked, if it can be asked now; or the answer if it cannot in time.
    fn seek_verification(
        &mut self,
        at: usize,
        at_once: bool,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Option<LinkId>, Verdict> {
        let Verification {
            verify, by, until, ..
        } = &self.verifications[at];
        let (verify, by, until) = (verify.clone(), *by, *until);
        // The authoritative server is asked from the domain to which the key was sent.
        let pair = verify.pair.inverse();
        let domain = self.domain(pair.to());
        let paused = !at_once && !domain.pause.is_over(now.instant);
        let (again, why) = (domain.pause.until(), domain.pause.why());
        let links = domain.links.clone();
        // XEP-0288 §2.2: "the receiving server MUST NOT attempt to verify a dialback key on the same connection where the
        // corresponding request was issued." One that the peer has opened is no way to the authoritative server at all.
        let slot = links.into_iter().find(|slot| {
            let link = self.links.get(*slot);
            link.is_some_and(|link| link.id != by && link.reaches(pair.to()))
        });
        // Anybody can have us ask anybody: a part of the connections is for stanzas alone.
        let full = self.links.outgoing >= self.limits.outgoing - self.limits.outgoing / 4;
        let slot = match slot {
            Some(slot) => slot,
            None if paused && why == Condition::RemoteServerNotFound => {
                return Err(Verdict::NotFound);
            }
            None if paused && again.is_some_and(|again| until <= again) => {
                return Err(Verdict::Timeout);
            }
            None if paused => return Ok(None),
            None if full || !self.has_room_for_domain() => {
                if full {
                    self.make_way(now, out);
                }
                return Err(Verdict::NotFound);
            }
            // Whose addresses these domains have is for others to say: nobody is to be flooded by us.
            None if !self.key_dials.admits(self.limits.key_dials, now.instant) => {
                return Err(Verdict::Timeout);
            }
            None => self.dial(&pair, out),
        };
        let Some(link) = self.links.get_mut(slot) else {
            return Ok(None);
        };
        match link.open {
            true => {
                link.used = Some(now.instant);
                out.push(ask(link.id, verify));
            }
            false => link.verifies.push(verify),
        }
        Ok(Some(link.id))
    }

    /// Whether keys of the domain wait until it may be tried again.
    pub(super) fn verifies_for(&self, jid: &BareJid) -> bool {
        let mut all = self.verifications.iter();
        all.any(|it| it.on.is_none() && it.verify.pair.from() == jid)
    }

    /// The authoritative server has answered, or cannot any more.
    pub(super) fn verified(
        &mut self,
        on: LinkId,
        verify: &Verify,
        verdict: Verdict,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if matches!(verdict, Verdict::Valid | Verdict::Invalid)
            && let Some(link) = self.links.by_id(on)
        {
            link.since.get_or_insert(now.instant);
        }
        self.conclude(on, verdict, |it| it.verify == *verify, out);
    }

    /// A link is gone, and with it what was asked over it, or for it.
    pub(super) fn abandon_verifications(
        &mut self,
        gone: LinkId,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        self.verifications.retain(|it| it.by != gone);
        self.conclude(gone, verdict, |_| true, out);
    }

    /// What is known of keys that were asked about over this link; without an answer they are asked about once more.
    fn conclude(
        &mut self,
        on: LinkId,
        verdict: Verdict,
        which: impl Fn(&Verification) -> bool,
        out: &mut Vec<Output>,
    ) {
        let asked = |it: &mut Verification| it.on == Some(on) && which(it);
        if verdict == Verdict::Timeout {
            let open = self.verifications.iter_mut();
            open.filter_map(|it| asked(it).then_some(it))
                .for_each(|it| it.on = None);
            return;
        }
        let known = self.verifications.extract_if(.., asked);
        out.extend(known.map(|it| answer(it.by, it.verify, verdict)));
    }

    pub(super) fn expire_verifications(&mut self, now: Now, out: &mut Vec<Output>) {
        // All wait equally long: the oldest are first.
        let late = self.verifications.iter();
        let late = late.take_while(|it| it.until <= now.instant).count();
        let late = self.verifications.drain(..late);
        out.extend(late.map(|it| answer(it.by, it.verify, Verdict::Timeout)));
    }
}

pub(super) fn ask(link: LinkId, verify: Verify) -> Output {
    Output::Stream(link, stream::Input::S2s(s2s::Input::Verify(verify)))
}

fn answer(link: LinkId, verify: Verify, verdict: Verdict) -> Output {
    let input = s2s::Input::Verified(verify, verdict);
    Output::Stream(link, stream::Input::S2s(input))
}

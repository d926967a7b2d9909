//! Keys that others have sent us, and that the authoritative server is asked about (XEP-0220 §2.2).

use std::time::{Duration, Instant};

use super::{LinkId, Links, Output};
use crate::s2s::{self, Verdict, Verify};
use crate::stream;
use crate::time::Now;

const SECOND: Duration = Duration::from_secs(1);

/// A key that is being verified.
#[derive(Debug)]
pub(super) struct Verification {
    verify: Verify,
    /// On whose behalf.
    by: LinkId,
    /// Over which link.
    on: LinkId,
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
        // The authoritative server is asked from the domain to which the key was sent.
        let pair = verify.pair.inverse();
        let backoff = self.limits.backoff;
        let domain = self.domain(pair.to());
        // Whoever says that it is this domain's server speaks with us, so that it may be there again; but nobody has us call others more
        // often than that.
        let paused = !domain.pause.may_be_cut_short(&backoff, now.instant);
        let links = domain.links.clone();
        // Anybody can have us ask anybody: a part of the connections is for stanzas alone.
        let full = self.links.outgoing >= self.limits.outgoing - self.limits.outgoing / 4;
        // XEP-0288 §2.2: "the receiving server MUST NOT attempt to verify a dialback key on the same connection where the
        // corresponding request was issued." One that the peer has opened is no way to the authoritative server at all.
        let slot = links.into_iter().find(|slot| {
            let link = self.links.get(*slot);
            link.is_some_and(|link| link.id != by && link.reaches(pair.to()))
        });
        let slot = match slot {
            Some(slot) => slot,
            None if paused || full || !self.has_room_for_domain() => {
                if full {
                    self.make_way(now, out);
                }
                self.tidy(pair.to());
                return out.push(answer(by, verify, Verdict::NotFound));
            }
            // Whose addresses these domains have is for others to say: nobody is to be flooded by us.
            None if !self.key_dials.admits(self.limits.key_dials, now.instant) => {
                self.tidy(pair.to());
                return out.push(answer(by, verify, Verdict::Timeout));
            }
            None => self.dial(&pair, out),
        };
        self.make_room_for_domain();
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        match link.open {
            true => {
                link.used = Some(now.instant);
                out.push(ask(link.id, verify.clone()));
            }
            false => link.verifies.push(verify.clone()),
        }
        let verification = Verification {
            verify,
            by,
            on: link.id,
            until: now.instant + self.limits.verify,
        };
        self.verifications.push(verification);
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
        let asked = self
            .verifications
            .extract_if(.., |it| it.on == on && it.verify == *verify);
        out.extend(asked.map(|it| answer(it.by, it.verify, verdict)));
    }

    /// A link is gone, and with it what was asked over it, or for it.
    pub(super) fn abandon_verifications(
        &mut self,
        gone: LinkId,
        verdict: Verdict,
        out: &mut Vec<Output>,
    ) {
        self.verifications.retain(|it| it.by != gone);
        let asked = self.verifications.extract_if(.., |it| it.on == gone);
        out.extend(asked.map(|it| answer(it.by, it.verify, verdict)));
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

//! What links are like: how long one waits there, and what is too dear to be sent.

use std::time::Duration;

use super::Payloads;

/// What a link is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkProfile {
    /// Megabits and milliseconds: everything is sent, at once.
    #[default]
    Lan,
    /// Kilobits, seconds, and money for each of them: satellites, mobile networks.
    Sat,
    /// Some hundred bits in a second, and minutes until something comes back: short wave.
    Hf,
}

/// How long one waits. The figures are those of [`LinkProfile::Lan`] / [`LinkProfile::Sat`] / [`LinkProfile::Hf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// For the end of the burst after joining: 30 / 120 / 900 s.
    pub join: Duration,
    /// For the answer after the last has left: 15 / 60 / 600 s.
    pub left: Duration,
    /// How long it may take until a stream that is dead is found to be: what was sent before that, and has no number by which it would be missed, is taken to have arrived.
    /// 60 / 180 / 1800 s.
    pub dead: Duration,
    /// For a link that is down, before those behind it leave: 120 s / 600 s / for ever.
    pub grace: Option<Duration>,
    /// For the echo of the room that this one is a replica of: 30 / 60 / 600 s.
    pub echo: Duration,
    /// For an event that is missing, before it is asked for: 5 / 20 / 120 s.
    pub gap: Duration,
    /// For more to happen, before the peer is told how far it should be, where streams [acknowledge](super::super::LinkState::Acknowledged) nothing: 30 s / 60 s / never.
    pub tail: Option<Duration>,
    /// For more to be sent together with what there is: not at all / 250 ms / 10 s.
    pub batch: Duration,
    /// Before the peer is tried again; `None` if only when the link comes up: 5 s to 10 min / the same / `None`.
    pub backoff: Option<Backoff>,
    /// For what has been there before the peer joined anew, and is not said again: 60 / 120 / 900 s.
    pub stale: Duration,
    /// For a peer without our extension that was down: after this long all is said anew, before it goes on where it was. 60 / 180 / 1800 s.
    pub rejoin: Duration,
    /// For a room that has joined and is not heard of, before it is forgotten; one of Openfire never is. 24 h each.
    pub forget: Duration,
}

/// How the pauses between tries grow: each is twice the one before, some of it by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first: 5 s.
    pub first: Duration,
    /// The longest: 10 min.
    pub longest: Duration,
}

/// What is sent. The figures are those of [`LinkProfile::Lan`] / [`LinkProfile::Sat`] / [`LinkProfile::Hf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bandwidth {
    /// What of occupants is told: all / joins / joins.
    pub presence: PresenceLevel,
    /// Between two presences of one occupant, of which the last one counts: 0 / 10 / 60 s.
    pub interval: Duration,
    /// What stays of a message or a presence: all but what is a room's own / what is named / what is named.
    pub payloads: Payloads,
    /// Whether ids go as they are, or those that are long give way to the name of the event: as they are / short / short.
    pub keep_ids: bool,
    /// Messages of history that are asked for, and given, on joining: 20 / 20 / 0.
    pub history: usize,
}

/// What of occupants is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceLevel {
    /// All that they say of themselves.
    Full,
    /// That they come and go, and under which nick.
    Joins,
    /// They are introduced when they first say something.
    None,
}

impl LinkProfile {
    /// Its name, for operators and forms.
    pub fn name(self) -> &'static str {
        match self {
            LinkProfile::Lan => "lan",
            LinkProfile::Sat => "sat",
            LinkProfile::Hf => "hf",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<LinkProfile> {
        let all = [LinkProfile::Lan, LinkProfile::Sat, LinkProfile::Hf];
        all.into_iter().find(|one| one.name() == name)
    }

    /// How long one waits there.
    pub fn timers(self) -> Timers {
        let seconds = Duration::from_secs;
        let backoff = Backoff {
            first: seconds(5),
            longest: seconds(10 * 60),
        };
        let forget = seconds(24 * 60 * 60);
        match self {
            LinkProfile::Lan => Timers {
                join: seconds(30),
                left: seconds(15),
                dead: seconds(60),
                grace: Some(seconds(120)),
                echo: seconds(30),
                gap: seconds(5),
                tail: Some(seconds(30)),
                batch: Duration::ZERO,
                backoff: Some(backoff),
                stale: seconds(60),
                rejoin: seconds(60),
                forget,
            },
            LinkProfile::Sat => Timers {
                join: seconds(120),
                left: seconds(60),
                dead: seconds(180),
                grace: Some(seconds(600)),
                echo: seconds(60),
                gap: seconds(20),
                tail: Some(seconds(60)),
                batch: Duration::from_millis(250),
                backoff: Some(backoff),
                stale: seconds(120),
                rejoin: seconds(180),
                forget,
            },
            LinkProfile::Hf => Timers {
                join: seconds(900),
                left: seconds(600),
                dead: seconds(1800),
                grace: None,
                echo: seconds(600),
                gap: seconds(120),
                tail: None,
                batch: seconds(10),
                backoff: None,
                stale: seconds(900),
                rejoin: seconds(1800),
                forget,
            },
        }
    }

    /// What is sent there.
    pub fn bandwidth(self) -> Bandwidth {
        match self {
            LinkProfile::Lan => Bandwidth {
                presence: PresenceLevel::Full,
                interval: Duration::ZERO,
                payloads: Payloads::AllButOurs,
                keep_ids: true,
                history: 20,
            },
            LinkProfile::Sat => Bandwidth {
                presence: PresenceLevel::Joins,
                interval: Duration::from_secs(10),
                payloads: Payloads::Named,
                keep_ids: false,
                history: 20,
            },
            LinkProfile::Hf => Bandwidth {
                presence: PresenceLevel::Joins,
                interval: Duration::from_secs(60),
                payloads: Payloads::Named,
                keep_ids: false,
                history: 0,
            },
        }
    }
}

//! Another node, in one of its lives.

use std::time::{Duration, Instant};

use xmpp_core::machine::Machine;
use xmpp_core::time::Now;

use crate::frame::{Page, Parcel, Pull};
use crate::link::{self, Link};
use crate::node::Life;

/// What goes between two nodes, as an operator is shown it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes of frames that were sent, those of heartbeats aside.
    pub bytes_sent: u64,
    /// Bytes of frames that have come.
    pub bytes_received: u64,
    /// Frames that were sent.
    pub frames_sent: u64,
    /// Frames that have come.
    pub frames_received: u64,
    /// Parcels that the other node is not known to have.
    pub waiting: usize,
    /// Bytes of these.
    pub waiting_bytes: usize,
    /// How long an acknowledgement takes, smoothed; `None` before the first.
    pub round_trip: Option<Duration>,
    /// What the link counts.
    pub link: link::Counts,
    /// Parcels that were given up when the node went down, those of the session table among them.
    pub given_up: u64,
    /// How often its slice of the session table has been read from the beginning.
    pub readings: u64,
    /// Whether it is being read now.
    pub is_reading: bool,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) life: Life,
    pub(super) link: Link,
    /// The page that is waited for, and until when.
    asked: Option<(Pull, Instant)>,
    traffic: Traffic,
}

impl Peer {
    pub(super) fn new(life: Life, limits: link::Limits, now: Now) -> Peer {
        Peer {
            life,
            link: Link::new(limits, now.utc),
            asked: None,
            traffic: Traffic::default(),
        }
    }

    /// The node is down: parcels that it is not known to have, those of the table aside.
    pub(super) fn give_up(&mut self, now: Now) -> Vec<Parcel> {
        self.link.handle(link::Input::Down, now, &mut Vec::new());
        self.asked = None;
        let given_up = self.link.give_up();
        self.traffic.given_up += given_up.len() as u64;
        let given_up = given_up.into_iter().map(Parcel::decode);
        given_up
            .filter_map(Result::ok)
            .filter(|parcel| !matches!(parcel, Parcel::Table(_)))
            .collect()
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.traffic.frames_sent += 1;
        self.traffic.bytes_sent += bytes;
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.traffic.frames_received += 1;
        self.traffic.bytes_received += bytes;
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            waiting: self.link.len(),
            waiting_bytes: self.link.bytes(),
            round_trip: self.link.round_trip(),
            link: self.link.counts(),
            is_reading: self.asked.is_some(),
            ..self.traffic
        }
    }

    /// A page is asked for.
    pub(super) fn asks(&mut self, pull: Pull, until: Instant) {
        self.traffic.readings += u64::from(pull.from.is_none());
        self.asked = Some((pull, until));
    }

    /// A page has come.
    pub(super) fn answered(&mut self, page: &Page) {
        self.asked
            .take_if(|(pull, _)| (pull.round, &pull.from) == (page.round, &page.from));
    }

    /// What to ask once more: pages may be lost.
    pub(super) fn ask_again(&mut self, now: Now, patience: Duration) -> Option<Pull> {
        let (pull, at) = self.asked.as_mut()?;
        if *at > now.instant {
            return None;
        }
        *at = now.instant + patience;
        Some(pull.clone())
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let asked = self.asked.as_ref().map(|(_, at)| *at);
        asked.into_iter().chain(self.link.next_timeout()).min()
    }
}

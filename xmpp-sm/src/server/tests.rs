#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // an `Instant` comes from nowhere else

mod dialogue;
mod model;
mod table;
mod world;

use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::s2s::{self, Pair, dialback};
use xmpp_core::sasl::Channel;
use xmpp_core::server::Timeouts;
use xmpp_core::stanza::Stanza;
use xmpp_core::stream::{Input, Output, StreamCondition};
use xmpp_core::time::{Now, Timestamp};

use super::*;

fn now() -> Now {
    Now {
        instant: Instant::now(),
        utc: Timestamp(0),
    }
}

fn pair(from: &str, to: &str) -> Pair {
    Pair::new(&from.parse().unwrap(), &to.parse().unwrap())
}

struct Sevens;

impl Random for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn settings(secret: &[u8]) -> s2s::Settings {
    s2s::Settings {
        secret: dialback::Secret::new(secret),
        starttls: true,
        timeouts: Timeouts::default(),
        limits: s2s::Limits::default(),
        features: vec![xmpp_core::xml::Element::new("sm", crate::NS)],
        random: Arc::new(Sevens),
    }
}

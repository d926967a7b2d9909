//! Planted faults: what a node, or what carries its frames, does wrong.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use xmpp_cluster::cluster::Event;
use xmpp_cluster::frame::{Body, Change, Frame, Parcel};
use xmpp_sm::Counter;

use super::World;

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Now and then parcels come again as if they were others.
    Double,
    /// Now and then two parcels change places.
    Swap,
    /// Now and then a parcel is lost, and nothing tells that it was there.
    Swallow,
    /// Now and then something else is told of a resource than what is true.
    Distort,
    /// What one node says of itself is lost for good.
    Mute,
    /// Who was held up does not hear so.
    Hush,
}

impl Fault {
    /// All of them, with the invariants that they break.
    pub const ALL: [(Fault, &'static str); 6] = [
        (Fault::Double, "once"),
        (Fault::Swap, "ordered"),
        (Fault::Swallow, "complete"),
        (Fault::Distort, "agreed"),
        (Fault::Mute, "reached"),
        (Fault::Hush, "warned"),
    ];
}

impl World {
    /// What becomes of a frame by the fault that is planted.
    pub(super) fn tamper(&mut self, from: usize, frame: Bytes) -> Option<Bytes> {
        let Some(fault) = self.fault else {
            return Some(frame);
        };
        let Ok(mut read) = Frame::decode(frame.clone()) else {
            return Some(frame);
        };
        match (fault, &mut read.body) {
            (Fault::Mute, Body::Beat(_)) if from == 0 && self.time.as_secs() > 5 => return None,
            (Fault::Double, Body::Data(data)) if self.rng.one_in(3) => {
                data.epoch += 1;
                data.after = Counter(0);
            }
            (Fault::Swap, Body::Data(data)) if data.parcels.len() > 1 => {
                data.parcels.reverse();
            }
            (Fault::Swallow, Body::Data(data)) if self.rng.one_in(3) => {
                if let Some(first) = data.parcels.first_mut() {
                    *first = Parcel::Unknown.encode();
                }
            }
            (Fault::Distort, Body::Data(data)) => {
                data.parcels.iter_mut().for_each(distort);
            }
            _ => return Some(frame),
        }
        Some(read.encode())
    }

    /// Whether a node is not told this.
    pub(super) fn hushed(&self, event: &Event) -> bool {
        self.fault == Some(Fault::Hush) && matches!(event, Event::HeldUp(_))
    }
}

fn distort(parcel: &mut Bytes) {
    let Ok(Parcel::Table(mut delta)) = Parcel::decode(parcel.clone()) else {
        return;
    };
    for change in &mut delta.changes {
        if let Change::Put(entry) = change {
            entry.carbons = true;
        }
    }
    *parcel = Parcel::Table(delta).encode();
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Double => "double",
            Fault::Swap => "swap",
            Fault::Swallow => "swallow",
            Fault::Distort => "distort",
            Fault::Mute => "mute",
            Fault::Hush => "hush",
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Fault, String> {
        let all = Fault::ALL.iter().map(|(fault, _)| *fault);
        let mut named = all.clone().filter(|fault| fault.to_string() == name);
        named.next().ok_or_else(|| {
            let all: Vec<_> = all.map(|fault| fault.to_string()).collect();
            format!("not one of {}", all.join(", "))
        })
    }
}

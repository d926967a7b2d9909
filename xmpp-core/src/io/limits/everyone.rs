//! All connections by network, where none may take all places.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Crowd, Network};
use crate::io::control::{Call, Control};

/// Connections that have been told to give way and are still there, at most: beyond that nobody is let in for others to go.
const LEAVING: usize = 100;

/// Those that are there and are to stay.
#[derive(Default)]
pub(super) struct Everyone {
    controls: HashMap<u64, Arc<Control>>,
    crowd: Crowd,
}

impl Everyone {
    pub(super) fn enter(&mut self, id: u64, network: Network, control: Arc<Control>) {
        self.controls.insert(id, control);
        self.crowd.insert(id, network);
    }

    pub(super) fn remove(&mut self, id: u64, network: Network) {
        if self.controls.remove(&id).is_some() {
            self.crowd.remove(id, network);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.controls.is_empty() && self.crowd.networks.is_empty() && self.crowd.ranks.is_empty()
    }

    /// Whether one more of this network may come where there are to be `most`, and `all` are there with those that are about to go. If
    /// need be it takes the place of the oldest one of the network that has the most, which has no fewer than the newcomer's then.
    pub(super) fn has_room(&mut self, network: Network, most: usize, all: usize) -> bool {
        let here = self.controls.len();
        if here < most {
            return all < most + LEAVING;
        }
        let Some((oldest, largest)) = self.crowd.first() else {
            return false;
        };
        if all - here >= LEAVING || self.crowd.of(network) + 1 >= self.crowd.of(largest) {
            return false;
        }
        self.crowd.remove(oldest, largest);
        if let Some(control) = self.controls.remove(&oldest) {
            control.call(Call::GiveWay);
        }
        true
    }
}

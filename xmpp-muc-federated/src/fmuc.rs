//! Federated rooms (XEP-0289): several rooms on several servers that are one conversation. So far what stands in their stanzas; no room speaks it yet.

mod alias;
mod base36;
mod settings;
mod wire;

pub use alias::{Alias, Aliases};
pub use settings::{
    Accept, Backoff, Bandwidth, Collision, Dialect, Federation, Limits, LinkProfile, OnLoss,
    Payloads, Peer, PresenceLevel, Settings, SpeakFor, Timers,
};
pub use wire::{Extension, Fmuc, Have, Hello, Mode, Origin, WireError};

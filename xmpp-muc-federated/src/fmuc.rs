//! Federated rooms (XEP-0289): several rooms on several servers that are one conversation. So far what stands in their stanzas; no room speaks it yet.

mod alias;
mod base36;
mod wire;

pub use alias::{Alias, Aliases};
pub use wire::{Extension, Fmuc, Have, Hello, Mode, Origin, WireError};

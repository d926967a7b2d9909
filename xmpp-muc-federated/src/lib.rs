//! Rooms (XEP-0045).
//!
//! * [`Room`] is the machine: one room with its occupants, its lists and its history. It sends nothing and stores nothing itself.
//! * [`Service`] is a module of a server: the rooms of one address, each with a task while somebody has to do with it.
//! * [`store::Rooms`] is the port behind which persistent rooms are kept.

pub mod ns;
pub mod room;
pub mod service;
pub mod settings;
pub mod store;

pub use room::{Input, Output, Room};
pub use service::Service;
pub use settings::{Limits, Settings};

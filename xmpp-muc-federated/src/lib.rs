//! Rooms (XEP-0045).
//!
//! * [`Room`] is the machine: one room with its occupants, its lists and its history. It sends nothing and stores nothing itself.
//! * [`Service`] is a module of a server: the rooms of one address, each with a task while somebody has to do with it.
//! * [`fmuc`] has the elements of rooms that are one over several servers (XEP-0289); nothing speaks them yet.
//! * [`log`] is what several nodes of one room agree by: who has which events of whom, and what is missing.
//! * [`store::Rooms`] is the port behind which persistent rooms are kept.

pub mod fmuc;
pub mod log;
pub mod ns;
mod page;
pub mod room;
pub mod service;
pub mod settings;
pub mod store;

pub use room::{Input, Output, Room};
pub use service::Service;
pub use settings::{Limits, Settings};

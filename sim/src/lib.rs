//! A simulated world around the real server.
//!
//! * [`world`]: the server and its driver in virtual time; [`link`]: connections
//!   that delay, cut up, hold back, garble and break.
//! * [`dialogue`]: scripts of who says what to whom, played in the simulator and to
//!   real servers.
//! * [`client`]: clients that say exactly what they are told to.
//! * [`chat`]: towns of people who chat and to whom things happen; [`reliable`]: towns of
//!   devices whose streams are managed; [`federation`]: rooms on several servers that are one; [`cluster`]: nodes of one domain;
//!   [`invariants`]: what has to hold there; [`faults`]:
//!   proofs that it would be noticed if it did not.
//!
//! Everything follows from one seed.

pub mod chat;
pub mod client;
pub mod cluster;
pub mod dialogue;
pub mod faults;
pub mod federation;
pub mod invariants;
pub mod link;
pub mod reliable;
pub mod rng;
mod rooms;
pub mod world;
pub mod xml;

pub use rooms::rooms;
pub use world::{World, run};

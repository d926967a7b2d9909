//! A simulated world around the real server.
//!
//! * [`world`]: the server and its driver in virtual time; [`link`]: connections
//!   that delay, cut up, hold back, garble and break.
//! * [`dialogue`]: scripts of who says what to whom, played in the simulator and to
//!   real servers.
//! * [`client`]: clients that say exactly what they are told to.
//!
//! Everything follows from one seed.

pub mod client;
pub mod dialogue;
pub mod link;
pub mod rng;
pub mod world;
pub mod xml;

pub use world::{World, run};

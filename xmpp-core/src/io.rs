//! The driver on tokio: the one module that owns sockets, the clock and tasks.
//!
//! [`Listener`] accepts connections and gives each a task that moves bytes
//! between the socket, the [`Reader`](crate::xml::Reader) and the
//! [`Stream`](crate::stream::Stream). It decides nothing about XMPP.

mod connection;
mod control;
pub mod dial;
mod elsewhere;
mod handover;
mod limits;
mod listener;
mod restart;
pub mod s2s;
mod settlements;
mod surroundings;
mod throttle;
mod tls;
mod wire;
mod zlib;

pub use elsewhere::{Elsewhere, HandedOut, Movable, NAME, Offer, WAITING};
pub use limits::AcceptLimits;
pub use listener::{Driver, DriverConfig, Listener, Security};
pub use surroundings::{OsRandom, SystemClock, TokioSpawn, surroundings};
pub use throttle::{Throttle, ThrottleLimits};
pub use tls::{ClientAuthorities, Identity, Tls, TlsError};
pub use wire::Io;

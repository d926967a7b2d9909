//! A name service for tests: what a few lines of text say, over UDP and TCP (RFC 1035, RFC 2782).
//!
//! ```text
//! # comment
//! _xmpp-server._tcp.juliet.example  SRV 0 5 5269 xmpp.juliet.example
//! xmpp.juliet.example               A 127.0.0.1
//! xmpp.juliet.example               AAAA ::1
//! nowhere.example                   SRV 0 0 0 .
//! broken.example                    SERVFAIL
//! dead.example                      SILENCE
//! ```
//!
//! `SERVFAIL` and `SILENCE` are what every question about the name and those beneath it meets. Names that are not there do
//! not exist; all that is said may be kept for no time at all.

mod message;
mod serve;
mod zone;

pub use message::answer;
pub use serve::serve;
pub use zone::{Data, Found, Zone};

//! A load generator for XMPP servers that counts what it is owed.
//!
//! It shares no code with `xmpp-core`: an instrument that parsed with the parser it measures would share its faults. What a server sends is only
//! scanned for stanza boundaries ([`scanner`]), so the generator stays far cheaper than any server it drives.
//!
//! | module | subject |
//! |---|---|
//! | [`scanner`] | where a stanza begins and ends |
//! | [`connection`] | a socket, plain or TLS, with coalesced writes and large reads |
//! | [`tls`] | certificates, and a client that accepts any |
//! | [`scram`] | RFC 5802, the client's side, and what a server stores |
//! | [`account`] | the accounts of a bench, written the way each peer keeps them |
//! | [`login`] | from a TCP connection to a bound resource |
//! | [`session`] | a bound resource, and what a client owes its server |
//! | [`oracle`] | every message once and in order, and the faults that prove it looks |
//! | [`flight`] | numbered operations under way |
//! | [`latency`] | a histogram of durations |
//! | [`process`] | what a server's process tree costs: CPU time and resident memory |
//! | [`meter`] | the phases of a run, its progress display and its measured interval |
//! | [`report`] | the result, as text or JSON |
//! | [`chat`], [`ping`], [`logins`], [`idle`], [`handshake`], [`resumptions`], [`outages`], [`rooms`] | the loads |
//! | [`cutter`] | a relay that cuts the connections it carries |
//! | [`relay`] | the lower bound: a server that only moves lines between sockets |

// A measuring tool owns clocks and tasks by its nature; nothing here is a protocol machine.
#![allow(clippy::disallowed_methods)]

pub mod account;
pub mod chat;
pub mod connection;
pub mod cutter;
pub mod flight;
pub mod handshake;
pub mod idle;
pub mod latency;
pub mod login;
pub mod logins;
pub mod management;
pub mod meter;
pub mod oracle;
pub mod outages;
pub mod ping;
pub mod process;
pub mod relay;
pub mod report;
pub mod resumptions;
pub mod rooms;
pub mod scanner;
pub mod scram;
pub mod session;
pub mod tls;

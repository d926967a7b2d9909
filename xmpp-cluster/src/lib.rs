//! One XMPP domain on many nodes.
//!
//! What is here so far, each a machine or a port of its own:
//!
//! * [`node`]: what nodes and sites are called, and which of its lives a node is in.
//! * [`accounts`]: the same accounts in several stores.
//! * [`clock`]: stamps that all nodes order alike.
//! * [`cluster`]: one node, made of all these.
//! * [`directory`]: who is where, on all nodes of a domain.
//! * [`exchange`]: joins a server to its cluster.
//! * [`frame`]: what travels between two nodes, as bytes that the release before and the one after can read.
//! * [`heal`]: what holds after a cut, when both sides have written. [`accounts`] keep to those for account data.
//! * [`io`]: drives such a node over an engine.
//! * [`link`]: from one node to another, in order and once, whatever the way loses.
//! * [`membership`]: who is there, who can be reached, and by which way.
//! * [`moves`]: brings sessions from node to node.
//! * [`news`]: tells the others what changes of accounts.
//! * [`rendezvous`]: which of several nodes does something.
//! * [`server`]: a server as a node, wired.
//! * [`standby`]: a second copy of each session that can be resumed, in the memory of another node.
//! * [`table`]: who is bound where, in the memory of every node.
//! * [`transport`]: the port to the engine that moves bytes, with the one that joins nodes of one process.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod clock;
pub mod cluster;
pub mod directory;
pub mod exchange;
pub mod frame;
pub mod heal;
pub mod io;
pub mod link;
pub mod membership;
pub mod moves;
pub mod news;
pub mod node;
pub mod rendezvous;
pub mod server;
pub mod standby;
pub mod table;
pub mod transport;

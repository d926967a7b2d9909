//! One XMPP domain on many nodes.
//!
//! What is here so far, each a machine or a port of its own:
//!
//! * [`node`]: what nodes and sites are called, and which of its lives a node is in.
//! * [`frame`]: what travels between two nodes, as bytes that the release before and the one after can read.
//! * [`link`]: from one node to another, in order and once, whatever the way loses.
//! * [`membership`]: who is there, who can be reached, and by which way.
//! * [`table`]: who is bound where, in the memory of every node.
//! * [`transport`]: the port to the engine that moves bytes, with the one that joins nodes of one process.
#![forbid(unsafe_code)]

pub mod frame;
pub mod link;
pub mod membership;
pub mod node;
pub mod table;
pub mod transport;

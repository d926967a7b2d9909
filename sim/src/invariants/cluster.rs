//! What has to hold among the nodes of one domain.

pub mod agreed;
pub mod complete;
pub mod once;
pub mod ordered;
pub mod reached;
pub mod warned;

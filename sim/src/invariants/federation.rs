//! What has to hold where rooms on several servers are one.

pub mod agreed;
pub mod bounded;
pub mod causal;
pub mod clean;
pub mod complete;
pub mod once;
pub mod owned;
pub mod spared;

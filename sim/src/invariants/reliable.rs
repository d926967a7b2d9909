//! What has to hold where streams are managed.

pub mod accounted;
pub mod answered;
pub mod complete;
pub mod counted;
pub mod once;
pub mod ordered;
pub mod settled;

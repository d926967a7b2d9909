//! What a node counts.

/// What a node counts, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Frames and parcels that could not be read.
    pub damaged: u64,
    /// Frames that came by somebody who may not bring them.
    pub forged: u64,
    /// Frames of, or for, a life that is not up, or over; and what nobody waits for any more.
    pub strays: u64,
    /// Frames and parcels of a kind that this release does not know.
    pub unknown: u64,
    /// Acknowledgements of what was not sent.
    pub nonsense: u64,
    /// Heartbeats of those that were not let in.
    pub refused: u64,
    /// Frames for others that were handed on.
    pub handed_on: u64,
    /// Changes of the session table that a node could not be told of at once, since too much waited for it.
    pub untold: u64,
    /// Pages of the session table that were asked for again.
    pub pages_late: u64,
}

//! What nodes are called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use xmpp_core::time::Timestamp;

/// Bytes that the name of a node or a site may have.
pub const NAME: usize = 63;

/// The name of a node: what an operator calls it, the same in all its lives.
///
/// One to 63 of `a-z`, `0-9` and `-`, the first and the last of them no `-`: a label of a host name. So every engine can
/// have it in its keys and subjects as it is.
///
/// ```
/// use xmpp_cluster::node::NodeId;
///
/// let node: NodeId = "a-1".parse().unwrap();
/// assert_eq!(node.as_str(), "a-1");
/// assert!("A.1".parse::<NodeId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// The name of a site: nodes on one network, which are to be lost to each other together or not at all. The grammar is
/// that of a [`NodeId`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

/// It is no name of a node or a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of 1 to 63 letters a-z, digits, and hyphens between them")]
pub struct NotAName;

/// Which of its lives a node is in. Of two lives the later one has the greater number; what comes from an earlier one is
/// of the dead.
///
/// It is the time of the start in milliseconds, or one more than the life before if the clock has gone back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A node in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// Its name.
    pub node: NodeId,
    /// Which life.
    pub incarnation: Incarnation,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name and life.
    pub life: Life,
    /// Where it stands.
    pub site: SiteId,
    /// The versions of frames that it reads.
    pub versions: Versions,
}

/// Versions of frames, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl NodeInfo {
    /// What a node of this release says of itself.
    pub fn new(node: NodeId, site: SiteId, incarnation: Incarnation) -> NodeInfo {
        NodeInfo {
            life: Life { node, incarnation },
            site,
            versions: crate::frame::VERSIONS,
        }
    }
}

impl NodeId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SiteId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Incarnation {
    /// The life that begins at `now`, if the one before (as far as anybody knows) was `last`.
    pub fn begin(now: Timestamp, last: Option<Incarnation>) -> Incarnation {
        let now = u64::try_from(now.0).unwrap_or_default();
        Incarnation(now.max(last.map_or(0, |last| last.0.saturating_add(1))))
    }

    /// The time at which it began, if its node's clock was right.
    pub fn began(self) -> Timestamp {
        Timestamp(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl Versions {
    /// The newest version that both read; `None` if there is none.
    pub fn common(self, other: Versions) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

fn name(text: &str) -> Result<Arc<str>, NotAName> {
    let hyphen_at_an_end = text.starts_with('-') || text.ends_with('-');
    let known = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match (1..=NAME).contains(&text.len()) && !hyphen_at_an_end && text.bytes().all(known) {
        true => Ok(text.into()),
        false => Err(NotAName),
    }
}

impl FromStr for NodeId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<NodeId, NotAName> {
        name(text).map(NodeId)
    }
}

impl FromStr for SiteId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<SiteId, NotAName> {
        name(text).map(SiteId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.incarnation.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_of_a_host_name() {
        let longest = "a".repeat(NAME);
        for good in ["a", "node-1", "7", "a--b", &longest] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
            assert_eq!(good.parse::<SiteId>().unwrap().to_string(), good);
        }
        let too_long = "a".repeat(NAME + 1);
        for bad in [
            "", "-a", "a-", "A", "a.b", "a b", "ä", "a/b", "*", ">", &too_long,
        ] {
            assert_eq!(bad.parse::<NodeId>(), Err(NotAName), "{bad}");
        }
    }

    #[test]
    fn each_life_is_greater_than_the_one_before_whatever_the_clock_says() {
        let first = Incarnation::begin(Timestamp(1000), None);
        assert_eq!(first, Incarnation(1000));
        assert!(Incarnation::begin(Timestamp(1001), Some(first)) > first);
        assert!(Incarnation::begin(Timestamp(-5), Some(first)) > first);
        assert_eq!(
            Incarnation::begin(Timestamp(1), Some(Incarnation(u64::MAX))).0,
            u64::MAX
        );
        assert_eq!(first.began(), Timestamp(1000));
    }

    #[test]
    fn two_nodes_speak_the_newest_version_that_both_read() {
        let of = |oldest, newest| Versions { oldest, newest };
        assert_eq!(of(1, 2).common(of(2, 3)), Some(2));
        assert_eq!(of(1, 1).common(of(1, 2)), Some(1));
        assert_eq!(of(1, 1).common(of(2, 3)), None);
    }
}

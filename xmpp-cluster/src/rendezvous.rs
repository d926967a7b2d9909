//! Which of several nodes does something that one has to do: all that see the same nodes choose the same one, and when one goes, only
//! what was its own falls to others.

use crate::node::NodeId;

/// The node that is first for a key.
pub fn first<'a>(key: &str, nodes: impl IntoIterator<Item = &'a NodeId>) -> Option<&'a NodeId> {
    nodes
        .into_iter()
        .max_by_key(|node| (weight(key, node), *node))
}

/// FNV-1a, and then the last step of SplitMix64: the same on every machine and in every release.
fn weight(key: &str, node: &NodeId) -> u64 {
    let name = node.as_str().bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.chain([0]).chain(key.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<NodeId> {
        ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec()
    }

    #[test]
    fn keys_are_spread_and_only_those_of_a_node_that_goes_fall_to_others() {
        let nodes = nodes();
        let keys: Vec<String> = (0..3000).map(|n| format!("user{n}@example.org")).collect();
        let mut shares = [0; 3];
        for key in &keys {
            let chosen = first(key, &nodes).unwrap();
            let at = nodes.iter().position(|node| node == chosen).unwrap();
            shares[at] += 1;
            if at != 2 {
                assert_eq!(first(key, &nodes[..2]), Some(chosen));
            }
        }
        assert!(
            shares.iter().all(|share| (800..1200).contains(share)),
            "{shares:?}"
        );
        assert_eq!(first("x", []), None);
    }

    #[test]
    fn the_order_of_nodes_does_not_matter() {
        let nodes = nodes();
        let back: Vec<NodeId> = nodes.iter().rev().cloned().collect();
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(first(key, &nodes), first(key, &back));
        }
    }
}

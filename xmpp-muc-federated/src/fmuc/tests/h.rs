//! What it costs (§6.H). Bytes are those of the stanzas as XML; what compression makes of them depends on the stream.

use super::World;

/// H1.
#[test]
fn h1_a_room_without_occupants_costs_nothing() {
    let mut world = World::new("A B>A");
    world.run("al enters A\nal says A Is anybody there?\nwait 86400\nal says A No.");
    assert_eq!(world.bytes.get(&('A', 'B')), None);
    assert_eq!(world.bytes.get(&('B', 'A')), None);
    assert!(world.is_quiet());
}

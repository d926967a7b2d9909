//! Listed rooms in the order of their addresses, each with a place that is found without counting those before it.

use xmpp_core::BareJid;

use crate::store::Listed;

/// Rooms on one shelf: with one more it becomes two.
const SHELF: usize = 512;

/// Rooms in order, on shelves of which none is empty: where a room is, and which one is at a place, is a matter of one shelf and the
/// lengths of the others.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    shelves: Vec<Vec<Listed>>,
    len: usize,
}

impl Shelves {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, room: &BareJid) -> bool {
        self.find(room).is_ok()
    }

    /// Puts a room into its place, or in that of itself.
    pub(super) fn put(&mut self, listed: Listed) {
        match self.find(&listed.room) {
            Ok((shelf, at)) => self.shelves[shelf][at] = listed,
            Err((shelf, at)) => {
                self.len += 1;
                let Some(full) = self.shelves.get_mut(shelf) else {
                    return self.shelves.push(vec![listed]);
                };
                full.insert(at, listed);
                if full.len() > SHELF {
                    let half = full.split_off(full.len() / 2);
                    self.shelves.insert(shelf + 1, half);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, room: &BareJid) {
        if let Ok((shelf, at)) = self.find(room) {
            self.len -= 1;
            self.shelves[shelf].remove(at);
            if self.shelves[shelf].is_empty() {
                self.shelves.remove(shelf);
            }
        }
    }

    /// How many there are of which this is true, which it is for those up to some place and for none behind it.
    pub(super) fn rank(&self, before: impl Fn(&str) -> bool) -> usize {
        let before = |listed: &Listed| before(listed.room.as_str());
        let is_whole = |shelf: &Vec<Listed>| shelf.last().is_some_and(before);
        let whole = self.shelves.partition_point(is_whole);
        let part = self.shelves.get(whole);
        let part = part.map_or(0, |shelf| shelf.partition_point(before));
        let whole: usize = self.shelves[..whole].iter().map(Vec::len).sum();
        whole + part
    }

    /// From this place on.
    pub(super) fn from(&self, mut place: usize) -> impl Iterator<Item = &Listed> {
        let mut shelves = self.shelves.iter();
        while shelves
            .as_slice()
            .first()
            .is_some_and(|shelf| shelf.len() <= place)
        {
            place -= shelves.next().map_or(0, Vec::len);
        }
        shelves.flatten().skip(place)
    }

    /// The shelf and the place on it, where it is or would be: on the last shelf, if it comes after all others.
    fn find(&self, room: &BareJid) -> Result<(usize, usize), (usize, usize)> {
        let ends_before = |shelf: &Vec<Listed>| shelf.last().is_some_and(|last| last.room < *room);
        let shelf = self.shelves.partition_point(ends_before);
        let shelf = shelf.min(self.shelves.len().saturating_sub(1));
        let place = self.shelves.get(shelf).map_or(Err(0), |rooms| {
            rooms.binary_search_by(|listed| listed.room.cmp(room))
        });
        match place {
            Ok(at) => Ok((shelf, at)),
            Err(at) => Err((shelf, at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Against a map, over several shelves.
    #[test]
    fn rooms_are_where_their_order_has_them() {
        let (mut shelves, mut map) = (Shelves::default(), BTreeMap::new());
        let mut chance = 1_u64;
        for step in 0..12_000_usize {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let room = format!("r{}@rooms.example.org", (chance >> 33) % 3000);
            let room = BareJid::new(&room).unwrap();
            // First it fills, then it empties.
            if (chance >> 20) % 4 < 3 && step < 8000 || (chance >> 20).is_multiple_of(4) {
                let name = Some(step.to_string());
                map.insert(room.clone(), name.clone());
                shelves.put(Listed { room, name });
            } else {
                map.remove(&room);
                shelves.remove(&room);
            }
            assert_eq!(shelves.len(), map.len());
            if step % 500 == 0 {
                check(&shelves, &map);
            }
        }
        assert!(map.len() > 100);
        for room in map.keys() {
            shelves.remove(room);
        }
        check(&shelves, &BTreeMap::new());
        assert!(shelves.shelves.is_empty());
    }

    fn check(shelves: &Shelves, map: &BTreeMap<BareJid, Option<String>>) {
        let all: Vec<_> = map.iter().collect();
        let of = |listed: &Listed| (listed.room.clone(), listed.name.clone());
        for place in [0, 1, SHELF - 1, SHELF, SHELF + 1, all.len()] {
            let got: Vec<_> = shelves.from(place).map(of).collect();
            let wanted = all.iter().skip(place);
            let wanted: Vec<_> = wanted
                .map(|(room, name)| ((*room).clone(), (*name).clone()))
                .collect();
            assert_eq!(got, wanted, "from {place}");
        }
        for (place, (room, _)) in all.iter().enumerate() {
            assert_eq!(shelves.rank(|other| other < room.as_str()), place);
            assert_eq!(shelves.rank(|other| other <= room.as_str()), place + 1);
        }
        assert!(shelves.shelves.iter().all(|shelf| shelf.len() <= SHELF));
    }
}

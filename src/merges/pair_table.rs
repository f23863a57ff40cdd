/*!
A map from pairs of symbols to small values.

Why not a `HashMap`? A key is one integer, so that one multiplication hashes it, by a secret of the process
(`pair_factor`), because words can be made that give any pairs. Entries are never removed
one by one. Open addressing with linear probing then needs no control bytes, and an entry whose key and value
share 8 or 16 bytes is mostly one cache line away.

The uppermost bits of a hash choose the slot. So the slots are in the order of hashes, and several tables of
different sizes can be summed in parallel, a range of hashes at a time. Entries that come in the order of hashes
must go into a table with room for all of them: in a table that still has to grow, they would all go into its
first slots.
*/

use super::pair_factor::factor;
use crate::prefetch::prefetch;
use crate::room::{filled, lengthen};

/// Two symbols in one integer.
pub(super) trait PairKey: Copy + Eq + Send + Sync + 'static {
    /// No pair.
    const NONE: Self;
    /// A hash whose uppermost bits are well mixed, by an odd factor.
    fn hash(self, factor: u64) -> u64;
}

macro_rules! pair_key {
    ($key:ty) => {
        impl PairKey for $key {
            const NONE: Self = <$key>::MAX;

            #[inline]
            fn hash(self, factor: u64) -> u64 {
                (self as u64).wrapping_mul(factor)
            }
        }
    };
}
pair_key!(u32);
pair_key!(u64);

/// The logarithm of the number of slots of an empty table.
const LOG_FEWEST_SLOTS: u32 = 10;

/// A map from pairs to small values. Open addressing, linear probing, at most five eighths full; nothing is
/// ever removed.
pub(super) struct PairTable<K, V> {
    slots: Vec<(K, V)>,
    len: usize,
    /// The secret of the hash, the same for all tables of a process, which are summed in the order of hashes.
    factor: u64,
    /// The number of the uppermost bits of a hash that are the same for all keys.
    skip: u32,
    /// The number of bits of what is left of the hash that do not choose the slot.
    shift: u32,
}

impl<K: PairKey, V: Copy + Default> PairTable<K, V> {
    pub fn new() -> Self {
        PairTable::with_room(0, 0)
    }

    /// A table for `len` keys whose hashes have the same `skip` uppermost bits.
    pub fn with_room(len: usize, skip: u32) -> Self {
        PairTable::with_factor(len, skip, factor())
    }

    fn with_factor(len: usize, skip: u32, factor: u64) -> Self {
        let num_slots = (len + len / 5 * 3 + 8).next_power_of_two().max(1 << LOG_FEWEST_SLOTS);
        let slots = filled((K::NONE, V::default()), num_slots);
        PairTable { slots, len: 0, factor, skip, shift: u64::BITS - num_slots.ilog2() }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot where the search for a key begins.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // It is smaller than the number of slots.
    fn home(&self, key: K) -> usize {
        (key.hash(self.factor) << self.skip >> self.shift) as usize
    }

    /// The slot of `key`, or the slot where it would be inserted.
    #[inline]
    fn find(&self, key: K) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        while self.slots[at].0 != key && self.slots[at].0 != K::NONE {
            at = (at + 1) & mask;
        }
        at
    }

    /// Prefetches the slot of a key that is looked up soon.
    #[inline]
    pub fn prefetch(&self, key: K) {
        prefetch(&self.slots, self.home(key));
    }

    #[inline]
    pub fn get(&self, key: K) -> Option<V> {
        let (found, value) = self.slots[self.find(key)];
        (found == key).then_some(value)
    }

    /// The value of `key`, inserted on first use.
    #[inline]
    pub fn entry(&mut self, key: K) -> &mut V {
        let mut at = self.find(key);
        if self.slots[at].0 == K::NONE {
            if self.len >= self.slots.len() / 8 * 5 {
                self.grow();
                at = self.find(key);
            }
            self.slots[at].0 = key;
            self.len += 1;
        }
        &mut self.slots[at].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.slots.iter().copied().filter(|slot| slot.0 != K::NONE)
    }

    /// The entries whose hash is in range number `part` of 2^`log_parts` equal ranges, in no particular order.
    /// There are at most 2^[`PairTable::MAX_LOG_PARTS`] ranges.
    pub fn part(&self, part: usize, log_parts: u32) -> impl Iterator<Item = (K, V)> {
        let (len, width) = (self.slots.len(), self.slots.len() >> log_parts);
        let (start, end) = (part * width, (part + 1) * width);
        // Probing may have moved an entry beyond its range, over occupied slots only, and around the end.
        let beyond = (end..start + len).map(move |at| self.slots[at & (len - 1)]);
        let beyond = beyond.take_while(|slot| slot.0 != K::NONE);
        let inside = self.slots[start..end].iter().copied();
        inside
            .chain(beyond)
            .filter(move |slot| slot.0 != K::NONE && self.home(slot.0) >> width.ilog2() == part)
    }

    /// The greatest logarithm of a number of parts.
    pub const MAX_LOG_PARTS: u32 = LOG_FEWEST_SLOTS;

    /// Doubles the number of slots in place. The upper half of the old slots is moved first, from the last slot on, so
    /// that an entry, whose number doubles, comes to a slot that was moved already. Where it does not, because
    /// others were in its way, it waits until all are moved.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let (nothing, num_slots) = ((K::NONE, V::default()), self.slots.len());
        lengthen(&mut self.slots, nothing, 2 * num_slots);
        self.shift -= 1;
        let mut waiting = Vec::new();
        for from in (0..num_slots).rev() {
            let slot = std::mem::replace(&mut self.slots[from], nothing);
            if slot.0 != K::NONE {
                match self.find_from(from, slot.0) {
                    Some(at) => self.slots[at] = slot,
                    None => waiting.push(slot),
                }
            }
        }
        for slot in waiting {
            let at = self.find(slot.0);
            self.slots[at] = slot;
        }
    }

    /// The free slot for a key, if its search passes only slots from number `from` on.
    fn find_from(&self, from: usize, key: K) -> Option<usize> {
        let home = self.home(key);
        if home < from {
            return None;
        }
        Some(self.find(key)).filter(|&at| at >= home)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair_factor::factor_of;
    use super::*;
    use crate::hash_seed::{GOLDEN, HashSeed};
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    /// A table whose hash the tests know.
    fn known(len: usize, skip: u32) -> PairTable<u32, u32> {
        PairTable::with_factor(len, skip, GOLDEN)
    }

    fn hash(key: u32) -> u64 {
        key.hash(GOLDEN)
    }

    /// Keys whose search begins in the last slot come first, so that some wrap around to the first slots.
    fn keys(num_entries: usize) -> impl Iterator<Item = u32> {
        (0..)
            .filter(|key: &u32| hash(*key) >> 54 == 1023)
            .take(num_entries.min(20))
            .chain((0..).step_by(65_539))
            .take(num_entries)
    }

    #[test]
    fn every_entry_is_in_exactly_one_part() {
        for num_entries in [0, 1, 20, 600, 640, 5000] {
            let mut table = known(0, 0);
            keys(num_entries).for_each(|key| *table.entry(key) = !key);
            for log_parts in [0, 1, 2, 5, LOG_FEWEST_SLOTS] {
                let mut found: Vec<_> =
                    (0..1 << log_parts).flat_map(|part| table.part(part, log_parts)).collect();
                found.sort_unstable();
                let mut expected: Vec<_> = keys(num_entries).map(|key| (key, !key)).collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{num_entries} entries, {log_parts}");
            }
        }
    }

    #[test]
    fn entries_are_found_after_the_table_has_grown_around_any_crowded_slots() {
        for crowded in [0, 1, 3, 511, 512, 700, 1022, 1023] {
            for num_crowded in [1, 5, 300, 639] {
                let all = (0..).filter(|key: &u32| hash(*key) >> 54 == crowded).take(num_crowded);
                let near = (0..).filter(|key: &u32| (hash(*key) >> 54).abs_diff(crowded) == 1).take(200);
                let keys: Vec<_> = all.chain(near).chain((7..).step_by(65_539).take(500)).collect();
                let mut table = known(0, 0);
                for (i, &key) in keys.iter().enumerate() {
                    *table.entry(key) = !key;
                    assert_eq!(table.get(keys[i / 2]), Some(!keys[i / 2]));
                }
                assert!(keys.iter().all(|&key| table.get(key) == Some(!key)), "{crowded} {num_crowded}");
                let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
                assert_eq!((table.len(), table.iter().count()), (distinct.len(), distinct.len()));
                assert!(table.slots.len() > 1 << LOG_FEWEST_SLOTS || distinct.len() <= 640);
            }
        }
    }

    /// The second key of the last slot wraps around behind the first slot, whose key moves to the second slot.
    #[test]
    fn an_entry_that_wrapped_around_is_found_after_the_table_has_grown() {
        let of_slot = |slot: u64| (0..).filter(move |key: &u32| hash(*key) >> 53 == slot);
        let middle = (0..).filter(|key: &u32| (200..1800).contains(&(hash(*key) >> 53)));
        let keys: Vec<_> = of_slot(1).take(1).chain(of_slot(2047).take(2)).chain(middle.take(700)).collect();
        let mut table = known(0, 0);
        keys.iter().for_each(|&key| *table.entry(key) = !key);
        assert_eq!((table.slots.len(), table.len()), (2 << LOG_FEWEST_SLOTS, keys.len()));
        assert!(keys.iter().all(|&key| table.get(key) == Some(!key)));
    }

    #[test]
    fn a_part_can_be_a_table_of_its_own() {
        let mut table = known(0, 0);
        keys(5000).for_each(|key| *table.entry(key) = !key);
        for log_parts in [1, 5] {
            let entries: Vec<_> = table.part(1, log_parts).collect();
            let mut part = known(entries.len(), log_parts);
            let num_slots = part.slots.len();
            entries.iter().for_each(|&(key, value)| *part.entry(key) = value);
            assert_eq!((part.len(), part.slots.len()), (entries.len(), num_slots));
            assert!(entries.iter().all(|&(key, value)| part.get(key) == Some(value)));
            let homes: std::collections::HashSet<_> =
                entries.iter().map(|entry| part.home(entry.0)).collect();
            assert!(homes.len() > entries.len() / 2, "the keys of a part use all slots");
        }
    }

    #[test]
    fn a_table_with_room_is_at_most_five_eighths_full_and_not_much_larger() {
        for len in [0, 1, 639, 641, 5000, 40_000, 100_000] {
            let table: PairTable<u32, u32> = PairTable::with_room(len, 0);
            let (num_slots, least) = (table.slots.len(), len * 8 / 5);
            assert!(
                least <= num_slots && num_slots <= (2 * least + 16).max(1024),
                "{num_slots} slots for {len} keys"
            );
        }
    }

    /// Pairs of ids below 65,536 that were chosen for a known factor. With a secret one they are like any others.
    #[test]
    fn pairs_made_to_have_the_same_hash_lie_together_only_where_the_factor_is_known() {
        let crowded: Vec<u32> = (0..).filter(|key| hash(*key) >> 50 == 7).take(5000).collect();
        let longest_run = |factor| {
            let mut table: PairTable<u32, u32> = PairTable::with_factor(0, 0, factor);
            crowded.iter().for_each(|&key| *table.entry(key) = !key);
            assert!(crowded.iter().all(|&key| table.get(key) == Some(!key)));
            table.slots.split(|slot| slot.0 == u32::NONE).map(<[_]>::len).max()
        };
        assert_eq!(longest_run(GOLDEN), Some(5000));
        for seed in [HashSeed::chosen(0x0123_4567_89AB_CDEF, 0), HashSeed::chosen(0xFEDC_BA98_7654_3211, 1)] {
            assert!(longest_run(factor_of(seed)) < Some(1000), "{seed:?}");
        }
    }

    /// 400,000 keys of 18 bits, as pairs of few tokens are. Of factors drawn from all odd numbers, the worst of 48 visited 9.8
    /// times as many slots as the golden ratio.
    #[test]
    fn with_a_factor_that_was_drawn_a_search_visits_about_as_many_slots_as_with_the_golden_ratio() {
        let random = BuildHasherDefault::<DefaultHasher>::default();
        let key = |n| u32::try_from(random.hash_one(n) >> 46).unwrap_or(0);
        let keys: Vec<u32> = (0..400_000_u32).map(key).collect();
        let steps = |factor| {
            let mut table: PairTable<u32, u32> = PairTable::with_factor(0, 0, factor);
            let mut steps = 0;
            for &key in &keys {
                *table.entry(key) = 1;
                steps += 1 + (table.find(key).wrapping_sub(table.home(key)) & (table.slots.len() - 1));
            }
            steps
        };
        let golden = steps(GOLDEN);
        for number in 1..20 {
            let drawn = steps(factor_of(HashSeed::chosen(number << 32, number)));
            assert!(drawn < golden + golden / 10, "{number}: {drawn} {golden}");
        }
    }
}

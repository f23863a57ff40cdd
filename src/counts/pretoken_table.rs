/*!
A map from pretokens to their counts.

Why not a `HashMap<Vec<u8>, u64>`? Nine pretokens in ten are their own key (`crate::pretoken_key`). So nothing is
allocated for them and no pointer is followed. The bytes of longer pretokens are stored one after another in one
vector, and their key holds the position.

Why are keys and counts not in the hash table? The hash table must have empty places, and it is copied when it
grows. A place takes 4 bytes, because it holds only a number. Keys and counts are stored in the order of
insertion, without gaps.

The hash has a secret ([`crate::hash_seed`]). Without it, a text made for the purpose gives all of its pretokens the
same home, and each lookup compares them all. The tables of workers ([`super::table`], [`crate::encode`]) need no
secret: a lookup there visits a few lines at most.
*/

use crate::count_file::{Merged, Report, SortedCounts};
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::prefetch::prefetch;
use crate::pretoken_key::{Key, LONG, NO_PLACE, SHORT, home, is_long, key, unplaced};
use crate::threads::with_threads;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::cmp::Ordering;

/// The number of slots of an empty table.
const MIN_SLOTS: usize = 1 << 7;

/// A map from pretokens to counts. Each pretoken has a number, from 0 in the order of insertion.
pub(super) struct PretokenTable {
    /// Open addressing, linear probing, at most half full. 0 is empty, n is `keys[n]`.
    slots: Vec<u32>,
    /// [`Key`]s as bytes, by number + 1. The first one belongs to no pretoken.
    keys: Vec<[u8; 16]>,
    counts: Vec<u64>,
    /// The bytes of long pretokens, each after its length (8 bytes).
    long: Vec<u8>,
    seed: HashSeed,
}

impl PretokenTable {
    /// An empty table for keys by a seed.
    pub fn new(seed: HashSeed) -> Self {
        PretokenTable {
            slots: vec![0; MIN_SLOTS],
            keys: vec![[LONG; 16]],
            counts: Vec::new(),
            long: Vec::new(),
            seed,
        }
    }

    /// The maximum number of pretokens: the number of a slot fits 32 bits. It is a million less than 2^31, so
    /// that it is enough to check it now and then.
    pub const MAX_LEN: usize = (1 << 31) - (1 << 20);

    /// An empty table for keys by a seed, with memory for `len` pretokens, less than half of the slots, and for `long` bytes
    /// of long ones.
    pub fn with_room(num_slots: usize, len: usize, long: usize, seed: HashSeed) -> Self {
        let (mut keys, counts) = (Vec::with_capacity(len + 1), Vec::with_capacity(len));
        keys.push([LONG; 16]);
        PretokenTable {
            slots: vec![0; num_slots.next_power_of_two().max(MIN_SLOTS)],
            keys,
            counts,
            long: Vec::with_capacity(long),
            seed,
        }
    }

    /// The bytes that a pretoken takes among the long ones, none for a short one.
    pub fn long_size(long: &[u8]) -> usize {
        if long.is_empty() { 0 } else { 8 + long.len() }
    }

    /// The number of bytes of long pretokens, with their lengths.
    pub fn num_long_bytes(&self) -> usize {
        self.long.len()
    }

    /// Prefetches what [`PretokenTable::add`] will read for these keys.
    pub fn prefetch(&self, keys: impl Iterator<Item = Key> + Clone) {
        let slot = |key| home(unplaced(key), self.slots.len(), self.seed);
        keys.clone().for_each(|key| prefetch(&self.slots, slot(key)));
        for key in keys {
            let number = self.slots[slot(key)] as usize;
            prefetch(&self.keys, number);
            prefetch(&self.counts, number.wrapping_sub(1));
        }
    }

    /// Adds `count` occurrences of a pretoken. `bytes` are those of a long pretoken, whatever place its key has.
    /// Returns `None`, and changes nothing, if the sum is 2^64 or more.
    pub fn add(&mut self, key: Key, bytes: &[u8], count: u64) -> Option<()> {
        let key = unplaced(key);
        match self.find(key, bytes) {
            Ok(number) => self.counts[number] = self.counts[number].checked_add(count)?,
            Err(slot) => self.insert(slot, key, bytes, count),
        }
        Some(())
    }

    /// Takes all occurrences of a pretoken away; says whether there were any.
    pub fn forget(&mut self, pretoken: &[u8]) -> bool {
        match self.find(key(pretoken, self.seed), pretoken) {
            Ok(number) => std::mem::take(&mut self.counts[number]) > 0,
            Err(_) => false,
        }
    }

    /// The number of pretokens.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Each pretoken and its count, by number.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        (1..).zip(&self.counts).map(|(at, &count)| (self.bytes(at), count))
    }

    /// The bytes of a long pretoken at a position.
    #[allow(clippy::cast_possible_truncation)] // Positions and lengths that were usize.
    fn long_bytes(&self, position: u64) -> &[u8] {
        let (len, bytes) = self.long[position as usize..].split_at(8);
        let len = len.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
        &bytes[..len as usize]
    }

    /// The table's entries in ascending order of their bytes. Looking pretokens up is over until
    /// [`SortedTable::clear`].
    fn into_sorted(mut self, job: &Job) -> Result<SortedTable, Error> {
        let mut order = std::mem::take(&mut self.slots);
        let num_slots = order.len();
        order.clear();
        order.extend((1..).zip(&self.counts).filter(|&(_, &count)| count > 0).map(|(number, _)| number));
        for piece in order.chunks_mut(PIECE) {
            job.check()?;
            piece.sort_unstable_by(|&a, &b| self.compare(a as usize, b as usize));
        }
        Ok(SortedTable { table: self, order, num_slots })
    }

    /// The order of the bytes of two pretokens, given by their numbers + 1.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let (short_a, short_b) = (&self.keys[a], &self.keys[b]);
        if short_a[SHORT] == LONG || short_b[SHORT] == LONG {
            return self.bytes(a).cmp(self.bytes(b));
        }
        // A shorter pretoken is padded with zeros, and its length comes last.
        u128::from_be_bytes(*short_a).cmp(&u128::from_be_bytes(*short_b))
    }

    /// The bytes of a pretoken, given by its number + 1.
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a position.
    fn bytes(&self, at: usize) -> &[u8] {
        let key = &self.keys[at];
        match key[SHORT] {
            LONG => self.long_bytes(u128::from_le_bytes(*key) as u64),
            len => &key[..len.into()],
        }
    }

    /// The number of a pretoken, or the free slot where it belongs.
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a position.
    fn find(&self, key: Key, bytes: &[u8]) -> Result<usize, usize> {
        let mut slot = home(key, self.slots.len(), self.seed);
        while self.slots[slot] != 0 {
            let found = u128::from_le_bytes(self.keys[self.slots[slot] as usize]);
            let is_same = match is_long(key) {
                false => found == key,
                true => found >> 64 == key >> 64 && self.long_bytes(found as u64) == bytes,
            };
            if is_same {
                return Ok(self.slots[slot] as usize - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        Err(slot)
    }

    #[allow(clippy::cast_possible_truncation)] // Numbers stay near `MAX_LEN` at most.
    fn insert(&mut self, slot: usize, mut key: Key, bytes: &[u8], count: u64) {
        if is_long(key) {
            key = key & !Key::from(NO_PLACE) | self.long.len() as Key;
            self.long.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            self.long.extend_from_slice(bytes);
        }
        self.slots[slot] = self.keys.len() as u32;
        self.keys.push(key.to_le_bytes());
        self.counts.push(count);
        if self.keys.len() > self.slots.len() / 2 {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        self.slots.clear();
        self.slots.resize(mask + 1, 0);
        for (number, key) in (1..).zip(&self.keys[1..]) {
            let mut slot = home(unplaced(u128::from_le_bytes(*key)), mask + 1, self.seed);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number;
        }
    }
}

/// The number of pretokens that are sorted at once, between two checks of the cancel flag.
const PIECE: usize = 1 << 18;

/// A table whose entries are sorted, in pieces. The order takes the memory of the slots.
struct SortedTable {
    table: PretokenTable,
    /// Numbers + 1, each piece in ascending order of the pretokens.
    order: Vec<u32>,
    num_slots: usize,
}

impl SortedTable {
    /// Each piece of the entries.
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.order.chunks(PIECE).map(|order| Piece { table: &self.table, order, at: 0 })
    }

    /// An empty table with the same memory.
    fn clear(self) -> PretokenTable {
        let SortedTable { mut table, mut order, num_slots } = self;
        order.clear();
        order.resize(num_slots, 0);
        table.slots = order;
        table.keys.truncate(1);
        table.counts.clear();
        table.long.clear();
        table
    }
}

/// Some tables whose entries are sorted.
pub(super) struct SortedTables(Vec<SortedTable>);

impl SortedTables {
    /// Sorts on the calling thread.
    pub fn new(tables: Vec<PretokenTable>, job: &Job) -> Result<Self, Error> {
        tables.into_iter().map(|table| table.into_sorted(job)).collect::<Result<_, _>>().map(SortedTables)
    }

    /// Sorts on some threads.
    pub fn by_threads(tables: Vec<PretokenTable>, threads: usize, job: &Job) -> Result<Self, Error> {
        let sort = |table: PretokenTable| table.into_sorted(job);
        with_threads(threads, |pool| pool.install(|| tables.into_par_iter().map(sort).collect()))
            .map(SortedTables)
    }

    /// All entries in order.
    pub fn merged<'a>(&'a self, report: Report<'a>) -> Result<Merged<'a, Piece<'a>>, Error> {
        Merged::new(self.0.iter().flat_map(SortedTable::pieces).collect(), report)
    }

    /// Empty tables with the same memory.
    pub fn clear(self) -> Vec<PretokenTable> {
        self.0.into_iter().map(SortedTable::clear).collect()
    }
}

/// Some entries of a table, in order.
pub(super) struct Piece<'a> {
    table: &'a PretokenTable,
    /// The number + 1 of the entry and of those after it.
    order: &'a [u32],
    at: usize,
}

impl SortedCounts for Piece<'_> {
    fn advance(&mut self) -> Result<bool, Error> {
        let next = self.order.split_off_first();
        self.at = next.map_or(0, |&at| at as usize);
        Ok(next.is_some())
    }

    fn pretoken(&self) -> &[u8] {
        self.table.bytes(self.at)
    }

    fn count(&self) -> u64 {
        self.table.counts[self.at - 1]
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::hash_seed::GOLDEN;
    use crate::pretoken_key::of_one_hash;

    impl PretokenTable {
        fn add_one(&mut self, pretoken: &[u8], count: u64) {
            self.add(key(pretoken, self.seed), pretoken, count).expect("a sum");
        }

        /// The number of slots that a lookup of this pretoken visits, on average over all.
        fn steps(&self, pretokens: &[Vec<u8>]) -> usize {
            let mask = self.slots.len() - 1;
            let steps = |pretoken: &Vec<u8>| {
                let key = key(pretoken, self.seed);
                let number = self.find(key, pretoken).expect("a number") as u32 + 1;
                let home = home(key, mask + 1, self.seed);
                (0..).position(|i| self.slots[(home + i) & mask] == number).expect("a slot") + 1
            };
            pretokens.iter().map(steps).sum::<usize>() / pretokens.len()
        }
    }

    #[test]
    fn only_a_pretoken_that_has_a_count_can_be_forgotten() {
        let mut table = PretokenTable::new(HashSeed::of_process());
        for pretoken in [&b"short"[..], b"a pretoken of some length"] {
            assert!(!table.forget(pretoken));
            table.add_one(pretoken, 3);
            assert!(table.forget(pretoken));
            assert!(!table.forget(pretoken));
            assert_eq!(table.iter().last(), Some((pretoken, 0)));
        }
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn long_pretokens_of_the_same_hash_are_told_apart() {
        let mut table = PretokenTable::new(HashSeed::KNOWN);
        let pretokens = of_one_hash(100, HashSeed::KNOWN);
        for _ in 0..2 {
            (1..).zip(&pretokens).for_each(|(n, pretoken)| table.add_one(pretoken, n));
        }
        assert!(table.iter().eq(pretokens.iter().map(Vec::as_slice).zip((2..).step_by(2))));
    }

    /// Pretokens of up to 15 bytes whose first eight make one factor of the product zero.
    fn short_of_one_hash(number: u64) -> Vec<Vec<u8>> {
        let first = GOLDEN.to_le_bytes();
        (0..number).map(|n| [&first[..], &n.to_le_bytes()[..7]].concat()).collect()
    }

    #[test]
    fn pretokens_made_to_have_the_same_hash_make_a_lookup_long_only_where_the_seed_is_known() {
        for made in [short_of_one_hash(3000), of_one_hash(3000, HashSeed::KNOWN)] {
            let of_seed = |seed| {
                let mut table = PretokenTable::new(seed);
                made.iter().for_each(|pretoken| table.add_one(pretoken, 1));
                let mut found: Vec<_> = table.iter().map(|(pretoken, _)| pretoken.to_vec()).collect();
                found.sort();
                (table.steps(&made), found)
            };
            let (known, expected) = of_seed(HashSeed::KNOWN);
            assert_eq!(known, 1500);
            for seed in
                [HashSeed::of_process(), HashSeed::chosen(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3211)]
            {
                let (steps, found) = of_seed(seed);
                assert!(steps <= 8, "{steps} steps with {seed:?}");
                assert!(found == expected);
            }
        }
    }

    #[test]
    fn a_long_pretoken_takes_its_bytes_and_a_number() {
        let mut table = PretokenTable::new(HashSeed::KNOWN);
        for (pretoken, size) in [(&b"short"[..], 0), (b"a pretoken of some length", 25 + 8)] {
            let before = table.num_long_bytes();
            table.add_one(pretoken, 1);
            assert_eq!(table.num_long_bytes() - before, size);
        }
        assert_eq!((PretokenTable::long_size(b""), PretokenTable::long_size(&[0; 25])), (0, 33));
    }
}

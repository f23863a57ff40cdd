/*!
The counts that workers have moved out of their tables: a map in several parts, each behind a lock of its own.

Why parts? Because each worker adds to them at any time. A worker collects what it moves, part by part, and locks
a part only to add some dozens of pretokens at once. Workers wait for each other only if they add to the same part
in the same few microseconds, and all parts grow independently, a little at a time. When the corpus ends, each
worker moves its whole table in the same way, so the sum is computed by all of them.
*/

use super::long::Long;
use super::pretoken_table::PretokenTable;
use super::shard_of::shard_of;
use super::spill::{Room, Spill};
use crate::count_file::Runs;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::panics::lock;
use crate::pretoken_key::Key;
use crate::special_tokens::SpecialTokens;
use crate::sync::Mutex;
use std::sync::PoisonError;

/// The number of pretokens that are added to a shard at once.
const BOX: usize = 64;

/// The parts of the map.
pub(super) struct Shards<'s> {
    tables: Vec<Mutex<PretokenTable>>,
    seed: HashSeed,
    /// Where full tables go, if memory is limited.
    spill: Option<Spill<'s>>,
}

impl<'s> Shards<'s> {
    /// Empty shards for keys by a seed. Their number is a power of two.
    pub fn new(number: usize, seed: HashSeed) -> Self {
        let tables = (0..number).map(|_| Mutex::new(PretokenTable::new(seed))).collect();
        Shards { tables, seed, spill: None }
    }

    /// Empty shards whose tables do not grow beyond the room.
    pub fn limited(
        room: &Room,
        seed: HashSeed,
        runs: Runs,
        special_tokens: &'s SpecialTokens,
        job: &'s Job,
    ) -> Self {
        let tables = room.tables(seed).into_iter().map(Mutex::new).collect();
        Shards { tables, seed, spill: Some(Spill::new(room, seed, runs, special_tokens, job)) }
    }

    /// The content. After a panic of a worker nobody uses it.
    pub fn into_tables(self) -> Vec<PretokenTable> {
        into_inner(self.tables)
    }

    /// All counts of limited shards as runs.
    pub fn into_runs(self) -> Result<Option<Runs>, Error> {
        self.spill.map(|spill| spill.finish(into_inner(self.tables))).transpose()
    }

    /// Lets the tables spill if one of them is full.
    fn make_room(&self) -> Result<(), Error> {
        match &self.spill {
            Some(spill) if spill.is_due() => spill.spill(&self.tables),
            _ => Ok(()),
        }
    }

    /// Whether a table has room for a pretoken, given by its bytes if it is long.
    fn fits(&self, table: &PretokenTable, long: &[u8]) -> bool {
        self.spill.as_ref().is_none_or(|spill| spill.fits(table, long))
    }

    /// What a pretoken that fits into no table goes to.
    fn alone(&self, long: &[u8]) -> Option<&Spill<'s>> {
        self.spill.as_ref().filter(|spill| !spill.fits_alone(long))
    }

    /// The pretokens of the fullest table, and the bytes of long ones.
    #[cfg(test)]
    pub fn longest_table(&self) -> (usize, usize) {
        let most = |size: fn(&PretokenTable) -> usize| {
            self.tables.iter().map(|table| size(&lock(table))).max().unwrap_or(0)
        };
        (most(PretokenTable::len), most(PretokenTable::num_long_bytes))
    }
}

fn into_inner(tables: Vec<Mutex<PretokenTable>>) -> Vec<PretokenTable> {
    tables.into_iter().map(|table| table.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// A worker's pretokens on their way to the shards.
pub(super) struct Outbox<'a> {
    shards: &'a Shards<'a>,
    /// For each shard, at most [`BOX`] keys and counts.
    boxes: Vec<Vec<(Key, u32)>>,
    /// The number of pretokens in the largest shard that was seen.
    largest: usize,
    /// The error of spilling. What is added after it is lost.
    error: Option<Error>,
}

impl<'a> Outbox<'a> {
    /// Nothing, on its way to these shards.
    pub fn new(shards: &'a Shards<'a>) -> Self {
        Outbox { shards, boxes: vec![Vec::new(); shards.tables.len()], largest: 0, error: None }
    }

    /// Adds a pretoken. `long` has the bytes of those in the box that are long.
    pub fn push(&mut self, key: Key, count: u32, long: &Long) {
        let shard = shard_of(key, self.boxes.len(), self.shards.seed);
        self.boxes[shard].push((key, count));
        if self.boxes[shard].len() == BOX {
            self.deliver(shard, long);
        }
    }

    /// Adds one occurrence of a pretoken to its shard at once.
    pub fn add_long(&mut self, key: Key, pretoken: &[u8]) {
        if self.add_alone(pretoken, 1) {
            return;
        }
        let shard = shard_of(key, self.boxes.len(), self.shards.seed);
        while self.make_room() {
            let mut table = lock(&self.shards.tables[shard]);
            if self.shards.fits(&table, pretoken) {
                table.add(key, pretoken, 1);
                return;
            }
        }
    }

    /// Adds a pretoken that fits into no table. Returns false for any other.
    fn add_alone(&mut self, long: &[u8], count: u32) -> bool {
        let Some(spill) = self.shards.alone(long) else { return false };
        if self.error.is_none() {
            self.error = spill.add_alone(long, count.into()).err();
        }
        true
    }

    /// Adds everything to the shards.
    pub fn flush(&mut self, long: &Long) {
        (0..self.boxes.len()).for_each(|shard| self.deliver(shard, long));
    }

    /// # Errors
    /// [`Error::Limit`] when a shard has too many pretokens; those of spilling.
    pub fn check(&mut self) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.largest <= PretokenTable::MAX_LEN {
            return Ok(());
        }
        Err(Error::Limit { what: "the number of distinct pretokens", limit: PretokenTable::MAX_LEN as u64 })
    }

    /// Lets the shards spill if one is full. Returns false after an error.
    fn make_room(&mut self) -> bool {
        self.error = self.error.take().or_else(|| self.shards.make_room().err());
        self.error.is_none()
    }

    fn deliver(&mut self, shard: usize, long: &Long) {
        let mut entries = std::mem::take(&mut self.boxes[shard]);
        entries.retain(|&(key, count)| !self.add_alone(long.bytes(key), count));
        let mut left = &entries[..];
        while !left.is_empty() && self.make_room() {
            let mut table = lock(&self.shards.tables[shard]);
            table.prefetch(left.iter().map(|&(key, _)| key));
            while let Some(&(key, count)) = left.first()
                && self.shards.fits(&table, long.bytes(key))
            {
                table.add(key, long.bytes(key), count.into());
                left = &left[1..];
            }
            self.largest = self.largest.max(table.len());
        }
        entries.clear();
        self.boxes[shard] = entries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretoken_key::key;

    #[test]
    fn a_shard_with_too_many_pretokens_is_an_error() {
        let seed = HashSeed::of_process();
        let shards = Shards::new(1, seed);
        let mut outbox = Outbox::new(&shards);
        let long = Long::default();
        for n in 1..=100_usize {
            outbox.push(key(n.to_string().as_bytes(), seed), 1, &long);
            assert_eq!(outbox.largest, n / BOX * BOX);
        }
        outbox.flush(&long);
        assert_eq!(outbox.largest, 100);
        outbox.largest = PretokenTable::MAX_LEN;
        assert!(outbox.check().is_ok());
        outbox.largest += 1;
        let error = outbox.check().expect_err("too many").to_string();
        assert!(error.contains("the number of distinct pretokens"), "{error}");
    }
}

#[cfg(test)]
#[cfg(feature = "loom")]
#[allow(clippy::unwrap_used)]
mod models {
    use super::*;
    use crate::count_file::Rules;
    use crate::pretoken_key::key;
    use crate::pretokenize::Pattern;
    use crate::sync::explore;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// A worker that adds two pretokens, one after another.
    fn add(shards: &Shards<'_>, pretokens: [&[u8]; 2]) -> Result<(), Error> {
        let (mut outbox, long) = (Outbox::new(shards), Long::default());
        for pretoken in pretokens {
            outbox.push(key(pretoken, shards.seed), 1, &long);
            outbox.flush(&long);
        }
        outbox.check()
    }

    #[test]
    fn tables_that_are_exchanged_while_others_add_to_them_lose_nothing() {
        explore(|| {
            // What the shards borrow lives as long as threads of a model may: for ever.
            let job: &'static Job = Box::leak(Box::default());
            let special_tokens: &'static SpecialTokens = Box::leak(Box::default());
            let folder = tempfile::tempdir().unwrap();
            let runs = Runs::new(Rules::new(&Pattern::Gpt2, special_tokens), folder.path(), 64);
            let room = Room::of_one_pretoken();
            let shards = Arc::new(Shards::limited(&room, HashSeed::of_process(), runs, special_tokens, job));
            let other = {
                let shards = Arc::clone(&shards);
                loom::thread::spawn(move || add(&shards, [b"a", b"b"]))
            };
            add(&shards, [b"b", b"c"]).unwrap();
            other.join().unwrap().unwrap();
            let runs = Arc::into_inner(shards).unwrap().into_runs().unwrap().unwrap();
            let mut found = BTreeMap::new();
            let report = |_| Ok(());
            let visit = |pretoken: &[u8], count| {
                found.insert(pretoken.to_vec(), count);
                Ok(())
            };
            runs.merged(&report).unwrap().for_each(visit).unwrap();
            assert_eq!(found, BTreeMap::from([(b"a".to_vec(), 1), (b"b".to_vec(), 2), (b"c".to_vec(), 1)]));
        });
    }
}

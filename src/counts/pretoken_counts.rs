/*!
Counts as data: each pretoken and its number of occurrences.
*/

use super::listed::Listed;
use super::pretoken_table::PretokenTable;
use super::shard_of::{forget, shard_of};
use crate::count_file::{CountReader, Merged};
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::pretoken_key::key;
use crate::special_tokens::SpecialTokens;

/// The most bytes that all pretokens of a file have together. Learning has 32 bits for a place in them.
const MAX_BYTES: u64 = u32::MAX as u64;

/// The number of occurrences of each pretoken.
pub struct PretokenCounts {
    /// Their number is a power of two. Each pretoken belongs to one of them.
    shards: Vec<PretokenTable>,
    /// Pretokens that are in no shard.
    listed: Listed,
    /// The number of entries that do not count: special tokens.
    num_empty: usize,
    /// The bytes of the texts, special tokens included.
    num_bytes: u64,
    seed: HashSeed,
}

impl Default for PretokenCounts {
    fn default() -> Self {
        let seed = HashSeed::of_process();
        PretokenCounts {
            shards: vec![PretokenTable::new(seed)],
            listed: Listed::default(),
            num_empty: 0,
            num_bytes: 0,
            seed,
        }
    }
}

impl PretokenCounts {
    /// Adds `count` occurrences of a pretoken.
    ///
    /// # Errors
    /// [`Error::Limit`] when the pretoken's count would pass 2^64 - 1.
    pub fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), Error> {
        if pretoken.is_empty() || count == 0 {
            return Ok(());
        }
        if self.listed.len() > 0 {
            // A pretoken must not be in both.
            std::mem::take(&mut self.listed)
                .iter()
                .try_for_each(|(pretoken, count)| self.add(pretoken, count))?;
        }
        let key = key(pretoken, self.seed);
        let shard = shard_of(key, self.shards.len(), self.seed);
        let added = self.shards[shard].add(key, pretoken, count);
        added.ok_or(Error::Limit { what: "the count of a pretoken", limit: u64::MAX })
    }

    /// Reads a count file.
    ///
    /// # Errors
    /// [`Error::CountFile`], [`Error::Io`], [`Error::Cancelled`]; [`Error::Limit`] for pretokens of 2^32 bytes or more in all,
    /// which are too many to learn from.
    pub fn read(reader: CountReader, job: &Job) -> Result<Self, Error> {
        PretokenCounts::read_at_most(MAX_BYTES, reader, job)
    }

    fn read_at_most(limit: u64, reader: CountReader, job: &Job) -> Result<Self, Error> {
        let mut counts = PretokenCounts { num_bytes: reader.header().num_bytes, ..PretokenCounts::default() };
        let mut left = limit;
        Merged::new(vec![reader], &|amount| job.report(amount))?.for_each(|pretoken, count| {
            let too_many = || Error::Limit { what: "the size of all distinct pretokens", limit };
            left = left.checked_sub(pretoken.len() as u64).ok_or_else(too_many)?;
            counts.listed.push(pretoken, count);
            Ok(())
        })?;
        Ok(counts)
    }

    /// The same counts, of texts with this number of bytes.
    pub(crate) fn of_bytes(self, num_bytes: u64) -> Self {
        PretokenCounts { num_bytes, ..self }
    }

    /// The tables, of which each pretoken is in one. They have what was counted or added, and not what was read.
    pub(super) fn into_tables(self) -> Vec<PretokenTable> {
        self.shards
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.shards.iter().map(PretokenTable::len).sum::<usize>() - self.num_empty + self.listed.len()
    }

    /// The bytes of the texts that were counted, special tokens included.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each pretoken and its count, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let counted = self.shards.iter().flat_map(PretokenTable::iter).filter(|&(_, count)| count > 0);
        counted.chain(self.listed.iter())
    }

    /// The counts in some tables of one seed, without special tokens.
    pub(super) fn new(
        mut shards: Vec<PretokenTable>,
        num_bytes: u64,
        special_tokens: &SpecialTokens,
        seed: HashSeed,
    ) -> Self {
        let num_empty = forget(&mut shards, special_tokens, seed);
        PretokenCounts { shards, listed: Listed::default(), num_empty, num_bytes, seed }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::count_file::{Rules, Runs};
    use crate::counts::CollectedCounts;
    use crate::pretokenize::Pattern;

    /// In a file, entries share their first bytes, so that pretokens of 20 GB fit into a megabyte.
    #[test]
    fn reading_stops_once_the_pretokens_are_too_long_together() {
        let (folder, job) = (tempfile::tempdir().unwrap(), Job::default());
        let rules = Rules::new(&Pattern::Gpt2, &SpecialTokens::default());
        let reader = || {
            let runs = Runs::new(rules.clone(), folder.path(), 64);
            let mut counts = CollectedCounts::new(rules.clone(), runs);
            for pretoken in [&b"a"[..], b"ab", b"abc"] {
                counts.add(pretoken, 1, &job).unwrap();
            }
            assert_eq!(counts.num_bytes(), 6);
            counts.into_runs(&job).unwrap().1.into_one(&|_| Ok(()), |_| ()).unwrap()
        };
        let mut counts = PretokenCounts::read_at_most(6, reader(), &job).unwrap();
        let sorted = |counts: &PretokenCounts| {
            let mut all: Vec<(Vec<u8>, u64)> = counts.iter().map(|(word, n)| (word.to_vec(), n)).collect();
            all.sort();
            all
        };
        let word = |bytes: &[u8], n| (bytes.to_vec(), n);
        assert_eq!((counts.len(), counts.num_bytes()), (3, 0));
        assert_eq!(sorted(&counts), [word(b"a", 1), word(b"ab", 1), word(b"abc", 1)]);
        counts.add(b"ab", 4).unwrap();
        assert_eq!(
            (counts.len(), sorted(&counts)),
            (3, vec![word(b"a", 1), word(b"ab", 5), word(b"abc", 1)])
        );
        assert_eq!(counts.of_bytes(7).num_bytes(), 7);
        let refused = PretokenCounts::read_at_most(5, reader(), &job);
        assert!(matches!(
            refused,
            Err(Error::Limit { what: "the size of all distinct pretokens", limit: 5 })
        ));
    }
}

/*!
Counts as data: each pretoken and its number of occurrences.
*/

use super::listed::Listed;
use super::pretoken_table::PretokenTable;
use super::shards::shard_of;
use crate::count_file::{CountReader, SortedCounts};
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::pretoken_key::key;
use crate::special_tokens::SpecialTokens;

/// The number of pretokens that are read from a file between two reports of progress.
const READ_AT_ONCE: u64 = 1 << 14;

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
    /// [`Error::CountFile`], [`Error::Io`], [`Error::Cancelled`].
    pub fn read(mut reader: CountReader, job: &Job) -> Result<Self, Error> {
        let mut counts = PretokenCounts { num_bytes: reader.header().num_bytes, ..PretokenCounts::default() };
        let mut num_new = 0;
        while reader.advance()? {
            counts.listed.push(reader.pretoken(), reader.count());
            num_new += 1;
            if num_new == READ_AT_ONCE {
                job.check()?;
                job.advance(std::mem::take(&mut num_new));
            }
        }
        job.advance(num_new);
        Ok(counts)
    }

    /// The same counts, of texts with this number of bytes.
    pub(crate) fn of_bytes(self, num_bytes: u64) -> Self {
        PretokenCounts { num_bytes, ..self }
    }

    /// The tables, of which each pretoken is in one.
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

    /// The counts in some tables of one seed, without special tokens. The scanner reports a special token as a pretoken
    /// that no other equals.
    pub(super) fn new(
        mut shards: Vec<PretokenTable>,
        num_bytes: u64,
        special_tokens: &SpecialTokens,
        seed: HashSeed,
    ) -> Self {
        let mut num_empty = 0;
        for token in special_tokens.as_slice() {
            let shard = shard_of(key(token.as_bytes(), seed), shards.len(), seed);
            num_empty += usize::from(shards[shard].forget(token.as_bytes()));
        }
        PretokenCounts { shards, listed: Listed::default(), num_empty, num_bytes, seed }
    }
}

/*!
Counts as data: each pretoken and its number of occurrences.
*/

use super::pretoken_table::PretokenTable;
use super::shards::shard_of;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::pretoken_key::key;
use crate::special_tokens::SpecialTokens;

/// The number of occurrences of each pretoken.
pub struct PretokenCounts {
    /// Their number is a power of two. Each pretoken belongs to one of them.
    shards: Vec<PretokenTable>,
    /// The number of entries that do not count: special tokens.
    num_empty: usize,
    /// The bytes of the texts, special tokens included.
    num_bytes: u64,
    seed: HashSeed,
}

impl Default for PretokenCounts {
    fn default() -> Self {
        let seed = HashSeed::of_process();
        PretokenCounts { shards: vec![PretokenTable::new(seed)], num_empty: 0, num_bytes: 0, seed }
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
        let key = key(pretoken, self.seed);
        let shard = shard_of(key, self.shards.len(), self.seed);
        let added = self.shards[shard].add(key, pretoken, count);
        added.ok_or(Error::Limit { what: "the count of a pretoken", limit: u64::MAX })
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.shards.iter().map(PretokenTable::len).sum::<usize>() - self.num_empty
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
        self.shards.iter().flat_map(PretokenTable::iter).filter(|&(_, count)| count > 0)
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
        PretokenCounts { shards, num_empty, num_bytes, seed }
    }
}

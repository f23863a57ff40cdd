/*!
Counts as data: each pretoken and its number of occurrences.
*/

use super::pretoken_table::PretokenTable;
use crate::error::Error;
use crate::special_tokens::SpecialTokens;
use std::sync::atomic::AtomicU64;

/// The number of occurrences of each pretoken.
#[derive(Default)]
pub struct PretokenCounts {
    table: PretokenTable<u64>,
    /// The number of entries that do not count: special tokens.
    num_empty: usize,
    /// The bytes of the texts, special tokens included.
    num_bytes: u64,
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
        let number = self.table.insert(pretoken, 0);
        let sum = &mut self.table.values_mut()[number];
        *sum = sum
            .checked_add(count)
            .ok_or(Error::Limit { what: "the count of a pretoken", limit: u64::MAX })?;
        Ok(())
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.table.len() - self.num_empty
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
        self.table.iter().map(|(pretoken, &count)| (pretoken, count)).filter(|&(_, count)| count > 0)
    }

    /// The counts in a table, without special tokens. The scanner reports a special token as a pretoken that
    /// no other equals.
    pub(super) fn new(
        table: PretokenTable<AtomicU64>,
        num_bytes: u64,
        special_tokens: &SpecialTokens,
    ) -> Self {
        let mut table = table.map(AtomicU64::into_inner);
        let mut num_empty = 0;
        for token in special_tokens.as_slice() {
            if let Some(number) = table.get(token.as_bytes()) {
                table.values_mut()[number] = 0;
                num_empty += 1;
            }
        }
        PretokenCounts { table, num_empty, num_bytes }
    }
}

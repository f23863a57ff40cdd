/*!
How often each pair occurs, and which pairs are worth an index.

Each thread counts the pairs of its share of the words in a table of its own. The tables are then summed a range
of hashes at a time, on all threads, and only the frequent pairs of each sum are kept: the sums themselves are
never all in memory.

Why not one table for all threads? The most frequent pairs are in every word, so that all threads would write
to the same cache lines.
*/

use super::check::Check;
use super::delay::Delay;
use super::pair::{Pair, Symbol};
use super::pair_table::{PairKey, PairTable};
use super::tie_break::TokenOrder;
use super::words::{Share, Words};
use crate::error::Error;
use rayon::ThreadPool;
use rayon::prelude::*;

/// The sum of a pair. Packed, so that a total and its pair take 16 bytes.
#[derive(Clone, Copy, Default)]
#[repr(Rust, packed(4))]
pub(super) struct Total {
    pub count: u64,
    /// The number of sites. A word that has the pair twice counts twice.
    pub num_sites: u32,
}

impl Total {
    fn add(&mut self, other: Total) {
        self.count += other.count;
        self.num_sites += other.num_sites;
    }
}

/// The limits that a pair must respect to be merged.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub min_frequency: u64,
    pub max_token_length: usize,
}

impl Limits {
    pub fn allow(self, pair: Pair, order: &TokenOrder) -> bool {
        let is_short = self.max_token_length == usize::MAX
            || order.token_len(pair.left) + order.token_len(pair.right) <= self.max_token_length;
        is_short && !order.is_taken(pair)
    }
}

/// The pairs at or above a threshold.
pub(super) struct Frequent<K> {
    pub threshold: u64,
    pub pairs: Vec<(K, Total)>,
}

/// The totals of all pairs, share by share.
pub(super) struct Totals<S: Symbol> {
    pub shares: Vec<PairTable<S::Key, Total>>,
}

impl<S: Symbol> Totals<S> {
    /// Counts the pairs of each share. `are_bytes` says that no merge was applied yet.
    pub fn count(
        words: &Words<S>,
        shares: &[Share],
        are_bytes: bool,
        pool: &ThreadPool,
        check: Check<'_>,
    ) -> Result<Self, Error> {
        let count = |share| {
            if are_bytes { count_bytes(words, share, check) } else { count_pairs(words, share, check) }
        };
        let shares = pool.install(|| shares.par_iter().map(count).collect::<Result<_, _>>())?;
        Ok(Totals { shares })
    }

    /// The pairs whose count is at least the greatest count divided by `divisor`; `None` when no pair may be
    /// merged.
    pub fn frequent(
        &self,
        order: &TokenOrder,
        limits: Limits,
        divisor: u64,
        pool: &ThreadPool,
    ) -> Option<Frequent<S::Key>> {
        let log_parts = match self.shares.len() {
            1 => 0,
            number => (4 * number).next_power_of_two().ilog2().min(PairTable::<S::Key, Total>::MAX_LOG_PARTS),
        };
        let allow = |key| limits.allow(S::pair(key), order);
        let threshold = |greatest: u64| (greatest / divisor).max(limits.min_frequency);
        // The greatest count of a part is no greater than that of all, so no frequent pair is lost.
        let frequent_of = |part| match &self.shares[..] {
            [only] => frequent(only, allow, threshold),
            _ => frequent(&self.sum(part, log_parts), allow, threshold),
        };
        let parts: Vec<_> = pool.install(|| (0..1 << log_parts).into_par_iter().map(frequent_of).collect());
        let greatest =
            parts.iter().map(|part| part.0).max().filter(|&count| count >= limits.min_frequency)?;
        let threshold = threshold(greatest);
        let pairs = parts.into_iter().flat_map(|part| part.1).filter(|(_, total)| total.count >= threshold);
        Some(Frequent { threshold, pairs: pairs.collect() })
    }

    /// The sum of all shares over the pairs of one part.
    fn sum(&self, part: usize, log_parts: u32) -> PairTable<S::Key, Total> {
        let len = self.shares.iter().map(PairTable::len).sum::<usize>() >> log_parts;
        let mut sum: PairTable<S::Key, Total> = PairTable::with_room(len, log_parts);
        for (key, total) in self.shares.iter().flat_map(|share| share.part(part, log_parts)) {
            sum.entry(key).add(total);
        }
        sum
    }
}

/// The greatest count of an allowed pair, and the allowed pairs at or above the threshold that it gives.
fn frequent<K: PairKey>(
    pairs: &PairTable<K, Total>,
    allow: impl Fn(K) -> bool,
    threshold: impl Fn(u64) -> u64,
) -> (u64, Vec<(K, Total)>) {
    let mut greatest = 0;
    for (key, total) in pairs.iter() {
        if total.count > greatest && allow(key) {
            greatest = total.count;
        }
    }
    let threshold = threshold(greatest);
    (greatest, pairs.iter().filter(|&(key, total)| total.count >= threshold && allow(key)).collect())
}

/// Counts the pairs of a share before the first merge: pairs of bytes, in a table that needs no hash.
fn count_bytes<S: Symbol>(
    words: &Words<S>,
    share: &Share,
    check: Check<'_>,
) -> Result<PairTable<S::Key, Total>, Error> {
    let mut dense = vec![Total::default(); 1 << 16];
    words.for_each_pair(share, check, |key, _, count| {
        let Pair { left, right } = S::pair(key);
        dense[(left << 8 | right) as usize & 0xFFFF].add(Total { count, num_sites: 1 });
    })?;
    let mut totals = PairTable::new();
    for (pair, &total) in (0..).zip(&dense).filter(|(_, total)| total.num_sites > 0) {
        *totals.entry(S::key(S::from_id(pair >> 8), S::from_id(pair & 0xFF))) = total;
    }
    Ok(totals)
}

/// Counts the pairs of a share.
fn count_pairs<S: Symbol>(
    words: &Words<S>,
    share: &Share,
    check: Check<'_>,
) -> Result<PairTable<S::Key, Total>, Error> {
    let mut totals: PairTable<S::Key, Total> = PairTable::new();
    let mut delay = Delay::new((S::Key::NONE, 0));
    let add = |totals: &mut PairTable<S::Key, Total>, (key, count)| {
        if key != S::Key::NONE {
            totals.entry(key).add(Total { count, num_sites: 1 });
        }
    };
    words.for_each_pair(share, check, |key, _, count| {
        totals.prefetch(key);
        add(&mut totals, delay.exchange((key, count)));
    })?;
    delay.into_items().for_each(|item| add(&mut totals, item));
    Ok(totals)
}

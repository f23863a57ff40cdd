/*!
The pairs that can be merged next, with their counts and sites, and which of them is first.

Why not an index of all pairs? Nearly all pairs are rare and never become a merge, yet each would cost memory,
and an update at every merge beside it. A pair's count never rises after the step that creates it. So an index
of the pairs with a count of at least some *threshold* is exact: every other pair stays below the threshold
until the first pair of the index falls below it too. Then the threshold is lowered, and a new index is built
from all words. (32,000 merges on web text take four such passes, and only 3 % of the pairs that merges create
are ever stored.)

Counts only fall, so the heap is lazy. An entry may promise a greater count than its pair still has. When such
an entry comes up, it is put back with the true count. The first entry whose count is true is the maximum.
Sites only vanish, so a list of sites is written once. It may name sites whose pair has since been merged
away; it never misses one.
*/

use super::check::{CHECK_EVERY, Check, grow};
use super::heap::Heap;
use super::neighbours::{Side, Tally};
use super::pair::{Pair, Site, Symbol};
use super::pair_table::{PairKey, PairTable};
use super::tie_break::TokenOrder;
use super::words::{Share, Words};
use crate::error::Error;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The cursor of a neighbour whose new pair is not in the index.
const NOWHERE: usize = usize::MAX;

/// An indexed pair. Its count is 0 once it was merged. Packed, so that an entry and its pair take 24 bytes.
#[derive(Clone, Copy, Default)]
#[repr(Rust, packed(4))]
struct Entry {
    count: u64,
    start: usize,
    len: u32,
}

impl Entry {
    fn sites(self) -> Range<usize> {
        self.start..self.start + self.len as usize
    }
}

/// The sum of a pair, from which the index is built. Packed, so that a total and its pair take 16 bytes.
#[derive(Clone, Copy, Default)]
#[repr(Rust, packed(4))]
struct Total {
    count: u64,
    num_sites: u32,
}

/// The limits that a pair must respect to be merged.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub min_frequency: u64,
    pub max_token_length: usize,
}

impl Limits {
    fn allow(self, pair: Pair, order: &TokenOrder) -> bool {
        order.token_len(pair.left) + order.token_len(pair.right) <= self.max_token_length
    }
}

/// The pairs at or above a threshold.
pub(super) struct PairIndex<S: Symbol> {
    threshold: u64,
    limits: Limits,
    entries: PairTable<S::Key, Entry>,
    sites: Vec<Site>,
    /// The number of sites of pairs that were merged or fell below the threshold.
    dead_sites: usize,
    /// The number of dead sites that never causes a collection.
    max_dead_sites: usize,
    heap: Heap<S>,
}

impl<S: Symbol> PairIndex<S> {
    /// Indexes the pairs whose count is at least the greatest count divided by `divisor`; `None` when no pair
    /// may be merged. Each thread of the pool reads its share of the words twice: to count pairs, then to
    /// list their sites.
    pub fn new(
        words: &Words<S>,
        order: &TokenOrder,
        limits: Limits,
        (divisor, max_dead_sites): (u64, usize),
        pool: &ThreadPool,
        check: Check<'_>,
    ) -> Result<Option<Self>, Error> {
        let shares = words.shares(pool.current_num_threads());
        let totals = pool.install(|| {
            shares.par_iter().map(|share| count_pairs(words, share, check)).collect::<Result<_, _>>()
        })?;
        let (totals, other_totals) = sum(totals);
        let allowed = |key| limits.allow(S::pair(key), order);
        let greatest = totals.iter().filter(|&(key, _)| allowed(key)).map(|(_, total)| total.count).max();
        let Some(greatest) = greatest.filter(|&count| count >= limits.min_frequency) else { return Ok(None) };
        let mut index = PairIndex {
            threshold: (greatest / divisor).max(limits.min_frequency),
            limits,
            entries: PairTable::new(),
            sites: Vec::new(),
            dead_sites: 0,
            max_dead_sites,
            heap: Heap::new(),
        };
        let mut listings: Vec<_> =
            shares.into_iter().map(|share| Listing { share, cursors: PairTable::new() }).collect();
        let mut num_sites = 0;
        for (key, total) in
            totals.iter().filter(|&(key, total)| total.count >= index.threshold && allowed(key))
        {
            *index.entries.entry(key) = Entry { count: total.count, start: num_sites, len: 0 };
            index.heap.push(total.count, key, order);
            // The first listing has the sites that the others leave.
            let end = num_sites + total.num_sites as usize;
            let mut start = end;
            for (listing, totals) in listings[1..].iter_mut().zip(&other_totals).rev() {
                start -= totals.get(key).map_or(0, |total| total.num_sites as usize);
                *listing.cursors.entry(key) = Entry { count: 0, start, len: 0 };
            }
            *listings[0].cursors.entry(key) = Entry { count: 0, start: num_sites, len: 0 };
            num_sites = end;
        }
        drop((totals, other_totals));
        let mut sites = Vec::new();
        grow(&mut sites, num_sites, || AtomicU32::new(0), check)?;
        pool.install(|| {
            listings.par_iter_mut().try_for_each(|listing| listing.list_sites(words, &sites, check))
        })?;
        index.sites = sites.into_iter().map(AtomicU32::into_inner).collect();
        index.join(&listings);
        Ok(Some(index))
    }

    /// Closes the gaps between the listings, which words that contain a pair several times leave.
    fn join(&mut self, listings: &[Listing<S>]) {
        for (key, entry) in self.entries.iter_mut() {
            let mut end = entry.start;
            entry.len = 0;
            let mut lists: Vec<Entry> =
                listings.iter().filter_map(|listing| listing.cursors.get(key)).collect();
            lists.sort_unstable_by_key(|list| list.start);
            for list in lists {
                if list.start > end {
                    self.sites.copy_within(list.sites(), end);
                }
                end += list.len as usize;
                entry.len += list.len;
            }
        }
    }

    /// Removes the pair with the greatest count, the first of several by the tie rule, and returns it with
    /// its count; `None` when all pairs are below the threshold. The range gives its sites
    /// ([`PairIndex::sites`]) until the next [`PairIndex::update`].
    ///
    /// # Errors
    /// [`Error::Internal`] for a pair that is in the heap and not in the index.
    pub fn pop(&mut self, order: &TokenOrder) -> Result<Option<(Pair, u64, Range<usize>)>, Error> {
        while let Some((promised, key)) = self.heap.first() {
            let Some(entry) = self.entries.get_mut(key) else {
                return Err(Error::Internal(format!("the pair {:?} is not indexed", S::pair(key))));
            };
            let count = entry.count;
            if self.threshold <= count && count < promised {
                self.heap.lower_first(count, order);
                continue;
            }
            let sites = std::mem::take(entry).sites();
            self.dead_sites += sites.len();
            self.heap.remove_first(order);
            if count == promised {
                return Ok(Some((S::pair(key), count, sites)));
            }
        }
        Ok(None)
    }

    /// The sites in a range that [`PairIndex::pop`] returned, in ascending order.
    pub fn sites(&self, range: Range<usize>) -> &[Site] {
        &self.sites[range]
    }

    /// Applies a merge's changes to the pairs on one side of it, and empties the side. For a neighbour, `old`
    /// gives the pair that it was in before the merge, and `new` the pair that it is in now.
    pub fn update(
        &mut self,
        side: &mut Side<S>,
        order: &TokenOrder,
        old: impl Fn(S) -> S::Key,
        new: impl Fn(S) -> S::Key,
        check: Check<'_>,
    ) -> Result<(), Error> {
        let base = self.sites.len();
        let mut end = base;
        for &neighbour in &side.touched {
            let tally = &mut side.tallies[neighbour.id() as usize];
            if let Some(entry) = self.entries.get_mut(old(neighbour)) {
                // Only the merged pair itself has a count of 0 by now.
                debug_assert!(entry.count >= tally.count || entry.count == 0, "a count rose");
                entry.count = entry.count.saturating_sub(tally.count);
            }
            let pair = new(neighbour);
            let is_indexed = tally.count >= self.threshold && self.limits.allow(S::pair(pair), order);
            tally.cursor = if is_indexed { end } else { NOWHERE };
            if is_indexed {
                *self.entries.entry(pair) = Entry { count: tally.count, start: end, len: tally.num_sites };
                self.heap.push(tally.count, pair, order);
                end += tally.num_sites as usize;
            }
        }
        if end > base {
            grow(&mut self.sites, end, || 0, check)?;
            for log in side.log.chunks(CHECK_EVERY) {
                check()?;
                for &(site, neighbour) in log {
                    let cursor = &mut side.tallies[neighbour.id() as usize].cursor;
                    if *cursor != NOWHERE {
                        self.sites[*cursor] = site;
                        *cursor += 1;
                    }
                }
            }
        }
        for neighbour in side.touched.drain(..) {
            side.tallies[neighbour.id() as usize] = Tally::default();
        }
        side.log.clear();
        if self.dead_sites > self.max_dead_sites && self.dead_sites > self.sites.len() / 2 {
            self.collect_garbage(check)?;
        }
        Ok(())
    }

    /// Removes the sites of pairs that cannot be merged any more before the next index is built.
    fn collect_garbage(&mut self, check: Check<'_>) -> Result<(), Error> {
        let mut kept = Vec::with_capacity(self.sites.len() - self.dead_sites);
        for entry in self.entries.values_mut() {
            let start = kept.len();
            if entry.count >= self.threshold {
                for sites in self.sites[entry.sites()].chunks(CHECK_EVERY) {
                    check()?;
                    kept.extend_from_slice(sites);
                }
            } else {
                entry.len = 0;
            }
            entry.start = start;
        }
        self.sites = kept;
        self.dead_sites = 0;
        Ok(())
    }
}

/// One thread's share of the words, and the range of the index into which it lists the sites of each pair.
struct Listing<S: Symbol> {
    share: Share,
    cursors: PairTable<S::Key, Entry>,
}

impl<S: Symbol> Listing<S> {
    fn list_sites(&mut self, words: &Words<S>, sites: &[AtomicU32], check: Check<'_>) -> Result<(), Error> {
        words.for_each_pair(&self.share, check, |key, site, _| {
            if let Some(list) = self.cursors.get_mut(key) {
                let end = list.sites().end;
                if list.len == 0 || sites[end - 1].load(Relaxed) != site {
                    sites[end].store(site, Relaxed);
                    list.len += 1;
                }
            }
        })
    }
}

/// Counts the pairs of a share.
fn count_pairs<S: Symbol>(
    words: &Words<S>,
    share: &Share,
    check: Check<'_>,
) -> Result<PairTable<S::Key, Total>, Error> {
    let mut totals: PairTable<S::Key, Total> = PairTable::new();
    words.for_each_pair(share, check, |key, _, count| {
        let total = totals.entry(key);
        total.count += count;
        total.num_sites += 1;
    })?;
    Ok(totals)
}

/// The sum of all totals, and the totals of all shares except the first.
fn sum<K: PairKey>(totals: Vec<PairTable<K, Total>>) -> (PairTable<K, Total>, Vec<PairTable<K, Total>>) {
    let mut totals = totals.into_iter();
    let mut sum = totals.next().unwrap_or_else(PairTable::new);
    let others: Vec<_> = totals.collect();
    for (key, total) in others.iter().flat_map(PairTable::iter) {
        let entry = sum.entry(key);
        entry.count += total.count;
        entry.num_sites += total.num_sites;
    }
    (sum, others)
}

/*!
The pairs that can be merged next: their counts, their sites, and which is the first.

Why not an index of all pairs? Of the pairs that exist, nearly all are rare and never become a merge, yet each would cost
memory and an update at every merge beside it. A pair's count never rises after the step that creates it. So an index of
the pairs with a count of at least some *threshold* is exact: every other pair is below the threshold until the first
pair of the index falls below it too. Then the threshold is lowered and all words are looked at once more. (Of 32,000
merges on web text, four such passes; 3 % of the pairs that merges create are ever stored.)

Counts only fall, so the heap is lazy: an entry may promise more than its pair still has, is put back with the true count
when it comes up, and the first entry that tells the truth is the maximum. Sites only vanish, so a list is written once
and may name sites whose pair has since been merged away; it never misses one.
*/

use super::heap::Heap;
use super::pair::{Pair, Symbol};
use super::pair_table::{PairKey, PairTable};
use super::tie_break::TokenOrder;
use super::words::{Check, Part, Side, Site, Tally, Words};
use crate::error::Error;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The cursor of a neighbour whose new pair is not indexed.
const NOWHERE: usize = usize::MAX;

/// An indexed pair. Its count is 0 once it was merged. Packed, so that an entry and its pair are 24 bytes.
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

/// A pair on the way to an index. Packed, so that with its pair it is 16 bytes.
#[derive(Clone, Copy, Default)]
#[repr(Rust, packed(4))]
struct Total {
    count: u64,
    num_sites: u32,
}

/// Which pairs may be merged at all.
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

pub(super) struct PairIndex<S: Symbol> {
    threshold: u64,
    limits: Limits,
    entries: PairTable<S::Key, Entry>,
    sites: Vec<Site>,
    /// The sites of pairs that were merged or fell below the threshold, and how many there may be in any case.
    dead_sites: usize,
    max_dead_sites: usize,
    heap: Heap<S>,
}

impl<S: Symbol> PairIndex<S> {
    /// Indexes the pairs with at least a `divisor`th of the greatest count there is; `None` when no pair may be merged.
    /// Each thread of the pool looks at some of the words, twice: to count pairs, then to list their sites.
    pub fn new(
        words: &Words<S>,
        order: &TokenOrder,
        limits: Limits,
        (divisor, max_dead_sites): (u64, usize),
        pool: &ThreadPool,
        check: Check<'_>,
    ) -> Result<Option<Self>, Error> {
        let parts = words.parts(pool.current_num_threads());
        let totals = pool.install(|| {
            parts.par_iter().map(|part| count_pairs(words, part, check)).collect::<Result<_, _>>()
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
        let mut shares: Vec<_> =
            parts.into_iter().map(|part| Share { part, places: PairTable::new() }).collect();
        let mut num_sites = 0;
        for (key, total) in
            totals.iter().filter(|&(key, total)| total.count >= index.threshold && allowed(key))
        {
            *index.entries.entry(key) = Entry { count: total.count, start: num_sites, len: 0 };
            index.heap.push(total.count, key, order);
            // The first part's share is what the others leave.
            let end = num_sites + total.num_sites as usize;
            let mut start = end;
            for (share, totals) in shares[1..].iter_mut().zip(&other_totals).rev() {
                start -= totals.get(key).map_or(0, |total| total.num_sites as usize);
                *share.places.entry(key) = Entry { count: 0, start, len: 0 };
            }
            *shares[0].places.entry(key) = Entry { count: 0, start: num_sites, len: 0 };
            num_sites = end;
        }
        drop((totals, other_totals));
        let sites: Vec<AtomicU32> = (0..num_sites).map(|_| AtomicU32::new(0)).collect();
        pool.install(|| shares.par_iter_mut().try_for_each(|share| share.list_sites(words, &sites, check)))?;
        index.sites = sites.into_iter().map(AtomicU32::into_inner).collect();
        index.join(&shares);
        Ok(Some(index))
    }

    /// Closes the gaps that words with several of the same pair leave between the shares.
    fn join(&mut self, shares: &[Share<S>]) {
        for (key, entry) in self.entries.iter_mut() {
            let mut end = entry.start;
            entry.len = 0;
            let mut places: Vec<Entry> = shares.iter().filter_map(|share| share.places.get(key)).collect();
            places.sort_unstable_by_key(|place| place.start);
            for place in places {
                if place.start > end {
                    self.sites.copy_within(place.sites(), end);
                }
                end += place.len as usize;
                entry.len += place.len;
            }
        }
    }

    /// Takes out the pair with the greatest count, the first of them by the tie rule, with that count; `None` when all
    /// are below the threshold. The range is where [`PairIndex::sites`] finds its sites, until the next
    /// [`PairIndex::update`].
    ///
    /// # Errors
    /// [`Error::Internal`] for a pair of the heap that has no entry.
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

    /// The sites in the range that [`PairIndex::pop`] gave, in ascending order.
    pub fn sites(&self, range: Range<usize>) -> &[Site] {
        &self.sites[range]
    }

    /// Applies what a merge did to the pairs on one side of it, and empties the side. `old` and `new` give for a
    /// neighbour the pair that it was in before, and the one that it is in now.
    pub fn update(
        &mut self,
        side: &mut Side<S>,
        order: &TokenOrder,
        old: impl Fn(S) -> S::Key,
        new: impl Fn(S) -> S::Key,
    ) {
        let base = self.sites.len();
        let mut end = base;
        for &neighbour in &side.touched {
            let tally = &mut side.tallies[neighbour.id() as usize];
            if let Some(entry) = self.entries.get_mut(old(neighbour)) {
                // Only the merged pair itself has no count any more.
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
            self.sites.resize(end, 0);
            for &(site, neighbour) in &side.log {
                let cursor = &mut side.tallies[neighbour.id() as usize].cursor;
                if *cursor != NOWHERE {
                    self.sites[*cursor] = site;
                    *cursor += 1;
                }
            }
        }
        for neighbour in side.touched.drain(..) {
            side.tallies[neighbour.id() as usize] = Tally::default();
        }
        side.log.clear();
        if self.dead_sites > self.max_dead_sites && self.dead_sites > self.sites.len() / 2 {
            self.collect_garbage();
        }
    }

    /// Keeps only the sites of pairs that can still be merged before the next index.
    fn collect_garbage(&mut self) {
        let mut kept = Vec::with_capacity(self.sites.len() - self.dead_sites);
        for entry in self.entries.values_mut() {
            let start = kept.len();
            if entry.count >= self.threshold {
                kept.extend_from_slice(&self.sites[entry.sites()]);
            } else {
                entry.len = 0;
            }
            entry.start = start;
        }
        self.sites = kept;
        self.dead_sites = 0;
    }
}

/// One thread's part of the words, and where it lists the sites of each pair.
struct Share<S: Symbol> {
    part: Part,
    places: PairTable<S::Key, Entry>,
}

impl<S: Symbol> Share<S> {
    fn list_sites(&mut self, words: &Words<S>, sites: &[AtomicU32], check: Check<'_>) -> Result<(), Error> {
        words.for_each_pair(&self.part, check, |key, site, _| {
            if let Some(place) = self.places.get_mut(key) {
                let end = place.sites().end;
                if place.len == 0 || sites[end - 1].load(Relaxed) != site {
                    sites[end].store(site, Relaxed);
                    place.len += 1;
                }
            }
        })
    }
}

fn count_pairs<S: Symbol>(
    words: &Words<S>,
    part: &Part,
    check: Check<'_>,
) -> Result<PairTable<S::Key, Total>, Error> {
    let mut totals: PairTable<S::Key, Total> = PairTable::new();
    words.for_each_pair(part, check, |key, _, count| {
        let total = totals.entry(key);
        total.count += count;
        total.num_sites += 1;
    })?;
    Ok(totals)
}

/// The sum of all totals, and those of all parts but the first.
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

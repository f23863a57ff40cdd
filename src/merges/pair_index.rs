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
use super::pair::{Pair, PairTable, Symbol};
use super::tie_break::TokenOrder;
use super::words::{Check, Side, Site, Tally, Words};
use crate::error::Error;
use std::ops::Range;

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
    /// The sites of pairs that were merged or fell below the threshold.
    dead_sites: usize,
    heap: Heap<S>,
}

impl<S: Symbol> PairIndex<S> {
    /// Indexes the pairs with at least a `divisor`th of the greatest count there is; `None` when no pair may be merged.
    pub fn new(
        words: &Words<S>,
        order: &TokenOrder,
        limits: Limits,
        divisor: u64,
        check: Check<'_>,
    ) -> Result<Option<Self>, Error> {
        let totals = count_pairs(words, check)?;
        let allowed = |key| limits.allow(S::pair(key), order);
        let greatest = totals.iter().filter(|&(key, _)| allowed(key)).map(|(_, total)| total.count).max();
        let Some(greatest) = greatest.filter(|&count| count >= limits.min_frequency) else { return Ok(None) };
        let mut index = PairIndex {
            threshold: (greatest / divisor).max(limits.min_frequency),
            limits,
            entries: PairTable::new(),
            sites: Vec::new(),
            dead_sites: 0,
            heap: Heap::new(),
        };
        let mut num_sites = 0;
        for (key, total) in
            totals.iter().filter(|&(key, total)| total.count >= index.threshold && allowed(key))
        {
            *index.entries.entry(key) = Entry { count: total.count, start: num_sites, len: 0 };
            index.heap.push(total.count, key, order);
            num_sites += total.num_sites as usize;
        }
        drop(totals);
        index.list_sites(words, num_sites, check)?;
        Ok(Some(index))
    }

    fn list_sites(&mut self, words: &Words<S>, num_sites: usize, check: Check<'_>) -> Result<(), Error> {
        self.sites = vec![0; num_sites];
        words.for_each_pair(check, |key, site, _| {
            if let Some(entry) = self.entries.get_mut(key) {
                let end = entry.sites().end;
                if entry.len == 0 || self.sites[end - 1] != site {
                    self.sites[end] = site;
                    entry.len += 1;
                }
            }
        })
    }

    /// Takes out the pair with the greatest count, the first of them by the tie rule, with that count; `None` when all
    /// are below the threshold. The range is where [`PairIndex::sites`] finds its sites, until the next
    /// [`PairIndex::update`].
    pub fn pop(&mut self, order: &TokenOrder) -> Option<(Pair, u64, Range<usize>)> {
        while let Some((promised, key)) = self.heap.first() {
            let entry = self.entries.get_mut(key)?;
            let count = entry.count;
            if self.threshold <= count && count < promised {
                self.heap.lower_first(count, order);
                continue;
            }
            let sites = std::mem::take(entry).sites();
            self.dead_sites += sites.len();
            self.heap.remove_first(order);
            if count == promised {
                return Some((S::pair(key), count, sites));
            }
        }
        None
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
        if self.dead_sites > 1 << 16 && self.dead_sites > self.sites.len() / 2 {
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

fn count_pairs<S: Symbol>(words: &Words<S>, check: Check<'_>) -> Result<PairTable<S::Key, Total>, Error> {
    let mut totals: PairTable<S::Key, Total> = PairTable::new();
    words.for_each_pair(check, |key, _, count| {
        let total = totals.entry(key);
        total.count += count;
        total.num_sites += 1;
    })?;
    Ok(totals)
}

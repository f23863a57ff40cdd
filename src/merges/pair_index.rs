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
use super::pair_table::PairTable;
use super::site_lists::SiteLists;
use super::tie_break::TokenOrder;
use super::totals::{Limits, Totals};
use super::words::Words;
use crate::error::Error;
use crate::job::Job;
use rayon::ThreadPool;
use std::ops::Range;

/// The cursor of a neighbour whose new pair is not in the index.
const NOWHERE: usize = usize::MAX;

/// An indexed pair. Its count is 0 once it was merged.
#[derive(Clone, Copy, Default)]
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

/// The knobs of an index, which change the time and never the result.
#[derive(Clone, Copy)]
pub(super) struct Knobs {
    /// The index holds the pairs whose count is at least the greatest count divided by this.
    pub divisor: u64,
    /// The number of dead sites that never causes a collection.
    pub max_dead_sites: usize,
    /// The fewest symbols that a thread counts.
    pub min_share: usize,
}

/// The pairs at or above a threshold.
pub(super) struct PairIndex<S: Symbol> {
    threshold: u64,
    limits: Limits,
    /// The number of each pair, which is its place in `entries`. Nearly all pairs that are looked up are not
    /// indexed, and 8 bytes a slot keep more of this table in the cache than an entry a slot would.
    numbers: PairTable<S::Key, u32>,
    entries: Vec<Entry>,
    sites: Vec<Site>,
    /// The number of sites of pairs that were merged or fell below the threshold.
    dead_sites: usize,
    max_dead_sites: usize,
    heap: Heap<S>,
}

impl<S: Symbol> PairIndex<S> {
    /// Indexes the pairs whose count is at least the greatest count divided by the divisor; `None` when no
    /// pair may be merged. Each thread of the pool reads its share of the words twice: to count pairs, then to
    /// list their sites.
    pub fn new(
        words: &Words<S>,
        order: &TokenOrder,
        limits: Limits,
        knobs: Knobs,
        pool: &ThreadPool,
        job: &Job,
    ) -> Result<Option<Self>, Error> {
        let check: Check<'_> = &|| job.check();
        let shares = words.shares(pool.current_num_threads(), knobs.min_share);
        let are_bytes = order.len() == 256;
        let totals =
            job.phase("index: count", || Totals::<S>::count(words, &shares, are_bytes, pool, check))?;
        let frequent = job.phase("index: sum", || totals.frequent(order, limits, knobs.divisor, pool));
        let Some(frequent) = frequent else { return Ok(None) };
        let mut index = PairIndex {
            threshold: frequent.threshold,
            limits,
            numbers: PairTable::with_room(frequent.pairs.len(), 0),
            entries: Vec::with_capacity(frequent.pairs.len()),
            sites: Vec::new(),
            dead_sites: 0,
            max_dead_sites: knobs.max_dead_sites,
            heap: Heap::new(),
        };
        let mut lists =
            job.phase("index: lay out", || SiteLists::new(shares, &totals, &frequent.pairs, pool));
        drop(totals);
        let mut num_sites = 0;
        job.phase("index: number", || {
            for &(key, total) in &frequent.pairs {
                index.insert(key, Entry { count: total.count, start: num_sites, len: 0 }, order);
                num_sites += total.num_sites as usize;
            }
        });
        let (sites, lens) =
            job.phase("index: list", || lists.fill(words, &index.numbers, num_sites, pool, check))?;
        index.sites = sites;
        index.entries.iter_mut().zip(lens).for_each(|(entry, len)| entry.len = len);
        Ok(Some(index))
    }

    /// Adds a pair.
    #[allow(clippy::cast_possible_truncation)] // No more pairs than 2^32: each has a site.
    fn insert(&mut self, key: S::Key, entry: Entry, order: &TokenOrder) {
        let number = self.entries.len() as u32;
        self.entries.push(entry);
        *self.numbers.entry(key) = number;
        self.heap.push(entry.count, key, number, order);
    }

    /// Removes the pair with the greatest count, the first of several by the tie rule, and returns it with
    /// its count; `None` when all pairs are below the threshold. The range gives its sites
    /// ([`PairIndex::sites`]) until the next [`PairIndex::update`].
    pub fn pop(&mut self, order: &TokenOrder) -> Option<(Pair, u64, Range<usize>)> {
        while let Some((promised, key, number)) = self.heap.first() {
            let entry = &mut self.entries[number as usize];
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
            if let Some(number) = self.numbers.get(old(neighbour)) {
                let entry = &mut self.entries[number as usize];
                // Only the merged pair itself has a count of 0 by now.
                debug_assert!(entry.count >= tally.count || entry.count == 0, "a count rose");
                entry.count = entry.count.saturating_sub(tally.count);
            }
            let pair = new(neighbour);
            let is_indexed = tally.count >= self.threshold && self.limits.allow(S::pair(pair), order);
            tally.cursor = if is_indexed { end } else { NOWHERE };
            if is_indexed {
                let entry = Entry { count: tally.count, start: end, len: tally.num_sites };
                end += tally.num_sites as usize;
                self.insert(pair, entry, order);
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

    /// Removes the sites of pairs that cannot be merged any more before the next index is built. The ranges of the
    /// entries are in ascending order, so all others move towards the beginning, in place.
    fn collect_garbage(&mut self, check: Check<'_>) -> Result<(), Error> {
        let mut kept = 0;
        for entry in &mut self.entries {
            let start = kept;
            if entry.count >= self.threshold {
                let sites = entry.sites();
                for from in sites.clone().step_by(CHECK_EVERY) {
                    check()?;
                    let part = from..sites.end.min(from + CHECK_EVERY);
                    let len = part.len();
                    self.sites.copy_within(part, kept);
                    kept += len;
                }
            } else {
                entry.len = 0;
            }
            entry.start = start;
        }
        self.sites.truncate(kept);
        self.dead_sites = 0;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::counts::PretokenCounts;
    use crate::merges::TieBreak;
    use crate::threads::with_threads;
    use std::collections::{BTreeMap, HashSet};

    /// Pairs are taken out and no words are changed, so that each pair keeps the sites that it has in the words.
    #[test]
    fn dead_sites_are_never_most_and_the_sites_of_other_pairs_stay() {
        let mut counts = PretokenCounts::default();
        (0..500_u32)
            .for_each(|n| counts.add(format!("{:x}{n:b}", n * n).as_bytes(), (n % 7 + 1).into()).unwrap());
        let (job, order) = (Job::default(), TokenOrder::new(TieBreak::Bytes, HashSet::new()));
        let words = Words::<u16>::new(&counts, None, 12, &|| Ok(())).unwrap();
        let mut expected: BTreeMap<u32, (u64, Vec<Site>)> = BTreeMap::new();
        for share in words.shares(1, 1) {
            words
                .for_each_pair(&share, &|| Ok(()), |key, site, count| {
                    let (sum, sites) = expected.entry(key).or_default();
                    *sum += count;
                    sites.push(site);
                    sites.dedup();
                })
                .unwrap();
        }
        let limits = Limits { min_frequency: 1, max_token_length: usize::MAX };
        for (max_dead_sites, threads) in [(0, 1), (0, 3), (10, 1), (usize::MAX, 1)] {
            let knobs = Knobs { divisor: u64::MAX, max_dead_sites, min_share: 1 };
            let index = |pool: &ThreadPool| PairIndex::new(&words, &order, limits, knobs, pool, &job);
            let mut index = with_threads(threads, index).unwrap().unwrap();
            let (num_sites, mut last, mut num_pairs) = (index.sites.len(), u64::MAX, 0);
            while let Some((pair, count, range)) = index.pop(&order) {
                let key = u16::key(u16::from_id(pair.left), u16::from_id(pair.right));
                assert!(count <= last);
                assert_eq!((count, index.sites(range)), (expected[&key].0, &expected[&key].1[..]));
                let mut nothing = Side { tallies: Vec::new(), touched: Vec::new(), log: Vec::new() };
                index.update(&mut nothing, &order, |_| 0, |_| 0, &|| Ok(())).unwrap();
                let is_collected = index.dead_sites <= max_dead_sites.max(index.sites.len() / 2);
                assert!(is_collected, "{} of {} sites are dead", index.dead_sites, index.sites.len());
                (last, num_pairs) = (count, num_pairs + 1);
            }
            assert_eq!(num_pairs, expected.len());
            assert_eq!(index.sites.len() < num_sites, max_dead_sites < num_sites);
        }
    }
}

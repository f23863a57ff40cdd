/*!
The sites of the frequent pairs, as one segment a pair.

A first pass has counted the sites of each pair in each share of the words. So the segment of a pair is known,
and in it the range of each share, and all threads write their sites at the same time. A word that contains a
pair several times was counted several times and is listed once. The gaps that this leaves are closed at the end.

Why numbers for pairs? A thread that looked each pair up in a table of its own would fill as many tables as there
are threads. The numbers are looked up in one table, which nobody changes, and a number is a place in a dense
vector.
*/

use super::check::{Check, grow};
use super::delay::Delay;
use super::pair::{Site, Symbol};
use super::pair_table::{PairKey, PairTable};
use super::totals::{Total, Totals};
use super::words::{Share, Words};
use crate::error::Error;
use crate::prefetch::prefetch;
use crate::room::room;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The range of one share in the segment of one pair.
#[derive(Clone, Copy)]
struct List {
    start: u32,
    len: u32,
    /// The last site, or `Site::MAX`, which is none.
    last: Site,
}

/// The ranges of each share, by number of the pair.
pub(super) struct SiteLists {
    shares: Vec<(Share, Vec<List>)>,
}

impl SiteLists {
    /// Lays out one range after another, by number of the pair and then by share.
    pub fn new<S: Symbol>(
        shares: Vec<Share>,
        totals: &Totals<S>,
        pairs: &[(S::Key, Total)],
        pool: &ThreadPool,
    ) -> Self {
        let num_sites = |table: &PairTable<S::Key, Total>| {
            pairs
                .iter()
                .map(|&(key, _)| table.get(key).map_or(0, |total| total.num_sites))
                .collect::<Vec<_>>()
        };
        let num_sites: Vec<_> = pool.install(|| totals.shares.par_iter().map(num_sites).collect());
        let mut end = 0;
        let mut ends: Vec<u32> = Vec::with_capacity(pairs.len());
        for (_, total) in pairs {
            ends.push(end);
            end += total.num_sites;
        }
        let lists = num_sites.into_iter().map(|num_sites| {
            let lists = ends.iter_mut().zip(num_sites).map(|(end, num_sites)| {
                let start = *end;
                *end += num_sites;
                List { start, len: 0, last: Site::MAX }
            });
            lists.collect()
        });
        SiteLists { shares: shares.into_iter().zip(lists).collect() }
    }

    /// Lists the sites of all pairs, one segment after another, and gives the number of sites in each segment.
    pub fn fill<S: Symbol>(
        &mut self,
        words: &Words<S>,
        numbers: &PairTable<S::Key, u32>,
        num_sites: usize,
        pool: &ThreadPool,
        check: Check<'_>,
    ) -> Result<(Vec<Site>, Vec<u32>), Error> {
        // As many sites again are added by merges. Moving a vector that grows would split its large pages.
        let mut sites = room(2 * num_sites);
        grow(&mut sites, num_sites, || AtomicU32::new(0), check)?;
        pool.install(|| {
            self.shares
                .par_iter_mut()
                .try_for_each(|(share, lists)| fill_share(words, share, numbers, lists, &sites, check))
        })?;
        let mut sites: Vec<Site> = sites.into_iter().map(AtomicU32::into_inner).collect();
        let lens = self.close_gaps(&mut sites, pool);
        Ok((sites, lens))
    }

    /// Moves the ranges of each segment together, and gives their length in all.
    fn close_gaps(&self, mut sites: &mut [Site], pool: &ThreadPool) -> Vec<u32> {
        let lists = match &self.shares[..] {
            [] => return Vec::new(),
            [(_, only)] => return only.iter().map(|list| list.len).collect(),
            [(_, first), ..] => first,
        };
        let numbers_per_part = lists.len().div_ceil(8 * pool.current_num_threads()).max(1);
        let mut parts = Vec::new();
        let mut start = 0;
        for number in (0..lists.len()).step_by(numbers_per_part) {
            let next = lists.len().min(number + numbers_per_part);
            let end = lists.get(next).map_or(start + sites.len(), |list| list.start as usize);
            let (part, rest) = sites.split_at_mut(end - start);
            parts.push((number..next, start, part));
            (sites, start) = (rest, end);
        }
        let close = |(numbers, start, part): (Range<usize>, usize, &mut [Site])| {
            numbers.map(|number| self.close_gap(number, start, part)).collect::<Vec<_>>()
        };
        pool.install(|| parts.into_par_iter().map(close).collect::<Vec<_>>()).concat()
    }

    /// Moves the ranges of one segment together. `sites` begins at `offset`.
    fn close_gap(&self, number: usize, offset: usize, sites: &mut [Site]) -> u32 {
        let mut len = 0;
        for (_, lists) in &self.shares {
            let list = lists[number];
            let (from, to) =
                (list.start as usize - offset, (self.shares[0].1[number].start + len) as usize - offset);
            if from > to {
                sites.copy_within(from..from + list.len as usize, to);
            }
            len += list.len;
        }
        len
    }
}

/// Lists the sites of one share.
fn fill_share<S: Symbol>(
    words: &Words<S>,
    share: &Share,
    numbers: &PairTable<S::Key, u32>,
    lists: &mut [List],
    sites: &[AtomicU32],
    check: Check<'_>,
) -> Result<(), Error> {
    let mut pairs = Delay::new((S::Key::NONE, 0));
    let mut found = Delay::new((usize::MAX, 0));
    let add = |lists: &mut [List], (number, site): (usize, Site)| {
        let Some(list) = lists.get_mut(number) else { return };
        if list.last != site {
            sites[(list.start + list.len) as usize].store(site, Relaxed);
            list.len += 1;
            list.last = site;
        }
    };
    let find = |lists: &mut [List], found: &mut Delay<(usize, Site)>, (key, site)| {
        if let Some(number) = numbers.get(key).filter(|_| key != S::Key::NONE) {
            prefetch(lists, number as usize);
            add(lists, found.exchange((number as usize, site)));
        }
    };
    words.for_each_pair(share, check, |key, site, _| {
        numbers.prefetch(key);
        find(lists, &mut found, pairs.exchange((key, site)));
    })?;
    pairs.into_items().for_each(|pair| find(lists, &mut found, pair));
    found.into_items().for_each(|site| add(lists, site));
    Ok(())
}

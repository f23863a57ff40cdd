/*!
Applying a merge to the short words that contain its pair.

A long list of sites is divided among threads. Each thread rewrites words of its own and sums their neighbours on
its own, and the sums are then added in the order of the sites. So the result is that of one thread, to the order
of the sites of each new pair.

Why not every list? Waking a thread takes as long as rewriting some thousand words, and nearly all lists are
shorter. Yet most of the work is in long ones: with 3 million distinct words, 476 of 31,743 merges have 16,384
sites or more, and these are 61 % of all sites.
*/

use super::check::{CHECK_EVERY, Check};
use super::neighbours::Neighbours;
use super::pair::{Site, Symbol};
use crate::error::Error;
use crate::prefetch::prefetch;
use rayon::ThreadPool;
use rayon::prelude::*;

/// The prefetch distance in sites: symbols are prefetched this far ahead, and word records twice as far.
const AHEAD: usize = 12;

/// A word whose symbols are `symbols[start..start + len]`.
#[derive(Clone, Copy)]
pub(super) struct ShortWord {
    pub start: u32,
    pub len: u32,
    pub count: u64,
}

/// A pair and the symbol that replaces it.
#[derive(Clone, Copy)]
pub(super) struct Merge<S> {
    pub a: S,
    pub b: S,
    pub new: S,
}

/// Some short words that follow each other, and their symbols.
pub(super) struct ShortPart<'a, S> {
    words: &'a mut [ShortWord],
    symbols: &'a mut [S],
    /// The number of the first word.
    first_word: usize,
    /// The position of its first symbol.
    first_symbol: usize,
}

impl<'a, S: Symbol> ShortPart<'a, S> {
    /// All short words.
    pub fn new(words: &'a mut [ShortWord], symbols: &'a mut [S]) -> Self {
        ShortPart { words, symbols, first_word: 0, first_symbol: 0 }
    }

    /// The words before a site, and the words from there on.
    fn split_at(self, site: Site) -> (Self, Self) {
        let at = site as usize - self.first_word;
        let first_symbol = self.words[at].start as usize;
        let (left, right) = self.words.split_at_mut(at);
        let (left_symbols, right_symbols) = self.symbols.split_at_mut(first_symbol - self.first_symbol);
        let right =
            ShortPart { words: right, symbols: right_symbols, first_word: site as usize, first_symbol };
        (ShortPart { words: left, symbols: left_symbols, ..self }, right)
    }

    /// Divides the words into parts with about the same number of these sites.
    fn divide(self, sites: &[Site], number: usize) -> Vec<(Self, &[Site])> {
        let size = sites.len().div_ceil(number);
        let mut parts = Vec::with_capacity(number);
        let mut rest = self;
        for sites in sites.chunks(size).skip(1).rev() {
            let (left, right) = rest.split_at(sites[0]);
            parts.push((right, sites));
            rest = left;
        }
        parts.push((rest, &sites[..size]));
        parts.reverse();
        parts
    }

    /// Replaces the pair at these sites, and adds the neighbours.
    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses words beyond 2^32 symbols.
    fn merge(
        self,
        sites: &[Site],
        merge: Merge<S>,
        neighbours: &mut Neighbours<S>,
        check: Check<'_>,
    ) -> Result<(), Error> {
        for sites in sites.chunks(CHECK_EVERY) {
            check()?;
            for (i, &site) in sites.iter().enumerate() {
                self.prefetch(sites.get(i + 2 * AHEAD), sites.get(i + AHEAD));
                let word = &mut self.words[site as usize - self.first_word];
                let start = word.start as usize - self.first_symbol;
                let symbols = &mut self.symbols[start..][..word.len as usize];
                word.len = merge_in(symbols, merge, word.count, site, neighbours) as u32;
            }
        }
        Ok(())
    }

    /// Prefetches the record of the word at a site that comes up soon, and the symbols of the word at one
    /// that comes up sooner.
    #[inline]
    fn prefetch(&self, soon: Option<&Site>, sooner: Option<&Site>) {
        if let Some(&site) = soon {
            prefetch(self.words, site as usize - self.first_word);
        }
        if let Some(&site) = sooner {
            prefetch(
                self.symbols,
                self.words[site as usize - self.first_word].start as usize - self.first_symbol,
            );
        }
    }
}

/// The threads that apply a merge.
pub(super) struct Workers<'a, S> {
    pool: &'a ThreadPool,
    /// The fewest sites that are worth a thread.
    min_sites: usize,
    /// The neighbours of each thread, empty between merges.
    neighbours: Vec<Neighbours<S>>,
}

impl<'a, S: Symbol> Workers<'a, S> {
    pub fn new(pool: &'a ThreadPool, min_sites: usize) -> Self {
        Workers { pool, min_sites, neighbours: Vec::new() }
    }

    /// Replaces the pair at these sites of short words, and adds the neighbours in the order of sites.
    pub fn merge(
        &mut self,
        words: ShortPart<'_, S>,
        sites: &[Site],
        merge: Merge<S>,
        neighbours: &mut Neighbours<S>,
        check: Check<'_>,
    ) -> Result<(), Error> {
        let number = self.pool.current_num_threads().min(sites.len() / self.min_sites.max(1));
        if number < 2 {
            return words.merge(sites, merge, neighbours, check);
        }
        let parts = words.divide(sites, number);
        self.neighbours.resize_with(self.neighbours.len().max(parts.len()), Neighbours::new);
        let own = &mut self.neighbours[..parts.len()];
        let num_symbols = neighbours.left.tallies.len();
        self.pool.install(|| {
            parts.into_par_iter().zip(own.par_iter_mut()).try_for_each(|((words, sites), own)| {
                own.resize(num_symbols);
                words.merge(sites, merge, own, check)
            })
        })?;
        own.iter_mut().for_each(|own| neighbours.append(own));
        Ok(())
    }
}

/// Rewrites a short word; returns its new length.
#[inline]
fn merge_in<S: Symbol>(
    symbols: &mut [S],
    Merge { a, b, new }: Merge<S>,
    count: u64,
    site: Site,
    neighbours: &mut Neighbours<S>,
) -> usize {
    let is_pair_at =
        |symbols: &[S], at: usize| at + 1 < symbols.len() && symbols[at] == a && symbols[at + 1] == b;
    let (mut read, mut write) = (0, 0);
    while read < symbols.len() {
        if !is_pair_at(symbols, read) {
            symbols[write] = symbols[read];
            (read, write) = (read + 1, write + 1);
            continue;
        }
        if write > 0 {
            neighbours.left.add(symbols[write - 1], count, site);
        }
        symbols[write] = new;
        (read, write) = (read + 2, write + 1);
        if read < symbols.len() && !is_pair_at(symbols, read) {
            neighbours.right.add(symbols[read], count, site);
        }
    }
    write
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::with_threads;

    #[test]
    fn only_a_long_list_is_divided() {
        for (num_sites, threads, num_parts) in
            [(0, 3, 0), (7, 3, 0), (8, 3, 2), (12, 3, 3), (100, 3, 3), (100, 1, 0)]
        {
            let mut symbols = [7, 1, 2, 7].repeat(num_sites);
            let word = |i: usize| ShortWord {
                start: 4 * u32::try_from(i).expect("a small number"),
                len: 4,
                count: 1,
            };
            let mut words: Vec<_> = (0..num_sites).map(word).collect();
            let sites: Vec<Site> = (0..).take(num_sites).collect();
            let mut neighbours = Neighbours::new();
            neighbours.resize(9);
            let merged = with_threads(threads, |pool| {
                let mut workers = Workers::new(pool, 4);
                let (words, merge) =
                    (ShortPart::new(&mut words, &mut symbols), Merge { a: 1_u16, b: 2, new: 8 });
                workers.merge(words, &sites, merge, &mut neighbours, &|| Ok(()))?;
                Ok(workers.neighbours.len())
            });
            assert_eq!(merged.expect("a number of parts"), num_parts, "{num_sites} sites, {threads} threads");
            assert_eq!(symbols, [7, 8, 7, 7].repeat(num_sites));
            assert!(words.iter().all(|word| word.len == 3));
            let log: Vec<_> = sites.iter().map(|&site| (site, 7)).collect();
            assert_eq!((&neighbours.left.log, &neighbours.right.log), (&log, &log));
        }
    }
}

/*!
The distinct pretokens ("words") as sequences of symbols that shrink as merges are applied.

Short words lie one after another in one vector; a merge rewrites a word from left to right in place. That costs a pass
over the word, which is a few cache lines at most. A long word (a line of base64, a page without spaces) must not be
passed over for every pair in it, or the time is quadratic in its length. Its symbols are nodes instead, and pairs point
at nodes: a hit costs a constant. Nodes need no links: a token made of `k` symbols writes `k` at its first and last
place, so both neighbours are one subtraction away, and a border symbol around each word ends every walk.

A *site* is a place where a pair may occur: a short word's number, or behind those a node's.
*/

#![allow(clippy::cast_possible_truncation)] // `push` refuses words beyond 2^32 sites or symbols.

use super::pair::{Pair, Symbol};
use crate::counts::PretokenCounts;
use crate::error::Error;
use crate::prefetch::prefetch;
use std::ops::Range;

pub(super) type Site = u32;

/// Looks whether the work was cancelled.
pub(super) type Check<'a> = &'a (dyn Fn() -> Result<(), Error> + Sync);

/// Words or sites between two looks at the cancel flag: some milliseconds.
pub(super) const CHECK_EVERY: usize = 1 << 16;

/// So many sites ahead a word's symbols are asked for, and the word itself twice as many.
pub(super) const AHEAD: usize = 12;

#[derive(Clone, Copy)]
struct ShortWord {
    start: u32,
    len: u32,
    count: u64,
}

#[derive(Default)]
struct Nodes<S> {
    symbols: Vec<S>,
    /// At the first and the last place of each token, the number of places it takes.
    spans: Vec<u32>,
    /// The word of each node, whose count is in `counts`.
    word: Vec<u32>,
    counts: Vec<u64>,
}

/// All words of two symbols or more.
pub(super) struct Words<S> {
    symbols: Vec<S>,
    short: Vec<ShortWord>,
    nodes: Nodes<S>,
    /// By symbol, the counts of the words that are this symbol alone.
    single: Vec<u64>,
    long_word: usize,
}

/// Some of the short words, and perhaps the nodes.
pub(super) struct Part {
    short: Range<usize>,
    nodes: bool,
}

/// What a merge of `pair` into `new` changed: for each symbol that was a left or right neighbour, how often.
pub(super) struct Neighbours<S> {
    pub left: Side<S>,
    pub right: Side<S>,
}

/// One side's neighbours: sums by symbol, and a log of where each was seen, in ascending order of sites.
pub(super) struct Side<S> {
    pub tallies: Vec<Tally>,
    pub touched: Vec<S>,
    pub log: Vec<(Site, S)>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub count: u64,
    /// The number of sites in the log; a word that has the pair twice is one.
    pub num_sites: u32,
    /// The last of them.
    pub last_site: Site,
    /// Where the next of them goes in the index, while they are copied there.
    pub cursor: usize,
}

impl<S: Symbol> Side<S> {
    #[inline]
    fn add(&mut self, neighbour: S, count: u64, site: Site) {
        let tally = &mut self.tallies[neighbour.id() as usize];
        tally.count += count;
        if tally.num_sites == 0 {
            self.touched.push(neighbour);
        } else if tally.last_site == site {
            return;
        }
        tally.num_sites += 1;
        tally.last_site = site;
        self.log.push((site, neighbour));
    }
}

impl<S: Symbol> Neighbours<S> {
    pub fn new() -> Self {
        let side = || Side { tallies: Vec::new(), touched: Vec::new(), log: Vec::new() };
        Neighbours { left: side(), right: side() }
    }

    /// Makes room for the tallies of `num_symbols` symbols.
    pub fn resize(&mut self, num_symbols: usize) {
        self.left.tallies.resize(num_symbols, Tally::default());
        self.right.tallies.resize(num_symbols, Tally::default());
    }
}

impl<S: Symbol> Words<S> {
    /// The words of a corpus; those longer than `long_word` become nodes.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are 2^32 sites or symbols, or when symbols could be counted beyond 2^63.
    pub fn new(counts: &PretokenCounts, long_word: usize, check: Check<'_>) -> Result<Self, Error> {
        let single = vec![0; 256];
        let mut words =
            Words { symbols: Vec::new(), short: Vec::new(), nodes: Nodes::new(), single, long_word };
        let mut num_bytes: u64 = 0;
        for (i, (pretoken, count)) in counts.iter().enumerate() {
            if i % CHECK_EVERY == 0 {
                check()?;
            }
            num_bytes = (pretoken.len() as u64)
                .checked_mul(count)
                .and_then(|bytes| bytes.checked_add(num_bytes))
                .filter(|&bytes| bytes < 1 << 63)
                .ok_or(Error::Limit { what: "the number of bytes in the corpus", limit: 1 << 63 })?;
            match *pretoken {
                [byte] => words.single[usize::from(byte)] += count,
                _ => words.push(pretoken.iter().map(|&b| S::from_id(b.into())), pretoken.len(), count)?,
            }
        }
        words.symbols.shrink_to_fit();
        words.short.shrink_to_fit();
        Ok(words)
    }

    fn push(&mut self, symbols: impl Iterator<Item = S>, len: usize, count: u64) -> Result<(), Error> {
        if len > self.long_word {
            self.nodes.push_word(symbols, count);
        } else {
            let start = self.symbols.len();
            self.symbols.extend(symbols);
            self.short.push(ShortWord { start: start as u32, len: len as u32, count });
        }
        let sites = (self.short.len() + self.nodes.symbols.len()).max(self.symbols.len());
        if sites >= Site::MAX as usize {
            return Err(Error::Limit { what: "the size of all distinct pretokens", limit: Site::MAX.into() });
        }
        Ok(())
    }

    /// Drops the words that are one symbol by now, and closes the gaps. Sites from before are void.
    pub fn compact(&mut self, check: Check<'_>) -> Result<(), Error> {
        let mut write = 0;
        check()?;
        for word in &mut self.short {
            let (start, len) = (word.start as usize, word.len as usize);
            if len > 1 {
                self.symbols.copy_within(start..start + len, write);
                word.start = write as u32;
                write += len;
            } else {
                add_uses(&mut self.single, &self.symbols[start..start + len], word.count);
            }
        }
        self.symbols.truncate(write);
        self.short.retain(|word| word.len > 1);
        let nodes = std::mem::replace(&mut self.nodes, Nodes::new());
        for (word, count) in nodes.words() {
            if word.len() > 1 {
                self.push(word.iter().copied(), word.len(), count)?;
            } else {
                add_uses(&mut self.single, &word, count);
            }
        }
        Ok(())
    }

    /// How often each of `num_symbols` symbols occurs, in dropped words too.
    pub fn uses(self, num_symbols: usize, check: Check<'_>) -> Result<Vec<u64>, Error> {
        let mut uses = self.single;
        uses.resize(num_symbols, 0);
        for words in self.short.chunks(CHECK_EVERY) {
            check()?;
            for word in words {
                let symbols = &self.symbols[word.start as usize..][..word.len as usize];
                add_uses(&mut uses, symbols, word.count);
            }
        }
        for (word, count) in self.nodes.words() {
            add_uses(&mut uses, &word, count);
        }
        Ok(uses)
    }

    /// All words in so many parts with about the same number of symbols, in ascending order of sites.
    pub fn parts(&self, number: usize) -> Vec<Part> {
        let number = number.max(1);
        let start = |i: usize| {
            let symbol = (self.symbols.len() as u64 * i as u64 / number as u64) as u32;
            self.short.partition_point(|word| word.start < symbol)
        };
        let short = |i| start(i)..if i + 1 < number { start(i + 1) } else { self.short.len() };
        (0..number).map(|i| Part { short: short(i), nodes: i + 1 == number }).collect()
    }

    /// Calls `visit` with each adjacent pair in a part, its site and its word's count, in ascending order of sites.
    pub fn for_each_pair(
        &self,
        part: &Part,
        check: Check<'_>,
        mut visit: impl FnMut(S::Key, Site, u64),
    ) -> Result<(), Error> {
        for start in part.short.clone().step_by(CHECK_EVERY) {
            check()?;
            let words = &self.short[start..part.short.end.min(start + CHECK_EVERY)];
            for (word, site) in words.iter().zip(start as Site..) {
                let symbols = &self.symbols[word.start as usize..][..word.len as usize];
                for pair in symbols.windows(2) {
                    visit(S::key(pair[0], pair[1]), site, word.count);
                }
            }
        }
        if !part.nodes {
            return Ok(());
        }
        let Nodes { symbols, spans, .. } = &self.nodes;
        let mut node = 1;
        while node < symbols.len() {
            if node % CHECK_EVERY == 0 {
                check()?;
            }
            let next = node + spans[node] as usize;
            if symbols[node] != S::NONE && symbols[next] != S::NONE {
                let site = (self.short.len() + node) as Site;
                visit(S::key(symbols[node], symbols[next]), site, self.nodes.count(node));
            }
            node = next;
        }
        Ok(())
    }

    /// Asks for the word at a site that comes up soon, and for the symbols of one that comes up sooner. They lie anywhere in
    /// memory.
    #[inline]
    pub fn ask_for(&self, soon: Option<&Site>, sooner: Option<&Site>) {
        if let Some(&site) = soon {
            prefetch(&self.short, site as usize);
        }
        if let Some(word) = sooner.and_then(|&site| self.short.get(site as usize)) {
            prefetch(&self.symbols, word.start as usize);
        }
    }

    /// Replaces the pair by `new` wherever it occurs at `site`, and notes the neighbours in the word's final form, so
    /// that a run such as `abab` leaves no trace of the pair `(new, a)` that it never has.
    #[inline]
    pub fn merge_at(&mut self, site: Site, pair: Pair, new: u32, neighbours: &mut Neighbours<S>) {
        let (a, b, new) = (S::from_id(pair.left), S::from_id(pair.right), S::from_id(new));
        match self.short.get_mut(site as usize) {
            Some(word) => {
                let symbols = &mut self.symbols[word.start as usize..][..word.len as usize];
                word.len = merge_in(symbols, a, b, new, word.count, site, neighbours) as u32;
            }
            None => self.nodes.merge(site, self.short.len() as u32, a, b, new, neighbours),
        }
    }
}

/// Adds a word's symbols to the counts by symbol.
fn add_uses<S: Symbol>(uses: &mut Vec<u64>, word: &[S], count: u64) {
    for symbol in word {
        let id = symbol.id() as usize;
        if id >= uses.len() {
            uses.resize(id + 1, 0);
        }
        uses[id] += count;
    }
}

/// Rewrites a short word; returns its new length.
#[inline]
fn merge_in<S: Symbol>(
    symbols: &mut [S],
    a: S,
    b: S,
    new: S,
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

impl<S: Symbol> Nodes<S> {
    fn new() -> Self {
        Nodes { symbols: vec![S::NONE], spans: vec![1], word: vec![0], counts: Vec::new() }
    }

    fn push_word(&mut self, symbols: impl Iterator<Item = S>, count: u64) {
        let word = self.counts.len() as u32;
        self.counts.push(count);
        self.symbols.extend(symbols);
        self.symbols.push(S::NONE);
        self.spans.resize(self.symbols.len(), 1);
        self.word.resize(self.symbols.len(), word);
    }

    fn count(&self, node: usize) -> u64 {
        self.counts[self.word[node] as usize]
    }

    /// The symbols of each word, and its count.
    fn words(&self) -> impl Iterator<Item = (Vec<S>, u64)> {
        let mut node = 1;
        self.counts.iter().map(move |&count| {
            let mut word = Vec::new();
            while self.symbols[node] != S::NONE {
                word.push(self.symbols[node]);
                node += self.spans[node] as usize;
            }
            node += 1;
            (word, count)
        })
    }

    fn merge(&mut self, site: Site, offset: Site, a: S, b: S, new: S, neighbours: &mut Neighbours<S>) {
        let node = (site - offset) as usize;
        let second = node + self.spans[node] as usize;
        if self.symbols[node] != a || self.symbols.get(second) != Some(&b) {
            return;
        }
        let end = second + self.spans[second] as usize;
        self.symbols[node] = new;
        self.symbols[second] = S::NONE;
        self.spans[node] = (end - node) as u32;
        self.spans[end - 1] = (end - node) as u32;

        let count = self.count(node);
        let previous = node - self.spans[node - 1] as usize;
        if self.symbols[previous] != S::NONE {
            neighbours.left.add(self.symbols[previous], count, previous as Site + offset);
        }
        let next = self.symbols[end];
        let is_pair_next = next == a && self.symbols[end + self.spans[end] as usize] == b;
        if next != S::NONE && !is_pair_next {
            neighbours.right.add(next, count, site);
        }
    }
}

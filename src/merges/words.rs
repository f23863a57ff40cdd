/*!
The distinct pretokens ("words") as sequences of symbols that shrink as merges are applied.

Short words lie one after another in one vector, and a merge rewrites a word from left to right in place. That
costs one pass over the word, which takes a few cache lines at most. Long words are stored as nodes (`nodes`),
where a merge costs a constant.

A *site* is a place where a pair may occur: the number of a short word, or, after all of those, the number of
a node.
*/

use super::check::{CHECK_EVERY, Check};
use super::neighbours::Neighbours;
use super::nodes::Nodes;
use super::pair::{Site, Symbol};
use super::rewrite::{Merge, ShortPart, ShortWord, Workers};
use super::start::Encode;
use crate::counts::PretokenCounts;
use crate::error::Error;
use crate::room::room;
use std::ops::Range;

/// All words of two symbols or more.
pub(super) struct Words<S> {
    symbols: Vec<S>,
    short: Vec<ShortWord>,
    nodes: Nodes<S>,
    /// For each symbol, the count of the words that consist of this symbol alone.
    single: Vec<u64>,
    long_word: usize,
}

/// A range of the short words, and perhaps the nodes.
pub(super) struct Share {
    short: Range<usize>,
    nodes: bool,
}

impl<S: Symbol> Words<S> {
    /// The words of a corpus, as bytes or as they are encoded; those longer than `long_word` become nodes.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are 2^32 sites or symbols, or when symbols could be counted beyond 2^63.
    pub fn new(
        counts: &PretokenCounts,
        encode: Option<Encode<'_>>,
        long_word: usize,
        check: Check<'_>,
    ) -> Result<Self, Error> {
        let Some(mut encode) = encode else {
            let symbol = |byte: u8| S::from_id(byte.into());
            let push = |words: &mut Self, word: &[u8], count| words.push(word, symbol, count, check);
            return Words::filled(counts, long_word, check, push);
        };
        let mut symbols = Vec::new();
        Words::filled(counts, long_word, check, |words, pretoken, count| {
            symbols.clear();
            encode(pretoken, count, &mut symbols)?;
            words.push(&symbols, S::from_id, count, check)
        })
    }

    /// All words, each added by `push`.
    fn filled(
        counts: &PretokenCounts,
        long_word: usize,
        check: Check<'_>,
        mut push: impl FnMut(&mut Self, &[u8], u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let (single, nodes) = (vec![0; 256], Nodes::new());
        let (symbols, short) = room_for(counts, long_word, check)?;
        let mut words = Words { symbols, short, nodes, single, long_word };
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
            push(&mut words, pretoken, count)?;
            words.check_size()?;
        }
        Ok(words)
    }

    /// Adds a word.
    #[inline]
    fn push<T: Copy>(
        &mut self,
        word: &[T],
        symbol: impl Fn(T) -> S,
        count: u64,
        check: Check<'_>,
    ) -> Result<(), Error> {
        match *word {
            [] => {}
            [only] => add_uses(&mut self.single, symbol(only), count),
            _ if word.len() > self.long_word => self.nodes.push_word(word, symbol, count, check)?,
            _ => self.push_short(word.iter().map(|&part| symbol(part)), count),
        }
        Ok(())
    }

    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses larger positions.
    fn push_short(&mut self, symbols: impl Iterator<Item = S>, count: u64) {
        let start = self.symbols.len();
        self.symbols.extend(symbols);
        self.short.push(ShortWord { start: start as u32, len: (self.symbols.len() - start) as u32, count });
    }

    fn check_size(&self) -> Result<(), Error> {
        check_size(self.symbols.len() + self.nodes.symbols.len())
    }

    /// Drops the words that are one symbol by now, and closes the gaps. Earlier sites are no longer valid.
    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses words beyond 2^32 sites or symbols.
    pub fn compact(&mut self, check: Check<'_>) -> Result<(), Error> {
        let mut write = 0;
        for words in self.short.chunks_mut(CHECK_EVERY) {
            check()?;
            for word in words {
                let (start, len) = (word.start as usize, word.len as usize);
                if len > 1 {
                    self.symbols.copy_within(start..start + len, write);
                    word.start = write as u32;
                    write += len;
                } else {
                    add_uses(&mut self.single, self.symbols[start], word.count);
                }
            }
        }
        self.symbols.truncate(write);
        self.short.retain(|word| word.len > 1);
        let mut nodes = std::mem::replace(&mut self.nodes, Nodes::new());
        nodes.compact(self.long_word.max(1), check, |word, count| match *word {
            [symbol] => add_uses(&mut self.single, symbol, count),
            _ => self.push_short(word.iter().copied(), count),
        })?;
        self.nodes = nodes;
        self.check_size()
    }

    /// How often each of `num_symbols` symbols occurs, dropped words included.
    pub fn uses(self, num_symbols: usize, check: Check<'_>) -> Result<Vec<u64>, Error> {
        let mut uses = self.single;
        uses.resize(num_symbols, 0);
        for words in self.short.chunks(CHECK_EVERY) {
            check()?;
            for word in words {
                for &symbol in &self.symbols[word.start as usize..][..word.len as usize] {
                    add_uses(&mut uses, symbol, word.count);
                }
            }
        }
        self.nodes.for_each_symbol(check, |symbol, count| add_uses(&mut uses, symbol, count))?;
        Ok(uses)
    }

    /// Divides all words into at most `number` shares with about the same number of symbols, `min_share` of
    /// them or more, in ascending order of sites.
    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses words beyond 2^32 sites or symbols.
    pub fn shares(&self, number: usize, min_share: usize) -> Vec<Share> {
        let number = number.min(self.symbols.len() / min_share.max(1)).max(1);
        let start = |i: usize| {
            let symbol = (self.symbols.len() as u64 * i as u64 / number as u64) as u32;
            self.short.partition_point(|word| word.start < symbol)
        };
        let short = |i| start(i)..if i + 1 < number { start(i + 1) } else { self.short.len() };
        (0..number).map(|i| Share { short: short(i), nodes: i + 1 == number }).collect()
    }

    /// Calls `visit` with each adjacent pair in a share, its site and its word's count, in ascending order of
    /// sites.
    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses words beyond 2^32 sites or symbols.
    pub fn for_each_pair(
        &self,
        share: &Share,
        check: Check<'_>,
        mut visit: impl FnMut(S::Key, Site, u64),
    ) -> Result<(), Error> {
        for start in share.short.clone().step_by(CHECK_EVERY) {
            check()?;
            let words = &self.short[start..share.short.end.min(start + CHECK_EVERY)];
            for (word, site) in words.iter().zip(start as Site..) {
                let symbols = &self.symbols[word.start as usize..][..word.len as usize];
                for pair in symbols.windows(2) {
                    visit(S::key(pair[0], pair[1]), site, word.count);
                }
            }
        }
        if !share.nodes {
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

    /// Replaces the pair by `new` at all these sites, which are in ascending order, and adds the neighbours.
    /// Neighbours are read from a word's final form, so that a run such as `abab` does not report the pair
    /// `(new, a)`, which it never contains.
    ///
    /// The workers may divide the sites in short words among them.
    #[allow(clippy::cast_possible_truncation)] // `check_size` refuses words beyond 2^32 sites or symbols.
    pub fn merge(
        &mut self,
        sites: &[Site],
        merge: Merge<S>,
        neighbours: &mut Neighbours<S>,
        workers: &mut Workers<'_, S>,
        check: Check<'_>,
    ) -> Result<(), Error> {
        let num_short = self.short.len() as u32;
        let (short, nodes) = sites.split_at(sites.partition_point(|&site| site < num_short));
        workers.merge(ShortPart::new(&mut self.short, &mut self.symbols), short, merge, neighbours, check)?;
        for sites in nodes.chunks(CHECK_EVERY) {
            check()?;
            for &site in sites {
                self.nodes.merge(site, num_short, merge.a, merge.b, merge.new, neighbours);
            }
        }
        Ok(())
    }
}

/// Room for the short words and their symbols, in large pages: a merge of a pair touches words all over it.
fn room_for<S>(
    counts: &PretokenCounts,
    long_word: usize,
    check: Check<'_>,
) -> Result<(Vec<S>, Vec<ShortWord>), Error> {
    let (mut num_symbols, mut num_words) = (0, 0);
    for (i, (pretoken, _)) in counts.iter().enumerate() {
        if i % CHECK_EVERY == 0 {
            check()?;
        }
        if pretoken.len() > 1 && pretoken.len() <= long_word {
            num_symbols += pretoken.len();
            num_words += 1;
        }
    }
    check_size(num_symbols)?;
    Ok((room(num_symbols), room(num_words)))
}

/// Refuses more symbols than sites can number.
fn check_size(num_symbols: usize) -> Result<(), Error> {
    if num_symbols >= Site::MAX as usize {
        return Err(Error::Limit { what: "the size of all distinct pretokens", limit: Site::MAX.into() });
    }
    Ok(())
}

/// Adds a symbol of a word to the counts by symbol.
fn add_uses<S: Symbol>(uses: &mut Vec<u64>, symbol: S, count: u64) {
    let id = symbol.id() as usize;
    if id >= uses.len() {
        uses.resize(id + 1, 0);
    }
    uses[id] += count;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_each_other_and_have_about_the_same_number_of_symbols() {
        let mut counts = PretokenCounts::default();
        (0..1000).for_each(|n: u32| counts.add(format!("{n:0>4}").as_bytes(), 1).unwrap());
        let words = Words::<u16>::new(&counts, None, 128, &|| Ok(())).unwrap();
        for (number, min_share, expected) in
            [(1, 1, 1), (4, 1, 4), (4, 1000, 4), (4, 1001, 3), (4, 4000, 1), (4, 5000, 1), (0, 0, 1)]
        {
            let shares = words.shares(number, min_share);
            assert_eq!(shares.len(), expected, "{number} {min_share}");
            let mut end = 0;
            for (i, share) in shares.iter().enumerate() {
                assert_eq!((share.short.start, share.nodes), (end, i + 1 == expected));
                assert!(share.short.len().abs_diff(1000 / expected) <= 1);
                end = share.short.end;
            }
            assert_eq!(end, 1000);
        }
    }

    #[test]
    fn more_symbols_than_sites_can_number_are_an_error() {
        assert!(check_size(Site::MAX as usize - 1).is_ok());
        let error = check_size(Site::MAX as usize).unwrap_err().to_string();
        assert!(error.contains("the size of all distinct pretokens"), "{error}");
    }

    #[test]
    fn an_error_states_the_limit_of_counts() {
        let mut counts = PretokenCounts::default();
        counts.add(b"ab", 1 << 62).unwrap();
        let error = Words::<u16>::new(&counts, None, 128, &|| Ok(())).err().unwrap();
        assert!(matches!(error, Error::Limit { limit, .. } if limit == 1 << 63), "{error}");
    }

    #[test]
    fn many_symbols_in_short_words_and_in_nodes() {
        let mut counts = PretokenCounts::default();
        (0..22_000_u32).for_each(|n| counts.add(&n.to_le_bytes()[..3], 1).unwrap());
        counts.add(&b"ab".repeat(33_000), 1).unwrap();
        let words = Words::<u16>::new(&counts, None, 128, &|| Ok(())).unwrap();
        assert!(words.symbols.len() > 1 << 16 && words.nodes.symbols.len() > 1 << 16);
    }
}

/*!
Long words as nodes, so that a merge costs a constant.

A long word (a line of base64, a page without spaces) must not be passed over for every pair in it, or the
time is quadratic in its length. Its symbols are nodes instead, and a site names a node. Nodes need no links:
a token made of `k` symbols stores `k` at its first and at its last node, so both neighbours are one
subtraction away. A border symbol around each word ends every walk.
*/

use super::check::{CHECK_EVERY, Check};
use super::neighbours::Neighbours;
use super::pair::{Site, Symbol};
use crate::error::Error;

/// The nodes of all long words, one word after another.
pub(super) struct Nodes<S> {
    pub symbols: Vec<S>,
    /// The number of nodes that a token takes, stored at the first and at the last of them.
    pub spans: Vec<u32>,
    /// The word of each node, as an index into `counts`.
    word: Vec<u32>,
    counts: Vec<u64>,
}

impl<S: Symbol> Nodes<S> {
    /// The border symbol before the first word.
    pub fn new() -> Self {
        Nodes { symbols: vec![S::NONE], spans: vec![1], word: vec![0], counts: Vec::new() }
    }

    /// Adds a word.
    #[allow(clippy::cast_possible_truncation)] // `Words::new` refuses more than 2^32 nodes.
    pub fn push_word<T: Copy>(
        &mut self,
        word: &[T],
        symbol: impl Fn(T) -> S,
        count: u64,
        check: Check<'_>,
    ) -> Result<(), Error> {
        let number = self.counts.len() as u32;
        self.counts.push(count);
        self.symbols.reserve(word.len() + 1);
        self.spans.reserve(word.len() + 1);
        self.word.reserve(word.len() + 1);
        for part in word.chunks(CHECK_EVERY) {
            check()?;
            self.symbols.extend(part.iter().map(|&part| symbol(part)));
            self.spans.resize(self.symbols.len(), 1);
            self.word.resize(self.symbols.len(), number);
        }
        self.symbols.push(S::NONE);
        self.spans.push(1);
        self.word.push(number);
        Ok(())
    }

    /// The count of the word of a node.
    pub fn count(&self, node: usize) -> u64 {
        self.counts[self.word[node] as usize]
    }

    /// Calls `visit` with each symbol of each word, and the word's count.
    pub fn for_each_symbol(&self, check: Check<'_>, mut visit: impl FnMut(S, u64)) -> Result<(), Error> {
        let mut node = 1;
        while node < self.symbols.len() {
            check()?;
            let end = self.symbols.len().min(node + CHECK_EVERY);
            while node < end {
                if self.symbols[node] != S::NONE {
                    visit(self.symbols[node], self.count(node));
                }
                node += self.spans[node] as usize;
            }
        }
        Ok(())
    }

    /// Closes the gaps that merges left. A word of at most `short` symbols leaves the nodes, and `leave` takes
    /// it with its count. Earlier nodes are no longer valid.
    #[allow(clippy::cast_possible_truncation)] // `Words::new` refuses more than 2^32 nodes.
    pub fn compact(
        &mut self,
        short: usize,
        check: Check<'_>,
        mut leave: impl FnMut(&[S], u64),
    ) -> Result<(), Error> {
        let (mut read, mut write, mut kept, mut next_check) = (1, 1, 0, 0);
        for number in 0..self.counts.len() {
            let (start, count) = (write, self.counts[number]);
            while self.symbols[read] != S::NONE {
                if read >= next_check {
                    check()?;
                    next_check = read + CHECK_EVERY;
                }
                let next = read + self.spans[read] as usize;
                self.set(write, self.symbols[read], kept as u32);
                (read, write) = (next, write + 1);
            }
            read += 1;
            if write - start <= short {
                leave(&self.symbols[start..write], count);
                write = start;
            } else {
                self.set(write, S::NONE, kept as u32);
                self.counts[kept] = count;
                (write, kept) = (write + 1, kept + 1);
            }
        }
        self.symbols.truncate(write);
        self.spans.truncate(write);
        self.word.truncate(write);
        self.counts.truncate(kept);
        Ok(())
    }

    fn set(&mut self, node: usize, symbol: S, word: u32) {
        self.symbols[node] = symbol;
        self.spans[node] = 1;
        self.word[node] = word;
    }

    /// Replaces the pair `a b` by `new` at a site, which is a node's number plus `offset`.
    #[allow(clippy::cast_possible_truncation)] // `Words::new` refuses more than 2^32 nodes.
    pub fn merge(&mut self, site: Site, offset: Site, a: S, b: S, new: S, neighbours: &mut Neighbours<S>) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_are_short_leave_the_nodes() {
        let mut nodes = Nodes::<u16>::new();
        let words = [(&b"aaaa"[..], 7), (b"bbbbbb", 8), (b"ccccc", 9), (b"dddddddd", 10)];
        let symbol = |byte: u8| u16::from(byte);
        words.iter().for_each(|(word, count)| nodes.push_word(word, symbol, *count, &|| Ok(())).unwrap());
        for (short, expected) in
            [(3, &[][..]), (5, &[(4, 7), (5, 9)]), (6, &[(6, 8)]), (7, &[]), (8, &[(8, 10)])]
        {
            let mut left = Vec::new();
            nodes.compact(short, &|| Ok(()), |word, count| left.push((word.len(), count))).unwrap();
            assert_eq!(left, expected, "{short}");
        }
        assert_eq!(nodes.symbols, [u16::MAX]);
    }
}

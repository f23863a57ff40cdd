/*!
Long words as nodes, so that a merge costs a constant.

A long word (a line of base64, a page without spaces) must not be passed over for every pair in it, or the time is quadratic in
its length. Its symbols are nodes instead, and a site names a node. Nodes need no links: a token made of `k` symbols stores `k` at
its first and at its last node, so both neighbours are one subtraction away. A border symbol around each word ends every walk.
*/

use super::neighbours::Neighbours;
use super::pair::{Site, Symbol};

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
    #[allow(clippy::cast_possible_truncation)] // `Words::push` refuses more than 2^32 nodes.
    pub fn push_word(&mut self, symbols: impl Iterator<Item = S>, count: u64) {
        let word = self.counts.len() as u32;
        self.counts.push(count);
        self.symbols.extend(symbols);
        self.symbols.push(S::NONE);
        self.spans.resize(self.symbols.len(), 1);
        self.word.resize(self.symbols.len(), word);
    }

    /// The count of the word of a node.
    pub fn count(&self, node: usize) -> u64 {
        self.counts[self.word[node] as usize]
    }

    /// Each word's symbols and its count.
    pub fn words(&self) -> impl Iterator<Item = (Vec<S>, u64)> {
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

    /// Replaces the pair `a b` by `new` at a site, which is a node's number plus `offset`.
    #[allow(clippy::cast_possible_truncation)] // `Words::push` refuses more than 2^32 nodes.
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

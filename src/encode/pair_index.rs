/*!
Pair of tokens -> the token that it makes.

Why not the table that learning uses ([`crate::merges`])? This one never changes, and its pairs are known elsewhere, so that a
slot is four bytes: the index of 50,000 merges is half a megabyte, and stays in the second-level cache. Nearly all pairs that
are asked for make nothing; a bit for each pair, in another quarter of a megabyte, answers those.
*/

use super::merge::{NONE, Symbol};

pub(super) struct PairIndex {
    /// Open addressing, linear probing, at most half full.
    slots: Vec<Symbol>,
    /// A bit for each pair, and seldom for another.
    filter: Vec<u64>,
}

impl PairIndex {
    /// Room for so many pairs.
    pub fn new(num_pairs: usize) -> Self {
        PairIndex {
            slots: vec![NONE; (2 * num_pairs + 1).next_power_of_two()],
            filter: vec![0; (num_pairs / 2).next_power_of_two().clamp(64, 1 << 18)],
        }
    }

    /// Adds a pair that is not there.
    pub fn insert(&mut self, pair: [Symbol; 2], symbol: Symbol) {
        let hash = hash(pair);
        let mut at = hash & (self.slots.len() - 1);
        while self.slots[at] != NONE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = symbol;
        let (word, bit) = self.bit(hash);
        self.filter[word] |= 1 << bit;
    }

    /// What a pair makes; `pairs` are those of which each symbol is made.
    #[inline]
    pub fn get(&self, pairs: &[[Symbol; 2]], pair: [Symbol; 2]) -> Option<Symbol> {
        let hash = hash(pair);
        let (word, bit) = self.bit(hash);
        if self.filter[word] >> bit & 1 == 0 {
            return None;
        }
        let mut at = hash & (self.slots.len() - 1);
        while self.slots[at] != NONE {
            if pairs[self.slots[at] as usize] == pair {
                return Some(self.slots[at]);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    fn bit(&self, hash: usize) -> (usize, usize) {
        let bit = hash >> 8 & (64 * self.filter.len() - 1);
        (bit / 64, bit % 64)
    }
}

#[allow(clippy::cast_possible_truncation)] // The upper half of a product is its best-mixed part.
fn hash([left, right]: [Symbol; 2]) -> usize {
    let product = (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (product >> 32) as usize
}

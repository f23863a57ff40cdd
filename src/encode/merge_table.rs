/*!
A map from pairs of symbols to the symbols that their merges make, and back.

Why not the table that learning uses ([`crate::merges`])? This one never changes once it is built, and the
pairs are stored by symbol anyway, so that a slot takes four bytes. The slots of 50,000 merges take half a
megabyte and stay in the second-level cache. The file of a tokenizer may be hostile, so the hash has a secret
([`crate::hash_seed`]). Nearly all pairs that are looked up have no merge; a filter of
one bit per pair, in another quarter of a megabyte, answers those.
*/

use crate::hash_seed::HashSeed;

/// A byte, or 256 + the number of a merge that happens. A greater symbol was made later.
pub(super) type Symbol = u32;

/// No symbol.
pub(super) const NONE: Symbol = Symbol::MAX;

/// The merges that happen.
pub(super) struct MergeTable {
    /// The two symbols of which each symbol is made. A byte is whole.
    pairs: Vec<[Symbol; 2]>,
    /// Open addressing, linear probing, at most half full.
    slots: Vec<Symbol>,
    /// A Bloom filter with one bit for each pair.
    filter: Vec<u64>,
    seed: HashSeed,
}

impl MergeTable {
    /// The bytes alone, with room for `num_pairs` merges.
    pub fn new(num_pairs: usize, seed: HashSeed) -> Self {
        MergeTable {
            pairs: vec![[NONE; 2]; 256],
            slots: vec![NONE; (2 * num_pairs + 1).next_power_of_two()],
            filter: vec![0; (num_pairs / 2).next_power_of_two().clamp(64, 1 << 18)],
            seed,
        }
    }

    /// Adds the merge that makes the next symbol, `symbol`, of a pair that has no merge yet.
    pub fn push(&mut self, pair: [Symbol; 2], symbol: Symbol) {
        self.pairs.push(pair);
        let hash = self.hash(pair);
        let mut at = hash & (self.slots.len() - 1);
        while self.slots[at] != NONE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = symbol;
        let (word, bit) = self.bit(hash);
        self.filter[word] |= 1 << bit;
    }

    /// The two symbols of which a symbol is made.
    #[inline]
    pub fn pair(&self, symbol: Symbol) -> [Symbol; 2] {
        self.pairs[symbol as usize]
    }

    /// The symbol that a pair is merged into.
    #[inline]
    pub fn get(&self, pair: [Symbol; 2]) -> Option<Symbol> {
        let hash = self.hash(pair);
        let (word, bit) = self.bit(hash);
        if self.filter[word] >> bit & 1 == 0 {
            return None;
        }
        let mut at = hash & (self.slots.len() - 1);
        while self.slots[at] != NONE {
            if self.pairs[self.slots[at] as usize] == pair {
                return Some(self.slots[at]);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// The word of the filter, and the bit in it, for a hash.
    fn bit(&self, hash: usize) -> (usize, usize) {
        let bit = hash >> 8 & (64 * self.filter.len() - 1);
        (bit / 64, bit % 64)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // The low bits of a hash.
    fn hash(&self, [left, right]: [Symbol; 2]) -> usize {
        self.seed.fold(left.into(), right.into()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_table_has_the_merges_that_were_added_and_its_filter_answers_most_other_pairs() {
        for num_pairs in [0, 1, 2, 100, 255, 256, 5000, 50_000] {
            let mut table = MergeTable::new(num_pairs, HashSeed::of_process());
            let mut expected = HashMap::new();
            for symbol in (256..).take(num_pairs) {
                let pair = [symbol * 7 % (symbol / 2 + 1), symbol - 1];
                table.push(pair, symbol);
                expected.insert(pair, symbol);
                assert_eq!(table.pair(symbol), pair);
            }
            assert!(table.slots.len() > 2 * num_pairs, "{num_pairs}");
            assert!(table.slots.len() <= 4 * num_pairs + 2, "{num_pairs}");
            assert_eq!(table.pair(97), [NONE; 2]);
            assert!(expected.iter().all(|(&pair, &symbol)| table.get(pair) == Some(symbol)));
            let others = (0..300).flat_map(|a| (0..300).map(move |b| [a, 13 * b]));
            let others: Vec<_> = others.filter(|pair| !expected.contains_key(pair)).collect();
            assert!(others.iter().all(|&pair| table.get(pair).is_none()));
            let is_asked = |pair: [Symbol; 2]| {
                let (word, bit) = table.bit(table.hash(pair));
                table.filter[word] >> bit & 1 == 1
            };
            let num_asked = others.into_iter().filter(|&pair| is_asked(pair)).count();
            assert!(num_asked < 9000, "{num_asked} of 90,000 pairs are looked up among {num_pairs}");
        }
    }

    /// With the numbers 5 and 7, all pairs with 5 on the left have the same hash.
    #[test]
    fn pairs_made_to_have_the_same_hash_lie_together_only_where_the_seed_is_known() {
        let longest_run = |seed| {
            let mut table = MergeTable::new(3000, seed);
            (256..3256).for_each(|symbol| table.push([5, symbol - 1], symbol));
            assert!((256..3256).all(|symbol| table.get([5, symbol - 1]) == Some(symbol)));
            let runs = table.slots.split(|&slot| slot == NONE).map(<[_]>::len);
            runs.max()
        };
        assert_eq!(longest_run(HashSeed::chosen(5, 7)), Some(3000));
        for seed in [HashSeed::of_process(), HashSeed::chosen(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3211)] {
            assert!(longest_run(seed) < Some(300), "{seed:?}");
        }
    }
}

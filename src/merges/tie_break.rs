/*!
Which of two pairs with the same count is merged first.

The caller chooses the rule, because trainers differ in it and the choice changes the result: on the course's
own corpus the two rules first differ at merge 31 of 243. The order must not depend on hashing, threads or the
order of the text, so each rule is a total order on pairs.
*/

use super::pair::Pair;
use crate::byte_alphabet::alphabet;
use crate::error::Error;
use std::cmp::Ordering;
use std::collections::HashSet;

/// The rule for pairs of equal count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieBreak {
    /// The greater pair of byte strings comes first (the course's rule). The first tokens are compared whole,
    /// then the second ones.
    #[default]
    Bytes,
    /// The smaller pair of ids comes first, where bytes are numbered in the order of GPT-2's alphabet
    /// (Hugging Face's rule).
    Hf,
}

impl TieBreak {
    /// The rule of a name: `"bytes"` or `"hf"`.
    ///
    /// # Errors
    /// [`Error::Option`] for any other name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "bytes" => Ok(TieBreak::Bytes),
            "hf" => Ok(TieBreak::Hf),
            other => Err(Error::Option {
                name: "tie_break",
                value: format!("{other:?}"),
                rule: "\"bytes\" or \"hf\"",
            }),
        }
    }

    /// The name of the rule, which [`TieBreak::new`] accepts.
    pub fn name(self) -> &'static str {
        match self {
            TieBreak::Bytes => "bytes",
            TieBreak::Hf => "hf",
        }
    }
}

/// The bytes of the tokens so far, and their order under a [`TieBreak`]; and the bytes that no new token may have.
pub(super) struct TokenOrder {
    rule: TieBreak,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// For `Bytes`, a token's first eight bytes, big-endian, which nearly always decide. For `Hf`, its id as
    /// Hugging Face numbers it.
    keys: Vec<u64>,
    taken: HashSet<Vec<u8>>,
}

impl TokenOrder {
    pub fn new(rule: TieBreak, taken: HashSet<Vec<u8>>) -> Self {
        let mut order = TokenOrder {
            rule,
            bytes: (0..=255).collect(),
            ends: (1..=256).collect(),
            keys: Vec::new(),
            taken,
        };
        order.keys = match rule {
            TieBreak::Bytes => (0..256).map(|id| order.prefix(id)).collect(),
            TieBreak::Hf => gpt2_alphabet_ranks().to_vec(),
        };
        order
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The id of the token that the next merge makes. `Vocab::num_merges` keeps it below 2^32.
    #[allow(clippy::cast_possible_truncation)]
    pub fn next_id(&self) -> u32 {
        self.len() as u32
    }

    pub fn token_len(&self, id: u32) -> usize {
        self.token(id as usize).len()
    }

    /// Whether a token has the bytes of a pair, although no merge makes it.
    pub fn is_taken(&self, pair: Pair) -> bool {
        let [left, right] = [pair.left, pair.right].map(|id| self.token(id as usize));
        !self.taken.is_empty() && self.taken.contains(&[left, right].concat())
    }

    /// Adds the token that a merge makes.
    pub fn push(&mut self, pair: Pair) {
        for id in [pair.left, pair.right] {
            let end = self.ends[id as usize];
            self.bytes.extend_from_within(end - self.token_len(id)..end);
        }
        self.ends.push(self.bytes.len());
        let id = self.ends.len() - 1;
        self.keys.push(match self.rule {
            TieBreak::Bytes => self.prefix(id),
            TieBreak::Hf => id as u64,
        });
    }

    /// Whether `a` is merged before `b` when their counts are equal.
    #[inline]
    pub fn is_before(&self, a: Pair, b: Pair) -> bool {
        let order = match self.rule {
            TieBreak::Bytes => self.compare(b.left, a.left).then_with(|| self.compare(b.right, a.right)),
            TieBreak::Hf => self.compare(a.left, b.left).then_with(|| self.compare(a.right, b.right)),
        };
        order == Ordering::Less
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let (a, b) = (a as usize, b as usize);
        self.keys[a].cmp(&self.keys[b]).then_with(|| self.token(a).cmp(self.token(b)))
    }

    fn token(&self, id: usize) -> &[u8] {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..self.ends[id]]
    }

    fn prefix(&self, id: usize) -> u64 {
        let token = self.token(id);
        let mut first = [0; 8];
        let len = token.len().min(8);
        first[..len].copy_from_slice(&token[..len]);
        u64::from_be_bytes(first)
    }
}

/// The rank of each byte in GPT-2's alphabet.
fn gpt2_alphabet_ranks() -> [u64; 256] {
    let mut ranks = [0; 256];
    for (byte, rank) in alphabet().zip(0..) {
        ranks[byte as usize] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_found_by_its_name() {
        for rule in [TieBreak::Bytes, TieBreak::Hf] {
            assert!(matches!(TieBreak::new(rule.name()), Ok(found) if found == rule));
        }
    }
}

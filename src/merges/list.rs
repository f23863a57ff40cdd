/*!
Merges as data: a list of pairs of token ids.
*/

use crate::token_id::TokenId;

/// Merges, in the order in which they were learned. In a vocabulary that was learned in one training, merge number `i`
/// makes token `256 + i`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merges {
    pairs: Vec<(TokenId, TokenId)>,
}

impl Merges {
    /// The merges of these pairs of token ids, in order.
    pub fn from_pairs(pairs: Vec<(TokenId, TokenId)>) -> Self {
        Merges { pairs }
    }

    /// Adds a merge after all others.
    pub(super) fn push(&mut self, pair: (TokenId, TokenId)) {
        self.pairs.push(pair);
    }

    /// The pairs, in order.
    pub fn as_slice(&self) -> &[(TokenId, TokenId)] {
        &self.pairs
    }

    /// The number of merges.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

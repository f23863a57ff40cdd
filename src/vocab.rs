/*!
Token ids and the bytes they stand for.
*/

use crate::error::Error;
use crate::merges::Merges;
use crate::special_tokens::SpecialTokens;
use std::collections::HashMap;

/// The number of a token. u32 everywhere; made from `usize` by checked conversion only.
pub type TokenId = u32;

/// The most tokens a vocabulary can have.
pub const MAX_VOCAB_SIZE: usize = u32::MAX as usize - 1;

/// The tokens by id: a learned vocabulary has the 256 bytes first, then the merges in order, then the special tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocab {
    tokens: Vec<Vec<u8>>,
}

impl Vocab {
    /// The number of merges that fit a vocabulary of `vocab_size`.
    ///
    /// # Errors
    /// [`Error::VocabTooSmall`], [`Error::VocabTooLarge`].
    pub fn num_merges(vocab_size: usize, special_tokens: &SpecialTokens) -> Result<usize, Error> {
        let minimum = 256 + special_tokens.len();
        if vocab_size > MAX_VOCAB_SIZE {
            return Err(Error::VocabTooLarge { given: vocab_size, maximum: MAX_VOCAB_SIZE });
        }
        vocab_size.checked_sub(minimum).ok_or(Error::VocabTooSmall { given: vocab_size, minimum })
    }

    /// The vocabulary of learned merges.
    pub fn new(merges: &Merges, special_tokens: &SpecialTokens) -> Self {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for &(left, right) in merges.as_slice() {
            tokens.push([&tokens[left as usize][..], &tokens[right as usize]].concat());
        }
        tokens.extend(special_tokens.as_slice().iter().map(|token| token.as_bytes().to_vec()));
        Vocab { tokens }
    }

    /// The vocabulary of these tokens, in the order of their ids.
    pub fn from_tokens(tokens: Vec<Vec<u8>>) -> Result<Self, Error> {
        if tokens.len() > MAX_VOCAB_SIZE {
            return Err(Error::VocabTooLarge { given: tokens.len(), maximum: MAX_VOCAB_SIZE });
        }
        Ok(Vocab { tokens })
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The bytes of a token.
    pub fn get(&self, id: TokenId) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice)
    }

    /// The tokens, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.tokens.iter().map(Vec::as_slice)
    }

    /// The id of each token; of equal tokens the first one's.
    pub fn ids(&self) -> HashMap<&[u8], TokenId> {
        let mut ids = HashMap::with_capacity(self.len());
        for (token, id) in self.iter().zip(0..) {
            ids.entry(token).or_insert(id);
        }
        ids
    }
}

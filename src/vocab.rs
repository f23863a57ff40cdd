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

/// An id may leave so many ids below it without a token, and as many more as there are tokens.
const MAX_GAP: usize = 1 << 16;

/// How many ids a vocabulary of so many tokens may have. Otherwise one great id in a file would take all memory.
pub(crate) fn max_ids(num_tokens: usize) -> usize {
    num_tokens.saturating_mul(2).saturating_add(MAX_GAP).min(MAX_VOCAB_SIZE)
}

/// The tokens by id: a learned vocabulary has the 256 bytes first, then the merges in order, then the special tokens. In
/// others there may be ids without a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocab {
    /// Empty where there is none.
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

    /// The vocabulary of these tokens, in the order of their ids. An empty one is none.
    pub fn from_tokens(tokens: Vec<Vec<u8>>) -> Result<Self, Error> {
        if tokens.len() > MAX_VOCAB_SIZE {
            return Err(Error::VocabTooLarge { given: tokens.len(), maximum: MAX_VOCAB_SIZE });
        }
        Ok(Vocab { tokens })
    }

    /// With those special tokens that are not there, and the id of each.
    ///
    /// # Errors
    /// [`Error::VocabTooLarge`].
    pub fn with_special_tokens(self, special_tokens: &SpecialTokens) -> Result<(Self, Vec<TokenId>), Error> {
        let last_ids: HashMap<&[u8], TokenId> = self.iter().map(|(id, token)| (token, id)).collect();
        let known = special_tokens.as_slice().iter().map(|token| last_ids.get(token.as_bytes()).copied());
        let known: Vec<Option<TokenId>> = known.collect();
        let mut tokens = self.tokens;
        let ids = special_tokens.as_slice().iter().zip(known).map(|(token, known)| {
            known.map_or_else(
                || {
                    tokens.push(token.as_bytes().to_vec());
                    TokenId::try_from(tokens.len() - 1)
                },
                Ok,
            )
        });
        let ids = ids.collect::<Result<_, _>>();
        let given = tokens.len();
        let vocab = Vocab::from_tokens(tokens)?;
        Ok((vocab, ids.map_err(|_| Error::VocabTooLarge { given, maximum: MAX_VOCAB_SIZE })?))
    }

    /// The greatest id and one.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The bytes of a token.
    pub fn get(&self, id: TokenId) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice).filter(|token| !token.is_empty())
    }

    /// The ids and their tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, &[u8])> {
        (0..).zip(self.tokens.iter().map(Vec::as_slice)).filter(|(_, token)| !token.is_empty())
    }

    /// The id of each token; of equal tokens the first one's.
    pub fn ids(&self) -> HashMap<&[u8], TokenId> {
        let mut ids = HashMap::with_capacity(self.len());
        for (id, token) in self.iter() {
            ids.entry(token).or_insert(id);
        }
        ids
    }
}

/*!
Token ids and the bytes they stand for.
*/

use crate::byte_alphabet;
use crate::error::Error;
use crate::merges::Merges;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The maximum number of tokens of a vocabulary.
pub const MAX_VOCAB_SIZE: usize = u32::MAX as usize - 1;

/// The maximum number of unused ids, in addition to one unused id for each token.
const MAX_GAP: usize = 1 << 16;

/// The maximum number of ids of a vocabulary with `num_tokens` tokens. Without it, one great id in a file
/// would take all memory.
pub(crate) fn max_ids(num_tokens: usize) -> usize {
    num_tokens.saturating_mul(2).saturating_add(MAX_GAP).min(MAX_VOCAB_SIZE)
}

/// The tokens by id. A learned vocabulary has the 256 bytes first, then the tokens of the merges in order,
/// then the special tokens. Other vocabularies may have ids without a token.
///
/// Several tokens may have the same bytes, such as a special `\n` and the byte 10. Text then gets the id of
/// one of them; the others are *apart*.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocab {
    /// The bytes of each token; empty for an id without a token.
    tokens: Vec<Vec<u8>>,
    /// The ids that text never gets, because another token has the same bytes.
    apart: BTreeSet<TokenId>,
}

impl Vocab {
    /// The number of merges that fit a vocabulary of `vocab_size`.
    ///
    /// # Errors
    /// [`Error::VocabTooSmall`], [`Error::VocabTooLarge`].
    pub fn num_merges(vocab_size: usize, special_tokens: &SpecialTokens) -> Result<usize, Error> {
        let minimum = 256 + special_tokens.len();
        Self::check_size(vocab_size)?;
        vocab_size.checked_sub(minimum).ok_or(Error::VocabTooSmall { given: vocab_size, minimum })
    }

    /// Refuses more tokens than there are ids.
    ///
    /// # Errors
    /// [`Error::VocabTooLarge`].
    pub(crate) fn check_size(vocab_size: usize) -> Result<(), Error> {
        if vocab_size > MAX_VOCAB_SIZE {
            return Err(Error::VocabTooLarge { given: vocab_size, maximum: MAX_VOCAB_SIZE });
        }
        Ok(())
    }

    /// The vocabulary of learned merges.
    pub fn new(merges: &Merges, special_tokens: &SpecialTokens) -> Self {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for &(left, right) in merges.as_slice() {
            tokens.push([&tokens[left as usize][..], &tokens[right as usize]].concat());
        }
        tokens.extend(special_tokens.as_slice().iter().map(|token| token.as_bytes().to_vec()));
        Vocab { tokens, apart: BTreeSet::new() }
    }

    /// The vocabulary of these tokens, in the order of their ids. Empty bytes mean an id without a token.
    ///
    /// # Errors
    /// [`Error::VocabTooLarge`].
    pub fn from_tokens(tokens: Vec<Vec<u8>>) -> Result<Self, Error> {
        Self::check_size(tokens.len())?;
        Ok(Vocab { tokens, apart: BTreeSet::new() })
    }

    /// The same vocabulary with more tokens after the last id.
    ///
    /// # Errors
    /// [`Error::VocabTooLarge`].
    pub(crate) fn with_more(&self, tokens: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, Error> {
        let tokens = self.tokens.iter().cloned().chain(tokens).collect();
        Ok(Vocab::from_tokens(tokens)?.with_apart(self.apart.iter().copied()))
    }

    /// The same vocabulary with these ids apart.
    #[must_use]
    pub(crate) fn with_apart(self, apart: impl IntoIterator<Item = TokenId>) -> Self {
        Vocab { apart: apart.into_iter().collect(), ..self }
    }

    /// The ids that text never gets, because another token has the same bytes.
    pub fn apart(&self) -> &BTreeSet<TokenId> {
        &self.apart
    }

    /// Finds the id of each special token by its bytes, and adds the special tokens that the vocabulary
    /// lacks.
    ///
    /// If several tokens have the bytes of a special token and the vocabulary is numbered as learned
    /// (`is_learned`), the last of them is the special token.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if several tokens have those bytes and the vocabulary is not numbered as learned,
    /// so that the id is ambiguous; [`Error::VocabTooLarge`].
    pub(crate) fn find_special_tokens(
        &mut self,
        special_tokens: &SpecialTokens,
        is_learned: impl Fn(&Vocab) -> bool,
    ) -> Result<Vec<TokenId>, Error> {
        let mut found: HashMap<&[u8], Vec<TokenId>> =
            special_tokens.as_slice().iter().map(|token| (token.as_bytes(), Vec::new())).collect();
        for (id, token) in self.iter() {
            if let Some(ids) = found.get_mut(token) {
                ids.push(id);
            }
        }
        if found.values().any(|ids| ids.len() > 1) && !is_learned(self) {
            let of_many = |token: &&String| found[token.as_bytes()].len() > 1;
            let token = special_tokens.as_slice().iter().find(of_many).map_or("", String::as_str);
            let ids = &found[token.as_bytes()];
            let reason = format!(
                "tokens {} and {} are both {token:?}; say which is the special one: special_tokens={{{token:?}: {}}}",
                ids[0], ids[1], ids[0]
            );
            return Err(Error::Tokenizer { reason });
        }
        let mut ids = Vec::with_capacity(special_tokens.len());
        for token in special_tokens.as_slice() {
            let known = found[token.as_bytes()].last().copied();
            let new = self.tokens.len();
            let too_large = Error::VocabTooLarge { given: new + 1, maximum: MAX_VOCAB_SIZE };
            let id = known.map_or_else(|| TokenId::try_from(new), Ok).map_err(|_| too_large)?;
            if known.is_none() {
                self.tokens.push(token.as_bytes().to_vec());
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Checks the ids of special tokens, and adds the special tokens that the vocabulary lacks. A special
    /// token may have the id of another token if a file would give both the same name. Hugging Face's file
    /// does so for a special `é` and the byte 0xE9.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] that names the special token whose id belongs to another token or is far beyond
    /// all others.
    pub(crate) fn place_special_tokens(
        &mut self,
        special_tokens: &SpecialTokens,
        ids: &[TokenId],
    ) -> Result<(), Error> {
        let max_ids = max_ids(self.iter().count() + ids.len());
        let mut owners = HashMap::new();
        for (token, &id) in special_tokens.as_slice().iter().zip(ids) {
            let refused = |reason: String| Err(Error::Tokenizer { reason });
            if let Some(other) = owners.insert(id, token) {
                return refused(format!("special tokens {other:?} and {token:?} have the same id {id}"));
            }
            if id as usize >= max_ids {
                return refused(format!("special token {token:?} has id {id}; ids must be below {max_ids}"));
            }
            match self.get(id) {
                Some(known) if is_named(known, token) => {}
                Some(known) => {
                    let known = String::from_utf8_lossy(known);
                    return refused(format!(
                        "special token {token:?} has id {id}, which is the token {known:?}"
                    ));
                }
                None => {
                    self.tokens.resize(self.len().max(id as usize + 1), Vec::new());
                    self.tokens[id as usize] = token.as_bytes().to_vec();
                }
            }
        }
        Ok(())
    }

    /// Sets special tokens apart from other tokens with the same bytes. If several other tokens share their
    /// bytes and the vocabulary is numbered as learned (`is_learned`), text gets the first of them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if several other tokens share their bytes and the vocabulary is not numbered as
    /// learned, so that the token of the text is ambiguous.
    pub(crate) fn set_apart(
        &mut self,
        special_tokens: &SpecialTokens,
        special_ids: &[TokenId],
        is_learned: impl Fn(&Vocab) -> bool,
    ) -> Result<(), Error> {
        let special: HashSet<TokenId> = special_tokens
            .as_slice()
            .iter()
            .zip(special_ids)
            .filter(|(token, id)| self.get(**id) == Some(token.as_bytes()))
            .map(|(_, &id)| id)
            .collect();
        let mut first: HashMap<&[u8], TokenId> = HashMap::with_capacity(self.len());
        let mut apart = self.apart.clone();
        for (id, token) in self.iter().filter(|(id, _)| !self.apart.contains(id)) {
            let Some(other) = first.insert(token, id) else { continue };
            let (kept, left) = match (special.contains(&other), special.contains(&id)) {
                (true, false) => (id, other),
                (false, true) => (other, id),
                _ if is_learned(self) => (other, id),
                _ => {
                    let text = String::from_utf8_lossy(token);
                    let reason = format!(
                        "tokens {other} and {id} are both {text:?}; say which is a special one: special_tokens={{{text:?}: {id}}}"
                    );
                    return Err(Error::Tokenizer { reason });
                }
            };
            first.insert(token, kept);
            apart.insert(left);
        }
        self.apart = apart;
        Ok(())
    }

    /// Whether the vocabulary begins with the 256 bytes, followed by the tokens that the merges make, in
    /// order.
    pub(crate) fn is_learned<'m>(&self, merges: impl IntoIterator<Item = (&'m [u8], &'m [u8])>) -> bool {
        (0..=255).zip(&self.tokens).filter(|(byte, token)| token[..] == [*byte]).count() == 256
            && merges.into_iter().zip(256..).all(|((left, right), id)| {
                self.tokens.get(id).and_then(|token| token.strip_prefix(left)) == Some(right)
            })
    }

    /// The number of ids: the greatest id plus one.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The bytes of the token with an id.
    pub fn get(&self, id: TokenId) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice).filter(|token| !token.is_empty())
    }

    /// The ids and their tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, &[u8])> {
        (0..).zip(self.tokens.iter().map(Vec::as_slice)).filter(|(_, token)| !token.is_empty())
    }

    /// The id that text gets for the bytes of each token.
    pub fn ids(&self) -> HashMap<&[u8], TokenId> {
        self.iter().filter(|(id, _)| !self.apart.contains(id)).map(|(id, token)| (token, id)).collect()
    }
}

/// Whether a special token's text equals a token's bytes, or the name that a file gives those bytes.
pub(crate) fn is_named(token: &[u8], text: &str) -> bool {
    token == text.as_bytes() || byte_alphabet::from_text(text).is_some_and(|bytes| bytes == token)
}

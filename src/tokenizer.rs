/*!
A tokenizer: a vocabulary, merges, special tokens and a pattern that fit each other.

Why is it one type? Each of them alone can be right and the four together wrong: a merge of a token that does
not exist, two tokens with the same bytes, a special token with the id of another. All of this is checked when
a tokenizer is made, so that encoding and decoding meet no such case.
*/

use crate::encode::{Encoder, EncoderPool, Knobs, PretokenEncoder, Rules};
use crate::error::Error;
use crate::job::Job;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::vocab::Vocab;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// The meaning of a special token in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The special token itself.
    Allow,
    /// Ordinary text.
    Text,
    /// An error: the text is refused.
    Raise,
}

impl Special {
    /// The meaning of a name: `"allow"`, `"text"` or `"raise"`.
    ///
    /// # Errors
    /// [`Error::Option`] for any other name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "allow" => Ok(Special::Allow),
            "text" => Ok(Special::Text),
            "raise" => Ok(Special::Raise),
            _ => Err(Error::Option {
                name: "special",
                value: format!("{name:?}"),
                rule: "allow, text or raise",
            }),
        }
    }

    /// The name of the meaning, which [`Special::new`] accepts.
    pub fn name(self) -> &'static str {
        match self {
            Special::Allow => "allow",
            Special::Text => "text",
            Special::Raise => "raise",
        }
    }
}

/// Whether a vocabulary is numbered as learned: the bytes, then the tokens of the merges.
fn is_learned(vocab: &Vocab, merges: &Merges) -> bool {
    let bytes = |id| vocab.get(id).unwrap_or_default();
    vocab.is_learned(merges.as_slice().iter().map(|&(left, right)| (bytes(left), bytes(right))))
}

/// Turns text into token ids, and token ids into text.
pub struct Tokenizer {
    vocab: Vocab,
    merges: Merges,
    special_tokens: SpecialTokens,
    special_ids: Vec<TokenId>,
    pattern: Pattern,
    encoder: PretokenEncoder,
    /// No special tokens.
    none: SpecialTokens,
    knobs: Knobs,
    idle: EncoderPool,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = (self.vocab.len(), self.merges.len());
        f.debug_tuple("Tokenizer")
            .field(&sizes)
            .field(&self.special_tokens.as_slice())
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Checks that all arguments fit each other: every byte has a token, and every merge joins two tokens
    /// that exist before it and makes a third. Special tokens are found by their bytes, and added to the
    /// vocabulary if it lacks them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] that names the token or merge that does not fit, or two tokens with the same
    /// bytes of which either may be the special one; [`Error::VocabTooLarge`].
    pub fn new(
        mut vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        let special_ids = vocab.find_special_tokens(&special_tokens, |vocab| is_learned(vocab, &merges))?;
        Self::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
    }

    /// As [`Tokenizer::new`], with the id of each special token.
    ///
    /// # Errors
    /// Those of [`Tokenizer::new`]; [`Error::Tokenizer`] that names the special token whose id belongs to
    /// another token.
    pub fn with_special_ids(
        mut vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        special_ids: Vec<TokenId>,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        vocab.place_special_tokens(&special_tokens, &special_ids)?;
        vocab.set_apart(&special_tokens, &special_ids, |vocab| is_learned(vocab, &merges))?;
        Self::from_parts(vocab, merges, special_tokens, special_ids, pattern)
    }

    /// As [`Tokenizer::with_special_ids`], for a vocabulary that contains the special tokens and the ids
    /// apart.
    pub(crate) fn from_parts(
        vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        special_ids: Vec<TokenId>,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        let encoder = PretokenEncoder::new(&vocab, &merges).map_err(|reason| Error::Tokenizer { reason })?;
        Ok(Tokenizer {
            vocab,
            merges,
            special_tokens,
            special_ids,
            pattern,
            encoder,
            none: SpecialTokens::default(),
            knobs: Knobs::default(),
            idle: EncoderPool::default(),
        })
    }

    /// The same tokenizer with other settings for speed and memory.
    #[must_use]
    pub fn with_knobs(self, knobs: Knobs) -> Self {
        // The tables of the idle encoders follow the old settings.
        Tokenizer { knobs, idle: EncoderPool::default(), ..self }
    }

    /// The same tokenizer, except that a pretoken that is a token becomes that token even if no merges make it. Special
    /// tokens are not meant: their texts stay ordinary text under [`Special::Text`]. Hugging Face calls this
    /// `ignore_merges`; tiktoken does it always.
    #[must_use]
    pub fn with_ignored_merges(mut self) -> Self {
        let special: HashSet<TokenId> = self.special_ids.iter().copied().collect();
        self.encoder.take_whole(self.vocab.iter().filter(|(id, _)| !special.contains(id)));
        // The tables of the idle encoders know the old ids.
        Tokenizer { idle: EncoderPool::default(), ..self }
    }

    /// Whether some pretokens become a token that no merges make ([`Tokenizer::with_ignored_merges`]).
    pub fn ignores_merges(&self) -> bool {
        self.encoder.takes_whole()
    }

    /// The vocabulary: the bytes of each token id.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// The merges, in order.
    pub fn merges(&self) -> &Merges {
        &self.merges
    }

    /// The special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special_tokens
    }

    /// The ids of the special tokens, in the same order.
    pub fn special_ids(&self) -> &[TokenId] {
        &self.special_ids
    }

    /// The id of a special token.
    pub fn special_id(&self, token: &str) -> Option<TokenId> {
        let number = self.special_tokens.as_slice().iter().position(|special| special == token)?;
        Some(self.special_ids[number])
    }

    /// How texts are split into pretokens.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The greatest token id.
    pub fn greatest_id(&self) -> TokenId {
        TokenId::try_from(self.vocab.len().saturating_sub(1)).unwrap_or(TokenId::MAX)
    }

    /// A name for everything that ids depend on: the SHA-256, in hexadecimal, of the pattern, the tokens, the
    /// merges and the special tokens in the order of their ids. Each list and each string is preceded by its
    /// length.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |all: &[&[u8]]| all.iter().for_each(|bytes| hash.update(bytes));
        let len = |len: usize| (len as u64).to_le_bytes();
        let pattern = self.pattern.source();
        add(&[&len(pattern.len()), pattern.as_bytes(), &len(self.vocab.iter().count())]);
        for (id, token) in self.vocab.iter() {
            add(&[&id.to_le_bytes(), &len(token.len()), token]);
        }
        add(&[&len(self.merges.len())]);
        for (left, right) in self.merges.as_slice() {
            add(&[&left.to_le_bytes(), &right.to_le_bytes()]);
        }
        add(&[&len(self.special_ids.len())]);
        let mut special: Vec<(TokenId, &[u8])> = self
            .special_ids
            .iter()
            .copied()
            .zip(self.special_tokens.as_slice().iter().map(String::as_bytes))
            .collect();
        special.sort_unstable();
        for (id, _) in &special {
            add(&[&id.to_le_bytes()]);
        }
        // The rest adds nothing, except where tokens share their bytes or an id, so that earlier names stay
        // valid.
        for (id, token) in special.iter().filter(|&&(id, token)| self.vocab.get(id) != Some(token)) {
            add(&[&id.to_le_bytes(), &len(token.len()), token]);
        }
        for id in self.vocab.apart().iter().filter(|id| !self.special_ids.contains(id)) {
            add(&[&id.to_le_bytes()]);
        }
        if self.ignores_merges() {
            add(&[b"ignore_merges"]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// [`Error::SpecialInText`] under [`Special::Raise`]; [`Error::PatternLimit`]; [`Error::Cancelled`].
    pub fn encode(&self, text: &[u8], special: Special, job: &Job) -> Result<Vec<TokenId>, Error> {
        self.with_ids(text, special, job, <[TokenId]>::to_vec)
    }

    /// Encodes a text and returns what `visit` returns for its ids, which are not copied.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn with_ids<R>(
        &self,
        text: &[u8],
        special: Special,
        job: &Job,
        visit: impl FnOnce(&[TokenId]) -> R,
    ) -> Result<R, Error> {
        self.check_special(text, special)?;
        self.with_encoder(special, 1, |encoder| encoder.ids(self.rules(special), text, job).map(visit))
    }

    /// The bytes that ids stand for.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id that has no token.
    pub fn decode(&self, ids: impl IntoIterator<Item = TokenId>) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for (index, id) in ids.into_iter().enumerate() {
            let token = self.vocab.get(id);
            let greatest = self.greatest_id();
            bytes.extend(token.ok_or(Error::TokenId { id: id.into(), index: index as u64, greatest })?);
        }
        Ok(bytes)
    }

    /// The encoder of single pretokens.
    pub(crate) fn pretoken_encoder(&self) -> &PretokenEncoder {
        &self.encoder
    }

    /// Whether a pretoken is encoded as this one token.
    pub(crate) fn reaches(&self, pretoken: &[u8], id: TokenId) -> bool {
        self.encoder.reaches(pretoken, id)
    }

    /// Refuses a text that has a special token, under [`Special::Raise`].
    pub(crate) fn check_special(&self, text: &[u8], special: Special) -> Result<(), Error> {
        if special != Special::Raise {
            return Ok(());
        }
        self.special_tokens.split(text, 0..text.len(), |stretch, special| match special {
            None => Ok(()),
            Some(number) => Err(Error::SpecialInText {
                token: self.special_tokens.as_slice()[number].clone(),
                text: "the text".to_owned(),
                offset: stretch.end as u64,
            }),
        })
    }

    /// The special tokens that stand for themselves in a text.
    pub(crate) fn allowed(&self, special: Special) -> &SpecialTokens {
        match special {
            Special::Allow => &self.special_tokens,
            Special::Text | Special::Raise => &self.none,
        }
    }

    /// The special tokens that a cut must not split, including those that are searched for only in order to
    /// refuse them.
    pub(crate) fn uncut(&self, special: Special) -> &SpecialTokens {
        match special {
            Special::Allow | Special::Raise => &self.special_tokens,
            Special::Text => &self.none,
        }
    }

    /// The rules for a choice of special tokens.
    pub(crate) fn rules(&self, special: Special) -> Rules<'_> {
        let (special_tokens, special_ids) = match special {
            Special::Allow => (&self.special_tokens, &self.special_ids[..]),
            Special::Text | Special::Raise => (&self.none, &[][..]),
        };
        Rules {
            pattern: &self.pattern,
            encoder: &self.encoder,
            special_tokens,
            special_ids,
            knobs: self.knobs,
        }
    }

    /// Takes an encoder out of the pool for a choice of special tokens. It is for one of several workers of a
    /// call.
    pub(crate) fn take_encoder(&self, special: Special, workers: usize) -> Box<Encoder> {
        let mut rules = self.rules(special);
        rules.knobs = rules.knobs.for_one_of(workers);
        self.idle.take(special == Special::Allow, rules)
    }

    /// Gives an encoder back to the pool for the same choice.
    pub(crate) fn give_back(&self, special: Special, mut encoder: Box<Encoder>) {
        encoder.trim();
        self.idle.give_back(special == Special::Allow, encoder);
    }

    /// Runs `work` with an encoder from the pool, for one of several workers of a call.
    pub(crate) fn with_encoder<R>(
        &self,
        special: Special,
        workers: usize,
        work: impl FnOnce(&mut Encoder) -> R,
    ) -> R {
        let mut encoder = self.take_encoder(special, workers);
        let result = work(&mut encoder);
        self.give_back(special, encoder);
        result
    }
}

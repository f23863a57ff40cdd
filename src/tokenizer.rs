/*!
A tokenizer: vocabulary, merges, special tokens and pattern, known to fit each other.
*/

use crate::encode::{Encoder, Knobs, Merger, Rules};
use crate::error::Error;
use crate::job::Job;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::threads::resolve_threads;
use crate::token_id::TokenId;
use crate::vocab::Vocab;
use sha2::{Digest, Sha256};
use std::sync::{Mutex, TryLockError};

/// What a special token in a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Itself.
    Allow,
    /// Nothing: it is text like any other.
    Text,
    /// That the text is refused.
    Raise,
}

impl Special {
    /// `"allow"`, `"text"` or `"raise"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
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

    /// What [`Special::new`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Special::Allow => "allow",
            Special::Text => "text",
            Special::Raise => "raise",
        }
    }
}

fn is_learned(vocab: &Vocab, merges: &Merges) -> bool {
    let bytes = |id| vocab.get(id).unwrap_or_default();
    vocab.is_learned(merges.as_slice().iter().map(|&(left, right)| (bytes(left), bytes(right))))
}

/// Everything that text needs to become token ids, and token ids to become text.
pub struct Tokenizer {
    vocab: Vocab,
    merges: Merges,
    special_tokens: SpecialTokens,
    special_ids: Vec<TokenId>,
    pattern: Pattern,
    merger: Merger,
    none: SpecialTokens,
    knobs: Knobs,
    max_idle: usize,
    /// Encoders that nobody uses, for texts with special tokens and for those without.
    #[allow(clippy::vec_box)]
    // To take one must not move it: a short text takes a third of a microsecond in all.
    idle: [Mutex<Vec<Box<Encoder>>>; 2],
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
    /// Checks that the parts fit: every byte has a token, and every merge is of tokens that are there before it and makes
    /// one. Special tokens are found by their bytes, and those that the vocabulary lacks are added to it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] naming the token or merge that does not fit, or two tokens with the same bytes of which either
    /// may be the special one; [`Error::VocabTooLarge`].
    pub fn new(
        mut vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        let special_ids = vocab.find_special_tokens(&special_tokens, |vocab| is_learned(vocab, &merges))?;
        Self::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
    }

    /// As [`Tokenizer::new`], where the id of each special token is known.
    ///
    /// # Errors
    /// As [`Tokenizer::new`]; [`Error::Tokenizer`] naming the special token whose id is another's.
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

    /// As [`Tokenizer::with_special_ids`], where the vocabulary has the special tokens and says what is apart.
    pub(crate) fn from_parts(
        vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        special_ids: Vec<TokenId>,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        let merger = Merger::new(&vocab, &merges).map_err(|reason| Error::Tokenizer { reason })?;
        Ok(Tokenizer {
            vocab,
            merges,
            special_tokens,
            special_ids,
            pattern,
            merger,
            none: SpecialTokens::default(),
            knobs: Knobs::default(),
            max_idle: resolve_threads(None)?,
            idle: Default::default(),
        })
    }

    /// The same tokenizer with other knobs.
    #[must_use]
    pub fn with_knobs(self, knobs: Knobs) -> Self {
        Tokenizer { knobs, idle: Default::default(), ..self }
    }

    /// The tokens.
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

    /// Their ids, in the same order.
    pub fn special_ids(&self) -> &[TokenId] {
        &self.special_ids
    }

    /// The id of a special token.
    pub fn special_id(&self, token: &str) -> Option<TokenId> {
        let place = self.special_tokens.as_slice().iter().position(|special| special == token)?;
        Some(self.special_ids[place])
    }

    /// How texts are split into pretokens.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The greatest id.
    pub fn greatest_id(&self) -> TokenId {
        TokenId::try_from(self.vocab.len().saturating_sub(1)).unwrap_or(TokenId::MAX)
    }

    /// A name for all that ids depend on: SHA-256, in hexadecimal, of the pattern, the tokens, the merges and the special
    /// tokens in the order of their ids, each list and each string after its length.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| hash.update(part));
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
        // What follows is nothing but for tokens with the same bytes or the same id, so that old names stay.
        for (id, token) in special.iter().filter(|&&(id, token)| self.vocab.get(id) != Some(token)) {
            add(&[&id.to_le_bytes(), &len(token.len()), token]);
        }
        for id in self.vocab.apart().iter().filter(|id| !self.special_ids.contains(id)) {
            add(&[&id.to_le_bytes()]);
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

    /// What `visit` makes of the ids of a text. Without a copy of them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn with_ids<R>(
        &self,
        text: &[u8],
        special: Special,
        job: &Job,
        visit: impl FnOnce(&[TokenId]) -> R,
    ) -> Result<R, Error> {
        self.check_special(text, special)?;
        self.with_encoder(special, |encoder| encoder.with_ids(self.rules(special), text, job, visit))
    }

    /// The bytes that ids stand for.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id that has no token.
    pub fn decode(&self, ids: impl IntoIterator<Item = TokenId>) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for (place, id) in ids.into_iter().enumerate() {
            let token = self.vocab.get(id);
            let greatest = self.greatest_id();
            bytes.extend(token.ok_or(Error::TokenId { id: id.into(), place: place as u64, greatest })?);
        }
        Ok(bytes)
    }

    /// Whether the bytes of a pretoken become this token.
    pub(crate) fn reaches(&self, pretoken: &[u8], id: TokenId) -> bool {
        self.merger.reaches(pretoken, id)
    }

    /// Whether a text may be encoded under a choice.
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

    /// Those that no cut may split: also those that are looked for only to refuse them.
    pub(crate) fn uncut(&self, special: Special) -> &SpecialTokens {
        match special {
            Special::Allow | Special::Raise => &self.special_tokens,
            Special::Text => &self.none,
        }
    }

    pub(crate) fn rules(&self, special: Special) -> Rules<'_> {
        let (special_tokens, special_ids) = match special {
            Special::Allow => (&self.special_tokens, &self.special_ids[..]),
            Special::Text | Special::Raise => (&self.none, &[][..]),
        };
        Rules { pattern: &self.pattern, merger: &self.merger, special_tokens, special_ids, knobs: self.knobs }
    }

    /// An encoder that nobody else uses, until it is given back. Those that were used before know many pretokens already.
    ///
    /// Where none is at hand, or another thread is looking, it is a new one. So nothing waits here, not even in a process
    /// that was forked while another thread was looking.
    pub(crate) fn take_encoder(&self, special: Special) -> Box<Encoder> {
        let found = match self.idle(special).try_lock() {
            Ok(mut idle) => idle.pop(),
            Err(TryLockError::Poisoned(idle)) => idle.into_inner().pop(),
            Err(TryLockError::WouldBlock) => None,
        };
        found.unwrap_or_else(|| Box::new(Encoder::new(self.rules(special))))
    }

    pub(crate) fn give_back(&self, special: Special, encoder: Box<Encoder>) {
        let mut idle = match self.idle(special).try_lock() {
            Ok(idle) => idle,
            Err(TryLockError::Poisoned(idle)) => idle.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if idle.len() < self.max_idle {
            idle.push(encoder);
        }
    }

    /// Takes an encoder and gives it back.
    pub(crate) fn with_encoder<R>(&self, special: Special, work: impl FnOnce(&mut Encoder) -> R) -> R {
        let mut encoder = self.take_encoder(special);
        let result = work(&mut encoder);
        self.give_back(special, encoder);
        result
    }

    #[allow(clippy::vec_box)] // As above.
    fn idle(&self, special: Special) -> &Mutex<Vec<Box<Encoder>>> {
        &self.idle[usize::from(special == Special::Allow)]
    }
}

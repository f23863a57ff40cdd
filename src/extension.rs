/*!
A tokenizer that is extended: its ids and merges stay, and new merges are learned after them.

Pretokens begin as the tokenizer encodes them, new ids follow its last id, and new special tokens come last. The new
merges rank behind the old ones, so encoding with the longer list first gives what the old list gives. No old merge
applies to a new token, so each new merge is then applied as it was learned, and what learning ends with is what the
new tokenizer encodes.

Merges that never happen and tokens that no merge makes stay what they are. A pair with the bytes of such a token is
never merged, so that the bytes of text have one token each ([`crate::merges::Start`]).
*/

use crate::counts::PretokenCounts;
use crate::encode::Scratch;
use crate::error::Error;
use crate::job::Job;
use crate::merges::{Learned, MergeOptions, Merges, Start, learn_more};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::training::Init;
use crate::vocab::Vocab;

/// The mark of an id that no merge makes.
const UNMADE: u32 = u32::MAX;

/// A tokenizer, and the special tokens that it lacks.
pub(crate) struct Extension<'a> {
    tokenizer: &'a Tokenizer,
    new_special: &'a [String],
}

/// The extended vocabulary and merges, and how often merges and tokens occurred. Uses are by id.
pub(crate) struct Extended {
    pub vocab: Vocab,
    pub merges: Merges,
    pub merge_counts: Vec<u64>,
    pub token_uses: Vec<u64>,
}

/// The special tokens of a tokenizer, then those of a list that it lacks.
///
/// # Errors
/// [`Error::SpecialToken`] for a new one that is an ordinary token of the tokenizer.
pub(crate) fn all_special_tokens(
    tokenizer: &Tokenizer,
    special_tokens: &SpecialTokens,
) -> Result<SpecialTokens, Error> {
    let (old, ids) = (tokenizer.special_tokens().as_slice(), tokenizer.vocab().ids());
    let is_new = |(_, token): &(usize, &String)| !old.contains(token);
    let new = || special_tokens.as_slice().iter().enumerate().filter(is_new);
    if let Some((index, token)) = new().find(|(_, token)| ids.contains_key(token.as_bytes())) {
        let reason = "is an ordinary token of the tokenizer to extend; choose another text, such as <|name|>";
        return Err(Error::SpecialToken { token: token.clone(), index, reason });
    }
    SpecialTokens::new(old.iter().chain(new().map(|(_, token)| token)))
}

impl<'a> Extension<'a> {
    /// Checks that the pattern is the tokenizer's, and that its special tokens come first.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn new(
        tokenizer: &'a Tokenizer,
        special_tokens: &'a SpecialTokens,
        pattern: &Pattern,
    ) -> Result<Self, Error> {
        if pattern.name() != tokenizer.pattern().name() {
            let rule = "that of the tokenizer to extend (init); leave it out";
            return Err(Error::Option { name: "pattern", value: format!("{:?}", pattern.name()), rule });
        }
        let old = tokenizer.special_tokens().as_slice();
        let Some(new_special) = special_tokens.as_slice().strip_prefix(old) else {
            let rule = "those of the tokenizer to extend (init), then new ones";
            let value = format!("{:?}", special_tokens.as_slice());
            return Err(Error::Option { name: "special_tokens", value, rule });
        };
        Ok(Extension { tokenizer, new_special })
    }

    /// The number of new merges that fit a vocabulary of `vocab_size`.
    ///
    /// # Errors
    /// [`Error::NotExtended`], [`Error::VocabTooLarge`].
    pub fn num_merges(&self, vocab_size: usize) -> Result<usize, Error> {
        let known = self.tokenizer.vocab().len();
        let minimum = known + self.new_special.len().max(1);
        if vocab_size < minimum {
            return Err(Error::NotExtended { given: vocab_size, known, minimum });
        }
        Vocab::check_size(vocab_size)?;
        Ok(vocab_size - known - self.new_special.len())
    }

    /// The tokenizer as the record of a training names it.
    pub fn init(&self) -> Init {
        Init {
            sha256: self.tokenizer.hash(),
            num_merges: self.tokenizer.merges().len(),
            num_ids: self.tokenizer.vocab().len(),
        }
    }

    /// Learns merges on the counts after those of the tokenizer.
    ///
    /// # Errors
    /// Those of [`learn_more`].
    pub fn learn(&self, counts: PretokenCounts, options: MergeOptions, job: &Job) -> Result<Extended, Error> {
        let (encoder, old) = (self.tokenizer.pretoken_encoder(), self.tokenizer.vocab());
        let mut symbols = vec![UNMADE; old.len()];
        for (&id, symbol) in encoder.ids().iter().zip(0..) {
            symbols[id as usize] = symbol;
        }
        let unmade = old.iter().filter(|(id, _)| symbols[*id as usize] == UNMADE).map(|(_, token)| token);
        let new_special = self.new_special.iter().map(String::as_bytes);
        let taken = unmade.chain(new_special).map(<[u8]>::to_vec).collect();
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        let mut unmade_uses = vec![0; old.len()];
        let encode = |pretoken: &[u8], count: u64, out: &mut Vec<u32>| {
            ids.clear();
            encoder.encode(pretoken, &mut scratch, &mut ids, job)?;
            match ids[..] {
                [id] if symbols[id as usize] == UNMADE => unmade_uses[id as usize] += count,
                _ => job.in_parts(&ids, |ids| out.extend(ids.iter().map(|&id| symbols[id as usize])))?,
            }
            Ok(())
        };
        let start = Start { merges: encoder.pairs().collect(), taken, encode: Some(Box::new(encode)) };
        let learned = learn_more(counts, start, options, job)?;
        self.result(&learned, unmade_uses)
    }

    /// What was learned, by token ids.
    fn result(&self, learned: &Learned, unmade_uses: Vec<u64>) -> Result<Extended, Error> {
        let (old, symbol_ids) = (self.tokenizer.vocab(), self.tokenizer.pretoken_encoder().ids());
        let mut ids = symbol_ids.to_vec();
        ids.extend(new_ids(old.len()).take(learned.merges.len()));
        let id = |symbol: u32| ids[symbol as usize];
        let mut pairs = self.tokenizer.merges().as_slice().to_vec();
        let mut tokens: Vec<Vec<u8>> = Vec::with_capacity(learned.merges.len());
        for &(left, right) in learned.merges.as_slice() {
            let bytes =
                |id: TokenId| old.get(id).unwrap_or_else(|| tokens[id as usize - old.len()].as_slice());
            let token = [bytes(id(left)), bytes(id(right))].concat();
            tokens.push(token);
            pairs.push((id(left), id(right)));
        }
        let mut token_uses = unmade_uses;
        token_uses.resize(old.len() + learned.merges.len(), 0);
        for (&id, &uses) in ids.iter().zip(&learned.token_uses) {
            token_uses[id as usize] = uses;
        }
        let special = self.new_special.iter().map(|token| token.clone().into_bytes());
        Ok(Extended {
            vocab: old.with_more(tokens.into_iter().chain(special))?,
            merges: Merges::from_pairs(pairs),
            merge_counts: learned.merge_counts.clone(),
            token_uses,
        })
    }
}

/// The ids from `first` on.
#[allow(clippy::cast_possible_truncation)] // `Vocab::check_size` keeps them below 2^32.
fn new_ids(first: usize) -> impl Iterator<Item = TokenId> {
    first as TokenId..
}

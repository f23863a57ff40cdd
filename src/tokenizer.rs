/*!
A tokenizer: vocabulary, merges, special tokens and pattern, known to fit each other.
*/

use crate::encode;
use crate::error::Error;
use crate::job::Job;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::vocab::{TokenId, Vocab};
use std::collections::{HashMap, HashSet};

/// Everything that text needs to become token ids.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    vocab: Vocab,
    merges: Merges,
    special_tokens: SpecialTokens,
    special_ids: Vec<TokenId>,
    pattern: Pattern,
    byte_ids: [TokenId; 256],
    merged: HashMap<(TokenId, TokenId), TokenId>,
    ranks: HashMap<(TokenId, TokenId), usize>,
}

impl Tokenizer {
    /// Checks that the parts fit: every byte has a token, every merge is of tokens and makes one, every special token
    /// is in the vocabulary.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] naming the token or merge that does not fit.
    pub fn new(
        vocab: Vocab,
        merges: Merges,
        special_tokens: SpecialTokens,
        pattern: Pattern,
    ) -> Result<Self, Error> {
        check(vocab, merges, special_tokens, pattern).map_err(|reason| Error::Tokenizer { reason })
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

    /// How texts are split into pretokens.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The token ids of a text, special tokens included, by the definition and slowly.
    ///
    /// # Errors
    /// [`Error::PatternLimit`] when the pattern is a regex that gives up.
    pub fn encode_naive(&self, text: &[u8]) -> Result<Vec<TokenId>, Error> {
        let mut ids = Vec::new();
        self.special_tokens.split(text, 0..text.len(), |stretch, special| {
            self.pattern.for_each_pretoken(text, stretch, &Job::default(), |pretoken| {
                let bytes = text[pretoken].iter().map(|&byte| self.byte_ids[byte as usize]);
                ids.extend(encode::naive(bytes.collect(), &self.ranks, &self.merged));
            })?;
            ids.extend(special.map(|number| self.special_ids[number]));
            Ok(())
        })?;
        Ok(ids)
    }
}

fn check(
    vocab: Vocab,
    merges: Merges,
    special_tokens: SpecialTokens,
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    let ids = vocab.ids();
    let mut byte_ids = [0; 256];
    for (byte, id) in (0..=255).zip(&mut byte_ids) {
        *id = *ids.get(&[byte][..]).ok_or_else(|| format!("byte {byte} has no token"))?;
    }
    let (mut ranks, mut merged) = (HashMap::new(), HashMap::new());
    for (rank, &pair) in merges.as_slice().iter().enumerate() {
        let token = |id| {
            vocab
                .get(id)
                .ok_or_else(|| format!("merge {rank} is of token {id}, but there are {}", vocab.len()))
        };
        let bytes = [token(pair.0)?, token(pair.1)?].concat();
        let id =
            ids.get(&bytes[..]).ok_or_else(|| format!("merge {rank} makes {bytes:?}, which has no token"))?;
        merged.insert(pair, *id);
        if ranks.insert(pair, rank).is_some() {
            return Err(format!("merge {rank} is given twice"));
        }
    }
    let last_ids: HashMap<&[u8], TokenId> = vocab.iter().zip(0..).collect();
    let special_id = |token: &String| {
        last_ids
            .get(token.as_bytes())
            .copied()
            .ok_or_else(|| format!("special token {token:?} is not in the vocabulary"))
    };
    let special_ids: Vec<TokenId> =
        special_tokens.as_slice().iter().map(special_id).collect::<Result<_, _>>()?;
    let known: HashSet<TokenId> =
        byte_ids.iter().chain(merged.values()).chain(&special_ids).copied().collect();
    if let Some((token, id)) = vocab.iter().zip(0..).find(|(_, id)| !known.contains(id)) {
        let token = String::from_utf8_lossy(token);
        return Err(format!(
            "token {id}, {token:?}, is no byte, made by no merge and not named as a special token"
        ));
    }
    Ok(Tokenizer { vocab, merges, special_tokens, special_ids, pattern, byte_ids, merged, ranks })
}

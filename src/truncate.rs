/*!
A smaller vocabulary out of a larger one: the last merges are left out.

The first merges of a training do not depend on how many follow, so a tokenizer that is cut to `k` ids is the one that
training with a vocabulary of `k` gives. Special tokens come last there, and so they move down here: a special token
above a merge that is left out gets a smaller id. All other tokens keep their ids, or the tokenizer is refused.

The record of the training is cut too, without the texts. Where a merge made `ab` of `a` and `b`, each `ab` that is
left in the texts was one `a` and one `b` before. So undoing the merges from the last one on gives the uses that a
shorter training would have counted.
*/

use crate::error::Error;
use crate::merges::Merges;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::training::Training;
use crate::vocab::Vocab;
use std::collections::{BTreeSet, HashSet};

/// What is left of a tokenizer.
struct Cut {
    num_merges: usize,
    /// The ids that are left out, in ascending order.
    removed: Vec<TokenId>,
}

impl Cut {
    /// # Errors
    /// [`Error::VocabTooSmall`], [`Error::VocabTooLarge`]; [`Error::Tokenizer`] that names the token which would get
    /// another id.
    fn new(tokenizer: &Tokenizer, vocab_size: usize) -> Result<Self, Error> {
        let (vocab, merges) = (tokenizer.vocab(), tokenizer.merges().as_slice());
        let (given, size) = (vocab_size, vocab.len());
        let num_removed = size.checked_sub(given).ok_or(Error::VocabTooLarge { given, maximum: size })?;
        let num_merges = merges.len().checked_sub(num_removed);
        let num_merges = num_merges.ok_or(Error::VocabTooSmall { given, minimum: size - merges.len() })?;
        let made = made(tokenizer);
        let removed: BTreeSet<TokenId> = made[num_merges..].iter().copied().collect();
        let refused = |id: TokenId, why: &str| {
            let token = String::from_utf8_lossy(vocab.get(id).unwrap_or_default());
            Err(Error::Tokenizer { reason: format!("cut to {given} ids, token {id} ({token:?}) {why}") })
        };
        if let Some(&id) = made[..num_merges].iter().find(|id| removed.contains(id)) {
            return refused(id, "is made by a merge that is left out and by one that stays");
        }
        if removed.len() < num_removed {
            return refused(made[num_merges], "or a later one is made by several merges");
        }
        let special: HashSet<TokenId> = tokenizer.special_ids().iter().copied().collect();
        if let Some(&id) = removed.iter().find(|id| special.contains(id)) {
            return refused(id, "is a special token and made by a merge that is left out");
        }
        let first = removed.first().copied().unwrap_or(TokenId::MAX);
        let moved = |id: TokenId| id > first && !removed.contains(&id) && !special.contains(&id);
        if let Some((id, _)) = vocab.iter().find(|&(id, _)| moved(id)) {
            return refused(
                id,
                "would get another id: its merge stays, or none makes it, but a token before it goes",
            );
        }
        Ok(Cut { num_merges, removed: removed.into_iter().collect() })
    }

    /// The new id of a token that stays.
    #[allow(clippy::cast_possible_truncation)] // No more ids are left out than there are.
    fn id(&self, id: TokenId) -> TokenId {
        id - self.removed.partition_point(|&removed| removed < id) as TokenId
    }
}

/// The ids that the merges make.
fn made(tokenizer: &Tokenizer) -> Vec<TokenId> {
    let (vocab, ids) = (tokenizer.vocab(), tokenizer.vocab().ids());
    let bytes = |id| vocab.get(id).unwrap_or_default();
    let token = |&(left, right): &(TokenId, TokenId)| ids[&[bytes(left), bytes(right)].concat()[..]];
    tokenizer.merges().as_slice().iter().map(token).collect()
}

impl Tokenizer {
    /// The tokenizer with the first merges only, so that it has `vocab_size` ids. Special tokens with greater ids than a
    /// token that is left out move down, in the same order; all other ids stay.
    ///
    /// # Errors
    /// [`Error::VocabTooLarge`] for more ids than there are; [`Error::VocabTooSmall`] for fewer than all merges can leave;
    /// [`Error::Tokenizer`] that names a token which is not special and would get another id.
    pub fn truncate(&self, vocab_size: usize) -> Result<Tokenizer, Error> {
        let cut = Cut::new(self, vocab_size)?;
        let old = self.vocab();
        let mut tokens = vec![Vec::new(); vocab_size];
        for (id, token) in old.iter().filter(|(id, _)| cut.removed.binary_search(id).is_err()) {
            tokens[cut.id(id) as usize] = token.to_vec();
        }
        let apart: Vec<TokenId> = old.apart().iter().map(|&id| cut.id(id)).collect();
        let tokenizer = Tokenizer::from_parts(
            Vocab::from_tokens(tokens)?.with_apart(apart),
            Merges::from_pairs(self.merges().as_slice()[..cut.num_merges].to_vec()),
            self.special_tokens().clone(),
            self.special_ids().iter().map(|&id| cut.id(id)).collect(),
            self.pattern().clone(),
        )?;
        Ok(if self.ignores_merges() { tokenizer.with_ignored_merges() } else { tokenizer })
    }
}

impl Training {
    /// The record of the training that learns only so many merges that `tokenizer`, whose record this is, has
    /// `vocab_size` ids. The seconds stay those of the whole training.
    ///
    /// # Errors
    /// Those of [`Tokenizer::truncate`]; [`Error::Tokenizer`] for a record of another tokenizer, and for a merge that is
    /// not of this training and would be left out.
    pub fn truncate(mut self, tokenizer: &Tokenizer, vocab_size: usize) -> Result<Training, Error> {
        let refused = |reason: String| Error::Tokenizer { reason };
        self.check_fits(tokenizer.merges().len()).map_err(refused)?;
        let cut = Cut::new(tokenizer, vocab_size)?;
        let num_old = self.init.as_ref().map_or(0, |init| init.num_merges);
        let num_new = cut.num_merges.checked_sub(num_old).ok_or_else(|| {
            refused(format!(
                "the record has no counts of the first {num_old} merges, so it cannot be cut to {}",
                cut.num_merges
            ))
        })?;
        let num_left = self.token_uses.len().saturating_sub(cut.removed.len());
        if !cut.removed.iter().map(|&id| id as usize).eq(num_left..self.token_uses.len()) {
            return Err(refused("its last ids are not those of the last merges".to_owned()));
        }
        self.merge_counts.truncate(num_new);
        for &(left, right) in tokenizer.merges().as_slice()[cut.num_merges..].iter().rev() {
            let uses = self.token_uses.pop().unwrap_or(0);
            for id in [left, right] {
                let part = self.token_uses.get_mut(id as usize);
                let part = part.ok_or_else(|| {
                    refused(format!("the record has no uses of token {id}, a part of a merge"))
                })?;
                *part = part.saturating_add(uses);
            }
        }
        Ok(self)
    }
}

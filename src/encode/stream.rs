/*!
A text that comes in pieces, cut anywhere.

Of what has come, all up to the last place where a text may be cut is encoded; the rest waits for more. Whether a place is
one is decided by a few bytes on both sides, so each is looked at once, when those are there.
*/

use crate::corpus::{Cuts, Cutter};
use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};

/// Encodes a text that comes in pieces.
pub struct StreamEncoder {
    special: Special,
    pending: Vec<u8>,
    /// Places before it are none to cut at.
    searched: usize,
    /// Bytes of the text before those pending.
    offset: u64,
    ids: Vec<TokenId>,
}

impl StreamEncoder {
    /// Nothing has come yet.
    pub fn new(special: Special) -> Self {
        StreamEncoder { special, pending: Vec::new(), searched: 1, offset: 0, ids: Vec::new() }
    }

    /// Takes the next piece; returns the ids that are certain now. A pattern that is a regex gives no certainty but at special
    /// tokens.
    ///
    /// # Errors
    /// [`Error::SpecialInText`], [`Error::PatternLimit`], with the offset in the whole text.
    pub fn push(&mut self, tokenizer: &Tokenizer, piece: &[u8]) -> Result<&[TokenId], Error> {
        self.pending.extend_from_slice(piece);
        let special_tokens = tokenizer.uncut(self.special);
        let cuts = Cuts::Pretokens(Cutter { pattern: tokenizer.pattern(), special_tokens, chunk_bytes: 1 });
        let end = self.pending.len().saturating_sub(cuts.context());
        let places = self.searched..end.max(self.searched);
        let cut = places.clone().rev().find(|&at| cuts.is_safe(&self.pending, at));
        self.searched = places.end;
        match cut {
            Some(cut) => self.encode(tokenizer, cut),
            None => Ok(&[]),
        }
    }

    /// The ids of the rest.
    ///
    /// # Errors
    /// As [`StreamEncoder::push`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<&[TokenId], Error> {
        self.encode(tokenizer, self.pending.len())
    }

    fn encode(&mut self, tokenizer: &Tokenizer, end: usize) -> Result<&[TokenId], Error> {
        let text = &self.pending[..end];
        self.ids.clear();
        tokenizer
            .with_ids(text, self.special, Job::unwatched(), |ids| self.ids.extend_from_slice(ids))
            .map_err(|error| error.in_text(|| "the text".to_owned(), |offset| self.offset + offset))?;
        self.pending.drain(..end);
        self.searched = (self.searched - end.min(self.searched)).max(1);
        self.offset += end as u64;
        Ok(&self.ids)
    }
}

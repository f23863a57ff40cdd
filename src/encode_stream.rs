/*!
A text into token ids while it arrives in chunks that are cut anywhere.

The encoder keeps the bytes that have arrived. It encodes them up to the last position where the text may be
cut without a change of its pretokens, and the rest waits for more bytes. A few bytes on both sides decide
whether a position is such a cut, so each position is checked once, when those bytes have arrived.
*/

use crate::corpus::{Cuts, Cutter};
use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};

/// Encodes a text that arrives in chunks.
pub struct StreamEncoder {
    special: Special,
    /// The bytes that are not encoded yet.
    pending: Vec<u8>,
    /// No position before this one is a cut.
    searched: usize,
    /// The number of bytes of the text before the pending ones.
    offset: u64,
    ids: Vec<TokenId>,
}

impl StreamEncoder {
    /// An encoder that has received no text yet.
    pub fn new(special: Special) -> Self {
        StreamEncoder { special, pending: Vec::new(), searched: 1, offset: 0, ids: Vec::new() }
    }

    /// Takes the next chunk; returns the ids that are certain now. With a pattern that is a regex, ids are
    /// certain only up to a special token.
    ///
    /// # Errors
    /// [`Error::SpecialInText`], [`Error::PatternLimit`], with the offset in the whole text.
    pub fn push(&mut self, tokenizer: &Tokenizer, chunk: &[u8]) -> Result<&[TokenId], Error> {
        self.pending.extend_from_slice(chunk);
        let special_tokens = tokenizer.uncut(self.special);
        let cuts = Cuts::Pretokens(Cutter { pattern: tokenizer.pattern(), special_tokens, chunk_bytes: 1 });
        let end = self.pending.len().saturating_sub(cuts.context());
        let positions = self.searched..end.max(self.searched);
        let cut = positions.clone().rev().find(|&at| cuts.is_safe(&self.pending, at));
        self.searched = positions.end;
        match cut {
            Some(cut) => self.encode(tokenizer, cut),
            None => Ok(&[]),
        }
    }

    /// Returns the ids of the rest.
    ///
    /// # Errors
    /// Those of [`StreamEncoder::push`].
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

/*!
One text into ids, by one worker.
*/

use super::ids::{Id, Ids};
use super::known::Known;
use super::rules::{Knobs, Rules};
use crate::error::Error;
use crate::job::Job;
use crate::pretoken_key::READ_AHEAD;
use crate::pretokenize::{Borders, Pretokenizer};
use crate::token_id::TokenId;
use std::ops::Range;

/// The maximum length in bytes of a text that is copied. Longer texts are encoded in place.
const MAX_COPIED: usize = 1 << 16;
/// The maximum number of ids for which an idle encoder keeps memory.
const MAX_KEPT: usize = 1 << 19;

/// One worker's table and scratch memory. It belongs to one tokenizer and one choice of special tokens.
pub(crate) struct Encoder {
    known: Known,
    borders: Borders,
    /// A copy of a short text.
    text: Vec<u8>,
    out: Ids<TokenId>,
}

impl Encoder {
    /// An encoder that has seen no text.
    pub fn new(rules: Rules<'_>) -> Self {
        Encoder {
            known: Known::new(rules),
            borders: Borders::default(),
            text: Vec::new(),
            out: Ids::default(),
        }
    }

    /// Adds the ids of the text `buffer[range]` to `out`. Fastest if the buffer has [`READ_AHEAD`] more bytes
    /// after the text.
    ///
    /// # Errors
    /// Those of [`Pattern::for_each_pretoken`](crate::pretokenize::Pattern::for_each_pretoken).
    pub fn encode<T: Id>(
        &mut self,
        rules: Rules<'_>,
        buffer: &[u8],
        range: Range<usize>,
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        let known = &mut self.known;
        let visit = |borders: &Borders| known.encode_window(rules, buffer, borders, job, out);
        let Rules { pattern, special_tokens, knobs: Knobs { isa, .. }, .. } = rules;
        Pretokenizer { pattern, special_tokens, isa }.for_each_window(
            buffer,
            range,
            job,
            &mut self.borders,
            visit,
        )
    }

    /// As [`Encoder::encode`], for a text that may end where its memory ends. A short text is copied into a
    /// larger buffer.
    ///
    /// # Errors
    /// Those of [`Pattern::for_each_pretoken`](crate::pretokenize::Pattern::for_each_pretoken).
    pub fn encode_unpadded<T: Id>(
        &mut self,
        rules: Rules<'_>,
        text: &[u8],
        range: Range<usize>,
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        if range.len() > MAX_COPIED || text.len() - range.end >= READ_AHEAD {
            return self.encode(rules, text, range, job, out);
        }
        let mut buffer = std::mem::take(&mut self.text);
        let (start, len) = (range.start, range.len());
        if buffer.len() < len + READ_AHEAD {
            buffer.resize(len + READ_AHEAD, 0);
        }
        buffer[..len].copy_from_slice(&text[range]);
        let encoded = self.encode(rules, &buffer, 0..len, job, out);
        self.text = buffer;
        encoded.map_err(|error| error.moved_by(start))
    }

    /// The ids of a text, in the encoder's own memory.
    ///
    /// # Errors
    /// Those of [`Pattern::for_each_pretoken`](crate::pretokenize::Pattern::for_each_pretoken).
    pub fn ids(&mut self, rules: Rules<'_>, text: &[u8], job: &Job) -> Result<&[TokenId], Error> {
        self.with_own_ids(|encoder, ids| encoder.encode_unpadded(rules, text, 0..text.len(), job, ids))
    }

    /// The ids that `encode` adds to the encoder's own memory, which is empty before.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn with_own_ids(
        &mut self,
        encode: impl FnOnce(&mut Self, &mut Ids<TokenId>) -> Result<(), Error>,
    ) -> Result<&[TokenId], Error> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let encoded = encode(self, &mut out);
        self.out = out;
        encoded.map(|()| self.out.as_slice())
    }

    /// Frees the memory of a long text's ids.
    pub fn trim(&mut self) {
        if self.out.room.len() > MAX_KEPT {
            self.out = Ids::default();
        }
    }

    /// Sets the maximum size of the table to that of `rules`.
    pub fn limit(&mut self, rules: Rules<'_>) {
        self.known.limit(rules);
    }

    /// The number of bytes of the table and of the other memory that texts leave behind.
    pub fn num_bytes(&self) -> usize {
        self.known.num_bytes() + self.text.capacity() + size_of::<TokenId>() * self.out.room.capacity()
    }
}

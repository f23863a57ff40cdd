/*!
Text into token ids.

Why is a pretoken not merged each time it occurs? Text repeats itself: a table of pretokens already encoded ([`known`])
answers 99 of 100 lookups, and what is not in it is encoded without merging ([`merge`]) and added. Nine of ten pretokens are
one token and nearly all others two or three, so three ids are written without a branch on their number ([`ids`]).

Each worker has a table of its own, and it is bounded. Nobody waits, a process that forks copies no lock that is held, and
what is in a table changes the time and never the ids.
*/

mod batch;
mod corpus;
mod ids;
mod known;
mod merge;
mod pair_index;
mod prefix_tree;
mod stream;

pub use batch::{Batch, encode_batch};
pub use corpus::{Counted, EncodeOptions, count_tokens};
pub(crate) use corpus::{Encoded, Start, encode_corpus, separator_id};
pub(crate) use merge::Merger;
pub use stream::StreamEncoder;

use crate::error::Error;
use crate::isa::Isa;
use crate::job::Job;
use crate::pretoken_key::READ_AHEAD;
use crate::pretokenize::{Borders, Pattern, Pretokenizer};
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
pub use ids::Id;
pub(crate) use ids::Ids;
use known::Known;
pub use known::TABLE_LEN;
use std::ops::Range;

/// Longer texts are encoded where they are.
const MAX_COPIED: usize = 1 << 16;
/// Ids that an encoder keeps room for.
const MAX_KEPT: usize = 1 << 18;

/// What changes the time, and never the ids.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The most pretokens in each worker's table, rounded up to twice a power of two.
    pub table_len: usize,
    /// The instructions that split texts by GPT-2's pattern.
    pub isa: Isa,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs { table_len: TABLE_LEN, isa: Isa::best() }
    }
}

/// What the ids of a text depend on.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub pattern: &'a Pattern,
    pub merger: &'a Merger,
    /// Those that stand for themselves in this text, with their ids.
    pub special_tokens: &'a SpecialTokens,
    pub special_ids: &'a [TokenId],
    pub knobs: Knobs,
}

/// One worker's table and scratch memory. It serves one tokenizer, and one choice of special tokens.
pub(crate) struct Encoder {
    known: Known,
    borders: Borders,
    /// A copy of a short text.
    text: Vec<u8>,
    out: Ids<TokenId>,
}

impl Encoder {
    /// An encoder that knows the special tokens.
    pub fn new(rules: Rules<'_>) -> Self {
        Encoder {
            known: Known::new(rules),
            borders: Borders::default(),
            text: Vec::new(),
            out: Ids::default(),
        }
    }

    /// Makes ready for so many bytes of text.
    pub fn expect(&mut self, num_bytes: u64) {
        self.known.expect(num_bytes);
    }

    /// Adds the ids of the text `buffer[range]`. Fastest where the buffer goes on behind the text.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`].
    pub fn encode<T: Id>(
        &mut self,
        rules: Rules<'_>,
        buffer: &[u8],
        range: Range<usize>,
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        let known = &mut self.known;
        let visit = |borders: &Borders| {
            known.encode_window(rules, buffer, borders, out);
            Ok(())
        };
        let Rules { pattern, special_tokens, knobs: Knobs { isa, .. }, .. } = rules;
        Pretokenizer { pattern, special_tokens, isa }.for_each_window(
            buffer,
            range,
            job,
            &mut self.borders,
            visit,
        )
    }

    /// As [`Encoder::encode`], of a text that may end where its memory does. Short ones are copied to where it goes on.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`].
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

    /// What `visit` makes of the ids of a text of its own.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`].
    pub fn with_ids<R>(
        &mut self,
        rules: Rules<'_>,
        text: &[u8],
        job: &Job,
        visit: impl FnOnce(&[TokenId]) -> R,
    ) -> Result<R, Error> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let encoded = self.encode_unpadded(rules, text, 0..text.len(), job, &mut out);
        let result = encoded.map(|()| visit(out.as_slice()));
        if out.room.len() <= MAX_KEPT {
            self.out = out;
        }
        result
    }
}

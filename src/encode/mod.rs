/*!
Text into token ids.

Why is a pretoken not merged each time it occurs? Text repeats itself: a table of pretokens already encoded
([`crate::pretoken_table`]) answers 99 of 100 lookups, and what is not in it is encoded without merging ([`merge`]) and added.
Nine of ten pretokens are one token and nearly all others two or three, so the table's values are of 8 bytes, up to three
ids and their number, and are written out without a branch on it. The rest lie aside.

A table is bounded: when it is full it is emptied. That costs less than one would think, because the words that matter are
back soon, and it adapts where a table that only stops to grow would not: a corpus may go from one language to another.
Each worker has a table of its own. Nobody waits, a process that forks copies no lock that is held, and what is in a table
changes the time and never the ids.
*/

mod batch;
mod corpus;
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
use crate::job::Job;
use crate::pretoken_key::READ_AHEAD;
use crate::pretokenize::blocks::Isa;
use crate::pretokenize::{Borders, Pattern, WINDOW};
use crate::special_tokens::SpecialTokens;
use crate::vocab::TokenId;
use known::Known;
pub use known::TABLE_LEN;
use std::borrow::Cow;
use std::ops::Range;

/// Longer texts are encoded where they are.
const MAX_COPIED: usize = 1 << 16;
/// Ids that an encoder keeps room for.
const MAX_KEPT: usize = 1 << 18;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// A token id as it is written: u16 or u32.
pub trait Id: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// The greatest id.
    const MAX: TokenId;
    /// The id in this type; [`Id::MAX`] was compared with the vocabulary.
    fn new(id: TokenId) -> Self;
    /// The low bits of what may be an id.
    fn from_low(bits: u32) -> Self;
    /// The id as a number.
    fn get(self) -> TokenId;
    /// The bytes of ids, the lowest first.
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]>;
}

impl Id for u16 {
    const MAX: TokenId = u16::MAX as TokenId;
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // As the trait says.
    fn new(id: TokenId) -> Self {
        debug_assert!(id <= <Self as Id>::MAX);
        id as u16
    }
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // As the trait says.
    fn from_low(bits: u32) -> Self {
        bits as u16
    }
    #[inline(always)]
    fn get(self) -> TokenId {
        self.into()
    }
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(ids)),
            false => Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
        }
    }
}

impl Id for u32 {
    const MAX: TokenId = u32::MAX;
    #[inline(always)]
    fn new(id: TokenId) -> Self {
        id
    }
    #[inline(always)]
    fn from_low(bits: u32) -> Self {
        bits
    }
    #[inline(always)]
    fn get(self) -> TokenId {
        self
    }
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(ids)),
            false => Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
        }
    }
}

/// Ids on their way out: a vector that is written beyond its length.
pub struct Ids<T> {
    room: Vec<T>,
    len: usize,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids { room: Vec::new(), len: 0 }
    }
}

impl<T: Id> Ids<T> {
    /// The ids.
    pub fn as_slice(&self) -> &[T] {
        &self.room[..self.len]
    }

    fn len(&self) -> usize {
        self.len
    }

    /// Forgets the ids and keeps their memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds ids.
    #[inline(never)]
    pub fn extend(&mut self, ids: &[TokenId]) {
        self.reserve(ids.len());
        for &id in ids {
            self.room[self.len] = T::new(id);
            self.len += 1;
        }
    }

    /// Makes room for so many ids, and some more.
    fn reserve(&mut self, more: usize) {
        let needed = self.len + more + WINDOW;
        if self.room.len() < needed {
            self.room.resize(needed.max(self.room.len() * 3 / 2), T::default());
        }
    }

    /// Adds the first `len` of three ids. All are written, whatever the others are.
    #[inline(always)]
    fn push(&mut self, ids: &[TokenId; 3], len: usize) {
        self.room[self.len..][..3].copy_from_slice(&ids.map(T::from_low));
        self.len += len;
    }
}

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
        let borders = Borders::new(rules.knobs.isa);
        Encoder { known: Known::new(rules), borders, text: Vec::new(), out: Ids::default() }
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
        rules.pattern.for_each_window(buffer, range, rules.special_tokens, job, &mut self.borders, visit)
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

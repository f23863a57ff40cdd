/*!
Where a text may be cut.

The cut is looked for backwards from a chunk's nominal end, in a window of a few kilobytes; where there is none (text
without spaces, a line of base64), forwards in windows that grow. Each place is looked at once, so the time is linear.
*/

use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;

/// Where the search for a cut begins, in bytes before the chunk's nominal end.
const FIRST_WINDOW: u64 = 4096;
const LONGEST_WINDOW: u64 = 1 << 20;

/// Where a text may be cut.
#[derive(Clone, Copy)]
pub struct Cutter<'a> {
    /// The pretokenization pattern.
    pub pattern: &'a Pattern,
    /// The special tokens, which a cut must not split.
    pub special_tokens: &'a SpecialTokens,
    /// The nominal length of a chunk in bytes.
    pub chunk_bytes: usize,
}

/// Where what a file holds may be cut.
#[derive(Clone, Copy)]
pub(crate) enum Cuts<'a> {
    /// Text, between pretokens.
    Pretokens(Cutter<'a>),
    /// Lines, after each, in pieces of so many bytes.
    Lines(usize),
}

impl Cuts<'_> {
    /// Whether `text` may be cut before `text[at]`, seeing [`Cuts::context`] bytes around it.
    pub fn is_safe(self, text: &[u8], at: usize) -> bool {
        match self {
            Cuts::Lines(_) => at > 0 && text[at - 1] == b'\n',
            Cuts::Pretokens(Cutter { pattern, special_tokens, .. }) => {
                (pattern.is_safe_cut(text, at) || special_tokens.start_at(text, at))
                    && !special_tokens.span(text, at)
            }
        }
    }

    /// Whether there can be a cut at all.
    pub fn can_cut(self) -> bool {
        match self {
            Cuts::Lines(_) => true,
            Cuts::Pretokens(cutter) => cutter.pattern.has_safe_cuts() || !cutter.special_tokens.is_empty(),
        }
    }

    /// The bytes before and after a place that decide whether it is one.
    pub fn context(self) -> usize {
        match self {
            Cuts::Lines(_) => 1,
            Cuts::Pretokens(cutter) => cutter.special_tokens.longest().max(4),
        }
    }

    /// The nominal length of a chunk.
    pub fn chunk_bytes(self) -> usize {
        match self {
            Cuts::Lines(chunk_bytes) => chunk_bytes,
            Cuts::Pretokens(cutter) => cutter.chunk_bytes,
        }
        .max(1)
    }

    /// The windows to look for a cut in, first and last place, one after another.
    pub fn windows(self, start: u64) -> impl Iterator<Item = (u64, u64)> {
        let nominal = start.saturating_add(self.chunk_bytes() as u64);
        let first = ((start + 1).max(nominal.saturating_sub(FIRST_WINDOW)), nominal);
        let mut step = FIRST_WINDOW;
        std::iter::successors(Some(first), move |&(_, last)| {
            let next = (last + 1, last.saturating_add(step));
            step = (2 * step).min(LONGEST_WINDOW);
            Some(next)
        })
    }
}

/*!
Where a text may be cut.

The search for a cut begins in a window of a few kilobytes before a chunk's nominal end. If that window has no
cut (text without spaces, a line of base64), the search goes on forwards in windows that grow. It looks at each
position once, so its time is linear.
*/

use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;

/// The length in bytes of the window before a chunk's nominal end, where the search begins.
pub(super) const FIRST_WINDOW: u64 = 4096;
/// The length in bytes at which windows stop growing.
const LONGEST_WINDOW: u64 = 1 << 20;

/// The rule for where a text may be cut.
#[derive(Clone, Copy)]
pub struct Cutter<'a> {
    /// The pretokenization pattern.
    pub pattern: &'a Pattern,
    /// The special tokens, which a cut must not split.
    pub special_tokens: &'a SpecialTokens,
    /// The nominal length of a chunk in bytes.
    pub chunk_bytes: usize,
}

/// The rule for where the content of a file may be cut.
#[derive(Clone, Copy)]
pub(crate) enum Cuts<'a> {
    /// Text may be cut between pretokens.
    Pretokens(Cutter<'a>),
    /// Lines may be cut after each line. The number is the nominal length of a chunk in bytes.
    Lines(usize),
}

impl Cuts<'_> {
    /// Whether `text` may be cut before `text[at]`. The answer depends on [`Cuts::context`] bytes before and
    /// after that position.
    pub fn is_safe(self, text: &[u8], at: usize) -> bool {
        match self {
            Cuts::Lines(_) => at > 0 && text[at - 1] == b'\n',
            Cuts::Pretokens(Cutter { pattern, special_tokens, .. }) => {
                (pattern.is_safe_cut(text, at) || special_tokens.start_at(text, at))
                    && !special_tokens.span(text, at)
            }
        }
    }

    /// Whether the content can be cut anywhere.
    pub fn can_cut(self) -> bool {
        match self {
            Cuts::Lines(_) => true,
            Cuts::Pretokens(cutter) => cutter.pattern.has_safe_cuts() || !cutter.special_tokens.is_empty(),
        }
    }

    /// The number of bytes before and after a position that decide whether it is a cut.
    pub fn context(self) -> usize {
        match self {
            Cuts::Lines(_) => 1,
            Cuts::Pretokens(cutter) => cutter.special_tokens.longest().max(4),
        }
    }

    /// The nominal length of a chunk in bytes.
    pub fn chunk_bytes(self) -> usize {
        match self {
            Cuts::Lines(chunk_bytes) => chunk_bytes,
            Cuts::Pretokens(cutter) => cutter.chunk_bytes,
        }
        .max(1)
    }

    /// The length of the longest chunk if no stretch without a cut is longer than `max_stretch`. A chunk that is longer
    /// has a longer stretch behind its nominal end.
    pub fn max_chunk(self, max_stretch: u64) -> u64 {
        max_stretch.saturating_add(self.chunk_bytes() as u64)
    }

    /// The same rule with another nominal length of a chunk.
    pub fn with_chunk_bytes(self, chunk_bytes: usize) -> Self {
        match self {
            Cuts::Lines(_) => Cuts::Lines(chunk_bytes),
            Cuts::Pretokens(cutter) => Cuts::Pretokens(Cutter { chunk_bytes, ..cutter }),
        }
    }

    /// The windows to search for a cut, in order. Each is given by its first and its last position.
    pub fn windows(self, start: u64) -> impl Iterator<Item = (u64, u64)> {
        let nominal = start.saturating_add(self.chunk_bytes() as u64);
        let first = ((start + 1).max(nominal.saturating_sub(FIRST_WINDOW)), nominal);
        std::iter::once(first).chain(growing_windows(nominal))
    }
}

/// The windows after a position, in order, each given by its first and its last position.
pub(super) fn growing_windows(position: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut step = FIRST_WINDOW;
    let first = (position.saturating_add(1), position.saturating_add(step));
    std::iter::successors(Some(first), move |&(_, last)| {
        step = (2 * step).min(LONGEST_WINDOW);
        Some((last.saturating_add(1), last.saturating_add(step)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn special(tokens: &[&str]) -> SpecialTokens {
        SpecialTokens::new(tokens.iter().copied()).unwrap()
    }

    #[test]
    fn windows_begin_before_the_nominal_end_lie_side_by_side_and_grow_to_a_mebibyte() {
        for (start, chunk_bytes, first) in [
            (0, 1, (1, 1)),
            (0, 4097, (1, 4097)),
            (0, 10_000, (10_000 - 4096, 10_000)),
            (50, 100, (51, 150)),
            (50, 1 << 20, (50 + (1 << 20) - 4096, 50 + (1 << 20))),
            (50, 0, (51, 51)),
        ] {
            let windows: Vec<_> = Cuts::Lines(chunk_bytes).windows(start).take(20).collect();
            assert_eq!(windows[0], first, "{start} {chunk_bytes}");
            let mut len = 4096;
            for pair in windows.windows(2) {
                assert_eq!(pair[1], (pair[0].1 + 1, pair[0].1 + len));
                len = (2 * len).min(1 << 20);
            }
            assert_eq!(windows[19].1 - windows[18].1, 1 << 20);
        }
        let last = growing_windows(u64::MAX - 5000).nth(3).unwrap();
        assert_eq!(last, (u64::MAX, u64::MAX));
    }

    #[test]
    fn lines_are_cut_after_line_feeds() {
        let (text, lines) = (b"\na\n\nb\rc\n", Cuts::Lines(1 << 20));
        let cuts: Vec<_> = (0..=text.len()).filter(|&at| lines.is_safe(text, at)).collect();
        assert_eq!(cuts, [1, 3, 4, 8]);
        assert!(lines.can_cut());
        assert_eq!((lines.context(), lines.chunk_bytes()), (1, 1 << 20));
    }

    /// The last token is the longest.
    #[test]
    fn texts_are_cut_between_pretokens_and_at_special_tokens_and_never_in_one() {
        let (no_cuts, none, some) =
            (Pattern::new("(?s).+").unwrap(), special(&[]), special(&["a b", "<|end|>"]));
        let cuts = |pattern, special_tokens, chunk_bytes| {
            Cuts::Pretokens(Cutter { pattern, special_tokens, chunk_bytes })
        };
        for (pattern, special_tokens, can_cut, context, places) in [
            (&no_cuts, &none, false, 4, &[][..]),
            (&no_cuts, &some, true, 7, &[1, 8]),
            (&Pattern::Gpt2, &none, true, 4, &[2, 4, 8, 10, 13]),
            (&Pattern::Gpt2, &some, true, 7, &[1, 4, 8]),
        ] {
            let cuts = cuts(pattern, special_tokens, 1000);
            let text = b"xa b ccc<|end|>";
            let found: Vec<_> = (1..text.len()).filter(|&at| cuts.is_safe(text, at)).collect();
            assert_eq!(found, places, "{pattern:?} {special_tokens:?}");
            assert_eq!((cuts.can_cut(), cuts.context(), cuts.chunk_bytes()), (can_cut, context, 1000));
        }
        assert_eq!(cuts(&no_cuts, &none, 0).chunk_bytes(), 1);
        assert_eq!(cuts(&no_cuts, &none, 7).with_chunk_bytes(9).chunk_bytes(), 9);
    }
}

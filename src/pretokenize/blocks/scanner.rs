/*!
The scanner of a text, whatever its pattern.
*/

use super::family::{CasedWords, Family, LetterWords, SplitWords};
use super::gpt2::Gpt2;
use super::next_window::next_window;
use super::scan::Scan;
use crate::isa::Isa;
use crate::pretokenize::borders::Borders;
use crate::pretokenize::deepseek;
use crate::pretokenize::grammar::Words;
use crate::pretokenize::pattern::Pattern;
use crate::special_tokens::SpecialTokens;
use std::ops::Range;

/// Finds the borders of a text's pretokens, a window at a time.
pub struct BlockScanner<'a>(Kind<'a>);

enum Kind<'a> {
    Gpt2(Scan<'a, Gpt2>),
    Letters(Scan<'a, Family<LetterWords>>),
    Cased(Scan<'a, Family<CasedWords>>),
    Split(Scan<'a, Family<SplitWords>>),
}

impl<'a> BlockScanner<'a> {
    /// A scanner of the text `buffer[range]`, or `None` for a pattern without block masks. Bytes outside the range
    /// have no influence on the borders. The scan is a little faster when the buffer has 64 more bytes after the
    /// range.
    #[inline(always)]
    pub fn new(
        isa: Isa,
        pattern: &Pattern,
        buffer: &'a [u8],
        range: Range<usize>,
        special_tokens: &'a SpecialTokens,
    ) -> Option<Self> {
        Some(BlockScanner(match pattern {
            Pattern::Gpt2 => Kind::Gpt2(Scan::new(isa, Gpt2::default(), buffer, range, special_tokens)),
            Pattern::Family { grammar, .. } => match grammar.words {
                Words::Letters | Words::LettersAndMarks => {
                    Kind::Letters(Scan::new(isa, Family::new(*grammar), buffer, range, special_tokens))
                }
                Words::Cased | Words::CasedBesideHan => {
                    Kind::Cased(Scan::new(isa, Family::new(*grammar), buffer, range, special_tokens))
                }
            },
            Pattern::DeepSeek => {
                Kind::Split(Scan::new(isa, Family::new(deepseek::GRAMMAR), buffer, range, special_tokens))
            }
            Pattern::Regex { .. } => return None,
        }))
    }

    /// Replaces the content of `borders` by the borders of the next window; returns `false` when the text has
    /// ended. The borders of all windows are the beginnings of the text's pretokens and special tokens, and
    /// the text's end.
    pub fn next_window(&mut self, borders: &mut Borders) -> bool {
        match &mut self.0 {
            Kind::Gpt2(scan) => next_window(scan, borders),
            Kind::Letters(scan) => next_window(scan, borders),
            Kind::Cased(scan) => next_window(scan, borders),
            Kind::Split(scan) => next_window(scan, borders),
        }
    }
}

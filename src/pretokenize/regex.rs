/*!
Any other pattern, matched by `fancy-regex` on bytes.

The classes of the pattern are Unicode's, and the text is bytes. The pattern matches characters where the
bytes decode. A byte that does not decode acts as the end of the text, which also keeps such bytes from the
engine's backtracking half (fancy-regex 0.20 panics on them). The bytes between two matches are one pretoken,
so no byte is ever lost. Empty matches are skipped. For an unknown pattern nothing proves where a text may be
cut, so the engine sees whole documents.

The engine gives up on a match that takes a million steps back, as `\s+(?!\S)` does on as many spaces. There
the text is cut: the match sees the text as if it ended after 64 KiB, and if that is still too much, after
half of that, and so on. The next match is cut in the same way, until one ends before its cut. The cuts depend
only on the document and the pattern. A pattern on which the engine gives up within 512 bytes takes
exponential time, which is an error.
*/

use crate::error::Error;
use crate::job::Job;
use fancy_regex::{BytesMode, Regex, RegexBuilder, RegexInput};
use std::ops::Range;

/// The number of bytes that a match sees at most after the engine gave up.
const MAX_WINDOW: usize = 1 << 16;
/// If the engine gives up on this number of bytes, the pattern is refused.
const MIN_WINDOW: usize = 1 << 9;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct RegexPretokenizer(Regex);

impl RegexPretokenizer {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`Error::Pattern`] with the pattern and the engine's reason.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        RegexBuilder::new(pattern)
            .bytes_mode(BytesMode::UnicodeBytes)
            .build()
            .map(RegexPretokenizer)
            .map_err(|error| Error::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })
    }

    /// Calls `visit` with the range of each pretoken of `text[range]`.
    ///
    /// # Errors
    /// [`Error::PatternLimit`] when the engine gives up; [`Error::Cancelled`].
    pub fn for_each_pretoken(
        &self,
        text: &[u8],
        range: Range<usize>,
        job: &Job,
        visit: &mut dyn FnMut(Range<usize>),
    ) -> Result<(), Error> {
        let mut end = range.start;
        let mut start = range.start;
        let mut push = |found: Range<usize>| {
            if !found.is_empty() {
                if end < found.start {
                    visit(end..found.start);
                }
                end = found.end;
                visit(found);
            }
        };
        for decoded in text[range.clone()].utf8_chunks() {
            job.check()?;
            let push = |found: Range<usize>| push(start + found.start..start + found.end);
            self.for_each_match(decoded.valid(), job, push).map_err(|error| error.moved_by(start))?;
            start += decoded.valid().len() + decoded.invalid().len();
        }
        if end < range.end {
            visit(end..range.end);
        }
        Ok(())
    }

    fn for_each_match(
        &self,
        text: &str,
        job: &Job,
        mut visit: impl FnMut(Range<usize>),
    ) -> Result<(), Error> {
        let mut at = 0;
        while at < text.len() {
            let input = RegexInput::new(text.as_bytes()).from_pos(at);
            let mut gave_up = false;
            for found in self.0.find_iter_input(input) {
                job.check()?;
                let Ok(found) = found else {
                    gave_up = true;
                    break;
                };
                at = found.end();
                visit(found.start()..found.end());
            }
            if !gave_up {
                return Ok(());
            }
            at = self.cut_stretch(text, at, job, &mut visit)?;
        }
        Ok(())
    }

    /// Matches one window of the text after another, until a match ends before the end of its window. Returns
    /// the position where matching continues.
    fn cut_stretch(
        &self,
        text: &str,
        mut at: usize,
        job: &Job,
        visit: &mut dyn FnMut(Range<usize>),
    ) -> Result<usize, Error> {
        let mut len = MAX_WINDOW;
        while at < text.len() {
            job.check()?;
            let end = border_before(text, text.len().min(at + len));
            match self.0.find_from_pos(&text.as_bytes()[..end], at) {
                // The cut may hide a match that begins in the second half.
                Ok(None) if end < text.len() => at = border_before(text, at + (end - at) / 2),
                Ok(None) => at = end,
                Ok(Some(found)) if at < found.start() && found.end() == end => at = found.start(),
                Ok(Some(found)) => {
                    let is_empty = found.start() == found.end();
                    at = if is_empty { border_behind(text, found.end() + 1) } else { found.end() };
                    visit(found.start()..found.end());
                    if at < end {
                        break;
                    }
                }
                Err(error) if end - at <= MIN_WINDOW => return Err(self.gave_up(at, &error)),
                Err(_) => len = (end - at) / 2,
            }
        }
        Ok(at)
    }

    fn gave_up(&self, offset: usize, error: &fancy_regex::Error) -> Error {
        Error::PatternLimit {
            pattern: self.0.as_str().to_owned(),
            text: "the text".to_owned(),
            offset: offset as u64,
            reason: error.to_string(),
        }
    }
}

/// The last border between characters at or before `at`.
fn border_before(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The first border between characters at or after `at`, or the end.
fn border_behind(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

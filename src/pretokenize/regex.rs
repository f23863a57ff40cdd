/*!
Any other pattern, by `fancy-regex` on bytes.

The pattern's classes are Unicode's, its text is bytes: it matches characters where the bytes decode, and nothing where
they do not. A byte that does not decode is the end of the text to it, which also keeps such bytes from the engine's
backtracking half (fancy-regex 0.20 panics on them). What it leaves unmatched between two matches is one pretoken, so no
byte is ever lost; empty matches are passed over. There is no proof of where a text may be cut for an unknown pattern, so it sees whole documents.
*/

use crate::error::Error;
use crate::job::Job;
use fancy_regex::{BytesMode, Regex, RegexBuilder};
use std::ops::Range;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct RegexPretokenizer(Regex);

impl RegexPretokenizer {
    /// Compiles `pattern`; an error names it and the engine's reason.
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
    /// [`Error::PatternLimit`] when the engine gives up, [`Error::Cancelled`].
    pub fn for_each_pretoken(
        &self,
        text: &[u8],
        range: Range<usize>,
        job: &Job,
        visit: &mut dyn FnMut(Range<usize>),
    ) -> Result<(), Error> {
        let mut end = range.start;
        let mut start = range.start;
        for decoded in text[range.clone()].utf8_chunks() {
            job.check()?;
            for found in self.0.find_iter(decoded.valid().as_bytes()) {
                job.check()?;
                let found = found.map_err(|error| self.gave_up(end, &error))?;
                let found = start + found.start()..start + found.end();
                if found.is_empty() {
                    continue;
                }
                if end < found.start {
                    visit(end..found.start);
                }
                end = found.end;
                visit(found);
            }
            start += decoded.valid().len() + decoded.invalid().len();
        }
        if end < range.end {
            visit(end..range.end);
        }
        Ok(())
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

/*!
Special tokens: strings such as `<|endoftext|>` that stand for themselves.

A text is split at its special tokens before all other steps, so they never join their neighbours and never
take part in a merge. If several match, the leftmost wins. If several begin at the same position, the longest
wins.
*/

use crate::error::Error;
use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use std::collections::HashSet;
use std::ops::Range;

/// Up to this many tokens are compared one after another, which takes less time than starting an automaton.
const FEW: usize = 8;

/// A list of special tokens, in the order in which they get their ids.
#[derive(Clone, Debug, Default)]
pub struct SpecialTokens {
    tokens: Vec<String>,
    /// `None` if there are no special tokens.
    matcher: Option<AhoCorasick>,
    /// The bytes with which a token begins.
    first_bytes: Vec<u8>,
}

impl SpecialTokens {
    /// Checks that no token is empty or given twice.
    ///
    /// # Errors
    /// [`Error::SpecialToken`] for the first such token.
    pub fn new<T: Into<String>>(tokens: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let tokens: Vec<String> = tokens.into_iter().map(Into::into).collect();
        let mut seen = HashSet::new();
        for (index, token) in tokens.iter().enumerate() {
            let reason = match token.as_str() {
                "" => "is empty; leave it out",
                token if !seen.insert(token) => "is given twice; give it once",
                _ => continue,
            };
            return Err(Error::SpecialToken { token: token.clone(), index, reason });
        }
        let matcher = if tokens.is_empty() {
            None
        } else {
            let mut builder = AhoCorasick::builder();
            let built =
                builder.match_kind(MatchKind::LeftmostLongest).start_kind(StartKind::Both).build(&tokens);
            Some(built.map_err(|error| Error::Internal(error.to_string()))?)
        };
        let mut first_bytes: Vec<u8> = tokens.iter().map(|token| token.as_bytes()[0]).collect();
        first_bytes.sort_unstable();
        first_bytes.dedup();
        Ok(SpecialTokens { tokens, matcher, first_bytes })
    }

    /// The tokens, in the order given.
    pub fn as_slice(&self) -> &[String] {
        &self.tokens
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Calls `visit` with each stretch of `text[range]` between special tokens, and with the number of the
    /// special token that follows it, if there is one. An empty stretch at the very end is left out.
    pub fn split<E>(
        &self,
        text: &[u8],
        range: Range<usize>,
        mut visit: impl FnMut(Range<usize>, Option<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = range.start;
        if let Some(matcher) = &self.matcher {
            for found in matcher.find_iter(&text[range.clone()]) {
                visit(start..range.start + found.start(), Some(found.pattern().as_usize()))?;
                start = range.start + found.end();
            }
        }
        if start < range.end { visit(start..range.end, None) } else { Ok(()) }
    }

    /// Where the first special token in `text[range]` begins; the end of the range without one.
    pub(crate) fn next_start(&self, text: &[u8], range: Range<usize>) -> usize {
        let found =
            self.matcher.as_ref().and_then(|matcher| matcher.find(Input::new(text).range(range.clone())));
        found.map_or(range.end, |found| found.start())
    }

    /// The bytes with which a token begins.
    #[inline]
    pub(crate) fn first_bytes(&self) -> &[u8] {
        &self.first_bytes
    }

    /// The length of the longest special token with which `text[range]` begins.
    pub(crate) fn len_at(&self, text: &[u8], range: Range<usize>) -> Option<usize> {
        if !self.first_bytes.contains(text.get(range.start)?) {
            return None;
        }
        if self.tokens.len() <= FEW {
            let lens = self
                .tokens
                .iter()
                .filter(|token| text[range.clone()].starts_with(token.as_bytes()))
                .map(String::len);
            return lens.max();
        }
        let input = Input::new(text).range(range).anchored(Anchored::Yes);
        self.matcher.as_ref()?.find(input).map(|found| found.len())
    }

    /// The number of the special token that equals `text`.
    pub(crate) fn position(&self, text: &[u8]) -> Option<usize> {
        if !self.first_bytes.contains(text.first()?) {
            return None;
        }
        self.tokens.iter().position(|token| token.as_bytes() == text)
    }

    /// Whether a special token begins at `text[at]`.
    pub(crate) fn start_at(&self, text: &[u8], at: usize) -> bool {
        self.len_at(text, at..text.len()).is_some()
    }

    /// Whether some special token in `text` begins before `at` and ends after it.
    pub(crate) fn span(&self, text: &[u8], at: usize) -> bool {
        self.tokens
            .iter()
            .map(String::as_bytes)
            .any(|token| (1..token.len().min(at + 1)).any(|before| text[at - before..].starts_with(token)))
    }

    /// The length of the longest token in bytes; 0 without tokens.
    pub(crate) fn longest(&self) -> usize {
        self.tokens.iter().map(String::len).max().unwrap_or(0)
    }
}

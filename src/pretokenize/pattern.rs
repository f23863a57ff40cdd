/*!
The patterns by name, and the loop over a text's pretokens.
*/

use super::char_class::CharClasses;
use super::regex::RegexPretokenizer;
use super::{cl100k, gpt2, o200k};
use crate::error::Error;
use crate::job::Job;
use std::ops::Range;

/// The pattern of GPT-2, as `tiktoken` writes it.
pub const GPT2_PATTERN: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The pattern of cl100k_base (GPT-3.5 and GPT-4), as `tiktoken` writes it.
pub const CL100K_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The pattern of o200k_base (GPT-4o), as `tiktoken` writes it.
pub const O200K_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Bytes between two checks of the cancel flag.
const CHECK_EVERY: usize = 1 << 20;

/// How a text is split into pretokens.
#[derive(Clone, Debug, Default)]
pub enum Pattern {
    /// [`GPT2_PATTERN`], matched by a scanner of this crate.
    #[default]
    Gpt2,
    /// [`CL100K_PATTERN`], matched by a scanner of this crate.
    Cl100k,
    /// [`O200K_PATTERN`], matched by a scanner of this crate.
    O200k,
    /// Any other pattern, matched by the regex engine.
    Regex {
        /// The pattern as written.
        source: String,
        /// The pattern, compiled.
        compiled: RegexPretokenizer,
    },
}

impl Pattern {
    /// The pattern of a name: `"gpt2"`, `"cl100k"` or `"o200k"` (the latter two also with `_base`). Any other string is a regular
    /// expression.
    ///
    /// # Errors
    /// [`Error::Pattern`] for an expression that does not compile.
    pub fn new(name_or_regex: &str) -> Result<Self, Error> {
        match name_or_regex {
            "gpt2" | GPT2_PATTERN => Ok(Pattern::Gpt2),
            "cl100k" | "cl100k_base" | CL100K_PATTERN | cl100k::PORTABLE_PATTERN => Ok(Pattern::Cl100k),
            "o200k" | "o200k_base" | O200K_PATTERN => Ok(Pattern::O200k),
            source => {
                let compiled = RegexPretokenizer::new(source)?;
                Ok(Pattern::Regex { source: source.to_owned(), compiled })
            }
        }
    }

    /// The name of the pattern, or its regular expression if it has no name. [`Pattern::new`] accepts both.
    pub fn name(&self) -> &str {
        match self {
            Pattern::Gpt2 => "gpt2",
            Pattern::Cl100k => "cl100k",
            Pattern::O200k => "o200k",
            Pattern::Regex { source, .. } => source,
        }
    }

    /// The regular expression.
    pub fn source(&self) -> &str {
        match self {
            Pattern::Gpt2 => GPT2_PATTERN,
            Pattern::Cl100k => CL100K_PATTERN,
            Pattern::O200k => O200K_PATTERN,
            Pattern::Regex { source, .. } => source,
        }
    }

    /// Calls `visit` with the range of each pretoken of `text[range]`, in order. Bytes outside the range have no influence on
    /// the borders.
    ///
    /// # Errors
    /// [`Error::PatternLimit`] when a regex gives up; [`Error::Cancelled`].
    #[inline]
    pub fn for_each_pretoken(
        &self,
        text: &[u8],
        range: Range<usize>,
        job: &Job,
        mut visit: impl FnMut(Range<usize>),
    ) -> Result<(), Error> {
        match self {
            Pattern::Gpt2 => {
                let classes = CharClasses::get();
                scan(text, range, job, visit, |text, start| gpt2::pretoken_end(classes, text, start))
            }
            Pattern::Cl100k => {
                let classes = CharClasses::get();
                scan(text, range, job, visit, |text, start| cl100k::pretoken_end(classes, text, start))
            }
            Pattern::O200k => {
                let classes = CharClasses::with_case();
                scan(text, range, job, visit, |text, start| o200k::pretoken_end(classes, text, start))
            }
            Pattern::Regex { compiled, .. } => compiled.for_each_pretoken(text, range, job, &mut visit),
        }
    }

    /// Collects the pretokens of a text.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`].
    pub fn pretokens<'t>(&self, text: &'t [u8]) -> Result<Vec<&'t [u8]>, Error> {
        let mut pretokens = Vec::new();
        self.for_each_pretoken(text, 0..text.len(), &Job::default(), |range| pretokens.push(&text[range]))?;
        Ok(pretokens)
    }

    /// Whether the pattern has places where a text may be cut. Nothing is known about a regex, so a text is never cut for it.
    pub fn has_safe_cuts(&self) -> bool {
        !matches!(self, Pattern::Regex { .. })
    }

    /// Whether `text` may be cut before `text[at]` without a change of its pretokens.
    pub fn is_safe_cut(&self, text: &[u8], at: usize) -> bool {
        match self {
            Pattern::Gpt2 => gpt2::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Cl100k | Pattern::O200k => cl100k::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Regex { .. } => false,
        }
    }
}

/// Visits the pretokens of `text[range]`. `pretoken_end` gives the end of the pretoken that begins at a position.
#[inline(always)]
fn scan(
    text: &[u8],
    range: Range<usize>,
    job: &Job,
    mut visit: impl FnMut(Range<usize>),
    pretoken_end: impl Fn(&[u8], usize) -> usize,
) -> Result<(), Error> {
    let (text, mut start) = (&text[..range.end], range.start);
    while start < range.end {
        job.check()?;
        let stop = range.end.min(start + CHECK_EVERY);
        while start < stop {
            let end = pretoken_end(text, start);
            visit(start..end);
            start = end;
        }
    }
    Ok(())
}

/*!
Text into pretokens: the stretches inside which merges may happen.

A pattern says where the borders are. `gpt2`, `cl100k` and `o200k` are matched by scanners written by hand, any other by
a regex engine. All work on bytes, give every byte to exactly one pretoken, and agree on what a character is
([`char_class`]).
*/

pub mod blocks;
mod borders;
pub mod char_class;
pub mod cl100k;
pub mod gpt2;
pub mod o200k;
pub mod regex;

use crate::error::Error;
use crate::job::Job;
use crate::special_tokens::SpecialTokens;
use blocks::BlockScanner;
pub use borders::Borders;
pub(crate) use borders::WINDOW;
use char_class::CharClasses;
use regex::RegexPretokenizer;
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

/// Bytes between two looks at the cancel flag.
const CHECK_EVERY: usize = 1 << 20;

/// How a text is split into pretokens.
#[derive(Clone, Debug, Default)]
pub enum Pattern {
    /// [`GPT2_PATTERN`], by the scanner.
    #[default]
    Gpt2,
    /// [`CL100K_PATTERN`], by the scanner.
    Cl100k,
    /// [`O200K_PATTERN`], by the scanner.
    O200k,
    /// Any other, by the regex engine.
    Regex {
        /// The pattern as written.
        source: String,
        /// The pattern, compiled.
        compiled: RegexPretokenizer,
    },
}

impl Pattern {
    /// `"gpt2"`, `"cl100k"`, `"o200k"` (the latter two with or without `_base`), or a regular expression.
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

    /// What [`Pattern::new`] takes: a name if it has one, else the regular expression.
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

    /// Calls `visit` with the range of each pretoken of `text[range]`, in order. What lies outside the range has no
    /// influence on the borders.
    ///
    /// # Errors
    /// [`Error::PatternLimit`] when a regex gives up, [`Error::Cancelled`].
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

    /// Calls `visit` with the pretokens and special tokens of the text `buffer[range]`, a few thousand at a time.
    /// `borders` is scratch.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`], and what `visit` returns.
    pub(crate) fn for_each_window(
        &self,
        buffer: &[u8],
        range: Range<usize>,
        special_tokens: &SpecialTokens,
        job: &Job,
        borders: &mut Borders,
        mut visit: impl FnMut(&Borders) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Pattern::Gpt2 = self {
            let mut scanner = BlockScanner::new(borders.isa, buffer, range, special_tokens);
            while scanner.next_window(borders) {
                job.check()?;
                visit(borders)?;
            }
            return Ok(());
        }
        borders.begin(range.start);
        special_tokens.split(buffer, range, |stretch, special| {
            let special_end = special.map(|number| stretch.end + special_tokens.as_slice()[number].len());
            let mut visited = Ok(());
            let mut push = |end: usize| {
                if !borders.push(end) && visited.is_ok() {
                    visited = visit(borders);
                    borders.go_on(end);
                    borders.push(end);
                }
            };
            self.for_each_pretoken(buffer, stretch, job, |pretoken| push(pretoken.end))?;
            special_end.into_iter().for_each(push);
            visited
        })?;
        visit(borders)
    }

    /// The pretokens of a text, collected.
    ///
    /// # Errors
    /// As [`Pattern::for_each_pretoken`].
    pub fn pretokens<'t>(&self, text: &'t [u8]) -> Result<Vec<&'t [u8]>, Error> {
        let mut pretokens = Vec::new();
        self.for_each_pretoken(text, 0..text.len(), &Job::default(), |range| pretokens.push(&text[range]))?;
        Ok(pretokens)
    }

    /// Whether a text may be cut anywhere at all. Of a regex nothing is known.
    pub fn has_safe_cuts(&self) -> bool {
        !matches!(self, Pattern::Regex { .. })
    }

    /// Whether `text` may be cut before `text[at]`.
    pub fn is_safe_cut(&self, text: &[u8], at: usize) -> bool {
        match self {
            Pattern::Gpt2 => gpt2::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Cl100k | Pattern::O200k => cl100k::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Regex { .. } => false,
        }
    }
}

/// Visits the pretokens of `text[range]`, each of which `pretoken_end` ends.
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

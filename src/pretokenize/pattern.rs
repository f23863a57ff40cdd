/*!
The patterns by name, and the loop over a text's pretokens.
*/

use super::char_class::CharClasses;
use super::grammar::{Grammar, Words};
use super::published::{
    DEEPSEEK_V3_LINES, DEEPSEEK_V3_PATTERNS, FAMILY, GPT2_FIRST_PATTERN, GPT2_PATTERN, Published,
};
use super::regex::RegexPretokenizer;
use super::{cased_words, deepseek, gpt2, letter_words, runs};
use crate::error::Error;
use crate::job::Job;
use std::borrow::Cow;
use std::ops::Range;

/// Bytes between two checks of the cancel flag.
const CHECK_EVERY: usize = 1 << 20;

/// How a text is split into pretokens.
#[derive(Clone, Debug, Default)]
pub enum Pattern {
    /// [`GPT2_PATTERN`], matched by a scanner of this crate.
    #[default]
    Gpt2,
    /// A pattern like those of cl100k, Llama 3, Qwen, o200k and Kimi K2, matched by a scanner of this crate.
    Family {
        /// Its parameters.
        grammar: Grammar,
        /// Its name, or the expression if it has none.
        name: Cow<'static, str>,
        /// The regular expression.
        source: Cow<'static, str>,
    },
    /// [`DEEPSEEK_V3_PATTERNS`], matched by a scanner of this crate.
    DeepSeek,
    /// Any other pattern, matched by the regex engine.
    Regex {
        /// The pattern as written.
        source: String,
        /// The pattern, compiled.
        compiled: RegexPretokenizer,
    },
}

impl From<&'static Published> for Pattern {
    fn from(published: &'static Published) -> Self {
        Pattern::Family {
            grammar: published.grammar,
            name: published.name.into(),
            source: published.expression.into(),
        }
    }
}

impl Pattern {
    /// The names of the patterns that have one.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["gpt2"].into_iter().chain(FAMILY.iter().map(|published| published.name)).chain(["deepseek_v3"])
    }

    /// The pattern of a name, one of [`Pattern::names`] or an alias such as `"o200k_base"`. Any other string is a
    /// regular expression. One that means the same as a known pattern becomes that pattern ([`Grammar::recognize`]).
    ///
    /// # Errors
    /// [`Error::Pattern`] for an expression that does not compile.
    pub fn new(name_or_regex: &str) -> Result<Self, Error> {
        let by_name =
            FAMILY.iter().find(|known| known.name == name_or_regex || known.aliases.contains(&name_or_regex));
        match name_or_regex {
            "gpt2" | "r50k_base" | "p50k_base" | GPT2_PATTERN | GPT2_FIRST_PATTERN => {
                return Ok(Pattern::Gpt2);
            }
            "deepseek_v3" | "deepseek_r1" | DEEPSEEK_V3_LINES => return Ok(Pattern::DeepSeek),
            _ => {}
        }
        if let Some(known) = by_name {
            return Ok(known.into());
        }
        let source = name_or_regex.to_owned();
        if let Some(grammar) = Grammar::recognize(&source) {
            let named = FAMILY.iter().find(|known| known.grammar == grammar);
            let unnamed = || Pattern::Family { grammar, name: source.clone().into(), source: source.into() };
            return Ok(named.map_or_else(unnamed, Pattern::from));
        }
        let compiled = RegexPretokenizer::new(&source)?;
        Ok(Pattern::Regex { source, compiled })
    }

    /// The pattern of several expressions, each of which splits what the ones before left together: what it matches
    /// and what lies between two matches become apart.
    ///
    /// # Errors
    /// [`Error::Pattern`] for several expressions that are not those of a known pattern.
    pub fn from_splits(splits: &[&str]) -> Result<Self, Error> {
        match splits {
            [one] => Pattern::new(one),
            splits if splits == DEEPSEEK_V3_PATTERNS => Ok(Pattern::DeepSeek),
            splits => Err(Error::Pattern {
                pattern: splits.join("\n"),
                reason: "of the patterns of several expressions only that of DeepSeek V3 is known".to_owned(),
            }),
        }
    }

    /// The name of the pattern, or its regular expression if it has no name. [`Pattern::new`] accepts both.
    pub fn name(&self) -> &str {
        match self {
            Pattern::Gpt2 => "gpt2",
            Pattern::Family { name, .. } => name,
            Pattern::DeepSeek => "deepseek_v3",
            Pattern::Regex { source, .. } => source,
        }
    }

    /// The regular expression, or several, one a line ([`Pattern::splits`]).
    pub fn source(&self) -> &str {
        match self {
            Pattern::Gpt2 => GPT2_PATTERN,
            Pattern::Family { source, .. } => source,
            Pattern::DeepSeek => DEEPSEEK_V3_LINES,
            Pattern::Regex { source, .. } => source,
        }
    }

    /// The regular expressions that split a text, each what the ones before left together. All patterns except
    /// DeepSeek's have one.
    pub fn splits(&self) -> Vec<&str> {
        match self {
            Pattern::DeepSeek => DEEPSEEK_V3_PATTERNS.to_vec(),
            one => vec![one.source()],
        }
    }

    /// [`Pattern::splits`] for Oniguruma, the engine that reads a tokenizer.json. It reads `{1,3}+` as any number of
    /// numbers, and `$` also as the end of a line, so a pattern of the family is written without them.
    pub fn portable_splits(&self) -> Vec<String> {
        match self {
            Pattern::Family { grammar, .. } => vec![grammar.expression()],
            other => other.splits().into_iter().map(str::to_owned).collect(),
        }
    }

    /// Whether a scanner of this crate matches the pattern. If not, the regex engine does.
    pub fn has_scanner(&self) -> bool {
        !matches!(self, Pattern::Regex { .. })
    }

    /// Calls `visit` with the range of each pretoken of `text[range]`, in order. Bytes outside the range have
    /// no influence on the borders.
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
            Pattern::Family { grammar, .. } => match grammar.words {
                Words::Letters | Words::LettersAndMarks => {
                    let classes = letter_words::classes(grammar);
                    scan(text, range, job, visit, |text, start| {
                        letter_words::pretoken_end(grammar, classes, text, start)
                    })
                }
                Words::Cased | Words::CasedBesideHan => {
                    let classes = cased_words::classes(grammar);
                    scan(text, range, job, visit, |text, start| {
                        cased_words::pretoken_end(grammar, classes, text, start)
                    })
                }
            },
            Pattern::DeepSeek => {
                let classes = CharClasses::of_splits();
                scan(text, range, job, visit, |text, start| deepseek::pretoken_end(classes, text, start))
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

    /// Whether the pattern has places where a text may be cut. Nothing is known about a regex, so a text is
    /// never cut for it.
    pub fn has_safe_cuts(&self) -> bool {
        self.has_scanner()
    }

    /// Whether `text` may be cut before `text[at]` without a change of its pretokens.
    pub fn is_safe_cut(&self, text: &[u8], at: usize) -> bool {
        match self {
            Pattern::Gpt2 => gpt2::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Family { .. } | Pattern::DeepSeek => runs::is_safe_cut(CharClasses::get(), text, at),
            Pattern::Regex { .. } => false,
        }
    }
}

/// Visits the pretokens of `text[range]`. `pretoken_end` gives the end of the pretoken that begins at a
/// position.
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

/*!
A text into windows of pretokens: the form that counting and encoding read.

Special tokens are borders too, so that each is one item among the pretokens. Most patterns have a scanner that
finds both in one pass ([`BlockScanner`]). For the others the text is first split at its special tokens.
*/

use super::blocks::BlockScanner;
use super::borders::Borders;
use super::pattern::Pattern;
use crate::error::Error;
use crate::isa::Isa;
use crate::job::Job;
use crate::special_tokens::SpecialTokens;
use std::ops::Range;

/// How a text is split: by which pattern, around which special tokens, and with which instructions.
#[derive(Clone, Copy)]
pub(crate) struct Pretokenizer<'a> {
    pub pattern: &'a Pattern,
    pub special_tokens: &'a SpecialTokens,
    pub isa: Isa,
}

impl Pretokenizer<'_> {
    /// Calls `visit` with the pretokens and special tokens of the text `buffer[range]`, a few thousand at a
    /// time. `borders` is scratch memory.
    ///
    /// # Errors
    /// Those of [`Pattern::for_each_pretoken`] and of `visit`.
    pub fn for_each_window(
        self,
        buffer: &[u8],
        range: Range<usize>,
        job: &Job,
        borders: &mut Borders,
        mut visit: impl FnMut(&Borders) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Pretokenizer { pattern, special_tokens, isa } = self;
        if let Some(mut scanner) = BlockScanner::new(isa, pattern, buffer, range.clone(), special_tokens) {
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
            pattern.for_each_pretoken(buffer, stretch, job, |pretoken| push(pretoken.end))?;
            special_end.into_iter().for_each(push);
            visited
        })?;
        visit(borders)
    }
}

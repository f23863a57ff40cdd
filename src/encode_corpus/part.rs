/*!
The part of a corpus that is encoded: all of it, or a shard.

The ids of all shards together are those of the whole corpus. So before a shard begins, something must be known of the
text before it: whether that ends with a separator, apart from whitespace, because it decides about a separator before
the next file; and whether its last id is one, because then the shard begins a document. Both follow from the last ids
before the shard. So a few kilobytes before the border are encoded once more, or as much as it takes to find something
other than whitespace. If a compressed text lies before the border, it has to be read from its beginning.

The text after a shard is not looked at: a border never lies in the whitespace at a text's beginning
([`Files::part`](crate::corpus::Files)).
*/

use super::options::EncodeOptions;
use super::separators::{Edge, Start};
use super::worker::Worker;
use crate::corpus::{Corpus, Cutter, Files, Place, Shard};
use crate::encode::Id;
use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use std::ops::Range;

/// The number of bytes before a border that are encoded first.
const WINDOW: u64 = 1 << 14;

/// A part of a corpus, and the state in which encoding begins there.
pub(crate) struct Part {
    pub range: Range<Place>,
    pub start: Start,
    /// Whether the first id begins a document.
    pub begins: bool,
}

impl Part {
    /// All of a corpus.
    pub fn whole(corpus: &Corpus) -> Self {
        Part { range: corpus.whole(), start: Start::default(), begins: true }
    }

    /// A shard of a corpus.
    ///
    /// # Errors
    /// [`Error::Option`] if the corpus has no parts; the errors of reading and encoding.
    pub fn shard(
        tokenizer: &Tokenizer,
        corpus: &Corpus,
        options: &EncodeOptions,
        separator: Option<TokenId>,
        shard: Shard,
        job: &Job,
    ) -> Result<Self, Error> {
        let files = corpus.files()?;
        let special_tokens = tokenizer.uncut(options.special.unwrap_or(Special::Allow));
        let cutter =
            Cutter { pattern: tokenizer.pattern(), special_tokens, chunk_bytes: options.chunk_bytes };
        let range = files.part(shard, cutter, job)?;
        let before = Before { tokenizer, files, options, separator, cutter, job };
        let State { is_separated, begins } = before.state(range.start)?;
        // A file that begins here is another one than that of the last id.
        let place = match range.start {
            Place { source, offset: 0 } => Place { source: source.saturating_sub(1), offset: 0 },
            inside => inside,
        };
        Ok(Part { range, start: Start { place, is_separated }, begins })
    }

    /// What is left of the part, if encoding goes on at a place.
    pub fn rest(&self, start: Start) -> Range<Place> {
        self.range.start.max(start.place)..self.range.end
    }
}

/// What is known at a place in a corpus.
#[derive(Clone, Copy)]
struct State {
    is_separated: bool,
    begins: bool,
}

/// What the text of one file says about the place after it.
enum Ending {
    Known(State),
    /// Nothing but whitespace, if it has any ids.
    Blank {
        has_ids: bool,
    },
}

/// Looks at the text before a place.
struct Before<'a> {
    tokenizer: &'a Tokenizer,
    files: &'a Files,
    options: &'a EncodeOptions,
    separator: Option<TokenId>,
    cutter: Cutter<'a>,
    job: &'a Job,
}

impl Before<'_> {
    fn state(&self, place: Place) -> Result<State, Error> {
        let (mut end, mut blank_files) = (place, Vec::new());
        let mut state = loop {
            if end == Place::default() {
                break State { is_separated: true, begins: true };
            }
            match self.ending(end)? {
                Ending::Known(state) => break state,
                Ending::Blank { has_ids } => blank_files.push(has_ids),
            }
            end = Place { source: end.source - usize::from(end.offset == 0), offset: 0 };
        };
        for has_ids in blank_files.into_iter().rev() {
            let is_put = !state.is_separated;
            state = State { is_separated: true, begins: !has_ids && (is_put || state.begins) };
        }
        Ok(state)
    }

    /// What the file that ends at a place, or in which the place is, says about it.
    fn ending(&self, end: Place) -> Result<Ending, Error> {
        let mut window = WINDOW;
        loop {
            let (range, is_whole) = self.files.before(end, window, self.cutter, self.job)?;
            let ending = self.ending_of(range)?;
            if is_whole || matches!(ending, Ending::Known(_)) {
                return Ok(ending);
            }
            window = window.saturating_mul(4);
        }
    }

    fn ending_of(&self, range: Range<Place>) -> Result<Ending, Error> {
        let Before { tokenizer, options, separator, job, .. } = *self;
        let corpus = Corpus::Files(self.files.in_order(range));
        let worker = Worker { tokenizer, corpus: &corpus, options, threads: 1, separator, job };
        let (mut is_separated, mut last) = (None, None);
        worker.for_each_chunk::<TokenId>(|_, finished| {
            job.report(finished.input_bytes)?;
            last = finished.ids.as_slice().last().map(|id| id.get()).or(last);
            match finished.ends {
                Edge::Separator => is_separated = Some(true),
                Edge::Text => is_separated = Some(false),
                Edge::Nothing => {}
            }
            // Each text of JSON lines has a separator after it.
            let is_known = is_separated.is_some() && finished.has_documents;
            Ok((!is_known).then_some(finished.ids))
        })?;
        Ok(match is_separated {
            Some(is_separated) => {
                Ending::Known(State { is_separated, begins: last.is_some() && last == separator })
            }
            None => Ending::Blank { has_ids: last.is_some() },
        })
    }
}

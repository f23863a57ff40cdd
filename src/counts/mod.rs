/*!
Text into counts: how often each pretoken occurs.

Counts are all that training needs of a corpus, and they are small: 12 GB of web text have some 50 MB of them. Every
worker counts the chunks that it gets into a table of its own, without locks; the tables are summed at the end. Sums do
not depend on who counted what, so the result is the same for every thread count, chunk size and order of files.

u64: a 12 GB corpus has more than 2^32 bytes, and trainers that count in 32 bits make silently wrong vocabularies.
*/

mod table;

use crate::corpus::{Chunk, Corpus, Cutter, Text};
use crate::error::Error;
use crate::job::{Job, with_threads};
use std::ops::Range;
use table::CountTable;

/// How often each pretoken occurs.
#[derive(Default)]
pub struct PretokenCounts {
    table: CountTable,
}

impl PretokenCounts {
    /// Adds `count` occurrences of a pretoken.
    ///
    /// # Errors
    /// [`Error::Limit`] when the pretoken's count would pass 2^64 - 2.
    pub fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), Error> {
        if pretoken.is_empty() || count == 0 {
            return Ok(());
        }
        match self.table.add(pretoken, count) {
            u64::MAX => Err(Error::Limit { what: "the count of a pretoken", limit: u64::MAX - 1 }),
            _ => Ok(()),
        }
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each pretoken and its count, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.table.iter()
    }

    fn sum(tables: Vec<CountTable>, job: &Job) -> Result<Self, Error> {
        let mut tables = tables.into_iter();
        let mut sum = tables.next().unwrap_or_default();
        for table in tables {
            sum.add_table(&table, || job.check())?;
        }
        Ok(PretokenCounts { table: sum })
    }
}

/// Counts the pretokens of a corpus; special tokens are left out.
///
/// # Errors
/// What reading ([`Error::CorpusFile`], [`Error::FileChanged`]) and matching ([`Error::PatternLimit`]) can give;
/// [`Error::EmptyCorpus`]; [`Error::Cancelled`].
pub fn count_pretokens(
    corpus: &Corpus,
    cutter: Cutter<'_>,
    threads: usize,
    job: &Job,
) -> Result<PretokenCounts, Error> {
    let count = |_: rayon::BroadcastContext<'_>| {
        let counted = count_chunks(corpus, cutter, job);
        if counted.is_err() {
            job.cancel();
        }
        counted
    };
    let tables = first_cause(with_threads(threads, |pool| Ok(pool.broadcast(count)))?)?;
    corpus.check_not_empty()?;
    PretokenCounts::sum(tables, job)
}

fn count_chunks(corpus: &Corpus, cutter: Cutter<'_>, job: &Job) -> Result<CountTable, Error> {
    let mut table = CountTable::default();
    let mut chunk = Chunk::default();
    while corpus.next_chunk(cutter, job, &mut chunk)? {
        for text in &chunk.texts {
            count_text(&chunk.bytes, text.range.clone(), cutter, job, &mut table)
                .map_err(|error| locate(error, corpus, text))?;
            job.advance(text.range.len() as u64);
        }
        table.flush();
        if table.is_full() {
            let limit = CountTable::MAX_LEN as u64;
            return Err(Error::Limit { what: "the number of distinct pretokens", limit });
        }
    }
    Ok(table)
}

fn count_text(
    buffer: &[u8],
    text: Range<usize>,
    cutter: Cutter<'_>,
    job: &Job,
    table: &mut CountTable,
) -> Result<(), Error> {
    cutter.special_tokens.split(buffer, text, |stretch, _| {
        cutter.pattern.for_each_pretoken(buffer, stretch, job, |pretoken| {
            table.count(buffer, pretoken.start, pretoken.end);
        })
    })
}

/// Says of which text a pattern's error speaks.
fn locate(error: Error, corpus: &Corpus, place: &Text) -> Error {
    match error {
        Error::PatternLimit { pattern, offset, reason, .. } => {
            let offset = place.offset + offset - place.range.start as u64;
            Error::PatternLimit { pattern, text: corpus.name(place.source), offset, reason }
        }
        other => other,
    }
}

/// All results, or the first error that is not merely the echo of another worker's.
fn first_cause<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut values = Vec::with_capacity(results.len());
    let mut cause = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) if matches!(cause, None | Some(Error::Cancelled)) => cause = Some(error),
            Err(_) => {}
        }
    }
    cause.map_or(Ok(values), Err)
}

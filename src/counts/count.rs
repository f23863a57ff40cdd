/*!
Counting a corpus, by any number of workers that share one table.
*/

use super::pretoken_counts::PretokenCounts;
use super::pretoken_table::{PretokenTable, Visitor, look_up};
use crate::corpus::{Chunk, Corpus, Cutter};
use crate::error::Error;
use crate::isa::Isa;
use crate::job::Job;
use crate::pretokenize::{Borders, Pretokenizer};
use crate::threads::{on_all_threads, with_threads};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// The number of new pretokens that a worker inserts together, so that others seldom wait.
const INSERT: usize = 2048;

/// Counts the pretokens of a corpus. Special tokens are not counted.
///
/// # Errors
/// Those of reading ([`Error::CorpusFile`], [`Error::FileChanged`]) and of matching
/// ([`Error::PatternLimit`]); [`Error::EmptyCorpus`]; [`Error::Limit`]; [`Error::Cancelled`].
pub fn count_pretokens(
    corpus: &Corpus,
    cutter: Cutter<'_>,
    threads: usize,
    job: &Job,
) -> Result<PretokenCounts, Error> {
    corpus.begin()?;
    let table = RwLock::default();
    let count = |job: &Job| Worker::new(&table).count_chunks(corpus, cutter, job);
    let num_bytes = with_threads(threads, |pool| on_all_threads(pool, job, count))?.iter().sum();
    if num_bytes == 0 {
        return Err(corpus.is_empty_error());
    }
    let table = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(PretokenCounts::new(table, num_bytes, cutter.special_tokens))
}

/// One thread that counts.
struct Worker<'a> {
    table: &'a RwLock<PretokenTable<AtomicU64>>,
    /// For each pretoken, by number, the count that is not in the shared table yet.
    own: Vec<u8>,
    /// The pretokens of the chunk that were not in the table.
    new: Vec<Range<usize>>,
}

impl<'a> Worker<'a> {
    fn new(table: &'a RwLock<PretokenTable<AtomicU64>>) -> Self {
        Worker { table, own: Vec::new(), new: Vec::new() }
    }

    /// Counts chunks until none is left; returns the number of bytes of their texts.
    fn count_chunks(mut self, corpus: &Corpus, cutter: Cutter<'_>, job: &Job) -> Result<u64, Error> {
        let mut num_bytes = 0;
        let mut chunk = Chunk::default();
        let mut borders = Borders::default();
        while corpus.next_chunk(cutter, job, &mut chunk)? {
            for text in &chunk.texts {
                self.count_text(&chunk.bytes, text.range.clone(), cutter, job, &mut borders)
                    .map_err(|error| corpus.locate(error, text))?;
                num_bytes += text.range.len() as u64;
            }
            job.advance(chunk.input_bytes);
            self.insert_new(&chunk.bytes)?;
        }
        self.add_own()?;
        Ok(num_bytes)
    }

    fn count_text(
        &mut self,
        buffer: &[u8],
        text: Range<usize>,
        cutter: Cutter<'_>,
        job: &Job,
        borders: &mut Borders,
    ) -> Result<(), Error> {
        let Cutter { pattern, special_tokens, .. } = cutter;
        let pretokenizer = Pretokenizer { pattern, special_tokens, isa: Isa::best() };
        pretokenizer.for_each_window(buffer, text, job, borders, |borders| {
            self.count(buffer, borders)?;
            if self.new.len() >= INSERT { self.insert_new(buffer) } else { Ok(()) }
        })
    }

    fn count(&mut self, buffer: &[u8], borders: &Borders) -> Result<(), Error> {
        let table = &*self.read()?;
        self.own.resize(table.len(), 0);
        look_up(&mut Counting { table, own: &mut self.own, new: &mut self.new }, buffer, borders);
        Ok(())
    }

    /// Locks the table for reading, unless another worker panicked while it inserted. Then the table may be
    /// half-changed, and the panic is the error that the caller gets.
    fn read(&self) -> Result<RwLockReadGuard<'a, PretokenTable<AtomicU64>>, Error> {
        self.table.read().map_err(|_| Error::Cancelled)
    }

    /// Inserts the pretokens that were not in the table when they were looked up.
    fn insert_new(&mut self, buffer: &[u8]) -> Result<(), Error> {
        let mut table = self.table.write().map_err(|_| Error::Cancelled)?;
        for pretoken in self.new.drain(..) {
            let number = table.insert(&buffer[pretoken], AtomicU64::new(0));
            *table.values_mut()[number].get_mut() += 1;
        }
        match table.len() {
            0..=PretokenTable::<AtomicU64>::MAX_LEN => Ok(()),
            _ => {
                let limit = PretokenTable::<AtomicU64>::MAX_LEN as u64;
                Err(Error::Limit { what: "the number of distinct pretokens", limit })
            }
        }
    }

    /// Adds the private counts to the shared ones.
    fn add_own(&self) -> Result<(), Error> {
        for (&count, sum) in self.own.iter().zip(self.read()?.values()) {
            sum.fetch_add(count.into(), Relaxed);
        }
        Ok(())
    }
}

/// A worker that counts a window, while no worker changes the table.
struct Counting<'a> {
    table: &'a PretokenTable<AtomicU64>,
    own: &'a mut [u8],
    new: &'a mut Vec<Range<usize>>,
}

impl Visitor<AtomicU64> for Counting<'_> {
    #[inline(always)]
    fn table(&self) -> &PretokenTable<AtomicU64> {
        self.table
    }

    #[inline(always)]
    fn known(&mut self, number: usize) {
        let (count, is_over) = self.own[number].overflowing_add(1);
        self.own[number] = count;
        if is_over {
            self.table.values()[number].fetch_add(256, Relaxed);
        }
    }

    #[inline(always)]
    fn unknown(&mut self, pretoken: Range<usize>) {
        self.new.push(pretoken);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::panic_everywhere;

    #[test]
    fn a_panic_anywhere_while_files_are_counted_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.txt", "b.txt"].map(|name| folder.path().join(name));
        for path in &paths {
            std::fs::write(path, b"some words and some words more\n".repeat(20)).unwrap();
        }
        let panics = panic_everywhere(move |job| {
            let special_tokens = SpecialTokens::default();
            let cutter =
                Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 100 };
            let counts = count_pretokens(&Corpus::open(&paths).unwrap(), cutter, 3, job)?;
            let mut sorted: Vec<(Vec<u8>, u64)> = counts.iter().map(|(word, n)| (word.to_vec(), n)).collect();
            sorted.sort();
            Ok(sorted)
        });
        assert!(panics > 30, "{panics}");
    }
}

/*!
Text into counts: how often each pretoken occurs.

Counts are all that training needs of a corpus, and they are small: 12 GB of web text have some 100 MB of them.

Why not a table for each worker, summed at the end? Memory would grow with the number of threads, and the sum is work that
one thread does while the others wait. Here all workers share one table, and nearly all they do is to look things up in
it, which they may do at the same time. What is not in the table yet is put aside and inserted by one worker at a time,
some thousands together. Each worker counts in a byte a pretoken of its own, so that nobody waits for a cache line that
others write to, and carries 256 to the shared count whenever a byte runs over.

Sums do not depend on who counted what, so the result is the same for every thread count, chunk size and order of files.

u64: a 12 GB corpus has more than 2^32 bytes, and trainers that count in 32 bits make silently wrong vocabularies.
*/

use crate::corpus::{Chunk, Corpus, Cutter};
use crate::error::Error;
use crate::isa::Isa;
use crate::job::Job;
use crate::pretoken_table::{PretokenTable, Visitor, look_up};
use crate::pretokenize::{Borders, Pretokenizer};
use crate::special_tokens::SpecialTokens;
use crate::threads::{on_all_threads, with_threads};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// New pretokens that are inserted together, so that others seldom wait.
const INSERT: usize = 2048;

/// How often each pretoken occurs.
#[derive(Default)]
pub struct PretokenCounts {
    table: PretokenTable<u64>,
    /// Entries without a count: special tokens.
    num_empty: usize,
    num_bytes: u64,
}

impl PretokenCounts {
    /// Adds `count` occurrences of a pretoken.
    ///
    /// # Errors
    /// [`Error::Limit`] when the pretoken's count would pass 2^64 - 1.
    pub fn add(&mut self, pretoken: &[u8], count: u64) -> Result<(), Error> {
        if pretoken.is_empty() || count == 0 {
            return Ok(());
        }
        let number = self.table.insert(pretoken, 0);
        let sum = &mut self.table.values_mut()[number];
        *sum = sum
            .checked_add(count)
            .ok_or(Error::Limit { what: "the count of a pretoken", limit: u64::MAX })?;
        Ok(())
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.table.len() - self.num_empty
    }

    /// The bytes of the texts that were counted, special tokens included.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each pretoken and its count, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.table.iter().map(|(pretoken, &count)| (pretoken, count)).filter(|&(_, count)| count > 0)
    }

    /// Special tokens come out of the scanner as pretokens that no other can equal.
    fn new(table: PretokenTable<AtomicU64>, num_bytes: u64, special_tokens: &SpecialTokens) -> Self {
        let mut table = table.map(AtomicU64::into_inner);
        let mut num_empty = 0;
        for token in special_tokens.as_slice() {
            if let Some(number) = table.get(token.as_bytes()) {
                table.values_mut()[number] = 0;
                num_empty += 1;
            }
        }
        PretokenCounts { table, num_empty, num_bytes }
    }
}

/// Counts the pretokens of a corpus; special tokens are left out.
///
/// # Errors
/// What reading ([`Error::CorpusFile`], [`Error::FileChanged`]) and matching ([`Error::PatternLimit`]) can give;
/// [`Error::EmptyCorpus`]; [`Error::Limit`]; [`Error::Cancelled`].
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

/// One thread's share of the counting.
struct Worker<'a> {
    table: &'a RwLock<PretokenTable<AtomicU64>>,
    /// Counts, by the pretoken's number, that are not in the shared ones.
    own: Vec<u8>,
    /// Pretokens in the chunk that were not in the table.
    new: Vec<Range<usize>>,
}

impl<'a> Worker<'a> {
    fn new(table: &'a RwLock<PretokenTable<AtomicU64>>) -> Self {
        Worker { table, own: Vec::new(), new: Vec::new() }
    }

    /// Counts chunks until there are none; the bytes of their texts.
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

    /// The table, unless another worker panicked while it inserted: then it may be half-changed, and the panic is the error.
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

    fn add_own(&self) -> Result<(), Error> {
        for (&count, sum) in self.own.iter().zip(self.read()?.values()) {
            sum.fetch_add(count.into(), Relaxed);
        }
        Ok(())
    }
}

/// A worker in a table that nobody changes.
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

/*!
Counting a corpus, by any number of workers that share nothing but the shards.
*/

use super::pretoken_counts::PretokenCounts;
use super::shards::Shards;
use super::spill::Room;
use super::table::{Knobs, Table};
use crate::corpus::{Chunk, Corpus, Cutter, Limits};
use crate::count_file::Runs;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::isa::Isa;
use crate::job::Job;
use crate::pretokenize::{Borders, Pretokenizer};
use crate::threads::{MIN_SHARE, on_all_threads, with_threads, workers};

/// The maximum number of lines of all tables together, which take 256 MiB.
const ALL_LINES: usize = 1 << 22;
/// The maximum number of lines of one table, which take 16 MiB and hold 600,000 pretokens.
const MAX_LINES: usize = 1 << 18;
/// The number of shards. With 64 threads, two of them seldom add to the same one.
const NUM_SHARDS: usize = 64;

impl Knobs {
    /// The usual settings for a number of threads.
    pub fn new(threads: usize) -> Self {
        let max_lines = (ALL_LINES / threads.next_power_of_two()).clamp(1, MAX_LINES);
        let (num_shards, max_long, carry_after) = (NUM_SHARDS, 1 << 22, 1 << 31);
        let (isa, seed) = (Isa::best(), HashSeed::of_process());
        let (min_share, limits) = (MIN_SHARE, Limits::default());
        Knobs { isa, min_share, max_lines, num_shards, max_long, carry_after, seed, limits }
    }

    /// The settings for a room.
    pub(super) fn within(room: &Room) -> Self {
        let &Room { workers, max_lines, max_long, num_shards, limits, .. } = room;
        Knobs { max_lines, max_long, num_shards, limits, ..Knobs::new(workers) }
    }
}

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
    count_with_knobs(corpus, cutter, threads, job, Knobs::new(threads))
}

/// As [`count_pretokens`], with other settings.
///
/// # Errors
/// As above.
pub fn count_with_knobs(
    corpus: &Corpus,
    cutter: Cutter<'_>,
    threads: usize,
    job: &Job,
    knobs: Knobs,
) -> Result<PretokenCounts, Error> {
    let shards = Shards::new(knobs.num_shards, knobs.seed);
    let num_bytes = count_into(&shards, corpus, cutter, threads, job, knobs)?;
    Ok(PretokenCounts::new(shards.into_tables(), num_bytes, cutter.special_tokens, knobs.seed))
}

/// Counts the pretokens of a corpus within a limit of the process's memory, in bytes. Returns the counts as runs, which
/// are added to `runs`, and the bytes of the texts.
///
/// # Errors
/// [`Error::MemoryLimit`] with the least limit, before any work; those of [`count_pretokens`]; [`Error::Io`] of the runs.
pub(crate) fn count_limited(
    corpus: &Corpus,
    cutter: Cutter<'_>,
    threads: usize,
    limit: u64,
    runs: Runs,
    job: &Job,
) -> Result<(Runs, u64), Error> {
    let room = Room::new(limit, threads, corpus.buffers())?;
    let knobs = Knobs::within(&room);
    let shards = Shards::limited(&room, knobs.seed, runs, cutter.special_tokens, job);
    let num_bytes = count_into(&shards, corpus, cutter, room.workers, job, knobs)?;
    let runs = shards.into_runs()?.ok_or_else(|| Error::Internal("shards without runs".to_owned()))?;
    Ok((runs.within(room.reading), num_bytes))
}

/// Counts into shards. Returns the bytes of the texts.
pub(super) fn count_into(
    shards: &Shards<'_>,
    corpus: &Corpus,
    cutter: Cutter<'_>,
    threads: usize,
    job: &Job,
    knobs: Knobs,
) -> Result<u64, Error> {
    corpus.begin()?;
    let threads = workers(threads, corpus.num_bytes(), knobs.min_share);
    let count = |job: &Job| count_chunks(Table::new(knobs, shards), corpus, cutter, knobs, job);
    let num_bytes = with_threads(threads, |pool| on_all_threads(pool, job, count))?.iter().sum();
    if num_bytes == 0 && !corpus.is_part() {
        return Err(corpus.is_empty_error());
    }
    Ok(num_bytes)
}

/// One thread: counts chunks until none is left, and returns the number of bytes of their texts.
fn count_chunks(
    mut table: Table<'_>,
    corpus: &Corpus,
    cutter: Cutter<'_>,
    knobs: Knobs,
    job: &Job,
) -> Result<u64, Error> {
    let Cutter { pattern, special_tokens, .. } = cutter;
    let pretokenizer = Pretokenizer { pattern, special_tokens, isa: knobs.isa };
    let mut num_bytes = 0;
    let mut chunk = Chunk::new(knobs.limits);
    let mut borders = Borders::default();
    while corpus.next_chunk(cutter, job, &mut chunk)? {
        let buffer = &chunk.bytes;
        for text in &chunk.texts {
            let count = |borders: &Borders| table.count_window(buffer, borders);
            pretokenizer
                .for_each_window(buffer, text.range.clone(), job, &mut borders, count)
                .map_err(|error| corpus.locate(error, text))?;
            num_bytes += text.range.len() as u64;
        }
        job.advance(chunk.input_bytes);
    }
    table.finish()?;
    Ok(num_bytes)
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
            let knobs = Knobs { min_share: 1, ..Knobs::new(3) };
            let counts = count_with_knobs(&Corpus::open(&paths).unwrap(), cutter, 3, job, knobs)?;
            let mut sorted: Vec<(Vec<u8>, u64)> = counts.iter().map(|(word, n)| (word.to_vec(), n)).collect();
            sorted.sort();
            Ok(sorted)
        });
        assert!(panics > 30, "{panics}");
    }
}

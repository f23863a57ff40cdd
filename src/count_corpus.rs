/*!
A corpus into a count file, and several count files into one.

A corpus that is too large for one machine is counted in shards, each by a machine of its own, and the files are added by any
of them. The sum is the same file as if one machine had counted everything.
*/

use crate::corpus::{Corpus, Cutter, Shard};
use crate::count_file::{
    CountReader, FAN_IN, Header, Merged, Report, Rules, Runs, Weight, Weighted, check_rules,
};
use crate::counts::{CollectedCounts, Totals, count_limited, count_pretokens, write_counts, write_sum};
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::output::{NewFile, first_among, folder_of};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use std::path::{Path, PathBuf};

/// How a corpus is counted.
#[derive(Clone, Debug)]
pub struct CountOptions {
    /// How texts are split into pretokens.
    pub pattern: Pattern,
    /// The special tokens, which are not counted.
    pub special_tokens: SpecialTokens,
    /// The number of worker threads.
    pub threads: usize,
    /// The nominal size of a chunk in bytes.
    pub chunk_bytes: usize,
    /// The most memory in bytes that the process may hold. What does not fit is sorted on the disk, in the folder of the
    /// output.
    pub memory_limit: Option<u64>,
    /// The shard that is counted; everything if it is not given.
    pub shard: Option<Shard>,
    /// Whether a file that exists is replaced.
    pub replace: bool,
}

impl CountOptions {
    /// The usual options for a pattern and special tokens.
    pub fn new(pattern: Pattern, special_tokens: SpecialTokens) -> Self {
        CountOptions {
            pattern,
            special_tokens,
            threads: 1,
            chunk_bytes: 256 << 10,
            memory_limit: None,
            shard: None,
            replace: false,
        }
    }
}

/// Counts a corpus, or a shard of it, into the file `out`, which appears whole or not at all.
///
/// # Errors
/// [`Error::NotAnOutput`] and [`Error::Exists`] before any work; those of
/// [`count_pretokens`]; [`Error::Io`]; [`Error::MemoryLimit`] with the least limit, if it is greater.
pub fn count_corpus(corpus: &Corpus, options: &CountOptions, out: &Path, job: &Job) -> Result<Header, Error> {
    let CountOptions { pattern, special_tokens, threads, chunk_bytes, memory_limit, shard, replace } =
        options;
    if first_among([out], corpus.paths()).is_some() {
        return Err(Error::NotAnOutput { path: out.to_owned(), kind: "one of the texts" });
    }
    let rules = Rules::new(pattern, special_tokens);
    check_rules(&rules)?;
    if shard.is_some() {
        corpus.files()?.total()?;
    }
    let file = NewFile::create(out, *replace)?;
    let cutter = Cutter { pattern, special_tokens, chunk_bytes: *chunk_bytes };
    let part = shard.map(|shard| corpus.shard(shard, cutter, job)).transpose()?;
    let corpus = part.as_ref().unwrap_or(corpus);
    let totals =
        |num_bytes| Totals { rules: rules.clone(), num_bytes, skipped_lines: corpus.skipped_lines() };
    let Some(limit) = *memory_limit else {
        let count = || count_pretokens(corpus, cutter, *threads, job);
        let counts = job.stage(Stage::Count, corpus.num_bytes(), count)?;
        let totals = totals(counts.num_bytes());
        return write_counts(counts, totals, file, *threads, job);
    };
    let runs = Runs::new(rules.clone(), folder_of(out), FAN_IN);
    let count = || count_limited(corpus, cutter, *threads, limit, runs, job);
    let (runs, num_bytes) = job.stage(Stage::Count, corpus.num_bytes(), count)?;
    job.stage(Stage::Sum, runs.num_entries(), || {
        write_sum(runs.merged(&|amount| job.report(amount))?, totals(num_bytes), file)
    })
}

/// Begins to collect counts that come from elsewhere. What does not fit into memory goes into the folder of `out`, the
/// file that [`store_collected`] will write.
///
/// # Errors
/// [`Error::NotAnOutput`] and [`Error::Exists`], unless `replace`.
pub fn collect_counts(rules: Rules, out: &Path, replace: bool) -> Result<CollectedCounts, Error> {
    check_rules(&rules)?;
    NewFile::create(out, replace)?;
    let runs = Runs::new(rules.clone(), folder_of(out), FAN_IN);
    Ok(CollectedCounts::new(rules, runs))
}

/// Writes collected counts into the file `out`. They are those of texts with `num_bytes` bytes, by default the bytes of all
/// pretokens, and of `skipped_lines` lines that had no text.
///
/// # Errors
/// As [`count_corpus`].
pub fn store_collected(
    counts: CollectedCounts,
    num_bytes: Option<u64>,
    skipped_lines: u64,
    out: &Path,
    replace: bool,
    job: &Job,
) -> Result<Header, Error> {
    let num_bytes = num_bytes.unwrap_or(counts.num_bytes());
    let file = NewFile::create(out, replace)?;
    let (rules, runs) = counts.into_runs(job)?;
    let totals = Totals { rules, num_bytes, skipped_lines };
    job.stage(Stage::Sum, runs.num_entries(), || {
        write_sum(runs.merged(&|amount| job.report(amount))?, totals, file)
    })
}

/// A count file to add, and its weight.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// The number with which its counts are multiplied.
    pub weight: Weight,
}

/// Adds count files into the file `out`, in memory that depends neither on their size nor on their number. `out` may be
/// one of them.
///
/// # Errors
/// [`Error::CountFile`] for a file that is damaged, or was counted in another way than the first one;
/// [`Error::Limit`] and [`Error::Weight`] when a count would pass 2^64 - 1; those of [`count_corpus`].
pub fn add_counts(parts: &[Part], out: &Path, replace: bool, job: &Job) -> Result<Header, Error> {
    add_counts_by(parts, out, replace, FAN_IN, job)
}

/// As [`add_counts`], with at most `fan_in` files read at the same time.
///
/// # Errors
/// As above.
pub fn add_counts_by(
    parts: &[Part],
    out: &Path,
    replace: bool,
    fan_in: usize,
    job: &Job,
) -> Result<Header, Error> {
    let (totals, num_entries) = add_totals(parts)?;
    let file = NewFile::create(out, replace)?;
    let fan_in = fan_in.max(2);
    let is_one_pass = parts.len() <= fan_in;
    let report: Report<'_> = &|amount| job.report(amount);
    job.stage(Stage::Sum, is_one_pass.then_some(num_entries), || {
        if is_one_pass {
            return write_sum(Merged::new(open_all(parts)?, report)?, totals, file);
        }
        let mut runs = Runs::new(totals.rules.clone(), folder_of(out), fan_in);
        for group in parts.chunks(fan_in) {
            runs.add(Merged::new(open_all(group)?, report)?)?;
        }
        write_sum(runs.merged(report)?, totals, file)
    })
}

fn open_all(parts: &[Part]) -> Result<Vec<Weighted>, Error> {
    let open = |part: &Part| Ok(Weighted::new(CountReader::open(&part.path)?, part.weight));
    parts.iter().map(open).collect()
}

/// The totals of all files, if they were counted in the same way, and the number of their entries.
fn add_totals(parts: &[Part]) -> Result<(Totals, u64), Error> {
    let Some(first) = parts.first() else {
        return Err(Error::Option {
            name: "count files",
            value: "none".to_owned(),
            rule: "one or more files that bpe-lm count wrote",
        });
    };
    let rules = CountReader::open(&first.path)?.header().rules.clone();
    let mut totals = Totals { rules, num_bytes: 0, skipped_lines: 0 };
    let mut num_entries: u64 = 0;
    for part in parts {
        let reader = CountReader::open(&part.path)?;
        let header = reader.header();
        if let Some([found, of_first]) = header.rules.difference(&totals.rules) {
            let name = first.path.display();
            let reason = format!(
                "it was counted with {found}; {name} was counted with {of_first}; count both in the same way"
            );
            return Err(Error::count_file(&part.path, reason));
        }
        let too_many = |what| Error::Limit { what, limit: u64::MAX };
        let bytes = totals.num_bytes.checked_add(header.num_bytes);
        totals.num_bytes = bytes.ok_or_else(|| too_many("the number of bytes of all texts"))?;
        let lines = totals.skipped_lines.checked_add(header.skipped_lines);
        totals.skipped_lines = lines.ok_or_else(|| too_many("the number of skipped lines"))?;
        num_entries = num_entries.saturating_add(header.num_distinct);
    }
    Ok((totals, num_entries))
}

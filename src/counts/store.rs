/*!
Counts of tables into a count file.
*/

use super::pretoken_counts::PretokenCounts;
use super::pretoken_table::SortedTables;
use crate::count_file::{CountWriter, Header, Merged, Rules, SortedCounts};
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::output::NewFile;

/// What a count file states beside the counts.
pub(crate) struct Totals {
    pub rules: Rules,
    pub num_bytes: u64,
    pub skipped_lines: u64,
}

/// Writes counts into a file, sorted. The threads sort.
///
/// # Errors
/// [`Error::Limit`] when the sum of all counts would pass 2^64 - 1; [`Error::Io`]; [`Error::Cancelled`].
pub(crate) fn write_counts(
    counts: PretokenCounts,
    totals: Totals,
    file: NewFile,
    threads: usize,
    job: &Job,
) -> Result<Header, Error> {
    job.stage(Stage::Sum, Some(counts.len() as u64), || {
        let sorted = SortedTables::by_threads(counts.into_tables(), threads, job)?;
        write_sum(sorted.merged(&|amount| job.report(amount))?, totals, file)
    })
}

/// Writes the sum of sorted counts into a file.
///
/// # Errors
/// As above, and those of reading.
pub(crate) fn write_sum<S: SortedCounts>(
    sum: Merged<'_, S>,
    totals: Totals,
    file: NewFile,
) -> Result<Header, Error> {
    let mut writer = CountWriter::new(file.file(), file.path(), totals.rules)?;
    sum.for_each(|pretoken, count| writer.push(pretoken, count))?;
    let header = writer.finish(totals.num_bytes, totals.skipped_lines)?;
    file.finish()?;
    Ok(header)
}

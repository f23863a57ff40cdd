/*!
Counts that come from elsewhere, in any order and in parts, on their way into a count file.

A database that added counts hands them out as it likes. So they are collected in a table, and a full table moves to the disk
as a sorted run, as in a limited count. Memory depends neither on the number of counts nor on their order.
*/

use super::pretoken_counts::PretokenCounts;
use super::pretoken_table::SortedTables;
use crate::count_file::{Rules, Runs};
use crate::error::Error;
use crate::job::Job;

/// The pretokens, and their bytes, with which a table is full. They take some 100 MB.
const FULL: usize = 1 << 20;
const FULL_BYTES: usize = 32 << 20;

/// Counts that are being collected.
pub struct CollectedCounts {
    rules: Rules,
    counts: PretokenCounts,
    /// The bytes of the pretokens that were added to the table.
    table_bytes: usize,
    runs: Runs,
    num_bytes: u64,
    /// Whether counts were lost by an error.
    is_lossy: bool,
}

impl CollectedCounts {
    /// No counts. What does not fit goes into files without names, which `runs` makes.
    pub(crate) fn new(rules: Rules, runs: Runs) -> Self {
        let counts = PretokenCounts::default();
        CollectedCounts { rules, counts, table_bytes: 0, runs, num_bytes: 0, is_lossy: false }
    }

    /// The bytes of all pretokens that were added, each as often as it was counted.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// Adds `count` occurrences of a pretoken.
    ///
    /// # Errors
    /// [`Error::Limit`] when a count, or the bytes of all pretokens, would pass 2^64 - 1; [`Error::Io`]. After an error
    /// no file is written.
    pub fn add(&mut self, pretoken: &[u8], count: u64, job: &Job) -> Result<(), Error> {
        self.try_add(pretoken, count, job).inspect_err(|_| self.is_lossy = true)
    }

    fn try_add(&mut self, pretoken: &[u8], count: u64, job: &Job) -> Result<(), Error> {
        self.counts.add(pretoken, count)?;
        self.table_bytes += pretoken.len();
        let bytes = (pretoken.len() as u64).checked_mul(count);
        let bytes = bytes.and_then(|bytes| bytes.checked_add(self.num_bytes));
        self.num_bytes =
            bytes.ok_or(Error::Limit { what: "the number of bytes of all texts", limit: u64::MAX })?;
        let is_full = self.counts.len() >= FULL || self.table_bytes >= FULL_BYTES;
        if is_full { self.spill(job) } else { Ok(()) }
    }

    fn spill(&mut self, job: &Job) -> Result<(), Error> {
        let tables = std::mem::take(&mut self.counts).into_tables();
        self.table_bytes = 0;
        let (sorted, check) = (SortedTables::new(tables, job)?, |_| job.check());
        self.runs.add(sorted.merged(&check)?)
    }

    /// The rules, and the counts as runs.
    pub(crate) fn into_runs(mut self, job: &Job) -> Result<(Rules, Runs), Error> {
        if self.is_lossy {
            return Err(Error::Internal("counts were lost by an error while they were collected".to_owned()));
        }
        self.spill(job)?;
        Ok((self.rules, self.runs))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;

    #[test]
    fn a_table_is_full_with_so_many_bytes_or_pretokens() {
        for (len, number) in [(1 << 20, 32_u32), (1 << 19, 64), (4, u32::try_from(FULL).unwrap())] {
            let (folder, job) = (tempfile::tempdir().unwrap(), Job::default());
            let rules = Rules::new(&Pattern::Gpt2, &SpecialTokens::default());
            let mut counts = CollectedCounts::new(rules.clone(), Runs::new(rules, folder.path(), 64));
            let mut pretoken = vec![b'a'; len];
            for n in 0..number {
                assert_eq!(counts.runs.len(), 0, "{n} of {number}");
                pretoken[..4].copy_from_slice(&n.to_be_bytes());
                counts.add(&pretoken, 1, &job).unwrap();
            }
            assert_eq!((counts.runs.len(), counts.num_bytes()), (1, len as u64 * u64::from(number)));
        }
    }
}

/*!
Runs: sorted counts in files without names, on their way to a sum.

Such a file belongs to the process alone, and the system frees it when the process ends, whatever ends it. Nothing is left to
remove, and no other process reads half of it.

At most `fan_in` files are read at the same time, so the memory for their blocks and the number of open files have a bound.
Where there are more, the oldest ones are added to one run first.
*/

use super::merged::{Merged, Report, SortedCounts};
use super::read::CountReader;
use super::rules::Rules;
use super::write::CountWriter;
use crate::error::Error;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The usual maximum number of files that are read at the same time. Each takes a block, some 64 KiB.
pub(crate) const FAN_IN: usize = 64;

/// Some runs with the same rules.
pub(crate) struct Runs {
    rules: Rules,
    /// The folder that has the files, although not their names.
    folder: PathBuf,
    fan_in: usize,
    files: VecDeque<File>,
    num_entries: u64,
}

impl Runs {
    /// No runs. At most `fan_in` files, 2 or more, are read at the same time.
    pub fn new(rules: Rules, folder: &Path, fan_in: usize) -> Self {
        Runs {
            rules,
            folder: folder.to_owned(),
            fan_in: fan_in.max(2),
            files: VecDeque::new(),
            num_entries: 0,
        }
    }

    /// The number of runs.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The number of entries to read for the sum, if each is read once.
    pub fn num_entries(&self) -> Option<u64> {
        (self.files.len() <= self.fan_in).then_some(self.num_entries)
    }

    /// Writes the sum of sorted counts as another run.
    ///
    /// # Errors
    /// [`Error::Io`] with the folder; those of reading; [`Error::Limit`]; [`Error::Cancelled`].
    pub fn add<S: SortedCounts>(&mut self, counts: Merged<'_, S>) -> Result<(), Error> {
        let file = temporary(&self.folder)?;
        let mut writer = CountWriter::new(&file, &self.folder, self.rules.clone())?;
        counts.for_each(|pretoken, count| writer.push(pretoken, count))?;
        self.num_entries += writer.finish(0, 0)?.num_distinct;
        self.files.push_back(file);
        Ok(())
    }

    /// The sum of all runs.
    ///
    /// # Errors
    /// Those of [`Runs::add`].
    pub fn merged(mut self, report: Report<'_>) -> Result<Merged<'_, CountReader>, Error> {
        while self.files.len() > self.fan_in {
            // As few as leave `fan_in` runs, so that little is written again.
            let number = (self.files.len() - self.fan_in + 1).min(self.fan_in);
            let readers = self.take(number)?;
            self.add(Merged::new(readers, report)?)?;
        }
        Merged::new(self.take(self.files.len())?, report)
    }

    /// The sum of all runs as one run, each of whose entries `visit` has seen.
    ///
    /// # Errors
    /// Those of [`Runs::add`].
    pub fn into_one(self, report: Report<'_>, mut visit: impl FnMut(&[u8])) -> Result<CountReader, Error> {
        let (rules, folder) = (self.rules.clone(), self.folder.clone());
        let file = temporary(&folder)?;
        let mut writer = CountWriter::new(&file, &folder, rules)?;
        self.merged(report)?.for_each(|pretoken, count| {
            visit(pretoken);
            writer.push(pretoken, count)
        })?;
        writer.finish(0, 0)?;
        CountReader::new(file, &folder)
    }

    fn take(&mut self, number: usize) -> Result<Vec<CountReader>, Error> {
        self.files.drain(..number).map(|file| CountReader::new(file, &self.folder)).collect()
    }
}

/// A file without a name.
fn temporary(folder: &Path) -> Result<File, Error> {
    tempfile::tempfile_in(folder).map_err(|error| Error::io("write to", folder, error))
}

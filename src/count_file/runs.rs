/*!
Runs: sorted counts in files without names, on their way to a sum.

Such a file belongs to the process alone, and the system frees it when the process ends, whatever ends it. Nothing is left to
remove, and no other process reads half of it.

Why not a file for each run? A limited count may have thousands, and the system limits the number of open files to some
hundreds. So runs lie one after another in a file. There is a new file after [`FAN_IN`] runs, or a sixteenth of all that there
are, so a million runs have some 130 files, and a file is freed once its runs are added.

At most `fan_in` runs are read at once, and only as many as fit into the memory for it, two at least. Where there are more, the
oldest ones are added to one run first.
*/

use super::block::BLOCK_BYTES;
use super::merged::{Merged, Report, SortedCounts};
use super::read::CountReader;
use super::rules::Rules;
use super::write::CountWriter;
use crate::error::Error;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The usual maximum number of runs, or files of counts, that are read at the same time. Each takes a block, some 64 KiB.
pub(crate) const FAN_IN: usize = 64;

/// The most runs. One takes 40 bytes of memory, and each pretoken that fits into no table is one.
const MOST_RUNS: usize = 1 << 14;

/// Some runs with the same rules.
pub(crate) struct Runs {
    rules: Rules,
    /// The folder that has the files, although not their names.
    folder: PathBuf,
    fan_in: usize,
    /// The bytes of memory for reading runs.
    room: usize,
    most: usize,
    runs: VecDeque<Run>,
    /// The file of the next run, and the number of runs in it.
    last: Option<(Arc<File>, usize)>,
}

/// A run in a range of a file.
struct Run {
    file: Arc<File>,
    range: Range<u64>,
    num_entries: u64,
    /// The length of the longest pretoken.
    longest: usize,
}

impl Run {
    /// The bytes of memory for reading it beside its rules: a block, which ends with its last entry, and a pretoken
    /// twice, when a block ends.
    fn room(&self) -> usize {
        BLOCK_BYTES.saturating_add(self.longest.saturating_mul(3))
    }
}

impl Runs {
    /// No runs. At most `fan_in`, 2 or more, are read at the same time.
    pub fn new(rules: Rules, folder: &Path, fan_in: usize) -> Self {
        Runs {
            rules,
            folder: folder.to_owned(),
            fan_in: fan_in.max(2),
            room: usize::MAX,
            most: MOST_RUNS.max(fan_in),
            runs: VecDeque::new(),
            last: None,
        }
    }

    /// The same runs, with this many bytes of memory for reading them.
    #[must_use]
    pub fn within(self, room: usize) -> Self {
        Runs { room, ..self }
    }

    /// No runs, with the same settings.
    pub fn none(&self) -> Self {
        Runs::new(self.rules.clone(), &self.folder, self.fan_in).within(self.room)
    }

    /// The number of runs.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// The number of entries to read for the sum, if each is read once.
    pub fn num_entries(&self) -> Option<u64> {
        let num_entries = || self.runs.iter().map(|run| run.num_entries).sum();
        (self.num_at_once() == self.runs.len()).then(num_entries)
    }

    /// The number of the oldest runs that are read at once.
    fn num_at_once(&self) -> usize {
        let (mut room, rules) = (self.room, self.rules.num_bytes());
        let mut fits = |number: usize, run: &Run| {
            let left = room.checked_sub(run.room().saturating_add(rules));
            room = left.unwrap_or(0);
            number < 2 || left.is_some()
        };
        self.runs.iter().take(self.fan_in).enumerate().take_while(|&(number, run)| fits(number, run)).count()
    }

    /// Writes the sum of sorted counts as another run.
    ///
    /// # Errors
    /// [`Error::Io`] with the folder; those of reading; [`Error::Limit`]; [`Error::Cancelled`].
    pub fn add<S: SortedCounts>(&mut self, counts: Merged<'_, S>) -> Result<(), Error> {
        let report = counts.report();
        self.add_one(counts)?;
        while self.runs.len() > self.most {
            let oldest = self.num_at_once();
            let readers = self.take(oldest)?;
            self.add_one(Merged::new(readers, report)?)?;
        }
        Ok(())
    }

    fn add_one<S: SortedCounts>(&mut self, counts: Merged<'_, S>) -> Result<(), Error> {
        let file = self.file()?;
        let (mut writer, mut longest) = (CountWriter::new(&file, &self.folder, self.rules.clone())?, 0);
        counts.for_each(|pretoken, count| {
            longest = longest.max(pretoken.len());
            writer.push(pretoken, count)
        })?;
        let start = writer.start();
        let num_entries = writer.finish(0, 0)?.num_distinct;
        let end = file.metadata().map_err(|error| Error::io("read", &self.folder, error))?.len();
        self.runs.push_back(Run { file, range: start..end, num_entries, longest });
        Ok(())
    }

    /// The file for another run.
    fn file(&mut self) -> Result<Arc<File>, Error> {
        let most = FAN_IN.max(self.runs.len() / 16);
        let (file, number) = match self.last.take() {
            Some((file, number)) if number < most => (file, number),
            _ => (Arc::new(temporary(&self.folder)?), 0),
        };
        self.last = Some((Arc::clone(&file), number + 1));
        Ok(file)
    }

    /// The sum of all runs.
    ///
    /// # Errors
    /// Those of [`Runs::add`].
    pub fn merged(mut self, report: Report<'_>) -> Result<Merged<'_, CountReader>, Error> {
        loop {
            let (number, all) = (self.num_at_once(), self.runs.len());
            if number == all {
                return Merged::new(self.take(all)?, report);
            }
            // As few as leave `fan_in` runs, so that little is written again.
            let surplus = all.saturating_sub(self.fan_in - 1);
            let readers = self.take(if surplus < 2 { number } else { number.min(surplus) })?;
            self.add_one(Merged::new(readers, report)?)?;
        }
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
        let reader = |run: Run| CountReader::of_range(run.file, run.range, &self.folder);
        self.runs.drain(..number).map(reader).collect()
    }
}

/// A file without a name.
fn temporary(folder: &Path) -> Result<File, Error> {
    tempfile::tempfile_in(folder).map_err(|error| Error::io("write to", folder, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use std::collections::BTreeMap;

    /// Sorted counts in memory.
    struct List(std::vec::IntoIter<(Vec<u8>, u64)>, (Vec<u8>, u64));

    impl SortedCounts for List {
        fn advance(&mut self) -> Result<bool, Error> {
            let next = self.0.next();
            Ok(next.map(|next| self.1 = next).is_some())
        }

        fn pretoken(&self) -> &[u8] {
            &self.1.0
        }

        fn count(&self) -> u64 {
            self.1.1
        }
    }

    fn list(counts: Vec<(Vec<u8>, u64)>) -> Vec<List> {
        vec![List(counts.into_iter(), Default::default())]
    }

    /// The open files of this process in a folder.
    fn num_open(folder: &Path) -> Option<usize> {
        let is_in = |link: &PathBuf| std::fs::read_link(link).is_ok_and(|file| file.starts_with(folder));
        let links = std::fs::read_dir("/proc/self/fd").ok()?;
        Some(links.map(|link| link.unwrap().path()).filter(is_in).count())
    }

    /// Five runs of six have a pretoken of their own, and each sixth has a long one.
    #[test]
    fn runs_in_any_number_and_room_have_the_sum_and_few_open_files() {
        let folder = tempfile::tempdir().unwrap();
        let rules = Rules::new(&Pattern::Gpt2, &SpecialTokens::default());
        let report: Report<'_> = &|_| Ok(());
        for (number, fan_in, room) in [
            (0, 2, 0),
            (1, 2, 0),
            (7, 3, usize::MAX),
            (300, 64, 0),
            (300, 64, 1 << 20),
            (2000, 5, usize::MAX),
        ] {
            let mut runs = Runs::new(rules.clone(), folder.path(), fan_in).within(room);
            runs.most = if number == 2000 { 70 } else { MOST_RUNS };
            let mut expected = BTreeMap::new();
            for run in 0..number {
                let long = if run % 6 == 0 { 50_000 } else { 0 };
                let counts = vec![(b"a".to_vec(), 1), (format!("b{run}{:long$}", "").into_bytes(), 7)];
                counts.iter().for_each(|(pretoken, n)| *expected.entry(pretoken.clone()).or_insert(0) += n);
                runs.add(Merged::new(list(counts), report).unwrap()).unwrap();
            }
            assert!(runs.len() <= runs.most);
            assert!(num_open(folder.path()).is_none_or(|open| open <= 32), "{number}");
            assert!(runs.num_entries().is_none_or(|entries| entries == 2 * number));
            let mut found = BTreeMap::new();
            let merged = runs.merged(report).unwrap();
            merged
                .for_each(|pretoken, n| {
                    assert_eq!(found.insert(pretoken.to_vec(), n), None);
                    Ok(())
                })
                .unwrap();
            assert!(found == expected, "{number} {fan_in} {room}");
        }
    }

    #[test]
    fn as_many_runs_are_read_at_once_as_fit_into_the_room_and_two_at_least() {
        let rules = Rules::new(&Pattern::Gpt2, &SpecialTokens::default());
        let folder = tempfile::tempdir().unwrap();
        let report: Report<'_> = &|_| Ok(());
        let mut runs = Runs::new(rules, folder.path(), 8);
        for _ in 0..10 {
            runs.add(Merged::new(list(vec![(vec![b'a'; 1 << 20], 1)]), report).unwrap()).unwrap();
        }
        for (room, number) in [(0, 2), (7 << 20, 2), (10 << 20, 3), (1 << 30, 8)] {
            runs = runs.within(room);
            assert_eq!(runs.num_at_once(), number);
        }
    }
}

/*!
Plain files: workers find the cuts one at a time, and read the chunks between the cuts in parallel.
*/

use super::cut::Cuts;
use crate::error::Error;
use crate::job::Job;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that several workers read, each at its own offset.
pub(super) struct SharedFile {
    pub file: File,
    pub path: PathBuf,
}

impl SharedFile {
    /// Fills `buffer` from an offset in the file.
    pub fn read(&self, buffer: &mut [u8], offset: u64, job: &Job) -> Result<(), Error> {
        let mut found = 0;
        while found < buffer.len() {
            job.check()?;
            match self.file.read_at(&mut buffer[found..], offset + found as u64) {
                Ok(0) => {
                    let (path, expected) = (self.path.clone(), buffer.len());
                    return Err(Error::FileChanged { path, offset, expected, found });
                }
                Ok(n) => found += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::corpus_file(&self.path, error)),
            }
        }
        Ok(())
    }
}

/// A plain file and the offset of its next chunk.
pub(super) struct Plain {
    pub file: Arc<SharedFile>,
    pub len: u64,
    pub offset: u64,
    window: Vec<u8>,
}

impl Plain {
    /// A file of `len` bytes that is read from `offset` on.
    pub fn new(file: SharedFile, len: u64, offset: u64) -> Self {
        Plain { file: Arc::new(file), len, offset, window: Vec::new() }
    }

    /// Takes the range of the next chunk. The next call takes the range after it.
    pub fn claim(&mut self, cuts: Cuts<'_>, job: &Job) -> Result<Range<u64>, Error> {
        let start = self.offset;
        self.offset = self.chunk_end(start, cuts, job)?;
        Ok(start..self.offset)
    }

    /// Whether no chunk is left.
    pub fn is_at_end(&self) -> bool {
        self.offset == self.len
    }

    fn chunk_end(&mut self, start: u64, cuts: Cuts<'_>, job: &Job) -> Result<u64, Error> {
        if !cuts.can_cut() {
            return Ok(self.len);
        }
        let context = cuts.context() as u64;
        for (first, last) in cuts.windows(start).take_while(|&(_, last)| last < self.len) {
            let from = first.saturating_sub(context).max(start);
            let to = (last + context).min(self.len);
            self.window.resize(to_usize(to - from)?, 0);
            self.file.read(&mut self.window, from, job)?;
            let is_safe = |cut: u64| to_usize(cut - from).is_ok_and(|at| cuts.is_safe(&self.window, at));
            if let Some(cut) = (first..=last).rev().find(|&cut| is_safe(cut)) {
                return Ok(cut);
            }
        }
        Ok(self.len)
    }
}

/// Converts the length of a stretch, in bytes, to `usize`.
pub(super) fn to_usize(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes)
        .map_err(|_| Error::Limit { what: "a stretch without a place to cut", limit: usize::MAX as u64 })
}

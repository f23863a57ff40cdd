/*!
`OUT.idx`: where the documents of a token file begin.

A document ends with a separator, or where the file ends. So its beginnings are a function of the ids alone: the first
id, and each id after a separator. They are the same however the texts were cut into chunks, and a file that was
resumed has the same index as any other. All numbers are little-endian:

```text
 0  8 bytes  BPELMIDX
 8  u64      1, the version
16  u64      the number of documents
24  u64      the number of ids in the token file
32  u64      the CRC-32 of all bytes that follow
40  u64 ...  for each document the number of its first id; they grow
```

Why is the file written with the ids, and not made from them later? While ids are encoded they are in the cache, where
looking for the separator is nearly free (benches/record/9-past-one-machine.md). Later all of a file would have to be
read again. Positions are written as the journal gets to know them, so they need no memory, and the header comes last.
*/

use super::paths::Paths;
use crate::error::Error;
use crate::job::Job;
use crate::output::open_own_file;
use crc32fast::Hasher as Crc;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of bytes before the first position.
pub const HEADER_BYTES: u64 = HEADER_LEN as u64;
const HEADER_LEN: usize = 40;
const MAGIC: &[u8; 8] = b"BPELMIDX";
const VERSION: u64 = 1;
/// The number of bytes of positions that are written or read at once.
const STEP: usize = 1 << 16;

/// The content of an index, as the manifest states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexInfo {
    /// The number of documents.
    pub documents: u64,
    /// The CRC-32 of the positions at which they begin.
    pub crc32: u32,
}

impl IndexInfo {
    /// The length of the file in bytes. `None` if no file is so long.
    pub fn num_bytes(self) -> Option<u64> {
        self.documents.checked_mul(8)?.checked_add(HEADER_BYTES)
    }

    fn header(self, count: u64) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(MAGIC);
        let numbers = [VERSION, self.documents, count, self.crc32.into()];
        for (place, number) in header[8..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        header
    }
}

/// The ends of the separators in `ids`, where the first id is number `start`.
pub(super) fn ends_of<T: Copy + Eq>(ids: &[T], separator: Option<T>, start: u64) -> Vec<u64> {
    let Some(separator) = separator else { return Vec::new() };
    let mut ends = Vec::new();
    for (first, ids) in (start..).step_by(64).zip(ids.chunks(64)) {
        // Without a branch in the loop it is done for many ids at once.
        if ids.iter().fold(false, |found, id| found | (*id == separator)) {
            ends.extend((first + 1..).zip(ids).filter(|(_, id)| **id == separator).map(|(end, _)| end));
        }
    }
    ends
}

/// How much of an index is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub info: IndexInfo,
    /// Whether the next id begins a document.
    pub begins: bool,
}

/// An index that is being written.
pub(super) struct Index {
    pub file: Arc<File>,
    pub path: PathBuf,
    progress: Progress,
    crc: Crc,
    /// Positions that are not written.
    buffer: Vec<u8>,
    num_written: u64,
}

impl Index {
    /// Opens the file, and cuts it back to what is known of it.
    pub fn open(paths: &Paths, progress: Progress, is_done: bool, job: &Job) -> Result<Self, Error> {
        let path = &paths.partial_index;
        let failed = |error| Error::io("write", path, error);
        let file = open_own_file(path, |options| options.read(true).write(true))?;
        let len = file.metadata().map_err(failed)?.len();
        let positions = progress.info.documents * 8;
        // The header is written last.
        let needed = if positions > 0 || is_done { HEADER_BYTES + positions } else { 0 };
        let mut index = Index {
            file: Arc::new(file),
            path: path.clone(),
            progress,
            crc: Crc::new(),
            buffer: Vec::new(),
            num_written: positions,
        };
        let damaged = |reason: String| Error::Resume { path: path.clone(), reason };
        if len < needed {
            return Err(damaged(format!("it has {len} bytes, but the journal states {needed}")));
        }
        index.file.set_len(needed).map_err(failed)?;
        index.crc = checksum(&index.file, positions, job, |_| Ok(()), failed)?;
        if index.crc.clone().finalize() != progress.info.crc32 {
            return Err(damaged("its positions are not what was written".to_owned()));
        }
        Ok(index)
    }

    /// What is known, written or not.
    pub fn progress(&self) -> Progress {
        let crc32 = self.crc.clone().finalize();
        Progress { info: IndexInfo { crc32, ..self.progress.info }, ..self.progress }
    }

    /// Adds the next `count` ids, of which the first is number `start`, by the ends of their separators.
    pub fn add(&mut self, start: u64, count: u64, ends: &[u64]) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        if self.progress.begins {
            self.push(start);
        }
        self.progress.begins = ends.last() == Some(&(start + count));
        let inside = ends.len() - usize::from(self.progress.begins);
        ends[..inside].iter().for_each(|&end| self.push(end));
        if self.buffer.len() >= STEP { self.flush() } else { Ok(()) }
    }

    fn push(&mut self, position: u64) {
        let bytes = position.to_le_bytes();
        self.crc.update(&bytes);
        self.buffer.extend_from_slice(&bytes);
        self.progress.info.documents += 1;
    }

    /// Writes all positions.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write(&self.buffer, HEADER_BYTES + self.num_written)?;
        self.num_written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the header, for a token file of `count` ids, and all that is missing.
    pub fn end(&mut self, count: u64) -> Result<(), Error> {
        self.flush()?;
        self.write(&self.progress().info.header(count), 0)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io("write", &self.path, error))
    }
}

/// Checks the header and the length of the index of a token file of `count` ids.
pub(super) fn check(path: &Path, info: IndexInfo, count: u64) -> Result<(), Error> {
    let refused =
        |reason: &str| Err(Error::token_file(path, format!("{reason}; encode its token file again")));
    let failed = |error| Error::io("read", path, error);
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refused("the index of the documents is missing");
        }
        found if !found.as_ref().is_ok_and(std::fs::Metadata::is_file) => return refused("it is not a file"),
        found if found.as_ref().ok().map(std::fs::Metadata::len) != info.num_bytes() => {
            return refused("it was cut off or replaced: its length is not that of the index");
        }
        _ => {}
    }
    let mut header = [0; HEADER_LEN];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).map_err(failed)?;
    if header != info.header(count) {
        return refused("its first bytes are not those of the token file's index");
    }
    Ok(())
}

/// Compares all of an index with its checksum, and checks that the positions grow and are those of ids.
pub(super) fn verify(path: &Path, info: IndexInfo, count: u64, job: &Job) -> Result<(), Error> {
    check(path, info, count)?;
    let refused =
        || Error::token_file(path, "its positions are not what was written; encode its token file again");
    let failed = |error| Error::io("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let mut least = 0;
    let check = |position: u64| match position >= least && position < count {
        true => {
            least = position + 1;
            Ok(())
        }
        false => Err(refused()),
    };
    let crc = checksum(&file, info.documents * 8, job, check, failed)?;
    if crc.finalize() == info.crc32 { Ok(()) } else { Err(refused()) }
}

/// The checksum of the first `len` bytes of positions, each of which is checked.
fn checksum(
    file: &File,
    len: u64,
    job: &Job,
    mut check: impl FnMut(u64) -> Result<(), Error>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<Crc, Error> {
    let (mut crc, mut at, mut buffer) = (Crc::new(), 0, vec![0; STEP]);
    while at < len {
        job.check()?;
        let step = usize::try_from(len - at).map_or(STEP, |left| left.min(STEP));
        file.read_exact_at(&mut buffer[..step], HEADER_BYTES + at).map_err(&failed)?;
        crc.update(&buffer[..step]);
        buffer[..step].as_chunks().0.iter().try_for_each(|bytes| check(u64::from_le_bytes(*bytes)))?;
        at += step as u64;
    }
    Ok(crc)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The job stops before anything is lost, so a later one goes on.
    #[test]
    fn an_index_is_not_read_to_its_end_for_a_job_that_was_cancelled() {
        let (folder, job) = (tempfile::tempdir().unwrap(), Job::default());
        let paths = Paths::new(&folder.path().join("ids.bin"));
        let nothing = Progress { info: IndexInfo::default(), begins: true };
        let mut index = Index::open(&paths, nothing, false, &job).unwrap();
        index.add(0, 10, &[3, 7]).unwrap();
        index.flush().unwrap();
        let progress = index.progress();
        assert_eq!(progress.info.documents, 3);
        assert_eq!(Index::open(&paths, progress, false, &job).unwrap().progress(), progress);
        job.cancel();
        assert!(matches!(Index::open(&paths, progress, false, &job), Err(Error::Cancelled)));
        assert_eq!(Index::open(&paths, progress, false, &Job::default()).unwrap().progress(), progress);
    }

    #[test]
    fn separators_end_where_they_stand_whatever_the_alignment() {
        for len in [0, 1, 2, 63, 64, 65, 200] {
            for every in [1, 2, 7, 64, 300] {
                let ids: Vec<u16> = (0..len).map(|i| if i % every == every - 1 { 9 } else { 3 }).collect();
                let naive: Vec<u64> =
                    (1001..).zip(&ids).filter(|(_, id)| **id == 9).map(|(end, _)| end).collect();
                assert_eq!(ends_of(&ids, Some(9), 1000), naive);
                assert!(ends_of(&ids, None, 1000).is_empty());
            }
        }
    }
}

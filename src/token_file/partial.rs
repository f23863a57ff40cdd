/*!
`OUT.partial`: a token file that is being written.
*/

use super::index::{Index, IndexInfo, Progress};
use super::journal::{Begun, Entry, Journal};
use super::manifest::{BLOCK_BYTES, Manifest};
use super::npy;
use super::options::TokenFileOptions;
use super::paths::Paths;
use super::placed::{Piece, Written};
use super::replace::replace;
use super::verify;
use crate::encode_corpus::{Part, Start};
use crate::error::Error;
use crate::job::Job;
use crate::output::{is_taken, open_own_file, remove};
use crc32fast::Hasher as Crc;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of new bytes that are synced together between two lines of the journal. (benches/record/3-encode.md)
const SYNC_BYTES: usize = 1 << 23;

/// The state of the output when a run begins.
pub(super) enum Opened {
    /// The whole file, as it is wanted.
    Whole(Manifest),
    /// A file to continue, which may be empty.
    Partial(Box<Partial>, Journal),
}

/// The same as [`Opened`], before the journal is written.
enum Found {
    Whole(Manifest),
    Begun(Partial),
    Nothing(Partial),
}

/// A token file that is being written.
pub(super) struct Partial {
    paths: Paths,
    /// The part of the corpus whose ids it has.
    part: Part,
    file: Arc<File>,
    /// The index, if one is written.
    index: Option<Index>,
    /// The description of the file, as far as it is written without a hole. Its checksums are those of whole
    /// blocks.
    manifest: Manifest,
    /// The number of chunks that this run has written before the first hole, and the chunks that are written
    /// after it, by number.
    num_added: u64,
    after_hole: BTreeMap<u64, Written>,
    /// The number of bytes that are not synced.
    num_new: usize,
    next: Start,
    is_done: bool,
    /// The checksum and length of the block that is not whole yet.
    crc: Crc,
    block_len: usize,
    /// The number of checksums that the journal has.
    num_entered: usize,
    /// Whether a chunk was begun to be added. If that fails, it stays so.
    is_changing: bool,
    /// Whether files of its names are replaced in the end.
    may_replace: bool,
}

impl Partial {
    /// Opens or creates the file. `manifest` describes the file that is to be written, with the ids of the part that
    /// `find_part` returns. It is called once the file is locked, and its name is free, may be replaced, or was given by
    /// a run that died in its last steps.
    pub fn open(
        paths: Paths,
        manifest: Manifest,
        options: &TokenFileOptions,
        job: &Job,
        find_part: impl FnOnce() -> Result<Part, Error>,
    ) -> Result<Opened, Error> {
        let journal = Journal::lock(&paths)?;
        match Partial::open_locked(&paths, &journal, manifest, options, job, find_part) {
            Ok(Found::Begun(partial)) => Ok(Opened::Partial(Box::new(partial), journal)),
            Ok(Found::Nothing(partial)) => {
                let journal = journal.begin(&partial.manifest, options.force)?;
                paths.sync_folder()?;
                Ok(Opened::Partial(Box::new(partial), journal))
            }
            Ok(Found::Whole(manifest)) => {
                remove(&paths.partial)?;
                remove(&paths.partial_index)?;
                journal.remove()?;
                Ok(Opened::Whole(manifest))
            }
            Err(error) => {
                if journal.is_empty() {
                    let _ = journal.remove(); // The first error is the one to report.
                }
                Err(error)
            }
        }
    }

    fn open_locked(
        paths: &Paths,
        journal: &Journal,
        manifest: Manifest,
        options: &TokenFileOptions,
        job: &Job,
        find_part: impl FnOnce() -> Result<Part, Error>,
    ) -> Result<Found, Error> {
        if options.resume {
            if let Some(Begun { manifest: was, may_replace, last }) = journal.read()? {
                if let Some(reason) = manifest.difference(&was) {
                    return Err(Error::Resume { path: paths.partial.clone(), reason });
                }
                let may_replace = may_replace || options.force;
                // The last steps of a run that died have given some of the names.
                if !may_replace && !last.as_ref().is_some_and(|last| last.is_done) {
                    check_free(paths)?;
                }
                return Partial::go_on(paths, manifest, find_part()?, last, may_replace, job)
                    .map(Found::Begun);
            }
            if paths.out.exists() {
                let whole = verify::open(&paths.out, None, None)?;
                return match manifest.difference(&whole) {
                    None => Ok(Found::Whole(whole)),
                    Some(reason) => Err(Error::Resume { path: paths.out.clone(), reason }),
                };
            }
        }
        if !options.force {
            check_free(paths)?;
            let has_content = |path| std::fs::metadata(path).is_ok_and(|found| found.len() > 0);
            if !options.resume && (has_content(&paths.journal) || has_content(&paths.partial)) {
                return Err(Error::Unfinished { path: paths.partial.clone() });
            }
        }
        let part = find_part()?;
        journal.clear()?;
        Partial::go_on(paths, manifest, part, None, options.force, job).map(Found::Nothing)
    }

    /// Cuts the file back to an entry of the journal, and reads the last block again.
    fn go_on(
        paths: &Paths,
        mut manifest: Manifest,
        part: Part,
        last: Option<Entry>,
        may_replace: bool,
        job: &Job,
    ) -> Result<Self, Error> {
        let file = open_own_file(&paths.partial, |options| options.read(true).write(true))?;
        let failed = |error| Error::io("write", &paths.partial, error);
        let is_done = last.as_ref().is_some_and(|last| last.is_done);
        let progress = last.as_ref().map(|last| last.index);
        let (next, tail) = last.as_ref().map_or((part.start, 0), |last| (last.next, last.tail));
        if let Some(last) = last {
            (manifest.count, manifest.text_bytes) = (last.count, last.text_bytes);
            (manifest.skipped_lines, manifest.checksums) = (last.skipped_lines, last.blocks);
            let is_possible = manifest.is_possible_so_far()
                && last.next.place.source < manifest.sources.len()
                && last.index.is_none_or(|index| index.info.documents <= last.count);
            if !is_possible {
                let reason = "its journal describes a file that does not exist".to_owned();
                return Err(Error::Resume { path: paths.partial.clone(), reason });
            }
        }
        let mut partial = Partial {
            paths: paths.clone(),
            part,
            file: Arc::new(file),
            index: None,
            num_entered: manifest.checksums.len(),
            manifest,
            num_added: 0,
            after_hole: BTreeMap::new(),
            num_new: 0,
            next,
            is_done,
            crc: Crc::new(),
            block_len: 0,
            is_changing: false,
            may_replace,
        };
        let len = partial.file.metadata().map_err(failed)?.len();
        let needed = partial.manifest.num_bytes();
        partial.open_index(progress, is_done, job)?;
        if is_done && len == 0 && is_of_len(&paths.out, needed) {
            // The file has its final name already, and only `OUT.json` is missing.
            std::fs::remove_file(&paths.partial).map_err(failed)?;
            partial.end_block(tail);
            return Ok(partial);
        }
        if len < needed && partial.manifest.count > 0 {
            let reason = format!("it has {len} bytes, but its journal states {needed}");
            return Err(Error::Resume { path: paths.partial.clone(), reason });
        }
        partial.file.set_len(needed).map_err(failed)?;
        let whole = partial.manifest.data_offset + (partial.num_entered * BLOCK_BYTES) as u64;
        (&*partial.file).seek(SeekFrom::Start(whole)).map_err(failed)?;
        let mut block = Vec::new();
        (&*partial.file).read_to_end(&mut block).map_err(failed)?;
        partial.crc.update(&block);
        partial.block_len = block.len();
        if partial.crc.clone().finalize() != tail {
            let reason = "the bytes of its last block are not what was written".to_owned();
            return Err(Error::Resume { path: paths.partial.clone(), reason });
        }
        if is_done {
            partial.end_block(tail);
        }
        Ok(partial)
    }

    /// Opens the index, if one is wanted, and goes on with what the journal's last entry states, if there is one.
    fn open_index(&mut self, entry: Option<Option<Progress>>, is_done: bool, job: &Job) -> Result<(), Error> {
        if self.manifest.index.is_none() {
            return remove(&self.paths.partial_index);
        }
        let nothing = Progress { info: IndexInfo::default(), begins: self.part.begins };
        let progress = entry.unwrap_or(Some(nothing)).ok_or_else(|| Error::Resume {
            path: self.paths.partial.clone(),
            reason: "its journal does not state the index".to_owned(),
        })?;
        if is_done {
            self.manifest.index = Some(progress.info);
            let is_there = |path| progress.info.num_bytes().is_some_and(|len| is_of_len(path, len));
            if !is_there(&self.paths.partial_index) && is_there(&self.paths.index) {
                return Ok(()); // It has its final name already.
            }
        }
        self.index = Some(Index::open(&self.paths, progress, is_done, job)?);
        Ok(())
    }

    /// Adds the checksum of the last block, if it is not whole.
    fn end_block(&mut self, tail: u32) {
        if !(self.manifest.count * self.manifest.dtype.num_bytes()).is_multiple_of(BLOCK_BYTES as u64) {
            self.manifest.checksums.push(tail);
        }
    }

    /// The part of the corpus whose ids it has.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The place where encoding continues; `None` if all ids are written.
    pub fn start(&self) -> Option<Start> {
        (!self.is_done).then_some(self.next)
    }

    /// The number of ids in the file.
    pub fn count(&self) -> u64 {
        self.manifest.count
    }

    /// The number of bytes before the first id.
    pub fn data_offset(&self) -> u64 {
        self.manifest.data_offset
    }

    /// Adds a chunk that is written. Returns whether much is new, so that a sync should start.
    pub fn add(&mut self, written: Written) -> Result<bool, Error> {
        self.is_changing = true;
        self.num_new += written.pieces.iter().map(|piece| piece.len).sum::<usize>();
        self.after_hole.insert(written.number, written);
        while let Some(written) = self.after_hole.remove(&self.num_added) {
            self.num_added += 1;
            if let Some(index) = &mut self.index {
                index.add(written.start, written.count, &written.ends)?;
            }
            self.manifest.count += written.count;
            self.manifest.text_bytes += written.text_bytes;
            self.manifest.skipped_lines += written.skipped_lines;
            self.next = written.next;
            written.pieces.iter().for_each(|piece| self.add_piece(piece));
        }
        let is_much = self.num_new >= SYNC_BYTES;
        if is_much {
            self.num_new = 0;
        }
        self.is_changing = false;
        Ok(is_much)
    }

    /// Whether a chunk was added to its end, or not at all.
    pub fn is_consistent(&self) -> bool {
        !self.is_changing
    }

    /// Adds bytes to the checksums.
    fn add_piece(&mut self, piece: &Piece) {
        self.crc.combine(&piece.crc);
        self.block_len += piece.len;
        if self.block_len == BLOCK_BYTES {
            self.manifest.checksums.push(self.crc.clone().finalize());
            self.crc.reset();
            self.block_len = 0;
        }
    }

    /// Whether it has no ids.
    pub fn is_empty(&self) -> bool {
        self.manifest.count == 0
    }

    /// Removes the file and the journal. The caller has checked that no id was written.
    pub fn discard(self: Box<Self>, journal: Journal) {
        // The run's own error is the one to report. A file that cannot be removed stays as a killed run
        // leaves it.
        let Paths { partial, partial_index, .. } = &self.paths;
        let _ = remove(partial).and_then(|()| remove(partial_index)).and_then(|()| journal.remove());
    }

    /// The entry for the journal. It is true once everything that is written now is synced.
    pub fn entry(&mut self) -> Result<Entry, Error> {
        if let Some(index) = &mut self.index {
            index.flush()?;
        }
        let blocks = self.manifest.checksums[self.num_entered..].to_vec();
        self.num_entered = self.manifest.checksums.len();
        Ok(Entry {
            next: self.next,
            count: self.manifest.count,
            text_bytes: self.manifest.text_bytes,
            skipped_lines: self.manifest.skipped_lines,
            blocks,
            tail: self.crc.clone().finalize(),
            index: self.index.as_ref().map(Index::progress),
            is_done: self.is_done,
        })
    }

    /// All files, for syncing them.
    pub fn files(&self) -> Vec<Growing> {
        let index = |index: &Index| Growing { file: Arc::clone(&index.file), path: index.path.clone() };
        self.index.as_ref().map(index).into_iter().chain([self.file()]).collect()
    }

    /// The file of the ids, for writing them.
    pub fn file(&self) -> Growing {
        Growing { file: Arc::clone(&self.file), path: self.paths.partial.clone() }
    }

    /// Completes the file and gives it its final name.
    pub fn finish(mut self: Box<Self>, mut journal: Journal) -> Result<Manifest, Error> {
        if !self.after_hole.is_empty() {
            return Err(Error::Internal("a chunk of the token file is missing".to_owned()));
        }
        if !self.is_done {
            self.is_done = true;
            self.write_header().map_err(|error| Error::io("write", &self.paths.partial, error))?;
            if let Some(index) = &mut self.index {
                index.end(self.manifest.count)?;
            }
            let entry = self.entry()?;
            self.manifest.index = entry.index.map(|index| index.info);
            self.files().iter().try_for_each(Growing::sync)?;
            journal.push(&entry)?;
            self.end_block(entry.tail);
        }
        replace(&self.paths, &self.manifest, self.may_replace)?;
        journal.remove()?;
        Ok(self.manifest)
    }

    fn write_header(&self) -> std::io::Result<()> {
        match self.manifest.data_offset {
            0 => Ok(()),
            _ => self.file.write_all_at(&npy::header(self.manifest.dtype, self.manifest.count), 0),
        }
    }
}

/// A file that is being written, and its name in errors.
pub(super) struct Growing {
    pub file: Arc<File>,
    pub path: PathBuf,
}

impl Growing {
    /// Waits until all bytes that are written now are on the disk.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| Error::io("sync", &self.path, error))
    }
}

/// Refuses names that are taken.
fn check_free(paths: &Paths) -> Result<(), Error> {
    let mut names = [&paths.out, &paths.manifest, &paths.index].into_iter();
    names.find(|path| is_taken(path)).map_or(Ok(()), |path| Err(Error::Exists { path: path.clone() }))
}

fn is_of_len(path: &Path, len: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() == len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl Partial {
    /// From now on, writing the index fails.
    pub fn make_index_read_only(&mut self) {
        let index = self.index.as_mut().unwrap();
        index.file = Arc::new(File::open(&index.path).unwrap());
    }
}

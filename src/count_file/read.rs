/*!
Reading a count file from its beginning to its end, a block at a time.

Nothing in the file is believed before it is checked: a length that the file does not have, a checksum that does not fit,
entries that are not in order, and totals that differ from the sums are errors that say where.
*/

use super::block::{BLOCK_BYTES, BLOCK_HEADER, MAX_BLOCK, header, next_entry};
use super::header::{AFTER_RULES, BEFORE_RULES, Header, MAX_HEADER, u32_at, u64_at};
use super::merged::SortedCounts;
use crate::error::Error;
use crate::output::kind_of;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A count file that is being read.
pub struct CountReader {
    file: Arc<File>,
    /// The name in errors.
    path: PathBuf,
    /// The offset in the file where the counts begin. Other offsets and the length count from there.
    start: u64,
    header: Header,
    /// The offset of the next block, and the length of the file.
    offset: u64,
    len: u64,
    content: Vec<u8>,
    at: usize,
    entries_left: u32,
    num_blocks: u32,
    num_distinct: u64,
    num_pretokens: u64,
    pretoken: Vec<u8>,
    count: u64,
}

impl CountReader {
    /// Opens a file, and reads and checks its header.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::CountFile`] for anything but a count file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let opened = || {
            let kind = std::fs::metadata(path)?.file_type();
            Ok(if kind.is_file() { Ok(File::open(path)?) } else { Err(kind) })
        };
        match opened().map_err(|error| Error::io("open", path, error))? {
            Ok(file) => CountReader::new(file, path),
            Err(kind) => Err(Error::count_file(path, format!("it is {}, not a count file", kind_of(kind)))),
        }
    }

    /// Reads a file that is open. `path` is its name in errors.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self, Error> {
        let len = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
        CountReader::of_range(Arc::new(file), 0..len, path)
    }

    /// Reads a range of a file.
    pub(super) fn of_range(file: Arc<File>, range: Range<u64>, path: &Path) -> Result<Self, Error> {
        let len = range.end - range.start;
        let mut reader = CountReader {
            file,
            path: path.to_owned(),
            start: range.start,
            header: Header::new(super::Rules { pattern: String::new(), special_tokens: Vec::new() }),
            offset: 0,
            len,
            content: Vec::new(),
            at: 0,
            entries_left: 0,
            num_blocks: 0,
            num_distinct: 0,
            num_pretokens: 0,
            pretoken: Vec::new(),
            count: 0,
        };
        let failed = |reason| Error::count_file(path, reason);
        let mut before = [0; BEFORE_RULES];
        let there = usize::try_from(len).unwrap_or(usize::MAX).min(BEFORE_RULES);
        reader.read(&mut before[..there], 0)?;
        let rules_len = Header::rules_len(&before).map_err(failed)?;
        let header_len = BEFORE_RULES.saturating_add(rules_len).saturating_add(AFTER_RULES);
        if header_len > MAX_HEADER {
            return Err(failed(format!("its header has {header_len} bytes, more than any; count again")));
        }
        reader.offset = header_len as u64;
        if reader.offset > len {
            return Err(reader.is_cut_off());
        }
        let mut bytes = vec![0; header_len];
        reader.read(&mut bytes, 0)?;
        reader.header = Header::from_bytes(&bytes).map_err(failed)?;
        Ok(reader)
    }

    /// The same file from its beginning.
    pub(crate) fn again(&self) -> Result<Self, Error> {
        let range = self.start..self.start + self.len;
        CountReader::of_range(Arc::clone(&self.file), range, &self.path)
    }

    /// The description of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the next block. Returns false at the end of the file.
    fn next_block(&mut self) -> Result<bool, Error> {
        let start = self.offset;
        if self.at != self.content.len() {
            return Err(self.damaged(start));
        }
        if self.len - start < BLOCK_HEADER as u64 {
            return Err(self.is_cut_off());
        }
        let mut found = [0; BLOCK_HEADER];
        self.read(&mut found, start)?;
        let (len, entries) = (u64_at(&found, 0), u32_at(&found, 8));
        let after = start + BLOCK_HEADER as u64;
        if len > self.len - after {
            return Err(self.is_cut_off());
        }
        if len > MAX_BLOCK {
            return Err(self.damaged(start));
        }
        // A file can be longer than the address space of a small machine.
        let len = usize::try_from(len).map_err(|_| self.damaged(start))?;
        self.make_room(len)?;
        let mut content = std::mem::take(&mut self.content);
        let read = self.read(&mut content, after);
        self.content = content;
        read?;
        if header(entries, &self.content) != found {
            return Err(self.damaged(start));
        }
        self.offset = after + len as u64;
        (self.at, self.entries_left) = (0, entries);
        self.pretoken.clear();
        if len == 0 {
            return self.check_end(entries).map(|()| false);
        }
        self.num_blocks = self.num_blocks.saturating_add(1);
        Ok(true)
    }

    /// Makes the content `len` bytes long. A block longer than usual has a long pretoken. The memory of the block is returned after it.
    fn make_room(&mut self, len: usize) -> Result<(), Error> {
        self.content.clear();
        self.content.shrink_to(len.max(2 * BLOCK_BYTES));
        let reserved = self.content.try_reserve_exact(len);
        reserved.map_err(|error| Error::io("read", &self.path, io::Error::other(error)))?;
        self.content.resize(len, 0);
        Ok(())
    }

    /// Checks what the end says, and that nothing follows it.
    fn check_end(&mut self, num_blocks: u32) -> Result<(), Error> {
        self.entries_left = 0;
        let totals = (self.num_blocks, self.num_distinct, self.num_pretokens, self.offset);
        if totals != (num_blocks, self.header.num_distinct, self.header.num_pretokens, self.len) {
            return Err(Error::count_file(&self.path, "its totals are not those of its blocks; count again"));
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, self.start + offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.is_cut_off(),
            _ => Error::io("read", &self.path, error),
        })
    }

    fn is_cut_off(&self) -> Error {
        Error::count_file(&self.path, format!("it is cut off after {} bytes; count again", self.len))
    }

    fn damaged(&self, offset: u64) -> Error {
        Error::count_file(&self.path, format!("the block before or at byte {offset} is damaged; count again"))
    }
}

impl SortedCounts for CountReader {
    fn advance(&mut self) -> Result<bool, Error> {
        if self.entries_left == 0 {
            let (is_first, last) = (self.num_blocks == 0, self.pretoken.clone());
            if !self.next_block()? {
                return Ok(false);
            }
            // The first entry of a block is compared with the last one before it.
            if let Some(count) = next_entry(&self.content, &mut self.at, &mut self.pretoken)
                && (is_first || self.pretoken > last)
                && self.entries_left > 0
            {
                return self.found(count);
            }
            return Err(self.damaged(self.offset));
        }
        match next_entry(&self.content, &mut self.at, &mut self.pretoken) {
            Some(count) => self.found(count),
            None => Err(self.damaged(self.offset)),
        }
    }

    fn pretoken(&self) -> &[u8] {
        &self.pretoken
    }

    fn count(&self) -> u64 {
        self.count
    }
}

impl CountReader {
    fn found(&mut self, count: u64) -> Result<bool, Error> {
        self.entries_left -= 1;
        self.count = count;
        self.num_distinct += 1;
        // A sum that overflows differs from the total, which the end of the file shows.
        self.num_pretokens = self.num_pretokens.wrapping_add(count);
        Ok(true)
    }
}

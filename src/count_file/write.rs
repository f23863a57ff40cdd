/*!
Writing a count file.
*/

use super::block::{Block, MAX_PRETOKEN, header};
use super::header::Header;
use super::rules::Rules;
use crate::error::Error;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A count file that is being written. Until [`CountWriter::finish`], zeros are in place of its header.
pub(crate) struct CountWriter<'a> {
    file: &'a File,
    /// The name in errors.
    path: PathBuf,
    /// The offset in the file.
    start: u64,
    header: Header,
    block: Block,
    num_blocks: u32,
}

impl<'a> CountWriter<'a> {
    /// Begins at the end of a file, which is empty unless it has other runs. `path` is its name in errors.
    pub fn new(mut file: &'a File, path: &Path, rules: Rules) -> Result<Self, Error> {
        let header = Header::new(rules);
        let len = header.to_bytes()?.len();
        let start = file.seek(SeekFrom::End(0)).map_err(|error| Error::io("write", path, error))?;
        let (path, block) = (path.to_owned(), Block::default());
        let writer = CountWriter { file, path, start, header, block, num_blocks: 0 };
        writer.write(&vec![0; len])?;
        Ok(writer)
    }

    /// The offset in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Adds a pretoken, which is greater than the one before it, with its count, which is not 0.
    ///
    /// # Errors
    /// [`Error::Limit`] when the sum of all counts would pass 2^64 - 1, and for a pretoken that no reader takes; [`Error::Io`].
    pub fn push(&mut self, pretoken: &[u8], count: u64) -> Result<(), Error> {
        if pretoken.len() as u64 > MAX_PRETOKEN {
            return Err(Error::Limit { what: "the length of a pretoken", limit: MAX_PRETOKEN });
        }
        let sum = self.header.num_pretokens.checked_add(count);
        self.header.num_pretokens =
            sum.ok_or(Error::Limit { what: "the number of pretokens", limit: u64::MAX })?;
        self.header.num_distinct += 1;
        self.block.push(pretoken, count);
        if self.block.is_full() { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<(), Error> {
        self.write(&self.block.header())?;
        self.write(&self.block.content)?;
        self.block.clear();
        let more = self.num_blocks.checked_add(1);
        self.num_blocks =
            more.ok_or(Error::Limit { what: "the number of blocks", limit: u32::MAX.into() })?;
        Ok(())
    }

    /// Writes the end and the header, and returns the header.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self, num_bytes: u64, skipped_lines: u64) -> Result<Header, Error> {
        if self.block.entries > 0 {
            self.end_block()?;
        }
        self.write(&header(self.num_blocks, &[]))?;
        (self.header.num_bytes, self.header.skipped_lines) = (num_bytes, skipped_lines);
        let bytes = self.header.to_bytes()?;
        self.file.seek(SeekFrom::Start(self.start)).map_err(|error| self.failed(error))?;
        self.write(&bytes)?;
        Ok(self.header)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.file;
        file.write_all(bytes).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write", &self.path, error)
    }
}

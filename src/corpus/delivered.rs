/*!
What an opener delivers, as the rest of this folder reads it: the rows of a table, and the bytes of a file.
*/

use super::chunk::{Chunk, Place, Text};
use super::opener::{Delivered, Delivery};
use super::stream::Input;
use crate::error::{Cause, Error};
use crate::job::Job;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The time between two checks of the cancel flag.
const PATIENCE: Duration = Duration::from_millis(50);

/// A table that is being read.
pub(super) struct Table {
    receiver: Receiver<Delivery>,
    /// The number of the next row.
    next: u64,
}

impl Table {
    /// A table whose next row is number `next`.
    pub fn new(receiver: Receiver<Delivery>, next: u64) -> Self {
        Table { receiver, next }
    }

    /// Puts the next rows of file number `source` into an empty chunk. Returns false at the end.
    pub fn next(&mut self, source: usize, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        let delivered = loop {
            job.check()?;
            match self.receiver.recv_timeout(PATIENCE) {
                Ok(delivery) => break delivery.map_err(Error::Opener)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Internal(STOPPED.to_owned())),
            }
        };
        if let Delivered::Rows(rows) = delivered {
            self.next = rows.end;
            chunk.bytes = rows.bytes;
            chunk.texts.extend(rows.texts.into_iter().map(|(range, row)| Text {
                range,
                source,
                offset: row,
            }));
            (chunk.input_bytes, chunk.skipped_lines) = (rows.input_bytes, rows.skipped);
            chunk.end = Place { source, offset: self.next };
            return Ok(true);
        }
        chunk.end = Place { source, offset: self.next };
        Ok(false)
    }
}

const STOPPED: &str = "a reader stopped without an error";

/// The bytes of a file that an opener reads.
pub(super) struct Bytes {
    receiver: Receiver<Delivery>,
    block: Vec<u8>,
    at: usize,
    is_at_end: bool,
}

impl Bytes {
    /// A file of which nothing was read.
    pub fn new(receiver: Receiver<Delivery>) -> Self {
        Bytes { receiver, block: Vec::new(), at: 0, is_at_end: false }
    }
}

impl Input for Bytes {
    fn wait(&mut self) -> io::Result<bool> {
        if self.at < self.block.len() || self.is_at_end {
            return Ok(true);
        }
        match self.receiver.recv_timeout(PATIENCE) {
            Ok(Ok(Delivered::Bytes(block))) => (self.block, self.at) = (block, 0),
            Ok(Ok(Delivered::End)) => self.is_at_end = true,
            Ok(Ok(Delivered::Rows(_))) => return Err(io::Error::other("rows in place of bytes")),
            Ok(Err(cause)) => return Err(io::Error::other(Failed(cause))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other(STOPPED)),
        }
        Ok(self.at < self.block.len() || self.is_at_end)
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.block.len() - self.at);
        buffer[..len].copy_from_slice(&self.block[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// A cause on its way through a decompressor, which knows errors of the system only.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Failed(pub Cause);

/*!
What an opener delivers, as the rest of this folder reads it: the rows of a table, and the bytes of a file.
*/

use super::chunk::{Chunk, Place, Text};
use super::opener::{Delivered, Delivery, Look};
use super::stream::Input;
use crate::error::{Cause, Error};
use crate::job::Job;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The time between two checks of the cancel flag.
const PATIENCE: Duration = Duration::from_millis(50);

/// Waits for the next thing.
fn next(receiver: &Receiver<Delivery>, job: &Job) -> Result<Delivered, Error> {
    loop {
        job.check()?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(delivery) => return delivery.map_err(Error::Opener),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Internal(STOPPED.to_owned())),
        }
    }
}

/// Waits for what is known of a file.
pub(super) fn look(receiver: &Receiver<Delivery>, job: &Job) -> Result<Look, Error> {
    match next(receiver, job)? {
        Delivered::Look(look) => Ok(look),
        other => Err(other.in_place_of("a look")),
    }
}

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
        let rows = match next(&self.receiver, job)? {
            Delivered::Rows(rows) => rows,
            Delivered::End => {
                chunk.end = Place { source, offset: self.next };
                return Ok(false);
            }
            other => return Err(other.in_place_of("rows")),
        };
        self.next = rows.end;
        chunk.bytes = rows.bytes;
        let text = |(range, row)| Text { range, source, offset: row };
        chunk.texts.extend(rows.texts.into_iter().map(text));
        (chunk.input_bytes, chunk.skipped_lines) = (rows.input_bytes, rows.skipped);
        chunk.end = Place { source, offset: self.next };
        Ok(true)
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
            Ok(Ok(other)) => return Err(io::Error::other(other.in_place_of("bytes"))),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::chunk::Limits;
    use super::super::opener::Rows;
    use super::*;
    use std::sync::mpsc::sync_channel;

    fn delivered(delivered: Delivered) -> Receiver<Delivery> {
        let (sender, receiver) = sync_channel(1);
        sender.send(Ok(delivered)).unwrap();
        receiver
    }

    #[test]
    fn what_does_not_belong_to_a_table_or_a_file_is_not_taken_as_its_end() {
        let (job, look_now) = (Job::default(), Look { len: Some(3), version: 1 });
        let next = |what| Table::new(delivered(what), 0).next(0, &job, &mut Chunk::new(Limits::default()));
        assert!(!next(Delivered::End).unwrap());
        for (what, found) in [(Delivered::Bytes(Vec::new()), "bytes"), (Delivered::Look(look_now), "a look")]
        {
            let error = next(what).unwrap_err().to_string();
            assert!(error.contains(&format!("{found} in place of rows")), "{error}");
        }
        let rows = Rows::new(Rows::buffer(0), &[], 0, &[], 0).unwrap();
        let error = Bytes::new(delivered(Delivered::Rows(rows))).wait().unwrap_err().to_string();
        assert!(error.contains("rows in place of bytes"), "{error}");
        assert_eq!(look(&delivered(Delivered::Look(look_now)), &job).unwrap().version, 1);
        assert!(look(&delivered(Delivered::End), &job).is_err());
    }
}

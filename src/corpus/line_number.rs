/*!
The number of a chunk's first line, which only errors need.
*/

use super::plain::{SharedFile, to_usize};
use crate::error::Error;
use crate::job::Job;
use std::sync::Arc;

/// The source of the number, from 0, of a chunk's first line.
pub(super) enum FirstLine {
    /// The number itself: a stream counts its lines.
    Number(u64),
    /// A plain file, whose lines are counted only when an error needs the number. No worker has read all of
    /// the earlier lines.
    In(Arc<SharedFile>),
}

impl FirstLine {
    /// The number of the line that begins at `offset`.
    pub fn number(&self, offset: u64, job: &Job) -> Result<u64, Error> {
        let file = match self {
            FirstLine::Number(number) => return Ok(*number),
            FirstLine::In(file) => file,
        };
        let (mut buffer, mut at, mut lines) = (vec![0; 1 << 20], 0, 0);
        while at < offset {
            let len = to_usize((offset - at).min(1 << 20))?;
            file.read(&mut buffer[..len], at, job)?;
            lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
            at += len as u64;
        }
        Ok(lines)
    }
}

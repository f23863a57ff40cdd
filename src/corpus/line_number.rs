/*!
The number of a chunk's first line, which only errors need.
*/

use super::plain::{SharedFile, to_usize};
use crate::error::Error;
use crate::job::Job;
use std::sync::Arc;

/// How the number of a chunk's first line is found, from 0.
pub(super) enum FirstLine {
    /// It is known: a stream counts its lines.
    Number(u64),
    /// It is counted when an error needs it: in a plain file, nobody has read all lines before.
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

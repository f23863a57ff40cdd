/*!
Samples: stories one after another, into a writer or a file.
*/

use super::split::Split;
use super::story::StoryWriter;
use crate::error::Error;
use crate::job::Job;
use crate::output::NewFile;
use std::io::{self, Write};
use std::path::Path;

/// The line that ends each story.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Writes whole stories, each followed by a line `<|endoftext|>`, until at least `num_bytes` bytes are
/// written. The excess is at most one story. Returns the number of bytes written.
pub fn write_sample(out: &mut impl Write, num_bytes: u64, seed: u64, split: Split) -> io::Result<u64> {
    write_until(out, num_bytes, seed, split, || Ok(()))
}

/// Writes a sample, and calls `check` before each block of it.
fn write_until(
    out: &mut impl Write,
    num_bytes: u64,
    seed: u64,
    split: Split,
    check: impl Fn() -> io::Result<()>,
) -> io::Result<u64> {
    let mut writer = StoryWriter::new(seed, split);
    let mut text = String::new();
    let mut written = 0;
    while written + (text.len() as u64) < num_bytes {
        writer.write_story(&mut text);
        text.push('\n');
        text.push_str(END_OF_TEXT);
        text.push('\n');
        if text.len() >= 1 << 16 {
            check()?;
            out.write_all(text.as_bytes())?;
            written += text.len() as u64;
            text.clear();
        }
    }
    out.write_all(text.as_bytes())?;
    Ok(written + text.len() as u64)
}

/// Does the same as [`write_sample`], into a file that appears only when it is whole.
///
/// # Errors
/// [`Error::NotAnOutput`]; [`Error::Io`] with the path, [`Error::Cancelled`].
pub fn write_file(path: &Path, num_bytes: u64, seed: u64, split: Split, job: &Job) -> Result<u64, Error> {
    let file = NewFile::create(path, true)?;
    let check = || job.check().map_err(io::Error::other);
    let written = write_until(&mut file.file(), num_bytes, seed, split, check);
    job.check()?;
    let written = written.map_err(|error| Error::io("write", path, error))?;
    file.finish()?;
    Ok(written)
}

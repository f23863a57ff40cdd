/*!
Inputs that can be read only from beginning to end: compressed files, pipes, standard input.

Why does no single thread read the stream and hand chunks to the others? That thread would count nothing, and the others
would share one queue. Here a worker that wants a chunk takes the stream, reads just that chunk, gives the stream back and
counts the chunk while another worker reads the next. With several streams, each worker soon has its own.

Compression is detected from the first bytes, not from the name. So pipes may be compressed too, and a renamed
file is not counted as gibberish.
*/

use super::chunk::{Limits, reserve};
use super::compression::{Compression, is_window_error, zstd_window};
use super::content::HEAD_BYTES;
use super::cut::Cuts;
use super::gzip::Gunzip;
use crate::error::Error;
use crate::job::{CancelFlag, Job};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The number of bytes between two checks of the cancel flag.
const STEP: usize = 1 << 20;
/// The length of the longest header of a zstd frame, in bytes.
const FIRST_BYTES: u64 = 18;

/// A file, pipe or standard input that is being read.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    compression: Compression,
    /// The largest window in bytes of zstd data.
    max_window: u64,
    /// The number of bytes that were read from the file, and how many of them were reported.
    input_bytes: Arc<AtomicU64>,
    reported: u64,
    /// The bytes after the last cut that were read already.
    rest: Vec<u8>,
    /// The numbers of bytes and lines that were returned so far.
    pub offset: u64,
    pub lines: u64,
    is_at_end: bool,
}

/// The cause of a failure. The caller adds the name of the file.
#[derive(Debug)]
pub(super) enum Failure {
    Other(Error),
    /// A line, or a stretch without a place to cut, that begins at this offset or later and is too long.
    TooLong {
        offset: u64,
        limit: u64,
    },
    /// zstd data whose window is too large, with the window in bytes if it is known.
    Window {
        window: Option<u64>,
        limit: u64,
    },
    Read {
        compression: Compression,
        offset: u64,
        source: io::Error,
    },
}

impl Failure {
    /// A failure before any byte was decompressed.
    pub fn plain(source: io::Error) -> Self {
        Failure::Read { compression: Compression::None, offset: 0, source }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Other(error)
    }
}

impl Stream {
    /// Starts to read a file or pipe.
    pub fn new(input: impl Input, limits: Limits, job: &Job) -> Result<Self, Failure> {
        let failed = Failure::plain;
        let input_bytes = Arc::new(AtomicU64::new(0));
        let mut input = Counted { input, cancelled: job.cancel_flag(), num_bytes: Arc::clone(&input_bytes) };
        let mut first_bytes = Vec::new();
        (&mut input).take(FIRST_BYTES).read_to_end(&mut first_bytes).map_err(failed)?;
        let compression = Compression::of(&first_bytes);
        let max_window = 1 << limits.zstd_window_log;
        if let Some(window) = zstd_window(&first_bytes).filter(|&window| window > max_window) {
            return Err(Failure::Window { window: Some(window), limit: max_window });
        }
        let input = io::Cursor::new(first_bytes).chain(input);
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(Gunzip::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(input).map_err(failed)?;
                decoder.window_log_max(limits.zstd_window_log).map_err(failed)?;
                Box::new(decoder)
            }
        };
        Ok(Stream {
            reader,
            compression,
            max_window,
            input_bytes,
            reported: 0,
            rest: Vec::new(),
            offset: 0,
            lines: 0,
            is_at_end: false,
        })
    }

    /// The compression of the data.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the first bytes of its text, and whether they are the whole text. They stay in front of what is read
    /// next. Call it once, before anything is read.
    pub fn peek(&mut self, job: &Job) -> Result<(&[u8], bool), Failure> {
        let mut head = Vec::new();
        let len = self.read(0, HEAD_BYTES, job, &mut head)?;
        head.truncate(len);
        self.rest = head;
        Ok((&self.rest, self.is_at_end))
    }

    /// Skips `len` bytes of text. Returns whether the text had that many.
    pub fn skip(&mut self, mut len: u64, job: &Job) -> Result<bool, Failure> {
        let mut buffer = Vec::new();
        while len > 0 && !self.is_at_end() {
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(STEP);
            let found = if self.rest.is_empty() {
                self.read(0, wanted, job, &mut buffer)?
            } else {
                buffer = self.rest.split_off(self.rest.len().min(wanted));
                std::mem::swap(&mut buffer, &mut self.rest);
                buffer.len()
            };
            self.lines += memchr::memchr_iter(b'\n', &buffer[..found]).count() as u64;
            self.offset += found as u64;
            len -= found as u64;
        }
        Ok(len == 0)
    }

    /// Returns the number of bytes read since the last call.
    pub fn take_input_bytes(&mut self) -> u64 {
        let input_bytes = self.input_bytes.load(Relaxed);
        input_bytes - std::mem::replace(&mut self.reported, input_bytes)
    }

    /// Whether all of the text was returned.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end && self.rest.is_empty()
    }

    /// Reads up to the next cut. Returns the number of bytes that `buffer` holds then.
    pub fn next(
        &mut self,
        cuts: Cuts<'_>,
        max_stretch: u64,
        job: &Job,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, Failure> {
        let max_len = cuts.max_chunk(max_stretch);
        let most = usize::try_from(max_len).unwrap_or(usize::MAX);
        let mut len = self.rest.len();
        reserve(buffer, len);
        buffer[..len].copy_from_slice(&self.rest);
        self.rest.clear();
        let mut end = None;
        // At the end of the text, the first place where nobody has looked for a cut.
        let mut unseen = most.saturating_add(1);
        if cuts.can_cut() {
            for (first, last) in cuts.windows(0) {
                if first > max_len {
                    return Err(Failure::TooLong { offset: self.offset, limit: max_stretch });
                }
                let [first, last] = [first, last].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
                len = self.read(len, last.saturating_add(cuts.context()), job, buffer)?;
                if self.is_at_end && len <= last {
                    unseen = first;
                    break;
                }
                let text = &buffer[..len];
                end = (first..=last.min(len - 1).min(most)).rev().find(|&at| cuts.is_safe(text, at));
                if end.is_some() {
                    break;
                }
            }
        } else {
            len = self.read(len, most.saturating_add(1), job, buffer)?;
        }
        if end.is_none() && len > most {
            end = (unseen..=most).rev().find(|&at| cuts.is_safe(&buffer[..len], at));
            if end.is_none() {
                return Err(Failure::TooLong { offset: self.offset, limit: max_stretch });
            }
        }
        let end = end.unwrap_or(len);
        self.rest.extend_from_slice(&buffer[end..len]);
        self.offset += end as u64;
        Ok(end)
    }

    /// Reads until the buffer, which holds `len` bytes, holds `wanted` bytes or the stream ends. Returns the
    /// number of bytes that it holds then.
    fn read(
        &mut self,
        mut len: usize,
        wanted: usize,
        job: &Job,
        buffer: &mut Vec<u8>,
    ) -> Result<usize, Failure> {
        while len < wanted && !self.is_at_end {
            job.check()?;
            let stop = wanted.min(len + STEP);
            reserve(buffer, stop);
            match self.reader.read(&mut buffer[len..stop]) {
                Ok(0) => self.is_at_end = true,
                Ok(n) => len += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    job.check()?;
                    if is_window_error(&source) {
                        return Err(Failure::Window { window: None, limit: self.max_window });
                    }
                    let offset = self.offset + len as u64;
                    return Err(Failure::Read { compression: self.compression, offset, source });
                }
            }
        }
        Ok(len)
    }
}

/// A source of bytes, which may keep its reader waiting.
pub(super) trait Input: Read + Send + 'static {
    /// Waits a moment for bytes or the end. Returns whether they are there.
    fn wait(&mut self) -> io::Result<bool>;
}

/// A file is always ready.
impl Input for File {
    fn wait(&mut self) -> io::Result<bool> {
        poll_input(self)
    }
}

impl Input for io::Stdin {
    fn wait(&mut self) -> io::Result<bool> {
        poll_input(self)
    }
}

/// Waits for the bytes of a file or a pipe, a twentieth of a second at most.
fn poll_input(input: &impl AsFd) -> io::Result<bool> {
    let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&patience)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A reader that counts its bytes, and stops waiting for them when the job is cancelled.
struct Counted<R> {
    input: R,
    cancelled: CancelFlag,
    num_bytes: Arc<AtomicU64>,
}

impl<R: Input> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait()?;
            match self.input.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    self.num_bytes.fetch_add(*read.as_ref().unwrap_or(&0) as u64, Relaxed);
                    return read;
                }
            }
        }
    }
}

impl<R: Input> Counted<R> {
    /// Waits until bytes can be read.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            if self.cancelled.is_set() {
                return Err(io::Error::other("cancelled"));
            }
            if self.input.wait()? {
                return Ok(());
            }
        }
    }
}

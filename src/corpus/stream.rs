/*!
What can only be read from its beginning to its end: compressed files, pipes, standard input.

Why is a stream not read by one thread that hands chunks to others? Then that thread would count nothing, and the others
would share one queue. Here whoever wants a chunk takes the stream, reads just that chunk, gives the stream back and counts
the chunk while another worker reads the next; with several streams, each worker soon has one of its own.

Compression is told by the first bytes, not by the name, so it works for pipes, and a renamed file is not counted as
gibberish.
*/

use super::content::HEAD_BYTES;
use super::cut::Cuts;
use super::gzip::Gunzip;
use super::reserve;
use crate::error::Error;
use crate::job::{CancelFlag, Job};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zstd::zstd_safe::{get_error_name, zstd_sys::ZSTD_ErrorCode};

/// Bytes between two looks at the cancel flag.
const STEP: usize = 1 << 20;
/// The most memory that the window of a zstd file may take, in bits; `zstd -d` has the same limit.
pub(super) const ZSTD_WINDOW_LOG: u32 = 27;
/// The longest header of a zstd frame.
const FIRST_BYTES: u64 = 18;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// As the first bytes say.
    pub fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1F, 0x8B, 0x08, ..] => Compression::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// Its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// A file, pipe or standard input on the way.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    compression: Compression,
    /// Bytes read from the file, and how many of them were reported.
    input_bytes: Arc<AtomicU64>,
    reported: u64,
    /// What was read behind the last cut.
    rest: Vec<u8>,
    /// Bytes and lines given out so far.
    pub offset: u64,
    pub lines: u64,
    is_at_end: bool,
}

/// What went wrong, before it is known where.
#[derive(Debug)]
pub(super) enum Failure {
    Other(Error),
    /// zstd data whose window is too large; its bytes, where they are known.
    Window(Option<u64>),
    Read {
        compression: Compression,
        offset: u64,
        source: io::Error,
    },
}

impl Failure {
    /// Before a byte was decompressed.
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
    /// A stream of what is in a file or comes from a pipe.
    pub fn new(input: impl Input, job: &Job) -> Result<Self, Failure> {
        let failed = Failure::plain;
        let input_bytes = Arc::new(AtomicU64::new(0));
        let mut input = Counted { input, cancelled: job.cancel_flag(), num_bytes: Arc::clone(&input_bytes) };
        let mut first_bytes = Vec::new();
        (&mut input).take(FIRST_BYTES).read_to_end(&mut first_bytes).map_err(failed)?;
        let compression = Compression::of(&first_bytes);
        if let Some(window) = zstd_window(&first_bytes).filter(|&window| window > 1 << ZSTD_WINDOW_LOG) {
            return Err(Failure::Window(Some(window)));
        }
        let input = io::Cursor::new(first_bytes).chain(input);
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(Gunzip::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(input).map_err(failed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(failed)?;
                Box::new(decoder)
            }
        };
        Ok(Stream {
            reader,
            compression,
            input_bytes,
            reported: 0,
            rest: Vec::new(),
            offset: 0,
            lines: 0,
            is_at_end: false,
        })
    }

    /// How its data is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The first bytes of its text, and whether they are all of it. They are given out later like any others.
    pub fn peek(&mut self, job: &Job) -> Result<(&[u8], bool), Failure> {
        let mut head = Vec::new();
        let len = self.read(0, HEAD_BYTES, job, &mut head)?;
        head.truncate(len);
        self.rest = head;
        Ok((&self.rest, self.is_at_end))
    }

    /// Passes over so many bytes of text, if there are so many.
    pub fn skip(&mut self, mut len: u64, job: &Job) -> Result<bool, Failure> {
        let mut buffer = Vec::new();
        while len > 0 && !self.is_at_end {
            let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(STEP);
            let found = self.read(0, wanted, job, &mut buffer)?;
            self.lines += memchr::memchr_iter(b'\n', &buffer[..found]).count() as u64;
            self.offset += found as u64;
            len -= found as u64;
        }
        Ok(len == 0)
    }

    /// Bytes read since the last call.
    pub fn take_input_bytes(&mut self) -> u64 {
        let input_bytes = self.input_bytes.load(Relaxed);
        input_bytes - std::mem::replace(&mut self.reported, input_bytes)
    }

    /// Whether all of it was given out.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end && self.rest.is_empty()
    }

    /// Reads up to the next cut; the length of what is in `buffer` then.
    pub fn next(&mut self, cuts: Cuts<'_>, job: &Job, buffer: &mut Vec<u8>) -> Result<usize, Failure> {
        let mut len = self.rest.len();
        reserve(buffer, len);
        buffer[..len].copy_from_slice(&self.rest);
        self.rest.clear();
        let mut end = None;
        if cuts.can_cut() {
            for (first, last) in cuts.windows(0) {
                let [first, last] = [first, last].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
                len = self.read(len, last.saturating_add(cuts.context()), job, buffer)?;
                if self.is_at_end && len <= last {
                    break;
                }
                let text = &buffer[..len];
                end = (first..=last.min(len - 1)).rev().find(|&at| cuts.is_safe(text, at));
                if end.is_some() {
                    break;
                }
            }
        } else {
            len = self.read(len, usize::MAX, job, buffer)?;
        }
        let end = end.unwrap_or(len);
        self.rest.extend_from_slice(&buffer[end..len]);
        self.offset += end as u64;
        Ok(end)
    }

    /// Reads until `wanted` bytes are in the buffer, which has `len`, or the stream ends; how many there are then.
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
                        return Err(Failure::Window(None));
                    }
                    let offset = self.offset + len as u64;
                    return Err(Failure::Read { compression: self.compression, offset, source });
                }
            }
        }
        Ok(len)
    }
}

/// The window in bytes that the header of a zstd frame asks for. (RFC 8878, 3.1.1.1)
fn zstd_window(header: &[u8]) -> Option<u64> {
    let [0x28, 0xB5, 0x2F, 0xFD, descriptor, window, ..] = *header else { return None };
    let is_single_segment = descriptor & 0x20 != 0;
    if is_single_segment {
        // The window is the content, whose length stands behind the number of a dictionary.
        let start = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = header.get(start..)?;
        return match descriptor >> 6 {
            2 => length.first_chunk().map(|bytes| u32::from_le_bytes(*bytes).into()),
            3 => length.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
            _ => None, // Less than 66 KiB.
        };
    }
    let base = 1_u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}

/// Whether the decoder refuses a later frame because of its window.
fn is_window_error(error: &io::Error) -> bool {
    let code = ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize;
    error.to_string() == get_error_name(0_usize.wrapping_sub(code))
}

/// Where bytes come from. Of a pipe they may be long in coming.
pub(super) trait Input: Read + AsFd + Send + 'static {}
impl Input for File {}
impl Input for io::Stdin {}

/// Counts the bytes, and stops waiting for them when the job is cancelled.
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
    /// Until there is something to read: a file is always ready, a pipe is asked twenty times a second.
    fn wait(&self) -> io::Result<()> {
        let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        loop {
            if self.cancelled.is_set() {
                return Err(io::Error::other("cancelled"));
            }
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&patience)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

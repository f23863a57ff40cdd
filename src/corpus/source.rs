/*!
One source of a corpus, which is a file, a pipe or standard input: its kind, its checks, and how it is opened.
*/

use super::compression::{Compression, ZSTD_WINDOW_LOG};
use super::content::{self, has_many_nuls};
use super::name::Name;
use super::options::Format;
use super::plain::{Plain, SharedFile};
use super::signatures::Refusal;
use super::stream::{Failure, Stream};
use crate::error::Error;
use crate::job::Job;
use crate::output::kind_of;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Information about a file before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Its path, or "standard input".
    pub name: String,
    /// The length in bytes and the time of the last change in nanoseconds; `None` for a pipe.
    pub file: Option<(u64, u64)>,
    /// The field that holds the text, if the file is JSON lines.
    pub json_field: Option<String>,
}

/// A file or pipe of a corpus. It is opened only when a worker reads it, because the system limits the number
/// of open files per process.
#[derive(Clone)]
pub(super) struct Source {
    path: PathBuf,
    pub kind: Kind,
    format: Format,
    pub is_jsonl: bool,
    /// Whether its first bytes were read and have too many NUL bytes to be plausible text.
    has_many_nuls: bool,
}

/// The kind of a source.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    File { len: u64, compression: Compression },
    Pipe,
    StandardInput,
}

/// A source that is open.
pub(super) enum Reader {
    Plain(Plain),
    Stream(Stream),
}

impl Source {
    /// Checks a file, so that a missing or empty file is an error before any work is done.
    pub fn new(path: &Path, format: Format) -> Result<Self, Error> {
        let is_jsonl = Name::of(path).is_jsonl(format);
        let mut source = Source {
            path: path.to_owned(),
            kind: Kind::StandardInput,
            format,
            is_jsonl,
            has_many_nuls: false,
        };
        if path == Path::new("-") {
            return Ok(source);
        }
        let metadata = std::fs::metadata(path).map_err(|error| Error::corpus_file(path, error))?;
        source.kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File { len: metadata.len(), compression: Compression::None },
            kind if kind.is_fifo() => Kind::Pipe,
            kind => return Err(Error::NotAFile { path: path.to_owned(), kind: kind_of(kind) }),
        };
        if let Kind::File { len, .. } = source.kind {
            if len == 0 {
                let (what, hint) = (source.name(), "; was it written to its end?");
                return Err(Error::EmptyCorpus { what, hint });
            }
            let compression;
            (compression, source.has_many_nuls) = source.look()?;
            source.kind = Kind::File { len, compression };
        }
        Ok(source)
    }

    /// Reads and checks the first bytes of a file.
    fn look(&self) -> Result<(Compression, bool), Error> {
        let job = Job::unwatched();
        let failed = |failure| self.failed(failure);
        let file = File::open(&self.path).map_err(|error| Error::corpus_file(&self.path, error))?;
        let mut stream = Stream::new(file, job).map_err(failed)?;
        let compression = stream.compression();
        let named = Name::of(&self.path).compression.unwrap_or(compression);
        if named != compression {
            let reason =
                format!("is named as {0} but is not {0} data; rename it, or create it again", named.name());
            return Err(Error::format(&self.path, reason));
        }
        let has_many_nuls = self.check(stream.peek(job).map_err(failed)?)?;
        Ok((compression, has_many_nuls))
    }

    /// Refuses first bytes that contradict the format that the source is read as. Returns whether they have
    /// too many NUL bytes to be plausible text.
    fn check(&self, (head, is_all): (&[u8], bool)) -> Result<bool, Error> {
        let refused = content::check(head, is_all, Name::of(&self.path), self.format);
        refused.map_err(|Refusal { what, remedy }| Error::NotText { path: self.name(), what, remedy })?;
        Ok(self.format != Format::Text && has_many_nuls(head))
    }

    /// The name of the source in errors.
    pub fn name(&self) -> String {
        match self.kind {
            Kind::StandardInput => "standard input".to_owned(),
            _ => self.path.display().to_string(),
        }
    }

    /// Its length in bytes, if it is known.
    pub fn len(&self) -> Option<u64> {
        match self.kind {
            Kind::File { len, .. } => Some(len),
            Kind::Pipe | Kind::StandardInput => None,
        }
    }

    /// Whether it can be read from any place.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::File { compression: Compression::None, .. })
    }

    /// Information about the source, without reading it.
    pub fn info(&self, json_field: &str) -> Result<SourceInfo, Error> {
        let file = match self.kind {
            Kind::File { len, .. } => {
                let file = self.len_and_time().map_err(|error| Error::corpus_file(&self.path, error))?;
                if file.0 != len {
                    return Err(Error::SourceChanged { path: self.path.clone() });
                }
                Some(file)
            }
            Kind::Pipe | Kind::StandardInput => None,
        };
        Ok(SourceInfo { name: self.name(), file, json_field: self.is_jsonl.then(|| json_field.to_owned()) })
    }

    /// The length in bytes, and the time of the last change in nanoseconds.
    fn len_and_time(&self) -> io::Result<(u64, u64)> {
        let metadata = std::fs::metadata(&self.path)?;
        let time = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok((metadata.len(), u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Opens a plain file, of which a range is read.
    pub fn shared(&self, len: u64, range: Range<u64>) -> Result<SharedFile, Error> {
        let file = File::open(&self.path).map_err(|error| Error::corpus_file(&self.path, error))?;
        Ok(SharedFile::new(file, self.path.clone(), len, range))
    }

    /// Opens the source at an offset in its text. A plain file may be read up to another offset.
    pub fn open(&self, start: u64, end: Option<u64>, job: &Job) -> Result<Reader, Error> {
        let file = || {
            let mut options = File::options();
            if matches!(self.kind, Kind::Pipe) {
                // Opening a pipe must not wait for a writer. The stream waits instead, and that wait can be
                // cancelled.
                options.custom_flags(NONBLOCK);
            }
            options.read(true).open(&self.path).map_err(Failure::plain)
        };
        let opened = match self.kind {
            Kind::File { len, compression: Compression::None } => file().map(|file| {
                let range = start.min(len)..end.unwrap_or(len);
                Reader::Plain(Plain::new(SharedFile::new(file, self.path.clone(), len, range)))
            }),
            Kind::File { .. } | Kind::Pipe => {
                file().and_then(|file| Stream::new(file, job)).map(Reader::Stream)
            }
            Kind::StandardInput => Stream::new(io::stdin(), job).map(Reader::Stream),
        };
        let failed = |failure| job.check().err().unwrap_or_else(|| self.failed(failure));
        let mut opened = opened.map_err(failed)?;
        let (mut is_there, mut has_many_nuls) = (true, self.has_many_nuls);
        match (&mut opened, &self.kind) {
            (Reader::Plain(_), &Kind::File { len, .. }) => is_there = start <= len,
            (Reader::Plain(_), _) => {}
            (Reader::Stream(stream), Kind::File { .. }) => {
                is_there = stream.skip(start, job).map_err(failed)?
            }
            (Reader::Stream(stream), _) => has_many_nuls = self.check(stream.peek(job).map_err(failed)?)?,
        }
        if has_many_nuls {
            job.note(format!("{} begins with many NUL bytes: is it text?", self.name()));
        }
        if is_there { Ok(opened) } else { Err(Error::SourceChanged { path: self.path.clone() }) }
    }

    /// The error of a line, or a stretch without a place to cut, that begins at an offset or later.
    pub fn too_long(&self, offset: u64, limit: u64) -> Error {
        let what = if self.is_jsonl { "line" } else { "stretch without a place to cut" };
        Error::TooLong { path: self.name(), what, offset, limit }
    }

    /// Adds the name of the source to a failure.
    pub fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Other(error) => error,
            Failure::TooLong { offset, limit } => self.too_long(offset, limit),
            Failure::Window(window) => {
                Error::Window { path: self.name(), window, limit: 1 << ZSTD_WINDOW_LOG }
            }
            Failure::Read { compression: Compression::None, source, .. } => {
                Error::corpus_file(self.name(), source)
            }
            Failure::Read { compression, offset, source } => {
                Error::Decompress { path: self.name(), format: compression.name(), offset, source }
            }
        }
    }
}

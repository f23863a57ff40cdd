/*!
One source of a corpus, which is a file, a pipe, standard input, an address or a table: its kind, its checks, and how it
is opened.
*/

use super::chunk::Limits;
use super::compression::Compression;
use super::content::{self, has_many_nuls};
use super::delivered::{self, Bytes, Failed, Table};
use super::name::{Content, Name};
use super::opener::{Column, Delivery, Look, Opener, TableFormat};
use super::options::{Format, InputOptions};
use super::plain::{Plain, SharedFile};
use super::signatures::Refusal;
use super::stream::{Failure, Stream};
use crate::error::{Error, is_address};
use crate::job::Job;
use crate::output::kind_of;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::UNIX_EPOCH;

const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Information about a file before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Its path, or "standard input".
    pub name: String,
    /// The length in bytes and the time of the last change in nanoseconds, or another number that tells versions of a file
    /// apart; `None` for what can be read only once.
    pub file: Option<(u64, u64)>,
    /// The field or the column that holds the text, if the file is JSON lines or a table.
    pub json_field: Option<String>,
}

/// A file, pipe or table of a corpus. It is opened only when a worker reads it, because the system limits the number
/// of open files per process.
#[derive(Clone)]
pub(super) struct Source {
    path: PathBuf,
    pub kind: Kind,
    format: Format,
    content: Content,
    /// Whether its first bytes were read and have too many NUL bytes to be plausible text.
    has_many_nuls: bool,
}

/// The kind of a source.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    File {
        len: u64,
        compression: Compression,
    },
    Pipe,
    StandardInput,
    /// A file at an address, which the opener reads.
    Remote(Look),
    /// A table that the opener holds, and that can be read only once.
    Given,
}

/// The numbers of sources that hold memory beside the chunks that are read from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// Those that are, or may be, compressed by zstd.
    pub packed: usize,
    /// Tables.
    pub tables: usize,
    /// Files at an address.
    pub addresses: usize,
}

impl Buffers {
    /// These and one more source.
    pub(super) fn and(self, source: &Source) -> Self {
        let is_packed = match source.kind {
            Kind::File { compression, .. } => compression == Compression::Zstd,
            Kind::Pipe | Kind::StandardInput | Kind::Remote(_) => source.table().is_none(),
            Kind::Given => false,
        };
        Buffers {
            packed: self.packed + usize::from(is_packed),
            tables: self.tables + usize::from(source.table().is_some()),
            addresses: self.addresses + usize::from(matches!(source.kind, Kind::Remote(_))),
        }
    }
}

/// A source that is open.
pub(super) enum Reader {
    Plain(Plain),
    Stream(Stream),
    Table(Table),
}

impl Source {
    /// Checks a file, so that a missing or empty file is an error before any work is done.
    pub fn new(path: &Path, options: &InputOptions) -> Result<Self, Error> {
        let format = options.format;
        let content = Name::of(path).content(format);
        let kind = Kind::StandardInput;
        let mut source = Source { path: path.to_owned(), kind, format, content, has_many_nuls: false };
        let table = source.table();
        if path == Path::new("-") {
            return if table.is_some() { Err(is_a_stream("standard input")) } else { Ok(source) };
        }
        let look = |opener: &Arc<dyn Opener>| {
            let column = table.map(|format| options.column(format));
            opener.look(path, column.as_ref()).map_err(Error::Opener)
        };
        if let Some(opener) = options.opener.as_ref().filter(|_| is_address(path)) {
            source.kind = Kind::Remote(look(opener)?);
            return Ok(source);
        }
        let metadata = std::fs::metadata(path).map_err(|error| Error::corpus_file(path, error))?;
        source.kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File { len: metadata.len(), compression: Compression::None },
            kind if kind.is_fifo() && table.is_some() => return Err(is_a_stream(&source.name())),
            kind if kind.is_fifo() => Kind::Pipe,
            kind => return Err(Error::NotAFile { path: path.to_owned(), kind: kind_of(kind) }),
        };
        if let Kind::File { len, .. } = source.kind {
            if len == 0 {
                let (what, hint) = (source.name(), "; was it written to its end?");
                return Err(Error::EmptyCorpus { what, hint });
            }
            if table.is_some() {
                let opener = options.opener.as_ref().ok_or_else(|| source.without_opener())?;
                return look(opener).map(|_| source);
            }
            let compression;
            (compression, source.has_many_nuls) = source.look()?;
            source.kind = Kind::File { len, compression };
        }
        Ok(source)
    }

    /// A table that the opener holds. `name` is its name in errors.
    pub fn given(name: &str) -> Self {
        let format = Format::Table(TableFormat::Arrow);
        let content = Content::Table(TableFormat::Arrow);
        Source { path: name.into(), kind: Kind::Given, format, content, has_many_nuls: false }
    }

    /// Whether each of its texts is a document of its own.
    pub fn has_documents(&self) -> bool {
        self.content != Content::Text
    }

    /// Whether its texts are in lines of JSON.
    pub fn is_lines(&self) -> bool {
        self.content == Content::Lines
    }

    /// The format of the table that it is.
    pub fn table(&self) -> Option<TableFormat> {
        if let Content::Table(format) = self.content { Some(format) } else { None }
    }

    fn without_opener(&self) -> Error {
        let (what, remedy) = ("a table by its name", "read it through the Python package");
        Error::NotText { path: self.name(), what, remedy }
    }

    /// Reads and checks the first bytes of a file.
    fn look(&self) -> Result<(Compression, bool), Error> {
        let job = Job::unwatched();
        let failed = |failure| self.failed(failure);
        let file = File::open(&self.path).map_err(|error| Error::corpus_file(&self.path, error))?;
        let mut stream = Stream::new(file, Limits::default(), job).map_err(failed)?;
        let compression = stream.compression();
        self.check_compression(compression)?;
        let has_many_nuls = self.check(stream.peek(job).map_err(failed)?)?;
        Ok((compression, has_many_nuls))
    }

    /// Refuses a file that is not compressed as its name promises.
    fn check_compression(&self, compression: Compression) -> Result<(), Error> {
        let named = Name::of(&self.path).compression.unwrap_or(compression);
        if named == compression {
            return Ok(());
        }
        let reason =
            format!("is named as {0} but is not {0} data; rename it, or create it again", named.name());
        Err(Error::format(&self.path, reason))
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

    /// Its path, if it is a file in this system.
    pub fn path(&self) -> Option<&Path> {
        matches!(self.kind, Kind::File { .. }).then_some(&*self.path)
    }

    /// Its length in bytes, if it is known.
    pub fn len(&self) -> Option<u64> {
        match self.kind {
            Kind::File { len, .. } => Some(len),
            Kind::Remote(look) => look.len,
            Kind::Pipe | Kind::StandardInput | Kind::Given => None,
        }
    }

    /// Whether it can be read from any place.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::File { compression: Compression::None, .. }) && self.table().is_none()
    }

    /// Information about the source, without reading it.
    pub fn info(&self, options: &InputOptions) -> Result<SourceInfo, Error> {
        let file = match self.kind {
            Kind::File { len, .. } => {
                let file = self.len_and_time().map_err(|error| Error::corpus_file(&self.path, error))?;
                if file.0 != len {
                    return Err(Error::SourceChanged { path: self.path.clone() });
                }
                Some(file)
            }
            Kind::Remote(Look { len, version }) => len.map(|len| (len, version)),
            Kind::Pipe | Kind::StandardInput | Kind::Given => None,
        };
        let json_field = self.has_documents().then(|| options.json_field.clone());
        Ok(SourceInfo { name: self.name(), file, json_field })
    }

    /// The same, after another look at a file at an address.
    pub fn info_now(&self, options: &InputOptions, job: &Job) -> Result<SourceInfo, Error> {
        let Kind::Remote(_) = self.kind else { return self.info(options) };
        let opener = options.opener.as_ref().ok_or_else(|| self.without_opener())?;
        let receiver = opener.look_again(&self.path).map_err(Error::Opener)?;
        let kind = Kind::Remote(delivered::look(&receiver, job)?);
        Source { kind, ..self.clone() }.info(options)
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

    /// Opens the source at an offset in its text, or at a row of a table. A plain file may be read up to another offset.
    pub fn open(
        &self,
        start: u64,
        end: Option<u64>,
        options: &InputOptions,
        limits: Limits,
        job: &Job,
    ) -> Result<Reader, Error> {
        if let Some(format) = self.table() {
            let receiver = self.deliveries(options, Some(&options.column(format)), start)?;
            return Ok(Reader::Table(Table::new(receiver, start)));
        }
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
                file().and_then(|file| Stream::new(file, limits, job)).map(Reader::Stream)
            }
            Kind::StandardInput => Stream::new(io::stdin(), limits, job).map(Reader::Stream),
            Kind::Remote(_) | Kind::Given => {
                let receiver = self.deliveries(options, None, 0)?;
                Stream::new(Bytes::new(receiver), limits, job).map(Reader::Stream)
            }
        };
        let failed = |failure| job.check().err().unwrap_or_else(|| self.failed(failure));
        let mut opened = opened.map_err(failed)?;
        let (mut is_there, mut has_many_nuls) = (true, self.has_many_nuls);
        if let Reader::Stream(stream) = &mut opened {
            if !matches!(self.kind, Kind::File { .. }) {
                has_many_nuls = self.check(stream.peek(job).map_err(failed)?)?;
            }
            if matches!(self.kind, Kind::Remote(_)) {
                self.check_compression(stream.compression())?;
            }
            is_there = stream.skip(start, job).map_err(failed)?;
        } else if let Some(len) = self.len() {
            is_there = start <= len;
        }
        if has_many_nuls {
            job.note(format!("{} begins with many NUL bytes: is it text?", self.name()));
        }
        if is_there { Ok(opened) } else { Err(Error::SourceChanged { path: self.path.clone() }) }
    }

    /// The error of a line, or a stretch without a place to cut, that begins at an offset or later.
    pub fn too_long(&self, offset: u64, limit: u64) -> Error {
        let what = if self.is_lines() { "line" } else { "stretch without a place to cut" };
        Error::TooLong { path: self.name(), what, offset, limit }
    }

    /// Starts what reads an address or a table.
    fn deliveries(
        &self,
        options: &InputOptions,
        column: Option<&Column>,
        first_row: u64,
    ) -> Result<Receiver<Delivery>, Error> {
        let opener = options.opener.as_ref().ok_or_else(|| self.without_opener())?;
        opener.open(&self.path, column, first_row).map_err(Error::Opener)
    }

    /// Adds the name of the source to a failure.
    pub fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Other(error) => error,
            Failure::TooLong { offset, limit } => self.too_long(offset, limit),
            Failure::Window { window, limit } => Error::Window { path: self.name(), window, limit },
            Failure::Read { compression, offset, source } => match source.downcast::<Failed>() {
                Ok(Failed(cause)) => Error::Opener(cause),
                Err(source) if compression == Compression::None => Error::corpus_file(self.name(), source),
                Err(source) => {
                    Error::Decompress { path: self.name(), format: compression.name(), offset, source }
                }
            },
        }
    }
}

/// The error for a table that cannot be read, because its end has to be read first.
fn is_a_stream(name: &str) -> Error {
    let rule = "text or jsonl for pipes and standard input, because a table is not read from its beginning";
    Error::Option { name: "input_format", value: format!("a table in {name}"), rule }
}

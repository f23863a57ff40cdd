/*!
Files, pipes and standard input, read by any number of workers.

A worker that wants a chunk takes a source that nobody is reading, or else opens the next one, so as many sources are open
as there are workers, however many files there are. Where the order matters, there is one source at a time, and chunks are
numbered. From a plain file it takes only the place of a chunk: it looks for the
cut, gives the file back, and reads the bytes while others do the same. From a stream it reads the chunk, then gives it
back ([`super::stream`]).
*/

use super::content::{self, Name, has_many_nuls};
use super::cut::Cuts;
use super::jsonl::for_each_line;
use super::stream::{Compression, Failure, Stream, ZSTD_WINDOW_LOG};
use super::{BadLines, Chunk, Cutter, Format, InputOptions, Place, SourceInfo, Text, reserve};
use crate::error::Error;
use crate::job::Job;
use crate::output::kind_of;
use crate::panics::lock;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes between two looks at the cancel flag.
const STEP: usize = 1 << 24;
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// Between two looks at the cancel flag, while others read.
const PATIENCE: Duration = Duration::from_millis(20);

/// A list of files.
pub struct Files {
    sources: Vec<Source>,
    options: InputOptions,
    /// Where to begin, if in order.
    start: Option<Place>,
    queue: Mutex<Queue>,
    returned: Condvar,
    skipped_lines: AtomicU64,
    pub(super) is_begun: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// The first source that was not opened yet.
    next: usize,
    idle: Vec<Open>,
    /// Sources that some worker is reading.
    num_taken: usize,
    num_chunks: u64,
}

/// A source that was seen to be there. It is opened when its turn comes: there may be more than a process may hold open.
struct Source {
    path: PathBuf,
    kind: Kind,
    format: Format,
    is_jsonl: bool,
    /// Whether its first bytes are hardly text, as far as they were seen.
    has_many_nuls: bool,
}

enum Kind {
    File { len: u64, compression: Compression },
    Pipe,
    StandardInput,
}

struct Open {
    source: usize,
    reader: Reader,
}

enum Reader {
    Plain(Plain),
    Stream(Stream),
}

struct Plain {
    file: Arc<File>,
    len: u64,
    offset: u64,
    window: Vec<u8>,
}

impl Files {
    pub(super) fn new<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        options: InputOptions,
    ) -> Result<Self, Error> {
        let sources: Vec<Source> = paths
            .into_iter()
            .map(|path| Source::new(path.as_ref(), options.format))
            .collect::<Result<_, _>>()?;
        if sources.is_empty() {
            return Err(Error::EmptyCorpus { what: "the list of files".to_owned(), hint: "" });
        }
        if sources.iter().filter(|source| matches!(source.kind, Kind::StandardInput)).count() > 1 {
            let rule = "named once: it can be read only once";
            return Err(Error::Option { name: "standard input", value: "-".to_owned(), rule });
        }
        let (queue, returned) = (Mutex::default(), Condvar::new());
        let (skipped_lines, is_begun) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Files { sources, options, start: None, queue, returned, skipped_lines, is_begun })
    }

    /// One after another, from a place on.
    pub(super) fn in_order(mut self, start: Place) -> Self {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).next = start.source;
        self.start = Some(start);
        self
    }

    /// What each source is, as far as it can be seen without reading it.
    pub(super) fn infos(&self) -> Result<Vec<SourceInfo>, Error> {
        self.sources.iter().map(|source| source.info(&self.options.json_field)).collect()
    }

    pub(super) fn num_bytes(&self) -> Option<u64> {
        let len = |source: &Source| match source.kind {
            Kind::File { len, .. } => Some(len),
            Kind::Pipe | Kind::StandardInput => None,
        };
        self.sources.iter().map(len).sum()
    }

    pub(super) fn skipped_lines(&self) -> u64 {
        self.skipped_lines.load(Relaxed)
    }

    pub(super) fn names(&self) -> String {
        match &self.sources[..] {
            [only] => only.name(),
            [first, ..] => format!("{} and the other files", first.name()),
            [] => "the list of files".to_owned(),
        }
    }

    pub(super) fn hint(&self) -> &'static str {
        match self.skipped_lines() {
            0 => "",
            _ => "; every line was skipped: is the field's name right?",
        }
    }

    pub(super) fn name(&self, text: &Text) -> String {
        let source = &self.sources[text.source];
        match source.is_jsonl {
            true => format!("{}, in the line at byte {}", source.name(), text.offset),
            false => source.name(),
        }
    }

    pub(super) fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        let Some(open) = self.take(job)? else { return Ok(false) };
        self.read(open, cutter, job, chunk)?;
        Ok(true)
    }

    /// A source that nobody else reads; `None` when all are read.
    fn take(&self, job: &Job) -> Result<Option<Open>, Error> {
        let mut queue = lock(&self.queue);
        loop {
            job.check()?;
            let may_take = self.start.is_none() || queue.num_taken == 0;
            if may_take && let Some(open) = queue.idle.pop() {
                queue.num_taken += 1;
                return Ok(Some(open));
            }
            if may_take && let Some(source) = self.sources.get(queue.next) {
                let number = queue.next;
                queue.next += 1;
                queue.num_taken += 1;
                drop(queue);
                let start = self.start.filter(|start| start.source == number).map_or(0, |start| start.offset);
                let reader = source.open(start, job)?;
                return Ok(Some(Open { source: number, reader }));
            }
            if queue.num_taken == 0 {
                return Ok(None);
            }
            let waited = self.returned.wait_timeout(queue, PATIENCE);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of the chunk that was taken from it.
    fn give_back(&self, open: Option<Open>) -> u64 {
        let mut queue = lock(&self.queue);
        queue.num_taken -= 1;
        queue.idle.extend(open);
        queue.num_chunks += 1;
        self.returned.notify_one();
        queue.num_chunks - 1
    }

    fn read(&self, mut open: Open, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<(), Error> {
        let number = open.source;
        let source = &self.sources[number];
        let cuts = match source.is_jsonl {
            true => Cuts::Lines(cutter.chunk_bytes),
            false => Cuts::Pretokens(cutter),
        };
        let buffer = if source.is_jsonl { &mut chunk.lines } else { &mut chunk.bytes };
        let (len, offset, first_line);
        match &mut open.reader {
            Reader::Plain(plain) => {
                let range = plain.claim(cuts, job, source)?;
                let file = Arc::clone(&plain.file);
                chunk.is_last = plain.offset == plain.len;
                chunk.end = Place { source: number, offset: plain.offset };
                chunk.number = self.give_back((!chunk.is_last).then_some(open));
                len = to_usize(range.end - range.start)?;
                for start in (0..len).step_by(STEP) {
                    let end = len.min(start + STEP);
                    reserve(buffer, end);
                    source.read(&file, &mut buffer[start..end], range.start + start as u64, job)?;
                }
                chunk.input_bytes = range.end - range.start;
                (offset, first_line) = (range.start, FirstLine::In(file));
            }
            Reader::Stream(stream) => {
                (offset, first_line) = (stream.offset, FirstLine::Number(stream.lines));
                len = stream.next(cuts, job, buffer).map_err(|failure| source.failed(failure))?;
                if source.is_jsonl {
                    stream.lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
                }
                chunk.input_bytes = stream.take_input_bytes();
                chunk.is_last = stream.is_at_end();
                chunk.end = Place { source: number, offset: stream.offset };
                if chunk.is_last && stream.offset == 0 {
                    return Err(Error::EmptyCorpus {
                        what: source.name(),
                        hint: "; was it written to its end?",
                    });
                }
                chunk.number = self.give_back((!chunk.is_last).then_some(open));
            }
        }
        chunk.is_jsonl = source.is_jsonl;
        if !source.is_jsonl {
            if len > 0 {
                chunk.texts.push(Text { range: 0..len, source: number, offset });
            }
            return Ok(());
        }
        let lines = std::mem::take(&mut chunk.lines);
        let taken = self.take_texts(&lines[..len], number, offset, &first_line, chunk, job);
        chunk.lines = lines;
        taken
    }

    /// Takes the texts out of lines of JSON.
    fn take_texts(
        &self,
        lines: &[u8],
        number: usize,
        offset: u64,
        first_line: &FirstLine,
        chunk: &mut Chunk,
        job: &Job,
    ) -> Result<(), Error> {
        let source = &self.sources[number];
        for_each_line(lines, &self.options.json_field, |start, line, text| {
            match (text, self.options.bad_lines) {
                (Ok(text), _) => chunk.push(text, number, offset + start as u64),
                (Err(_), BadLines::Skip) => {
                    chunk.skipped_lines += 1;
                    self.skipped_lines.fetch_add(1, Relaxed);
                }
                (Err(reason), BadLines::Refuse) => {
                    let line = first_line.number(source, offset, job)? + line + 1;
                    return Err(Error::BadLine { path: source.name(), line, reason });
                }
            }
            job.check()
        })
    }
}

/// The number of a chunk's first line, from 0.
enum FirstLine {
    Number(u64),
    /// Of a plain file nobody counts lines until somebody asks.
    In(Arc<File>),
}

impl FirstLine {
    fn number(&self, source: &Source, offset: u64, job: &Job) -> Result<u64, Error> {
        let file = match self {
            FirstLine::Number(number) => return Ok(*number),
            FirstLine::In(file) => file,
        };
        let (mut buffer, mut at, mut lines) = (vec![0; 1 << 20], 0, 0);
        while at < offset {
            let len = to_usize((offset - at).min(1 << 20))?;
            source.read(file, &mut buffer[..len], at, job)?;
            lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
            at += len as u64;
        }
        Ok(lines)
    }
}

impl Source {
    fn new(path: &Path, format: Format) -> Result<Self, Error> {
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

    /// Looks at the first bytes of a file.
    fn look(&self) -> Result<(Compression, bool), Error> {
        let job = Job::unwatched();
        let failed = |failure| self.failed(failure);
        let file = File::open(&self.path).map_err(|error| Error::corpus_file(&self.path, error))?;
        let mut stream = Stream::new(file, job).map_err(failed)?;
        let compression = stream.compression();
        let named = Name::of(&self.path).compression.unwrap_or(compression);
        if named != compression {
            let reason =
                format!("is named as {0} but is not {0} data; rename it or make it anew", named.name());
            return Err(Error::format(&self.path, reason));
        }
        let has_many_nuls = self.check(stream.peek(job).map_err(failed)?)?;
        Ok((compression, has_many_nuls))
    }

    /// Refuses first bytes that are not of what it is read as; whether they are hardly text.
    fn check(&self, (head, is_all): (&[u8], bool)) -> Result<bool, Error> {
        let refused = content::check(head, is_all, Name::of(&self.path), self.format);
        refused.map_err(|content::Refusal { what, remedy }| Error::NotText {
            path: self.name(),
            what,
            remedy,
        })?;
        Ok(self.format != Format::Text && has_many_nuls(head))
    }

    fn name(&self) -> String {
        match self.kind {
            Kind::StandardInput => "standard input".to_owned(),
            _ => self.path.display().to_string(),
        }
    }

    fn info(&self, json_field: &str) -> Result<SourceInfo, Error> {
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

    fn len_and_time(&self) -> io::Result<(u64, u64)> {
        let metadata = std::fs::metadata(&self.path)?;
        let time = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        Ok((metadata.len(), u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Opens it at a place in its text.
    fn open(&self, start: u64, job: &Job) -> Result<Reader, Error> {
        let file = || {
            let mut options = File::options();
            if matches!(self.kind, Kind::Pipe) {
                // Not to wait here for somebody at its other end: the stream does so, and can be stopped.
                options.custom_flags(NONBLOCK);
            }
            options.read(true).open(&self.path).map_err(Failure::plain)
        };
        let opened = match self.kind {
            Kind::File { len, compression: Compression::None } => file().map(|file| {
                Reader::Plain(Plain { file: Arc::new(file), len, offset: start.min(len), window: Vec::new() })
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
            (Reader::Plain(plain), _) => is_there = start <= plain.len,
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

    /// Fills `buffer` from a place in a plain file.
    fn read(&self, file: &File, buffer: &mut [u8], offset: u64, job: &Job) -> Result<(), Error> {
        let mut found = 0;
        while found < buffer.len() {
            job.check()?;
            match file.read_at(&mut buffer[found..], offset + found as u64) {
                Ok(0) => {
                    let (path, expected) = (self.path.clone(), buffer.len());
                    return Err(Error::FileChanged { path, offset, expected, found });
                }
                Ok(n) => found += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::corpus_file(&self.path, error)),
            }
        }
        Ok(())
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Other(error) => error,
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

impl Plain {
    /// The place of the next chunk.
    fn claim(&mut self, cuts: Cuts<'_>, job: &Job, source: &Source) -> Result<Range<u64>, Error> {
        let start = self.offset;
        self.offset = self.chunk_end(start, cuts, job, source)?;
        Ok(start..self.offset)
    }

    fn chunk_end(&mut self, start: u64, cuts: Cuts<'_>, job: &Job, source: &Source) -> Result<u64, Error> {
        if !cuts.can_cut() {
            return Ok(self.len);
        }
        let context = cuts.context() as u64;
        for (first, last) in cuts.windows(start).take_while(|&(_, last)| last < self.len) {
            let from = first.saturating_sub(context).max(start);
            let to = (last + context).min(self.len);
            self.window.resize(to_usize(to - from)?, 0);
            source.read(&self.file, &mut self.window, from, job)?;
            let is_safe = |cut: u64| to_usize(cut - from).is_ok_and(|at| cuts.is_safe(&self.window, at));
            if let Some(cut) = (first..=last).rev().find(|&cut| is_safe(cut)) {
                return Ok(cut);
            }
        }
        Ok(self.len)
    }
}

fn to_usize(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes)
        .map_err(|_| Error::Limit { what: "a stretch without a place to cut", limit: usize::MAX as u64 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Corpus, stream::Input};
    use super::*;
    use crate::counts::count_pretokens;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, is_on_purpose};
    use std::os::fd::{AsFd, BorrowedFd};

    /// A file that panics after its first bytes.
    struct Panicking(File, usize);

    impl io::Read for Panicking {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.checked_sub(1).expect(Job::ON_PURPOSE);
            self.0.read(buffer)
        }
    }

    impl AsFd for Panicking {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Input for Panicking {}

    #[test]
    fn a_panic_while_a_file_is_read_is_an_error_and_nobody_waits_for_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, b"some words and some words more\n".repeat(20)).unwrap();
        let (error, again, other) = in_a_minute(move || {
            let job = Job::default();
            let special_tokens = SpecialTokens::default();
            let cutter =
                Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 100 };
            let mut files = Files::new([&path], InputOptions::default()).unwrap();
            let stream = Stream::new(Panicking(File::open(&path).unwrap(), 1), &job).unwrap();
            let queue = files.queue.get_mut().unwrap();
            queue.next = 1;
            queue.idle.push(Open { source: 0, reader: Reader::Stream(stream) });
            let files = Corpus::Files(files);
            let error = count_pretokens(&files, cutter, 4, &job).err().unwrap();
            let again = count_pretokens(&files, cutter, 4, &job).err().unwrap();
            let other = count_pretokens(&Corpus::open([&path]).unwrap(), cutter, 4, &job);
            (error, again, other)
        });
        assert!(is_on_purpose(&error), "{error}");
        assert!(again.to_string().contains("opened anew"), "{again}");
        assert_eq!(other.unwrap().len(), 6);
    }
}

/*!
Files, pipes, standard input, tables and addresses, read by any number of workers.

A worker that wants a chunk claims one of an open plain file (`plain.rs`): it counts, and other workers do the
same while it reads. If no such file is open, it takes a source from the queue (`queue.rs`). From a stream it
reads a chunk, then gives the stream back (`stream.rs`); from a table it takes rows (`delivered.rs`). Where the order
matters, only one source is open at a time, and chunks are numbered.
*/

use super::chunk::{Chunk, Limits, Place, Text, reserve};
use super::cut::{Cuts, Cutter};
use super::delivered::Table;
use super::jsonl::for_each_line;
use super::line_number::FirstLine;
use super::options::{BadLines, InputOptions};
use super::plain::{Claim, to_usize};
use super::queue::{Queue, Turn};
use super::shard::Shard;
use super::source::{Buffers, Kind, Reader, Source, SourceInfo};
use super::stream::Stream;
use crate::error::Error;
use crate::job::Job;
use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The number of bytes between two checks of the cancel flag.
const STEP: usize = 1 << 24;

/// The most bytes of all files together. A server may state any size, and a sparse file has one; sums of smaller ones are
/// never too large for their type.
const MAX_BYTES: u64 = 1 << 62;

/// A list of files.
pub struct Files {
    sources: Vec<Source>,
    options: InputOptions,
    /// The part that is read; all if it is not given.
    part: Option<Range<Place>>,
    /// Whether only one source is open at a time.
    is_in_order: bool,
    queue: Queue<Open>,
    skipped_lines: AtomicU64,
    pub(super) is_begun: AtomicBool,
}

/// An open source and its index.
struct Open {
    source: usize,
    reader: Reader,
}

impl Files {
    pub(super) fn new<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        options: InputOptions,
    ) -> Result<Self, Error> {
        let sources: Vec<Source> =
            paths.into_iter().map(|path| Source::new(path.as_ref(), &options)).collect::<Result<_, _>>()?;
        if sources.is_empty() {
            return Err(Error::EmptyCorpus { what: "the list of files".to_owned(), hint: "" });
        }
        let known = sources.iter().filter_map(Source::len).try_fold(0_u64, u64::checked_add);
        if known.is_none_or(|sum| sum > MAX_BYTES) {
            return Err(Error::Limit { what: "the size of all files", limit: MAX_BYTES });
        }
        if sources.iter().filter(|source| matches!(source.kind, Kind::StandardInput)).count() > 1 {
            let rule = "named only once, because it can be read only once";
            return Err(Error::Option { name: "standard input", value: "-".to_owned(), rule });
        }
        Ok(Files::of(sources, options))
    }

    /// A table that the opener of the options holds. `name` is its name in errors.
    pub(super) fn given(name: &str, options: InputOptions) -> Self {
        Files::of(vec![Source::given(name)], options)
    }

    fn of(sources: Vec<Source>, options: InputOptions) -> Self {
        let queue = Queue::new(0, Vec::new());
        let (skipped_lines, is_begun) = (AtomicU64::new(0), AtomicBool::new(false));
        Files { sources, options, part: None, is_in_order: false, queue, skipped_lines, is_begun }
    }

    /// The same files, set to be read in order, and only a part of them. Neither has begun to be read.
    pub(crate) fn in_order(&self, part: Range<Place>) -> Self {
        Files { is_in_order: true, ..self.part_of(part) }
    }

    /// The same files, of which only a part is read. Neither has begun to be read.
    pub(super) fn part_of(&self, part: Range<Place>) -> Self {
        let queue = Queue::new(part.start.source, Vec::new());
        Files { part: Some(part), queue, ..Files::of(self.sources.clone(), self.options.clone()) }
    }

    /// The number of files.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The bytes of all files, which shards divide.
    ///
    /// # Errors
    /// [`Error::Option`] if a length is not known.
    pub(crate) fn total(&self) -> Result<u64, Error> {
        self.sources.iter().map(Source::len).sum::<Option<u64>>().ok_or_else(|| {
            let name = self.sources.iter().find(|source| source.len().is_none()).map(Source::name);
            let value = format!("a part of {}", name.unwrap_or_default());
            Error::Option { name: "shard", value, rule: "left out with what has no known length" }
        })
    }

    /// The part that a shard has.
    pub(crate) fn part(&self, shard: Shard, cutter: Cutter<'_>, job: &Job) -> Result<Range<Place>, Error> {
        let Range { start, end } = shard.stretch(self.total()?);
        Ok(self.border(start, cutter, job)?..self.border(end, cutter, job)?)
    }

    /// The border for a position in all files together.
    ///
    /// A border lies behind the first character of a text that is not whitespace, or at its beginning. So a separator
    /// before the text never depends on the next shard.
    fn border(&self, position: u64, cutter: Cutter<'_>, job: &Job) -> Result<Place, Error> {
        let mut before = 0;
        for (number, source) in self.sources.iter().enumerate() {
            let len = source.len().unwrap_or(0);
            if position == before {
                return Ok(Place { source: number, offset: 0 });
            }
            if position < before + len {
                let cuts = self.cuts(number, cutter);
                let offset = match source.is_plain() && cuts.can_cut() {
                    true => source.shared(len, 0..len)?.border(position - before, cuts, job)?,
                    false => len,
                };
                let next = Place { source: number + 1, offset: 0 };
                return Ok(if offset < len { Place { source: number, offset } } else { next });
            }
            before += len;
        }
        Ok(Place { source: self.sources.len(), offset: 0 })
    }

    /// A part that ends at a place in the file before which it lies, and begins `window` bytes earlier or more; at least
    /// all of that file if it cannot be cut. The second value says whether the part begins where the file does.
    pub(crate) fn before(
        &self,
        end: Place,
        window: u64,
        cutter: Cutter<'_>,
        job: &Job,
    ) -> Result<(Range<Place>, bool), Error> {
        let number = if end.offset > 0 { end.source } else { end.source.saturating_sub(1) };
        let (source, cuts) = (&self.sources[number], self.cuts(number, cutter));
        let len = source.len().unwrap_or(0);
        let last = if end.offset > 0 { end.offset } else { len };
        let nominal = last.saturating_sub(window);
        let start = match nominal > 0 && source.is_plain() && cuts.can_cut() {
            true => source.shared(len, 0..len)?.border(nominal, cuts, job)?.min(last),
            false => 0,
        };
        Ok((Place { source: number, offset: start }..end, start == 0))
    }

    /// Whether only a part of the files is read.
    pub(super) fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// Information about each source, without reading it.
    pub(super) fn infos(&self) -> Result<Vec<SourceInfo>, Error> {
        self.sources.iter().map(|source| source.info(&self.options)).collect()
    }

    /// The same, after another look at each file at an address that is read.
    pub(super) fn infos_now(&self, job: &Job) -> Result<Vec<SourceInfo>, Error> {
        let is_read = |number: usize| {
            let is_in = |part: &Range<Place>| {
                let first = Place { source: number, offset: 0 };
                part.start.source <= number && first < part.end
            };
            self.part.as_ref().is_none_or(is_in)
        };
        let info = |(number, source): (usize, &Source)| match is_read(number) {
            true => source.info_now(&self.options, job),
            false => source.info(&self.options),
        };
        self.sources.iter().enumerate().map(info).collect()
    }

    /// The paths of the files in this system.
    pub(super) fn paths(&self) -> Vec<&Path> {
        self.sources.iter().filter_map(Source::path).collect()
    }

    /// What reading the files holds beside their chunks.
    pub(super) fn buffers(&self) -> Buffers {
        self.sources.iter().fold(Buffers::default(), |all, source| all.and(source))
    }

    /// The number of bytes to read. In a compressed file, of which a part is read, it is a guess: a place counts its text.
    pub(super) fn num_bytes(&self) -> Option<u64> {
        let Some(part) = &self.part else { return self.sources.iter().map(Source::len).sum() };
        let len = |(number, source): (usize, &Source)| {
            let len = source.len()?;
            let bound = |place: Place| match number.cmp(&place.source) {
                Ordering::Less => len,
                Ordering::Equal => place.offset.min(len),
                Ordering::Greater => 0,
            };
            Some(bound(part.end).saturating_sub(bound(part.start)))
        };
        self.sources.iter().enumerate().map(len).sum()
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
            _ if self.sources.iter().any(|source| source.table().is_some()) => {
                "; every row or line was skipped: is the column's name right?"
            }
            _ => "; every line was skipped: is the field's name right?",
        }
    }

    pub(super) fn name(&self, text: &Text) -> String {
        let source = &self.sources[text.source];
        match source.table() {
            Some(_) => format!("{}, in row {}", source.name(), text.offset),
            None if source.is_lines() => format!("{}, in the line at byte {}", source.name(), text.offset),
            None => source.name(),
        }
    }

    /// Whether a text is from a table.
    pub(super) fn is_table(&self, text: &Text) -> bool {
        self.sources[text.source].table().is_some()
    }

    pub(super) fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        loop {
            let claimed = self.queue.claim(|open| match &mut open.reader {
                Reader::Plain(plain) => {
                    let claim = plain.claim(self.cuts(open.source, cutter));
                    let is_last = claim.is_last;
                    Some(((open.source, claim), is_last))
                }
                Reader::Stream(_) | Reader::Table(_) => None,
            });
            if let Some(((source, claim), number)) = claimed {
                chunk.number = number;
                return self.read_plain(source, &claim, cutter, job, chunk).map(|()| true);
            }
            match self.take(chunk.limits, job)? {
                None => return Ok(false),
                Some(Open { source, reader: Reader::Stream(stream) }) => {
                    return self.read_stream(source, stream, cutter, job, chunk).map(|()| true);
                }
                Some(Open { source, reader: Reader::Table(table) }) => {
                    return self.read_table(source, table, job, chunk).map(|()| true);
                }
                Some(plain) => self.queue.share(plain),
            }
        }
    }

    /// Where a source may be cut.
    fn cuts<'a>(&self, source: usize, cutter: Cutter<'a>) -> Cuts<'a> {
        match self.sources[source].is_lines() {
            true => Cuts::Lines(cutter.chunk_bytes),
            false => Cuts::Pretokens(cutter),
        }
    }

    /// Takes a source that no other worker is reading. Returns `None` when all sources are read.
    fn take(&self, limits: Limits, job: &Job) -> Result<Option<Open>, Error> {
        let num_sources = match &self.part {
            None => self.sources.len(),
            Some(part) => part.end.source + usize::from(part.end.offset > 0),
        };
        Ok(match self.queue.take(num_sources, self.is_in_order, job)? {
            None => None,
            Some(Turn::Open(open)) => Some(open),
            Some(Turn::Next(source)) => {
                let offset = |place: Place| (place.source == source).then_some(place.offset);
                let start = self.part.as_ref().and_then(|part| offset(part.start)).unwrap_or(0);
                let end = self.part.as_ref().and_then(|part| offset(part.end));
                let reader = self.sources[source].open(start, end, &self.options, limits, job)?;
                Some(Open { source, reader })
            }
        })
    }

    /// Reads a chunk that was claimed, while other workers read others of the same file.
    fn read_plain(
        &self,
        source: usize,
        claim: &Claim,
        cutter: Cutter<'_>,
        job: &Job,
        chunk: &mut Chunk,
    ) -> Result<(), Error> {
        let range = claim.range(self.cuts(source, cutter), job)?;
        let max_len = self.cuts(source, cutter).max_chunk(chunk.limits.max_stretch);
        if range.end - range.start > max_len {
            return Err(self.sources[source].too_long(range.start, chunk.limits.max_stretch));
        }
        let len = to_usize(range.end - range.start)?;
        let buffer = if self.sources[source].is_lines() { &mut chunk.lines } else { &mut chunk.bytes };
        for start in (0..len).step_by(STEP) {
            let end = len.min(start + STEP);
            reserve(buffer, end);
            claim.file.read(&mut buffer[start..end], range.start + start as u64, job)?;
        }
        chunk.input_bytes = range.end - range.start;
        chunk.end = Place { source, offset: range.end };
        let first_line = FirstLine::In(Arc::clone(&claim.file));
        self.find_texts(Text { range: 0..len, source, offset: range.start }, &first_line, chunk, job)
    }

    /// Reads the next chunk of a stream, and gives the stream back.
    fn read_stream(
        &self,
        number: usize,
        mut stream: Stream,
        cutter: Cutter<'_>,
        job: &Job,
        chunk: &mut Chunk,
    ) -> Result<(), Error> {
        let source = &self.sources[number];
        let buffer = if source.is_lines() { &mut chunk.lines } else { &mut chunk.bytes };
        let (offset, first_line) = (stream.offset, FirstLine::Number(stream.lines));
        let cuts = self.cuts(number, cutter);
        let max_stretch = chunk.limits.max_stretch;
        let read = stream.next(cuts, max_stretch, job, buffer);
        let len = read.map_err(|failure| source.failed(failure))?;
        if source.is_lines() {
            stream.lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
        }
        chunk.input_bytes = stream.take_input_bytes();
        chunk.end = Place { source: number, offset: stream.offset };
        if stream.is_at_end() && stream.offset == 0 {
            return Err(Error::EmptyCorpus { what: source.name(), hint: "; was it written to its end?" });
        }
        let open = (!stream.is_at_end()).then(|| Open { source: number, reader: Reader::Stream(stream) });
        chunk.number = self.queue.give_back(open);
        self.find_texts(Text { range: 0..len, source: number, offset }, &first_line, chunk, job)
    }

    /// Takes the next rows of a table, and gives the table back.
    fn read_table(&self, source: usize, mut table: Table, job: &Job, chunk: &mut Chunk) -> Result<(), Error> {
        let is_open = table.next(source, job, chunk)?;
        let max_text = chunk.limits.max_text;
        if let Some(text) = chunk.texts.iter().find(|text| text.range.len() as u64 > max_text) {
            return Err(Error::long_text(self.name(text), max_text));
        }
        self.skipped_lines.fetch_add(chunk.skipped_lines, Relaxed);
        chunk.has_documents = true;
        chunk.number = self.queue.give_back(is_open.then_some(Open { source, reader: Reader::Table(table) }));
        Ok(())
    }

    /// Finds the texts in the bytes of a chunk: one text, or those of its lines.
    fn find_texts(
        &self,
        text: Text,
        first_line: &FirstLine,
        chunk: &mut Chunk,
        job: &Job,
    ) -> Result<(), Error> {
        let len = text.range.len();
        chunk.has_documents = self.sources[text.source].is_lines();
        if chunk.has_documents {
            let lines = std::mem::take(&mut chunk.lines);
            let taken = self.take_texts(&lines[..len], text.source, text.offset, first_line, chunk, job);
            chunk.lines = lines;
            return taken;
        }
        if len > 0 {
            chunk.texts.push(text);
        }
        Ok(())
    }

    /// Takes the texts out of JSON lines.
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
                    let line = first_line.number(offset, job)? + line + 1;
                    return Err(Error::BadLine { path: source.name(), line, reason });
                }
            }
            job.check()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::either::Corpus;
    use super::super::stream::Input;
    use super::*;
    use crate::counts::{Knobs, count_with_knobs};
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, is_on_purpose};
    use std::fs::File;
    use std::io;

    /// A file that panics after its first bytes.
    struct Panicking(File, usize);

    impl io::Read for Panicking {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.checked_sub(1).expect(Job::ON_PURPOSE);
            self.0.read(buffer)
        }
    }

    impl Input for Panicking {
        fn wait(&mut self) -> io::Result<bool> {
            Ok(true)
        }
    }

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
            let stream =
                Stream::new(Panicking(File::open(&path).unwrap(), 1), Limits::default(), &job).unwrap();
            files.queue = Queue::new(1, vec![Open { source: 0, reader: Reader::Stream(stream) }]);
            let files = Corpus::Files(files);
            let knobs = Knobs { min_share: 1, ..Knobs::new(4) };
            let count = |files: &Corpus| count_with_knobs(files, cutter, 4, &job, knobs);
            let (error, again) = (count(&files).err().unwrap(), count(&files).err().unwrap());
            let other = count(&Corpus::open([&path]).unwrap());
            (error, again, other)
        });
        assert!(is_on_purpose(&error), "{error}");
        assert!(again.to_string().contains("opened anew"), "{again}");
        assert_eq!(other.unwrap().len(), 6);
    }
}

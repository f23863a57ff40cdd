/*!
Files, pipes and standard input, read by any number of workers.

A worker that wants a chunk claims one of an open plain file (`plain.rs`): it counts, and other workers do the
same while it reads. If no such file is open, it takes a source from the queue (`queue.rs`). From a stream it
reads a chunk, then gives the stream back (`stream.rs`). Where the order matters, only one source is open at a
time, and chunks are numbered.
*/

use super::chunk::{Chunk, Place, Text, reserve};
use super::cut::{Cuts, Cutter};
use super::jsonl::for_each_line;
use super::line_number::FirstLine;
use super::options::{BadLines, InputOptions};
use super::plain::{Claim, to_usize};
use super::queue::{Queue, Turn};
use super::share::Share;
use super::source::{Kind, Reader, Source, SourceInfo};
use super::stream::Stream;
use crate::error::Error;
use crate::job::Job;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The number of bytes between two checks of the cancel flag.
const STEP: usize = 1 << 24;

/// A list of files.
pub struct Files {
    sources: Vec<Source>,
    options: InputOptions,
    /// The place at which reading begins, if the sources are read in order.
    start: Option<Place>,
    /// The part of the files that is read.
    share: Share,
    /// The positions in each source between which the share's stretch lies; they may be equal. Empty if all is read.
    stretches: Vec<Range<u64>>,
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
        let sources: Vec<Source> = paths
            .into_iter()
            .map(|path| Source::new(path.as_ref(), options.format))
            .collect::<Result<_, _>>()?;
        if sources.is_empty() {
            return Err(Error::EmptyCorpus { what: "the list of files".to_owned(), hint: "" });
        }
        if sources.iter().filter(|source| matches!(source.kind, Kind::StandardInput)).count() > 1 {
            let rule = "named only once, because it can be read only once";
            return Err(Error::Option { name: "standard input", value: "-".to_owned(), rule });
        }
        let queue = Queue::new(0, Vec::new());
        let (skipped_lines, is_begun) = (AtomicU64::new(0), AtomicBool::new(false));
        let (share, stretches) = (Share::default(), Vec::new());
        Ok(Files { sources, options, start: None, share, stretches, queue, skipped_lines, is_begun })
    }

    /// Returns the files, set to be read in order from `start`.
    pub(super) fn in_order(mut self, start: Place) -> Self {
        self.queue = Queue::new(start.source, Vec::new());
        self.start = Some(start);
        self
    }

    /// Returns the files, set to read one share of them.
    pub(super) fn with_share(mut self, share: Share) -> Result<Self, Error> {
        if share.is_all() {
            return Ok(self);
        }
        let Some(total) = self.len() else {
            let rule = "left out with standard input and pipes, whose length is not known";
            return Err(Error::Option { name: "shard", value: "part of a stream".to_owned(), rule });
        };
        let (all, mut before) = (share.stretch(total), 0);
        for len in self.sources.iter().filter_map(Source::len) {
            let position = |at: u64| at.saturating_sub(before).min(len);
            self.stretches.push(position(all.start)..position(all.end));
            before += len;
        }
        self.share = share;
        Ok(self)
    }

    /// Whether only a share of the files is read.
    pub(super) fn is_part(&self) -> bool {
        !self.share.is_all()
    }

    /// Information about each source, without reading it.
    pub(super) fn infos(&self) -> Result<Vec<SourceInfo>, Error> {
        self.sources.iter().map(|source| source.info(&self.options.json_field)).collect()
    }

    pub(super) fn num_bytes(&self) -> Option<u64> {
        self.len().map(|len| {
            let stretch = self.share.stretch(len);
            stretch.end - stretch.start
        })
    }

    /// The number of bytes of all files, if it is known.
    fn len(&self) -> Option<u64> {
        self.sources.iter().map(Source::len).sum()
    }

    /// Opens the part of a source that belongs to the share. `None` if the source has no such part.
    fn open(&self, source: usize, cutter: Cutter<'_>, job: &Job) -> Result<Option<Reader>, Error> {
        let start = self.start.filter(|start| start.source == source).map_or(0, |start| start.offset);
        let Some(stretch) = self.stretches.get(source) else {
            return self.sources[source].open(start, job).map(Some);
        };
        let cuts = self.cuts(source, cutter);
        let has_cuts = self.sources[source].is_plain() && cuts.can_cut();
        if stretch.is_empty() || (stretch.start > 0 && !has_cuts) {
            return Ok(None);
        }
        match self.sources[source].open(start, job)? {
            Reader::Plain(plain) if has_cuts => {
                plain.between(stretch, cuts, job).map(Reader::Plain).map(Some)
            }
            whole => Ok(Some(whole)),
        }
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
        loop {
            let claimed = self.queue.claim(|open| match &mut open.reader {
                Reader::Plain(plain) => {
                    let claim = plain.claim(self.cuts(open.source, cutter));
                    let is_last = claim.is_last;
                    Some(((open.source, claim), is_last))
                }
                Reader::Stream(_) => None,
            });
            if let Some(((source, claim), number)) = claimed {
                chunk.number = number;
                return self.read_plain(source, &claim, cutter, job, chunk).map(|()| true);
            }
            match self.take(cutter, job)? {
                None => return Ok(false),
                Some(Open { source, reader: Reader::Stream(stream) }) => {
                    return self.read_stream(source, stream, cutter, job, chunk).map(|()| true);
                }
                Some(plain) => self.queue.share(plain),
            }
        }
    }

    /// Where a source may be cut.
    fn cuts<'a>(&self, source: usize, cutter: Cutter<'a>) -> Cuts<'a> {
        match self.sources[source].is_jsonl {
            true => Cuts::Lines(cutter.chunk_bytes),
            false => Cuts::Pretokens(cutter),
        }
    }

    /// Takes a source that no other worker is reading. Returns `None` when all sources are read.
    fn take(&self, cutter: Cutter<'_>, job: &Job) -> Result<Option<Open>, Error> {
        loop {
            match self.queue.take(self.sources.len(), self.start.is_some(), job)? {
                None => return Ok(None),
                Some(Turn::Open(open)) => return Ok(Some(open)),
                Some(Turn::Next(source)) => match self.open(source, cutter, job)? {
                    Some(reader) => return Ok(Some(Open { source, reader })),
                    None => self.queue.pass_over(),
                },
            }
        }
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
        let len = to_usize(range.end - range.start)?;
        let buffer = if self.sources[source].is_jsonl { &mut chunk.lines } else { &mut chunk.bytes };
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
        let buffer = if source.is_jsonl { &mut chunk.lines } else { &mut chunk.bytes };
        let (offset, first_line) = (stream.offset, FirstLine::Number(stream.lines));
        let cuts = self.cuts(number, cutter);
        let len = stream.next(cuts, job, buffer).map_err(|failure| source.failed(failure))?;
        if source.is_jsonl {
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

    /// Finds the texts in the bytes of a chunk: one text, or those of its lines.
    fn find_texts(
        &self,
        text: Text,
        first_line: &FirstLine,
        chunk: &mut Chunk,
        job: &Job,
    ) -> Result<(), Error> {
        let len = text.range.len();
        chunk.is_jsonl = self.sources[text.source].is_jsonl;
        if chunk.is_jsonl {
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

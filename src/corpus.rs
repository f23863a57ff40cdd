/*!
Files and texts, handed out as chunks that can be pretokenized on their own.

Why not cut at newlines, or at a fixed size? Because a pretoken may reach over either: after a newline 27 % of random
cuts in web text change the counts. A chunk ends only where the pattern proves that no pretoken can be split, or where a
special token begins, and never inside a special token. So the counts are the same for every chunk size and thread count.
Where a stretch has no such place (a line of base64, text without spaces) the chunk grows until it has one.

Why not map the file? Mapped pages count as the process's memory, and a file that shrinks kills it. Workers read into
buffers that they reuse. Under the lock only the cut is found, in the last few kilobytes of the chunk to come; the bytes
themselves are read outside it, by each worker for itself.
*/

use crate::error::Error;
use crate::job::{Job, lock};
use crate::pretoken_table::READ_AHEAD;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Bytes behind a chunk's text that may be read, so that no load in its last window needs a check.
const PADDING: usize = READ_AHEAD;
/// Where the search for a cut begins, in bytes before the chunk's nominal end.
const FIRST_WINDOW: u64 = 4096;
/// Bytes between two looks at the cancel flag.
const READ_BYTES: usize = 1 << 24;

/// Where a text may be cut.
#[derive(Clone, Copy)]
pub struct Cutter<'a> {
    /// The pretokenization pattern.
    pub pattern: &'a Pattern,
    /// The special tokens, which a cut must not split.
    pub special_tokens: &'a SpecialTokens,
    /// The nominal length of a chunk in bytes.
    pub chunk_bytes: usize,
}

impl Cutter<'_> {
    /// Whether `text` may be cut before `text[at]`, seeing [`Cutter::context`] bytes around it.
    fn is_safe(&self, text: &[u8], at: usize) -> bool {
        (self.pattern.is_safe_cut(text, at) || self.special_tokens.start_at(text, at))
            && !self.special_tokens.span(text, at)
    }

    fn can_cut(&self) -> bool {
        self.pattern.has_safe_cuts() || !self.special_tokens.is_empty()
    }

    fn context(&self) -> usize {
        self.special_tokens.longest().max(4)
    }
}

/// One text of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Its bytes in the chunk.
    pub range: Range<usize>,
    /// The number of the file or item.
    pub source: usize,
    /// Where in its source the range begins.
    pub offset: u64,
}

/// A buffer with one or more texts, or a piece of one, cut where no pretoken is split.
#[derive(Default)]
pub(crate) struct Chunk {
    /// At least [`PADDING`] bytes longer than the last text's end.
    pub bytes: Vec<u8>,
    pub texts: Vec<Text>,
}

impl Chunk {
    fn clear(&mut self) {
        self.texts.clear();
    }

    fn used(&self) -> usize {
        self.texts.last().map_or(0, |text| text.range.end)
    }

    fn reserve(&mut self, len: usize) {
        if self.bytes.len() < len + PADDING {
            self.bytes.resize(len + PADDING, 0);
        }
    }
}

/// The texts to learn from.
pub enum Corpus {
    /// Files, each one text.
    Files(Files),
    /// An iterator, each item one text.
    Texts(Texts),
}

impl Corpus {
    /// Opens every file, so that a missing or empty one is an error before any work is done.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        let files: Vec<SourceFile> =
            paths.into_iter().map(|path| SourceFile::new(path.as_ref())).collect::<Result<_, _>>()?;
        if files.is_empty() {
            return Err(Error::EmptyCorpus { what: "the list of files".to_owned(), hint: "" });
        }
        Ok(Corpus::Files(Files { files, cursor: Mutex::default() }))
    }

    /// Takes texts from an iterator.
    pub fn from_texts(texts: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Self {
        let texts = Box::new(texts.into_iter());
        Corpus::Texts(Texts { state: Mutex::new(TextState { texts, taken: 0, num_bytes: 0, rest: None }) })
    }

    /// The number of bytes, where it is known beforehand.
    pub fn num_bytes(&self) -> Option<u64> {
        match self {
            Corpus::Files(files) => Some(files.files.iter().map(|file| file.len).sum()),
            Corpus::Texts(_) => None,
        }
    }

    /// What an error calls a source.
    pub(crate) fn name(&self, source: usize) -> String {
        match self {
            Corpus::Files(files) => files.files[source].path.display().to_string(),
            Corpus::Texts(_) => format!("text number {source} (from 0)"),
        }
    }

    /// Fills `chunk` with the next texts; `false` when there are none.
    pub(crate) fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        job.check()?;
        chunk.clear();
        match self {
            Corpus::Files(files) => files.next_chunk(cutter, job, chunk),
            Corpus::Texts(texts) => texts.next_chunk(cutter, job, chunk),
        }
    }

    /// An error if the corpus turned out to have no text at all.
    pub(crate) fn check_not_empty(&self) -> Result<(), Error> {
        match self {
            Corpus::Texts(texts) if lock(&texts.state).num_bytes == 0 => Err(Error::EmptyCorpus {
                what: "the iterator".to_owned(),
                hint: "; was a generator used twice?",
            }),
            _ => Ok(()),
        }
    }
}

/// A file that was seen to be readable. It is opened when its turn comes: there may be more files than a process may
/// hold open.
struct SourceFile {
    path: PathBuf,
    len: u64,
}

impl SourceFile {
    fn new(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path).map_err(|error| Error::corpus_file(path, error))?;
        if !metadata.is_file() {
            let kind = if metadata.is_dir() { "a directory" } else { "a pipe or a device" };
            return Err(Error::NotAFile { path: path.to_owned(), kind });
        }
        File::open(path).map_err(|error| Error::corpus_file(path, error))?;
        if metadata.len() == 0 {
            return Err(Error::EmptyCorpus {
                what: path.display().to_string(),
                hint: "; was it written to its end?",
            });
        }
        Ok(SourceFile { path: path.to_owned(), len: metadata.len() })
    }

    fn open(&self) -> Result<OpenFile<'_>, Error> {
        let file = File::open(&self.path).map_err(|error| Error::corpus_file(&self.path, error))?;
        Ok(OpenFile { source: self, file })
    }
}

struct OpenFile<'a> {
    source: &'a SourceFile,
    file: File,
}

impl OpenFile<'_> {
    fn read(&self, buffer: &mut [u8], offset: u64, job: &Job) -> Result<(), Error> {
        let mut found = 0;
        while found < buffer.len() {
            job.check()?;
            match self.file.read_at(&mut buffer[found..], offset + found as u64) {
                Ok(0) => {
                    return Err(Error::FileChanged {
                        path: self.source.path.clone(),
                        offset,
                        expected: buffer.len(),
                        found,
                    });
                }
                Ok(n) => found += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::corpus_file(&self.source.path, error)),
            }
        }
        Ok(())
    }

    /// The end of the chunk that begins at `start`: the last safe cut before its nominal end, or else the first
    /// window after it that has one.
    fn chunk_end(
        &self,
        start: u64,
        cutter: Cutter<'_>,
        job: &Job,
        window: &mut Vec<u8>,
    ) -> Result<u64, Error> {
        if !cutter.can_cut() {
            return Ok(self.source.len);
        }
        let context = cutter.context() as u64;
        let nominal = start + cutter.chunk_bytes as u64;
        let (mut first, mut last) = ((start + 1).max(nominal.saturating_sub(FIRST_WINDOW)), nominal);
        let mut step = FIRST_WINDOW;
        while last < self.source.len {
            let from = first.saturating_sub(context).max(start);
            let to = (last + context).min(self.source.len);
            window.resize(to_usize(to - from)?, 0);
            self.read(window, from, job)?;
            let in_window = |cut: u64| to_usize(cut - from).is_ok_and(|at| cutter.is_safe(window, at));
            if let Some(cut) = (first..=last).rev().find(|&cut| in_window(cut)) {
                return Ok(cut);
            }
            (first, last) = (last + 1, last + step);
            step = (2 * step).min(1 << 20);
        }
        Ok(self.source.len)
    }
}

/// Plain files, read in chunks by any number of workers.
pub struct Files {
    files: Vec<SourceFile>,
    cursor: Mutex<Cursor>,
}

#[derive(Default)]
struct Cursor {
    source: usize,
    offset: u64,
    window: Vec<u8>,
}

impl Files {
    fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        let Some((file, source, range)) = self.claim(cutter, job)? else { return Ok(false) };
        let len = to_usize(range.end - range.start)?;
        chunk.bytes.reserve((len + PADDING).saturating_sub(chunk.bytes.len()));
        for start in (0..len).step_by(READ_BYTES) {
            let end = len.min(start + READ_BYTES);
            chunk.reserve(end);
            file.read(&mut chunk.bytes[start..end], range.start + start as u64, job)?;
        }
        chunk.texts.push(Text { range: 0..len, source, offset: range.start });
        Ok(true)
    }

    fn claim(
        &self,
        cutter: Cutter<'_>,
        job: &Job,
    ) -> Result<Option<(OpenFile<'_>, usize, Range<u64>)>, Error> {
        let cursor = &mut *lock(&self.cursor);
        let Some(file) = self.files.get(cursor.source) else { return Ok(None) };
        let file = file.open()?;
        let (source, start) = (cursor.source, cursor.offset);
        let end = file.chunk_end(start, cutter, job, &mut cursor.window)?;
        (cursor.source, cursor.offset) = if end == file.source.len { (source + 1, 0) } else { (source, end) };
        Ok(Some((file, source, start..end)))
    }
}

/// Texts from an iterator, many short ones or a piece of a long one in a chunk.
pub struct Texts {
    state: Mutex<TextState>,
}

struct TextState {
    texts: Box<dyn Iterator<Item = Vec<u8>> + Send>,
    taken: usize,
    num_bytes: u64,
    /// What is left of the last text taken, and where that begins.
    rest: Option<(Vec<u8>, usize)>,
}

impl Texts {
    fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        let state = &mut *lock(&self.state);
        while chunk.used() < cutter.chunk_bytes {
            job.check()?;
            let Some((text, start)) = state.rest.take().or_else(|| state.texts.next().map(|text| (text, 0)))
            else {
                break;
            };
            if start == 0 {
                state.taken += 1;
                state.num_bytes += text.len() as u64;
            }
            if text.is_empty() {
                continue;
            }
            let end = piece_end(&text, start, cutter, job)?;
            let begin = chunk.used();
            chunk.reserve(begin + end - start);
            chunk.bytes[begin..begin + end - start].copy_from_slice(&text[start..end]);
            chunk.texts.push(Text {
                range: begin..begin + end - start,
                source: state.taken - 1,
                offset: start as u64,
            });
            if end < text.len() {
                state.rest = Some((text, end));
            }
        }
        Ok(!chunk.texts.is_empty())
    }
}

/// The first safe cut at or after `start + chunk_bytes`, or the text's end.
fn piece_end(text: &[u8], start: usize, cutter: Cutter<'_>, job: &Job) -> Result<usize, Error> {
    let nominal = start.saturating_add(cutter.chunk_bytes.max(1));
    if !cutter.can_cut() || nominal >= text.len() {
        return Ok(text.len());
    }
    for window in (nominal..text.len()).step_by(1 << 20) {
        job.check()?;
        let end = text.len().min(window + (1 << 20));
        if let Some(cut) = (window..end).find(|&at| cutter.is_safe(text, at)) {
            return Ok(cut);
        }
    }
    Ok(text.len())
}

fn to_usize(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes)
        .map_err(|_| Error::Limit { what: "a stretch without a place to cut", limit: usize::MAX as u64 })
}

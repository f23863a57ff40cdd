/*!
Files, streams and texts, handed out as chunks that can be pretokenized on their own.

Why not cut at newlines, or at a fixed size? Because a pretoken may reach over either: after a newline 27 % of random
cuts in web text change the counts. A chunk ends only where the pattern proves that no pretoken can be split, or where a
special token begins, and never inside a special token ([`cut`]). So the counts are the same for every chunk size and
thread count. Where a stretch has no such place (a line of base64, text without spaces) the chunk grows until it has one.

Why not map the file? Mapped pages count as the process's memory, and a file that shrinks kills it. Workers read into
buffers that they reuse ([`files`]).
*/

mod content;
mod cut;
mod files;
mod gzip;
mod jsonl;
mod stream;
mod texts;

pub(crate) use cut::Cuts;
pub use cut::Cutter;
pub use files::Files;
pub use texts::Texts;
pub(crate) use texts::piece_end;

use crate::error::Error;
use crate::job::Job;
use crate::pretoken_key::READ_AHEAD;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes behind a chunk's text that may be read, so that no load in its last window needs a check.
const PADDING: usize = READ_AHEAD;

/// How files are read. Compression is seen from their first bytes and needs no option.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// What the files hold.
    pub format: Format,
    /// The field of a JSON object that has the text. `meta.text` is the field of that name, or else the field `text` of
    /// the object in the field `meta`.
    pub json_field: String,
    /// What becomes of a line of JSON without such a text.
    pub bad_lines: BadLines,
}

impl Default for InputOptions {
    fn default() -> Self {
        InputOptions { format: Format::ByName, json_field: "text".to_owned(), bad_lines: BadLines::Refuse }
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines if its name ends in `.jsonl`, `.ndjson` or `.json` (and perhaps `.gz`, `.zst` or `.zstd`), else text.
    /// First bytes that are not of such a file are an error.
    ByName,
    /// One text, whatever its first bytes are.
    Text,
    /// A JSON object a line, each with a text.
    Jsonl,
}

impl Format {
    /// `"auto"`, `"text"` or `"jsonl"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Format::ByName),
            "text" => Ok(Format::Text),
            "jsonl" => Ok(Format::Jsonl),
            _ => Err(Error::Option {
                name: "input_format",
                value: format!("{name:?}"),
                rule: "auto, text or jsonl",
            }),
        }
    }
}

/// What becomes of a bad line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// It is an error.
    Refuse,
    /// It is counted ([`Corpus::skipped_lines`]) and left out.
    Skip,
}

impl BadLines {
    /// `"error"` or `"skip"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "error" => Ok(BadLines::Refuse),
            "skip" => Ok(BadLines::Skip),
            _ => Err(Error::Option { name: "bad_lines", value: format!("{name:?}"), rule: "error or skip" }),
        }
    }
}

/// A place in the text of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of the file.
    pub source: usize,
    /// In bytes; of a compressed file in bytes of its text.
    pub offset: u64,
}

/// What is known of a file before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Its path, or "standard input".
    pub name: String,
    /// Its length in bytes and the time of its last change in nanoseconds; nothing of a pipe.
    pub file: Option<(u64, u64)>,
    /// Of JSON lines, the field that has the text.
    pub json_field: Option<String>,
}

/// One text of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// Its bytes in the chunk.
    pub range: Range<usize>,
    /// The number of the file or item.
    pub source: usize,
    /// Where in its source the range begins; of a text in JSON, where its line does.
    pub offset: u64,
}

/// A buffer with one or more texts, or a piece of one, cut where no pretoken is split.
#[derive(Default)]
pub(crate) struct Chunk {
    /// At least [`PADDING`] bytes longer than the last text's end.
    pub bytes: Vec<u8>,
    pub texts: Vec<Text>,
    /// How much of the corpus was read for it, as [`Corpus::num_bytes`] counts.
    pub input_bytes: u64,
    /// Of files that are read in order: its number, from 0, and where it ends.
    pub number: u64,
    pub end: Place,
    /// Whether it is the last of its file.
    pub is_last: bool,
    pub is_jsonl: bool,
    /// Bad lines in it that were left out.
    pub skipped_lines: u64,
    /// Lines before their texts are taken out.
    lines: Vec<u8>,
}

impl Chunk {
    fn clear(&mut self) {
        self.texts.clear();
        self.input_bytes = 0;
        self.skipped_lines = 0;
    }

    fn used(&self) -> usize {
        self.texts.last().map_or(0, |text| text.range.end)
    }

    fn push(&mut self, text: &[u8], source: usize, offset: u64) {
        let start = self.used();
        let end = start + text.len();
        reserve(&mut self.bytes, end);
        self.bytes[start..end].copy_from_slice(text);
        self.texts.push(Text { range: start..end, source, offset });
    }
}

/// Makes room for `len` bytes and the padding. A buffer is never shortened: that would cost filling it again.
fn reserve(buffer: &mut Vec<u8>, len: usize) {
    let needed = len + PADDING;
    if buffer.len() < needed {
        // An eighth more, not twice as much: a chunk can be as long as the corpus.
        buffer.reserve_exact(needed.max(buffer.len() + buffer.len() / 8) - buffer.len());
        buffer.resize(needed, 0);
    }
}

/// The texts to learn from.
pub enum Corpus {
    /// Files and streams.
    Files(Files),
    /// An iterator, each item one text.
    Texts(Texts),
}

impl Corpus {
    /// Files of text or of what their names say, with the default options.
    ///
    /// # Errors
    /// As [`Corpus::open_with`].
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        Corpus::open_with(paths, InputOptions::default())
    }

    /// Looks at every file, so that a missing or empty one is an error before any work is done. `-` is standard input.
    ///
    /// # Errors
    /// [`Error::CorpusFile`], [`Error::NotAFile`], [`Error::NotText`], [`Error::EmptyCorpus`].
    pub fn open_with<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        options: InputOptions,
    ) -> Result<Self, Error> {
        Files::new(paths, options).map(Corpus::Files)
    }

    /// Takes texts from an iterator.
    pub fn from_texts(texts: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Self {
        Corpus::Texts(Texts::new(texts))
    }

    /// The files one after another, from a place on, in numbered chunks.
    pub(crate) fn in_order(self, start: Place) -> Self {
        match self {
            Corpus::Files(files) => Corpus::Files(files.in_order(start)),
            texts => texts,
        }
    }

    /// What the files are.
    ///
    /// # Errors
    /// [`Error::CorpusFile`].
    pub fn infos(&self) -> Result<Vec<SourceInfo>, Error> {
        match self {
            Corpus::Files(files) => files.infos(),
            Corpus::Texts(_) => Ok(Vec::new()),
        }
    }

    /// The number of bytes to read, compressed ones where files are compressed, if it is known beforehand.
    pub fn num_bytes(&self) -> Option<u64> {
        match self {
            Corpus::Files(files) => files.num_bytes(),
            Corpus::Texts(_) => None,
        }
    }

    /// The number of bad lines that were skipped so far.
    pub fn skipped_lines(&self) -> u64 {
        match self {
            Corpus::Files(files) => files.skipped_lines(),
            Corpus::Texts(_) => 0,
        }
    }

    /// What an error calls a text.
    pub(crate) fn name(&self, text: &Text) -> String {
        match self {
            Corpus::Files(files) => files.name(text),
            Corpus::Texts(_) => format!("text number {} (from 0)", text.source),
        }
    }

    /// Says of which text, and where in its source, an error in a chunk speaks.
    pub(crate) fn locate(&self, error: Error, text: &Text) -> Error {
        error.in_text(|| self.name(text), |offset| text.offset + offset - text.range.start as u64)
    }

    /// Says that it is being read. That can be done once: after an error nobody knows what is left.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let is_begun = match self {
            Corpus::Files(files) => &files.is_begun,
            Corpus::Texts(texts) => &texts.is_begun,
        };
        match is_begun.swap(true, Relaxed) {
            false => Ok(()),
            true => Err(Error::Option {
                name: "corpus",
                value: "one that was read before".to_owned(),
                rule: "opened anew for each reading",
            }),
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

    /// The error for a corpus that turned out to have no text at all.
    pub(crate) fn is_empty_error(&self) -> Error {
        match self {
            Corpus::Files(files) => Error::EmptyCorpus { what: files.names(), hint: files.hint() },
            Corpus::Texts(_) => {
                Error::EmptyCorpus { what: "the iterator".to_owned(), hint: "; was a generator used twice?" }
            }
        }
    }
}

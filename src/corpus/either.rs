/*!
A corpus as the rest of the crate sees it: files or an iterator of texts.
*/

use super::chunk::{Chunk, Place, Text};
use super::cut::Cutter;
use super::files::Files;
use super::options::InputOptions;
use super::shard::Shard;
use super::source::{Buffers, SourceInfo};
use super::texts::Texts;
use crate::error::Error;
use crate::job::Job;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

/// The texts to train on or to encode.
pub enum Corpus {
    /// Files and streams.
    Files(Files),
    /// An iterator; each item is one text.
    Texts(Texts),
}

impl Corpus {
    /// Opens files with the default options: each is text, or what its name says.
    ///
    /// # Errors
    /// Those of [`Corpus::open_with`].
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        Corpus::open_with(paths, InputOptions::default())
    }

    /// Opens files. Every file is checked first, so that a missing or empty file is an error before any work
    /// is done. `-` is standard input.
    ///
    /// # Errors
    /// [`Error::CorpusFile`], [`Error::NotAFile`], [`Error::NotText`], [`Error::EmptyCorpus`]; [`Error::Format`],
    /// [`Error::Decompress`] and [`Error::Window`] for compressed files; [`Error::Opener`] for tables and addresses;
    /// [`Error::Option`] for standard input named twice, and for a table that is no file.
    pub fn open_with<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
        options: InputOptions,
    ) -> Result<Self, Error> {
        Files::new(paths, options).map(Corpus::Files)
    }

    /// Takes the texts of a table that the opener of the options holds. `name` is its name in errors.
    pub fn from_table(name: &str, options: InputOptions) -> Self {
        Corpus::Files(Files::given(name, options))
    }

    /// Takes texts from an iterator.
    pub fn from_texts(texts: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Self {
        Corpus::Texts(Texts::new(texts))
    }

    /// The corpus, set to read a part of its files in order, in numbered chunks. Texts of an iterator have an order, and
    /// no parts.
    pub(crate) fn in_order(self, part: Range<Place>) -> Self {
        match self {
            Corpus::Files(files) => Corpus::Files(files.in_order(part)),
            texts => texts,
        }
    }

    /// One shard of the corpus.
    ///
    /// # Errors
    /// [`Error::Option`] for what cannot be divided: pipes, standard input, texts from an iterator; those of reading.
    pub(crate) fn shard(&self, shard: Shard, cutter: Cutter<'_>, job: &Job) -> Result<Self, Error> {
        let files = self.files()?;
        Ok(Corpus::Files(files.part_of(files.part(shard, cutter, job)?)))
    }

    /// The files, of which a shard is a part.
    ///
    /// # Errors
    /// [`Error::Option`] for texts from an iterator.
    pub(crate) fn files(&self) -> Result<&Files, Error> {
        match self {
            Corpus::Files(files) => Ok(files),
            Corpus::Texts(_) => Err(Error::Option {
                name: "shard",
                value: "a part of an iterator".to_owned(),
                rule: "given with files only",
            }),
        }
    }

    /// Whether only a part of the corpus is read, which may be empty.
    pub(crate) fn is_part(&self) -> bool {
        matches!(self, Corpus::Files(files) if files.is_part())
    }

    /// All of the files.
    pub(crate) fn whole(&self) -> Range<Place> {
        let len = if let Corpus::Files(files) = self { files.len() } else { 0 };
        Place::default()..Place { source: len, offset: 0 }
    }

    /// Information about each file.
    ///
    /// # Errors
    /// [`Error::CorpusFile`].
    pub fn infos(&self) -> Result<Vec<SourceInfo>, Error> {
        match self {
            Corpus::Files(files) => files.infos(),
            Corpus::Texts(_) => Ok(Vec::new()),
        }
    }

    /// The same, after another look at each file at an address that is read.
    ///
    /// # Errors
    /// [`Error::CorpusFile`], [`Error::Opener`], [`Error::Cancelled`].
    pub(crate) fn infos_now(&self, job: &Job) -> Result<Vec<SourceInfo>, Error> {
        match self {
            Corpus::Files(files) => files.infos_now(job),
            Corpus::Texts(_) => Ok(Vec::new()),
        }
    }

    /// The paths of files in this system, under which no result may be written.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        match self {
            Corpus::Files(files) => files.paths(),
            Corpus::Texts(_) => Vec::new(),
        }
    }

    /// What reading the corpus holds beside its chunks.
    pub(crate) fn buffers(&self) -> Buffers {
        match self {
            Corpus::Files(files) => files.buffers(),
            Corpus::Texts(_) => Buffers::default(),
        }
    }

    /// The number of bytes to read, if it is known beforehand. For compressed files it counts the compressed
    /// bytes.
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

    /// The name of a text in errors.
    pub(crate) fn name(&self, text: &Text) -> String {
        match self {
            Corpus::Files(files) => files.name(text),
            Corpus::Texts(texts) => texts.name(text.source),
        }
    }

    /// Adds to an error the name of its text and the offset in the text's source.
    pub(crate) fn locate(&self, error: Error, text: &Text) -> Error {
        // The offset of a table's text is a row.
        let start =
            if matches!(self, Corpus::Files(files) if files.is_table(text)) { 0 } else { text.offset };
        error.in_text(|| self.name(text), |offset| start + offset - text.range.start as u64)
    }

    /// Marks the corpus as being read. A corpus can be read only once, because after an error it is not known
    /// how much of it is left.
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

    /// Fills `chunk` with the next texts. Returns `false` when there are none.
    pub(crate) fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        job.check()?;
        chunk.clear();
        match self {
            Corpus::Files(files) => files.next_chunk(cutter, job, chunk),
            Corpus::Texts(texts) => texts.next_chunk(cutter, job, chunk),
        }
    }

    /// The error for a corpus that has no text at all.
    pub(crate) fn is_empty_error(&self) -> Error {
        match self {
            Corpus::Files(files) => Error::EmptyCorpus { what: files.names(), hint: files.hint() },
            Corpus::Texts(_) => {
                Error::EmptyCorpus { what: "the iterator".to_owned(), hint: "; was a generator used twice?" }
            }
        }
    }
}

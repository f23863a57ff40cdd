/*!
Every way in which this crate can fail, each with what, where, the limit and how to mend it.
*/

use std::path::{Path, PathBuf};

/// What went wrong. The text is meant for the person who typed the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or renamed.
    #[error("could not {action} {}: {source}{}", path.display(), remedy(path, source))]
    Io {
        /// What was tried: "open", "read", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the corpus could not be opened or read.
    #[error("could not read the corpus {}: {source}{}", path.display(), remedy(path, source))]
    CorpusFile {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A corpus path is a directory or a device.
    #[error("{} is {kind}, not a text file; name files of text instead", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// "a directory", ...
        kind: &'static str,
    },
    /// The first bytes of a file are not of a text, or not of what its name says.
    #[error(
        "{path} is {what}; {remedy}, or have its bytes taken as they are (--input-format text, input_format=\"text\")"
    )]
    NotText {
        /// The file, or "standard input".
        path: String,
        /// What it is.
        what: &'static str,
        /// What to do with it.
        remedy: &'static str,
    },
    /// An output path is no regular file, or a file that is read.
    #[error("{} is {kind}; name another path to write to", path.display())]
    NotAnOutput {
        /// The path.
        path: PathBuf,
        /// "a directory", ...
        kind: &'static str,
    },
    /// A corpus file has no bytes, or an iterator gave no text.
    #[error("{what} is empty: there is no text in it{hint}")]
    EmptyCorpus {
        /// The path, or "the iterator".
        what: String,
        /// What may be the reason.
        hint: &'static str,
    },
    /// A file shrank while it was being read.
    #[error("{} became shorter while it was being read: {found} bytes at offset {offset}, {expected} expected", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// Where the read began.
        offset: u64,
        /// Bytes wanted.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// A file was changed while it was encoded.
    #[error("{} was changed while it was being encoded; begin anew (--force, force=True)", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// A compressed file is damaged.
    #[error(
        "{path}: the {format} data is damaged or cut off after {offset} bytes of text: {source}; fetch or make the file again"
    )]
    Decompress {
        /// The file, or "standard input".
        path: String,
        /// "gzip" or "zstd".
        format: &'static str,
        /// How much text could be read.
        offset: u64,
        /// The decoder's reason.
        source: std::io::Error,
    },
    /// A zstd file cannot be read back in the memory that is allowed for it.
    #[error(
        "{path} was compressed with a zstd window {}, and the limit is {} MiB; it is not damaged: decompress it first (zstd -d --long={}), or compress it anew without --long",
        window.map_or_else(|| "that is larger".to_owned(), |window| format!("of {} MiB", window >> 20)), limit >> 20,
        window.map_or(31, |window| (u64::BITS - window.saturating_sub(1).leading_zeros()).min(31))
    )]
    Window {
        /// The file, or "standard input".
        path: String,
        /// The window in bytes, where it is known.
        window: Option<u64>,
        /// The largest window in bytes that is read.
        limit: u64,
    },
    /// A line of JSON has no text.
    #[error(
        "{path}, line {line}: {reason}; mend the line, or have such lines skipped and counted (--bad-lines skip, bad_lines=\"skip\")"
    )]
    BadLine {
        /// The file, or "standard input".
        path: String,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The vocabulary cannot hold the bytes and the special tokens.
    #[error(
        "vocab size {given} is smaller than the minimum {minimum} (256 bytes and the special tokens); ask for at least {minimum}"
    )]
    VocabTooSmall {
        /// The size asked for.
        given: usize,
        /// The least possible.
        minimum: usize,
    },
    /// The vocabulary has more tokens than an id can number.
    #[error("vocab size {given} is greater than the maximum {maximum}")]
    VocabTooLarge {
        /// The size asked for.
        given: usize,
        /// The greatest possible.
        maximum: usize,
    },
    /// A special token is empty, given twice, or in the way of another token.
    #[error("special token {token:?} (number {index}) {reason}")]
    SpecialToken {
        /// The token.
        token: String,
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pretokenization pattern does not compile.
    #[error("the pattern {pattern:?} does not compile: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The regex engine's reason.
        reason: String,
    },
    /// A pretokenization pattern gave up on a text.
    #[error(
        "the pattern {pattern:?} gave up at byte {offset} of {text}: {reason}; rewrite it without nested repetition"
    )]
    PatternLimit {
        /// The pattern.
        pattern: String,
        /// The text: a path, or an item's number.
        text: String,
        /// Where in the text the match began, in bytes.
        offset: u64,
        /// The regex engine's reason.
        reason: String,
    },
    /// An option's value makes no sense.
    #[error("{name} = {value} is not possible: it must be {rule}")]
    Option {
        /// The option.
        name: &'static str,
        /// The value given.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A tokenizer's tokens, merges or special tokens contradict each other.
    #[error("not a byte-level BPE tokenizer: {reason}")]
    Tokenizer {
        /// What contradicts what.
        reason: String,
    },
    /// A text has a special token, and was to be refused then.
    #[error(
        "{text} has the special token {token:?} at byte {offset}; allow it (--special allow, special=\"allow\"), or encode it as text (--special text, special=\"text\")"
    )]
    SpecialInText {
        /// The token.
        token: String,
        /// The text: a path, or "the text".
        text: String,
        /// Where it begins.
        offset: u64,
    },
    /// A number is no token.
    #[error("{id} (number {index} of the ids, from 0) is not a token id: the greatest one is {greatest}")]
    TokenId {
        /// The number.
        id: u64,
        /// Its index among the ids.
        index: u64,
        /// The greatest id of the vocabulary.
        greatest: u32,
    },
    /// A file is not what its format says.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and how to mend it.
        reason: String,
    },
    /// A file would be overwritten.
    #[error("{} exists already; name another, or allow it to be replaced (--force, force=True)", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What an interrupted run left would be overwritten.
    #[error(
        "{} is there from a run that did not end; go on with it (--resume, resume=True), or begin anew (--force, force=True)", path.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// What an interrupted run left is of other texts or another tokenizer, or damaged.
    #[error("cannot go on with {}: {reason}; begin anew (--force, force=True)", path.display())]
    Resume {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Another process writes the file.
    #[error("{} is being written by another process; wait for its end, or name another file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A token file is damaged, cut off, or not what the reader wants.
    #[error("{}: {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and how to mend it.
        reason: String,
    },
    /// Counts whose sum does not fit 63 bits, or a corpus beyond 2^32 places to merge at.
    #[error("{what} exceeds {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// By which limit.
        limit: u64,
    },
    /// The system gave no threads.
    #[error("could not start {threads} threads: {reason}; ask for fewer")]
    Threads {
        /// The number asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// The work was asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A defect of this program.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl Error {
    /// Says of which text an error speaks, and what its offset is there.
    pub(crate) fn in_text(mut self, name: impl FnOnce() -> String, place: impl FnOnce(u64) -> u64) -> Self {
        if let Error::PatternLimit { text, offset, .. } | Error::SpecialInText { text, offset, .. } =
            &mut self
        {
            (*text, *offset) = (name(), place(*offset));
        }
        self
    }

    /// The same of a text that begins so many bytes behind the beginning of another.
    pub(crate) fn moved_by(mut self, start: usize) -> Self {
        if let Error::PatternLimit { offset, .. } | Error::SpecialInText { offset, .. } = &mut self {
            *offset += start as u64;
        }
        self
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.into(), source }
    }

    pub(crate) fn corpus_file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::CorpusFile { path: path.into(), source }
    }

    pub(crate) fn token_file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::TokenFile { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::Format { path: path.into(), reason: reason.into() }
    }
}

fn remedy(path: &Path, source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
    match source.kind() {
        NotFound if is_address(path) => "; only local files are read: download it first",
        NotFound if path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte)) => {
            "; a pattern is expanded by the shell where no quotes are around it, and in Python by glob.glob"
        }
        NotFound => "; check the path",
        PermissionDenied => "; check its permissions",
        StorageFull => "; free some space or choose another disk",
        _ => "",
    }
}

/// Whether a path is one of another machine.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains("://"))
}

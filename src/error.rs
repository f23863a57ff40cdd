/*!
Every way in which this crate can fail. Each error says what happened, where, which limit applies, and what
the user can do.
*/

use std::path::{Path, PathBuf};

/// The reason why somebody else failed, such as an exception of Python.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate. Its text is meant for the person who typed the command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or renamed.
    #[error("could not {action} {}: {source}{}", path.display(), remedy(path, source))]
    Io {
        /// The action that failed: "open", "read", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason that the system gives.
        source: std::io::Error,
    },
    /// A file of the corpus could not be opened or read.
    #[error("could not read the corpus {}: {source}{}", path.display(), remedy(path, source))]
    CorpusFile {
        /// The file.
        path: PathBuf,
        /// The reason that the system gives.
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
    /// The first bytes of a file are not text, or do not match the format that the file's name promises.
    #[error(
        "{path} is {what}; {remedy}, or read its bytes as text (--input-format text, input_format=\"text\")"
    )]
    NotText {
        /// The file, or "standard input".
        path: String,
        /// The content of the file.
        what: &'static str,
        /// The action that makes it text.
        remedy: &'static str,
    },
    /// An output path is not a regular file, or is one of the inputs.
    #[error("{} is {kind}; name another path to write to", path.display())]
    NotAnOutput {
        /// The path.
        path: PathBuf,
        /// "a directory", ...
        kind: &'static str,
    },
    /// A corpus file has no bytes, or an iterator yielded no text.
    #[error("{what} is empty: it contains no text{hint}")]
    EmptyCorpus {
        /// The path, or "the iterator".
        what: String,
        /// A possible reason.
        hint: &'static str,
    },
    /// Somebody else opened a part of the corpus, and failed.
    #[error("{0}")]
    Opener(Cause),
    /// A file shrank while it was being read.
    #[error("{} became shorter while it was being read: {found} bytes at offset {offset}, {expected} expected", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
        /// The offset at which the read began.
        offset: u64,
        /// The number of bytes requested.
        expected: usize,
        /// The number of bytes read.
        found: usize,
    },
    /// A file was modified while it was being encoded.
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
        /// The number of bytes of text before the damage.
        offset: u64,
        /// The reason that the decoder gives.
        source: std::io::Error,
    },
    /// A zstd file needs a larger window than the limit, so that it cannot be decompressed in the memory
    /// allowed for it.
    #[error(
        "{path} was compressed with a zstd window {}, and the limit is {} MiB; the file is not damaged: decompress it first (zstd -d --long={}), compress it again without --long and --ultra, or, where memory is limited, allow more (--memory-limit, memory_limit=) or use fewer threads",
        window.map_or_else(|| "that is larger".to_owned(), |window| format!("of {} MiB", window >> 20)), limit >> 20,
        window.map_or(31, |window| (u64::BITS - window.saturating_sub(1).leading_zeros()).min(31))
    )]
    Window {
        /// The file, or "standard input".
        path: String,
        /// The window in bytes, if it is known.
        window: Option<u64>,
        /// The largest window in bytes that is accepted.
        limit: u64,
    },
    /// A line of JSON has no text.
    #[error(
        "{path}, line {line}: {reason}; correct the line, or skip and count such lines (--bad-lines skip, bad_lines=\"skip\")"
    )]
    BadLine {
        /// The file, or "standard input".
        path: String,
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// The vocabulary size is too small for the 256 bytes and the special tokens.
    #[error(
        "vocab size {given} is smaller than the minimum {minimum} (256 bytes and the special tokens); ask for at least {minimum}"
    )]
    VocabTooSmall {
        /// The requested size.
        given: usize,
        /// The minimum.
        minimum: usize,
    },
    /// The vocabulary size leaves no room for new tokens beside those of a tokenizer that is extended.
    #[error(
        "vocab size {given} does not extend the tokenizer, which has {known} ids; ask for at least {minimum}"
    )]
    NotExtended {
        /// The requested size.
        given: usize,
        /// The number of ids of the tokenizer.
        known: usize,
        /// The minimum.
        minimum: usize,
    },
    /// The vocabulary has more tokens than there are ids, or than the tokenizer that is truncated.
    #[error("vocab size {given} is greater than the maximum {maximum}")]
    VocabTooLarge {
        /// The requested size.
        given: usize,
        /// The maximum.
        maximum: usize,
    },
    /// A special token is empty, given twice, or in conflict with another token.
    #[error("special token {token:?} (number {index}) {reason}")]
    SpecialToken {
        /// The token.
        token: String,
        /// Its index in the list, from 0.
        index: usize,
        /// What is wrong with the token.
        reason: &'static str,
    },
    /// A pretokenization pattern does not compile.
    #[error("the pattern {pattern:?} does not compile: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The reason that the regex engine gives.
        reason: String,
    },
    /// The regex engine gave up matching a pattern on a text.
    #[error(
        "the pattern {pattern:?} gave up at byte {offset} of {text}: {reason}; rewrite it without nested repetition"
    )]
    PatternLimit {
        /// The pattern.
        pattern: String,
        /// The text: a path, or an item's number.
        text: String,
        /// The offset in the text, in bytes, at which the match began.
        offset: u64,
        /// The reason that the regex engine gives.
        reason: String,
    },
    /// The value of an option is not allowed.
    #[error("{name} = {value} is not possible: it must be {rule}")]
    Option {
        /// The option.
        name: &'static str,
        /// The given value.
        value: String,
        /// The values that are allowed.
        rule: &'static str,
    },
    /// A tokenizer's tokens, merges or special tokens contradict each other.
    #[error("not a byte-level BPE tokenizer: {reason}")]
    Tokenizer {
        /// The contradiction.
        reason: String,
    },
    /// A text contains a special token, and the caller asked for an error in this case.
    #[error(
        "{text} has the special token {token:?} at byte {offset}; allow it (--special allow, special=\"allow\"), or encode it as text (--special text, special=\"text\")"
    )]
    SpecialInText {
        /// The token.
        token: String,
        /// The text: a path, or "the text".
        text: String,
        /// The offset in the text, in bytes, at which the token begins.
        offset: u64,
    },
    /// A number is not the id of a token.
    #[error("{id} (number {index} of the ids, from 0) is not a token id: the greatest one is {greatest}")]
    TokenId {
        /// The number.
        id: u64,
        /// Its index among the ids.
        index: u64,
        /// The greatest id of the vocabulary.
        greatest: u32,
    },
    /// A file violates its format.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what the user can do.
        reason: String,
    },
    /// An output file exists already.
    #[error("{} exists already; name another file, or allow it to be replaced (--force, force=True)", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// An output file was left by an interrupted run.
    #[error(
        "{} was left by a run that did not end; continue it (--resume, resume=True), or begin anew (--force, force=True)", path.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// The file of an interrupted run is damaged, or belongs to other texts or another tokenizer.
    #[error("cannot continue {}: {reason}; begin anew (--force, force=True)", path.display())]
    Resume {
        /// The file.
        path: PathBuf,
        /// The reason why the run cannot be continued.
        reason: String,
    },
    /// Another process is writing the file.
    #[error("{} is being written by another process; wait until it ends, or name another file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A token file is damaged, cut off, or of another kind than the reader expects.
    #[error("{}: {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what the user can do.
        reason: String,
    },
    /// A count file is damaged, cut off, or was counted in another way than the reader expects.
    #[error("{}: {reason}", path.display())]
    CountFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what the user can do.
        reason: String,
    },
    /// A corpus exceeds a limit of the algorithm, such as 2^63 bytes or 2^32 sites of pairs.
    #[error("{what} exceeds {limit}; use less text")]
    Limit {
        /// The quantity that is too large.
        what: &'static str,
        /// Its limit.
        limit: u64,
    },
    /// A limit of memory is too small for what was asked for.
    #[error(
        "{what} needs {:.0} MiB of memory, and the limit is {:.0} MiB; allow as much (--memory-limit, memory_limit=), or leave the limit out",
        (*needed as f64 / 1_048_576.0).ceil(), (*limit as f64 / 1_048_576.0).floor()
    )]
    MemoryLimit {
        /// The work.
        what: &'static str,
        /// The least limit in bytes.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line of JSON, or a stretch of text without a place to cut, is held in memory as a whole and is too long.
    #[error(
        "{path}: a {what}, at byte {offset} or within a chunk after it, is longer than {limit} bytes; divide it, or, where memory is limited, allow more (--memory-limit, memory_limit=) or use fewer threads"
    )]
    TooLong {
        /// The file, or "standard input".
        path: String,
        /// What is too long.
        what: &'static str,
        /// The offset in the text of the file, in bytes, from which on it begins.
        offset: u64,
        /// The greatest length in bytes that is read.
        limit: u64,
    },
    /// The count of a pretoken times a weight does not fit 64 bits.
    #[error("{}: the count of {pretoken:?}, {count}, times its weight is 2^64 or more; choose a smaller weight", path.display())]
    Weight {
        /// The count file.
        path: PathBuf,
        /// The first bytes of the pretoken.
        pretoken: String,
        /// Its count in the file.
        count: u64,
    },
    /// The system could not start the threads.
    #[error("could not start {threads} threads: {reason}; ask for fewer")]
    Threads {
        /// The requested number.
        threads: usize,
        /// The reason that the system gives.
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
    /// Sets the name of the text in which the error happened, and its offset in that text.
    pub(crate) fn in_text(mut self, name: impl FnOnce() -> String, moved: impl FnOnce(u64) -> u64) -> Self {
        if let Error::PatternLimit { text, offset, .. } | Error::SpecialInText { text, offset, .. } =
            &mut self
        {
            (*text, *offset) = (name(), moved(*offset));
        }
        self
    }

    /// Adds `start` to the offset, for a text that begins `start` bytes after the beginning of another.
    pub(crate) fn moved_by(mut self, start: usize) -> Self {
        if let Error::PatternLimit { offset, .. } | Error::SpecialInText { offset, .. } = &mut self {
            *offset += start as u64;
        }
        self
    }

    /// A text of an iterator or a table that does not fit within a limit of memory.
    pub(crate) fn long_text(path: String, limit: u64) -> Self {
        Error::TooLong { path, what: "text", offset: 0, limit }
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

    pub(crate) fn count_file(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::CountFile { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::Format { path: path.into(), reason: reason.into() }
    }
}

/// What the user can do about an error of the system.
fn remedy(path: &Path, source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
    match source.kind() {
        NotFound if is_address(path) => "; only local files are read: download it first",
        NotFound if path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte)) => {
            "; the shell expands a pattern that is not in quotes, and in Python glob.glob does"
        }
        NotFound => "; check the path",
        PermissionDenied => "; check its permissions",
        StorageFull => "; free some space or choose another disk",
        _ => "",
    }
}

/// Whether a path is an address on another machine.
pub(crate) fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains("://"))
}

/*!
The conversion of errors for Python. Each error becomes an exception of a class in `bpe_lm.errors`, which also
derives from the builtin exception that a caller would catch.
*/

use crate::error::Error;
use crate::panics::message;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs an entry from Python, and turns a panic into an `InternalError`, because a caller would not catch
/// pyo3's own exception for a panic. Each entry is one call of this function (`make lint` checks it).
pub(super) fn guarded<T>(entry: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(entry))
        .unwrap_or_else(|panic| Err(to_py(Error::Internal(message(&*panic)))))
}

/// The Python exception for an error of the core.
pub(super) fn to_py(error: Error) -> PyErr {
    let error = match error {
        Error::Opener(cause) => match cause.downcast::<PyErr>() {
            Ok(raised) => return *raised,
            Err(cause) => Error::Opener(cause),
        },
        error => error,
    };
    let class = match &error {
        Error::CorpusFile { .. }
        | Error::NotAFile { .. }
        | Error::NotText { .. }
        | Error::Window { .. }
        | Error::EmptyCorpus { .. }
        | Error::Opener(_)
        | Error::FileChanged { .. }
        | Error::Decompress { .. }
        | Error::SourceChanged { .. }
        | Error::BadLine { .. } => "CorpusError",
        Error::Io { .. } => "FileError",
        Error::Exists { .. } | Error::Unfinished { .. } | Error::NotAnOutput { .. } => "OutputExists",
        Error::Busy { .. } => "OutputBusy",
        Error::Resume { .. } => "ResumeMismatch",
        Error::TokenFile { .. } => "TokenFileError",
        Error::CountFile { .. } => "CountFileError",
        Error::SpecialInText { .. } => "SpecialTokenFound",
        Error::TokenId { .. } => "TokenIdError",
        Error::VocabTooSmall { .. } | Error::NotExtended { .. } => "VocabTooSmall",
        Error::VocabTooLarge { .. } => "VocabTooLarge",
        Error::SpecialToken { .. } => "SpecialTokenError",
        Error::Pattern { .. } | Error::PatternLimit { .. } => "PatternError",
        Error::Option { .. } | Error::Threads { .. } => "OptionError",
        Error::Tokenizer { .. } | Error::Format { .. } => "FormatError",
        Error::Limit { .. } | Error::TooLong { .. } | Error::Weight { .. } => "LimitExceeded",
        Error::MemoryLimit { .. } => "MemoryLimitExceeded",
        Error::Cancelled | Error::Internal(_) => "InternalError",
    };
    new(class, &error.to_string())
}

/// An exception of `bpe_lm.errors` by name.
pub(super) fn new(class: &str, message: &str) -> PyErr {
    Python::attach(|py| {
        let made = py.import("bpe_lm.errors").and_then(|errors| errors.getattr(class)?.call1((message,)));
        made.map_or_else(|error| error, PyErr::from_value)
    })
}

/*!
Training, the check of special tokens before it, and the record after it.
*/

use super::convert;
use super::error::{guarded, to_py};
use super::opener::{GivenTable, input_options};
use super::run::{self, Texts, run};
use super::tokenizer::PyTokenizer;
use crate::corpus::{Corpus, InputOptions, Opener};
use crate::count_file::CountReader;
use crate::counts::longest_text;
use crate::error::Error;
use crate::formats;
use crate::merges::{Merges, TieBreak};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::threads::resolve_threads;
use crate::train_bpe::{TrainOptions, train_bpe, train_from_counts};
use crate::training::Training;
use crate::vocab::Vocab;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};
use std::path::PathBuf;
use std::sync::Arc;

/// The texts to train on or to count: files, an iterator of texts, or a tuple of a table.
#[derive(FromPyObject)]
pub(super) enum Source<'py> {
    Paths(Vec<PathBuf>),
    Texts(Bound<'py, PyIterator>),
    Table((Bound<'py, PyAny>,)),
}

/// A vocabulary, merges, and the record of their training as JSON.
type Trained<'py> = (Bound<'py, PyDict>, Bound<'py, PyList>, String);

fn to_python<'py>(
    py: Python<'py>,
    (vocab, merges, training): &(Vocab, Merges, Training),
) -> PyResult<Trained<'py>> {
    let training = formats::training_json::to_json(training);
    Ok((convert::vocab_to_py(py, vocab)?, convert::merges_to_py(py, vocab, merges)?, training))
}

#[pyfunction]
#[pyo3(signature = (source, vocab_size, special_tokens, *, tie_break, threads, progress, pattern, min_frequency, max_token_length, memory_limit, init, input_format, json_field, bad_lines))]
#[allow(clippy::too_many_arguments)] // They are the options of the Python function, one for one.
pub(super) fn train<'py>(
    py: Python<'py>,
    source: Source<'py>,
    vocab_size: usize,
    special_tokens: Vec<String>,
    tie_break: &str,
    threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
    pattern: &str,
    min_frequency: u64,
    max_token_length: Option<usize>,
    memory_limit: Option<u64>,
    init: Option<PyRef<'py, PyTokenizer>>,
    input_format: &str,
    json_field: String,
    bad_lines: &str,
) -> PyResult<Trained<'py>> {
    guarded(|| {
        let options = training_options(
            vocab_size,
            special_tokens,
            tie_break,
            threads,
            pattern,
            min_frequency,
            max_token_length,
            memory_limit,
            init,
        )
        .map_err(to_py)?;
        let memory = (memory_limit, options.threads);
        let (corpus, texts) = open(source, memory, input_format, json_field, bad_lines)?;
        let trained = run(py, progress, texts, move |job| train_bpe(&corpus, &options, job))?;
        to_python(py, &trained)
    })
}

/// The options of a training, which are checked.
#[allow(clippy::too_many_arguments)] // They are the options of the Python functions, one for one.
fn training_options(
    vocab_size: usize,
    special_tokens: Vec<String>,
    tie_break: &str,
    threads: Option<usize>,
    pattern: &str,
    min_frequency: u64,
    max_token_length: Option<usize>,
    memory_limit: Option<u64>,
    init: Option<PyRef<'_, PyTokenizer>>,
) -> Result<TrainOptions, Error> {
    let special_tokens = SpecialTokens::new(special_tokens)?;
    let mut options = TrainOptions {
        tie_break: TieBreak::new(tie_break)?,
        threads: resolve_threads(threads)?,
        pattern: Pattern::new(pattern)?,
        min_frequency,
        max_token_length,
        memory_limit,
        ..TrainOptions::new(vocab_size, special_tokens)
    };
    if let Some(init) = init {
        options = options.extending(init.core())?;
    }
    options.check()?;
    Ok(options)
}

/// Opens the texts of a call. Those of an iterator also need somebody who draws them from it. Within a limit of memory they
/// are not longer than `threads` workers can hold.
pub(super) fn open<'py>(
    source: Source<'py>,
    (memory_limit, threads): (Option<u64>, usize),
    input_format: &str,
    json_field: String,
    bad_lines: &str,
) -> PyResult<(Corpus, Option<Box<dyn run::Source + 'py>>)> {
    let input = input_options(input_format, json_field, bad_lines).map_err(to_py)?;
    Ok(match source {
        Source::Paths(paths) => (Corpus::open_with(paths, input).map_err(to_py)?, None),
        Source::Texts(texts) => {
            let longest = memory_limit.map(|limit| longest_text(limit, threads));
            let (texts, received) = Texts::new(texts, longest.transpose().map_err(to_py)?);
            (Corpus::from_texts(received), Some(Box::new(texts)))
        }
        Source::Table((table,)) => {
            let opener: Arc<dyn Opener> = Arc::new(GivenTable(table.unbind()));
            let input = InputOptions { opener: Some(opener), ..input };
            (Corpus::from_table("the table", input), None)
        }
    })
}

/// Trains from a count file.
#[pyfunction]
#[pyo3(signature = (path, vocab_size, special_tokens, *, tie_break, threads, progress, pattern, min_frequency, max_token_length, memory_limit, init))]
#[allow(clippy::too_many_arguments)] // They are the options of the Python function, one for one.
pub(super) fn train_from_count_file<'py>(
    py: Python<'py>,
    path: PathBuf,
    vocab_size: usize,
    special_tokens: Vec<String>,
    tie_break: &str,
    threads: Option<usize>,
    progress: Option<Bound<'py, PyAny>>,
    pattern: &str,
    min_frequency: u64,
    max_token_length: Option<usize>,
    memory_limit: Option<u64>,
    init: Option<PyRef<'py, PyTokenizer>>,
) -> PyResult<Trained<'py>> {
    guarded(|| {
        let options = training_options(
            vocab_size,
            special_tokens,
            tie_break,
            threads,
            pattern,
            min_frequency,
            max_token_length,
            memory_limit,
            init,
        )
        .map_err(to_py)?;
        let reader = CountReader::open(&path).map_err(to_py)?;
        let trained = run(py, progress, None, move |job| train_from_counts(reader, &options, job))?;
        to_python(py, &trained)
    })
}

/// Refuses special tokens that could not be saved after training.
#[pyfunction]
pub(super) fn check_special_tokens(special_tokens: Vec<String>) -> PyResult<()> {
    guarded(|| {
        let tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
        formats::check_special_tokens(&tokens).map_err(to_py)
    })
}

#[pyfunction]
pub(super) fn load_training(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    guarded(|| {
        let training = py.detach(|| formats::training_json::load(&path)).map_err(to_py)?;
        Ok(formats::training_json::to_json(&training))
    })
}

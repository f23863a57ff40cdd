/*!
The Python module `bpe_lm._core`: extract, detach, call one function of the core, convert. Nothing is decided here.
*/

mod convert;
mod error;
mod run;

use crate::corpus::{BadLines, Corpus, Format, InputOptions};
use crate::error::Error;
use crate::formats;
use crate::job::{Job, resolve_threads};
use crate::merges::TieBreak;
use crate::pretokenize::Pattern;
use crate::sample::{self, Split};
use crate::special_tokens::SpecialTokens;
use crate::tokenizer::Tokenizer;
use crate::train_bpe::{TrainOptions, train_bpe};
use error::to_py;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};
use run::{Texts, run};
use std::path::PathBuf;

type PyParts<'py> = (Bound<'py, PyDict>, Bound<'py, PyList>, Vec<String>, String);

/// Where the texts come from.
#[derive(FromPyObject)]
enum Source<'py> {
    Paths(Vec<PathBuf>),
    Texts(Bound<'py, PyIterator>),
}

#[pyfunction]
#[pyo3(signature = (source, vocab_size, special_tokens, *, tie_break, threads, progress, pattern, min_frequency, max_token_length, input_format, json_field, bad_lines))]
#[allow(clippy::too_many_arguments)] // They are the options of the Python function, one for one.
fn train<'py>(
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
    input_format: &str,
    json_field: String,
    bad_lines: &str,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyList>, String)> {
    let special_tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
    let options = TrainOptions {
        tie_break: TieBreak::new(tie_break).map_err(to_py)?,
        threads: resolve_threads(threads).map_err(to_py)?,
        pattern: Pattern::new(pattern).map_err(to_py)?,
        min_frequency,
        max_token_length,
        ..TrainOptions::new(vocab_size, special_tokens)
    };
    options.check().map_err(to_py)?;
    let input = InputOptions {
        format: Format::new(input_format).map_err(to_py)?,
        json_field,
        bad_lines: BadLines::new(bad_lines).map_err(to_py)?,
    };
    let (corpus, texts) = match source {
        Source::Paths(paths) => (Corpus::open_with(paths, input).map_err(to_py)?, None),
        Source::Texts(texts) => {
            let (texts, received) = Texts::new(texts);
            (Corpus::from_texts(received), Some(texts))
        }
    };
    let (vocab, merges, training) = run(py, progress, texts, move |job| train_bpe(&corpus, &options, job))?;
    let training = formats::training_json::to_json(&training);
    Ok((convert::vocab_to_py(py, &vocab)?, convert::merges_to_py(py, &vocab, &merges)?, training))
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // As above.
fn save_tokenizer(
    py: Python<'_>,
    folder: PathBuf,
    vocab: &Bound<'_, PyDict>,
    merges: Vec<(Vec<u8>, Vec<u8>)>,
    special_tokens: Vec<String>,
    pattern: &str,
    training: Option<&str>,
    replace: bool,
) -> PyResult<()> {
    let tokenizer = convert::tokenizer(vocab, &merges, special_tokens, pattern)?;
    let path = folder.join(formats::TRAINING_JSON);
    py.detach(|| {
        let training = training.map(|text| formats::training_json::from_json(text, &path)).transpose()?;
        formats::save(&tokenizer, training.as_ref(), &folder, replace)
    })
    .map_err(to_py)
}

#[pyfunction]
fn load_gpt2(py: Python<'_>, vocab_path: PathBuf, merges_path: PathBuf) -> PyResult<PyParts<'_>> {
    to_parts(py, py.detach(|| formats::gpt2::load(&vocab_path, &merges_path)))
}

#[pyfunction]
fn load_tokenizer_json(py: Python<'_>, path: PathBuf) -> PyResult<PyParts<'_>> {
    to_parts(py, py.detach(|| formats::tokenizer_json::load(&path)))
}

#[pyfunction]
fn load_tiktoken(
    py: Python<'_>,
    path: PathBuf,
    pattern: Option<String>,
    special_tokens: Option<Vec<(String, u64)>>,
) -> PyResult<PyParts<'_>> {
    to_parts(py, py.detach(|| formats::tiktoken::load(&path, pattern.as_deref(), special_tokens)))
}

#[pyfunction]
fn load_training(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let training = py.detach(|| formats::training_json::load(&path)).map_err(to_py)?;
    Ok(formats::training_json::to_json(&training))
}

fn to_parts(py: Python<'_>, loaded: Result<Tokenizer, Error>) -> PyResult<PyParts<'_>> {
    let tokenizer = loaded.map_err(to_py)?;
    Ok((
        convert::vocab_to_py(py, tokenizer.vocab())?,
        convert::merges_to_py(py, tokenizer.vocab(), tokenizer.merges())?,
        tokenizer.special_tokens().as_slice().to_vec(),
        tokenizer.pattern().name().to_owned(),
    ))
}

#[pyfunction]
fn encode_naive(
    py: Python<'_>,
    text: &[u8],
    vocab: &Bound<'_, PyDict>,
    merges: Vec<(Vec<u8>, Vec<u8>)>,
    special_tokens: Vec<String>,
    pattern: &str,
) -> PyResult<Vec<u32>> {
    let tokenizer = convert::tokenizer(vocab, &merges, special_tokens, pattern)?;
    let text = text.to_vec();
    py.detach(|| tokenizer.encode_naive(&text)).map_err(to_py)
}

#[pyfunction]
fn pretokenize(text: &[u8], pattern: &str) -> PyResult<Vec<(usize, usize)>> {
    let mut spans = Vec::new();
    Pattern::new(pattern)
        .and_then(|pattern| {
            let visit = |range: std::ops::Range<usize>| spans.push((range.start, range.end));
            pattern.for_each_pretoken(text, 0..text.len(), &Job::default(), visit)
        })
        .map_err(to_py)?;
    Ok(spans)
}

#[pyfunction]
fn write_sample(py: Python<'_>, path: PathBuf, num_bytes: u64, seed: u64, validation: bool) -> PyResult<u64> {
    let split = if validation { Split::Validation } else { Split::Train };
    run(py, None, None, move |job| sample::write_file(&path, num_bytes, seed, split, job))
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    module.add("FILE_NAMES", formats::FILE_NAMES)?;
    module.add_function(wrap_pyfunction!(train, module)?)?;
    module.add_function(wrap_pyfunction!(save_tokenizer, module)?)?;
    module.add_function(wrap_pyfunction!(load_gpt2, module)?)?;
    module.add_function(wrap_pyfunction!(load_tokenizer_json, module)?)?;
    module.add_function(wrap_pyfunction!(load_tiktoken, module)?)?;
    module.add_function(wrap_pyfunction!(load_training, module)?)?;
    module.add_function(wrap_pyfunction!(encode_naive, module)?)?;
    module.add_function(wrap_pyfunction!(pretokenize, module)?)?;
    module.add_function(wrap_pyfunction!(write_sample, module)?)
}

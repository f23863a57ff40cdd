/*!
The Python module `bpe_lm._core`: extract, detach, call one function of the core, convert. Nothing is decided here.
*/

mod convert;
mod error;
#[cfg(target_arch = "x86_64")]
mod kernels;
mod run;
mod tokenizer;

use crate::corpus::{BadLines, Corpus, Format, InputOptions};
use crate::formats;
use crate::isa::Isa;
use crate::job::Job;
use crate::merges::TieBreak;
use crate::pretokenize::Pattern;
use crate::sample::{self, Split};
use crate::special_tokens::SpecialTokens;
use crate::threads::resolve_threads;
use crate::token_file::{self, Dtype};
use crate::train_bpe::{TrainOptions, train_bpe};
use error::{guarded, to_py};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};
use run::{Texts, run};
use std::path::PathBuf;
use tokenizer::{EncodeIterator, PyStreamDecoder, PyTokenizer};

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
    guarded(|| {
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
        let (vocab, merges, training) =
            run(py, progress, texts, move |job| train_bpe(&corpus, &options, job))?;
        let training = formats::training_json::to_json(&training);
        Ok((convert::vocab_to_py(py, &vocab)?, convert::merges_to_py(py, &vocab, &merges)?, training))
    })
}

/// Refuses special tokens that could not be saved after training.
#[pyfunction]
fn check_special_tokens(special_tokens: Vec<String>) -> PyResult<()> {
    guarded(|| {
        let tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
        formats::check_special_tokens(&tokens).map_err(to_py)
    })
}

#[pyfunction]
fn load_training(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    guarded(|| {
        let training = py.detach(|| formats::training_json::load(&path)).map_err(to_py)?;
        Ok(formats::training_json::to_json(&training))
    })
}

/// What a token file is, as JSON, after a look at its length or at all of it.
#[pyfunction]
fn open_token_file(path: PathBuf, dtype: Option<&str>, tokenizer: Option<&str>) -> PyResult<String> {
    guarded(|| {
        let dtype = dtype.map(Dtype::new).transpose().map_err(to_py)?;
        Ok(token_file::open(&path, dtype, tokenizer).map_err(to_py)?.to_json())
    })
}

#[pyfunction]
fn verify_token_file(
    py: Python<'_>,
    path: PathBuf,
    tokenizer: Option<String>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    guarded(|| {
        let verify = move |job: &Job| token_file::verify(&path, tokenizer.as_deref(), job);
        Ok(run(py, progress, None, verify)?.to_json())
    })
}

/// The instruction sets that scanners can use here, the one in use last.
#[pyfunction]
fn instruction_sets() -> PyResult<Vec<&'static str>> {
    guarded(|| Ok(Isa::available().into_iter().map(Isa::name).collect()))
}

/// Whether the kernels of training are for this machine; only a build for x86-64 has them.
#[pyfunction]
fn kernels_are_available() -> PyResult<bool> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::are_available()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(false))
}

/// The path of the OpenMP library whose threads the kernels share, if they do.
#[pyfunction]
fn open_mp_library() -> PyResult<Option<String>> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::open_mp_library()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(None))
}

/// Panics, here or on the thread of long work: for the test that no panic leaves this module.
#[pyfunction]
fn panic(py: Python<'_>, message: String, is_long: bool) -> PyResult<()> {
    guarded(|| match is_long {
        true => run(py, None, None, move |_| panic!("{message}")),
        false => panic!("{message}"),
    })
}

#[pyfunction]
fn pretokenize(text: &[u8], pattern: &str) -> PyResult<Vec<(usize, usize)>> {
    guarded(|| {
        let mut spans = Vec::new();
        Pattern::new(pattern)
            .and_then(|pattern| {
                let visit = |range: std::ops::Range<usize>| spans.push((range.start, range.end));
                pattern.for_each_pretoken(text, 0..text.len(), &Job::default(), visit)
            })
            .map_err(to_py)?;
        Ok(spans)
    })
}

#[pyfunction]
fn write_sample(py: Python<'_>, path: PathBuf, num_bytes: u64, seed: u64, validation: bool) -> PyResult<u64> {
    guarded(|| {
        let split = if validation { Split::Validation } else { Split::Train };
        run(py, None, None, move |job| sample::write_file(&path, num_bytes, seed, split, job))
    })
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    module.add("FILE_NAMES", formats::FILE_NAMES)?;
    module.add_function(wrap_pyfunction!(train, module)?)?;
    #[cfg(target_arch = "x86_64")]
    {
        module.add_function(wrap_pyfunction!(kernels::attention_forward, module)?)?;
        module.add_function(wrap_pyfunction!(kernels::attention_backward, module)?)?;
        module.add_function(wrap_pyfunction!(kernels::of_logits, module)?)?;
    }
    module.add_class::<PyTokenizer>()?;
    module.add_class::<EncodeIterator>()?;
    module.add_class::<PyStreamDecoder>()?;
    module.add_function(wrap_pyfunction!(check_special_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(load_training, module)?)?;
    module.add_function(wrap_pyfunction!(open_token_file, module)?)?;
    module.add_function(wrap_pyfunction!(verify_token_file, module)?)?;
    module.add_function(wrap_pyfunction!(instruction_sets, module)?)?;
    module.add_function(wrap_pyfunction!(kernels_are_available, module)?)?;
    module.add_function(wrap_pyfunction!(open_mp_library, module)?)?;
    module.add_function(wrap_pyfunction!(panic, module)?)?;
    module.add_function(wrap_pyfunction!(pretokenize, module)?)?;
    module.add_function(wrap_pyfunction!(write_sample, module)?)
}

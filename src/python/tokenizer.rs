/*!
The class `Tokenizer`.
*/

use super::batch::{PyBatch, batch};
use super::convert::{self, Parts, wrong_type};
use super::error::{guarded, new, to_py};
use super::few::{LOCKED_BYTES, with_few_ids};
use super::held_text::Text;
use super::ids::{array, each_id, to_array, token_id};
use super::ints::Ints;
use super::list_in_pieces::{IN_PIECES, list_in_pieces};
use super::memory::check_memory;
use super::opener::input_options;
use super::run::run;
use super::streams::{EncodeIterator, PyStreamDecoder};
use crate::corpus::{Corpus, Shard};
use crate::encode::Id;
use crate::encode_batch::{check_fits, encode_text, in_the_text};
use crate::encode_corpus::{EncodeOptions, count_tokens};
use crate::encode_offsets::{WithOffsets, encode_with_offsets};
use crate::error::Error;
use crate::formats;
use crate::formats::tokenizer_json::Nfc;
use crate::job::Job;
use crate::pretokenize::Pattern;
use crate::room::give_back_freed;
use crate::threads::resolve_threads;
use crate::token_file::{Dtype, TokenFileOptions, encode_file};
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The greatest length in bytes of texts whose encoding cannot be interrupted.
const RUN_BYTES: usize = 1 << 20;
/// The number of tokens from which reading them leaves megabytes of small pieces in glibc's heap: 15 MiB for GPT-2's, which
/// it takes 1.5 ms of 90 to give back. (benches/record/7-limit-of-the-chip.md)
const MANY_TOKENS: usize = 10_000;

#[pyclass(name = "Tokenizer", module = "bpe_lm._core", frozen)]
pub(super) struct PyTokenizer {
    tokenizer: Arc<Tokenizer>,
    ints: Ints,
}

/// Ids, and the byte at which each token begins, and the end.
type PyWithOffsets<'py> = (Bound<'py, PyArray1<TokenId>>, Bound<'py, PyArray1<i64>>);

#[derive(FromPyObject)]
pub(super) struct FileArguments {
    #[pyo3(item)]
    special: Option<String>,
    #[pyo3(item)]
    separator: Option<String>,
    #[pyo3(item)]
    threads: Option<usize>,
    #[pyo3(item)]
    input_format: String,
    #[pyo3(item)]
    json_field: String,
    #[pyo3(item)]
    bad_lines: String,
}

impl FileArguments {
    fn options(self, tokenizer: &Tokenizer, paths: Vec<PathBuf>) -> Result<(Corpus, EncodeOptions), Error> {
        let mut options = EncodeOptions::new(tokenizer, resolve_threads(self.threads)?);
        options.special = self.special.as_deref().map(Special::new).transpose()?;
        options.separator = self.separator.or(options.separator);
        let input = input_options(&self.input_format, self.json_field, &self.bad_lines)?;
        Ok((Corpus::open_with(paths, input)?, options))
    }
}

impl PyTokenizer {
    pub(super) fn core(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.tokenizer)
    }
}

#[pymethods]
impl PyTokenizer {
    #[new]
    fn new(
        vocab: &Bound<'_, PyDict>,
        merges: &Bound<'_, PyAny>,
        special_tokens: Vec<String>,
        special_ids: Option<Vec<TokenId>>,
        apart: Vec<TokenId>,
        pattern: &str,
        ignore_merges: bool,
    ) -> PyResult<Self> {
        guarded(|| {
            let parts = Parts { vocab, merges, special_tokens, special_ids, apart, pattern };
            let tokenizer = convert::tokenizer(parts)?;
            made(if ignore_merges { tokenizer.with_ignored_merges() } else { tokenizer })
        })
    }

    #[staticmethod]
    fn load_gpt2(
        py: Python<'_>,
        vocab_path: PathBuf,
        merges_path: PathBuf,
        special_tokens: Option<Vec<String>>,
        pattern: &str,
    ) -> PyResult<Self> {
        guarded(|| {
            let pattern = Pattern::new(pattern).map_err(to_py)?;
            loaded(py.detach(|| formats::gpt2::load(&vocab_path, &merges_path, special_tokens, pattern)))
        })
    }

    #[staticmethod]
    fn load_tokenizer_json(
        py: Python<'_>,
        path: PathBuf,
        texts_are_nfc: bool,
    ) -> PyResult<(Self, Vec<String>)> {
        guarded(|| {
            let nfc = if texts_are_nfc { Nfc::LeaveOut } else { Nfc::Refuse };
            let (tokenizer, left_out) =
                py.detach(|| formats::tokenizer_json::load(&path, nfc)).map_err(to_py)?;
            Ok((made(tokenizer)?, left_out))
        })
    }

    #[staticmethod]
    fn load_tiktoken(
        py: Python<'_>,
        path: PathBuf,
        pattern: Option<String>,
        special_tokens: Option<Vec<(String, u64)>>,
    ) -> PyResult<Self> {
        guarded(|| loaded(py.detach(|| formats::tiktoken::load(&path, pattern.as_deref(), special_tokens))))
    }

    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        training: Option<&str>,
        replace: bool,
    ) -> PyResult<Option<String>> {
        guarded(|| {
            let path = folder.join(formats::TRAINING_JSON);
            py.detach(|| {
                let training =
                    training.map(|text| formats::training_json::from_json(text, &path)).transpose()?;
                formats::save(&self.tokenizer, training.as_ref(), &folder, replace)?;
                Ok(formats::tokenizer_json::differs(&self.tokenizer, &folder.join(formats::TOKENIZER_JSON)))
            })
            .map_err(to_py)
        })
    }

    fn truncate(&self, py: Python<'_>, vocab_size: usize) -> PyResult<Self> {
        guarded(|| loaded(py.detach(|| self.tokenizer.truncate(vocab_size))))
    }

    /// The record of a training, given as JSON, cut as the tokenizer is.
    fn truncate_training(&self, py: Python<'_>, vocab_size: usize, training: &str) -> PyResult<String> {
        guarded(|| {
            py.detach(|| {
                let path = Path::new(formats::TRAINING_JSON);
                let training = formats::training_json::from_json(training, path)?;
                Ok(formats::training_json::to_json(&training.truncate(&self.tokenizer, vocab_size)?))
            })
            .map_err(to_py)
        })
    }

    #[getter]
    fn vocab<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guarded(|| convert::vocab_to_py(py, self.tokenizer.vocab()))
    }

    #[getter]
    fn merges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guarded(|| convert::merges_to_py(py, self.tokenizer.vocab(), self.tokenizer.merges()))
    }

    #[getter]
    fn special_tokens(&self) -> PyResult<Vec<(String, TokenId)>> {
        guarded(|| {
            Ok({
                let tokens = self.tokenizer.special_tokens().as_slice().iter().cloned();
                tokens.zip(self.tokenizer.special_ids().iter().copied()).collect()
            })
        })
    }

    /// The ids that text never gets, because another token has the same bytes.
    #[getter]
    fn apart(&self) -> PyResult<Vec<TokenId>> {
        guarded(|| Ok(self.tokenizer.vocab().apart().iter().copied().collect()))
    }

    /// Whether a pretoken may become a token that no merges make.
    #[getter]
    fn ignores_merges(&self) -> PyResult<bool> {
        guarded(|| Ok(self.tokenizer.ignores_merges()))
    }

    /// The regular expressions that split a text, each what the ones before left together.
    #[getter]
    fn splits(&self) -> PyResult<Vec<String>> {
        guarded(|| Ok(self.tokenizer.pattern().splits().into_iter().map(str::to_owned).collect()))
    }

    /// Whether a scanner matches the pattern. If not, it is a regular expression of the user's own.
    #[getter]
    fn has_scanner(&self) -> PyResult<bool> {
        guarded(|| Ok(self.tokenizer.pattern().has_scanner()))
    }

    /// The tokens of text and their ranks.
    fn tiktoken_ranks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guarded(|| {
            let ranks = py.detach(|| formats::tiktoken::ranks(&self.tokenizer)).map_err(|reason| {
                new("FormatError", &format!("tiktoken cannot express the tokenizer: {reason}"))
            })?;
            let dict = PyDict::new(py);
            for (id, token) in ranks {
                dict.set_item(PyBytes::new(py, token), id)?;
            }
            Ok(dict)
        })
    }

    /// The text of a tokenizer.json, and what Hugging Face's engine reads differently in it.
    fn to_tokenizer_json(&self, py: Python<'_>) -> PyResult<(String, Option<String>)> {
        guarded(|| {
            let text = py.detach(|| formats::tokenizer_json::text(&self.tokenizer)).map_err(to_py)?;
            Ok((text, formats::tokenizer_json::differing_part(&self.tokenizer)))
        })
    }

    #[getter]
    fn pattern(&self) -> PyResult<&str> {
        guarded(|| Ok(self.tokenizer.pattern().name()))
    }

    #[getter]
    fn greatest_id(&self) -> PyResult<TokenId> {
        guarded(|| Ok(self.tokenizer.greatest_id()))
    }

    #[getter]
    fn sha256(&self) -> PyResult<String> {
        guarded(|| Ok(self.tokenizer.hash()))
    }

    fn encode<'py>(
        &self,
        text: Bound<'py, PyAny>,
        special: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        guarded(|| {
            let py = text.py();
            let special = to_special(special)?;
            let text = Text::new(text)?;
            let num_bytes = text.bytes().len();
            if num_bytes < IN_PIECES.start {
                return self.with_short_ids(py, &text, special, |ids| self.ints.list(py, ids))?;
            }
            if num_bytes < IN_PIECES.end {
                check_memory(num_bytes)?;
                return list_in_pieces(py, &self.tokenizer, &self.ints, text, special);
            }
            let threads = resolve_threads(None).map_err(to_py)?;
            match self.tokenizer.greatest_id() <= <u16 as Id>::MAX {
                true => self.ints.list(py, &self.encode_long::<u16>(py, text, special, threads)?),
                false => self.ints.list(py, &self.encode_long::<u32>(py, text, special, threads)?),
            }
        })
    }

    fn encode_to_numpy<'py>(
        &self,
        text: Bound<'py, PyAny>,
        special: &Bound<'py, PyAny>,
        threads: Option<usize>,
        dtype: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let py = text.py();
            let special = to_special(special)?;
            let text = Text::new(text)?;
            match to_dtype(dtype)? {
                Dtype::Uint16 => self.text_to_numpy::<u16>(py, text, special, threads),
                Dtype::Uint32 => self.text_to_numpy::<u32>(py, text, special, threads),
            }
        })
    }

    fn encode_iterable(
        &self,
        iterable: &Bound<'_, PyAny>,
        special: &Bound<'_, PyAny>,
    ) -> PyResult<EncodeIterator> {
        guarded(|| {
            let pieces = texts("iterable", iterable)?.unbind();
            Ok(EncodeIterator::new(Arc::clone(&self.tokenizer), pieces, to_special(special)?))
        })
    }

    /// Returns the ids as an array, and the position in it at which each text begins.
    fn encode_batch<'py>(
        &self,
        iterable: &Bound<'py, PyAny>,
        special: &Bound<'py, PyAny>,
        threads: Option<usize>,
        dtype: &Bound<'py, PyAny>,
    ) -> PyResult<PyBatch<'py>> {
        guarded(|| {
            let special = to_special(special)?;
            let texts = texts("texts", iterable)?;
            match to_dtype(dtype)? {
                Dtype::Uint16 => batch::<u16>(texts, &self.tokenizer, special, threads),
                Dtype::Uint32 => batch::<u32>(texts, &self.tokenizer, special, threads),
            }
        })
    }

    /// Returns the ids as an array, and the byte at which each token begins, and the end.
    fn encode_with_offsets<'py>(
        &self,
        text: Bound<'py, PyAny>,
        special: &Bound<'py, PyAny>,
    ) -> PyResult<PyWithOffsets<'py>> {
        guarded(|| {
            let py = text.py();
            let special = to_special(special)?;
            let text = Text::new(text)?;
            let tokenizer = Arc::clone(&self.tokenizer);
            let num_bytes = text.bytes().len();
            let work = move |job: &Job| encode_with_offsets(&tokenizer, text.bytes(), special, job);
            let WithOffsets { ids, offsets } = if num_bytes <= LOCKED_BYTES {
                work(Job::unwatched()).map_err(to_py)?
            } else if num_bytes <= RUN_BYTES {
                py.detach(|| work(Job::unwatched())).map_err(to_py)?
            } else {
                check_memory(num_bytes.saturating_mul(1 + size_of::<TokenId>() + size_of::<i64>()))?;
                run(py, None, None, work)?
            };
            Ok((PyArray1::from_vec(py, ids), PyArray1::from_vec(py, offsets)))
        })
    }

    /// Returns the manifest of the token file as JSON.
    #[allow(clippy::too_many_arguments)] // They are the options of the Python function, one for one.
    fn encode_file(
        &self,
        py: Python<'_>,
        paths: Vec<PathBuf>,
        out: PathBuf,
        arguments: FileArguments,
        dtype: Option<&str>,
        index: bool,
        shard: Option<(u64, u64)>,
        resume: bool,
        force: bool,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        guarded(|| {
            let (corpus, encode) = arguments.options(&self.tokenizer, paths).map_err(to_py)?;
            let dtype = dtype.map(Dtype::new).transpose().map_err(to_py)?;
            let shard = shard.map(|(index, of)| Shard::new(index, of)).transpose().map_err(to_py)?;
            let options = TokenFileOptions { encode, dtype, index, shard, resume, force };
            let tokenizer = Arc::clone(&self.tokenizer);
            let manifest =
                run(py, progress, None, move |job| encode_file(&tokenizer, corpus, &out, &options, job))?;
            Ok(manifest.to_json())
        })
    }

    /// Returns the number of tokens that `encode_file` would write, and the number of bytes of text.
    fn count_tokens(
        &self,
        py: Python<'_>,
        paths: Vec<PathBuf>,
        arguments: FileArguments,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<(u64, u64)> {
        guarded(|| {
            let (corpus, options) = arguments.options(&self.tokenizer, paths).map_err(to_py)?;
            let tokenizer = Arc::clone(&self.tokenizer);
            let counted =
                run(py, progress, None, move |job| count_tokens(&tokenizer, corpus, &options, job))?;
            Ok((counted.tokens, counted.text_bytes))
        })
    }

    fn decode<'py>(&self, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        guarded(|| {
            let bytes = self.bytes(ids)?;
            Ok(PyString::new(ids.py(), &String::from_utf8_lossy(&bytes)))
        })
    }

    fn decode_bytes<'py>(&self, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        guarded(|| Ok(PyBytes::new(ids.py(), &self.bytes(ids)?)))
    }

    fn stream_decoder(&self) -> PyResult<PyStreamDecoder> {
        guarded(|| Ok(PyStreamDecoder::new(Arc::clone(&self.tokenizer))))
    }
}

impl PyTokenizer {
    /// Encodes a short text and returns what `result` returns for its ids.
    fn with_short_ids<R>(
        &self,
        py: Python<'_>,
        text: &Text,
        special: Special,
        result: impl FnOnce(&[TokenId]) -> R,
    ) -> PyResult<R> {
        let ids = with_few_ids(py, &self.tokenizer, &[text.bytes()], special, |_| (), result);
        ids.map_err(|error| to_py(in_the_text(error)))
    }

    /// Encodes a text that may be long, on several threads.
    fn encode_long<T: Id>(
        &self,
        py: Python<'_>,
        text: Text,
        special: Special,
        threads: usize,
    ) -> PyResult<Vec<T>> {
        check_memory(text.bytes().len())?;
        let (tokenizer, text) = (Arc::clone(&self.tokenizer), Arc::new(text));
        let shared = Arc::clone(&text); // Python's text is dropped here, where the lock is held.
        run(py, None, None, move |job| encode_text(&tokenizer, shared.bytes(), special, threads, job))
    }

    fn text_to_numpy<'py, T: Id + numpy::Element>(
        &self,
        py: Python<'py>,
        text: Text,
        special: Special,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_fits::<T>(&self.tokenizer).map_err(to_py)?;
        if text.bytes().len() <= RUN_BYTES {
            return self.with_short_ids(py, &text, special, |ids| to_array::<T>(py, ids));
        }
        let threads = resolve_threads(threads).map_err(to_py)?;
        let ids = self.encode_long::<T>(py, text, special, threads)?;
        Ok(PyArray1::from_vec(py, ids).into_any())
    }

    fn bytes(&self, ids: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let py = ids.py();
        if let Some(ids) = array::<u16>(ids) {
            let ids = ids.as_array();
            return py.detach(|| self.tokenizer.decode(ids.iter().map(|&id| id.into()))).map_err(to_py);
        }
        if let Some(ids) = array::<u32>(ids) {
            let ids = ids.as_array();
            return py.detach(|| self.tokenizer.decode(ids.iter().copied())).map_err(to_py);
        }
        let mut known = Vec::new();
        for (place, id) in each_id(ids)?.enumerate() {
            match token_id(&id?, place, &self.tokenizer) {
                Ok(id) => known.push(id),
                Err(error) => return Err(self.tokenizer.decode(known).map_or_else(to_py, |_| error)),
            }
        }
        self.tokenizer.decode(known).map_err(to_py)
    }
}

fn to_special(name: &Bound<'_, PyAny>) -> PyResult<Special> {
    Special::new(convert::option("special", name)?).map_err(to_py)
}

fn to_dtype(name: &Bound<'_, PyAny>) -> PyResult<Dtype> {
    Dtype::new(convert::option("dtype", name)?).map_err(to_py)
}

fn texts<'py>(name: &str, texts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    texts.try_iter().map_err(|_| wrong_type(name, texts, "a list or another iterable of str or bytes"))
}

fn loaded(tokenizer: Result<Tokenizer, Error>) -> PyResult<PyTokenizer> {
    made(tokenizer.map_err(to_py)?)
}

/// Wraps a tokenizer after it has encoded a short text, so that it has a worker's table (1 MiB) and the classes of
/// characters. A stream then needs memory only for its own pieces.
fn made(tokenizer: Tokenizer) -> PyResult<PyTokenizer> {
    tokenizer.with_ids("é".as_bytes(), Special::Allow, Job::unwatched(), |_| ()).map_err(to_py)?;
    let num_tokens = tokenizer.vocab().len();
    if num_tokens >= MANY_TOKENS {
        give_back_freed();
    }
    let ints = Ints::new(num_tokens);
    Ok(PyTokenizer { tokenizer: Arc::new(tokenizer), ints })
}

/*!
The class `Tokenizer`.
*/

use super::convert::{self, Parts, wrong_type};
use super::error::{guarded, new, to_py};
use super::held_text::Text;
use super::ids::{array, each_id, token_id};
use super::run::run;
use super::streams::{EncodeIterator, PyStreamDecoder};
use crate::corpus::{BadLines, Corpus, Format, InputOptions};
use crate::encode::Id;
use crate::encode_batch::{Batch, encode_batch};
use crate::encode_corpus::{EncodeOptions, count_tokens};
use crate::error::Error;
use crate::formats;
use crate::job::Job;
use crate::pretokenize::Pattern;
use crate::threads::resolve_threads;
use crate::token_file::{Dtype, TokenFileOptions, encode_file};
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyString};
use std::path::PathBuf;
use std::sync::Arc;

/// The greatest length in bytes of texts that are encoded under the interpreter's lock. Releasing the lock and
/// taking it again takes as long as encoding such a text.
const LOCKED_BYTES: usize = 1 << 13;
/// The greatest length in bytes of texts whose encoding cannot be interrupted.
const RUN_BYTES: usize = 1 << 20;
/// The number of bytes that must be free in addition to the text's length, for a thread's stack and table
/// (docs/memory.md). glibc maps so large a block. So the system itself decides whether the memory is free, and
/// unused parts of the heap do not count.
const WORK_BYTES: usize = 64 << 20;

#[pyclass(name = "Tokenizer", module = "bpe_lm._core", frozen)]
pub(super) struct PyTokenizer(Arc<Tokenizer>);

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
        let input = InputOptions {
            format: Format::new(&self.input_format)?,
            json_field: self.json_field,
            bad_lines: BadLines::new(&self.bad_lines)?,
        };
        Ok((Corpus::open_with(paths, input)?, options))
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
    ) -> PyResult<Self> {
        guarded(|| {
            let parts = Parts { vocab, merges, special_tokens, special_ids, apart, pattern };
            made(convert::tokenizer(parts)?)
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
    fn load_tokenizer_json(py: Python<'_>, path: PathBuf) -> PyResult<(Self, Vec<String>)> {
        guarded(|| {
            let (tokenizer, left_out) = py.detach(|| formats::tokenizer_json::load(&path)).map_err(to_py)?;
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
                formats::save(&self.0, training.as_ref(), &folder, replace)?;
                Ok(formats::tokenizer_json::differs(&self.0, &folder.join(formats::TOKENIZER_JSON)))
            })
            .map_err(to_py)
        })
    }

    #[getter]
    fn vocab<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        guarded(|| convert::vocab_to_py(py, self.0.vocab()))
    }

    #[getter]
    fn merges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guarded(|| convert::merges_to_py(py, self.0.vocab(), self.0.merges()))
    }

    #[getter]
    fn special_tokens(&self) -> PyResult<Vec<(String, TokenId)>> {
        guarded(|| {
            Ok({
                let tokens = self.0.special_tokens().as_slice().iter().cloned();
                tokens.zip(self.0.special_ids().iter().copied()).collect()
            })
        })
    }

    /// The ids that text never gets, because another token has the same bytes.
    #[getter]
    fn apart(&self) -> PyResult<Vec<TokenId>> {
        guarded(|| Ok(self.0.vocab().apart().iter().copied().collect()))
    }

    #[getter]
    fn pattern(&self) -> PyResult<&str> {
        guarded(|| Ok(self.0.pattern().name()))
    }

    #[getter]
    fn greatest_id(&self) -> PyResult<TokenId> {
        guarded(|| Ok(self.0.greatest_id()))
    }

    #[getter]
    fn sha256(&self) -> PyResult<String> {
        guarded(|| Ok(self.0.hash()))
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
            if text.bytes().len() <= LOCKED_BYTES {
                let list = |ids: &[TokenId]| PyList::new(py, ids);
                return self.0.with_ids(text.bytes(), special, Job::unwatched(), list).map_err(to_py)?;
            }
            PyList::new(py, self.encode_unlocked(py, text, special)?)
        })
    }

    fn encode_iterable(
        &self,
        iterable: &Bound<'_, PyAny>,
        special: &Bound<'_, PyAny>,
    ) -> PyResult<EncodeIterator> {
        guarded(|| {
            let pieces = texts("iterable", iterable)?.unbind();
            Ok(EncodeIterator::new(Arc::clone(&self.0), pieces, to_special(special)?))
        })
    }

    /// Returns the ids as an array, and the position in it at which each text begins.
    fn encode_batch<'py>(
        &self,
        iterable: &Bound<'py, PyAny>,
        special: &Bound<'py, PyAny>,
        threads: Option<usize>,
        dtype: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>)> {
        guarded(|| {
            let py = iterable.py();
            let special = to_special(special)?;
            let threads = resolve_threads(threads).map_err(to_py)?;
            let texts =
                texts("texts", iterable)?.map(|text| Text::new(text?)).collect::<PyResult<Vec<_>>>()?;
            match Dtype::new(convert::option("dtype", dtype)?).map_err(to_py)? {
                Dtype::Uint16 => self.batch::<u16>(py, texts, special, threads),
                Dtype::Uint32 => self.batch::<u32>(py, texts, special, threads),
            }
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
        resume: bool,
        force: bool,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        guarded(|| {
            let (corpus, encode) = arguments.options(&self.0, paths).map_err(to_py)?;
            let dtype = dtype.map(Dtype::new).transpose().map_err(to_py)?;
            let options = TokenFileOptions { encode, dtype, resume, force };
            let tokenizer = Arc::clone(&self.0);
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
            let (corpus, options) = arguments.options(&self.0, paths).map_err(to_py)?;
            let tokenizer = Arc::clone(&self.0);
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
        guarded(|| Ok(PyStreamDecoder::new(Arc::clone(&self.0))))
    }
}

impl PyTokenizer {
    fn encode_unlocked(&self, py: Python<'_>, text: Text, special: Special) -> PyResult<Vec<TokenId>> {
        let tokenizer = Arc::clone(&self.0);
        if text.bytes().len() <= RUN_BYTES {
            return py.detach(|| tokenizer.encode(text.bytes(), special, Job::unwatched())).map_err(to_py);
        }
        check_memory(text.bytes().len())?;
        run(py, None, None, move |job| tokenizer.encode(text.bytes(), special, job))
    }

    fn batch<'py, T: Id + numpy::Element>(
        &self,
        py: Python<'py>,
        texts: Vec<Text>,
        special: Special,
        threads: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>)> {
        let tokenizer = Arc::clone(&self.0);
        let num_bytes: usize = texts.iter().map(|text| text.bytes().len()).sum();
        let work = move |threads, job: &Job| {
            let texts: Vec<&[u8]> = texts.iter().map(Text::bytes).collect();
            encode_batch::<T>(&tokenizer, &texts, special, threads, job)
        };
        let Batch { ids, offsets } = if num_bytes <= LOCKED_BYTES {
            work(1, &Job::default()).map_err(to_py)?
        } else if num_bytes <= RUN_BYTES {
            py.detach(|| work(threads, &Job::default())).map_err(to_py)?
        } else {
            check_memory(num_bytes)?;
            run(py, None, None, move |job| work(threads, job))?
        };
        Ok((PyArray1::from_vec(py, ids).into_any(), PyArray1::from_vec(py, offsets)))
    }

    fn bytes(&self, ids: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let py = ids.py();
        if let Some(ids) = array::<u16>(ids) {
            let ids = ids.as_array();
            return py.detach(|| self.0.decode(ids.iter().map(|&id| id.into()))).map_err(to_py);
        }
        if let Some(ids) = array::<u32>(ids) {
            let ids = ids.as_array();
            return py.detach(|| self.0.decode(ids.iter().copied())).map_err(to_py);
        }
        let mut known = Vec::new();
        for (place, id) in each_id(ids)?.enumerate() {
            match token_id(&id?, place, &self.0) {
                Ok(id) => known.push(id),
                Err(error) => return Err(self.0.decode(known).map_or_else(to_py, |_| error)),
            }
        }
        self.0.decode(known).map_err(to_py)
    }
}

fn to_special(name: &Bound<'_, PyAny>) -> PyResult<Special> {
    Special::new(convert::option("special", name)?).map_err(to_py)
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
    Ok(PyTokenizer(Arc::new(tokenizer)))
}

/// Allocates the memory that a text will need, and frees it. An allocation that failed during the work would end
/// the process.
fn check_memory(num_bytes: usize) -> PyResult<()> {
    let mut block = Vec::<u8>::new();
    let wanted = num_bytes.saturating_add(WORK_BYTES);
    match std::hint::black_box(&mut block).try_reserve_exact(wanted) {
        Ok(()) => Ok(()),
        Err(_) => Err(new(
            "OutOfMemory",
            &format!(
                "a text of {num_bytes} bytes needs {wanted} bytes of memory or more, which the system does not give; \
                 give the text in pieces to encode_iterable, or files to encode_file"
            ),
        )),
    }
}

/*!
Opening and verifying token files.
*/

use super::error::{guarded, to_py};
use super::run::run;
use crate::job::Job;
use crate::token_file::{self, Dtype};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Checks a token file by its length. Returns its manifest as JSON.
#[pyfunction]
pub(super) fn open_token_file(
    path: PathBuf,
    dtype: Option<&str>,
    tokenizer: Option<&str>,
) -> PyResult<String> {
    guarded(|| {
        let dtype = dtype.map(Dtype::new).transpose().map_err(to_py)?;
        Ok(token_file::open(&path, dtype, tokenizer).map_err(to_py)?.to_json())
    })
}

/// Checks the index of a token file by its header and its length. Returns its path, the number of bytes before the
/// first position, and the number of documents.
#[pyfunction]
pub(super) fn open_document_index(path: PathBuf) -> PyResult<(PathBuf, u64, u64)> {
    guarded(|| {
        let manifest = token_file::open(&path, None, None).map_err(to_py)?;
        let (index, info) = token_file::open_index(&path, &manifest).map_err(to_py)?;
        Ok((index, token_file::INDEX_HEADER_BYTES, info.documents))
    })
}

/// Checks all bytes of a token file. Returns its manifest as JSON.
#[pyfunction]
pub(super) fn verify_token_file(
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

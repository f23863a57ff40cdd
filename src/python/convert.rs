/*!
Vocabularies and merges between the core's ids and Python's `dict[int, bytes]` and `list[tuple[bytes, bytes]]`.
*/

use super::error::to_py;
use crate::error::Error;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::tokenizer::Tokenizer;
use crate::vocab::Vocab;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

pub(super) fn vocab_to_py<'py>(py: Python<'py>, vocab: &Vocab) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (id, token) in vocab.iter().enumerate() {
        dict.set_item(id, PyBytes::new(py, token))?;
    }
    Ok(dict)
}

pub(super) fn merges_to_py<'py>(
    py: Python<'py>,
    vocab: &Vocab,
    merges: &Merges,
) -> PyResult<Bound<'py, PyList>> {
    let bytes = |id| PyBytes::new(py, vocab.get(id).unwrap_or_default());
    PyList::new(py, merges.as_slice().iter().map(|&(left, right)| (bytes(left), bytes(right))))
}

pub(super) fn tokenizer(
    vocab: &Bound<'_, PyDict>,
    merges: &[(Vec<u8>, Vec<u8>)],
    special_tokens: Vec<String>,
    pattern: &str,
) -> PyResult<Tokenizer> {
    let invalid = |reason| to_py(Error::Tokenizer { reason });
    let mut tokens: Vec<Option<Vec<u8>>> = vec![None; vocab.len()];
    for (id, token) in vocab {
        let id: usize = id.extract()?;
        let num_tokens = tokens.len();
        let place = tokens.get_mut(id);
        let place =
            place.ok_or_else(|| invalid(format!("id {id} of {num_tokens} tokens: ids must have no gap")))?;
        *place = Some(token.extract()?);
    }
    let vocab = Vocab::from_tokens(tokens.into_iter().flatten().collect()).map_err(to_py)?;
    let ids = vocab.ids();
    let id = |rank: usize, token: &[u8]| {
        let id = ids.get(token).copied();
        id.ok_or_else(|| {
            invalid(format!("merge {rank} is of {:?}, which has no token", String::from_utf8_lossy(token)))
        })
    };
    let pairs = merges
        .iter()
        .enumerate()
        .map(|(rank, (left, right))| Ok((id(rank, left)?, id(rank, right)?)))
        .collect::<PyResult<_>>()?;
    let special_tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
    let pattern = Pattern::new(pattern).map_err(to_py)?;
    Tokenizer::new(vocab.clone(), Merges::from_pairs(pairs), special_tokens, pattern).map_err(to_py)
}

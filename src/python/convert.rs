/*!
Vocabularies and merges between the core's ids and Python's `dict[int, bytes]` and `list[tuple[bytes, bytes]]`.
*/

use super::error::to_py;
use crate::error::Error;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::tokenizer::Tokenizer;
use crate::vocab::{Vocab, max_ids};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

pub(super) fn vocab_to_py<'py>(py: Python<'py>, vocab: &Vocab) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (id, token) in vocab.iter() {
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
    let max_ids = max_ids(vocab.len());
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for (id, token) in vocab {
        let (id, token): (usize, Vec<u8>) = (id.extract()?, token.extract()?);
        if id >= max_ids {
            return Err(invalid(format!(
                "token {id}: of {} tokens ids must be below {max_ids}",
                vocab.len()
            )));
        }
        if token.is_empty() {
            return Err(invalid(format!("token {id} is empty")));
        }
        tokens.resize(tokens.len().max(id + 1), Vec::new());
        tokens[id] = token;
    }
    let vocab = Vocab::from_tokens(tokens).map_err(to_py)?;
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
    Tokenizer::new(vocab, Merges::from_pairs(pairs), special_tokens, pattern).map_err(to_py)
}

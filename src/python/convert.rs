/*!
Vocabularies and merges: the core's ids to Python's `dict[int, bytes]` and `list[tuple[bytes, bytes]]`, and back; and the
errors for values of another type.
*/

use super::error::{new, to_py};
use crate::error::Error;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::{Vocab, max_ids};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyList, PyString};

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

/// The parts of a tokenizer, as Python gives them.
pub(super) struct Parts<'a, 'py> {
    pub vocab: &'a Bound<'py, PyDict>,
    pub merges: &'a Bound<'py, PyAny>,
    pub special_tokens: Vec<String>,
    /// The ids of the special tokens, if they are known.
    pub special_ids: Option<Vec<TokenId>>,
    /// The known ids whose bytes are encoded to another token in text.
    pub apart: Vec<TokenId>,
    pub pattern: &'a str,
}

pub(super) fn tokenizer(parts: Parts<'_, '_>) -> PyResult<Tokenizer> {
    let Parts { vocab, merges, special_tokens, special_ids, apart, pattern } = parts;
    let mut vocab = vocab_from_py(vocab)?.with_apart(apart);
    let merges = merges_from_py(merges)?;
    let is_learned =
        |vocab: &Vocab| vocab.is_learned(merges.iter().map(|(left, right)| (&left[..], &right[..])));
    let special_tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
    let pattern = Pattern::new(pattern).map_err(to_py)?;
    let special_ids = match special_ids {
        Some(ids) => ids,
        None => vocab.find_special_tokens(&special_tokens, is_learned).map_err(to_py)?,
    };
    // This comes before merges get ids, because a part of a merge is never the special token that has its bytes.
    vocab.place_special_tokens(&special_tokens, &special_ids).map_err(to_py)?;
    vocab.set_apart(&special_tokens, &special_ids, is_learned).map_err(to_py)?;
    let merges = ids_of(&merges, &vocab)?;
    Tokenizer::from_parts(vocab, merges, special_tokens, special_ids, pattern).map_err(to_py)
}

fn vocab_from_py(vocab: &Bound<'_, PyDict>) -> PyResult<Vocab> {
    let invalid = |reason| to_py(Error::Tokenizer { reason });
    let max_ids = max_ids(vocab.len());
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for (id, token) in vocab {
        if !id.is_instance_of::<PyInt>() {
            return Err(wrong_type("an id of the vocabulary", &id, "an int"));
        }
        let number = id.extract::<usize>().ok().filter(|&id| id < max_ids);
        let number = number.ok_or_else(|| {
            invalid(format!(
                "token {id}: with {} tokens, ids must be from 0 and must be below {max_ids}",
                vocab.len()
            ))
        })?;
        let token = bytes(&token, || format!("token {id} of the vocabulary"))?;
        if token.is_empty() {
            return Err(invalid(format!("token {id} is empty")));
        }
        tokens.resize(tokens.len().max(number + 1), Vec::new());
        tokens[number] = token;
    }
    Vocab::from_tokens(tokens).map_err(to_py)
}

/// A merge in Python: the bytes of its two parts.
type Parted = (Vec<u8>, Vec<u8>);

fn merges_from_py(merges: &Bound<'_, PyAny>) -> PyResult<Vec<Parted>> {
    let wanted = "pairs of bytes, such as [(b\"a\", b\"b\")]";
    let merges = merges.try_iter().map_err(|_| wrong_type("merges", merges, wanted))?;
    merges
        .enumerate()
        .map(|(rank, merge)| {
            let merge = merge?;
            let Ok((left, right)) = merge.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
                return Err(wrong_type(&format!("merge {rank}"), &merge, "a tuple of two bytes"));
            };
            let part = |part| bytes(part, || format!("a part of merge {rank}"));
            Ok((part(&left)?, part(&right)?))
        })
        .collect()
}

fn ids_of(merges: &[Parted], vocab: &Vocab) -> PyResult<Merges> {
    let ids = vocab.ids();
    let id = |rank: usize, token: &[u8]| {
        let reason =
            || format!("merge {rank} needs {:?}, which has no token", String::from_utf8_lossy(token));
        ids.get(token).copied().ok_or_else(|| to_py(Error::Tokenizer { reason: reason() }))
    };
    let pair = |(rank, (left, right)): (usize, &Parted)| Ok((id(rank, left)?, id(rank, right)?));
    Ok(Merges::from_pairs(merges.iter().enumerate().map(pair).collect::<PyResult<_>>()?))
}

fn bytes(value: &Bound<'_, PyAny>, name: impl FnOnce() -> String) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    match value.cast::<PyByteArray>() {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Err(wrong_type(&name(), value, "bytes")),
    }
}

/// The string that is an option's value.
pub(super) fn option<'a>(name: &str, value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match value.cast::<PyString>() {
        Ok(value) => value.to_str().map_err(|_| wrong_type(name, value, "a str without surrogates")),
        Err(_) => Err(wrong_type(name, value, "a str")),
    }
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(name: &str, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    let kind = value.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
    new("ArgumentTypeError", &format!("{name} is of type {kind}; give {wanted}"))
}

/*!
Ids as an argument of a call, which may be a list, an array or any other iterable of integers, and as an array.
*/

use super::convert::wrong_type;
use super::error::new;
use crate::encode::Id;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyList, PyString};

/// Iterates over the ids of a list, of an array with one dimension, or of any other iterable that is not a text.
pub(super) fn each_id<'py>(ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    if !ids.is_instance_of::<PyList>()
        && let Ok(number) = ids.getattr("ndim").and_then(|number| number.extract::<usize>())
        && number != 1
    {
        let message =
            format!("ids has {number} dimensions; give one text's ids: a row of it, or a flat list");
        return Err(new("ArgumentTypeError", &message));
    }
    let is_text = ids.is_instance_of::<PyBytes>()
        || ids.is_instance_of::<PyByteArray>()
        || ids.is_instance_of::<PyString>();
    let ids_of = if is_text { None } else { ids.try_iter().ok() };
    ids_of.ok_or_else(|| wrong_type("ids", ids, "a list or an array of token ids"))
}

/// Extracts an array of numbers whose addresses are multiples of their size. numpy also has other arrays, such as
/// fields of packed records, of which Rust can have no slice or view.
pub(super) fn array<'py, T: Element>(ids: &Bound<'py, PyAny>) -> Option<PyReadonlyArray1<'py, T>> {
    let array: PyReadonlyArray1<'py, T> = ids.extract().ok()?;
    let size = size_of::<T>();
    let is_whole = array.strides()[0] % size.cast_signed() == 0 && array.data().addr() % size == 0;
    is_whole.then_some(array)
}

/// Converts an integer of any type to a token id.
pub(super) fn token_id(id: &Bound<'_, PyAny>, place: usize, tokenizer: &Tokenizer) -> PyResult<TokenId> {
    id.extract().map_err(|error: PyErr| {
        if !error.is_instance_of::<pyo3::exceptions::PyOverflowError>(id.py()) {
            return wrong_type(&format!("number {place} of the ids, from 0,"), id, "an int");
        }
        let greatest = tokenizer.greatest_id();
        let message = format!(
            "{id} (number {place} of the ids, from 0) is not a token id: the greatest one is {greatest}"
        );
        new("TokenIdError", &message)
    })
}

/// Copies ids into an array.
pub(super) fn to_array<'py, T: Id + Element>(py: Python<'py>, ids: &[TokenId]) -> Bound<'py, PyAny> {
    PyArray1::from_slice(py, &T::from_ids(ids)).into_any()
}

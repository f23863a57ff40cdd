/*!
The two streams of a tokenizer: the ids of a text that arrives in pieces, and the text of ids that arrive
singly.
*/

use super::error::{guarded, to_py};
use super::held_text::Text;
use super::ids::token_id;
use crate::decode::StreamDecoder;
use crate::encode_stream::StreamEncoder;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use std::sync::Arc;

/// Iterates over the ids of a text whose pieces come from an iterator.
#[pyclass(module = "bpe_lm._core")]
pub(super) struct EncodeIterator {
    tokenizer: Arc<Tokenizer>,
    pieces: Py<PyIterator>,
    encoder: StreamEncoder,
    ids: Vec<TokenId>,
    next: usize,
    is_at_end: bool,
}

#[pymethods]
impl EncodeIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        guarded(|| Ok(this))
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<TokenId>> {
        guarded(|| {
            while self.next == self.ids.len() {
                if self.is_at_end {
                    return Ok(None);
                }
                (self.next, self.is_at_end) = (0, true);
                self.ids.clear();
                self.is_at_end = !self.encode_next(py)?;
            }
            self.next += 1;
            Ok(Some(self.ids[self.next - 1]))
        })
    }
}

impl EncodeIterator {
    /// An iterator that has taken no piece yet.
    pub fn new(tokenizer: Arc<Tokenizer>, pieces: Py<PyIterator>, special: Special) -> Self {
        let encoder = StreamEncoder::new(special);
        EncodeIterator { tokenizer, pieces, encoder, ids: Vec::new(), next: 0, is_at_end: false }
    }

    /// Encodes the next piece. Returns false if the pieces had ended.
    fn encode_next(&mut self, py: Python<'_>) -> PyResult<bool> {
        let piece = self.pieces.bind(py).clone().next().transpose()?;
        let is_piece = piece.is_some();
        let ids = match piece {
            Some(piece) => self.encoder.push(&self.tokenizer, Text::new(piece)?.bytes()),
            None => self.encoder.finish(&self.tokenizer),
        };
        self.ids.extend_from_slice(ids.map_err(to_py)?);
        Ok(is_piece)
    }
}

/// Decodes ids that arrive one by one.
#[pyclass(name = "StreamDecoder", module = "bpe_lm._core")]
pub(super) struct PyStreamDecoder {
    tokenizer: Arc<Tokenizer>,
    decoder: StreamDecoder,
}

impl PyStreamDecoder {
    /// A decoder that has received no id yet.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        PyStreamDecoder { tokenizer, decoder: StreamDecoder::default() }
    }
}

#[pymethods]
impl PyStreamDecoder {
    fn push(&mut self, id: &Bound<'_, PyAny>) -> PyResult<String> {
        guarded(|| {
            let id = token_id(id, 0, &self.tokenizer)?;
            self.decoder.push(&self.tokenizer, id).map_err(to_py)
        })
    }

    fn finish(&mut self) -> PyResult<String> {
        guarded(|| Ok(self.decoder.finish()))
    }
}

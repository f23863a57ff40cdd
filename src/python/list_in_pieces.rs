/*!
The ids of a long text as a list of Python's integers.

Why not the ids first, and then the list? Only the thread that holds the interpreter's lock can make a list, and it takes
longer for that than another thread for encoding the text. So another thread encodes the text in pieces, and this one
adds each piece to the list while the next is encoded.
*/

use super::held_text::Text;
use super::ints::Ints;
use super::run::run_and_receive;
use super::unfinished_list::UnfinishedList;
use crate::encode_batch::encode_pieces;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// The lengths in bytes of the texts whose lists are made so. On two cores, a list of 128 KiB takes as long without the
/// other thread, and a text of more than 4 MiB is encoded sooner the first time by all threads.
pub(super) const IN_PIECES: Range<usize> = 1 << 18..1 << 22;
/// The nominal length of a piece in bytes.
const PIECE_BYTES: usize = 1 << 16;

/// A range of a text in bytes, and its ids.
type Piece = (Range<usize>, Vec<TokenId>);

/// A list of a long text's ids.
pub(super) fn list_in_pieces<'py>(
    py: Python<'py>,
    tokenizer: &Arc<Tokenizer>,
    ints: &Ints,
    text: Text,
    special: Special,
) -> PyResult<Bound<'py, PyList>> {
    // Python's text is dropped here, where the lock is held.
    let text = Arc::new(text);
    let (tokenizer, shared) = (Arc::clone(tokenizer), Arc::clone(&text));
    let work = move |job: &Job, sender: Sender<Piece>| {
        let pass = |range, ids: &[TokenId]| {
            let _ = sender.send((range, ids.to_vec())); // Nobody receives any more if the caller was interrupted.
        };
        encode_pieces(&tokenizer, shared.bytes(), PIECE_BYTES, special, job, pass)
    };
    let mut list = None;
    let receive = |(range, ids): Piece| {
        let list = match &mut list {
            Some(list) => list,
            none => {
                let room = ids.len().saturating_mul(text.bytes().len()) / range.len();
                none.insert(UnfinishedList::new(py, room + room / 16)?)
            }
        };
        ints.extend(list, &ids)
    };
    run_and_receive(py, None, None, receive, work)?;
    list.map_or_else(|| Ok(PyList::empty(py)), UnfinishedList::finish)
}

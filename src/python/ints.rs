/*!
The ids of a text as a list of Python's integers.

Why is an integer for each id kept? A list of new integers takes an allocation for each, and another call to free
it. That takes 24 ns an id, four times as long as encoding. A reference to an integer that exists takes a few. The
integer of an id is made when the id first occurs in a list, so a tokenizer keeps those of the texts that it
has encoded: 32 bytes each, and 16 bytes for each id of the vocabulary.

A list of 60 million ids takes half a second and more, so Ctrl-C is looked for in every million.
*/

use super::unfinished_list::UnfinishedList;
use crate::encode::Id;
use crate::prefetch::{prefetch, prefetch_at};
use crate::token_id::TokenId;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};
use std::sync::OnceLock;

/// The integers of a tokenizer's ids.
pub(super) struct Ints {
    num_ids: usize,
    ints: OnceLock<Box<[OnceLock<Py<PyInt>>]>>,
}

impl Ints {
    /// No integers yet, for the ids below `num_ids`.
    pub fn new(num_ids: usize) -> Self {
        Ints { num_ids, ints: OnceLock::new() }
    }

    /// A list of ids.
    pub fn list<'py, T: Id>(&self, py: Python<'py>, ids: &[T]) -> PyResult<Bound<'py, PyList>> {
        let mut list = UnfinishedList::new(py, ids.len())?;
        self.extend(&mut list, ids)?;
        list.finish()
    }

    /// Adds ids to a list.
    pub fn extend<T: Id>(&self, list: &mut UnfinishedList<'_>, ids: &[T]) -> PyResult<()> {
        let py = list.py();
        let ints = self.ints.get_or_init(|| (0..self.num_ids).map(|_| OnceLock::new()).collect());
        ids.chunks(LOOK_EVERY).try_for_each(|ids| {
            for (place, &id) in ids.iter().enumerate() {
                if let Some(id) = ids.get(place + AHEAD) {
                    prefetch(ints, id.get() as usize);
                }
                if let Some(int) = ids.get(place + AHEAD / 2).and_then(|id| ints[id.get() as usize].get()) {
                    prefetch_at(int.as_ptr());
                }
                list.push(int(py, ints, id.get()))?;
            }
            if ids.len() == LOOK_EVERY { py.check_signals() } else { Ok(()) }
        })
    }
}

/// The ids between two looks for a signal.
const LOOK_EVERY: usize = 1 << 20;

/// How many ids before its turn the place of an integer is prefetched. The integer itself is prefetched half as many before.
/// Where other work has emptied the caches, a list of 1 MiB takes 0.80 of the time. (benches/record/7-limit-of-the-chip.md)
const AHEAD: usize = 32;

#[inline(always)]
fn int<'a, 'py>(py: Python<'py>, ints: &'a [OnceLock<Py<PyInt>>], id: TokenId) -> Borrowed<'a, 'py, PyInt> {
    let int = &ints[id as usize];
    // Nothing waits here, because the interpreter's lock is held and making an integer does not release it.
    int.get().unwrap_or_else(|| int.get_or_init(|| PyInt::new(py, id).unbind())).bind_borrowed(py)
}

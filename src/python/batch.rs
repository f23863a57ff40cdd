/*!
Many texts into ids, encoded while they are taken from Python.

Why not take all of them first? Only the thread that holds the interpreter's lock can take texts, and for 500,000 of
200 bytes that takes a sixth of the call. So the workers begin as soon as each of them has a share.
*/

use super::error::to_py;
use super::few::{FEW_COST, with_few_ids};
use super::held_text::Text;
use super::ids::to_array;
use super::memory::check_memory;
use super::run::{BATCH_BYTES, Sent, Source, run};
use crate::encode::Id;
use crate::encode_batch::shares::{SHARE_BYTES, TEXT_COST};
use crate::encode_batch::{Batch, check_fits, encode_arriving};
use crate::job::Job;
use crate::threads::resolve_threads;
use crate::tokenizer::{Special, Tokenizer};
use numpy::{Element, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

type Group = Arc<Vec<Text>>;

/// The ids of texts as an array, and the position in it at which each text begins, and the end.
pub(super) type PyBatch<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>);

/// Encodes the texts of an iterator. The greatest id must fit `T`.
pub(super) fn batch<'py, T: Id + Element>(
    mut texts: Bound<'py, PyIterator>,
    tokenizer: &Arc<Tokenizer>,
    special: Special,
    threads: Option<usize>,
) -> PyResult<PyBatch<'py>> {
    check_fits::<T>(tokenizer).map_err(to_py)?;
    let py = texts.py();
    let (mut first, mut cost) = (Vec::new(), 0);
    if !take(&mut texts, &mut first, &mut cost, FEW_COST)? {
        return few::<T>(py, tokenizer, &first, special);
    }
    let threads = resolve_threads(threads).map_err(to_py)?;
    let is_all = !take(&mut texts, &mut first, &mut cost, threads * SHARE_BYTES)?;
    let (sender, groups) = channel();
    // The groups are dropped here, because without the interpreter's lock each text would be put on a list behind a
    // lock, to be freed later.
    let mut taken = Vec::new();
    let mut taking = Taking { texts, sender, taken: &mut taken, num_bytes: 0, checked: 0 };
    taking.pass(first, is_all)?;
    let tokenizer = Arc::clone(tokenizer);
    let work = move |job: &Job| encode_arriving(&tokenizer, groups.into_iter(), special, threads, job);
    let Batch::<T> { ids, offsets } = run(py, None, Some(Box::new(taking)), work)?;
    Ok((PyArray1::from_vec(py, ids).into_any(), PyArray1::from_vec(py, offsets)))
}

/// Takes texts until they cost more than `most`. Returns whether they do; if not, there are no more.
fn take(
    iterator: &mut Bound<'_, PyIterator>,
    texts: &mut Vec<Text>,
    cost: &mut usize,
    most: usize,
) -> PyResult<bool> {
    while *cost <= most {
        let Some(text) = iterator.next() else { return Ok(false) };
        let text = Text::new(text?)?;
        *cost = cost.saturating_add(TEXT_COST + text.bytes().len());
        texts.push(text);
    }
    Ok(true)
}

/// Encodes few texts on this thread.
fn few<'py, T: Id + Element>(
    py: Python<'py>,
    tokenizer: &Tokenizer,
    texts: &[Text],
    special: Special,
) -> PyResult<PyBatch<'py>> {
    let texts: Vec<&[u8]> = texts.iter().map(Text::bytes).collect();
    let mut offsets = Vec::with_capacity(texts.len() + 1);
    offsets.push(0);
    let push = |end| offsets.push(end as i64);
    let ids = with_few_ids(py, tokenizer, &texts, special, push, |ids| to_array::<T>(py, ids));
    Ok((ids.map_err(to_py)?, PyArray1::from_slice(py, &offsets)))
}

/// Texts on their way from an iterator to the workers.
struct Taking<'a, 'py> {
    texts: Bound<'py, PyIterator>,
    sender: Sender<Group>,
    /// The groups that were passed to the workers.
    taken: &'a mut Vec<Group>,
    /// The bytes of their texts.
    num_bytes: usize,
    /// The number of bytes for which there was memory.
    checked: usize,
}

impl Taking<'_, '_> {
    /// Passes texts to the workers. Returns whether these receive any more.
    fn pass(&mut self, group: Vec<Text>, is_last: bool) -> PyResult<bool> {
        self.num_bytes += group.iter().map(|text| text.bytes().len()).sum::<usize>();
        if is_last || self.num_bytes / 2 >= self.checked {
            check_memory(self.num_bytes)?;
            self.checked = self.num_bytes;
        }
        let group = Arc::new(group);
        self.taken.push(Arc::clone(&group));
        Ok(self.sender.send(group).is_ok())
    }
}

impl Source for Taking<'_, '_> {
    fn send(&mut self, _py: Python<'_>) -> PyResult<Sent> {
        let (mut group, mut cost) = (Vec::new(), 0);
        let is_last = !take(&mut self.texts, &mut group, &mut cost, BATCH_BYTES)?;
        Ok(if self.pass(group, is_last)? && !is_last { Sent::Some } else { Sent::All })
    }
}

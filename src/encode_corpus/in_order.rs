/*!
Chunks in order, from workers that finish them in any order.

Workers take chunks in order and finish them in any order. A worker that finishes a chunk stores it here, and
then delivers each chunk that is next in order. Delivery has two steps. The receiver sees the chunks one after
another and only decides where the ids of each one go, for instance at which offset of a file. What that takes
is then done by the worker that delivers, while others deliver the chunks after it. So neither copying nor
checksums are limited to one thread. A worker waits only if it is far ahead of a chunk that takes long.
*/

use super::separators::{EncodedChunk, Finished, Receiver};
use crate::encode::{Id, Ids};
use crate::error::Error;
use crate::job::Job;
use crate::panics::lock;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time between two checks of the cancel flag.
const PATIENCE: Duration = Duration::from_millis(20);

/// The chunks that are finished, and the number of the next one to deliver.
pub(super) struct InOrder<T, R> {
    state: Mutex<State<T, R>>,
    moved: Condvar,
    /// The maximum number of finished chunks that wait for an earlier one.
    max_ahead: usize,
}

struct State<T, R> {
    /// The number of the chunk to deliver next.
    next: u64,
    /// The chunks that wait for an earlier one, by number.
    finished: BTreeMap<u64, Finished<T>>,
    /// The buffers of delivered chunks.
    idle: Vec<Ids<T>>,
    /// Taken out while it decides. If it fails it is not put back, so it sees nothing after a failed chunk.
    receiver: Option<Receiver<R>>,
}

impl<T, R, W> InOrder<T, R>
where
    T: Id,
    R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
    W: FnOnce(&[T]) -> Result<(), Error>,
{
    /// A queue in which no chunk is finished yet.
    pub fn new(receiver: Receiver<R>, max_ahead: usize) -> Self {
        let state = State { next: 0, finished: BTreeMap::new(), idle: Vec::new(), receiver: Some(receiver) };
        InOrder { state: Mutex::new(state), moved: Condvar::new(), max_ahead }
    }

    /// Takes a finished chunk, and delivers chunks as long as one is next in order. Returns a buffer for the
    /// worker's next chunk.
    pub fn push(&self, number: u64, finished: Finished<T>, job: &Job) -> Result<Ids<T>, Error> {
        let mut state = lock(&self.state);
        while number != state.next && state.finished.len() >= self.max_ahead {
            job.check()?;
            let waited = self.moved.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.finished.insert(number, finished);
        while let Some((finished, deliver)) = state.take_next()? {
            drop(state);
            self.moved.notify_all();
            job.advance(finished.input_bytes);
            deliver(finished.ids.as_slice())?;
            state = lock(&self.state);
            state.idle.push(finished.ids);
        }
        Ok(state.idle.pop().unwrap_or_default())
    }
}

impl<T: Id, R> State<T, R> {
    /// Takes the next chunk, if it is finished, and what the receiver wants done with it.
    fn take_next<W>(&mut self) -> Result<Option<(Finished<T>, W)>, Error>
    where
        R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
    {
        let Some(finished) = self.receiver.as_ref().and_then(|_| self.finished.remove(&self.next)) else {
            return Ok(None);
        };
        let Some(mut receiver) = self.receiver.take() else { return Ok(None) };
        let deliver = receiver.receive(&finished)?;
        self.receiver = Some(receiver);
        self.next += 1;
        Ok(Some((finished, deliver)))
    }
}

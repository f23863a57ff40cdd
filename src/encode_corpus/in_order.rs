/*!
Chunks in order, from workers that finish them in any order.

Workers take chunks in order and finish them in any order. A worker that finishes a chunk stores it here. If
no other worker is delivering, it delivers all chunks that are next in order, including those that others
store meanwhile. So a worker waits only if it is far ahead of a chunk that takes long. The receiver gets the
chunks in order, and needs no thread of its own.
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
    /// Taken out by the worker that is delivering. If delivery fails it is not put back, so nothing is
    /// delivered after a failed chunk.
    receiver: Option<Receiver<R>>,
}

impl<T: Id, R: FnMut(EncodedChunk<'_, T>) -> Result<(), Error>> InOrder<T, R> {
    /// A queue in which no chunk is finished yet.
    pub fn new(receiver: Receiver<R>, max_ahead: usize) -> Self {
        let state = State { next: 0, finished: BTreeMap::new(), idle: Vec::new(), receiver: Some(receiver) };
        InOrder { state: Mutex::new(state), moved: Condvar::new(), max_ahead }
    }

    /// Takes a finished chunk, and delivers all chunks that are next in order, unless another worker is
    /// delivering. Returns a buffer for the worker's next chunk.
    pub fn push(&self, number: u64, finished: Finished<T>, job: &Job) -> Result<Ids<T>, Error> {
        let mut state = lock(&self.state);
        while number != state.next && state.finished.len() >= self.max_ahead {
            job.check()?;
            let waited = self.moved.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.finished.insert(number, finished);
        while let Some((finished, mut receiver)) = state.take_next() {
            drop(state);
            job.advance(finished.input_bytes);
            let ids = receiver.receive(finished)?;
            state = lock(&self.state);
            state.next += 1;
            state.receiver = Some(receiver);
            state.idle.push(ids);
            self.moved.notify_all();
        }
        Ok(state.idle.pop().unwrap_or_default())
    }
}

impl<T, R> State<T, R> {
    /// Takes the next chunk and the receiver, if both are available.
    fn take_next(&mut self) -> Option<(Finished<T>, Receiver<R>)> {
        let finished = self.receiver.as_ref().and_then(|_| self.finished.remove(&self.next))?;
        Some((finished, self.receiver.take()?))
    }
}

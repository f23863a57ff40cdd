/*!
The queue that decides which source a worker reads next.

A worker takes an open source that no other worker is reading, or else opens the next source. After reading a
chunk it gives the source back, unless the source has ended. So at most as many sources are open as there are
workers, however many files the corpus has. A source that several workers can read at once is shared instead:
it stays here, and each worker claims a chunk of it.
*/

use crate::error::Error;
use crate::job::Job;
use crate::panics::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time between two checks of the cancel flag while other workers read.
const PATIENCE: Duration = Duration::from_millis(20);

/// Sources that workers take in turns. `T` is an open source.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    returned: Condvar,
}

struct State<T> {
    /// The number of the first source that was not opened yet.
    next: usize,
    idle: Vec<T>,
    /// The number of sources that workers are reading.
    num_taken: usize,
    num_chunks: u64,
}

/// The source that a worker reads next.
pub(super) enum Turn<T> {
    /// A source that is open.
    Open(T),
    /// The index of a source that the worker must open.
    Next(usize),
}

impl<T> Queue<T> {
    /// A queue whose first unopened source is number `next`.
    pub fn new(next: usize, idle: Vec<T>) -> Self {
        let state = State { next, idle, num_taken: 0, num_chunks: 0 };
        Queue { state: Mutex::new(state), returned: Condvar::new() }
    }

    /// Takes a source that no other worker is reading. Returns `None` when all sources are read. With
    /// `in_order`, no two sources are read at the same time.
    pub fn take(&self, num_sources: usize, in_order: bool, job: &Job) -> Result<Option<Turn<T>>, Error> {
        let mut state = lock(&self.state);
        loop {
            job.check()?;
            let may_take = !in_order || state.num_taken == 0;
            if may_take && let Some(open) = state.idle.pop() {
                state.num_taken += 1;
                return Ok(Some(Turn::Open(open)));
            }
            if may_take && state.next < num_sources {
                let number = state.next;
                state.next += 1;
                state.num_taken += 1;
                return Ok(Some(Turn::Next(number)));
            }
            if state.num_taken == 0 {
                return Ok(None);
            }
            let waited = self.returned.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Claims a chunk of an idle source. `claim` must be quick, because all workers wait for it. It returns
    /// what it claimed and whether that was the source's last chunk, or `None` if a source is not shared.
    /// Returns the claim and the number of the chunk.
    pub fn claim<C>(&self, claim: impl FnOnce(&mut T) -> Option<(C, bool)>) -> Option<(C, u64)> {
        let mut state = lock(&self.state);
        let (claimed, is_last) = claim(state.idle.last_mut()?)?;
        if is_last {
            state.idle.pop();
        }
        state.num_chunks += 1;
        Some((claimed, state.num_chunks - 1))
    }

    /// Shares a source that was taken, so that all workers claim chunks of it.
    pub fn share(&self, open: T) {
        let mut state = lock(&self.state);
        state.num_taken -= 1;
        state.idle.push(open);
        self.returned.notify_all();
    }

    /// Gives a source back, or `None` if its last chunk was taken. Returns the number of the chunk that was
    /// taken from it.
    pub fn give_back(&self, open: Option<T>) -> u64 {
        let mut state = lock(&self.state);
        state.num_taken -= 1;
        state.idle.extend(open);
        state.num_chunks += 1;
        self.returned.notify_one();
        state.num_chunks - 1
    }
}

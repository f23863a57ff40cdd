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
use crate::sync::{Condvar, Mutex};
use std::sync::PoisonError;
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
                // The last source that was given back woke one worker, and the others wait.
                self.returned.notify_all();
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

#[cfg(test)]
#[cfg(feature = "loom")]
#[allow(clippy::unwrap_used)]
mod models {
    use super::*;
    use crate::sync::explore;
    use std::sync::Arc;

    /// Reads sources of one or two chunks each, until there are none.
    fn read(queue: &Queue<(usize, usize)>, chunks_of: &[usize], in_order: bool) -> Vec<(u64, usize)> {
        let (job, mut chunks) = (Job::default(), Vec::new());
        while let Some(turn) = queue.take(chunks_of.len(), in_order, &job).unwrap() {
            let (source, left) = match turn {
                Turn::Open(open) => open,
                Turn::Next(number) => (number, chunks_of[number]),
            };
            chunks.push((queue.give_back((left > 1).then_some((source, left - 1))), source));
        }
        chunks
    }

    fn each_chunk_is_read_once(workers: usize, chunks_of: &'static [usize], in_order: bool) {
        explore(move || {
            let queue = Arc::new(Queue::new(0, Vec::new()));
            let others: Vec<_> = (1..workers)
                .map(|_| {
                    let queue = Arc::clone(&queue);
                    loom::thread::spawn(move || read(&queue, chunks_of, in_order))
                })
                .collect();
            let mut chunks = read(&queue, chunks_of, in_order);
            others.into_iter().for_each(|other| chunks.extend(other.join().unwrap()));
            chunks.sort_unstable();
            let mut sources: Vec<usize> = chunks.iter().map(|chunk| chunk.1).collect();
            assert!(chunks.iter().map(|chunk| chunk.0).eq(0..chunks.len() as u64));
            assert!(!in_order || sources.is_sorted());
            sources.sort_unstable();
            let expected = chunks_of.iter().enumerate().flat_map(|(source, &n)| vec![source; n]);
            assert!(sources.into_iter().eq(expected));
        });
    }

    #[test]
    fn two_workers_read_each_chunk_once_and_end() {
        each_chunk_is_read_once(2, &[2, 1], false);
        each_chunk_is_read_once(2, &[2, 1], true);
    }

    #[test]
    fn of_three_workers_each_learns_that_no_source_is_left() {
        each_chunk_is_read_once(3, &[1], false);
        each_chunk_is_read_once(3, &[1, 1], true);
    }
}

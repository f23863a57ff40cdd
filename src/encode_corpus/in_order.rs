/*!
Chunks in order, from workers that finish them in any order.

Workers take chunks in order and finish them in any order. A worker that finishes a chunk stores it here, and
then delivers each chunk that is next in order. Delivery has two steps. The receiver sees the chunks one after
another and only decides where the ids of each one go, for instance at which offset of a file. What that takes
is then done by the worker that delivers, while others deliver the chunks after it. So neither copying nor
checksums are limited to one thread. A worker waits only if it is far ahead of a chunk that takes long.

A chunk before which a separator depends on the next chunk is held until that one is finished (`separators`).
*/

use super::separators::{EncodedChunk, Finished, Receiver};
use crate::encode::{Id, Ids};
use crate::error::Error;
use crate::job::Job;
use crate::panics::lock;
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::PoisonError;
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
    /// The chunk before `next`, if a separator before it is undecided.
    held: Option<Finished<T>>,
    /// Whether all chunks are finished.
    is_complete: bool,
    /// The number of workers that wait until others are less far behind.
    num_waiting: usize,
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
        let state = State {
            next: 0,
            finished: BTreeMap::new(),
            held: None,
            is_complete: false,
            num_waiting: 0,
            idle: Vec::new(),
            receiver: Some(receiver),
        };
        InOrder { state: Mutex::new(state), moved: Condvar::new(), max_ahead }
    }

    /// Takes a finished chunk, and delivers chunks as long as one is next in order. Returns a buffer for the
    /// worker's next chunk.
    pub fn push(&self, number: u64, finished: Finished<T>, job: &Job) -> Result<Ids<T>, Error> {
        let mut state = lock(&self.state);
        while number != state.next && state.finished.len() >= self.max_ahead {
            job.check()?;
            state.num_waiting += 1;
            let waited = self.moved.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.num_waiting -= 1;
        }
        state.finished.insert(number, finished);
        state = self.deliver(state, job)?;
        Ok(state.idle.pop().unwrap_or_default())
    }

    /// Delivers the chunk that is held, if there is one, when no other will come.
    pub fn complete(&self, job: &Job) -> Result<(), Error> {
        let mut state = lock(&self.state);
        state.is_complete = true;
        self.deliver(state, job).map(drop)
    }

    /// Delivers chunks as long as one is next in order.
    fn deliver<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T, R>>,
        job: &Job,
    ) -> Result<MutexGuard<'a, State<T, R>>, Error> {
        loop {
            let next = state.take_next()?;
            // Without this condition each chunk would cost a system call.
            if state.num_waiting > 0 {
                self.moved.notify_all();
            }
            let Some((finished, deliver)) = next else { return Ok(state) };
            drop(state);
            job.advance(finished.input_bytes);
            deliver(finished.ids.as_slice())?;
            state = lock(&self.state);
            state.idle.push(finished.ids);
        }
    }
}

impl<T: Id, R> State<T, R> {
    /// Takes the next chunk, if it is finished, and what the receiver wants done with it.
    fn take_next<W>(&mut self) -> Result<Option<(Finished<T>, W)>, Error>
    where
        R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
    {
        let Some(mut receiver) = self.receiver.take() else { return Ok(None) };
        let decided = self.next_decided(&receiver);
        let delivered = match decided {
            None => None,
            Some(finished) => Some((receiver.receive(&finished)?, finished)),
        };
        self.receiver = Some(receiver);
        Ok(delivered.map(|(deliver, finished)| (finished, deliver)))
    }

    /// Takes the next chunk, joined with the ones before it that were held. `None` if it is not finished or
    /// has to be held.
    fn next_decided(&mut self, receiver: &Receiver<R>) -> Option<Finished<T>> {
        loop {
            let Some(next) = self.finished.first_entry().filter(|next| *next.key() == self.next) else {
                return self.held.take_if(|_| self.is_complete);
            };
            if let Some(held) = self.held.take_if(|held| held.end.source != next.get().end.source) {
                return Some(held);
            }
            let next = next.remove();
            self.next += 1;
            let joined = match self.held.take() {
                None => next,
                Some(mut held) => {
                    held.join(&next);
                    self.idle.push(next.ids);
                    held
                }
            };
            if !receiver.is_undecided(&joined) {
                return Some(joined);
            }
            self.held = Some(joined);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "loom")]
#[allow(clippy::unwrap_used)]
mod models {
    use super::super::separators::{Edge, Start};
    use super::*;
    use crate::corpus::Place;
    use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use crate::sync::explore;
    use std::sync::Arc;

    const CHUNKS: usize = 3;

    fn finished(number: usize) -> Finished<u16> {
        let mut ids = Ids::with_room(1);
        ids.extend(&[u32::try_from(number).unwrap()]);
        let end = Place { source: 0, offset: number as u64 + 1 };
        let (begins, ends, has_documents) = (Edge::Text, Edge::Text, false);
        Finished { ids, begins, ends, end, input_bytes: 1, text_bytes: 1, skipped_lines: 0, has_documents }
    }

    /// Two workers take chunks in order and finish them in any order, at most `max_ahead` ahead.
    fn each_chunk_is_received_in_order(max_ahead: usize) {
        explore(move || {
            let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
            let written = Arc::new(std::sync::Mutex::new(Vec::new()));
            let receive = {
                let (seen, written) = (Arc::clone(&seen), Arc::clone(&written));
                move |chunk: EncodedChunk<'_, u16>| {
                    seen.lock().unwrap().push(chunk.end.offset);
                    let written = Arc::clone(&written);
                    Ok::<_, Error>(move |ids: &[u16]| {
                        written.lock().unwrap().extend_from_slice(ids);
                        Ok(())
                    })
                }
            };
            let receiver = Receiver { last: Start::default(), separator: None, receive };
            let (queue, next) = (Arc::new(InOrder::new(receiver, max_ahead)), Arc::new(AtomicUsize::new(0)));
            let work = {
                let (queue, next) = (Arc::clone(&queue), Arc::clone(&next));
                move || {
                    let job = Job::default();
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= CHUNKS {
                            return;
                        }
                        queue.push(number as u64, finished(number), &job).unwrap();
                    }
                }
            };
            let other = loom::thread::spawn(work.clone());
            work();
            other.join().unwrap();
            queue.complete(&Job::default()).unwrap();
            assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
            written.lock().unwrap().sort_unstable();
            assert_eq!(*written.lock().unwrap(), [0, 1, 2]);
        });
    }

    #[test]
    fn each_chunk_is_received_once_and_in_order_and_nobody_waits_for_ever() {
        each_chunk_is_received_in_order(1);
        each_chunk_is_received_in_order(2);
    }
}

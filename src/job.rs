/*!
One long piece of work, seen from outside: how far it is, and whether it should stop.

Why not a callback passed down into the work? A callback into Python needs the interpreter's lock, and a worker that
waits for a lock on every chunk is the slowest progress bar there is. Workers here only touch atomics; whoever started
the work looks at them as often as it likes, and asks it to stop by setting a flag that every loop looks at.

Threads belong to the call: they are started when it begins and joined before it returns, so nothing survives a
cancelled call, nothing is inherited over a `fork`, and an import starts nothing.
*/

use crate::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A stage of a long job, as its progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading and counting; the unit is bytes.
    Count,
    /// Learning merges; the unit is merges.
    Merge,
    /// Encoding; the unit is bytes.
    Encode,
    /// Checking a token file; the unit is bytes.
    Verify,
}

impl Stage {
    /// The stage's name in progress reports.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Count => "count",
            Stage::Merge => "merge",
            Stage::Encode => "encode",
            Stage::Verify => "verify",
        }
    }
}

/// How far a stage is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The stage this speaks of.
    pub stage: Stage,
    /// Bytes or merges done.
    pub done: u64,
    /// Bytes or merges in all, where that is known.
    pub total: Option<u64>,
    /// Wall seconds from the stage's start to its end, or to now.
    pub seconds: f64,
}

struct RunningStage {
    stage: Stage,
    total: Option<u64>,
    started: Instant,
}

/// The cancel flag and progress counters of one long piece of work.
#[derive(Default)]
pub struct Job {
    cancelled: CancelFlag,
    done: AtomicU64,
    running: Mutex<Option<RunningStage>>,
    finished: Mutex<Vec<Progress>>,
    notes: Mutex<Vec<String>>,
}

/// Whether a job was asked to stop, for whoever cannot see the job.
#[derive(Clone, Default)]
pub(crate) struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Job {
    /// The job of what is too short to be watched or stopped.
    pub(crate) fn unwatched() -> &'static Self {
        static JOB: LazyLock<Job> = LazyLock::new(Job::default);
        &JOB
    }

    /// Asks the work to stop; it does so within some milliseconds.
    pub fn cancel(&self) {
        self.cancelled.0.store(true, Relaxed);
    }

    pub(crate) fn cancel_flag(&self) -> CancelFlag {
        self.cancelled.clone()
    }

    /// `Err(Error::Cancelled)` once [`Job::cancel`] was called.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancelled.is_set() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Adds to the running stage's progress.
    pub fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Relaxed);
    }

    /// Leaves a note for whoever started the work: something that may be a mistake of theirs.
    pub fn note(&self, note: String) {
        lock(&self.notes).push(note);
    }

    /// The notes since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notes))
    }

    /// Runs one stage, whose seconds and final progress are then in [`Job::finished`].
    pub fn stage<T>(
        &self,
        stage: Stage,
        total: Option<u64>,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.done.store(0, Relaxed);
        *lock(&self.running) = Some(RunningStage { stage, total, started: Instant::now() });
        let result = work();
        if let Some(mut last) = self.running() {
            last.total = Some(last.done);
            if result.is_ok() {
                lock(&self.finished).push(last);
            }
        }
        *lock(&self.running) = None;
        result
    }

    /// The stage that is running, if any.
    pub fn running(&self) -> Option<Progress> {
        lock(&self.running).as_ref().map(|running| Progress {
            stage: running.stage,
            done: self.done.load(Relaxed),
            total: running.total,
            seconds: running.started.elapsed().as_secs_f64(),
        })
    }

    /// The stages that have ended, in order.
    pub fn finished(&self) -> Vec<Progress> {
        lock(&self.finished).clone()
    }

    /// How a stage ended when it last did.
    pub fn last(&self, stage: Stage) -> Option<Progress> {
        lock(&self.finished).iter().rfind(|progress| progress.stage == stage).copied()
    }
}

/// Locks a mutex whose value no panic can leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` with a thread pool of its own, and joins the pool's threads before it returns.
pub(crate) fn with_threads<T: Send>(
    threads: usize,
    work: impl FnOnce(&rayon::ThreadPool) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("bpe_lm-{i}"))
        .build_scoped(rayon::ThreadBuilder::run, work)
        .map_err(|error| Error::Threads { threads, reason: error.to_string() })?
}

/// All results, or the first error that is not merely the echo of another worker's.
pub(crate) fn first_cause<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut values = Vec::with_capacity(results.len());
    let mut cause = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) if matches!(cause, None | Some(Error::Cancelled)) => cause = Some(error),
            Err(_) => {}
        }
    }
    cause.map_or(Ok(values), Err)
}

/// The number of threads that `requested` means: all cores for `None`.
pub fn resolve_threads(requested: Option<usize>) -> Result<usize, Error> {
    match requested {
        Some(n) if !(1..=1024).contains(&n) => Err(Error::Option {
            name: "threads",
            value: n.to_string(),
            rule: "a number from 1 to 1024, or nothing for one a core",
        }),
        Some(n) => Ok(n),
        None => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    }
}

/*!
A long piece of work as seen from outside: how far it is, and whether it should stop.

Why not a callback passed down into the work? A callback into Python needs the interpreter's lock, and workers
that wait for a lock on every chunk make the slowest progress bar there is. Workers here only touch atomics.
The code that started the work reads them as often as it likes, and stops the work by a flag that every loop
checks.

An error inside the work never sets the caller's flag ([`crate::threads`]). Only the owner of a job cancels
it, so the same job serves for another attempt after an error.
*/

use crate::error::Error;
use crate::panics::lock;
use crate::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Items of a long list, of some nanoseconds each, between two checks of the cancel flag.
pub(crate) const CHECK_EVERY: usize = 1 << 16;

/// A stage of a long job. Progress is shown for each stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading and counting; the unit is bytes.
    Count,
    /// Adding sorted counts; the unit is pretokens.
    Sum,
    /// Learning merges; the unit is merges.
    Merge,
    /// Reading the text before a shard that is to be encoded; the unit is bytes.
    Seek,
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
            Stage::Sum => "sum",
            Stage::Merge => "merge",
            Stage::Seek => "seek",
            Stage::Encode => "encode",
            Stage::Verify => "verify",
        }
    }
}

/// The progress of a stage.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// The amount done, in the unit of the stage.
    pub done: u64,
    /// The amount in all, if it is known.
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
    stages: Arc<Stages>,
}

#[derive(Default)]
struct Stages {
    done: AtomicU64,
    running: Mutex<Option<RunningStage>>,
    finished: Mutex<Vec<Progress>>,
    notes: Mutex<Vec<String>>,
    /// The wall time of each phase, in the order of their first runs; `None` where nobody asked for it.
    phases: Option<Mutex<Vec<(&'static str, Duration)>>>,
    #[cfg(test)]
    touches_left: std::sync::atomic::AtomicI64,
}

/// The cancel flag of a job, for code that has no access to the job.
#[derive(Clone, Default)]
pub(crate) struct CancelFlag(Arc<Flag>);

#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    /// The flag of the job of which this one is a part.
    outer: Option<CancelFlag>,
}

impl CancelFlag {
    /// Whether the job, or the job of which it is a part, was cancelled.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Relaxed) || self.0.outer.as_ref().is_some_and(CancelFlag::is_set)
    }
}

impl Job {
    /// A job for work that is too short to be watched or stopped.
    pub(crate) fn unwatched() -> &'static Self {
        static JOB: LazyLock<Job> = LazyLock::new(Job::default);
        &JOB
    }

    /// A job that also measures the phases of its stages, for benchmarks.
    pub fn with_phases() -> Self {
        let stages = Stages { phases: Some(Mutex::default()), ..Stages::default() };
        Job { cancelled: CancelFlag::default(), stages: Arc::new(stages) }
    }

    /// Asks the work to stop, which takes a few milliseconds.
    pub fn cancel(&self) {
        self.cancelled.0.is_set.store(true, Relaxed);
    }

    /// A part of this job, with the same progress. Cancelling the job cancels the part; cancelling the part
    /// leaves the job.
    pub(crate) fn part(&self) -> Self {
        let flag = Flag { is_set: AtomicBool::new(false), outer: Some(self.cancelled.clone()) };
        Job { cancelled: CancelFlag(Arc::new(flag)), stages: Arc::clone(&self.stages) }
    }

    /// The cancel flag alone.
    pub(crate) fn cancel_flag(&self) -> CancelFlag {
        self.cancelled.clone()
    }

    /// Returns `Err(Error::Cancelled)` once [`Job::cancel`] was called.
    pub fn check(&self) -> Result<(), Error> {
        #[cfg(test)]
        self.touch();
        if self.cancelled.is_set() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Calls `visit` with a list, or with its parts if it is long, and checks the flag between two of them.
    #[inline]
    pub(crate) fn in_parts<T>(&self, list: &[T], mut visit: impl FnMut(&[T])) -> Result<(), Error> {
        let (first, rest) = list.split_at(list.len().min(CHECK_EVERY));
        visit(first);
        rest.chunks(CHECK_EVERY).try_for_each(|part| self.check().map(|()| visit(part)))
    }

    /// Adds to the running stage's progress.
    pub fn advance(&self, amount: u64) {
        #[cfg(test)]
        self.touch();
        self.stages.done.fetch_add(amount, Relaxed);
    }

    /// Adds to the running stage's progress, if the job was not cancelled.
    pub fn report(&self, amount: u64) -> Result<(), Error> {
        self.check()?;
        self.advance(amount);
        Ok(())
    }

    /// Leaves a note for the caller, about something that may be a mistake.
    pub fn note(&self, note: String) {
        lock(&self.stages.notes).push(note);
    }

    /// Takes the notes that were left since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.stages.notes))
    }

    /// Runs one stage. If it succeeds, [`Job::finished`] has its seconds and final progress.
    pub fn stage<T>(
        &self,
        stage: Stage,
        total: Option<u64>,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.stages.done.store(0, Relaxed);
        *lock(&self.stages.running) = Some(RunningStage { stage, total, started: Instant::now() });
        let result = work();
        if let Some(mut last) = self.running() {
            last.total = Some(last.done);
            if result.is_ok() {
                lock(&self.stages.finished).push(last);
            }
        }
        *lock(&self.stages.running) = None;
        result
    }

    /// Runs a phase of a stage. Only a job [`with_phases`](Job::with_phases) looks at the clock.
    #[inline]
    pub(crate) fn phase<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let Some(phases) = &self.stages.phases else { return work() };
        let started = Instant::now();
        let result = work();
        let elapsed = started.elapsed();
        let mut phases = lock(phases);
        match phases.iter_mut().find(|phase| phase.0 == name) {
            Some(phase) => phase.1 += elapsed,
            None => phases.push((name, elapsed)),
        }
        result
    }

    /// The wall time of each phase so far, summed over its runs; empty without [`Job::with_phases`].
    pub fn phases(&self) -> Vec<(&'static str, Duration)> {
        self.stages.phases.as_ref().map_or_else(Vec::new, |phases| lock(phases).clone())
    }

    /// The stage that is running, if any.
    pub fn running(&self) -> Option<Progress> {
        lock(&self.stages.running).as_ref().map(|running| Progress {
            stage: running.stage,
            done: self.stages.done.load(Relaxed),
            total: running.total,
            seconds: running.started.elapsed().as_secs_f64(),
        })
    }

    /// The stages that have ended, in order.
    pub fn finished(&self) -> Vec<Progress> {
        lock(&self.stages.finished).clone()
    }

    /// The final progress of a stage when it last ended.
    pub fn last(&self, stage: Stage) -> Option<Progress> {
        lock(&self.stages.finished).iter().rfind(|progress| progress.stage == stage).copied()
    }
}

#[cfg(test)]
impl Job {
    /// The message of a panic on purpose.
    pub(crate) const ON_PURPOSE: &str = "a panic on purpose";

    /// A job that panics once, at the n-th time (from 0) that its work checks the flag or reports progress.
    pub(crate) fn panicking_at(touch: i64) -> Self {
        let job = Job::default();
        job.stages.touches_left.store(touch + 1, Relaxed);
        job
    }

    /// Whether it has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.stages.touches_left.load(Relaxed) <= 0
    }

    /// How often a job that never panics was touched.
    pub(crate) fn touches(&self) -> u64 {
        self.stages.touches_left.load(Relaxed).unsigned_abs()
    }

    fn touch(&self) {
        assert!(self.stages.touches_left.fetch_sub(1, Relaxed) != 1, "{}", Job::ON_PURPOSE);
    }
}

/*!
One long piece of work, seen from outside: how far it is, and whether it should stop.

Why not a callback passed down into the work? A callback into Python needs the interpreter's lock, and a worker that
waits for a lock on every chunk is the slowest progress bar there is. Workers here only touch atomics; whoever started
the work looks at them as often as it likes, and asks it to stop by setting a flag that every loop looks at.

Threads belong to the call: they are started when it begins and joined before it returns, so nothing survives a
cancelled call, nothing is inherited over a `fork`, and an import starts nothing.

Threads that share work wait for each other. So one that fails or panics stops the others ([`on_all_threads`]), by a flag
that is not the caller's: a job is cancelled only by whoever has it, and serves again after an error.
*/

use crate::error::Error;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    stages: Arc<Stages>,
}

#[derive(Default)]
struct Stages {
    done: AtomicU64,
    running: Mutex<Option<RunningStage>>,
    finished: Mutex<Vec<Progress>>,
    notes: Mutex<Vec<String>>,
    #[cfg(test)]
    touches_left: std::sync::atomic::AtomicI64,
}

/// Whether a job was asked to stop, for whoever cannot see the job.
#[derive(Clone, Default)]
pub(crate) struct CancelFlag(Arc<Flag>);

#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    /// That of the job of which this one is a part.
    outer: Option<CancelFlag>,
}

impl CancelFlag {
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Relaxed) || self.0.outer.as_ref().is_some_and(CancelFlag::is_set)
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
        self.cancelled.0.is_set.store(true, Relaxed);
    }

    /// A part of it, with the same progress: cancelled when the whole is, but not the other way round.
    fn part(&self) -> Self {
        let flag = Flag { is_set: AtomicBool::new(false), outer: Some(self.cancelled.clone()) };
        Job { cancelled: CancelFlag(Arc::new(flag)), stages: Arc::clone(&self.stages) }
    }

    pub(crate) fn cancel_flag(&self) -> CancelFlag {
        self.cancelled.clone()
    }

    /// `Err(Error::Cancelled)` once [`Job::cancel`] was called.
    pub fn check(&self) -> Result<(), Error> {
        #[cfg(test)]
        self.touch();
        if self.cancelled.is_set() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Adds to the running stage's progress.
    pub fn advance(&self, amount: u64) {
        #[cfg(test)]
        self.touch();
        self.stages.done.fetch_add(amount, Relaxed);
    }

    /// Leaves a note for whoever started the work: something that may be a mistake of theirs.
    pub fn note(&self, note: String) {
        lock(&self.stages.notes).push(note);
    }

    /// The notes since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.stages.notes))
    }

    /// Runs one stage, whose seconds and final progress are then in [`Job::finished`].
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

    /// How a stage ended when it last did.
    pub fn last(&self, stage: Stage) -> Option<Progress> {
        lock(&self.stages.finished).iter().rfind(|progress| progress.stage == stage).copied()
    }
}

/// Locks a mutex whose value serves after a panic, because no panic can leave it half-changed or because nobody uses what
/// comes of it.
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
        .build_scoped(rayon::ThreadBuilder::run, |pool| caught(|| work(pool)))
        .map_err(|error| Error::Threads { threads, reason: error.to_string() })?
}

/// Runs `work` on each thread of a pool. Where one fails or panics the others are cancelled, by the job that they are
/// given; `job` itself is not.
pub(crate) fn on_all_threads<T: Send>(
    pool: &rayon::ThreadPool,
    job: &Job,
    work: impl Fn(&Job) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let part = job.part();
    first_cause(pool.broadcast(|_| cancelling(&part, &work)))
}

/// Runs `work` here and `other` on a thread of its own, with the same rule.
pub(crate) fn on_two_threads(
    job: &Job,
    work: impl FnOnce(&Job) -> Result<(), Error>,
    other: impl FnOnce(&Job) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let part = &job.part();
    let results = std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, move || cancelling(part, other));
        let other = other.map_err(|error| Error::Threads { threads: 1, reason: error.to_string() })?;
        let here = cancelling(part, work);
        Ok(vec![here, other.join().unwrap_or_else(|panic| Err(Error::Internal(message(&*panic))))])
    })?;
    first_cause(results).map(|_| ())
}

/// Runs `work`, and cancels the job that it is given if it fails.
fn cancelling<T>(job: &Job, work: impl FnOnce(&Job) -> Result<T, Error>) -> Result<T, Error> {
    caught(|| work(job)).inspect_err(|_| job.cancel())
}

/// The result of `work`, where a panic is an [`Error::Internal`]. What it was working on should not be used then.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Internal(message(&*panic))))
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// All results, or the first error that is not merely the echo of another worker's.
fn first_cause<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
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

#[cfg(test)]
impl Job {
    /// What a panic on purpose says.
    pub(crate) const ON_PURPOSE: &str = "a panic on purpose";

    /// A job that panics once, when its work for the n-th time, from 0, looks at the flag or says how far it is.
    pub(crate) fn panicking_at(touch: i64) -> Self {
        let job = Job::default();
        job.stages.touches_left.store(touch + 1, Relaxed);
        job
    }

    /// Whether it has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.stages.touches_left.load(Relaxed) <= 0
    }

    fn touch(&self) {
        assert!(self.stages.touches_left.fetch_sub(1, Relaxed) != 1, "{}", Job::ON_PURPOSE);
    }
}

/// For tests of what must not hang.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// The result of `work`, which panics if that takes a minute.
    pub(crate) fn in_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = channel();
        std::thread::spawn(move || sender.send(work()));
        result.recv_timeout(Duration::from_secs(60)).expect("an end within a minute")
    }

    /// Whether it is the panic on purpose.
    pub(crate) fn is_on_purpose(error: &Error) -> bool {
        matches!(error, Error::Internal(message) if message == Job::ON_PURPOSE)
    }

    /// Runs `work` with a panic at its first touch of the job, at its second, and so on until there is none; each time
    /// that is an error of its own kind, and the same job serves for another run, which gives what is expected. How often
    /// there was one.
    pub(crate) fn panic_everywhere<T: PartialEq + std::fmt::Debug + Send + 'static>(
        work: impl Fn(&Job) -> Result<T, Error> + Send + 'static,
    ) -> usize {
        in_a_minute(move || {
            let expected = work(&Job::default()).expect("a result without a panic");
            for touch in 0.. {
                let job = Job::panicking_at(touch);
                let result = caught(|| work(&job));
                if !job.has_panicked() {
                    assert_eq!(result.expect("a result without a panic"), expected);
                    return usize::try_from(touch).expect("a small number");
                }
                let error = result.expect_err("an error after a panic");
                assert!(is_on_purpose(&error), "at touch {touch}: {error}");
                assert_eq!(work(&job).expect("a result at the second try"), expected);
            }
            unreachable!()
        })
    }

    fn wait_for_cancel(job: &Job) -> Result<(), Error> {
        loop {
            job.check()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_worker_that_panics_or_fails_stops_the_others_and_not_the_job() {
        let failing = |job: &Job| Err(job.check().err().unwrap_or(Error::Limit { what: "a test", limit: 1 }));
        let panicking = |_: &Job| panic!("{}", Job::ON_PURPOSE);
        type Way = fn(&Job) -> Result<(), Error>;
        let ways: [Way; 2] = [failing, panicking];
        for way in ways {
            let (error, job) = in_a_minute(move || {
                let job = Job::default();
                let is_first = AtomicBool::new(true);
                let work =
                    |job: &Job| if is_first.swap(false, Relaxed) { way(job) } else { wait_for_cancel(job) };
                let error = with_threads(3, |pool| on_all_threads(pool, &job, work)).expect_err("an error");
                (error, job)
            });
            assert!(is_on_purpose(&error) || matches!(error, Error::Limit { .. }), "{error}");
            assert!(job.check().is_ok());
            let again = with_threads(3, |pool| on_all_threads(pool, &job, |job| job.check().map(|()| 7)));
            assert_eq!(again.expect("results"), [7, 7, 7]);
        }
    }

    #[test]
    fn of_two_threads_each_stops_the_other() {
        for here_panics in [true, false] {
            let (error, job) = in_a_minute(move || {
                let job = Job::default();
                let one = |panics: bool| {
                    move |job: &Job| if panics { panic!("{}", Job::ON_PURPOSE) } else { wait_for_cancel(job) }
                };
                (on_two_threads(&job, one(here_panics), one(!here_panics)).expect_err("an error"), job)
            });
            assert!(is_on_purpose(&error), "{error}");
            assert!(job.check().is_ok());
        }
    }

    #[test]
    fn a_cancelled_job_cancels_its_parts() {
        let error = in_a_minute(|| {
            let job = Job::default();
            job.cancel();
            with_threads(2, |pool| on_all_threads(pool, &job, wait_for_cancel)).expect_err("an error")
        });
        assert!(matches!(error, Error::Cancelled), "{error}");
    }

    #[test]
    fn a_panic_beside_the_workers_is_an_error() {
        let error = with_threads(2, |_| -> Result<(), Error> { panic!("{}", Job::ON_PURPOSE) });
        assert!(is_on_purpose(&error.expect_err("an error")));
    }
}

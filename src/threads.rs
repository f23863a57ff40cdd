/*!
Worker threads that belong to one call.

They are started when the call begins and joined before it returns. So nothing survives a cancelled call,
nothing is inherited over a `fork`, and importing the package starts nothing.

Threads that share work wait for each other, so a thread that fails or panics must stop the others. It does so
through the cancel flag of a part of the caller's job (`on_all_threads`).
*/

use crate::error::Error;
use crate::job::Job;
use crate::panics::{caught, message};

/// Runs `work` with a new thread pool, and joins the pool's threads before it returns.
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

/// Runs `work` on each thread of a pool. If one thread fails or panics, the others are cancelled through the
/// job that they are given, which is a part of `job`; `job` itself is not cancelled.
pub(crate) fn on_all_threads<T: Send>(
    pool: &rayon::ThreadPool,
    job: &Job,
    work: impl Fn(&Job) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let part = job.part();
    first_cause(pool.broadcast(|_| cancelling(&part, &work)))
}

/// Runs `work` on this thread and `other` on a new thread. If one fails or panics, the other is cancelled, as
/// in [`on_all_threads`].
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

/// Runs `work` with a job, and cancels that job if `work` fails.
fn cancelling<T>(job: &Job, work: impl FnOnce(&Job) -> Result<T, Error>) -> Result<T, Error> {
    caught(|| work(job)).inspect_err(|_| job.cancel())
}

/// All results, or the first error that is not merely [`Error::Cancelled`], the echo of another worker's
/// error.
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

/// The usual minimum number of bytes of a corpus for each worker beyond the second.
///
/// Each worker has a table of its own and meets the frequent words, and many rare ones, by itself. Of 20 MB of
/// web text one worker finds 105,728 distinct pretokens, eight find 302,146 in all, and 32 find 478,342. With four
/// megabytes a worker the surplus of that text is a fifth of the work at most. (benches/record/7-limit-of-the-chip.md)
pub(crate) const MIN_SHARE: u64 = 4 << 20;

/// The number of workers for a corpus: at most `threads`, and one for each `min_share` bytes, but two even for a
/// short corpus, because two find few words twice. A corpus of unknown length gets all threads.
pub(crate) fn workers(threads: usize, num_bytes: Option<u64>, min_share: u64) -> usize {
    let most = num_bytes.map_or(u64::MAX, |num_bytes| (num_bytes / min_share.max(1)).max(2));
    threads.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// The number of threads for an option: all cores for `None`.
///
/// # Errors
/// [`Error::Option`] for a number that is not from 1 to 1024.
pub fn resolve_threads(requested: Option<usize>) -> Result<usize, Error> {
    match requested {
        Some(n) if !(1..=1024).contains(&n) => Err(Error::Option {
            name: "threads",
            value: n.to_string(),
            rule: "a number from 1 to 1024; without the option, it is one per core",
        }),
        Some(n) => Ok(n),
        None => Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_a_minute, is_on_purpose};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn there_are_as_many_workers_as_have_enough_to_do() {
        assert_eq!(workers(8, None, 400), 8);
        for (num_bytes, expected) in [(0, 2), (1199, 2), (1200, 3), (3199, 7), (3200, 8), (u64::MAX, 8)] {
            assert_eq!(workers(8, Some(num_bytes), 400), expected, "{num_bytes}");
        }
        assert_eq!(workers(8, Some(5), 0), 5);
        assert_eq!(workers(1, Some(5), 400), 1);
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

/*!
Worker threads that belong to one call.

They are started when the call begins and joined before it returns. So nothing survives a cancelled call, nothing is inherited
over a `fork`, and importing the package starts nothing.

Threads that share work wait for each other, so a thread that fails or panics must stop the others. It does so through the cancel
flag of a part of the caller's job ([`on_all_threads`]).
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

/// Runs `work` on each thread of a pool. If one thread fails or panics, the others are cancelled through the job that they are
/// given, which is a part of `job`; `job` itself is not cancelled.
pub(crate) fn on_all_threads<T: Send>(
    pool: &rayon::ThreadPool,
    job: &Job,
    work: impl Fn(&Job) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let part = job.part();
    first_cause(pool.broadcast(|_| cancelling(&part, &work)))
}

/// Runs `work` on this thread and `other` on a new thread. If one fails or panics, the other is cancelled, as in
/// [`on_all_threads`].
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

/// All results, or the first error that is not merely [`Error::Cancelled`], the echo of another worker's error.
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

/*!
Helpers for tests of work that must not hang: every panic ends as an error.
*/

use crate::error::Error;
use crate::job::Job;
use crate::panics::caught;
use std::sync::mpsc::channel;
use std::time::Duration;

#[path = "../tests/common/row.rs"]
#[allow(dead_code)]
mod row;

/// Runs `work`, and panics if it takes more than a minute.
pub(crate) fn in_a_minute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(work()));
    result.recv_timeout(Duration::from_secs(60)).expect("an end within a minute")
}

/// Whether an error is the panic on purpose.
pub(crate) fn is_on_purpose(error: &Error) -> bool {
    matches!(error, Error::Internal(message) if message == Job::ON_PURPOSE)
}

/// Runs `work` with a panic at its first touch of the job, then at its second, and so on until it runs
/// without a panic. Each panic must be an error of its own kind, and the same job must serve for another run
/// with the expected result. Returns the number of panics.
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
                let panics = usize::try_from(touch).expect("a small number");
                row::passed("R23", panics);
                return panics;
            }
            let error = result.expect_err("an error after a panic");
            assert!(is_on_purpose(&error), "at touch {touch}: {error}");
            assert_eq!(work(&job).expect("a result at the second try"), expected);
        }
        unreachable!()
    })
}

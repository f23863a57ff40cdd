/*!
The threads that share a short piece of work with the thread that has it.

Why not threads of our own? Beside torch there are none to spare: between two pieces of work the threads of its OpenMP
keep their cores busy for some milliseconds, as the next piece is mostly there by then. A head of attention that runs
beside them takes twice as long (6.5 ms for a layer's pass of 2.9; 2 cores). So where GNU's OpenMP is in the process,
which on Linux is what torch brings, its threads do the work. Elsewhere threads are made and joined for each call.
*/

use crate::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Runs `worker` on some threads, at most so many, at the same time; this one is among them.
pub(crate) fn run(threads: usize, worker: impl Fn() + Sync) -> Result<(), Error> {
    let threads = threads.max(1);
    let failed = AtomicBool::new(false);
    let guarded = || {
        if catch_unwind(AssertUnwindSafe(&worker)).is_err() {
            failed.store(true, Relaxed);
        }
    };
    if !open_mp::run(threads, &guarded) {
        run_own(threads, &guarded)?;
    }
    if failed.load(Relaxed) {
        return Err(Error::Internal("a thread panicked".to_string()));
    }
    Ok(())
}

fn run_own(threads: usize, worker: &(impl Fn() + Sync)) -> Result<(), Error> {
    thread::scope(|scope| {
        for number in 1..threads {
            let thread = thread::Builder::new().name(format!("bpe_lm-{number}"));
            let spawned = thread.spawn_scoped(scope, worker);
            spawned.map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
        }
        worker();
        Ok(())
    })
}

#[cfg(target_os = "linux")]
mod open_mp {
    use std::ffi::{c_char, c_uint, c_void};
    use std::sync::OnceLock;

    type Task = unsafe extern "C" fn(*mut c_void);
    type Parallel = unsafe extern "C" fn(Task, *mut c_void, c_uint, c_uint);

    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    /// What compilers call at the beginning of a parallel region (GCC's libgomp ABI, since 4.9).
    #[allow(unsafe_code)]
    fn parallel() -> Option<Parallel> {
        static PARALLEL: OnceLock<Option<Parallel>> = OnceLock::new();
        *PARALLEL.get_or_init(|| {
            // SAFETY: null asks for the libraries that the whole process sees, and the name ends with a zero.
            let found = unsafe { dlsym(std::ptr::null_mut(), c"GOMP_parallel".as_ptr()) };
            // SAFETY: a function of that name has that type, in each library that offers GCC's interface.
            (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Parallel>(found) })
        })
    }

    /// False, and nothing done, where the process has no such library.
    #[allow(unsafe_code)]
    pub(super) fn run<F: Fn() + Sync>(threads: usize, worker: &F) -> bool {
        unsafe extern "C" fn task<F: Fn() + Sync>(worker: *mut c_void) {
            // SAFETY: it is the worker below, which outlives the region.
            let worker = unsafe { &*worker.cast_const().cast::<F>() };
            worker();
        }
        let (Some(parallel), Ok(threads)) = (parallel(), c_uint::try_from(threads)) else { return false };
        // SAFETY: `F` may be called from several threads at once, does not unwind (it is guarded), and the region ends
        // only when all of them have returned.
        unsafe { parallel(task::<F>, std::ptr::from_ref(worker).cast_mut().cast(), threads, 0) };
        true
    }
}

#[cfg(not(target_os = "linux"))]
mod open_mp {
    pub(super) fn run(_threads: usize, _worker: &(impl Fn() + Sync)) -> bool {
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn each_thread_works_and_one_always_does() {
        for threads in [0, 1, 2, 5] {
            let calls = AtomicUsize::new(0);
            run(threads, || {
                calls.fetch_add(1, Relaxed);
            })
            .unwrap();
            assert_eq!(calls.into_inner(), threads.max(1));
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(matches!(run(3, || panic!("on purpose")), Err(Error::Internal(_))));
    }
}

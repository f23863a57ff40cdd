/*!
The threads that share a short piece of work with the calling thread.

Why not threads of our own? Next to torch no core is free: after a parallel region its OpenMP threads keep their cores busy
for some milliseconds, because they expect the next region soon. A head of attention that runs beside them takes twice as
long (6.5 ms instead of 2.9 for a layer's pass; 2 cores). So where the process has GNU's OpenMP, which torch brings on
Linux, its threads do the work. Their number is that of torch's own work, because a smaller team ends threads that torch's
next region would start again.

A child of `fork` does not have OpenMP's threads, and OpenMP would wait for them for ever. So a child of a
process that has run a kernel starts threads for each call and joins them; so does a process without OpenMP.
*/

use super::open_mp;
use crate::error::Error;
use crate::panics::{caught, lock};
use crate::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

/// Calls `work` once for each item, on `threads` threads at the same time, including the calling thread.
/// There are fewer threads where OpenMP gives torch fewer. Each thread that gets an item makes one workspace
/// by `new_workspace`; other threads cost nothing.
pub(crate) fn for_each<T: Send, W>(
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    new_workspace: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, T) + Sync,
) -> Result<(), Error> {
    let num_items = items.len();
    let items = Mutex::new(items);
    let next = || lock(&items).next();
    run(threads, num_items, || {
        let Some(first) = next() else { return };
        let mut workspace = new_workspace();
        work(&mut workspace, first);
        while let Some(item) = next() {
            work(&mut workspace, item);
        }
    })
}

/// Runs `worker` on all threads of OpenMP's team, or else on threads of our own, of which there are no more than items.
fn run(threads: usize, num_items: usize, worker: impl Fn() + Sync) -> Result<(), Error> {
    let panicked = Mutex::new(None);
    let guarded = || {
        let done = caught(|| {
            worker();
            Ok(())
        });
        if let Err(error) = done {
            lock(&panicked).get_or_insert(error);
        }
    };
    if threads < 2 || !open_mp::run(threads, &guarded) {
        run_own(threads.min(num_items), &guarded)?;
    }
    panicked.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn each_thread_works_and_one_always_does() {
        for (threads, num_items, expected) in
            [(0, 9, 1), (1, 9, 1), (2, 9, 2), (5, 9, 5), (5, 2, 2), (5, 0, 1)]
        {
            let calls = AtomicUsize::new(0);
            run_own(threads.min(num_items), &|| {
                calls.fetch_add(1, Relaxed);
            })
            .unwrap();
            assert_eq!(calls.into_inner(), expected);
        }
    }

    #[test]
    fn each_item_is_worked_on_once_and_no_workspace_is_made_without_one() {
        for threads in 0..6 {
            for num_items in [0, 1, 3, 100] {
                let (mut done, workspaces) = (vec![0; num_items], AtomicUsize::new(0));
                let new_workspace = || workspaces.fetch_add(1, Relaxed);
                for_each(threads, done.iter_mut(), new_workspace, |_, done| *done += 1).unwrap();
                assert!(done.iter().all(|&done| done == 1));
                let workspaces = workspaces.into_inner();
                assert!(workspaces <= num_items.min(threads.max(1)) && (workspaces > 0 || num_items == 0));
            }
        }
    }

    #[test]
    fn a_panic_is_an_error_that_says_it() {
        for threads in [1, 3] {
            let done = for_each(threads, 0..5, || (), |(), item| assert!(item != 3, "on purpose"));
            assert!(matches!(done, Err(Error::Internal(message)) if message == "on purpose"));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[allow(unsafe_code, clippy::print_stdout)]
    fn threads_of_open_mp_work_where_it_is_and_are_as_many_as_it_says() {
        use std::ffi::{c_char, c_int, c_void};
        unsafe extern "C" {
            fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
        }
        const NOW_FOR_ALL: c_int = 0x102;
        // SAFETY: the name ends with a zero, and the library is never closed.
        if unsafe { dlopen(c"libgomp.so.1".as_ptr(), NOW_FOR_ALL) }.is_null() {
            println!("skipped: no libgomp here");
            return;
        }
        assert!(open_mp::path().unwrap().contains("gomp"));
        let calls = |threads| {
            let calls = AtomicUsize::new(0);
            let worker = || {
                assert!(!thread::current().name().unwrap_or_default().starts_with("bpe_lm"));
                calls.fetch_add(1, Relaxed);
            };
            assert!(open_mp::run(threads, &worker));
            calls.into_inner()
        };
        let most = calls(usize::MAX);
        assert!((1..=4096).contains(&most));
        assert_eq!(calls(most), most);
        assert_eq!(calls(1), 1);
    }
}

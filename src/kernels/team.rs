/*!
The threads that share a short piece of work with the thread that has it.

Why not threads of our own? Beside torch there are none to spare: between two pieces of work the threads of its OpenMP
keep their cores busy for some milliseconds, as the next piece is mostly there by then. A head of attention that runs
beside them takes twice as long (6.5 ms for a layer's pass of 2.9; 2 cores). So where GNU's OpenMP is in the process,
which on Linux is what torch brings, its threads do the work: as many as torch's own work has, because a smaller team ends
threads that torch's next piece makes anew.

In a child of `fork` those threads are not there, and OpenMP would wait for them. So a child of a process that has run a
kernel takes threads that are made and joined for each call; and so does a process without OpenMP.
*/

use crate::error::Error;
use crate::panics::{caught, lock};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` for each item, once, on so many threads at the same time, of which this one is one. They are fewer where
/// OpenMP gives torch fewer. Each thread that gets an item has a workspace, which `new_workspace` makes; others cost nothing.
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

/// Runs `worker` on the threads: of OpenMP's on all, of our own at most on one an item.
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

/// The path of the OpenMP library whose threads do the work, if there is one: the first that the whole process sees.
pub fn open_mp_library() -> Option<String> {
    open_mp::path()
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
    use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
    use std::ptr::null_mut;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    type Task = unsafe extern "C" fn(*mut c_void);
    type Parallel = unsafe extern "C" fn(Task, *mut c_void, c_uint, c_uint);
    type MaxThreads = unsafe extern "C" fn() -> c_int;

    /// Two functions of one library.
    #[derive(Clone, Copy)]
    struct OpenMp {
        /// What compilers call at the beginning of a parallel region (GCC's libgomp ABI, since 4.9).
        parallel: Parallel,
        /// As many threads as a region of this thread has that asks for no number: what torch calls its number of threads.
        max_threads: MaxThreads,
    }

    #[repr(C)]
    struct SymbolInfo {
        path: *const c_char,
        base: *mut c_void,
        name: *const c_char,
        address: *mut c_void,
    }

    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
        fn dladdr(address: *const c_void, info: *mut SymbolInfo) -> c_int;
    }

    #[allow(unsafe_code)]
    fn symbol(name: &CStr) -> Option<*mut c_void> {
        // SAFETY: null asks for the libraries that the whole process sees, and the name ends with a zero.
        let found = unsafe { dlsym(null_mut(), name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }

    /// That of the process. It is looked for until it is there: torch may come after the first call.
    #[allow(unsafe_code)]
    fn library() -> Option<OpenMp> {
        static LIBRARY: OnceLock<OpenMp> = OnceLock::new();
        if let Some(library) = LIBRARY.get() {
            return Some(*library);
        }
        let (parallel, max_threads) = (symbol(c"GOMP_parallel")?, symbol(c"omp_get_max_threads")?);
        // SAFETY: a function of that name has that type, in each library that offers GCC's interface.
        let parallel = unsafe { std::mem::transmute::<*mut c_void, Parallel>(parallel) };
        // SAFETY: as above.
        let max_threads = unsafe { std::mem::transmute::<*mut c_void, MaxThreads>(max_threads) };
        Some(*LIBRARY.get_or_init(|| OpenMp { parallel, max_threads }))
    }

    #[allow(unsafe_code)]
    pub(super) fn path() -> Option<String> {
        let parallel = symbol(c"GOMP_parallel")?;
        let mut info =
            SymbolInfo { path: null_mut(), base: null_mut(), name: null_mut(), address: null_mut() };
        // SAFETY: it writes into `info` only.
        let is_found = unsafe { dladdr(parallel, &raw mut info) } != 0 && !info.path.is_null();
        // SAFETY: a string that the loader keeps as long as the library is there, and it is: torch never goes.
        is_found.then(|| unsafe { CStr::from_ptr(info.path) }.to_string_lossy().into_owned())
    }

    /// Whether this process is the first that has run a kernel here, and not a child that it forked.
    fn has_threads() -> bool {
        static USER: AtomicU32 = AtomicU32::new(0);
        let this = std::process::id();
        USER.compare_exchange(0, this, Relaxed, Relaxed).map_or_else(|user| user == this, |_| true)
    }

    /// False, and nothing done, where the process has no such library or not its threads. A library that cannot start a
    /// thread ends the process; so no more are asked for than torch asks for.
    #[allow(unsafe_code)]
    pub(super) fn run<F: Fn() + Sync>(threads: usize, worker: &F) -> bool {
        unsafe extern "C" fn task<F: Fn() + Sync>(worker: *mut c_void) {
            // SAFETY: it is the worker below, which outlives the region.
            let worker = unsafe { &*worker.cast_const().cast::<F>() };
            worker();
        }
        let Some(OpenMp { parallel, max_threads }) = library() else { return false };
        if !has_threads() {
            return false;
        }
        // SAFETY: it takes nothing and reads a number.
        let most = c_uint::try_from(unsafe { max_threads() }).unwrap_or(1);
        let threads = c_uint::try_from(threads).map_or(most, |threads| threads.min(most));
        // SAFETY: `F` may be called from several threads at once, does not unwind (it is guarded), and the region ends
        // only when all of them have returned.
        unsafe { parallel(task::<F>, std::ptr::from_ref(worker).cast_mut().cast(), threads, 0) };
        true
    }
}

#[cfg(not(target_os = "linux"))]
mod open_mp {
    pub(super) fn path() -> Option<String> {
        None
    }

    pub(super) fn run(_threads: usize, _worker: &(impl Fn() + Sync)) -> bool {
        false
    }
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
        assert!(open_mp_library().unwrap().contains("gomp"));
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

/*!
The threads of the OpenMP library that is in the process already: on Linux, the one that torch brings.
*/

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

type Task = unsafe extern "C" fn(*mut c_void);
type Parallel = unsafe extern "C" fn(Task, *mut c_void, c_uint, c_uint);
type MaxThreads = unsafe extern "C" fn() -> c_int;

/// Two functions of an OpenMP library.
#[derive(Clone, Copy)]
struct OpenMp {
    /// The function that compilers call at the beginning of a parallel region (GCC's libgomp ABI, since 4.9).
    parallel: Parallel,
    /// Returns the number of threads of a region that asks for no number. torch calls it its number of
    /// threads.
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

/// The functions of the process's library. Until the process has a library, each call looks again, because
/// torch may be imported after the first call.
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

/// The path of the OpenMP library whose threads do the work, if there is one. It is the first OpenMP library
/// that the whole process sees.
#[allow(unsafe_code)]
pub fn path() -> Option<String> {
    let parallel = symbol(c"GOMP_parallel")?;
    let mut info = SymbolInfo { path: null_mut(), base: null_mut(), name: null_mut(), address: null_mut() };
    // SAFETY: `dladdr` writes into `info` only.
    let is_found = unsafe { dladdr(parallel, &raw mut info) } != 0 && !info.path.is_null();
    // SAFETY: the loader keeps the string as long as the library is loaded, and torch is never unloaded.
    is_found.then(|| unsafe { CStr::from_ptr(info.path) }.to_string_lossy().into_owned())
}

/// Whether this process is the one that first ran a kernel, and not a child that was forked later.
fn has_threads() -> bool {
    static USER: AtomicU32 = AtomicU32::new(0);
    let this = std::process::id();
    USER.compare_exchange(0, this, Relaxed, Relaxed).map_or_else(|user| user == this, |_| true)
}

/// Runs `worker` on OpenMP's threads. Returns false, and does nothing, if the process has no such library, or
/// is a child of `fork` without the library's threads. A library that cannot start a thread ends the process,
/// so this never asks for more threads than torch does.
#[allow(unsafe_code)]
pub(super) fn run<F: Fn() + Sync>(threads: usize, worker: &F) -> bool {
    unsafe extern "C" fn task<F: Fn() + Sync>(worker: *mut c_void) {
        // SAFETY: `worker` is the worker below, which outlives the region.
        let worker = unsafe { &*worker.cast_const().cast::<F>() };
        worker();
    }
    let Some(OpenMp { parallel, max_threads }) = library() else { return false };
    if !has_threads() {
        return false;
    }
    // SAFETY: the function takes no argument and only reads a number.
    let most = c_uint::try_from(unsafe { max_threads() }).unwrap_or(1);
    let threads = c_uint::try_from(threads).map_or(most, |threads| threads.min(most));
    // SAFETY: `F` may be called from several threads at once, does not unwind (it is guarded), and the region ends
    // only when all of them have returned.
    unsafe { parallel(task::<F>, std::ptr::from_ref(worker).cast_mut().cast(), threads, 0) };
    true
}

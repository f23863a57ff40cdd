/*!
The substitute for `open_mp.rs` on systems other than Linux, where no OpenMP library is searched for.
*/

/// The path of the OpenMP library whose threads do the work: none.
pub fn path() -> Option<String> {
    None
}

/// Returns false: nothing was done.
pub(super) fn run(_threads: usize, _worker: &(impl Fn() + Sync)) -> bool {
    false
}

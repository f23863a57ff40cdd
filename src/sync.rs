/*!
The locks and counters of the parts in which threads wait for each other.

They are those of the standard library. With the feature `loom` they are those of loom, a checker that runs a model of a part in
every order in which threads may take its locks, up to a number of preemptions (`make loom`). A model is a test beside
the part, in a module `models`. loom's waits never time out, so a model also shows a thread that nobody wakes, which a
time limit would hide.

Why not everywhere? Work that rayon divides is not seen by loom, and there each thread writes its own range
(`merges/site_lists.rs`) or takes the next share behind one lock (`encode_batch/mod.rs`). A flag or a counter that
nothing else depends on (`job.rs`, `corpus/files.rs`) has no order to get wrong.
*/

#[cfg(feature = "loom")]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Runs a model in every order of its threads, with at most two preemptions.
#[cfg(all(test, feature = "loom"))]
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

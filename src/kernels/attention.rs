/*!
Causal self-attention with the rotation of queries and keys, and its gradients.

Why not torch's attention? Its kernel for CPUs computes the backward pass by products of 32 rows. Other
operations around it rotate, copy and join queries, keys, values and their gradients, and each of these
operations reads and writes whole tensors. Here one call covers all work between the product that makes
queries, keys and values and the product that takes the heads' outputs. Each head is rotated, scored and
summed in the first two caches (`head.rs`).
*/

use super::amx::Amx;
use super::element::Element;
use super::head::Workspace;
use super::rotation::{Angles, Rotation};
use super::rows::{Rows, Shared};
use super::shape::Shape;
use super::team;
use crate::error::Error;

/// Writes the outputs. For [`backward`] it also writes the logarithm to base 2 of each query's sum of
/// exponentials: (batch, heads, length). With `amx` the matrix unit makes the products of bfloat16.
#[allow(unsafe_code)]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub fn forward<E: Element>(
    shape: Shape,
    qkv: &[E],
    angles: Option<Angles<'_>>,
    amx: Option<Amx>,
    threads: usize,
    outputs: &mut [E],
    log_sums: &mut [f32],
) -> Result<(), Error> {
    shape.check(qkv.len(), outputs.len(), log_sums.len())?;
    let rotation = Rotation::new(shape, angles)?;
    let outputs = Shared::new(outputs);
    let log_sums = log_sums.chunks_exact_mut(shape.length);
    for_each_head(shape, amx, threads, log_sums, |workspace: &mut Workspace<E>, text, head, log_sums| {
        let parts = [0, 1, 2].map(|part| Rows::new(qkv, shape.rows_of(3, text, part, head)));
        // SAFETY: `for_each_head` gives each head to one thread, once, and `Shape::rows_of` gives two heads
        // no row in common.
        let mut outputs = unsafe { outputs.rows(shape.rows_of(1, text, 0, head)) };
        // SAFETY: `Shape::check` has found that the machine has the instructions.
        unsafe { workspace.forward(parts, rotation.as_ref(), &mut outputs, log_sums) };
    })
}

/// Writes the gradient of queries, keys and values, computed from the gradient of the outputs. `outputs` and
/// `log_sums` are the results of [`forward`].
#[allow(unsafe_code)]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub fn backward<E: Element>(
    shape: Shape,
    gradient: &[E],
    qkv: &[E],
    angles: Option<Angles<'_>>,
    outputs: &[E],
    log_sums: &[f32],
    amx: Option<Amx>,
    threads: usize,
    qkv_gradient: &mut [E],
) -> Result<(), Error> {
    shape.check(qkv.len(), outputs.len(), log_sums.len())?;
    shape.check(qkv_gradient.len(), gradient.len(), log_sums.len())?;
    let rotation = Rotation::new(shape, angles)?;
    let qkv_gradient = Shared::new(qkv_gradient);
    let log_sums = log_sums.chunks_exact(shape.length);
    for_each_head(shape, amx, threads, log_sums, |workspace: &mut Workspace<E>, text, head, log_sums| {
        let parts = [0, 1, 2].map(|part| Rows::new(qkv, shape.rows_of(3, text, part, head)));
        let [outputs, gradient] =
            [outputs, gradient].map(|all| Rows::new(all, shape.rows_of(1, text, 0, head)));
        // SAFETY: `for_each_head` gives each head to one thread, once, and `Shape::rows_of` gives two heads,
        // or two parts of a head, no row in common.
        let mut gradients =
            [0, 1, 2].map(|part| unsafe { qkv_gradient.rows(shape.rows_of(3, text, part, head)) });
        // SAFETY: `Shape::check` has found that the machine has the instructions.
        unsafe { workspace.backward(parts, rotation.as_ref(), outputs, gradient, log_sums, &mut gradients) };
    })
}

/// Calls `work` once for each head, on one of the threads.
fn for_each_head<E: Element, T: Send>(
    shape: Shape,
    amx: Option<Amx>,
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(&mut Workspace<E>, usize, usize, T) + Sync,
) -> Result<(), Error> {
    let workspace = || Workspace::new(shape, amx);
    team::for_each(threads, items.enumerate(), workspace, |workspace, (number, item)| {
        work(workspace, number / shape.heads, number % shape.heads, item);
    })
}

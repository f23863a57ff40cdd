/*!
The loss of each row of logits, log sum exp - logit of the target, and its gradient, softmax - onehot, in place.

Why not torch's softmax? It takes four operations, each over copies in float32: the logarithms, the
exponentials, the targets, and the conversion back to the type of the logits. Here a row of logits stays in
the cache while it is read three times and written once.
*/

use super::element::Element;
use super::lanes::{LANES, Lanes, exp2, store_pairs, wide};
use super::machine::check_machine;
use super::team;
use crate::error::Error;
use std::arch::x86_64::*;
use std::f32::consts::{LN_2, LOG2_E};

/// Writes each row's loss in nats. With `wants_gradient` each row of logits is replaced by its gradient.
#[allow(unsafe_code)]
pub fn cross_entropy<E: Element>(
    logits: &mut [E],
    targets: &[i64],
    threads: usize,
    wants_gradient: bool,
    losses: &mut [f32],
) -> Result<(), Error> {
    let vocab_size = logits.len() / targets.len().max(1);
    let targets = check(logits.len(), vocab_size, targets, losses.len())?;
    let rows = logits.chunks_exact_mut(vocab_size).zip(targets).zip(losses);
    let copy = || vec![Lanes::ZERO; vocab_size.div_ceil(2 * LANES) * (2 / E::PER_UNIT)];
    team::for_each(threads, rows, copy, |copy, ((logits, target), loss)| {
        // SAFETY: `check` has found that the machine has the instructions.
        *loss = unsafe { of_row(logits, target, wants_gradient, copy) };
    })
}

fn check(logits: usize, vocab_size: usize, targets: &[i64], losses: usize) -> Result<Vec<usize>, Error> {
    check_machine()?;
    let wrong = |name, value, rule| Err(Error::Option { name, value, rule });
    if vocab_size == 0 || vocab_size * targets.len() != logits || targets.len() != losses {
        let value = format!("{logits} logits, {} targets, {losses} losses", targets.len());
        return wrong("shape", value, "a row of logits for each target and each loss");
    }
    let known = |target: &i64| usize::try_from(*target).ok().filter(|target| *target < vocab_size);
    match targets.iter().map(known).collect() {
        Some(targets) => Ok(targets),
        None => wrong("targets", format!("an id outside 0 .. {vocab_size}"), "ids of the vocabulary"),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn of_row<E: Element>(logits: &mut [E], target: usize, wants_gradient: bool, row: &mut [Lanes]) -> f32 {
    let copy: &mut [E] = bytemuck::cast_slice_mut(row);
    copy[..logits.len()].copy_from_slice(logits);
    copy[logits.len()..].fill(E::narrow(f32::NEG_INFINITY));
    let max = largest::<E>(row);
    let log_sum = sum_of_exponentials::<E>(row, max).log2();
    let distance = logits[target].widen() - max;
    if wants_gradient {
        for lanes in row.chunks_exact_mut(2 / E::PER_UNIT) {
            let [a, b] = wide::<E>(lanes);
            store_pairs::<E, 1>([softmax(a, max, log_sum)], [softmax(b, max, log_sum)], lanes);
        }
        logits.copy_from_slice(&bytemuck::cast_slice(row)[..logits.len()]);
        logits[target] = E::narrow(distance.mul_add(LOG2_E, -log_sum).exp2() - 1.0);
    }
    log_sum.mul_add(LN_2, -distance)
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn largest<E: Element>(row: &[Lanes]) -> f32 {
    let mut most = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    for lanes in row.chunks_exact(2 / E::PER_UNIT) {
        let [a, b] = wide::<E>(lanes);
        most = [_mm512_max_ps(most[0], a), _mm512_max_ps(most[1], b)];
    }
    _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]))
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn sum_of_exponentials<E: Element>(row: &[Lanes], max: f32) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 2];
    for lanes in row.chunks_exact(2 / E::PER_UNIT) {
        let [a, b] = wide::<E>(lanes);
        sums = [_mm512_add_ps(sums[0], softmax(a, max, 0.0)), _mm512_add_ps(sums[1], softmax(b, max, 0.0))];
    }
    _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))
}

/// Returns e^(x - max) / 2^log_sum.
#[inline]
#[target_feature(enable = "avx512f")]
fn softmax(x: __m512, max: f32, log_sum: f32) -> __m512 {
    let distance = _mm512_sub_ps(x, _mm512_set1_ps(max));
    exp2(_mm512_fmsub_ps(distance, _mm512_set1_ps(LOG2_E), _mm512_set1_ps(log_sum)))
}

/*!
The loss of each row of logits, log sum exp - logit of the target, and its gradient, softmax - onehot, in place.

Why not torch's softmax? It takes four operations, each over copies in float32: the logarithms, the
exponentials, the targets, and the conversion back to the type of the logits. Here a row of logits stays in
the cache while it is read three times and written once.

With a cap c, a logit is z = c tanh(x / c) of the number x of the row. The gradient of x is that of z times
1 - tanh^2(x / c). The hyperbolic tangent is computed again for the gradient, because it takes less time than a copy
of the row in float32 would take from the cache.
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
    cap: Option<f32>,
    threads: usize,
    wants_gradient: bool,
    losses: &mut [f32],
) -> Result<(), Error> {
    let vocab_size = logits.len() / targets.len().max(1);
    let targets = check(logits.len(), vocab_size, targets, losses.len())?;
    if let Some(cap) = cap.filter(|cap| !(*cap > 0.0 && cap.is_finite())) {
        return Err(Error::Option { name: "cap", value: cap.to_string(), rule: "a number above 0" });
    }
    let rows = logits.chunks_exact_mut(vocab_size).zip(targets).zip(losses);
    let copy = || vec![Lanes::ZERO; vocab_size.div_ceil(2 * LANES) * (2 / E::PER_UNIT)];
    team::for_each(threads, rows, copy, |copy, ((logits, target), loss)| {
        // SAFETY: `check` has found that the machine has the instructions.
        *loss = unsafe {
            match cap {
                None => of_row::<E, false>(logits, target, 0.0, wants_gradient, copy),
                Some(cap) => of_row::<E, true>(logits, target, cap, wants_gradient, copy),
            }
        };
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
fn of_row<E: Element, const IS_CAPPED: bool>(
    logits: &mut [E],
    target: usize,
    cap: f32,
    wants_gradient: bool,
    row: &mut [Lanes],
) -> f32 {
    let copy: &mut [E] = bytemuck::cast_slice_mut(row);
    copy[..logits.len()].copy_from_slice(logits);
    copy[logits.len()..].fill(E::narrow(f32::NEG_INFINITY));
    let max = capped_number::<IS_CAPPED>(largest::<E>(row), cap)[0];
    let log_sum = sum_of_exponentials::<E, IS_CAPPED>(row, cap, max).log2();
    let [at_target, slope] = capped_number::<IS_CAPPED>(logits[target].widen(), cap);
    let distance = at_target - max;
    if wants_gradient {
        for lanes in row.chunks_exact_mut(2 / E::PER_UNIT) {
            let [a, b] = wide::<E>(lanes).map(|x| {
                let [z, slope] = capped::<IS_CAPPED>(x, cap);
                let probability = softmax(z, max, log_sum);
                if IS_CAPPED { _mm512_mul_ps(probability, slope) } else { probability }
            });
            store_pairs::<E, 1>([a], [b], lanes);
        }
        logits.copy_from_slice(&bytemuck::cast_slice(row)[..logits.len()]);
        logits[target] = E::narrow((distance.mul_add(LOG2_E, -log_sum).exp2() - 1.0) * slope);
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
fn sum_of_exponentials<E: Element, const IS_CAPPED: bool>(row: &[Lanes], cap: f32, max: f32) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 2];
    for lanes in row.chunks_exact(2 / E::PER_UNIT) {
        let [a, b] = wide::<E>(lanes).map(|x| capped::<IS_CAPPED>(x, cap)[0]);
        sums = [_mm512_add_ps(sums[0], softmax(a, max, 0.0)), _mm512_add_ps(sums[1], softmax(b, max, 0.0))];
    }
    _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))
}

/// Returns z = cap tanh(x / cap), and its derivative 1 - tanh^2(x / cap); without a cap x and 1.
///
/// With s = 1 / (1 + e^(2 x / cap)), they are cap (1 - 2 s) and 4 s (1 - s). Minus infinity, which fills a row up, stays.
#[inline]
#[target_feature(enable = "avx512f")]
fn capped<const IS_CAPPED: bool>(x: __m512, cap: f32) -> [__m512; 2] {
    let one = _mm512_set1_ps(1.0);
    if !IS_CAPPED {
        return [x, one];
    }
    let power = exp2(_mm512_mul_ps(x, _mm512_set1_ps(2.0 * LOG2_E / cap)));
    let s = _mm512_div_ps(one, _mm512_add_ps(one, power));
    let z = _mm512_fnmadd_ps(s, _mm512_set1_ps(2.0 * cap), _mm512_set1_ps(cap));
    let is_filler = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, _mm512_set1_ps(f32::NEG_INFINITY));
    let slope = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(4.0), s), _mm512_sub_ps(one, s));
    [_mm512_mask_mov_ps(z, is_filler, x), slope]
}

/// Returns what [`capped`] returns for a number: the same, so that the largest logit is the largest of all.
#[target_feature(enable = "avx512f")]
fn capped_number<const IS_CAPPED: bool>(x: f32, cap: f32) -> [f32; 2] {
    capped::<IS_CAPPED>(_mm512_set1_ps(x), cap).map(|lanes| _mm512_cvtss_f32(lanes))
}

/// Returns e^(x - max) / 2^log_sum.
#[inline]
#[target_feature(enable = "avx512f")]
fn softmax(x: __m512, max: f32, log_sum: f32) -> __m512 {
    let distance = _mm512_sub_ps(x, _mm512_set1_ps(max));
    exp2(_mm512_fmsub_ps(distance, _mm512_set1_ps(LOG2_E), _mm512_set1_ps(log_sum)))
}

/*!
The middle of a SwiGLU: silu(a) * b for two matrices of the same shape, and their gradients side by side.

Why not the compiler's functions? One product of both gradients needs them in one matrix. The compiler would fill each half in a
loop of its own, and compute the exponentials in each. The exponential here takes six multiplications.
*/

use super::element::Bf16;
use super::lanes::{CHUNK, exp2, narrow_into, widen};
use super::machine::check_machine;
use super::team;
use crate::error::Error;
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

/// The number of rows of a thread's piece of work.
const BLOCK: usize = 16;

/// Computes silu(a) * b. `halves` has the rows of a, and then those of b. Shapes: (2 rows, width) and (rows, width).
#[allow(unsafe_code)]
pub fn forward(halves: &[Bf16], width: usize, threads: usize, to: &mut [Bf16]) -> Result<(), Error> {
    check(width, halves.len(), &[to.len()])?;
    let (a, b) = halves.split_at(to.len());
    let size = width * BLOCK;
    team::for_each(
        threads,
        a.chunks(size).zip(b.chunks(size)).zip(to.chunks_mut(size)),
        || (),
        |(), ((a, b), to)| {
            // SAFETY: `check` has found that the machine has the instructions.
            unsafe { forward_rows(a, b, to) };
        },
    )
}

/// Computes the gradients of a and b side by side. Shapes: (rows, width), (2 rows, width) and (rows, 2 width).
#[allow(unsafe_code)]
pub fn backward(
    gradient: &[Bf16],
    halves: &[Bf16],
    width: usize,
    threads: usize,
    to: &mut [Bf16],
) -> Result<(), Error> {
    check(width, halves.len(), &[gradient.len(), to.len() / 2])?;
    let (a, b) = halves.split_at(gradient.len());
    let size = width * BLOCK;
    let read = gradient.chunks(size).zip(a.chunks(size)).zip(b.chunks(size));
    team::for_each(
        threads,
        read.zip(to.chunks_mut(2 * size)),
        || (),
        |(), (((gradient, a), b), to)| {
            let rows = gradient.chunks_exact(width).zip(a.chunks_exact(width)).zip(b.chunks_exact(width));
            for (((gradient, a), b), to) in rows.zip(to.chunks_exact_mut(2 * width)) {
                // SAFETY: `check` has found that the machine has the instructions.
                unsafe { backward_row(gradient, a, b, to) };
            }
        },
    )
}

fn check(width: usize, halves: usize, sizes: &[usize]) -> Result<(), Error> {
    check_machine()?;
    let fits = width > 0 && width.is_multiple_of(CHUNK) && halves.is_multiple_of(width.saturating_mul(2));
    if fits && sizes.iter().all(|size| *size == halves / 2) {
        return Ok(());
    }
    Err(Error::Option {
        name: "shape",
        value: format!("{halves} numbers of both halves of {width} columns, and {sizes:?} numbers"),
        rule: "arrays of (2 rows, width) and (rows, width), with a width that is a multiple of 32",
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn forward_rows(a: &[Bf16], b: &[Bf16], to: &mut [Bf16]) {
    for ((a, b), to) in a.as_chunks().0.iter().zip(b.as_chunks().0).zip(to.as_chunks_mut().0) {
        let (a, b) = (widen(a), widen(b));
        let [low, high] = [0, 1].map(|k| _mm512_mul_ps(_mm512_mul_ps(a[k], sigmoid(a[k])), b[k]));
        narrow_into([low, high], to);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn backward_row(gradient: &[Bf16], a: &[Bf16], b: &[Bf16], to: &mut [Bf16]) {
    let (to_a, to_b) = to.split_at_mut(gradient.len());
    let read = gradient.as_chunks().0.iter().zip(a.as_chunks().0).zip(b.as_chunks().0);
    for (((gradient, a), b), (to_a, to_b)) in
        read.zip(to_a.as_chunks_mut().0.iter_mut().zip(to_b.as_chunks_mut().0))
    {
        let (gradient, a, b) = (widen(gradient), widen(a), widen(b));
        let (mut of_a, mut of_b) = (a, b);
        for k in 0..2 {
            let one = _mm512_set1_ps(1.0);
            let sigmoid = sigmoid(a[k]);
            // d silu(a) / d a = sigmoid (1 + a (1 - sigmoid)).
            let slope = _mm512_mul_ps(sigmoid, _mm512_fmadd_ps(a[k], _mm512_sub_ps(one, sigmoid), one));
            of_a[k] = _mm512_mul_ps(_mm512_mul_ps(gradient[k], b[k]), slope);
            of_b[k] = _mm512_mul_ps(gradient[k], _mm512_mul_ps(a[k], sigmoid));
        }
        narrow_into(of_a, to_a);
        narrow_into(of_b, to_b);
    }
}

/// Returns 1 / (1 + e^-x).
#[inline]
#[target_feature(enable = "avx512f")]
fn sigmoid(x: __m512) -> __m512 {
    // The exponential of an exponent of 200 is infinite. A larger exponent may be infinite itself, and would give NaN.
    let power = _mm512_min_ps(_mm512_set1_ps(200.0), _mm512_mul_ps(x, _mm512_set1_ps(-LOG2_E)));
    let one = _mm512_set1_ps(1.0);
    _mm512_div_ps(one, _mm512_add_ps(one, exp2(power)))
}

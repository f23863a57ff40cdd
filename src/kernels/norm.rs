/*!
RMSNorm of the residual stream, with the addition of a branch to the stream before it, in one pass over the rows.

Why not the compiler's functions? They read the rows three times: for the sum of squares, for the quotient, and for the stream that
the next block reads. In the gradient, the sum over rows for the weight walks down the columns, and the rounding for the branch's
product is a pass of its own. A step is then bound by memory. Here a row stays in the first cache from its first to its last use.

The stream and its gradient are float32. What a product reads or wrote is bfloat16: the branch, the normalized row and its gradient.
A weight's gradient is summed over blocks of rows, which do not depend on the number of threads, and then over the blocks in order.
*/

use super::element::Bf16;
use super::lanes::{CHUNK, load, narrow_into, store, widen};
use super::machine::check_machine;
use super::team;
use crate::error::Error;
use std::arch::x86_64::*;

/// The number of rows of a thread's piece of work.
const BLOCK: usize = 32;

/// The rows of a forward pass, and the numbers of the norm.
pub struct Forward<'a> {
    /// The stream: (rows, width).
    pub x: &'a [f32],
    /// What is added to the stream, or nothing.
    pub branch: Option<&'a [Bf16]>,
    /// The weight of each column.
    pub weight: &'a [f32],
    /// The number that is added to the mean of squares.
    pub eps: f32,
}

/// The results of a forward pass.
pub struct Normalized<'a> {
    /// x + branch. Without a branch it has no numbers.
    pub sums: &'a mut [f32],
    /// sums * scale * weight, rounded.
    pub outputs: &'a mut [Bf16],
    /// 1 / sqrt(mean of squares + eps) of each row.
    pub scales: &'a mut [f32],
}

/// What a backward pass reads.
pub struct Backward<'a> {
    /// The gradient of the outputs.
    pub gradient: &'a [Bf16],
    /// The gradient of the sums from elsewhere, which is added, or nothing.
    pub outer: Option<&'a [f32]>,
    /// The sums, or x where there was no branch.
    pub sums: &'a [f32],
    /// The scale of each row.
    pub scales: &'a [f32],
    /// The weight of each column.
    pub weight: &'a [f32],
}

/// The results of a backward pass.
pub struct Gradients<'a> {
    /// The gradient of x: (rows, width).
    pub x: &'a mut [f32],
    /// The same, rounded, for the branch. Without a branch it has no numbers.
    pub branch: &'a mut [Bf16],
    /// The gradient of the weight.
    pub weight: &'a mut [f32],
}

/// Adds the branch to x, and normalizes the sums.
#[allow(unsafe_code)]
pub fn forward(from: &Forward<'_>, threads: usize, to: Normalized<'_>) -> Result<(), Error> {
    let width = from.weight.len();
    let sums = if from.branch.is_some() { from.x.len() } else { 0 };
    let branch = from.branch.map_or(from.x.len(), <[Bf16]>::len);
    check(width, to.scales.len(), &[from.x.len(), branch, to.outputs.len()], &[(sums, to.sums.len())])?;
    let size = BLOCK * width;
    let mut branches = from.branch.unwrap_or_default().chunks(size);
    let mut sums = to.sums.chunks_mut(size);
    let results = to.outputs.chunks_mut(size).zip(to.scales.chunks_mut(BLOCK));
    let items: Vec<_> = (from.x.chunks(size).zip(results))
        .map(|(x, (outputs, scales))| {
            let (branch, sums) = (branches.next(), sums.next().unwrap_or_default());
            let block = Forward { x, branch, ..*from };
            (block, Normalized { sums, outputs, scales })
        })
        .collect();
    team::for_each(
        threads,
        items.into_iter(),
        || (),
        |(), (from, to)| {
            // SAFETY: `check` has found that the machine has the instructions.
            unsafe { forward_block(&from, to) };
        },
    )
}

/// Computes the gradients of x, of the branch and of the weight.
#[allow(unsafe_code)]
pub fn backward(from: &Backward<'_>, threads: usize, to: Gradients<'_>) -> Result<(), Error> {
    let width = from.weight.len();
    let outer = from.outer.map_or(from.sums.len(), <[f32]>::len);
    let narrow = if to.branch.is_empty() { 0 } else { from.sums.len() };
    let sizes = [from.sums.len(), from.gradient.len(), outer, to.x.len()];
    check(width, from.scales.len(), &sizes, &[(narrow, to.branch.len()), (width, to.weight.len())])?;
    let size = BLOCK * width;
    let mut parts = vec![0.0; from.scales.len().div_ceil(BLOCK) * width];
    let mut outers = from.outer.unwrap_or_default().chunks(size);
    let mut branches = to.branch.chunks_mut(size);
    let read = from.gradient.chunks(size).zip(from.sums.chunks(size)).zip(from.scales.chunks(BLOCK));
    let items: Vec<_> = (read.zip(to.x.chunks_mut(size)).zip(parts.chunks_mut(width)))
        .map(|((((gradient, sums), scales), x), weight)| {
            let branch = branches.next().unwrap_or_default();
            let block = Backward { gradient, outer: outers.next(), sums, scales, ..*from };
            (block, Gradients { x, branch, weight })
        })
        .collect();
    team::for_each(
        threads,
        items.into_iter(),
        || (),
        |(), (from, to)| {
            // SAFETY: `check` has found that the machine has the instructions.
            unsafe { backward_block(&from, to) };
        },
    )?;
    to.weight.fill(0.0);
    for part in parts.chunks(width) {
        for (sum, number) in to.weight.iter_mut().zip(part) {
            *sum += number;
        }
    }
    Ok(())
}

/// Refuses a machine without the instructions, arrays of `sizes` that are not all (rows, width), and pairs that differ.
fn check(width: usize, rows: usize, sizes: &[usize], pairs: &[(usize, usize)]) -> Result<(), Error> {
    check_machine()?;
    let fits = width > 0 && width.is_multiple_of(CHUNK) && sizes.iter().all(|size| *size == rows * width);
    if fits && pairs.iter().all(|(asked, found)| asked == found) {
        return Ok(());
    }
    Err(Error::Option {
        name: "shape",
        value: format!("arrays of {sizes:?} and {pairs:?} numbers for {rows} rows of {width}"),
        rule: "arrays of (rows, width), with a width that is a multiple of 32",
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn forward_block(from: &Forward<'_>, to: Normalized<'_>) {
    let width = from.weight.len();
    let mut branches = from.branch.unwrap_or_default().chunks_exact(width);
    let mut sums = to.sums.chunks_exact_mut(width);
    let rows = from.x.chunks_exact(width).zip(to.outputs.chunks_exact_mut(width)).zip(to.scales);
    for ((x, outputs), scale) in rows {
        *scale = match (branches.next(), sums.next()) {
            (Some(branch), Some(sums)) => {
                let squares = add_row(x, branch, sums);
                scale_row(squares, sums, from, outputs)
            }
            _ => scale_row(squares_of_row(x), x, from, outputs),
        };
    }
}

/// Stores x + branch, and returns the sum of squares.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_row(x: &[f32], branch: &[Bf16], sums: &mut [f32]) -> f32 {
    let mut squares = [_mm512_setzero_ps(); 2];
    let numbers = x.as_chunks().0.iter().zip(branch.as_chunks().0).zip(sums.as_chunks_mut().0);
    for ((x, branch), sums) in numbers {
        let (x, branch) = (load(x), widen(branch));
        let both = [_mm512_add_ps(x[0], branch[0]), _mm512_add_ps(x[1], branch[1])];
        store(both, sums);
        squares = multiply_add(both, both, squares);
    }
    _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1]))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn squares_of_row(x: &[f32]) -> f32 {
    let mut squares = [_mm512_setzero_ps(); 2];
    for x in x.as_chunks().0 {
        squares = multiply_add(load(x), load(x), squares);
    }
    _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1]))
}

/// Stores the normalized row, and returns its scale.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[allow(clippy::cast_precision_loss)] // A width is far below 2^24.
fn scale_row(squares: f32, sums: &[f32], from: &Forward<'_>, outputs: &mut [Bf16]) -> f32 {
    let scale = (squares / sums.len() as f32 + from.eps).sqrt().recip();
    let factor = _mm512_set1_ps(scale);
    let numbers = sums.as_chunks().0.iter().zip(from.weight.as_chunks().0).zip(outputs.as_chunks_mut().0);
    for ((sums, weight), to) in numbers {
        let (sums, weight) = (load(sums), load(weight));
        let scaled = [_mm512_mul_ps(sums[0], factor), _mm512_mul_ps(sums[1], factor)];
        narrow_into([_mm512_mul_ps(scaled[0], weight[0]), _mm512_mul_ps(scaled[1], weight[1])], to);
    }
    scale
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn backward_block(from: &Backward<'_>, to: Gradients<'_>) {
    let width = from.weight.len();
    let mut outers = from.outer.unwrap_or_default().chunks_exact(width);
    let mut branches = to.branch.chunks_exact_mut(width);
    let rows = from.gradient.chunks_exact(width).zip(from.sums.chunks_exact(width)).zip(from.scales);
    for (((gradient, sums), scale), x) in rows.zip(to.x.chunks_exact_mut(width)) {
        let product = add_to_weight(gradient, sums, *scale, from.weight, to.weight);
        gradient_of_row(gradient, sums, (*scale, product), from.weight, x);
        if let Some(outer) = outers.next() {
            add_outer(outer, x);
        }
        if let Some(branch) = branches.next() {
            round_row(x, branch);
        }
    }
}

/// Adds gradient * sums * scale to the gradient of the weight. Returns the sum of gradient * weight * sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_to_weight(gradient: &[Bf16], sums: &[f32], scale: f32, weight: &[f32], to: &mut [f32]) -> f32 {
    let (mut products, scale) = ([_mm512_setzero_ps(); 2], _mm512_set1_ps(scale));
    let read = gradient.as_chunks().0.iter().zip(sums.as_chunks().0).zip(weight.as_chunks().0);
    for (((gradient, sums), weight), to) in read.zip(to.as_chunks_mut().0) {
        let (gradient, sums) = (widen(gradient), load(sums));
        let product = [_mm512_mul_ps(gradient[0], sums[0]), _mm512_mul_ps(gradient[1], sums[1])];
        products = multiply_add(product, load(weight), products);
        store(multiply_add(product, [scale; 2], load(to)), to);
    }
    _mm512_reduce_add_ps(_mm512_add_ps(products[0], products[1]))
}

/// Stores scale * (gradient * weight - sums * scale^2 * product / width).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[allow(clippy::cast_precision_loss)] // A width is far below 2^24.
fn gradient_of_row(gradient: &[Bf16], sums: &[f32], row: (f32, f32), weight: &[f32], to: &mut [f32]) {
    let (scale, product) = row;
    let back = _mm512_set1_ps(product * scale * scale * scale / sums.len() as f32);
    let scale = _mm512_set1_ps(scale);
    let read = gradient.as_chunks().0.iter().zip(sums.as_chunks().0).zip(weight.as_chunks().0);
    for (((gradient, sums), weight), to) in read.zip(to.as_chunks_mut().0) {
        let (gradient, sums, weight) = (widen(gradient), load(sums), load(weight));
        let [a, b] = [_mm512_mul_ps(gradient[0], weight[0]), _mm512_mul_ps(gradient[1], weight[1])];
        let [c, d] = [_mm512_mul_ps(sums[0], back), _mm512_mul_ps(sums[1], back)];
        store([_mm512_fmsub_ps(a, scale, c), _mm512_fmsub_ps(b, scale, d)], to);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_outer(outer: &[f32], to: &mut [f32]) {
    for (outer, to) in outer.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
        let (outer, numbers) = (load(outer), load(to));
        store([_mm512_add_ps(numbers[0], outer[0]), _mm512_add_ps(numbers[1], outer[1])], to);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_row(numbers: &[f32], to: &mut [Bf16]) {
    for (numbers, to) in numbers.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
        narrow_into(load(numbers), to);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(a: [__m512; 2], b: [__m512; 2], to: [__m512; 2]) -> [__m512; 2] {
    [_mm512_fmadd_ps(a[0], b[0], to[0]), _mm512_fmadd_ps(a[1], b[1], to[1])]
}

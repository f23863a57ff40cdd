/*!
The sum of squares of many arrays: the square of the norm of all gradients together.

Why not torch's norm of each array? It takes 13 ms for 23 million numbers, at 7 GB/s, and a pass over memory takes 4.

Numbers are summed in blocks that do not depend on the number of threads: in float32 within a block, in float64 over the blocks.
*/

use super::lanes::{CHUNK, load};
use super::machine::check_machine;
use super::team;
use crate::error::Error;
use std::arch::x86_64::*;

/// The numbers of a block: each lane sums 512 squares.
const BLOCK: usize = 1 << 14;

/// Returns the sum of squares.
#[allow(unsafe_code)]
pub fn sum_of_squares(arrays: &[&[f32]], threads: usize) -> Result<f64, Error> {
    check_machine()?;
    let blocks: Vec<&[f32]> = arrays.iter().flat_map(|array| array.chunks(BLOCK)).collect();
    let mut sums = vec![0.0; blocks.len()];
    let items = blocks.into_iter().zip(&mut sums);
    team::for_each(
        threads,
        items,
        || (),
        |(), (block, sum)| {
            // SAFETY: `check_machine` has found that the machine has the instructions.
            *sum = unsafe { of_block(block) };
        },
    )?;
    Ok(sums.iter().sum())
}

#[target_feature(enable = "avx512f")]
fn of_block(block: &[f32]) -> f64 {
    let (chunks, rest) = block.as_chunks::<CHUNK>();
    let mut sums = [_mm512_setzero_ps(); 2];
    for chunk in chunks {
        let [a, b] = load(chunk);
        sums = [_mm512_fmadd_ps(a, a, sums[0]), _mm512_fmadd_ps(b, b, sums[1])];
    }
    let rest: f64 = rest.iter().map(|number| f64::from(*number).powi(2)).sum();
    f64::from(_mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))) + rest
}

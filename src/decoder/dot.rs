/*!
Sums of products, for each of two instruction sets.

Why not loops that the compiler turns into vector instructions? It does so for numbers that do not depend on each other,
such as the exponentials here, but it took the sums of a product apart into scalars, which were eight times as slow.
*/

use crate::kernels::Element;
use std::array::from_fn;

/// The number of vectors of partial sums in a scalar product. It is the same for one text and for several, so that both
/// add in the same order; with four texts, the sums fit the registers of AVX2.
const WAYS: usize = 2;

macro_rules! sums {
    ($set:ident, $features:literal) => {
        pub(super) mod $set {
            use crate::decoder::dot::*;
            use crate::decoder::lanes::$set::*;

            /// Returns the scalar product of `weights` with each of `R` rows of `x`, which are as long.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn dots<E: Element, const R: usize>(weights: &[E], x: &[f32]) -> [f32; R] {
                let length = weights.len();
                let rows: [&[f32]; R] = from_fn(|r| &x[r * length..][..length]);
                let whole = length - length % (WAYS * LANES);
                let mut sums = [[splat(0.0); WAYS]; R];
                for start in (0..whole).step_by(WAYS * LANES) {
                    let weights = &weights[start..start + WAYS * LANES];
                    prefetch(weights);
                    prefetch(&weights[LANES..]);
                    let [first, second] = [load(weights), load(&weights[LANES..])];
                    for r in 0..R {
                        let x = &rows[r][start..start + WAYS * LANES];
                        sums[r][0] = multiply_add(first, load(x), sums[r][0]);
                        sums[r][1] = multiply_add(second, load(&x[LANES..]), sums[r][1]);
                    }
                }
                let mut totals = [0.0; R];
                for r in 0..R {
                    let rest = weights[whole..].iter().zip(&rows[r][whole..]);
                    totals[r] = total(add(sums[r][0], sums[r][1]));
                    rest.for_each(|(weight, x)| totals[r] = weight.widen().mul_add(*x, totals[r]));
                }
                totals
            }

            /// Writes the sum of rows times their factors, `to[i] = sum over j of factors[j] * rows[j][i]`. A row
            /// begins at each multiple of `length`, and `to` may be shorter.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn combine<E: Element>(factors: &[f32], rows: &[E], length: usize, to: &mut [f32]) {
                to.fill(0.0);
                let whole = to.len() - to.len() % LANES;
                for (factor, row) in factors.iter().zip(rows.chunks_exact(length)) {
                    let factors = splat(*factor);
                    let (vectors, rest) = to.split_at_mut(whole);
                    for (to, row) in vectors.chunks_exact_mut(LANES).zip(row.chunks_exact(LANES)) {
                        store(multiply_add(load(row), factors, load(to)), to);
                    }
                    let row = row[whole..].iter();
                    rest.iter_mut()
                        .zip(row)
                        .for_each(|(to, number)| *to = number.widen().mul_add(*factor, *to));
                }
            }

            /// Replaces each score by e^(score - the largest), and returns their sum. A NaN makes the sum NaN.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn softmax(scores: &mut [f32]) -> f32 {
                let mut largest = [f32::NEG_INFINITY; LANES];
                let (vectors, rest) = scores.as_chunks::<LANES>();
                store(
                    vectors.iter().fold(splat(f32::NEG_INFINITY), |most, some| max(most, load(some))),
                    &mut largest,
                );
                let largest =
                    largest.iter().chain(rest).fold(f32::NEG_INFINITY, |most, score| most.max(*score));
                scores.iter_mut().for_each(|score| *score = exp(*score - largest));
                let (vectors, rest) = scores.as_chunks::<LANES>();
                let sum = vectors.iter().fold(splat(0.0), |sum, some| add(sum, load(some)));
                rest.iter().fold(total(sum), |sum, score| sum + score)
            }

            /// Returns the sum of a vector's numbers.
            #[inline]
            #[target_feature(enable = $features)]
            fn total(vector: Vector) -> f32 {
                let mut numbers = [0.0; LANES];
                store(vector, &mut numbers);
                let [a, b]: [[f32; LANES / 2]; 2] =
                    from_fn(|half| from_fn(|i| numbers[half * LANES / 2 + i]));
                let pairs: [f32; LANES / 2] = from_fn(|i| a[i] + b[i]);
                let fours: [f32; LANES / 4] = from_fn(|i| pairs[i] + pairs[i + LANES / 4]);
                let eights: [f32; LANES / 8] = from_fn(|i| fours[i] + fours[i + LANES / 8]);
                eights.iter().sum()
            }
        }
    };
}

sums!(avx2, "avx2,fma");
sums!(avx512, "avx2,fma,avx512f");

/// Returns e^x with a relative error of 3e-7, for x clamped to -87 .. 88. NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUNDING: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves no binary places.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let whole = shifted - ROUNDING;
    let f = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    let mut sum = TAYLOR[0];
    for coefficient in &TAYLOR[1..] {
        sum = sum.mul_add(f, *coefficient);
    }
    // The lowest bits of `shifted` are the whole number.
    sum * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// ln 2 in two parts, of which the first has zeros as its last bits.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 1 / 7!, ..., 1 / 1!, 1: |f| is at most ln 2 / 2, so that the next term is below 6e-9.
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_float64() {
        for number in -8_700_000..=8_800_000_i32 {
            if number % 97 == 0 {
                let x = number as f32 / 1e5;
                let exact = f64::from(x).exp();
                assert!((f64::from(exp(x)) - exact).abs() < 3e-7 * exact, "{x}");
            }
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }
}

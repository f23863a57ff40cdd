/*!
The vector instructions of two instruction sets, by the same names.
*/

/// The distance in bytes at which weights are asked for. Without it, or nearer, one core of an Intel Xeon reads weights of
/// 70 MB from the last cache at 13 to 22 GB/s; with it at 27, because it asks for the next pages' addresses in time.
const AHEAD: usize = 8192;

macro_rules! lanes {
    (
        $(#[$documentation:meta])* $set:ident, $features:literal, $vector:ident, $lanes:literal,
        $splat:ident, $load:ident, $store:ident, $multiply_add:ident, $add:ident, $max:ident,
        |$from:ident| $widened:expr
    ) => {
        $(#[$documentation])*
        pub(super) mod $set {
            use crate::decoder::lanes::AHEAD;
            use crate::kernels::Element;
            use std::arch::x86_64::*;

            pub type Vector = $vector;
            pub const LANES: usize = $lanes;

            /// Returns a vector of one number.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn splat(number: f32) -> Vector {
                $splat(number)
            }

            /// Loads the first numbers of a slice.
            #[inline]
            #[target_feature(enable = $features)]
            #[allow(unsafe_code)]
            pub fn load<E: Element>(from: &[E]) -> Vector {
                let $from = from[..LANES].as_ptr();
                if E::PER_UNIT == 1 {
                    // SAFETY: the slice has LANES elements, and an element that fills a unit is a float32. Without
                    // vector instructions a product takes eight times as long.
                    unsafe { $load($from.cast()) }
                } else {
                    // SAFETY: the slice has LANES elements, of 16 bits each.
                    unsafe { $widened }
                }
            }

            /// Stores into the first places of a slice.
            #[inline]
            #[target_feature(enable = $features)]
            #[allow(unsafe_code)]
            pub fn store(vector: Vector, to: &mut [f32]) {
                // SAFETY: the slice has LANES numbers.
                unsafe { $store(to[..LANES].as_mut_ptr(), vector) }
            }

            /// Asks for the line of memory that lies `AHEAD` bytes behind the beginning of a slice.
            #[inline]
            #[target_feature(enable = $features)]
            #[allow(unsafe_code, unused_unsafe)] // Later versions of Rust call it safe.
            pub fn prefetch<E: Element>(from: &[E]) {
                // SAFETY: the instruction reads nothing, and takes any address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast::<i8>().wrapping_add(AHEAD)) }
            }

            /// Returns a b + c.
            #[inline]
            #[target_feature(enable = $features)]
            pub fn multiply_add(a: Vector, b: Vector, c: Vector) -> Vector {
                $multiply_add(a, b, c)
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub fn add(a: Vector, b: Vector) -> Vector {
                $add(a, b)
            }

            #[inline]
            #[target_feature(enable = $features)]
            pub fn max(a: Vector, b: Vector) -> Vector {
                $max(a, b)
            }
        }
    };
}

lanes!(
    /// AVX2 with FMA.
    avx2, "avx2,fma", __m256, 8,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_max_ps,
    |from| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
);

lanes!(
    /// The AVX-512 of all machines that have any.
    avx512, "avx2,fma,avx512f", __m512, 16,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_max_ps,
    |from| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))))
);

/*!
The second pass over a batch by AVX2: three keys are compared without a branch.

Why two loads of keys, and not one of the whole line by AVX-512? Because the line's counts change. A load that
covers bytes which were just written has to wait until they have reached the cache, and a frequent word is
counted again within a few instructions.
*/

use super::line::{Line, Probe};
use crate::pretoken_key::{Avx2, Avx512, BATCH, Batch};
use std::arch::x86_64::*;

impl Probe for Avx2 {
    #[allow(unsafe_code)]
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
        // SAFETY: an `Avx2` exists only where the machine has AVX2.
        unsafe { count_known(lines, batch, from, to) }
    }
}

impl Probe for Avx512 {
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
        self.avx2().count_known(lines, batch, from, to)
    }
}

#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn count_known(lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
    assert!(to <= BATCH, "a batch has no more");
    for i in from..to {
        let line = &mut lines[batch.homes[i] as usize];
        // SAFETY: the key is 16 bytes; a line begins with its three keys, 48 bytes, and is aligned to 64.
        let (key, two, third) = unsafe {
            let keys = (&raw const line.keys).cast::<__m128i>();
            let key = _mm_loadu_si128((&raw const batch.keys[i]).cast());
            (key, _mm256_load_si256(keys.cast()), _mm_load_si128(keys.add(2)))
        };
        let two = _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_broadcastsi128_si256(key), two));
        let third = _mm_castsi128_pd(_mm_cmpeq_epi64(key, third));
        let halves = (_mm256_movemask_pd(two) | _mm_movemask_pd(third) << 4).cast_unsigned();
        let equal = halves & halves >> 1 & 0b01_01_01;
        if equal == 0 {
            return i;
        }
        let count = &mut line.counts[(equal.trailing_zeros() / 2) as usize & 3];
        *count = count.wrapping_add(1);
    }
    to
}

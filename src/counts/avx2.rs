/*!
The second pass over a batch by AVX2: three keys are compared without a branch.

Why two loads of keys, and not one of the whole line by AVX-512? Because the line's counts change. A load that
covers bytes which were just written has to wait until they have reached the cache, and a frequent word is
counted again within a few instructions.
*/

use super::line::{Line, Probe};
use crate::pretoken_key::{Avx2, Batch, Key};
use std::arch::x86_64::*;

impl Probe for Avx2 {
    #[allow(unsafe_code)]
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
        // SAFETY: an `Avx2` exists only where the machine has AVX2.
        unsafe { from + count::<false>(lines, &batch.keys[from..to], &batch.homes[from..to]) }
    }
}

/// Counts pretokens up to one that is not in its line, and makes the most frequent one of a line the first.
/// Returns the number of those that it counted.
#[target_feature(enable = "avx2")]
pub(super) fn count_and_promote(lines: &mut [Line], keys: &[Key], homes: &[u32]) -> usize {
    count::<true>(lines, keys, homes)
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn count<const PROMOTE: bool>(lines: &mut [Line], keys: &[Key], homes: &[u32]) -> usize {
    for (i, (key, &home)) in keys.iter().zip(homes).enumerate() {
        let line = &mut lines[home as usize];
        // SAFETY: the key is 16 bytes; a line begins with its three keys, 48 bytes, and is aligned to 64.
        let (key, two, third) = unsafe {
            let keys = (&raw const line.keys).cast::<__m128i>();
            let key = _mm_loadu_si128((&raw const *key).cast());
            (key, _mm256_load_si256(keys.cast()), _mm_load_si128(keys.add(2)))
        };
        let two = _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_broadcastsi128_si256(key), two));
        let third = _mm_castsi128_pd(_mm_cmpeq_epi64(key, third));
        let halves = (_mm256_movemask_pd(two) | _mm_movemask_pd(third) << 4).cast_unsigned();
        let equal = halves & halves >> 1 & 0b01_01_01;
        if equal == 0 {
            return i;
        }
        let way = (equal.trailing_zeros() / 2) as usize & 3;
        line.counts[way] = line.counts[way].wrapping_add(1);
        if PROMOTE && line.counts[way] > line.counts[0] {
            line.promote(way);
        }
    }
    keys.len()
}

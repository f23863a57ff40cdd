/*!
The second pass over a batch by AVX-512: four pretokens at a time.

Most pretokens are the first of the line where they belong, because a frequent one changes places with a rarer one
before it ([`Line::promote`]). So four pretokens are compared with the first ones of four lines, in one comparison.
If all are equal, they are counted without a search. (benches/record/7-limit-of-the-chip.md)

Why not both passes in one, without prefetches, while the table fits the second-level cache? That was measured, and it
was slower.
*/

use super::avx2::count_and_promote;
use super::line::{Line, Probe};
use crate::pretoken_key::{Avx512, Batch, Key, join};
use std::arch::x86_64::*;

/// The number of pretokens that are compared at once.
const FOUR: usize = 4;

impl Probe for Avx512 {
    #[allow(unsafe_code)]
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
        // SAFETY: an `Avx512` exists only where the machine has these instructions.
        unsafe { from + count_known(lines, &batch.keys[from..to], &batch.homes[from..to]) }
    }
}

#[target_feature(enable = "avx2,avx512f")]
fn count_known(lines: &mut [Line], keys: &[Key], homes: &[u32]) -> usize {
    let ((fours, _), (homes_of_fours, _)) = (keys.as_chunks(), homes.as_chunks());
    let mut counted = 0;
    for (keys, homes) in fours.iter().zip(homes_of_fours) {
        if !count_first(lines, keys, homes) {
            let found = search(lines, keys, homes);
            if found < FOUR {
                return counted + found;
            }
        }
        counted += FOUR;
    }
    counted + search(lines, &keys[counted..], &homes[counted..])
}

/// Counts four pretokens if each is the first one of its line; says whether it did.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
#[allow(unsafe_code)]
fn count_first(lines: &mut [Line], keys: &[Key; FOUR], homes: &[u32; FOUR]) -> bool {
    // SAFETY: a line is aligned to 64 bytes, and begins with a key of 16.
    let first = homes.map(|home| unsafe { _mm_load_si128((&raw const lines[home as usize].keys).cast()) });
    // SAFETY: four keys are 64 bytes, of any alignment.
    let keys = unsafe { _mm512_loadu_si512(keys.as_ptr().cast()) };
    if _mm512_cmpneq_epi64_mask(join(first), keys) != 0 {
        return false;
    }
    for &home in homes {
        let count = &mut lines[home as usize].counts[0];
        *count = count.wrapping_add(1);
    }
    true
}

/// Counts pretokens up to one that is not in its line; returns their number. It is not part of the loop, whose
/// registers it would take.
#[inline(never)]
#[target_feature(enable = "avx2")]
fn search(lines: &mut [Line], keys: &[Key], homes: &[u32]) -> usize {
    count_and_promote(lines, keys, homes)
}

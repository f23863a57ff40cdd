/*!
The second pass over a batch by AVX2. (benches/record/3-encode.md)
*/

use super::line::{FEW_IDS, Line, Probe, Value};
use crate::encode::ids::{Id, Ids};
use crate::pretoken_key::{Avx2, Avx512, BATCH, Batch};
use std::arch::x86_64::*;

impl Probe for Avx2 {
    #[allow(unsafe_code)]
    fn copy_known<T: Id>(
        self,
        lines: &[Line],
        batch: &Batch,
        from: usize,
        to: usize,
        out: &mut Ids<T>,
    ) -> usize {
        // SAFETY: an `Avx2` exists only where the machine has AVX2.
        unsafe { copy_known(lines, batch, from, to, out) }
    }
}

impl Probe for Avx512 {
    fn copy_known<T: Id>(
        self,
        lines: &[Line],
        batch: &Batch,
        from: usize,
        to: usize,
        out: &mut Ids<T>,
    ) -> usize {
        self.avx2().copy_known(lines, batch, from, to, out)
    }
}

#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn copy_known<T: Id>(lines: &[Line], batch: &Batch, from: usize, to: usize, out: &mut Ids<T>) -> usize {
    assert!(to <= BATCH, "a batch has no more");
    let room = &mut out.room[out.len..][..(FEW_IDS + 1) * BATCH];
    let mut written = 0;
    for i in from..to {
        let line = &lines[batch.homes[i] as usize];
        // SAFETY: the key is 16 bytes; a line begins with its keys, 32 bytes, and is aligned to 64.
        let (key, keys) = unsafe {
            let key = _mm_loadu_si128((&raw const batch.keys[i]).cast());
            (key, _mm256_load_si256((&raw const *line).cast()))
        };
        let equal = _mm256_cmpeq_epi64(_mm256_broadcastsi128_si256(key), keys);
        let halves = _mm256_movemask_pd(_mm256_castsi256_pd(equal)).cast_unsigned();
        let both = halves & halves >> 1;
        let value = &line.values[(both >> 2 & 1) as usize];
        let len = value.len as usize;
        if both & 0b101 == 0 || len > FEW_IDS {
            out.len += written;
            return i;
        }
        // SAFETY: at most three ids were written for each of the fewer than `BATCH` pretokens before this
        // one, so four more fit.
        unsafe { store(value, room.as_mut_ptr().add(written)) };
        written += len;
    }
    out.len += written;
    to
}

/// Writes four numbers, of which the first `len` are ids.
///
/// # Safety
/// `room` is the beginning of at least four elements.
#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
unsafe fn store<T: Id>(value: &Value, room: *mut T) {
    const { assert!(size_of::<Value>() == 16 && matches!(size_of::<T>(), 2 | 4)) };
    // SAFETY: a value is 16 bytes. An `Id` is u16 or u32, and there is room for four.
    unsafe {
        let ids = _mm_loadu_si128((&raw const *value).cast());
        if size_of::<T>() == 2 {
            let low_halves = _mm_set_epi64x(-1, 0x0D0C_0908_0504_0100);
            _mm_storel_epi64(room.cast(), _mm_shuffle_epi8(ids, low_halves));
        } else {
            _mm_storeu_si128(room.cast(), ids);
        }
    }
}

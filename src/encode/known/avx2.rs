/*!
The two passes over a batch by AVX2 and AES. Two rounds of AES mix all bytes of a key, so a hash takes two
instructions.

Why not leave it to the compiler? It splits keys into halves in order to multiply and compare them. That takes
some sixty instructions a pretoken instead of forty, and 0.25 s instead of 0.20 s for 170 MB of web text.
(benches/record/3-encode.md)
*/

use super::line::{Batch, FEW_IDS, Line, Probe, Value};
use crate::encode::ids::{Id, Ids};
use crate::isa::Isa;
use crate::pretoken_key::{BATCH, KEEP, Key, READ_AHEAD, SHORT, long_key};
use crate::pretokenize::WINDOW;
use std::arch::x86_64::*;

/// Proof that the machine has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub fn new(isa: Isa) -> Option<Self> {
        isa.has_avx2().then_some(Avx2(()))
    }
}

impl Probe for Avx2 {
    #[allow(unsafe_code)]
    fn home(self, key: Key, num_lines: usize) -> usize {
        // SAFETY: an `Avx2` exists only where the machine has AVX2 and AES.
        unsafe { home(key, num_lines) }
    }

    #[allow(unsafe_code)]
    fn prepare(self, lines: &[Line], text: &[u8], borders: &[u16], batch: &mut Batch) {
        // SAFETY: as above.
        unsafe { prepare(lines, text, borders, batch) }
    }

    #[allow(unsafe_code)]
    fn copy_known<T: Id>(
        self,
        lines: &[Line],
        batch: &Batch,
        from: usize,
        to: usize,
        out: &mut Ids<T>,
    ) -> usize {
        // SAFETY: as above.
        unsafe { copy_known(lines, batch, from, to, out) }
    }
}

/// The length of a short pretoken as the last byte of its key, by length.
static LENGTH: [u128; SHORT + 1] = {
    let mut lengths = [0; SHORT + 1];
    let mut len = 0;
    while len <= SHORT {
        lengths[len] = (len as u128) << 120;
        len += 1;
    }
    lengths
};

#[inline]
#[target_feature(enable = "aes,avx2")]
fn hash(key: __m128i) -> u32 {
    let round =
        _mm_set_epi64x(0x9E37_79B9_7F4A_7C15_u64.cast_signed(), 0xD1B5_4A32_D192_ED03_u64.cast_signed());
    _mm_cvtsi128_si32(_mm_aesenc_si128(_mm_aesenc_si128(key, round), round)).cast_unsigned()
}

#[target_feature(enable = "aes,avx2")]
#[allow(clippy::cast_possible_truncation)] // The halves of a key.
fn home(key: Key, num_lines: usize) -> usize {
    let key = _mm_set_epi64x(((key >> 64) as u64).cast_signed(), (key as u64).cast_signed());
    hash(key) as usize & (num_lines - 1)
}

#[target_feature(enable = "aes,avx2")]
#[allow(unsafe_code, clippy::cast_possible_truncation)] // A table has fewer than 2^32 lines.
fn prepare(lines: &[Line], text: &[u8], borders: &[u16], batch: &mut Batch) {
    let mask = (lines.len() - 1) as u32;
    let (Some(window), Some((&first, ends))) = (text.first_chunk::<READ_AHEAD>(), borders.split_first())
    else {
        return;
    };
    let mut start = usize::from(first);
    for ((&end, key), home) in ends.iter().zip(&mut batch.keys).zip(&mut batch.homes) {
        let end = usize::from(end);
        let len = end.wrapping_sub(start);
        if len <= SHORT {
            let bytes = &window[start % WINDOW..][..16];
            // SAFETY: each is 16 bytes that are borrowed; none needs to be aligned.
            unsafe {
                let keep = _mm_loadu_si128((&raw const KEEP[len]).cast());
                let length = _mm_loadu_si128((&raw const LENGTH[len]).cast());
                let found = _mm_or_si128(_mm_and_si128(_mm_loadu_si128(bytes.as_ptr().cast()), keep), length);
                _mm_storeu_si128((&raw mut *key).cast(), found);
                *home = hash(found) & mask;
            }
        } else {
            *key = long_key(&text[start..end]);
            *home = self::home(*key, lines.len()) as u32;
        }
        _mm_prefetch::<_MM_HINT_T0>(lines.as_ptr().wrapping_add(*home as usize).cast());
        start = end;
    }
}

#[target_feature(enable = "aes,avx2")]
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

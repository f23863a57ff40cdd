/*!
The first pass over a batch by AVX2 and AES. Two rounds of AES mix all bytes of a key, so a hash takes two
instructions.

Why not leave it to the compiler? It splits keys into halves in order to multiply and compare them. That takes
some sixty instructions a pretoken, in both passes together, instead of forty, and 0.25 s instead of 0.20 s for
170 MB of web text. (benches/record/3-encode.md)
*/

use super::batch::{Batch, Keys};
use super::key::{KEEP, Key, READ_AHEAD, SHORT, long_key};
use crate::isa::Isa;
use crate::pretokenize::WINDOW;
use std::arch::x86_64::*;

/// Proof that the machine has AVX2 and AES.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if the instruction set has them.
    pub fn new(isa: Isa) -> Option<Self> {
        isa.has_avx2().then_some(Avx2(()))
    }
}

impl Keys for Avx2 {
    #[allow(unsafe_code)]
    fn home(self, key: Key, num_lines: usize) -> usize {
        // SAFETY: an `Avx2` exists only where the machine has AVX2 and AES.
        unsafe { home(key, num_lines) }
    }

    #[allow(unsafe_code)]
    fn prepare<L>(self, lines: &[L], text: &[u8], borders: &[u16], batch: &mut Batch) {
        self.prepare_from(lines, text, borders, 0, batch);
    }
}

impl Avx2 {
    /// As [`Keys::prepare`], for pretokens from number `from` of the batch on.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn prepare_from<L>(
        self,
        lines: &[L],
        text: &[u8],
        borders: &[u16],
        from: usize,
        batch: &mut Batch,
    ) {
        // SAFETY: an `Avx2` exists only where the machine has AVX2 and AES.
        unsafe { prepare(lines, text, borders, from, batch) }
    }
}

/// The halves of the number that each round of AES adds, the low one first.
pub(super) const ROUND: [i64; 2] =
    [0xD1B5_4A32_D192_ED03_u64.cast_signed(), 0x9E37_79B9_7F4A_7C15_u64.cast_signed()];

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
    let round = _mm_set_epi64x(ROUND[1], ROUND[0]);
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
fn prepare<L>(lines: &[L], text: &[u8], borders: &[u16], from: usize, batch: &mut Batch) {
    let mask = (lines.len() - 1) as u32;
    let (Some(window), Some((&first, ends))) =
        (text.first_chunk::<READ_AHEAD>(), borders[from..].split_first())
    else {
        return;
    };
    let (mut start, seed) = (usize::from(first), batch.seed());
    for ((&end, key), home) in ends.iter().zip(&mut batch.keys[from..]).zip(&mut batch.homes[from..]) {
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
            *key = long_key(&text[start..end], seed);
            *home = self::home(*key, lines.len()) as u32;
        }
        _mm_prefetch::<_MM_HINT_T0>(lines.as_ptr().wrapping_add(*home as usize).cast());
        start = end;
    }
}

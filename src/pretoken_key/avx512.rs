/*!
The first pass over a batch by AVX-512 and VAES: four keys at a time, with the hash of [`super::avx2`].

Three quarters of the instructions that make a key are the same for four keys as for one. (Measured gain:
benches/record/2-scan-and-count.md)
*/

use super::avx2::{Avx2, ROUND};
use super::batch::{Batch, Keys};
use super::key::{BATCH, Key, READ_AHEAD, SHORT};
use crate::isa::{Isa, IsaName};
use crate::pretokenize::WINDOW;
use std::arch::x86_64::*;

/// Proof that the machine has AVX2, AES, AVX-512 F and BW, and VAES.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(Avx2);

impl Avx512 {
    /// The proof, if the instruction set and the machine have them.
    pub fn new(isa: Isa) -> Option<Self> {
        let avx2 = Avx2::new(isa)?;
        (isa.kind() == IsaName::Avx512 && is_x86_feature_detected!("vaes")).then_some(Avx512(avx2))
    }

    /// The proof of what it includes.
    pub fn avx2(self) -> Avx2 {
        self.0
    }
}

impl Keys for Avx512 {
    fn home(self, key: Key, num_lines: usize) -> usize {
        self.0.home(key, num_lines)
    }

    #[allow(unsafe_code)]
    fn prepare<L>(self, lines: &[L], text: &[u8], borders: &[u16], batch: &mut Batch) {
        // SAFETY: an `Avx512` exists only where the machine has these instructions.
        unsafe { prepare(self.0, lines, text, borders, batch) }
    }
}

#[target_feature(enable = "aes,avx2,avx512f,avx512bw,vaes")]
#[allow(unsafe_code, clippy::cast_possible_truncation)] // A table has fewer than 2^32 lines.
fn prepare<L>(avx2: Avx2, lines: &[L], text: &[u8], borders: &[u16], batch: &mut Batch) {
    assert!(borders.len() <= BATCH + 1, "a batch has no more");
    let Some(window) = text.first_chunk::<READ_AHEAD>() else { return };
    let mask = _mm_set1_epi32(((lines.len() - 1) as u32).cast_signed());
    let mut done = 0;
    while let Some(five) = borders[done..].first_chunk::<5>() {
        let Some((keys, hashes)) = four_keys(window, five) else {
            avx2.prepare_from(lines, text, &borders[..done + 5], done, batch);
            done += 4;
            continue;
        };
        let homes = _mm_and_si128(hashes, mask);
        // SAFETY: five borders begin at `done`, and there are at most `BATCH + 1`. So four more keys and four
        // more homes fit.
        unsafe {
            _mm512_storeu_si512(batch.keys.as_mut_ptr().add(done).cast(), keys);
            _mm_storeu_si128(batch.homes.as_mut_ptr().add(done).cast(), homes);
        }
        for two in [_mm_cvtsi128_si64(homes), _mm_extract_epi64::<1>(homes)].map(i64::cast_unsigned) {
            for home in [two as u32, (two >> 32) as u32] {
                _mm_prefetch::<_MM_HINT_T0>(lines.as_ptr().wrapping_add(home as usize).cast());
            }
        }
        done += 4;
    }
    avx2.prepare_from(lines, text, borders, done, batch);
}

/// The keys and the hashes of four neighbouring pretokens, or `None` if one of them is long.
#[inline]
#[target_feature(enable = "aes,avx2,avx512f,avx512bw,vaes")]
#[allow(unsafe_code, clippy::cast_possible_truncation)] // `SHORT` fits 16 bits.
fn four_keys(window: &[u8; READ_AHEAD], borders: &[u16; 5]) -> Option<(__m512i, __m128i)> {
    // SAFETY: four of the five borders are 8 bytes, of any alignment.
    let (starts, ends) = unsafe {
        let first = borders.as_ptr();
        (_mm_loadl_epi64(first.cast()), _mm_loadl_epi64(first.add(1).cast()))
    };
    let lens = _mm_sub_epi16(ends, starts);
    if _mm_movemask_epi8(_mm_cmpgt_epi16(lens, _mm_set1_epi16(SHORT as i16))) != 0 {
        return None;
    }
    let starts = _mm_and_si128(starts, _mm_set1_epi16(WINDOW as i16 - 1));
    let starts = _mm_cvtsi128_si64(starts).cast_unsigned();
    let bytes = [0, 16, 32, 48].map(|shift| {
        let start = (starts >> shift) as u16;
        // SAFETY: the start is less than `WINDOW`, because it was masked, and 16 bytes follow each such start.
        unsafe { _mm_loadu_si128(window.as_ptr().add(start.into()).cast()) }
    });
    let lens = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(lens), each_in_its_lane());
    let kept = _mm512_maskz_mov_epi8(_mm512_cmplt_epu8_mask(numbers(), lens), join(bytes));
    let keys = _mm512_or_si512(kept, _mm512_and_si512(lens, last_of_each()));
    let round = _mm512_broadcast_i32x4(_mm_set_epi64x(ROUND[1], ROUND[0]));
    let hashes = _mm512_aesenc_epi128(_mm512_aesenc_epi128(keys, round), round);
    let first_of_each = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    Some((keys, _mm512_castsi512_si128(_mm512_permutexvar_epi32(first_of_each, hashes))))
}

/// Joins four times 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn join([a, b, c, d]: [__m128i; 4]) -> __m512i {
    let two = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(two, c), d)
}

/// The bits of the last byte of each 16.
#[inline]
#[target_feature(enable = "avx512f")]
fn last_of_each() -> __m512i {
    _mm512_broadcast_i32x4(_mm_set_epi64x(0xFF << 56, 0))
}

/// The numbers from 0 to 15, four times.
#[inline]
#[target_feature(enable = "avx512f")]
fn numbers() -> __m512i {
    _mm512_broadcast_i32x4(_mm_set_epi64x(0x0F0E_0D0C_0B0A_0908, 0x0706_0504_0302_0100))
}

/// The byte to take for each byte of four times 16: the low byte of number 0, 1, 2 or 3 of 16 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn each_in_its_lane() -> __m512i {
    const TWO: i64 = 0x0202_0202_0202_0202;
    _mm512_set_epi64(3 * TWO, 3 * TWO, 2 * TWO, 2 * TWO, TWO, TWO, 0, 0)
}

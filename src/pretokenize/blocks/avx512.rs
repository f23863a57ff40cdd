/*!
Classes of ASCII bytes by AVX-512. The result of a comparison of 64 bytes is a mask already.
*/

use super::masks::{AsciiMasks, BLOCK, Classify};
use super::scan::{BlockGrammar, Scan};
use crate::pretokenize::borders::Borders;
use std::arch::x86_64::*;

/// Exists only inside [`fill`], where its instructions may be used.
#[derive(Clone, Copy)]
struct Avx512(());

/// Fills a window with these instructions.
#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt")]
pub(super) fn fill<G: BlockGrammar>(scan: &mut Scan<'_, G>, borders: &mut Borders) {
    scan.fill(Avx512(()), borders);
}

impl Classify for Avx512 {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks {
        // SAFETY: an `Avx512` exists only inside `fill`, which the machine can run. Measured gain:
        // benches/record/2-scan-and-count.md.
        unsafe { classify(load(block)) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        // SAFETY: as above.
        unsafe { _mm512_cmpeq_epi8_mask(load(block), _mm512_set1_epi8(byte.cast_signed())) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn list(self, bits: u64, at: u16, positions: &mut [u16; BLOCK]) {
        // SAFETY: as above.
        unsafe { list(bits, at, positions) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: 64 bytes, of any alignment.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn classify(bytes: __m512i) -> AsciiMasks {
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let range = |bytes, first: u8, last: u8| {
        _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, all(first)), all(last - first))
    };
    let blanks = _mm512_cmpeq_epi8_mask(bytes, all(b' '));
    AsciiMasks {
        letters: range(_mm512_or_si512(bytes, all(0x20)), b'a', b'z'),
        digits: range(bytes, b'0', b'9'),
        whitespace: blanks | range(bytes, b'\t', b'\r'),
        blanks,
        newlines: _mm512_cmpeq_epi8_mask(bytes, all(b'\n')) | _mm512_cmpeq_epi8_mask(bytes, all(b'\r')),
        capitals: range(bytes, b'A', b'Z'),
        slashes: _mm512_cmpeq_epi8_mask(bytes, all(b'/')),
        apostrophes: _mm512_cmpeq_epi8_mask(bytes, all(b'\'')),
        controls: range(bytes, 0, 0x1F) | _mm512_cmpeq_epi8_mask(bytes, all(0x7F)),
        beyond_ascii: _mm512_movepi8_mask(bytes),
    }
}

/// As [`Classify::list`], without a branch: sixteen bits at a time select from sixteen numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,popcnt")]
#[allow(unsafe_code)]
fn list(bits: u64, at: u16, positions: &mut [u16; BLOCK]) {
    let mut numbers = _mm512_add_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(at.into()),
    );
    let mut len = 0;
    for sixteen in 0..4 {
        #[allow(clippy::cast_possible_truncation)] // Sixteen bits of the mask.
        let mask = (bits >> (16 * sixteen)) as u16;
        let selected = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, numbers));
        // SAFETY: `len` is at most 16 numbers for each of the steps before, so 16 more fit.
        unsafe { _mm256_storeu_si256(positions.as_mut_ptr().add(len).cast(), selected) };
        len += mask.count_ones() as usize;
        numbers = _mm512_add_epi32(numbers, _mm512_set1_epi32(16));
    }
}

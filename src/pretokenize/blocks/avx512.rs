/*!
Classes of ASCII bytes by AVX-512: a comparison of 64 bytes is a mask already.
*/

use super::{AsciiMasks, BLOCK, BlockScanner, Borders, Classify};
use std::arch::x86_64::*;

/// Exists only inside [`fill`], where its instructions may be used.
#[derive(Clone, Copy)]
struct Avx512(());

#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2")]
pub(super) fn fill(scanner: &mut BlockScanner<'_>, borders: &mut Borders) {
    scanner.fill(Avx512(()), borders);
}

impl Classify for Avx512 {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks {
        // SAFETY: an `Avx512` exists only inside `fill`, which the machine can run. Worth: benches/record/2-scan-and-count.md.
        unsafe { classify(load(block)) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        // SAFETY: as above.
        unsafe { _mm512_cmpeq_epi8_mask(load(block), _mm512_set1_epi8(byte.cast_signed())) }
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
        apostrophes: _mm512_cmpeq_epi8_mask(bytes, all(b'\'')),
        beyond_ascii: _mm512_movepi8_mask(bytes),
    }
}

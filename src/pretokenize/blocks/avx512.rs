/*!
Classes of ASCII bytes by AVX-512. The result of a comparison of 64 bytes is a mask already.
*/

use super::masks::{AsciiMasks, BLOCK, Classify};
use super::scan::{BlockGrammar, Scan};
use crate::pretokenize::borders::Borders;
use std::arch::x86_64::*;

/// Exists only inside [`fill`] and [`fill_by_bytes`], where its instructions may be used. `BYTES` says whether VBMI and
/// VBMI2 are among them.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BYTES: bool>(());

/// Whether the machine has VBMI and VBMI2.
pub(super) fn has_bytes() -> bool {
    is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vbmi2")
}

/// Fills a window with these instructions.
#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt")]
pub(super) fn fill<G: BlockGrammar>(scan: &mut Scan<'_, G>, borders: &mut Borders) {
    scan.fill(Avx512::<false>(()), borders);
}

/// The same with VBMI and VBMI2, which look bytes up and select them.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub(super) fn fill_by_bytes<G: BlockGrammar>(scan: &mut Scan<'_, G>, borders: &mut Borders) {
    scan.fill_by_pairs(Avx512::<true>(()), borders);
}

impl<const BYTES: bool> Classify for Avx512<BYTES> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks {
        // SAFETY: an `Avx512` exists only inside functions that the machine can run. Measured gain:
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
        // SAFETY: as above. Measured gain of bytes: benches/record/7-limit-of-the-chip.md.
        unsafe { if BYTES { list_by_bytes(bits, at, positions) } else { list(bits, at, positions) } }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
pub(super) fn load(block: &[u8; BLOCK]) -> __m512i {
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

/// The same by one selection from 64 numbers of a byte each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
#[allow(unsafe_code, clippy::cast_possible_truncation)] // A number below 64.
fn list_by_bytes(bits: u64, at: u16, positions: &mut [u16; BLOCK]) {
    const NUMBERS: [u8; BLOCK] = {
        let mut numbers = [0; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            numbers[i] = i as u8;
            i += 1;
        }
        numbers
    };
    let selected = _mm512_maskz_compress_epi8(bits, load(&NUMBERS));
    let at = _mm512_set1_epi16(at.cast_signed());
    let low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(selected));
    let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(selected));
    let half = positions.as_mut_ptr().cast::<__m512i>();
    // SAFETY: two halves of 64 bytes, of any alignment.
    unsafe {
        _mm512_storeu_si512(half, _mm512_add_epi16(low, at));
        _mm512_storeu_si512(half.add(1), _mm512_add_epi16(high, at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::portable::Portable;
    use super::*;
    use crate::hash_seed::GOLDEN;

    #[test]
    #[allow(unsafe_code)]
    fn every_form_lists_the_same_positions() {
        let has_forms = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        let mut bits = 1u64;
        for i in 0..2000u32 {
            bits = bits.wrapping_mul(GOLDEN).rotate_left(i) ^ u64::from(i);
            let masks = [bits, bits & bits >> 7 & bits << 9, 1 << (i % 64), 0, u64::MAX];
            for (bits, at) in masks.into_iter().zip([0, 64, 128, 1984, 4032]) {
                let listed = |list: &dyn Fn(&mut [u16; BLOCK])| {
                    let mut positions = [u16::MAX; BLOCK];
                    list(&mut positions);
                    positions[..bits.count_ones() as usize].to_vec()
                };
                let expected: Vec<u16> = (0..64).filter(|i| bits >> i & 1 == 1).map(|i| at + i).collect();
                assert_eq!(listed(&|positions| Portable.list(bits, at, positions)), expected);
                // SAFETY: the machine has the features.
                if has_forms && is_x86_feature_detected!("popcnt") {
                    assert_eq!(listed(&|positions| unsafe { list(bits, at, positions) }), expected);
                }
                // SAFETY: as above.
                if has_forms && is_x86_feature_detected!("avx512vbmi2") {
                    assert_eq!(listed(&|positions| unsafe { list_by_bytes(bits, at, positions) }), expected);
                }
            }
        }
    }
}

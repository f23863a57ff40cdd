/*!
Classes of ASCII bytes by AVX2. A comparison covers 32 bytes and gives a byte of ones for each match;
`movemask` gathers those.
*/

use super::masks::{AsciiMasks, BLOCK, Classify};
use super::scan::{BlockGrammar, Scan};
use crate::pretokenize::borders::Borders;
use std::arch::x86_64::*;

/// Exists only inside [`fill`], where its instructions may be used.
#[derive(Clone, Copy)]
struct Avx2(());

/// Fills a window with these instructions.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
pub(super) fn fill<G: BlockGrammar>(scan: &mut Scan<'_, G>, borders: &mut Borders) {
    scan.fill(Avx2(()), borders);
}

impl Classify for Avx2 {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks {
        // SAFETY: an `Avx2` exists only inside `fill`, which the machine can run. Measured gain:
        // benches/record/2-scan-and-count.md.
        unsafe { classify(load(block)) }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        // SAFETY: as above.
        unsafe { equal(load(block), byte) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn load(block: &[u8; BLOCK]) -> [__m256i; 2] {
    let half = block.as_ptr().cast::<__m256i>();
    // SAFETY: two halves of 32 bytes, of any alignment.
    unsafe { [_mm256_loadu_si256(half), _mm256_loadu_si256(half.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn classify(halves: [__m256i; 2]) -> AsciiMasks {
    let [low, high] = halves;
    let lower = |bytes| _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
    let blanks = equal(halves, b' ');
    AsciiMasks {
        letters: range([lower(low), lower(high)], b'a', b'z'),
        digits: range(halves, b'0', b'9'),
        whitespace: blanks | range(halves, b'\t', b'\r'),
        blanks,
        newlines: equal(halves, b'\n') | equal(halves, b'\r'),
        capitals: range(halves, b'A', b'Z'),
        slashes: equal(halves, b'/'),
        apostrophes: equal(halves, b'\''),
        controls: range(halves, 0, 0x1F) | equal(halves, 0x7F),
        beyond_ascii: gather(halves),
    }
}

/// The bytes from `first` to `last`.
#[inline]
#[target_feature(enable = "avx2")]
fn range([low, high]: [__m256i; 2], first: u8, last: u8) -> u64 {
    let limit = _mm256_set1_epi8((last - first).cast_signed());
    let is_in = |bytes| {
        let offset = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first.cast_signed()));
        _mm256_cmpeq_epi8(_mm256_min_epu8(offset, limit), offset)
    };
    gather([is_in(low), is_in(high)])
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal(halves: [__m256i; 2], byte: u8) -> u64 {
    let [low, high] = halves;
    let byte = _mm256_set1_epi8(byte.cast_signed());
    gather([_mm256_cmpeq_epi8(low, byte), _mm256_cmpeq_epi8(high, byte)])
}

/// The high bits of 64 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn gather([low, high]: [__m256i; 2]) -> u64 {
    let bits = |bytes| u64::from(_mm256_movemask_epi8(bytes).cast_unsigned());
    bits(low) | bits(high) << 32
}

/*!
Classes of ASCII bytes without special instructions. Eight bytes share one `u64`. They are compared by
additions whose carries cannot leave a byte, and a multiplication gathers the eight high bits.
*/

use super::masks::{AsciiMasks, BLOCK, Classify};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Classify for Portable {
    #[inline(always)]
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks {
        let mut masks = AsciiMasks::default();
        for (i, bytes) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let ascii = !word & HIGH;
            let gathered = |high_bits: u64| gather(high_bits & ascii) << (8 * i);
            masks.letters |= gathered(in_range(word | (ONES * 0x20), b'a', b'z'));
            masks.digits |= gathered(in_range(word, b'0', b'9'));
            let blanks = gathered(in_range(word, b' ', b' '));
            masks.blanks |= blanks;
            masks.whitespace |= blanks | gathered(in_range(word, b'\t', b'\r'));
            masks.newlines |= gathered(in_range(word, b'\n', b'\n') | in_range(word, b'\r', b'\r'));
            masks.capitals |= gathered(in_range(word, b'A', b'Z'));
            masks.slashes |= gathered(in_range(word, b'/', b'/'));
            masks.apostrophes |= gathered(in_range(word, b'\'', b'\''));
            masks.controls |= gathered(in_range(word, 0, 0x1F) | in_range(word, 0x7F, 0x7F));
            masks.beyond_ascii |= gather(word & HIGH) << (8 * i);
        }
        masks
    }

    #[inline(always)]
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64 {
        let words = block.as_chunks::<8>().0.iter().enumerate();
        words.fold(0, |mask, (i, bytes)| {
            let differing = u64::from_le_bytes(*bytes) ^ (ONES * u64::from(byte));
            let zero = !(((differing & !HIGH) + !HIGH) | differing) & HIGH;
            mask | gather(zero) << (8 * i)
        })
    }
}

/// The high bit of each byte whose lower seven are in a range of ASCII.
#[inline(always)]
fn in_range(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGH;
    let from_first = low + ONES * u64::from(0x80 - first);
    let beyond_last = low + ONES * u64::from(0x7F - last);
    from_first & !beyond_last & HIGH
}

/// The high bits of eight bytes as eight bits.
#[inline(always)]
fn gather(high_bits: u64) -> u64 {
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

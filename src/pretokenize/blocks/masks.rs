/*!
A block of text as masks of 64 bits, and the interface of the instruction sets that make them.
*/

use crate::pretokenize::borders::Borders;

/// The size of a block in bytes.
pub(super) const BLOCK: usize = 64;

/// The ASCII bytes of a block by kind, one mask each. Bit `i` of a mask is about byte `i`.
#[derive(Clone, Copy, Default)]
pub(super) struct AsciiMasks {
    pub letters: u64,
    pub digits: u64,
    /// `\t \n \v \f \r` and the space.
    pub whitespace: u64,
    /// The space alone.
    pub blanks: u64,
    /// `\r` and `\n`.
    pub newlines: u64,
    pub capitals: u64,
    pub slashes: u64,
    pub apostrophes: u64,
    /// All below the space, and DEL.
    pub controls: u64,
    pub beyond_ascii: u64,
}

/// What an instruction set must provide.
pub(super) trait Classify: Copy {
    /// The masks of a block.
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks;

    /// The bytes of a block that equal `byte`.
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64;

    /// Writes `at` plus the number of each bit that is set, eight at a time. Their number cannot be
    /// predicted, and writing too many costs less than a mispredicted branch.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // The number of a bit is at most 64.
    fn list(self, mut bits: u64, at: u16, positions: &mut [u16; BLOCK]) {
        for eight in positions.as_chunks_mut::<8>().0 {
            for position in eight {
                *position = at + bits.trailing_zeros() as u16;
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }
}

/// Adds the borders of the block that begins at `start`.
#[inline(always)]
pub(super) fn add<C: Classify>(isa: C, bits: u64, start: usize, borders: &mut Borders) {
    #[allow(clippy::cast_possible_truncation)] // A position in a window.
    let at = (start - borders.base()) as u16;
    if let Some(room) = borders.room() {
        isa.list(bits, at, room);
    }
    borders.add(bits.count_ones() as usize);
}

/// A mask of the lowest `n` bits; of all bits for 64 or more.
#[inline(always)]
pub(super) fn low_bits(n: usize) -> u64 {
    if n < BLOCK { (1 << n) - 1 } else { u64::MAX }
}

/*!
A secret in the hashes of what others have written.

Texts and tokenizer files may be hostile. If the hash is known, a text can be made in which a hundred thousand
pretokens have the same hash; each lookup then compares them all, and the time grows with the square of their
number. So the tables that probe until they find a free slot hash with two numbers that each process draws for itself,
from the randomness that the operating system gives to std's `HashMap`.

Why not std's hash itself? SipHash mixes in several rounds, and this multiplies twice. It is weaker: who can measure
the time of many single lookups may learn the numbers. Who only writes a text or a file cannot.

Answers never depend on the numbers; tests choose them.
*/

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The golden ratio, as a fraction of 2^64: its multiples are spread evenly.
pub(crate) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The two secret numbers of a hash.
#[derive(Clone, Copy, Debug)]
pub struct HashSeed([u64; 2]);

impl HashSeed {
    /// Numbers that everyone knows, for tables in which a lookup visits a bounded number of places.
    pub(crate) const KNOWN: HashSeed = HashSeed([GOLDEN, 0xD1B5_4A32_D192_ED03]);

    /// The numbers of this process.
    pub fn of_process() -> Self {
        static OURS: LazyLock<HashSeed> = LazyLock::new(|| {
            let random = RandomState::new();
            HashSeed([random.hash_one(0), random.hash_one(1)])
        });
        *OURS
    }

    /// Numbers that a test chooses.
    #[doc(hidden)]
    pub fn chosen(low: u64, high: u64) -> Self {
        HashSeed([low, high])
    }

    /// Multiplies two numbers, combines the halves of the product, and multiplies again.
    ///
    /// Without the second multiplication, one seed of 340 made the lookups of pretokens that differ in a counter only visit
    /// more than 8 slots on average, and one of 20,000 half of them all. (benches/record/9-past-one-machine.md)
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // The halves of the product.
    pub(crate) fn fold(self, low: u64, high: u64) -> u64 {
        let product = u128::from(low ^ self.0[0]) * u128::from(high ^ self.0[1]);
        let mixed = (product as u64 ^ (product >> 64) as u64).wrapping_mul(GOLDEN);
        mixed ^ mixed >> 32
    }

    /// The second argument for which [`HashSeed::fold`] is 0, whatever the first one is.
    #[cfg(test)]
    pub(crate) fn zero(self) -> u64 {
        self.0[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_seed_which_is_not_the_known_one() {
        let (HashSeed(first), HashSeed(second)) = (HashSeed::of_process(), HashSeed::of_process());
        assert_eq!(first, second);
        assert_ne!(first, HashSeed::KNOWN.0);
        assert_ne!(first[0], first[1]);
    }

    /// 3,000 numbers drawn from 8,192 are some 2,512 different ones. Without the second multiplication, the first seed gave
    /// 1,410.
    #[test]
    fn no_seed_brings_numbers_that_a_counter_makes_together() {
        let unlucky = HashSeed([5_262_587_706_119_253_793, 10_701_781_477_266_632_800]);
        let drawn = (0..2000_u64).map(|n| HashSeed([HashSeed::KNOWN.fold(n, 1), HashSeed::KNOWN.fold(n, 2)]));
        for seed in std::iter::once(unlucky).chain(drawn) {
            for hash in [|seed: HashSeed, n| seed.fold(GOLDEN, n), |seed: HashSeed, n| seed.fold(n, GOLDEN)] {
                for shift in [0, 40] {
                    let mut found = [false; 1 << 13];
                    (0..3000).for_each(|n| found[(hash(seed, n) >> shift & 0x1FFF) as usize] = true);
                    let number = found.iter().filter(|&&found| found).count();
                    assert!(number > 2300, "{number} from bit {shift} on, with {seed:?}");
                }
            }
        }
    }
}

/*!
The factor with which pairs are hashed: a secret of the process that spreads neighbouring numbers as well as a known one.

Whoever knows the factor can write words whose pairs all fall on one place, and time then grows with the square of their number. So
each process draws it. Why not from all odd numbers? A hash is the fractional part of key x factor / 2^64. By the theorem of
three distances, the keys 0 to n lie as evenly as the quotients in the continued fraction of factor / 2^64 are small.
Those of the golden ratio are all 1, and a number that is drawn from all may have large ones: of 48 such factors, the
worst made a search of 18-bit keys visit 9.8 times as many slots as the golden ratio (benches/record/9-past-one-machine.md).

So the quotients are drawn, each 1 or 2. There are some 2^60 such factors. The left half of a pair is multiplied by the
factor's lower bits, which are those of any number; a factor is drawn again if they have a large quotient.
*/

use crate::hash_seed::{GOLDEN, HashSeed};
use std::sync::LazyLock;

/// The denominators of the convergents at which quotients end.
const LAST: u128 = 1 << 62;
/// The number of bits of the right half of a pair, for each size of a symbol.
const HALVES: [u32; 2] = [16, 32];
/// The greatest quotient of the lower bits, for denominators below 2^16: a quarter of all factors have no greater one.
const GREATEST: u128 = 20;
const FIRST_BITS: u32 = 16;

/// The factor of this process, which is odd.
pub(super) fn factor() -> u64 {
    static OURS: LazyLock<u64> = LazyLock::new(|| factor_of(HashSeed::of_process()));
    *OURS
}

/// The first factor of a seed whose lower bits are good as well.
pub(super) fn factor_of(seed: HashSeed) -> u64 {
    let is_good = |factor: &u64| HALVES.iter().all(|&half| greatest(factor << half, FIRST_BITS) <= GREATEST);
    (0..1 << 10).map(|number| drawn(seed, 2 * number)).find(is_good).unwrap_or(GOLDEN)
}

/// A fraction of 2^64 whose continued fraction has quotients 1 and 2, as two numbers of a seed say.
#[allow(clippy::cast_possible_truncation)] // The fraction is below 1.
fn drawn(seed: HashSeed, number: u64) -> u64 {
    let (mut before, mut last) = ((1_u128, 0_u128), (0, 1));
    let words = [number, number + 1].map(|number| seed.fold(number, !number));
    for bit in 0..u128::BITS {
        if last.1 >= LAST {
            break;
        }
        let quotient = 1 + u128::from(words[bit as usize / 64] >> (bit % 64) & 1);
        let next = (quotient * last.0 + before.0, quotient * last.1 + before.1);
        (before, last) = (last, next);
    }
    ((last.0 << 64) / last.1) as u64 | 1
}

/// The greatest quotient in the continued fraction of number / 2^64, before a denominator of `bits` bits.
fn greatest(number: u64, bits: u32) -> u128 {
    let (mut dividend, mut divisor) = (1_u128 << 64, u128::from(number));
    let (mut before, mut denominator, mut greatest) = (0, 1_u128, 0);
    while divisor > 0 && denominator < 1 << bits {
        let quotient = dividend / divisor;
        (dividend, divisor) = (divisor, dividend % divisor);
        (before, denominator) = (denominator, quotient.saturating_mul(denominator).saturating_add(before));
        greatest = greatest.max(quotient);
    }
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn seeds() -> impl Iterator<Item = HashSeed> {
        (1..200_u64).map(|n| HashSeed::chosen(n.wrapping_mul(0xD1B5_4A32_D192_ED03), n.wrapping_mul(GOLDEN)))
    }

    #[test]
    fn the_quotients_of_the_golden_ratio_are_1_and_those_of_a_fraction_are_what_they_are() {
        assert_eq!(greatest(GOLDEN, 30), 1);
        // 1 / (3 + 1 / (7 + 1 / 16)) = 113 / 355, up to 2^-64.
        assert_eq!(greatest(u64::try_from(113_u128 * (1 << 64) / 355).unwrap_or(0), 8), 16);
        assert_eq!(greatest(1 << 44, 16), 1 << 20);
    }

    #[test]
    fn a_factor_is_odd_and_a_secret_and_its_quotients_are_small() {
        let factors: Vec<u64> = seeds().map(factor_of).collect();
        assert!(factors.iter().all(|&factor| factor % 2 == 1 && greatest(factor, 28) <= 2));
        assert!(
            factors
                .iter()
                .all(|&factor| greatest(factor << 16, 16) <= 20 && greatest(factor << 32, 16) <= 20)
        );
        assert!(!factors.contains(&GOLDEN));
        assert_eq!(factors.iter().collect::<HashSet<_>>().len(), factors.len());
        assert_eq!(factor(), factor_of(HashSeed::of_process()));
    }

    #[test]
    fn the_greatest_quotient_of_a_fraction() {
        // 1 / 2 ends, and 1 / (4 + 1 / (2^60 - 1)) has the denominator 4 at first.
        assert_eq!((greatest(1 << 63, 16), greatest(0, 16)), (2, 0));
        assert_eq!((greatest((1 << 62) - 1, 2), greatest((1 << 62) - 1, 3)), (4, (1 << 60) - 1));
    }
}

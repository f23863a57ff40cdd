/*!
Counts times a number: a source that weighs more, or less, than others.

A weight is a decimal number, such as 2.5, and is used exactly. The product of a count and a weight is rounded to the
nearest whole number, and a half is rounded up. A pretoken whose product is rounded to 0 is left out.

Why are counts weighted when files are added, and not when texts are counted? Because rounding comes after counting. If each
part of a source were rounded, the sum of the parts would not be that of the whole. So the parts of a source are added
first, and then weighted.
*/

use super::merged::SortedCounts;
use super::read::CountReader;
use crate::error::Error;

/// The maximum number of digits after the point.
const MAX_DECIMALS: usize = 9;
/// The number of bytes of a pretoken that an error shows.
const SHOWN: usize = 40;

/// A positive decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    numerator: u64,
    /// A power of ten, [`MAX_DECIMALS`] zeros at most.
    denominator: u64,
}

impl Default for Weight {
    fn default() -> Self {
        Weight { numerator: 1, denominator: 1 }
    }
}

impl Weight {
    /// Reads a number such as `3`, `2.5` or `0.001`.
    ///
    /// # Errors
    /// [`Error::Option`] for anything else, for 0, and for more than 9 decimals or 2^64 - 1 units of the last one.
    pub fn new(text: &str) -> Result<Self, Error> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_decimal = is_number(whole) && is_number(decimals);
        let decimals = decimals.trim_end_matches('0');
        let is_possible = is_decimal && decimals.len() <= MAX_DECIMALS;
        let numerator = is_possible.then(|| format!("{whole}{decimals}").parse().ok()).flatten();
        let refused = || Error::Option {
            name: "weight",
            value: format!("{text:?}"),
            rule: "a number above 0 such as 2.5, with 9 decimals and 19 digits at most",
        };
        let numerator = numerator.filter(|&numerator| numerator > 0).ok_or_else(refused)?;
        let denominator = (0..decimals.len()).fold(1, |ten: u64, _| 10 * ten);
        Ok(Weight { numerator, denominator })
    }

    /// The weighted count, or `None` if it is 2^64 or more.
    pub fn times(self, count: u64) -> Option<u64> {
        let product = u128::from(count) * u128::from(self.numerator);
        let half = u128::from(self.denominator / 2);
        u64::try_from((product + half) / u128::from(self.denominator)).ok()
    }
}

/// The counts of a file times a weight. A product may be 0.
pub(crate) struct Weighted {
    source: CountReader,
    weight: Weight,
    count: u64,
}

impl Weighted {
    /// Counts that were not read yet, times a weight.
    pub fn new(source: CountReader, weight: Weight) -> Self {
        Weighted { source, weight, count: 0 }
    }

    fn too_many(&self) -> Error {
        let pretoken = self.source.pretoken();
        let shown = &pretoken[..pretoken.len().min(SHOWN)];
        Error::Weight {
            path: self.source.path().to_owned(),
            pretoken: String::from_utf8_lossy(shown).into_owned(),
            count: self.source.count(),
        }
    }
}

impl SortedCounts for Weighted {
    fn advance(&mut self) -> Result<bool, Error> {
        if !self.source.advance()? {
            return Ok(false);
        }
        self.count = self.weight.times(self.source.count()).ok_or_else(|| self.too_many())?;
        Ok(true)
    }

    fn pretoken(&self) -> &[u8] {
        self.source.pretoken()
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_to_the_nearest_number_and_halves_up() {
        for (weight, count, expected) in [
            ("2.5", 1, 3),
            ("2.5", 2, 5),
            ("2.5", 3, 8),
            ("0.1", 4, 0),
            ("0.1", 5, 1),
            ("0.49", 1, 0),
            ("0.5", 1, 1),
            ("1.000000001", 499_999_999, 499_999_999),
            ("1.000000001", 500_000_000, 500_000_001),
            ("3", 1 << 62, 3 << 62),
            ("007.50", 2, 15),
            ("1.0", u64::MAX, u64::MAX),
            ("0.5", u64::MAX, 1 << 63),
        ] {
            assert_eq!(Weight::new(weight).unwrap().times(count), Some(expected), "{count} x {weight}");
        }
        assert_eq!(Weight::new("4").unwrap().times(1 << 62), None);
        assert_eq!(Weight::new("1.000000001").unwrap().times(u64::MAX), None);
        assert_eq!(Weight::new("18446744073709551615").unwrap().times(u64::MAX), None);
    }

    #[test]
    fn what_is_not_a_positive_decimal_number_is_refused() {
        for wrong in [
            "",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e3",
            "nan",
            "inf",
            ".5",
            "1.",
            "1,5",
            " 1",
            "1.1234567891",
            "18446744073709551616",
            "1844674407370955162.0000000001",
            "1.2.3",
        ] {
            let error = Weight::new(wrong).unwrap_err().to_string();
            assert!(error.contains("weight"), "{wrong}: {error}");
        }
    }
}

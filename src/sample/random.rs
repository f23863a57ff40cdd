/*!
The random numbers of a story: SplitMix64 (Steele, Lea and Flood 2014), which is the same on every machine.
*/

/// A generator of random numbers.
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `n`. All numbers are equally likely.
    pub fn below(&mut self, n: usize) -> usize {
        scale(self.next() >> 48, n)
    }

    /// A number below `n`. Small numbers are more likely. In one draw of four all numbers are equally likely,
    /// so that no word is out of reach.
    pub fn skewed_below(&mut self, n: usize) -> usize {
        let x = self.next();
        let (a, b, c) = (x >> 48, (x >> 32) & 0xFFFF, (x >> 16) & 0xFFFF);
        scale(if x & 3 == 0 { a } else { a.min(b).min(c) }, n)
    }
}

/// Spreads each bit of a number over all bits of another.
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Scales a number of 16 bits to one below `n`.
fn scale(x: u64, n: usize) -> usize {
    ((x * n as u64) >> 16) as usize
}

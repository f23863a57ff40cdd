/*!
The first pass over a batch: keys, the lines where they belong, and prefetches.
*/

use super::key::{BATCH, Key};
use crate::hash_seed::HashSeed;

/// An implementation of the first pass. Each has a hash function of its own.
pub(crate) trait Keys: Copy {
    /// The line, of `num_lines`, where a pretoken belongs. The number of lines is a power of two. The key of a
    /// long pretoken has [`NO_PLACE`](super::NO_PLACE) as its place.
    fn home(self, key: Key, num_lines: usize) -> usize;

    /// Writes the keys of the pretokens of `text` between `borders`, by the batch's seed, and the lines where they
    /// belong, and prefetches those. `text` begins with a window and has at least [`READ_AHEAD`](super::READ_AHEAD) bytes.
    fn prepare<L>(self, lines: &[L], text: &[u8], borders: &[u16], batch: &mut Batch);
}

/// The keys of some pretokens that are looked up together.
pub(crate) struct Batch {
    pub keys: [Key; BATCH],
    /// The line where each pretoken belongs.
    pub homes: [u32; BATCH],
    seed: HashSeed,
}

impl Batch {
    /// A batch of keys by a seed.
    pub fn new(seed: HashSeed) -> Self {
        Batch { keys: [0; BATCH], homes: [0; BATCH], seed }
    }

    /// The seed of all keys.
    pub fn seed(&self) -> HashSeed {
        self.seed
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::isa::Isa;
    #[cfg(target_arch = "x86_64")]
    use crate::pretoken_key::{Avx2, Avx512};
    use crate::pretoken_key::{Portable, READ_AHEAD, key};

    /// Pretokens of 1 to 40 bytes, in windows that end anywhere in a batch.
    fn check(keys: impl Keys) {
        let text: Vec<u8> = (0..READ_AHEAD).map(|i| (i * i / 7 + 3 * i) as u8).collect();
        let lines = [0u8; 1 << 10];
        for first in 0..400 {
            let mut borders = vec![first as u16];
            for i in 0..first % (BATCH + 1) {
                let step = if (first + i) % 9 == 0 { 14 + i % 27 } else { 1 + (first * i) % 16 };
                let end = usize::from(borders[i]) + step;
                if end > READ_AHEAD - 16 {
                    break;
                }
                borders.push(end as u16);
            }
            let seed = HashSeed::chosen(first as u64, 1 << 40);
            let mut batch = Batch::new(seed);
            keys.prepare(&lines, &text, &borders, &mut batch);
            for (i, pair) in borders.windows(2).enumerate() {
                let expected = key(&text[usize::from(pair[0])..usize::from(pair[1])], seed);
                assert_eq!(batch.keys[i], expected, "{first} {i} {pair:?}");
                assert_eq!(batch.homes[i] as usize, keys.home(expected, lines.len()), "{first} {i} {pair:?}");
            }
        }
    }

    #[test]
    fn a_batch_has_the_key_and_the_home_of_each_pretoken() {
        check(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            Isa::available().into_iter().filter_map(Avx2::new).for_each(check);
            Isa::available().into_iter().filter_map(Avx512::new).for_each(check);
        }
    }
}

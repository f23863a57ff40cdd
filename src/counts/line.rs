/*!
The layout of a worker's table, and the interface of the second pass over a batch.
*/

use crate::pretoken_key::{Batch, Key, Keys};
use bytemuck::{Pod, Zeroable};

/// The number of pretokens in a line.
pub(super) const WAYS: usize = 3;

/// Three pretokens and their counts, in one cache line.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// 0 is an empty entry. No entry comes after an empty one.
    pub keys: [Key; WAYS],
    /// The last number belongs to no pretoken. It is there because an index of two bits needs no check.
    pub counts: [u32; WAYS + 1],
}

impl Line {
    /// Makes a pretoken the first one of the line.
    #[inline(never)]
    pub fn promote(&mut self, way: usize) {
        self.keys.swap(0, way % WAYS);
        self.counts.swap(0, way % WAYS);
    }
}

/// An implementation of both passes over a batch.
pub(super) trait Probe: Keys {
    /// Counts pretokens `from..to` of a batch, up to the first one that is not in the line where it belongs.
    /// Returns the number of that one, or `to`.
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize;
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::hash_seed::HashSeed;
    #[cfg(target_arch = "x86_64")]
    use crate::isa::Isa;
    #[cfg(target_arch = "x86_64")]
    use crate::pretoken_key::{Avx2, Avx512};
    use crate::pretoken_key::{BATCH, Portable};

    const NUM_LINES: usize = 8;

    /// In every other case all lines are full.
    fn num_known(home: usize, case: usize) -> usize {
        if case.is_multiple_of(2) { (home + case / 2) % (WAYS + 1) } else { WAYS }
    }

    /// Lines with none to three of the keys that belong there, and a batch of such keys, nearly all of them known.
    fn lines_and_batch(case: usize) -> ([Line; NUM_LINES], Batch) {
        let key = |home: usize, way: usize| 1 << 120 | (way as Key) << 64 | home as Key;
        let mut lines = [Line::default(); NUM_LINES];
        for (home, line) in lines.iter_mut().enumerate() {
            for way in 0..num_known(home, case) {
                line.keys[way] = key(home, way);
            }
        }
        let mut batch = Batch::new(HashSeed::KNOWN);
        for i in 0..BATCH {
            let home = (i + 3 * case) % NUM_LINES;
            let known = num_known(home, case);
            let is_unknown = known == 0 || (i * i + case).is_multiple_of(23);
            batch.keys[i] = key(home, if is_unknown { known } else { (i / 5) % known });
            batch.homes[i] = home as u32;
        }
        (lines, batch)
    }

    /// The keys of a line with their counts; their order may change.
    fn counts_by_key(line: Line) -> [(Key, u32); WAYS] {
        let mut counts = std::array::from_fn(|way| (line.keys[way], line.counts[way]));
        counts.sort_unstable();
        counts
    }

    fn check(probe: impl Probe) {
        for case in 0..64 {
            let (mut lines, batch) = lines_and_batch(case);
            let (mut next, to) = (case, BATCH - case / 2);
            while next < to {
                let mut expected = lines;
                let mut at = next;
                while at < to {
                    let line = &mut expected[batch.homes[at] as usize];
                    let Some(way) = (0..WAYS).find(|&way| line.keys[way] == batch.keys[at]) else { break };
                    line.counts[way] += 1;
                    at += 1;
                }
                assert_eq!(probe.count_known(&mut lines, &batch, next, to), at, "case {case}, from {next}");
                assert_eq!(lines.map(counts_by_key), expected.map(counts_by_key), "case {case}");
                next = at + 1;
            }
        }
    }

    #[test]
    fn what_is_in_the_line_of_its_home_is_counted_without_a_search() {
        check(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            Isa::available().into_iter().filter_map(Avx2::new).for_each(check);
            Isa::available().into_iter().filter_map(Avx512::new).for_each(check);
        }
    }
}

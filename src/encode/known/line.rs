/*!
The layout of the table, and the interface of the second pass over a batch.
*/

use crate::encode::ids::{Id, Ids};
use crate::pretoken_key::{Batch, Key, Keys};
use crate::token_id::TokenId;
use bytemuck::{Pod, Zeroable};

/// The number of ids that an entry of a line holds.
pub(super) const FEW_IDS: usize = 3;

/// A pretoken's ids. If there are more than three, `ids[0]` is the position of a list that is stored aside.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Value {
    pub ids: [TokenId; FEW_IDS],
    pub len: u32,
}

/// Two pretokens and their values, in one cache line.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// 0 is an empty entry.
    pub keys: [Key; 2],
    pub values: [Value; 2],
}

impl Line {
    pub fn put(&mut self, way: usize, key: Key, value: Value) {
        (self.keys[way], self.values[way]) = (key, value);
    }
}

/// An implementation of both passes over a batch.
pub(super) trait Probe: Keys {
    /// Adds the ids of pretokens `from..to` of a batch, up to the first one that is not where it belongs or
    /// has more than three ids. Returns the number of that one, or `to`.
    fn copy_known<T: Id>(
        self,
        lines: &[Line],
        batch: &Batch,
        from: usize,
        to: usize,
        out: &mut Ids<T>,
    ) -> usize;
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::hash_seed::HashSeed;
    #[cfg(target_arch = "x86_64")]
    use crate::isa::Isa;
    #[cfg(target_arch = "x86_64")]
    use crate::pretoken_key::Avx2;
    use crate::pretoken_key::{BATCH, Portable};

    const NUM_LINES: usize = 8;

    /// Lines with none to two of the keys that belong there, of no to five ids, and a batch of such keys.
    fn lines_and_batch(case: usize) -> ([Line; NUM_LINES], Batch) {
        let key = |home: usize, way: usize| 1 << 120 | (way as Key) << 64 | home as Key;
        let mut lines = [Line::default(); NUM_LINES];
        for (home, line) in lines.iter_mut().enumerate() {
            for way in 0..(home + case) % 3 {
                let len = if home == case % NUM_LINES { 4 + way } else { (home + 2 * way + case) % 4 };
                line.keys[way] = key(home, way);
                line.values[way] =
                    Value { ids: [1, 2, 3].map(|n| (1000 * home + 10 * way + n) as u32), len: len as u32 };
            }
        }
        let mut batch = Batch::new(HashSeed::KNOWN);
        for i in 0..BATCH {
            let home = (i + 3 * case) % NUM_LINES;
            batch.keys[i] = key(home, (i / 5 + i * i % 23 / 22) % 3);
            batch.homes[i] = home as u32;
        }
        (lines, batch)
    }

    fn check<T: Id>(probe: impl Probe) {
        for case in 0..64 {
            let (lines, batch) = lines_and_batch(case);
            let (mut out, mut expected) = (Ids::<T>::default(), vec![7]);
            out.extend(&expected);
            let (mut next, to) = (case, BATCH - case / 2);
            while next < to {
                let mut at = next;
                while at < to {
                    let Line { keys, values } = lines[batch.homes[at] as usize];
                    let Some(way) = (0..2).find(|&way| keys[way] == batch.keys[at]) else { break };
                    let len = values[way].len as usize;
                    if len > FEW_IDS {
                        break;
                    }
                    expected.extend_from_slice(&values[way].ids[..len]);
                    at += 1;
                }
                out.reserve((FEW_IDS + 1) * BATCH);
                assert_eq!(
                    probe.copy_known(&lines, &batch, next, to, &mut out),
                    at,
                    "case {case}, from {next}"
                );
                let found: Vec<TokenId> = out.as_slice().iter().map(|id| id.get()).collect();
                assert_eq!(found, expected, "case {case}, from {next}");
                next = at + 1;
            }
        }
    }

    #[test]
    fn few_ids_of_what_is_in_the_line_of_its_home_are_copied_without_a_search() {
        check::<u16>(Portable);
        check::<u32>(Portable);
        #[cfg(target_arch = "x86_64")]
        for avx2 in Isa::available().into_iter().filter_map(Avx2::new) {
            check::<u16>(avx2);
            check::<u32>(avx2);
        }
    }
}

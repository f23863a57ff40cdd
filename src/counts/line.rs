/*!
The layout of a worker's table, and the interface of the second pass over a batch.
*/

use crate::pretoken_key::{Batch, Key, Keys};

/// The number of pretokens in a line.
pub(super) const WAYS: usize = 3;

/// Three pretokens and their counts, in one cache line.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// 0 is an empty entry. No entry comes after an empty one.
    pub keys: [Key; WAYS],
    /// The last number belongs to no pretoken. It is there because an index of two bits needs no check.
    pub counts: [u32; WAYS + 1],
}

/// An implementation of both passes over a batch.
pub(super) trait Probe: Keys {
    /// Counts pretokens `from..to` of a batch, up to the first one that is not in the line where it belongs.
    /// Returns the number of that one, or `to`.
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize;
}

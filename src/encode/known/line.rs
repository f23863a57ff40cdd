/*!
The layout of the table, and the interface of the code that looks a batch up in it.
*/

use crate::encode::ids::{Id, Ids};
use crate::pretoken_key::{BATCH, Key};
use crate::token_id::TokenId;

/// The number of ids that an entry of a line holds.
pub(super) const FEW_IDS: usize = 3;

/// A pretoken's ids. If there are more than three, `ids[0]` is the position of a list that is stored aside.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Value {
    pub ids: [TokenId; FEW_IDS],
    pub len: u32,
}

/// Two pretokens and their values, in one cache line.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// 0 is an empty entry.
    pub keys: [Key; 2],
    pub values: [Value; 2],
}

/// An implementation of the two passes over a batch.
pub(super) trait Probe: Copy {
    /// The line, of `num_lines`, where a pretoken belongs. The key of a long pretoken has
    /// [`NO_PLACE`](crate::pretoken_key) as its place.
    fn home(self, key: Key, num_lines: usize) -> usize;

    /// Writes the keys of the pretokens of `text` between `borders`, and the lines where they belong, and
    /// prefetches those.
    fn prepare(self, lines: &[Line], text: &[u8], borders: &[u16], batch: &mut Batch);

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

/// The keys of some pretokens that are looked up together.
pub(super) struct Batch {
    pub keys: [Key; BATCH],
    /// The line where each pretoken belongs.
    pub homes: [u32; BATCH],
}

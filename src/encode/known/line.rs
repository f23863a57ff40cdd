/*!
The layout of the table, and the interface of the second pass over a batch.
*/

use crate::encode::ids::{Id, Ids};
use crate::pretoken_key::{Batch, Key, Keys};
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

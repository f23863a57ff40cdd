/*!
The ids of all shares in one vector, in the order of the texts.
*/

use crate::encode::{Id, Ids, zeroed};
use std::ops::Range;

/// The ids of texts, one after another. Text `i` has those from `offsets[i]` to `offsets[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch<T> {
    /// The ids.
    pub ids: Vec<T>,
    /// The beginning of each text in `ids`, and the end.
    pub offsets: Vec<i64>,
}

/// The shares that one worker has encoded.
pub(super) struct Done<S> {
    pub segments: Vec<Ids<S>>,
    pub shares: Vec<EncodedShare>,
}

/// The ids of a share as a range of a segment, and their number for each of its texts.
pub(super) struct EncodedShare {
    pub number: usize,
    /// The number of its first text.
    pub first: usize,
    pub segment: usize,
    pub ids: Range<usize>,
    pub counts: Vec<usize>,
}

/// Ids of a share, and the range of the result to which they are copied.
pub(super) struct Transfer<'a, S, T> {
    from: &'a [S],
    to: &'a mut [T],
}

impl<S: Id, T: Id> Transfer<'_, S, T> {
    pub fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = T::new(from.get());
        }
    }
}

/// Copies all ids into one vector, in the order of the texts. `run_all` runs the transfers on the caller's
/// threads: rayon's global pool would not exist in a process that was forked.
pub(super) fn join<S: Id, T: Id>(
    done: &[Done<S>],
    num_texts: usize,
    run_all: impl FnOnce(Vec<Transfer<'_, S, T>>),
) -> Batch<T> {
    let mut all: Vec<(&EncodedShare, &[S])> = Vec::new();
    for done in done {
        let ids = |encoded: &EncodedShare| &done.segments[encoded.segment].as_slice()[encoded.ids.clone()];
        all.extend(done.shares.iter().map(|encoded| (encoded, ids(encoded))));
    }
    all.sort_unstable_by_key(|(encoded, _)| encoded.number);
    let mut offsets = vec![0_i64; num_texts + 1];
    for (encoded, _) in &all {
        for (offset, count) in offsets[1 + encoded.first..].iter_mut().zip(&encoded.counts) {
            *offset += *count as i64;
        }
    }
    let mut end = 0;
    for offset in &mut offsets {
        end += *offset;
        *offset = end;
    }
    let mut ids = zeroed(all.iter().map(|(_, ids)| ids.len()).sum());
    let mut rest = &mut ids[..];
    let mut transfers = Vec::with_capacity(all.len());
    for (_, from) in all {
        let to = rest.split_off_mut(..from.len()).unwrap_or_default();
        transfers.push(Transfer { from, to });
    }
    run_all(transfers);
    Batch { ids, offsets }
}

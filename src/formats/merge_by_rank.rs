/*!
BPE on the bytes of one token, by any list of merges.

This is BPE as it is defined: of all neighbours that have a merge, the two whose merge has the least rank are merged
first, and the leftmost of equal ones. The merges may have any order. The pairs wait in a heap, because a token can be
long. Encoding has a faster way ([`crate::encode`]), which needs merges in the order in which tokens are made.
*/

use crate::token_id::TokenId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The mark of a part that was merged into another. No id is as great.
pub(super) const GONE: TokenId = TokenId::MAX;

/// Two neighbours.
pub(super) type Pair = (TokenId, TokenId);

/// The rank of each pair's merge, and the token that it makes. Each pair has a rank of its own, or each token has.
pub(super) type Ranks = HashMap<Pair, (TokenId, TokenId)>;

/// What a token's bytes became.
pub(super) struct Merged {
    pub parts: Vec<TokenId>,
    /// The pair that was merged last.
    pub last: Option<Pair>,
}

/// Merges ids, which are those of single bytes, until no two neighbours have a merge.
pub(super) fn merge_by_rank(mut ids: Vec<TokenId>, ranks: &Ranks) -> Merged {
    let end = ids.len();
    let mut next: Vec<usize> = (1..=end).collect();
    let mut previous: Vec<Option<usize>> = (0..=end).map(|at| at.checked_sub(1)).collect();
    let mut last = None;
    let waiting = |ids: &[TokenId], left: usize, right: usize| {
        let (rank, _) = *ranks.get(&(ids[left], *ids.get(right)?))?;
        Some(Reverse((rank, left)))
    };
    let mut heap: BinaryHeap<_> = (0..end).filter_map(|at| waiting(&ids, at, at + 1)).collect();
    while let Some(first) = heap.pop() {
        let Reverse((_, left)) = first;
        let right = next[left];
        if waiting(&ids, left, right) != Some(first) {
            continue; // One of the two tokens was merged with another token meanwhile.
        }
        let pair = (ids[left], ids[right]);
        (ids[left], ids[right]) = (ranks[&pair].1, GONE);
        last = Some(pair);
        next[left] = next[right];
        previous[next[right]] = Some(left);
        heap.extend(previous[left].and_then(|before| waiting(&ids, before, left)));
        heap.extend(waiting(&ids, left, next[left]));
    }
    ids.retain(|&id| id != GONE);
    Merged { parts: ids, last }
}

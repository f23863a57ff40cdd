/*!
The merges that ranks imply.

When a token was learned, its bytes were two tokens. The earlier merges turn the token's bytes alone into the
same two tokens, because no merge crosses the borders of bytes that end as one token ([`crate::merges`]). So
BPE with only the lower ranks splits a token into its pair. If it leaves a number of parts other than two, the
ranks do not belong to a BPE tokenizer. Single bytes may have any rank, because no merge makes them.
*/

use crate::merges::Merges;
use crate::token_id::TokenId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The mark of a part that was merged into another. No id is as great.
const GONE: TokenId = TokenId::MAX;

/// A token that lower ranks do not split into two.
pub(super) struct Odd {
    pub id: TokenId,
    pub num_parts: usize,
}

/// Recovers the merges of tokens, which are given in ascending order of ids.
pub(super) fn recover_merges(tokens: &[(TokenId, &[u8])]) -> Result<Merges, Odd> {
    let mut byte_ids = [GONE; 256];
    for &(id, token) in tokens {
        if let [byte] = *token {
            byte_ids[usize::from(byte)] = id;
        }
    }
    let mut pairs = Vec::new();
    let mut merged = HashMap::new();
    for &(id, token) in tokens.iter().filter(|(_, token)| token.len() > 1) {
        let parts = merge(token.iter().map(|&byte| byte_ids[usize::from(byte)]).collect(), &merged);
        let [left, right] = parts[..] else { return Err(Odd { id, num_parts: parts.len() }) };
        pairs.push((left, right));
        merged.insert((left, right), id);
    }
    Ok(Merges::from_pairs(pairs))
}

/// Merges a token's bytes by BPE: the pair with the least rank first, the leftmost of equal pairs. The pairs wait in a heap,
/// because a token can be long.
fn merge(mut ids: Vec<TokenId>, merged: &HashMap<(TokenId, TokenId), TokenId>) -> Vec<TokenId> {
    let end = ids.len();
    let mut next: Vec<usize> = (1..=end).collect();
    let mut previous: Vec<Option<usize>> = (0..=end).map(|at| at.checked_sub(1)).collect();
    let rank = |ids: &[TokenId], left: usize, right: usize| {
        let pair = (ids[left], *ids.get(right)?);
        Some(Reverse((*merged.get(&pair)?, left)))
    };
    let mut heap: BinaryHeap<_> = (0..end).filter_map(|at| rank(&ids, at, at + 1)).collect();
    while let Some(first) = heap.pop() {
        let Reverse((id, left)) = first;
        let right = next[left];
        if rank(&ids, left, right) != Some(first) {
            continue; // One of the two tokens was merged with another token meanwhile.
        }
        (ids[left], ids[right]) = (id, GONE);
        next[left] = next[right];
        previous[next[right]] = Some(left);
        heap.extend(previous[left].and_then(|before| rank(&ids, before, left)));
        heap.extend(rank(&ids, left, next[left]));
    }
    ids.retain(|&id| id != GONE);
    ids
}

/*!
Encoding one pretoken, by the definition: while two adjacent tokens have a merge, apply the earliest learned one.

It looks at every pair again for every merge, so it takes quadratic time. It is what a fast encoder has to equal.
*/

use crate::vocab::TokenId;
use std::collections::HashMap;

type Pair = (TokenId, TokenId);

/// Merges the ids of a pretoken's bytes.
pub fn naive(
    mut ids: Vec<TokenId>,
    ranks: &HashMap<Pair, usize>,
    merged: &HashMap<Pair, TokenId>,
) -> Vec<TokenId> {
    let rank = |ids: &[TokenId], at: usize| ranks.get(&(ids[at], ids[at + 1])).copied();
    while let Some((_, at)) = (1..ids.len()).filter_map(|i| Some((rank(&ids, i - 1)?, i - 1))).min() {
        ids[at] = merged[&(ids[at], ids[at + 1])];
        ids.remove(at + 1);
    }
    ids
}

/*!
The merges that happen, of a list in which most never do.

Why would a file list merges that never happen? Tokenizers that were published for tiktoken have ranks and no merges.
Converters to tokenizer.json list, for each token, every pair of tokens with the same bytes: Llama 3's file has more than
two merges a token. Some of these pairs contain a token that is made only later, which a learned merge never does.

Only one pair can make a token. Until a stretch of text is one token, no merge crosses its borders, so its bytes are
merged as they would be alone ([`crate::merges`]). So BPE on each token's bytes finds the one pair, or shows that merges
never make the token. The rest of the list changes no ids.
*/

use super::merge_by_rank::{Ranks, merge_by_rank};
use crate::token_id::TokenId;
use std::collections::BTreeSet;

/// The ranks of the merges that happen, in order. `byte_ids` are the ids of the bytes, and `bytes` gives those of a token.
/// `None` if the bytes of a token are not known.
pub(super) fn live_merges(
    byte_ids: &[TokenId; 256],
    bytes: impl Fn(TokenId) -> Option<Vec<u8>>,
    ranks: &Ranks,
) -> Option<Vec<TokenId>> {
    let made: BTreeSet<TokenId> = ranks.values().map(|&(_, id)| id).collect();
    let mut live = Vec::with_capacity(made.len());
    for id in made {
        let ids = bytes(id)?.iter().map(|&byte| byte_ids[usize::from(byte)]).collect();
        let merged = merge_by_rank(ids, ranks);
        if merged.parts == [id]
            && let Some((rank, _)) = merged.last.and_then(|pair| ranks.get(&pair))
        {
            live.push(*rank);
        }
    }
    live.sort_unstable();
    Some(live)
}

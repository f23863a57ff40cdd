/*!
The merges that ranks imply.

When a token was learned, its bytes were two tokens. The earlier merges turn the token's bytes alone into the
same two tokens, because no merge crosses the borders of bytes that end as one token ([`crate::merges`]). So
BPE with only the lower ranks splits a token into its pair. Single bytes may have any rank, because no merge
makes them.

A token of which lower ranks leave more than two parts was not learned with these ranks. Published vocabularies have such
tokens where new ones were appended to an older vocabulary. No merge makes such a token, by the same argument: if one did
in some text, it would on the token's bytes alone. But tiktoken looks a whole pretoken up before it merges, so a pretoken
with these bytes is that token. Only if later ranks make a pair of the parts is there no list of merges in order.
*/

use super::merge_by_rank::{GONE, Ranks, merge_by_rank};
use crate::merges::Merges;
use crate::token_id::TokenId;

/// The merges, and the tokens that no merge makes.
pub(super) struct Recovered {
    pub merges: Merges,
    pub unmade: Vec<TokenId>,
}

/// Recovers the merges of tokens, which are given in ascending order of ids. The error is a token that only later ones
/// make.
pub(super) fn recover_merges(tokens: &[(TokenId, &[u8])]) -> Result<Recovered, TokenId> {
    let mut byte_ids = [GONE; 256];
    for &(id, token) in tokens {
        if let [byte] = *token {
            byte_ids[usize::from(byte)] = id;
        }
    }
    let ids_of = |token: &[u8]| token.iter().map(|&byte| byte_ids[usize::from(byte)]).collect();
    let (mut pairs, mut unmade, mut ranks) = (Vec::new(), Vec::new(), Ranks::new());
    for &(id, token) in tokens.iter().filter(|(_, token)| token.len() > 1) {
        match merge_by_rank(ids_of(token), &ranks).parts[..] {
            [left, right] => {
                pairs.push((left, right));
                ranks.insert((left, right), (id, id));
            }
            _ => unmade.push((id, token)),
        }
    }
    if let Some(&(id, _)) =
        unmade.iter().find(|(_, token)| merge_by_rank(ids_of(token), &ranks).parts.len() == 2)
    {
        return Err(id);
    }
    let unmade = unmade.into_iter().map(|(id, _)| id).collect();
    Ok(Recovered { merges: Merges::from_pairs(pairs), unmade })
}

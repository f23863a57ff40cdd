/*!
One pretoken into tokens by backtracking, without merging.

Encoding is defined by merging: while two adjacent tokens have a merge, apply the merge that was learned
first. Done literally, that takes quadratic time; a heap of pairs makes it n log n, with 40 bytes of memory
per byte of text. But the result can be recognized without merging. Two tokens are *compatible* if merging the
bytes of both gives exactly these two tokens. A sequence of tokens is the result of merging if and only if
every two neighbours are compatible. (Until the first merge over a border, the bytes of each token evolve as
they would alone. Whether such a merge happens depends only on the two sides of that border, so it would also
happen when the bytes of the two sides are merged alone.)

So the tokens are found from left to right. Take the longest token that continues the text. If it is not
compatible with the last token, take the next shorter one. If no token is left, nothing can follow the last
token: mark its end as dead, remove it, and try a shorter token instead of it. No position is left twice, so
the time is linear. The idea is that of the crate `bpe` of rust-gems (GitHub, 2024).

Two tokens are compatible if no pair over their border was due to be merged before both tokens were complete.
To check this, the later of the two tokens is split, and its half at the border is examined next
([`PretokenEncoder::are_compatible`]).

All this needs merges in order of time, each after the merges that make its two tokens;
[`PretokenEncoder::new`] checks it. Some merges never happen, because others always come first. The same check
finds them, and they are left out: no text is encoded as their token.
*/

use super::merge_table::{MergeTable, NONE, Symbol};
use super::prefix_tree::PrefixTree;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::{CHECK_EVERY, Job};
use crate::merges::Merges;
use crate::token_id::TokenId;
use crate::vocab::Vocab;
use std::collections::HashMap;

/// Encodes one pretoken at a time, by the merges of a tokenizer.
pub(crate) struct PretokenEncoder {
    /// The token id of each symbol.
    ids: Vec<TokenId>,
    /// The merges that happen.
    table: MergeTable,
    prefixes: Vec<Prefix>,
    tree: PrefixTree,
    /// Tokens that no merges make, by their bytes. A pretoken with these bytes is encoded as the token.
    whole: HashMap<Vec<u8>, TokenId>,
    /// The length of the longest of them.
    longest_whole: usize,
}

/// The length of a token, and the longest shorter token with which it begins.
#[derive(Clone, Copy)]
struct Prefix {
    len: u32,
    /// The longest token that is a proper prefix of this one, or [`NONE`].
    shorter: Symbol,
}

/// Scratch memory for one pretoken.
#[derive(Default)]
pub(crate) struct Scratch {
    tokens: Vec<Symbol>,
    /// One bit for each position: whether no token can follow there.
    dead: Vec<u64>,
}

impl PretokenEncoder {
    /// Checks that every byte has a token, that every merge joins two tokens that exist before it, and that
    /// it makes a token. An error is a text for the user that names the first merge or byte that fails.
    pub fn new(vocab: &Vocab, merges: &Merges) -> Result<Self, String> {
        let ids = vocab.ids();
        let mut encoder = PretokenEncoder {
            ids: Vec::with_capacity(256 + merges.len()),
            table: MergeTable::new(merges.len(), HashSeed::of_process()),
            prefixes: vec![Prefix { len: 1, shorter: NONE }; 256],
            tree: PrefixTree::new(&[]),
            whole: HashMap::new(),
            longest_whole: 0,
        };
        let mut symbols = vec![NONE; vocab.len()];
        for byte in 0..=255 {
            let id = *ids.get(&[byte][..]).ok_or_else(|| format!("byte {byte} has no token"))?;
            symbols[id as usize] = byte.into();
            encoder.ids.push(id);
        }
        let (mut wanted, mut ranks) = (HashMap::new(), HashMap::with_capacity(merges.len()));
        for (rank, &(left, right)) in merges.as_slice().iter().enumerate() {
            if let Some(earlier) = ranks.insert((left, right), rank) {
                return Err(format!("merge {rank} repeats merge {earlier}"));
            }
            let id =
                made_by(vocab, &ids, (left, right)).map_err(|reason| format!("merge {rank} {reason}"))?;
            let pair = (symbols[left as usize], symbols[right as usize]);
            for (token, symbol) in [(left, pair.0), (right, pair.1)] {
                if symbol == NONE {
                    wanted.entry(token).or_insert(rank);
                }
            }
            if pair.0 == NONE || pair.1 == NONE || symbols[id as usize] != NONE {
                continue;
            }
            symbols[id as usize] = encoder.push(pair, id)?;
            if let Some(earlier) = wanted.get(&id).filter(|_| symbols[id as usize] != NONE) {
                return Err(format!(
                    "merge {earlier} needs token {id}, which only merge {rank} makes; a merge must come after the merges that make its two tokens"
                ));
            }
        }
        encoder.plant(vocab);
        Ok(encoder)
    }

    /// Adds a merge, unless it never happens; returns its symbol, or [`NONE`].
    fn push(&mut self, (left, right): (Symbol, Symbol), id: TokenId) -> Result<Symbol, String> {
        if !self.are_compatible(left, right) {
            return Ok(NONE);
        }
        let symbol = Symbol::try_from(self.ids.len()).map_err(|error| error.to_string())?;
        self.ids.push(id);
        let len = self.prefixes[left as usize].len + self.prefixes[right as usize].len;
        self.prefixes.push(Prefix { len, shorter: NONE });
        self.table.push([left, right], symbol);
        Ok(symbol)
    }

    /// Builds the prefix tree, and links each token with the longest one that is its prefix.
    fn plant(&mut self, vocab: &Vocab) {
        let bytes = |id: TokenId| vocab.get(id).unwrap_or_default();
        let mut tokens: Vec<(&[u8], Symbol)> = self.ids.iter().map(|&id| bytes(id)).zip(0..).collect();
        tokens.sort_unstable();
        self.tree = PrefixTree::new(&tokens);
        for (prefix, &id) in self.prefixes.iter_mut().zip(&self.ids) {
            let shorter = bytes(id).split_last().map_or(&[][..], |(_, rest)| rest);
            prefix.shorter = self.tree.longest(shorter).map_or(NONE, |(token, _)| token);
        }
    }

    /// Whether merging the bytes of both tokens gives these two tokens.
    fn are_compatible(&self, mut left: Symbol, mut right: Symbol) -> bool {
        let mut before = NONE;
        loop {
            if self.table.get([left, right]).is_some_and(|made| made < before) {
                return false;
            }
            if left < 256 && right < 256 {
                return true;
            }
            if left > right {
                before = left;
                left = self.table.pair(left)[1];
            } else {
                // Where one merge applies in two places, the left one comes first. So before the right token
                // was made, the same merge would have been applied over the border.
                before = right + 1;
                right = self.table.pair(right)[0];
            }
        }
    }

    /// The pairs of symbols of the merges that happen, in order. A symbol is a byte, or 256 plus the number of a merge here.
    pub fn pairs(&self) -> impl Iterator<Item = (Symbol, Symbol)> {
        (256..).zip(&self.ids[256..]).map(|(symbol, _)| self.table.pair(symbol).into())
    }

    /// The token id of each symbol.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    fn len(&self, symbol: Symbol) -> usize {
        self.prefixes[symbol as usize].len as usize
    }

    /// Whether a pretoken is encoded as this one token.
    pub fn reaches(&self, pretoken: &[u8], id: TokenId) -> bool {
        let mut ids = Vec::new();
        let encoded = self.encode(pretoken, &mut Scratch::default(), &mut ids, Job::unwatched());
        encoded.is_ok() && ids == [id]
    }

    /// Encodes each pretoken that is one of `tokens` as that token, even if no merges make it.
    pub fn take_whole<'t>(&mut self, tokens: impl Iterator<Item = (TokenId, &'t [u8])>) {
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        for (id, token) in tokens {
            ids.clear();
            let encoded = self.encode(token, &mut scratch, &mut ids, Job::unwatched());
            if encoded.is_ok() && ids.len() > 1 {
                self.whole.insert(token.to_vec(), id);
                self.longest_whole = self.longest_whole.max(token.len());
            }
        }
    }

    /// Whether some pretokens are encoded as a token that no merges make.
    pub fn takes_whole(&self) -> bool {
        !self.whole.is_empty()
    }

    /// Adds the ids of a pretoken's tokens to `ids`.
    ///
    /// # Errors
    /// [`Error::Cancelled`], if the pretoken is long.
    pub fn encode(
        &self,
        pretoken: &[u8],
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        job: &Job,
    ) -> Result<(), Error> {
        if pretoken.len() <= self.longest_whole
            && let Some(&id) = self.whole.get(pretoken)
        {
            ids.push(id);
            return Ok(());
        }
        let Scratch { tokens, dead } = scratch;
        tokens.clear();
        dead.clear();
        dead.resize(pretoken.len() / 64 + 1, 0);
        let (mut at, mut num_steps) = (0, 0_usize);
        let mut next = self.tree.longest(pretoken);
        while let Some((mut token, mut len)) = next {
            num_steps += 1;
            if num_steps.is_multiple_of(CHECK_EVERY) {
                job.check()?;
            }
            let last = tokens.last().copied();
            next = loop {
                let end = at + len;
                let is_dead = dead[end / 64] >> (end % 64) & 1 != 0;
                if !is_dead && last.is_none_or(|last| self.are_compatible(last, token)) {
                    tokens.push(token);
                    at = end;
                    break self.tree.longest(&pretoken[at..]);
                }
                token = self.prefixes[token as usize].shorter;
                if token == NONE {
                    dead[at / 64] |= 1 << (at % 64);
                    tokens.pop();
                    let last_len = last.map_or(0, |last| self.len(last));
                    at -= last_len;
                    break last.map(|last| (last, last_len));
                }
                len = self.len(token);
            };
        }
        job.in_parts(tokens, |tokens| ids.extend(tokens.iter().map(|&token| self.ids[token as usize])))
    }
}

/// The id of the token that a merge makes.
fn made_by(
    vocab: &Vocab,
    ids: &HashMap<&[u8], TokenId>,
    (left, right): (TokenId, TokenId),
) -> Result<TokenId, String> {
    let token =
        |id| vocab.get(id).ok_or_else(|| format!("needs token {id}, which the vocabulary does not have"));
    let bytes = [token(left)?, token(right)?].concat();
    let id = ids.get(&bytes[..]).copied();
    id.ok_or_else(|| format!("makes {:?}, which has no token", String::from_utf8_lossy(&bytes)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::special_tokens::SpecialTokens;

    #[test]
    fn a_long_pretoken_is_left_when_the_work_is_cancelled() {
        let merges = Merges::default();
        let encoder = PretokenEncoder::new(&Vocab::new(&merges, &SpecialTokens::default()), &merges).unwrap();
        let (job, mut ids) = (Job::default(), Vec::new());
        let mut encode = |len: usize, job: &Job| {
            ids.clear();
            encoder.encode(&vec![b'a'; len], &mut Scratch::default(), &mut ids, job).map(|()| ids.len())
        };
        assert_eq!(encode(3 * CHECK_EVERY + 1, &job).unwrap(), 3 * CHECK_EVERY + 1);
        job.cancel();
        assert_eq!(encode(CHECK_EVERY - 1, &job).unwrap(), CHECK_EVERY - 1);
        assert!(matches!(encode(CHECK_EVERY, &job), Err(Error::Cancelled)));
    }
}

/*!
One pretoken into tokens, without merging.

Encoding is defined by merging: while two adjacent tokens have a merge, apply the one that was learned first. That takes
quadratic time when done as it is said, and a heap of pairs makes it n log n with 40 bytes of memory a byte of text. But the
result can be recognized without doing it. Two tokens are *compatible* if merging the bytes of both gives just these two;
a sequence of tokens is the result of merging if and only if every two neighbours are compatible. (Until the first merge
over a border, each token's bytes evolve as they would alone; whether such a merge comes depends on the two sides of that
border only, and it would come when their bytes are merged alone, too.) So the tokens are found from left to right: take
the longest token that continues the text; if it is not compatible with the last one, take the next shorter; if there is
none, nothing continues the text after the last token: mark that place as dead, and try a shorter one instead of the last.
No place is left twice, so the time is linear. The idea is that of the crate `bpe` of rust-gems (GitHub, 2024).

Two tokens are compatible if no pair over their border was ever to be merged before the tokens were complete. Going
backwards, the later of both is taken apart, and its part at the border is looked at next ([`Merger::are_compatible`]).

This needs merges in the order of time: each after those that make its parts, which [`Merger::new`] checks. A merge that
never happens, because others always come first, is found by the same question and left out: its token is reached by no text.
*/

use super::pair_index::PairIndex;
use super::prefix_tree::PrefixTree;
use crate::merges::Merges;
use crate::token_id::TokenId;
use crate::vocab::Vocab;
use std::collections::HashMap;

/// A byte, or 256 + the number of a merge that happens: greater is later.
pub(super) type Symbol = u32;
pub(super) const NONE: Symbol = Symbol::MAX;

/// The merges, made ready to encode with.
pub(crate) struct Merger {
    ids: Vec<TokenId>,
    /// The two symbols of which each is made; a byte is whole.
    pairs: Vec<[Symbol; 2]>,
    made: PairIndex,
    prefixes: Vec<Prefix>,
    tree: PrefixTree,
}

/// The length of a token, and what it begins with.
#[derive(Clone, Copy)]
struct Prefix {
    len: u32,
    /// The longest token that it begins with and is longer than, or [`NONE`].
    shorter: Symbol,
}

/// What a merger needs for the time of one pretoken.
#[derive(Default)]
pub(crate) struct Scratch {
    tokens: Vec<Symbol>,
    dead: Vec<u64>,
}

impl Merger {
    /// Checks that every byte has a token, and that every merge is of tokens that are there before it and makes a token.
    pub fn new(vocab: &Vocab, merges: &Merges) -> Result<Self, String> {
        let ids = vocab.ids();
        let mut merger = Merger {
            ids: Vec::with_capacity(256 + merges.len()),
            pairs: vec![[NONE; 2]; 256],
            made: PairIndex::new(merges.len()),
            prefixes: vec![Prefix { len: 1, shorter: NONE }; 256],
            tree: PrefixTree::new(&[]),
        };
        let mut symbols = vec![NONE; vocab.len()];
        for byte in 0..=255 {
            let id = *ids.get(&[byte][..]).ok_or_else(|| format!("byte {byte} has no token"))?;
            symbols[id as usize] = byte.into();
            merger.ids.push(id);
        }
        let (mut wanted, mut ranks) = (HashMap::new(), HashMap::with_capacity(merges.len()));
        for (rank, &(left, right)) in merges.as_slice().iter().enumerate() {
            if let Some(earlier) = ranks.insert((left, right), rank) {
                return Err(format!("merge {rank} is merge {earlier} a second time"));
            }
            let id =
                made_by(vocab, &ids, (left, right)).map_err(|reason| format!("merge {rank} {reason}"))?;
            let pair = (symbols[left as usize], symbols[right as usize]);
            for (part, symbol) in [(left, pair.0), (right, pair.1)] {
                if symbol == NONE {
                    wanted.entry(part).or_insert(rank);
                }
            }
            if pair.0 == NONE || pair.1 == NONE || symbols[id as usize] != NONE {
                continue;
            }
            symbols[id as usize] = merger.push(pair, id)?;
            if let Some(earlier) = wanted.get(&id).filter(|_| symbols[id as usize] != NONE) {
                return Err(format!(
                    "merge {earlier} is of token {id}, which only merge {rank} makes; each merge must come after those of its parts"
                ));
            }
        }
        merger.plant(vocab);
        Ok(merger)
    }

    /// Adds a merge, unless it never happens.
    fn push(&mut self, (left, right): (Symbol, Symbol), id: TokenId) -> Result<Symbol, String> {
        if !self.are_compatible(left, right) {
            return Ok(NONE);
        }
        let symbol = Symbol::try_from(self.ids.len()).map_err(|error| error.to_string())?;
        self.ids.push(id);
        let len = self.prefixes[left as usize].len + self.prefixes[right as usize].len;
        self.prefixes.push(Prefix { len, shorter: NONE });
        self.pairs.push([left, right]);
        self.made.insert([left, right], symbol);
        Ok(symbol)
    }

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
            if self.made.get(&self.pairs, [left, right]).is_some_and(|made| made < before) {
                return false;
            }
            if left < 256 && right < 256 {
                return true;
            }
            if left > right {
                before = left;
                left = self.pairs[left as usize][1];
            } else {
                // Of one merge in two places the left one comes first: before the right token was made, the same merge
                // over the border would have been.
                before = right + 1;
                right = self.pairs[right as usize][0];
            }
        }
    }

    fn len(&self, symbol: Symbol) -> usize {
        self.prefixes[symbol as usize].len as usize
    }

    /// Whether the bytes of a pretoken become this token.
    pub fn reaches(&self, pretoken: &[u8], id: TokenId) -> bool {
        let mut ids = Vec::new();
        self.encode(pretoken, &mut Scratch::default(), &mut ids);
        ids == [id]
    }

    /// Adds the ids of a pretoken's tokens to `ids`.
    pub fn encode(&self, pretoken: &[u8], scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        let Scratch { tokens, dead } = scratch;
        tokens.clear();
        dead.clear();
        dead.resize(pretoken.len() / 64 + 1, 0);
        let mut at = 0;
        let mut next = self.tree.longest(pretoken);
        while let Some((mut token, mut len)) = next {
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
        ids.extend(tokens.iter().map(|&token| self.ids[token as usize]));
    }
}

/// The id of the token that a merge makes.
fn made_by(
    vocab: &Vocab,
    ids: &HashMap<&[u8], TokenId>,
    (left, right): (TokenId, TokenId),
) -> Result<TokenId, String> {
    let token =
        |id| vocab.get(id).ok_or_else(|| format!("is of token {id}, which the vocabulary does not have"));
    let bytes = [token(left)?, token(right)?].concat();
    let id = ids.get(&bytes[..]).copied();
    id.ok_or_else(|| format!("makes {:?}, which has no token", String::from_utf8_lossy(&bytes)))
}

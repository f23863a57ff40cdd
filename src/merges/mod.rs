/*!
Counts into merges: repeatedly replace the most frequent adjacent pair by a new token.

Of pairs with the same count, the lexicographically greater pair of byte strings is merged first, or another
rule decides ([`TieBreak`]). No other module makes this choice.

Why not count all pairs anew for every merge? That is the oracle in `tests/`, and it takes hours on web text.
A merge changes only the words that contain its pair, and in those words only the pairs beside it. So the
index (`pair_index`) says where the pair occurs, the words (`words`) are rewritten there, and the neighbours
that they report are all that changes in the index. Those two modules explain what makes this fast.

Two merges never make the same bytes, so an id and a byte string identify a token equally well. For suppose
that a stretch of text ends as one token. No merge ever crossed its borders, so the merges inside it were the
same as in any other stretch with the same bytes that ends as one token. A maximum token length does not
change this, as it forbids a pair everywhere or nowhere. Nor does learning on from the merges of a tokenizer
(`start`).
*/

mod list;
mod start;
mod check;
mod pair_table;
mod pair;
mod tie_break;
mod neighbours;
mod nodes;
mod rewrite;
mod words;
mod heap;
mod delay;
mod totals;
mod site_lists;
mod pair_factor;
mod pair_index;
mod learn;

pub(crate) use learn::LONG_WORD;
pub use learn::{Learned, MergeOptions, learn_merges, learn_more};
pub use list::Merges;
pub use start::{Encode, Start};
pub use tie_break::TieBreak;

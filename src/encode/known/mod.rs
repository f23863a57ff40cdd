/*!
The pretokens that were encoded before, with their ids.

Why not the table that counts ([`crate::counts`])? A line of that one holds three pretokens with a number
each, and what gives way moves on, because no count may be lost. This table may forget, and it needs room for
ids. In both an answer takes one cache line. Here a line holds two pretokens that have the same hash, each
with up to three ids. A pretoken that finds its line full is stored in one of the next lines. When it occurs
again it changes places, so that frequent words are in the line where they belong. If all of these lines are
full, the last pretoken of the first line is forgotten. Longer lists of ids and the bytes of long pretokens
are stored aside. If those take too much memory, everything is forgotten.

Why does a new table not begin with the tokens of the vocabulary? To enter them took as long as it saved, for web
text, stories and short documents. (benches/record/7-limit-of-the-chip.md)

Why batches? The entry of a rare word is not in the cache. So the code passes over a batch twice: it makes the
keys and prefetches their lines (`crate::pretoken_key`), then it compares. Both passes together take some twenty
instructions a pretoken with AVX2 (`avx2`), and twice as many without (`portable`). Most of the time of
encoding is spent there.
*/

mod line;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod table;

pub(super) use table::Known;

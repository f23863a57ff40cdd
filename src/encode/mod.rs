/*!
One text into token ids.

Why is a pretoken not merged each time it occurs? Text repeats itself. A table of the pretokens that were
encoded before (`known`) answers 99 of 100 lookups. A pretoken that is not in the table is encoded without
merging (`backtrack`) and added. Nine of ten pretokens are one token and nearly all others are two or three,
so three ids are written without a branch on their number (`ids`).

Each worker has its own table, and the table is bounded. So nobody waits, a process that forks copies no lock
that is held, and the content of a table changes the time and never the ids.

Many texts, streams and files are encoded above the tokenizer: [`crate::encode_batch`],
[`crate::encode_stream`] and [`crate::encode_corpus`].
*/

mod ids;
mod prefix_tree;
mod merge_table;
mod backtrack;
mod rules;
mod known;
mod encoder;
mod pool;

pub(crate) use backtrack::{PretokenEncoder, Scratch};
pub(crate) use encoder::Encoder;
pub use ids::Id;
pub(crate) use ids::{Ids, zeroed};
pub(crate) use pool::EncoderPool;
pub(crate) use rules::Rules;
pub use rules::{Knobs, TABLE_LEN};

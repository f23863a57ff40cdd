/*!
Counts in a file, sorted by pretoken: what one machine counts, and another one adds.

Counting is the only stage of training that has to see the corpus, and its result is a hundredth of the corpus. So a
corpus of any size is counted in parts, anywhere, and the parts are added. Sums do not depend on their order, so the merges
learned from the sum are those of the whole corpus.

Why sorted? Because sorted files are added in constant memory: the next pretoken of each file is held, and the smallest
one is written with the sum of its counts ([`Merged`]). A sorted list is also short. Neighbours share their first bytes,
which are written once a block. The bytes of the file are a function of the counts alone, so two files are equal if and only if
their counts are.

Why does the file state how it was counted? Because counts of different patterns, or of different special tokens, add up to
the counts of no corpus, and the tokenizer would be wrong silently. Such files are refused by name ([`Rules`]).

The layout, with numbers in little-endian order:

| bytes | content |
| --- | --- |
| 8 | `bpecount` |
| 4 | version, 1 |
| 4 | length of the rules |
| 4 x 8 | distinct pretokens, pretokens, bytes of text, skipped lines |
| 32 | SHA-256 of the rules |
| | the rules, as JSON |
| 4 | CRC-32 of all of this |
| | blocks: length of the content (8), number of entries (4), CRC-32 of these twelve bytes and the content (4), the content |
| 16 | the end: a block of length 0, whose number is that of the blocks |

An entry is the number of first bytes that it shares with the entry before it in the block, the number of its other bytes, those
bytes, and the count; numbers are LEB128. The header is written last, over zeros, and nothing may follow the end. So a
file that is cut off, or whose writer was killed, is refused.

Where memory is limited, full tables are written in the same format, into files without names, which the system frees when the
process ends.
*/

mod block;
mod header;
mod merged;
mod read;
mod rules;
mod runs;
mod weight;
mod write;

pub(crate) use block::{number, push_number};
pub use header::Header;
pub(crate) use header::check_rules;
pub(crate) use merged::{Merged, Report, SortedCounts};
pub use read::CountReader;
pub use rules::Rules;
pub(crate) use runs::{FAN_IN, Runs};
pub use weight::Weight;
pub(crate) use weight::Weighted;
pub(crate) use write::CountWriter;

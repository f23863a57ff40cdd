/*!
Text into counts: the number of occurrences of each pretoken.

Training needs nothing of a corpus but its counts, and they are small: 12 GB of web text have some 100 MB of
them.

Each worker has a table of its own, so counting takes no lock (`table`). Why does memory not grow with the
number of threads? Because the tables are bounded. Text uses few words often and many seldom: a worker keeps the
frequent ones, and the rare ones move to a map that all workers share, some dozens at a time (`shards`). What
moves is a count, which is a part of a sum, so a pretoken may move as often as it likes.

Why not one table that all share? It was so until this was measured (benches/record/2-scan-and-count.md). It takes
a lock around every insertion, which stops all workers, and a lookup has to follow numbers from one array to the
next. Here a lookup takes one cache line, as it does in encoding, and both share the code that makes keys
([`crate::pretoken_key`]).

Where memory has a limit, full shards move to the disk as sorted runs (`spill`), which are added at the end. So do counts
that come from elsewhere (`collect`).

Sums do not depend on who counted what, so the result is the same for every number of threads, chunk size and
order of files.

Counts are u64: a 12 GB corpus has more than 2^32 bytes, and trainers that count in 32 bits learn wrong
vocabularies silently.
*/

mod line;
mod long;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pretoken_table;
mod spill;
mod shard_of;
mod shards;
mod table;
mod listed;
mod pretoken_counts;
mod store;
mod count;
mod collect;
mod probe;

pub use crate::hash_seed::HashSeed;
pub use collect::CollectedCounts;
pub(crate) use count::count_limited;
pub use count::{count_pretokens, count_with_knobs};
pub use pretoken_counts::PretokenCounts;
#[doc(hidden)]
pub use probe::probe_one_line;
pub(crate) use spill::held_memory;
#[cfg(feature = "python")]
pub(crate) use spill::longest_text;
pub(crate) use store::{Totals, write_counts, write_sum};
pub use table::Knobs;

/*!
Text into counts: the number of occurrences of each pretoken.

Training needs nothing of a corpus but its counts, and they are small: 12 GB of web text have some 100 MB of
them.

Why not one table for each worker, summed at the end? Memory would grow with the number of threads, and one
thread would compute the sum while the others wait. Instead all workers share one table. Nearly all of their
work is looking up pretokens, which all of them may do at the same time. Pretokens that are not in the table
are collected, and one worker at a time inserts some thousands of them together. Each worker keeps a private
one-byte counter per pretoken, so no cache line is contended; when a counter wraps, the worker adds 256 to the
shared count.

Sums do not depend on who counted what, so the result is the same for every number of threads, chunk size and
order of files.

Counts are u64: a 12 GB corpus has more than 2^32 bytes, and trainers that count in 32 bits learn wrong
vocabularies silently.
*/

mod pretoken_table;
mod pretoken_counts;
mod count;

pub use count::count_pretokens;
pub use pretoken_counts::PretokenCounts;
#[doc(hidden)]
pub use pretoken_table::probe_one_line;

/*!
Pretokens as keys of tables, a batch at a time.

Counting and encoding look pretokens up, each in a table of its own kind. What they share is here: the key of a
pretoken (`key`), and the first pass over a batch, which makes the keys, finds the line of the table where each
belongs, and prefetches it (`batch`). That pass has one form for AVX2 and AES (`avx2`), one for four keys at a
time by AVX-512 (`avx512`), and one without special instructions (`portable`). The second pass compares, and
belongs to the table.
*/

mod key;
mod batch;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, join};
pub(crate) use batch::{Batch, Keys};
#[cfg(test)]
pub(crate) use key::of_one_hash;
pub(crate) use key::{
    BATCH, FEW, Key, LONG, NO_PLACE, READ_AHEAD, SHORT, hash, home, is_long, key, unplaced,
};
pub(crate) use portable::Portable;

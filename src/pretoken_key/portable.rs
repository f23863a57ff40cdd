/*!
The first pass over a batch, without special instructions.
*/

use super::batch::{Batch, Keys};
use super::key::{Key, READ_AHEAD, home, long_key, short_key};
use crate::hash_seed::HashSeed;
use crate::prefetch::prefetch;

/// No special instructions.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Keys for Portable {
    fn home(self, key: Key, num_lines: usize) -> usize {
        home(key, num_lines, HashSeed::KNOWN)
    }

    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // A table has fewer than 2^32 lines.
    fn prepare<L>(self, lines: &[L], text: &[u8], borders: &[u16], batch: &mut Batch) {
        let Some(window) = text.first_chunk::<READ_AHEAD>() else { return };
        let seed = batch.seed();
        let pretokens = borders.iter().zip(&borders[1..]);
        for (((&start, &end), key), place) in pretokens.zip(&mut batch.keys).zip(&mut batch.homes) {
            let long = || long_key(&text[usize::from(start)..usize::from(end)], seed);
            *key = short_key(window, start, end).unwrap_or_else(long);
            let at = self.home(*key, lines.len());
            *place = at as u32;
            prefetch(lines, at);
        }
    }
}

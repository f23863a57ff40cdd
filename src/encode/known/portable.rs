/*!
The two passes over a batch, without special instructions.
*/

use super::line::{Batch, FEW_IDS, Line, Probe};
use crate::encode::ids::{Id, Ids};
use crate::prefetch::prefetch;
use crate::pretoken_key::{Key, READ_AHEAD, home, long_key, short_key};

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Probe for Portable {
    fn home(self, key: Key, num_lines: usize) -> usize {
        home(key, num_lines)
    }

    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // A table has fewer than 2^32 lines.
    fn prepare(self, lines: &[Line], text: &[u8], borders: &[u16], batch: &mut Batch) {
        let Some(window) = text.first_chunk::<READ_AHEAD>() else { return };
        let pretokens = borders.iter().zip(&borders[1..]);
        for (((&start, &end), key), place) in pretokens.zip(&mut batch.keys).zip(&mut batch.homes) {
            let long = || long_key(&text[usize::from(start)..usize::from(end)]);
            *key = short_key(window, start, end).unwrap_or_else(long);
            let at = home(*key, lines.len());
            *place = at as u32;
            prefetch(lines, at);
        }
    }

    #[inline(never)]
    fn copy_known<T: Id>(
        self,
        lines: &[Line],
        batch: &Batch,
        from: usize,
        to: usize,
        out: &mut Ids<T>,
    ) -> usize {
        for i in from..to {
            let (key, line) = (batch.keys[i], &lines[batch.homes[i] as usize]);
            let way = usize::from(line.keys[1] == key);
            let value = &line.values[way];
            let len = value.len as usize;
            if line.keys[way] != key || len > FEW_IDS {
                return i;
            }
            out.push(&value.ids, len);
        }
        to
    }
}

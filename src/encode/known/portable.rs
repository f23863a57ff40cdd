/*!
A batch, by any machine.
*/

use super::{Batch, FEW_IDS, Line, Probe};
use crate::encode::{Id, Ids};
use crate::prefetch::prefetch;
use crate::pretoken_key::{Key, NO_KEY, READ_AHEAD, home, short_key};

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Probe for Portable {
    fn home(self, key: Key, num_lines: usize) -> usize {
        home(key, num_lines)
    }

    #[inline(never)]
    fn prepare(self, lines: &[Line], window: &[u8; READ_AHEAD], borders: &[u16], batch: &mut Batch) {
        let pretokens = borders.iter().zip(&borders[1..]);
        for (((start, end), key), place) in pretokens.zip(&mut batch.keys).zip(&mut batch.homes) {
            *key = short_key(window, *start, *end).unwrap_or(NO_KEY);
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

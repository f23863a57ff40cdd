/*!
The second pass over a batch, without special instructions.
*/

use super::line::{FEW_IDS, Line, Probe};
use crate::encode::ids::{Id, Ids};
use crate::pretoken_key::{Batch, Portable};

impl Probe for Portable {
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

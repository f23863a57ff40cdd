/*!
The second pass over a batch, without special instructions.
*/

use super::line::{Line, Probe};
use crate::pretoken_key::{Batch, Portable};

impl Probe for Portable {
    #[inline(never)]
    fn count_known(self, lines: &mut [Line], batch: &Batch, from: usize, to: usize) -> usize {
        for i in from..to {
            let (key, line) = (batch.keys[i], &mut lines[batch.homes[i] as usize]);
            let Some(way) = line.keys.iter().position(|&found| found == key) else { return i };
            line.counts[way] += 1;
        }
        to
    }
}

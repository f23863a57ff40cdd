/*!
A corpus divided among several machines: share i of n.

The bytes of all files, one after another in the order given, are divided into n stretches of equal length. A share has the
text from the cut for its stretch's beginning to the cut for its end (`plain.rs`). A cut is a function of the file, the
pattern and the special tokens, so all shares find the same ones without talking to each other, and each byte is in
exactly one share.

A file that cannot be cut belongs whole to the share in whose stretch it begins. That is a compressed file, which can be
read only from its beginning, and any file for a pattern without cuts.
*/

use crate::error::Error;
use std::ops::Range;

/// The greatest number of shares.
const MAX_SHARES: u32 = 1 << 20;

/// Share `index`, from 0, of `number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    number: u32,
}

impl Default for Share {
    fn default() -> Self {
        Share { index: 0, number: 1 }
    }
}

impl Share {
    /// Share `index`, from 0, of `number`.
    ///
    /// # Errors
    /// [`Error::Option`] for a share that does not exist, and for more than 2^20 of them.
    pub fn new(index: u32, number: u32) -> Result<Self, Error> {
        if index >= number || number > MAX_SHARES {
            let value = format!("{index}/{number}");
            let rule = "i/n with i from 0 to n - 1, and n at most 1048576";
            return Err(Error::Option { name: "shard", value, rule });
        }
        Ok(Share { index, number })
    }

    /// Whether there is no other share.
    pub fn is_all(self) -> bool {
        self.number == 1
    }

    /// The stretch of `total` bytes.
    pub(super) fn stretch(self, total: u64) -> Range<u64> {
        let bound = |i: u32| {
            let bound = u128::from(total) * u128::from(i) / u128::from(self.number);
            u64::try_from(bound).unwrap_or(total)
        };
        bound(self.index)..bound(self.index + 1)
    }
}

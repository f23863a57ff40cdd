/*!
A corpus divided among several machines: shard i of n.

The bytes of all files, one after another in the order given, are divided into n stretches of equal length. A shard has
the text from the border for its stretch's beginning to the border for its end ([`Files::part`](super::Files)). A border
is a function of the file, the pattern and the special tokens, so machines agree without talking to each other, and each
byte is in exactly one shard.

A file that cannot be cut belongs whole to the shard in whose stretch it begins. That is a compressed file, which can be
read only from its beginning, and any file for a pattern without cuts.
*/

use crate::error::Error;
use std::ops::Range;

/// The greatest number of shards.
const MAX_SHARDS: u64 = 1 << 20;

/// Shard `index`, from 0, of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// Shard `index`, from 0, of `of`.
    ///
    /// # Errors
    /// [`Error::Option`] for a shard that does not exist, and for more than 2^20 of them.
    pub fn new(index: u64, of: u64) -> Result<Self, Error> {
        if index >= of || of > MAX_SHARDS {
            let value = format!("{index}/{of}");
            let rule = "i/n with i from 0 to n - 1, and n at most 1048576";
            return Err(Error::Option { name: "shard", value, rule });
        }
        Ok(Shard { index, of })
    }

    /// Its number, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// The number of shards.
    pub fn of(self) -> u64 {
        self.of
    }

    /// The stretch of `total` bytes.
    pub(super) fn stretch(self, total: u64) -> Range<u64> {
        let bound = |i: u64| {
            let bound = u128::from(total) * u128::from(i) / u128::from(self.of);
            u64::try_from(bound).unwrap_or(total)
        };
        bound(self.index)..bound(self.index + 1)
    }
}

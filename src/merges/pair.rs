/*!
Symbols and pairs of them, in as few bytes as the vocabulary allows.

Nearly every vocabulary has fewer than 65,536 tokens. Its symbols are u16 and a pair is one u32, which halves the memory of
the words and lets a count and its pair share 16 bytes. All other code is generic over that choice.
*/

use super::pair_table::PairKey;

/// A place where a pair may occur (`words`).
pub(super) type Site = u32;

/// Two adjacent tokens, by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub left: u32,
    pub right: u32,
}

/// A token id inside a word.
pub(super) trait Symbol: Copy + Eq + Send + Sync + 'static {
    /// Two symbols in one integer.
    type Key: PairKey;
    /// The mark of a place without a symbol: a border of a word, or a symbol that was merged away.
    const NONE: Self;
    fn from_id(id: u32) -> Self;
    fn id(self) -> u32;
    fn key(left: Self, right: Self) -> Self::Key;
    fn pair(key: Self::Key) -> Pair;
}

macro_rules! symbol {
    ($symbol:ty, $key:ty) => {
        impl Symbol for $symbol {
            type Key = $key;
            const NONE: Self = <$symbol>::MAX;

            #[inline]
            #[allow(clippy::cast_possible_truncation)] // `learn_merges` chooses a type that holds every id.
            fn from_id(id: u32) -> Self {
                debug_assert!(u64::from(id) < <$symbol>::MAX as u64);
                id as $symbol
            }

            #[inline]
            fn id(self) -> u32 {
                u32::from(self)
            }

            #[inline]
            fn key(left: Self, right: Self) -> $key {
                <$key>::from(left) << <$symbol>::BITS | <$key>::from(right)
            }

            #[inline]
            #[allow(clippy::cast_possible_truncation)] // Each half is one symbol.
            fn pair(key: $key) -> Pair {
                Pair {
                    left: u32::from((key >> <$symbol>::BITS) as $symbol),
                    right: u32::from(key as $symbol),
                }
            }
        }
    };
}
symbol!(u16, u32);
symbol!(u32, u64);

/*!
Symbols and pairs of them, in as few bytes as the vocabulary allows.

Nearly every vocabulary has fewer than 65,536 tokens. Symbols are then u16 and a pair is one u32, which halves the
memory of the words and lets a count and its pair share 16 bytes. Everything else is generic over that choice.
*/

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
    /// Stands where there is no symbol: at the borders of words, and where one was merged away.
    const NONE: Self;
    fn from_id(id: u32) -> Self;
    fn id(self) -> u32;
    fn key(left: Self, right: Self) -> Self::Key;
    fn pair(key: Self::Key) -> Pair;
}

pub(super) trait PairKey: Copy + Eq + Send + Sync + 'static {
    /// No pair: both of its symbols would be [`Symbol::NONE`].
    const NONE: Self;
    fn hash(self) -> usize;
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

        impl PairKey for $key {
            const NONE: Self = <$key>::MAX;

            #[inline]
            #[allow(clippy::cast_possible_truncation)] // The upper half of a product is its best-mixed part.
            fn hash(self) -> usize {
                let product = (self as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (product ^ product >> 32) as usize
            }
        }
    };
}
symbol!(u16, u32);
symbol!(u32, u64);

/// A map from pairs to small values: open addressing, linear probing, at most five eighths full, nothing ever removed.
pub(super) struct PairTable<K, V> {
    slots: Vec<(K, V)>,
    len: usize,
}

impl<K: PairKey, V: Copy + Default> PairTable<K, V> {
    pub fn new() -> Self {
        PairTable { slots: vec![(K::NONE, V::default()); 1 << 10], len: 0 }
    }

    /// Where `key` is, or would be.
    #[inline]
    fn find(&self, key: K) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key.hash() & mask;
        while self.slots[at].0 != key && self.slots[at].0 != K::NONE {
            at = (at + 1) & mask;
        }
        at
    }

    #[inline]
    pub fn get(&self, key: K) -> Option<V> {
        let (found, value) = self.slots[self.find(key)];
        (found == key).then_some(value)
    }

    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.find(key);
        let slot = &mut self.slots[at];
        (slot.0 == key).then_some(&mut slot.1)
    }

    /// The value of `key`, made on first use.
    #[inline]
    pub fn entry(&mut self, key: K) -> &mut V {
        let mut at = self.find(key);
        if self.slots[at].0 == K::NONE {
            if self.len >= self.slots.len() / 8 * 5 {
                self.grow();
                at = self.find(key);
            }
            self.slots[at].0 = key;
            self.len += 1;
        }
        &mut self.slots[at].1
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.slots.iter().copied().filter(|slot| slot.0 != K::NONE)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.slots.iter_mut().filter(|slot| slot.0 != K::NONE).map(|slot| (slot.0, &mut slot.1))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().filter(|slot| slot.0 != K::NONE).map(|slot| &mut slot.1)
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let doubled = vec![(K::NONE, V::default()); 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if slot.0 != K::NONE {
                let at = self.find(slot.0);
                self.slots[at] = slot;
            }
        }
    }
}

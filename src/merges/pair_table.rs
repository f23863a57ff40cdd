/*!
A map from pairs of symbols to small values.

Why not a `HashMap`? A key is one integer, so that one multiplication hashes it, and entries are never removed one by one. Open
addressing with linear probing then needs no control bytes, and an entry whose key and value share 16 or 24 bytes is mostly
one cache line away.
*/

/// Two symbols in one integer.
pub(super) trait PairKey: Copy + Eq + Send + Sync + 'static {
    /// No pair.
    const NONE: Self;
    /// A hash whose lowest bits are well mixed.
    fn hash(self) -> usize;
}

macro_rules! pair_key {
    ($key:ty) => {
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
pair_key!(u32);
pair_key!(u64);

/// A map from pairs to small values. Open addressing, linear probing, at most five eighths full; nothing is ever removed.
pub(super) struct PairTable<K, V> {
    slots: Vec<(K, V)>,
    len: usize,
}

impl<K: PairKey, V: Copy + Default> PairTable<K, V> {
    pub fn new() -> Self {
        PairTable { slots: vec![(K::NONE, V::default()); 1 << 10], len: 0 }
    }

    /// The slot of `key`, or the slot where it would be inserted.
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

    /// The value of `key`, inserted on first use.
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

/*!
Pretoken -> count, the innermost loop of training's first half.

Why not a `HashMap<Vec<u8>, u64>`? Nine pretokens in ten are shorter than 16 bytes. Such a key lies in the slot itself,
padded with zeros and with its length as last byte, so a lookup is one load of 16 bytes from the text, one multiplication
and, nearly always, one cache line; nothing is allocated and no pointer followed. Longer pretokens lie one after another
in one vector, and their slot holds the place and 56 bits of hash.
*/

#![allow(clippy::cast_possible_truncation)] // Halves of hashes, and lengths that were usize.

const SHORT: usize = 15;
const LONG: u8 = 0xFF;
const MIN_SLOTS: usize = 1 << 12;

/// Bytes 0..15 and the length; or the place in `long` (8 bytes), 56 bits of hash, and [`LONG`]. Empty: all zero.
type Key = u128;

#[derive(Clone, Copy, Default)]
struct Slot {
    /// A [`Key`] as bytes: 16-byte alignment would make the slot 32 bytes.
    key: [u8; 16],
    count: u64,
}

/// A map from pretokens to counts: open addressing, linear probing, at most three quarters full.
pub(crate) struct CountTable {
    slots: Vec<Slot>,
    len: usize,
    /// The bytes of long pretokens, each after its length (8 bytes).
    long: Vec<u8>,
}

impl Default for CountTable {
    fn default() -> Self {
        CountTable { slots: vec![Slot::default(); MIN_SLOTS], len: 0, long: Vec::new() }
    }
}

impl CountTable {
    /// Adds `amount` to the pretoken `buffer[start..end]`. Faster when 16 bytes can be read from `start` on.
    #[inline]
    pub fn add(&mut self, buffer: &[u8], start: usize, end: usize, amount: u64) -> u64 {
        let len = end - start;
        if len > SHORT {
            return self.add_long(&buffer[start..end], amount);
        }
        let key = match buffer[start..].first_chunk::<16>() {
            Some(bytes) => u128::from_le_bytes(*bytes) & !(u128::MAX << (8 * len)) | (len as u128) << 120,
            None => short_key(&buffer[start..end]),
        };
        let mut at = self.home(key);
        loop {
            let slot = &mut self.slots[at];
            if slot.key == key.to_le_bytes() {
                slot.count = slot.count.saturating_add(amount);
                return slot.count;
            }
            if slot.key == [0; 16] {
                *slot = Slot { key: key.to_le_bytes(), count: amount };
                self.grow_when_full();
                return amount;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[cold]
    #[inline(never)]
    fn add_long(&mut self, pretoken: &[u8], amount: u64) -> u64 {
        let hash = hash_bytes(pretoken);
        let key = long_key(self.long.len() as u64, hash);
        let mut at = self.home(key);
        loop {
            let slot = &mut self.slots[at];
            if slot.key == [0; 16] {
                *slot = Slot { key: key.to_le_bytes(), count: amount };
                self.long.extend_from_slice(&(pretoken.len() as u64).to_le_bytes());
                self.long.extend_from_slice(pretoken);
                self.grow_when_full();
                return amount;
            }
            if slot.key[8..] == key.to_le_bytes()[8..] && long_bytes(&self.long, &slot.key) == pretoken {
                slot.count = slot.count.saturating_add(amount);
                return slot.count;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Each pretoken and its count, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.slots.iter().filter(|slot| slot.key != [0; 16]).map(|slot| match slot.key[15] {
            LONG => (long_bytes(&self.long, &slot.key), slot.count),
            len => (&slot.key[..len as usize], slot.count),
        })
    }

    #[inline]
    fn home(&self, key: Key) -> usize {
        // A long key's place differs between equal pretokens; its upper half, hash and mark, does not.
        let low = if (key >> 120) as u8 == LONG { 0 } else { key as u64 };
        fold(low, (key >> 64) as u64) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn grow_when_full(&mut self) {
        self.len += 1;
        if self.len > self.slots.len() / 4 * 3 {
            self.grow();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let doubled = vec![Slot::default(); 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if slot.key != [0; 16] {
                let mut at = self.home(u128::from_le_bytes(slot.key));
                while self.slots[at].key != [0; 16] {
                    at = (at + 1) & (self.slots.len() - 1);
                }
                self.slots[at] = slot;
            }
        }
    }
}

fn short_key(pretoken: &[u8]) -> Key {
    let mut key = [0; 16];
    key[..pretoken.len()].copy_from_slice(pretoken);
    u128::from_le_bytes(key) | (pretoken.len() as u128) << 120
}

fn long_key(place: u64, hash: u64) -> Key {
    Key::from(place) | Key::from(hash >> 8) << 64 | Key::from(LONG) << 120
}

fn long_bytes<'a>(long: &'a [u8], key: &[u8; 16]) -> &'a [u8] {
    let word = |bytes: &[u8]| bytes.first_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight)) as usize;
    let place = word(key);
    let len = word(&long[place..]);
    &long[place + 8..place + 8 + len]
}

/// Multiply and fold: the low and high half of a 128-bit product, each as good as the other.
#[inline]
fn fold(low: u64, high: u64) -> u64 {
    let product = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0xD1B5_4A32_D192_ED03);
    product as u64 ^ (product >> 64) as u64
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let seed = fold(bytes.len() as u64, u64::from_le_bytes(last));
    blocks.iter().fold(seed, |hash, block| fold(hash, u64::from_le_bytes(*block)))
}

/*!
Pretoken -> count, the innermost loop of training's first half.

Why not a `HashMap<Vec<u8>, u64>`? Nine pretokens in ten are shorter than 16 bytes. Such a key lies in its entry itself,
padded with zeros and with its length as last byte, so a lookup is one load of 16 bytes from the text, one multiplication
and a comparison; nothing is allocated and no pointer followed. Longer pretokens lie one after another in one vector, and
their entry holds the place and 56 bits of hash.

Why are the entries not in the hash table? Text uses few words often and many seldom. A table of entries spreads the few
over all of its memory, and most lookups then wait for a page-table walk. Here the hash table holds only the numbers of
entries, 4 bytes each, and the entries lie in the order in which they were first seen, so that the frequent ones are
neighbours.

Why batches? A rare word still waits for memory, twice. In a loop that does nothing else the processor sees the next
lookups while it waits and starts them all; between two steps of a scanner it cannot.
*/

#![allow(clippy::cast_possible_truncation)] // Halves of hashes, and lengths that were usize.

const SHORT: usize = 15;
const LONG: u8 = 0xFF;
const MIN_SLOTS: usize = 1 << 12;
const BATCH: usize = 128;

/// Bytes 0..15 and the length; or the place in `long` (8 bytes), 56 bits of hash, and [`LONG`].
type Key = u128;

#[derive(Clone, Copy)]
struct Entry {
    /// A [`Key`] as bytes: 16-byte alignment would make the entry 32 bytes.
    key: [u8; 16],
    count: u64,
}

/// A map from pretokens to counts.
pub(crate) struct CountTable {
    /// Open addressing, linear probing, at most half full. 0 is empty, n is entry n - 1.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    /// The bytes of long pretokens, each after its length (8 bytes).
    long: Vec<u8>,
    /// Short keys seen, but not counted yet.
    batch: [Key; BATCH],
    batch_len: usize,
}

impl Default for CountTable {
    fn default() -> Self {
        let slots = vec![0; MIN_SLOTS];
        CountTable { slots, entries: Vec::new(), long: Vec::new(), batch: [0; BATCH], batch_len: 0 }
    }
}

impl CountTable {
    /// Counts the pretoken `buffer[start..end]` once more, by the next [`CountTable::flush`] at the latest. Faster when
    /// 16 bytes can be read from `start` on.
    #[inline]
    pub fn count(&mut self, buffer: &[u8], start: usize, end: usize) {
        let len = end - start;
        if len > SHORT {
            self.add(&buffer[start..end], 1);
            return;
        }
        self.batch[self.batch_len] = match buffer[start..].first_chunk::<16>() {
            Some(bytes) => u128::from_le_bytes(*bytes) & !(u128::MAX << (8 * len)) | (len as u128) << 120,
            None => short_key(&buffer[start..end]),
        };
        self.batch_len += 1;
        if self.batch_len == BATCH {
            self.flush();
        }
    }

    /// Counts what waits in the batch.
    #[inline(never)]
    pub fn flush(&mut self) {
        let (keys, len) = (self.batch, std::mem::take(&mut self.batch_len));
        self.add_batch(&keys[..len], |_| 1);
    }

    /// Adds the counts of another table.
    pub fn add_table<E>(&mut self, other: &CountTable, check: impl Fn() -> Result<(), E>) -> Result<(), E> {
        for entry in other.entries.iter().filter(|entry| entry.key[15] == LONG) {
            self.add_long(long_bytes(&other.long, &entry.key), entry.count);
        }
        for entries in other.entries.chunks(BATCH) {
            check()?;
            let mut short = [(0, 0); BATCH];
            let mut len = 0;
            for entry in entries.iter().filter(|entry| entry.key[15] != LONG) {
                short[len] = (u128::from_le_bytes(entry.key), entry.count);
                len += 1;
            }
            self.add_batch(&short.map(|(key, _)| key)[..len], |i| short[i].1);
        }
        Ok(())
    }

    #[inline]
    fn add_batch(&mut self, keys: &[Key], amount: impl Fn(usize) -> u64) {
        let mut numbers = [0; BATCH];
        for (number, key) in numbers.iter_mut().zip(keys) {
            *number = self.slots[self.home(*key)];
        }
        for (i, (number, key)) in numbers.iter().zip(keys).enumerate() {
            match self.entries.get_mut((*number as usize).wrapping_sub(1)) {
                Some(entry) if u128::from_le_bytes(entry.key) == *key => {
                    entry.count = entry.count.saturating_add(amount(i));
                }
                _ => drop(self.add_short(*key, amount(i))),
            }
        }
    }

    /// Adds `amount` to a pretoken's count, and returns the sum.
    pub fn add(&mut self, pretoken: &[u8], amount: u64) -> u64 {
        if pretoken.len() > SHORT {
            self.add_long(pretoken, amount)
        } else {
            self.add_short(short_key(pretoken), amount)
        }
    }

    #[inline(never)]
    fn add_short(&mut self, key: Key, amount: u64) -> u64 {
        let mut at = self.home(key);
        while let Some(number) = self.slots[at].checked_sub(1) {
            let entry = &mut self.entries[number as usize];
            if u128::from_le_bytes(entry.key) == key {
                entry.count = entry.count.saturating_add(amount);
                return entry.count;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.insert(at, key, amount)
    }

    fn add_long(&mut self, pretoken: &[u8], amount: u64) -> u64 {
        let key = long_key(self.long.len() as u64, hash_bytes(pretoken));
        let mut at = self.home(key);
        while let Some(number) = self.slots[at].checked_sub(1) {
            let entry = &mut self.entries[number as usize];
            if entry.key[8..] == key.to_le_bytes()[8..] && long_bytes(&self.long, &entry.key) == pretoken {
                entry.count = entry.count.saturating_add(amount);
                return entry.count;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.long.extend_from_slice(&(pretoken.len() as u64).to_le_bytes());
        self.long.extend_from_slice(pretoken);
        self.insert(at, key, amount)
    }

    fn insert(&mut self, at: usize, key: Key, amount: u64) -> u64 {
        self.entries.push(Entry { key: key.to_le_bytes(), count: amount });
        self.slots[at] = self.entries.len() as u32;
        if self.entries.len() > self.slots.len() / 2 {
            self.grow();
        }
        amount
    }

    /// Whether there are as many pretokens as the table can number.
    pub fn is_full(&self) -> bool {
        self.entries.len() > Self::MAX_LEN
    }

    /// A billion fewer than 2^32, so that looking once a chunk is enough.
    pub const MAX_LEN: usize = 3 << 30;

    /// The number of distinct pretokens.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Each pretoken and its count, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.entries.iter().map(|entry| match entry.key[15] {
            LONG => (long_bytes(&self.long, &entry.key), entry.count),
            len => (&entry.key[..len as usize], entry.count),
        })
    }

    #[inline]
    fn home(&self, key: Key) -> usize {
        // A long key's place differs between equal pretokens; its upper half, hash and mark, does not.
        let low = if (key >> 120) as u8 == LONG { 0 } else { key as u64 };
        fold(low, (key >> 64) as u64) as usize & (self.slots.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        self.slots.clear();
        self.slots.resize(mask + 1, 0);
        for (entry, number) in self.entries.iter().zip(1..) {
            let mut at = self.home(u128::from_le_bytes(entry.key));
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = number;
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

/*!
A map from pretokens to numbers and values: the innermost loop of counting.

Why not a `HashMap<Vec<u8>, V>`? Nine pretokens in ten are their own key (`crate::pretoken_key`), so that a
lookup is one load of 16 bytes from the text, one multiplication and a comparison. Nothing is allocated and no
pointer is followed. The bytes of longer pretokens are stored one after another in one vector, and their key
holds the position.

Why are keys and values not in the hash table? Text uses few words often and many seldom. A hash table of
whole entries spreads the few over all of its memory, and most lookups then wait for a page-table walk. Here
the hash table holds only numbers, 4 bytes each. Keys and values are stored in the order in which they were
first seen, so that the frequent ones are neighbours.

Why batches? A rare word still waits for memory, twice. So the code passes over a batch three times: it builds
the keys and prefetches their slots, it reads the slots and prefetches the keys that they name, and it
compares (`crate::prefetch`).

The hash has no secret. A text made for the purpose can give all of its pretokens the same home, and each
lookup then compares them all. The counts stay right, but take time quadratic in the number of such pretokens.
The user who trains chooses the corpus. Encoding, which must expect hostile texts, looks at a few lines at
most ([`crate::encode`]).
*/

use crate::prefetch::prefetch;
use crate::pretoken_key::{
    BATCH, FEW, Key, LONG, NO_PLACE, READ_AHEAD, SHORT, home, key, short_key, unplaced,
};
use crate::pretokenize::Borders;
use std::ops::Range;

/// The number of slots of an empty table.
const MIN_SLOTS: usize = 1 << 12;

/// A map from pretokens to values. Each pretoken has a number, from 0 in the order of insertion.
pub(crate) struct PretokenTable<V> {
    /// Open addressing, linear probing, at most half full. 0 is empty, n is `keys[n]`.
    slots: Vec<u32>,
    /// [`Key`]s as bytes, by number + 1. The first one belongs to no pretoken.
    keys: Vec<[u8; 16]>,
    values: Vec<V>,
    /// The bytes of long pretokens, each after its length (8 bytes).
    long: Vec<u8>,
}

/// A user of the table: it gets the result for each pretoken that is looked up.
pub(crate) trait Visitor<V> {
    /// The table to look in.
    fn table(&self) -> &PretokenTable<V>;

    /// The next pretoken has this number in the table.
    fn known(&mut self, number: usize);

    /// The next pretoken is not in the table. The visitor may insert it, and remove others.
    fn unknown(&mut self, pretoken: Range<usize>);
}

/// Looks the pretokens of a window up and calls `visitor` for each, in order. Fast if the buffer has
/// [`READ_AHEAD`] bytes from the window's beginning on.
///
/// A slot that was read before the visitor changed the table does no harm, as its key is compared with the
/// pretoken.
#[inline]
pub(crate) fn look_up<V, T: Visitor<V>>(visitor: &mut T, buffer: &[u8], borders: &Borders) {
    let (base, mut rest) = (borders.base(), borders.inside());
    let window = buffer[base..].first_chunk::<READ_AHEAD>();
    let Some(window) = window.filter(|_| rest.len() > FEW) else {
        borders.pretokens().for_each(|pretoken| look_up_one(visitor, buffer, pretoken));
        return;
    };
    if let Some(first) = borders.first() {
        look_up_one(visitor, buffer, first);
    }
    let (mut keys, mut slots) = ([0; BATCH], [0; BATCH]);
    while rest.len() > 1 {
        let starts = &rest[..rest.len().min(BATCH + 1)];
        let ends = &starts[1..];
        visitor.table().prepare(window, starts, &mut keys, &mut slots);
        for (i, (slot, key)) in slots.iter().zip(&keys).enumerate().take(ends.len()) {
            match visitor.table().keys.get(*slot as usize) {
                Some(found) if u128::from_le_bytes(*found) == *key => visitor.known(*slot as usize - 1),
                _ => {
                    let pretoken = base + usize::from(starts[i])..base + usize::from(ends[i]);
                    look_up_one(visitor, buffer, pretoken);
                }
            }
        }
        rest = &rest[ends.len()..];
    }
}

#[inline(never)]
fn look_up_one<V>(visitor: &mut impl Visitor<V>, buffer: &[u8], pretoken: Range<usize>) {
    match visitor.table().get(&buffer[pretoken.clone()]) {
        Some(number) => visitor.known(number),
        None => visitor.unknown(pretoken),
    }
}

impl<V> Default for PretokenTable<V> {
    fn default() -> Self {
        PretokenTable {
            slots: vec![0; MIN_SLOTS],
            keys: vec![[LONG; 16]],
            values: Vec::new(),
            long: Vec::new(),
        }
    }
}

impl<V> PretokenTable<V> {
    /// The maximum number of pretokens: the number of a slot fits 32 bits. It is a million less than 2^31, so
    /// that it is enough to check it now and then.
    pub const MAX_LEN: usize = (1 << 31) - (1 << 20);

    /// Writes the keys of the pretokens between `borders`, and the content of their first slots. Long
    /// pretokens get a key that is in no table, and are looked up one by one.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // A table has at most 2^32 slots.
    fn prepare(
        &self,
        window: &[u8; READ_AHEAD],
        borders: &[u16],
        keys: &mut [Key; BATCH],
        slots: &mut [u32; BATCH],
    ) {
        let all_slots = &self.slots[..];
        let mut homes = [0u32; BATCH];
        for (((start, end), key), home_of) in
            borders.iter().zip(&borders[1..]).zip(&mut *keys).zip(&mut homes)
        {
            *key = short_key(window, *start, *end).unwrap_or(0);
            let at = home(*key, all_slots.len());
            *home_of = at as u32;
            prefetch(all_slots, at);
        }
        for (slot, home) in slots.iter_mut().zip(&homes[..borders.len() - 1]) {
            *slot = all_slots[*home as usize];
            prefetch(&self.keys, *slot as usize);
        }
    }

    /// The number of a pretoken, which is inserted with `value` if it is not in the table.
    #[allow(clippy::cast_possible_truncation)] // Numbers stay below `MAX_LEN`.
    pub fn insert(&mut self, pretoken: &[u8], value: V) -> usize {
        let mut key = key(pretoken);
        match self.find(key, pretoken) {
            Ok(number) => number,
            Err(slot) => {
                if pretoken.len() > SHORT {
                    key = key & !Key::from(NO_PLACE) | self.long.len() as Key;
                    self.long.extend_from_slice(&(pretoken.len() as u64).to_le_bytes());
                    self.long.extend_from_slice(pretoken);
                }
                self.slots[slot] = self.keys.len() as u32;
                self.keys.push(key.to_le_bytes());
                self.values.push(value);
                if self.keys.len() > self.slots.len() / 2 {
                    self.grow();
                }
                self.values.len() - 1
            }
        }
    }

    /// The number of a pretoken, if it is in the table.
    pub fn get(&self, pretoken: &[u8]) -> Option<usize> {
        self.find(key(pretoken), pretoken).ok()
    }

    /// The number of pretokens.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The values, by number.
    #[inline]
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// The values, by number.
    pub fn values_mut(&mut self) -> &mut [V] {
        &mut self.values
    }

    /// The same pretokens with other values.
    pub fn map<W>(self, value: impl FnMut(V) -> W) -> PretokenTable<W> {
        let PretokenTable { slots, keys, values, long } = self;
        PretokenTable { slots, keys, values: values.into_iter().map(value).collect(), long }
    }

    /// Each pretoken and its value, by number.
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a position.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.keys[1..].iter().zip(&self.values).map(|(key, value)| match key[SHORT] {
            LONG => (self.long_bytes(u128::from_le_bytes(*key) as u64), value),
            len => (&key[..len.into()], value),
        })
    }

    /// The bytes of a long pretoken at a position.
    #[allow(clippy::cast_possible_truncation)] // Positions and lengths that were usize.
    fn long_bytes(&self, position: u64) -> &[u8] {
        let (len, bytes) = self.long[position as usize..].split_at(8);
        let len = len.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
        &bytes[..len as usize]
    }

    /// The number of a pretoken, or the free slot where it belongs.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a position.
    fn find(&self, key: Key, pretoken: &[u8]) -> Result<usize, usize> {
        let mut slot = home(key, self.slots.len());
        while self.slots[slot] != 0 {
            let found = u128::from_le_bytes(self.keys[self.slots[slot] as usize]);
            let is_same = match pretoken.len() {
                0..=SHORT => found == key,
                _ => found >> 64 == key >> 64 && self.long_bytes(found as u64) == pretoken,
            };
            if is_same {
                return Ok(self.slots[slot] as usize - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        Err(slot)
    }

    #[cold]
    fn grow(&mut self) {
        let mask = 2 * self.slots.len() - 1;
        self.slots.clear();
        self.slots.resize(mask + 1, 0);
        for (number, key) in (1..).zip(&self.keys[1..]) {
            let mut slot = home(unplaced(u128::from_le_bytes(*key)), mask + 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number;
        }
    }
}

/// Builds and hashes the key of each pretoken, and counts in a table of one cache line. Benches measure it as
/// the limit of any table with these keys.
pub fn probe_one_line(buffer: &[u8], borders: &Borders, table: &mut [u32; 16]) {
    let Some(window) = buffer[borders.base()..].first_chunk::<READ_AHEAD>() else { return };
    for pair in borders.inside().windows(2) {
        let slot = short_key(window, pair[0], pair[1]).map_or(0, |key| home(key, table.len()));
        table[slot] += 1;
    }
}

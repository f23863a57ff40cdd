/*!
A pretoken as a number of 128 bits.

Nine pretokens in ten are shorter than 16 bytes. Their key is the pretoken itself: its bytes, padded with
zeros, and its length as last byte. Making such a key takes a load of 16 bytes and a mask, and comparing two
keys compares two numbers. The key of a longer pretoken holds 56 bits of hash, and the place where its bytes
are stored. Keys that meet in one table have the same seed.
*/

use crate::hash_seed::HashSeed;
use crate::pretokenize::WINDOW;

/// Bytes 0..15 and the length; or a place (8 bytes), 56 bits of hash, and [`LONG`].
pub(crate) type Key = u128;

/// The maximum length in bytes of a pretoken that is its own key.
pub(crate) const SHORT: usize = 15;
/// The last byte of the key of a longer pretoken.
pub(crate) const LONG: u8 = 0xFF;
/// The place in the key of a long pretoken that is not stored anywhere.
pub(crate) const NO_PLACE: u64 = u64::MAX;

/// The number of bytes, from the beginning of a window on, that may be read without a check.
pub(crate) const READ_AHEAD: usize = WINDOW + 16;
/// The number of keys that are made together.
pub(crate) const BATCH: usize = 128;
/// Up to this many pretokens are looked up one by one, which takes less time than clearing the memory of a
/// batch.
pub(crate) const FEW: usize = 16;

/// The key of a pretoken in a window, if the pretoken is short.
#[inline(always)]
pub(crate) fn short_key(window: &[u8; READ_AHEAD], start: u16, end: u16) -> Option<Key> {
    let (start, len) = (usize::from(start) % WINDOW, usize::from(end - start));
    if len > SHORT {
        return None;
    }
    let bytes = window[start..start + 16].first_chunk::<16>().copied().unwrap_or_default();
    Some(u128::from_le_bytes(bytes) & KEEP[len] | (len as u128) << 120)
}

/// The key of a pretoken. The key of a long one has no place.
pub(crate) fn key(pretoken: &[u8], seed: HashSeed) -> Key {
    match pretoken.len() {
        len @ 0..=SHORT => {
            let mut bytes = [0; 16];
            bytes[..len].copy_from_slice(pretoken);
            u128::from_le_bytes(bytes) | (len as u128) << 120
        }
        _ => long_key(pretoken, seed),
    }
}

/// Masks of the lowest bytes, by their number. It is a table because shifts of 128 bits are slow.
pub(crate) static KEEP: [u128; SHORT + 1] = {
    let mut masks = [0; SHORT + 1];
    let mut len = 1;
    while len <= SHORT {
        masks[len] = masks[len - 1] << 8 | 0xFF;
        len += 1;
    }
    masks
};

/// The hash of a key. The key of a long pretoken has [`NO_PLACE`] as its place.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // The halves of a key.
pub(crate) fn hash(key: Key, seed: HashSeed) -> u64 {
    seed.fold(key as u64, (key >> 64) as u64)
}

/// The first slot to look in, of `num_slots`, a power of two.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // The low bits of a hash.
pub(crate) fn home(key: Key, num_slots: usize, seed: HashSeed) -> usize {
    hash(key, seed) as usize & (num_slots - 1)
}

/// Whether a key is that of a long pretoken.
#[allow(clippy::cast_possible_truncation)] // The highest byte.
pub(crate) fn is_long(key: Key) -> bool {
    (key >> 120) as u8 == LONG
}

/// The key of a long pretoken without its place, which does not depend on the pretoken's bytes. Other keys
/// are unchanged.
pub(crate) fn unplaced(key: Key) -> Key {
    if is_long(key) { key | Key::from(NO_PLACE) } else { key }
}

/// The key of a long pretoken, without a place.
#[inline(never)]
pub(crate) fn long_key(pretoken: &[u8], seed: HashSeed) -> Key {
    let (blocks, rest) = pretoken.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let first = seed.fold(pretoken.len() as u64, u64::from_le_bytes(last));
    let hash = blocks.iter().fold(first, |hash, block| seed.fold(hash, u64::from_le_bytes(*block)));
    Key::from(NO_PLACE) | Key::from(hash >> 8) << 64 | Key::from(LONG) << 120
}

/// Long pretokens that differ and have the same hash for a seed: their last eight bytes make one factor of its last
/// product zero.
#[cfg(test)]
pub(crate) fn of_one_hash(number: u64, seed: HashSeed) -> Vec<Vec<u8>> {
    let last = seed.zero().to_le_bytes();
    let pretokens: Vec<_> = (0..number).map(|n| [n.to_le_bytes(), last].concat()).collect();
    assert!(pretokens.iter().all(|pretoken| key(pretoken, seed) == key(&pretokens[0], seed)));
    pretokens
}

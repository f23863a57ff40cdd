/*!
A pretoken as a number of 128 bits.

Nine pretokens in ten are shorter than 16 bytes. Such a key is the pretoken: its bytes, padded with zeros, and its length as
last byte, so that to make one is a load of 16 bytes and a mask, and to compare two is to compare two numbers. The key of a
longer one holds 56 bits of hash, and a place where its bytes lie.
*/

#![allow(clippy::cast_possible_truncation)] // Halves of hashes, and lengths below 256.

use crate::pretokenize::WINDOW;

/// Bytes 0..15 and the length; or a place (8 bytes), 56 bits of hash, and [`LONG`].
pub(crate) type Key = u128;

pub(crate) const SHORT: usize = 15;
pub(crate) const LONG: u8 = 0xFF;
/// The place of a long pretoken whose place is not known.
pub(crate) const NO_PLACE: u64 = u64::MAX;

/// Bytes that are read without looking from the beginning of a window on.
pub(crate) const READ_AHEAD: usize = WINDOW + 16;
/// Keys that are made together.
pub(crate) const BATCH: usize = 128;
/// So few are looked up one by one, which is sooner than to clear the memory of a batch.
pub(crate) const FEW: usize = 16;

/// The key of a pretoken in a window, if it is short.
#[inline(always)]
pub(crate) fn short_key(window: &[u8; READ_AHEAD], start: u16, end: u16) -> Option<Key> {
    let (start, len) = (usize::from(start) % WINDOW, usize::from(end - start));
    if len > SHORT {
        return None;
    }
    let bytes = window[start..start + 16].first_chunk::<16>().copied().unwrap_or_default();
    Some(u128::from_le_bytes(bytes) & KEEP[len] | (len as u128) << 120)
}

/// The key of a pretoken; of a long one, without its place.
pub(crate) fn key(pretoken: &[u8]) -> Key {
    match pretoken.len() {
        len @ 0..=SHORT => {
            let mut bytes = [0; 16];
            bytes[..len].copy_from_slice(pretoken);
            u128::from_le_bytes(bytes) | (len as u128) << 120
        }
        _ => long_key(pretoken),
    }
}

/// Masks of the lowest bytes. A table: shifts of 128 bits are slow.
pub(crate) static KEEP: [u128; SHORT + 1] = {
    let mut masks = [0; SHORT + 1];
    let mut len = 1;
    while len <= SHORT {
        masks[len] = masks[len - 1] << 8 | 0xFF;
        len += 1;
    }
    masks
};

/// The first of `num_slots` slots, a power of two, to look in.
#[inline(always)]
pub(crate) fn home(key: Key, num_slots: usize) -> usize {
    fold(key as u64, (key >> 64) as u64) as usize & (num_slots - 1)
}

/// Whether it is the key of a long pretoken.
pub(crate) fn is_long(key: Key) -> bool {
    (key >> 120) as u8 == LONG
}

/// The key of a long pretoken without its place, which says nothing of its bytes; any other as it is.
pub(crate) fn unplaced(key: Key) -> Key {
    if is_long(key) { key | Key::from(NO_PLACE) } else { key }
}

#[inline(never)]
pub(crate) fn long_key(pretoken: &[u8]) -> Key {
    let (blocks, rest) = pretoken.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let seed = fold(pretoken.len() as u64, u64::from_le_bytes(last));
    let hash = blocks.iter().fold(seed, |hash, block| fold(hash, u64::from_le_bytes(*block)));
    Key::from(NO_PLACE) | Key::from(hash >> 8) << 64 | Key::from(LONG) << 120
}

/// Multiply and fold: the low and high half of a 128-bit product, each as good as the other.
#[inline]
fn fold(low: u64, high: u64) -> u64 {
    let product = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0xD1B5_4A32_D192_ED03);
    product as u64 ^ (product >> 64) as u64
}

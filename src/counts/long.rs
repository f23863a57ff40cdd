/*!
The bytes of the long pretokens of one worker. The key of a long pretoken holds its place here.
*/

use crate::pretoken_key::{Key, NO_PLACE, is_long};

/// The maximum length in bytes of a pretoken that is stored here.
pub(super) const LONGEST_KEPT: usize = 1 << 12;

/// Pretokens, each after its length (2 bytes).
#[derive(Default)]
pub(super) struct Long(Vec<u8>);

impl Long {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all pretokens. No key may have a place any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Stores a pretoken of at most [`LONGEST_KEPT`] bytes, and returns its key with the place.
    #[allow(clippy::cast_possible_truncation)] // The length fits 16 bits.
    pub fn store(&mut self, key: Key, pretoken: &[u8]) -> Key {
        let place = self.0.len();
        self.0.extend_from_slice(&(pretoken.len() as u16).to_le_bytes());
        self.0.extend_from_slice(pretoken);
        key & !Key::from(NO_PLACE) | place as Key
    }

    /// The bytes of a long pretoken, and none for the key of a short one.
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a place.
    pub fn bytes(&self, key: Key) -> &[u8] {
        if !is_long(key) {
            return &[];
        }
        let (len, bytes) = self.0[key as u64 as usize..].split_at(2);
        &bytes[..usize::from(u16::from_le_bytes([len[0], len[1]]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_seed::HashSeed;
    use crate::pretoken_key::key;

    #[test]
    fn a_long_pretoken_is_found_at_the_place_in_its_key() {
        let mut long = Long::default();
        let pretokens = [16, 300, LONGEST_KEPT].map(|len| vec![b'a'; len]);
        for _ in 0..2 {
            let keys =
                pretokens.each_ref().map(|pretoken| long.store(key(pretoken, HashSeed::KNOWN), pretoken));
            assert_eq!(long.len(), 16 + 300 + LONGEST_KEPT + 3 * 2);
            assert!(keys.iter().zip(&pretokens).all(|(&key, pretoken)| long.bytes(key) == pretoken));
            assert_eq!(long.bytes(key(b"short", HashSeed::KNOWN)), b"");
            long.clear();
            assert_eq!(long.len(), 0);
        }
    }
}

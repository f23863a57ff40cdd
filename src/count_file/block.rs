/*!
The content of a block: entries in order, without the first bytes that they share.
*/

use crate::corpus::MAX_STRETCH;

/// The number of bytes at which a block is complete.
pub(super) const BLOCK_BYTES: usize = 1 << 16;
/// The greatest number of bytes of a block: it is complete but for an entry, and an entry has a pretoken of the greatest length.
pub(super) const MAX_BLOCK: u64 = BLOCK_BYTES as u64 + MAX_PRETOKEN + 30;
/// The greatest length of a pretoken in bytes: reading takes a stretch without a place to cut, and a chunk beside it.
pub(super) const MAX_PRETOKEN: u64 = MAX_STRETCH + (1 << 20);
/// The number of bytes before a block's content.
pub(super) const BLOCK_HEADER: usize = 16;

/// A block that is being made.
#[derive(Default)]
pub(super) struct Block {
    pub content: Vec<u8>,
    pub entries: u32,
    previous: Vec<u8>,
}

impl Block {
    /// Adds an entry, which is greater than the one before it.
    pub fn push(&mut self, pretoken: &[u8], count: u64) {
        let shared = self.previous.iter().zip(pretoken).take_while(|(a, b)| a == b).count();
        push_number(&mut self.content, shared as u64);
        push_number(&mut self.content, (pretoken.len() - shared) as u64);
        self.content.extend_from_slice(&pretoken[shared..]);
        push_number(&mut self.content, count);
        self.previous.truncate(shared);
        self.previous.extend_from_slice(&pretoken[shared..]);
        self.entries += 1;
    }

    /// Whether no more entries should be added.
    pub fn is_full(&self) -> bool {
        self.content.len() >= BLOCK_BYTES
    }

    /// The bytes before the content.
    pub fn header(&self) -> [u8; BLOCK_HEADER] {
        header(self.entries, &self.content)
    }

    /// Begins another block.
    pub fn clear(&mut self) {
        self.content.clear();
        self.previous.clear();
        self.entries = 0;
    }
}

/// The bytes before the content of a block.
pub(super) fn header(entries: u32, content: &[u8]) -> [u8; BLOCK_HEADER] {
    let mut header = [0; BLOCK_HEADER];
    header[..8].copy_from_slice(&(content.len() as u64).to_le_bytes());
    header[8..12].copy_from_slice(&entries.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..12]);
    crc.update(content);
    header[12..].copy_from_slice(&crc.finalize().to_le_bytes());
    header
}

/// Reads the next entry of a block's content into `pretoken`, which has the one before it, and moves `at` behind it.
/// Returns its count, or `None` if the bytes are no entry, or one that is not greater.
pub(super) fn next_entry(content: &[u8], at: &mut usize, pretoken: &mut Vec<u8>) -> Option<u64> {
    let shared = usize::try_from(number(content, at)?).ok()?;
    let len = usize::try_from(number(content, at)?).ok()?;
    let own = content.get(*at..at.checked_add(len)?)?;
    *at += len;
    let count = number(content, at)?;
    // The first byte that is not shared decides the order.
    let is_greater = match pretoken.get(shared) {
        Some(before) => own.first()? > before,
        None => shared == pretoken.len() && !own.is_empty(),
    };
    if !is_greater || count == 0 {
        return None;
    }
    pretoken.truncate(shared);
    pretoken.extend_from_slice(own);
    Some(count)
}

/// Adds a number in LEB128: seven bits a byte, the lowest first.
#[allow(clippy::cast_possible_truncation)] // Seven bits.
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a number in LEB128. `None` at the end of the bytes, or if it does not fit 64 bits.
pub(crate) fn number(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        let numbers: Vec<u64> =
            (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).chain([u64::MAX]).collect();
        numbers.iter().for_each(|&number| push_number(&mut bytes, number));
        let mut at = 0;
        assert!(numbers.iter().all(|&expected| number(&bytes, &mut at) == Some(expected)));
        assert_eq!((at, number(&bytes, &mut at)), (bytes.len(), None));
        for wrong in [&[0xFF; 10][..], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], &[0x80]] {
            assert_eq!(number(wrong, &mut 0), None, "{wrong:?}");
        }
    }

    #[test]
    fn entries_that_are_not_greater_or_reach_beyond_the_content_are_refused() {
        let read = |content: &[u8]| next_entry(content, &mut 0, &mut b"ab".to_vec());
        for good in [&[0, 1, b'b', 1][..], &[1, 1, b'c', 1], &[2, 1, 0, 1]] {
            assert_eq!(read(good), Some(1), "{good:?}");
        }
        let bad: [&[u8]; 9] = [
            &[0, 1, b'a', 1],
            &[1, 1, b'b', 1],
            &[1, 1, b'a', 1],
            &[2, 0, 1],
            &[3, 1, b'c', 1],
            &[0, 1, b'b', 0],
            &[0, 9, b'b', 1],
            &[0, 1, b'b'],
            &[],
        ];
        for bad in bad {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}

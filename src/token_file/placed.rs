/*!
A chunk of ids with its place in the file.

Each worker writes its own chunks, at their offsets. So chunks are written in any order, and several at a time.
Each worker also makes the checksums of what it writes. The checksum of a block is combined from those of its
pieces, when the chunks before it are written too ([`Partial::add`](super::partial::Partial::add)).
*/

use super::index::ends_of;
use super::manifest::BLOCK_BYTES;
use crate::encode::Id;
use crate::encode_corpus::{EncodedChunk, Start};
use crate::token_id::TokenId;
use crc32fast::Hasher as Crc;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A chunk that has a place in the file and is not written yet.
pub(super) struct Placed {
    /// The number of chunks of this run before it.
    number: u64,
    /// The number of ids before the chunk and its separator.
    start: u64,
    /// The number of its ids, with the separator.
    pub count: u64,
    separator: Option<TokenId>,
    next: Start,
    text_bytes: u64,
    skipped_lines: u64,
}

/// A chunk that is written, and what the description of the file gets once all chunks before it are written.
pub(super) struct Written {
    pub number: u64,
    pub start: u64,
    pub count: u64,
    /// The ends of its separators, if an index is written.
    pub ends: Vec<u64>,
    pub next: Start,
    pub text_bytes: u64,
    pub skipped_lines: u64,
    /// The checksums of its bytes. No piece lies in two blocks.
    pub pieces: Vec<Piece>,
}

/// Some bytes of one block.
pub(super) struct Piece {
    pub crc: Crc,
    pub len: usize,
}

impl Placed {
    /// Places chunk `number` after `start` ids.
    pub fn new<T>(number: u64, start: u64, encoded: &EncodedChunk<'_, T>) -> Self {
        Placed {
            number,
            start,
            count: (encoded.ids.len() + usize::from(encoded.separator.is_some())) as u64,
            separator: encoded.separator,
            next: Start { place: encoded.end, is_separated: encoded.is_separated },
            text_bytes: encoded.text_bytes,
            skipped_lines: encoded.skipped_lines,
        }
    }

    /// Writes the ids into the file, where they begin at `data_offset`. `ends` is the separator whose ends are found.
    pub fn write<T: Id>(
        self,
        file: &File,
        data_offset: u64,
        ids: &[T],
        ends: Option<T>,
    ) -> io::Result<Written> {
        let separator = self.separator.map(<T as Id>::new);
        let mut offset = self.start * size_of::<T>() as u64;
        let (mut pieces, mut all_ends, mut start) = (Vec::new(), Vec::new(), self.start);
        for ids in [separator.as_slice(), ids] {
            all_ends.append(&mut ends_of(ids, ends, start));
            start += ids.len() as u64;
            let bytes = T::bytes(ids);
            file.write_all_at(&bytes, data_offset + offset)?;
            add_pieces(&bytes, offset, &mut pieces);
            offset += bytes.len() as u64;
        }
        let Placed { number, start, count, next, text_bytes, skipped_lines, .. } = self;
        Ok(Written { number, start, count, ends: all_ends, next, text_bytes, skipped_lines, pieces })
    }
}

/// Makes the checksums of bytes whose first one is byte `offset` of all ids.
fn add_pieces(mut bytes: &[u8], offset: u64, pieces: &mut Vec<Piece>) {
    // Less than the length of a block, which is a usize.
    let mut in_block = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or_default();
    while !bytes.is_empty() {
        let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - in_block));
        let mut crc = Crc::new();
        crc.update(now);
        pieces.push(Piece { crc, len: now.len() });
        (bytes, in_block) = (later, 0);
    }
}

/*!
A chunk is the unit of work that a worker takes from a corpus: a buffer of texts, with their places in the
corpus.
*/

use crate::pretoken_key::READ_AHEAD;
use std::ops::Range;

/// The number of bytes after a chunk's text that may be read, so that no load in its last window needs a
/// check.
const PADDING: usize = READ_AHEAD;

/// A place in the text of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The index of the file, from 0.
    pub source: usize,
    /// The offset in bytes; in a compressed file, in bytes of its text.
    pub offset: u64,
}

/// One text of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// The range of its bytes in the chunk's buffer.
    pub range: Range<usize>,
    /// The index of the file, or of the iterator's item, from 0.
    pub source: usize,
    /// The offset in its source at which the range begins. For a text in JSON it is the offset of the text's
    /// line.
    pub offset: u64,
}

/// A buffer with one or more texts, or with a stretch of a text that is cut where no pretoken is split.
#[derive(Default)]
pub(crate) struct Chunk {
    /// The buffer, which ends at least [`PADDING`] bytes after the last text.
    pub bytes: Vec<u8>,
    pub texts: Vec<Text>,
    /// The number of bytes of the corpus that were read for this chunk, as
    /// [`num_bytes`](super::Corpus::num_bytes) counts them.
    pub input_bytes: u64,
    /// The chunk's number, from 0, and its end, if files are read in order.
    pub number: u64,
    pub end: Place,
    pub is_jsonl: bool,
    /// The number of bad lines that were left out.
    pub skipped_lines: u64,
    /// The JSON lines from which the texts are taken.
    pub(super) lines: Vec<u8>,
}

impl Chunk {
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.input_bytes = 0;
        self.skipped_lines = 0;
    }

    /// The end of the last text in the buffer.
    pub fn used(&self) -> usize {
        self.texts.last().map_or(0, |text| text.range.end)
    }

    pub(super) fn push(&mut self, text: &[u8], source: usize, offset: u64) {
        let start = self.used();
        let end = start + text.len();
        reserve(&mut self.bytes, end);
        self.bytes[start..end].copy_from_slice(text);
        self.texts.push(Text { range: start..end, source, offset });
    }
}

/// Makes room for `len` bytes and the padding. A buffer is never shortened, because growing it again would
/// fill it with zeros.
pub(super) fn reserve(buffer: &mut Vec<u8>, len: usize) {
    let needed = len + PADDING;
    if buffer.is_empty() {
        // The system's zeros cost nothing.
        *buffer = vec![0; needed];
    } else if buffer.len() < needed {
        // Grows by an eighth and not to twice the size, because a chunk can be as long as the corpus.
        buffer.reserve_exact(needed.max(buffer.len() + buffer.len() / 8) - buffer.len());
        buffer.resize(needed, 0);
    }
}

/*!
A chunk is the unit of work that a worker takes from a corpus: a buffer of texts, with their places in the
corpus.
*/

use super::compression::ZSTD_WINDOW_LOG;
use crate::pretoken_key::READ_AHEAD;
use std::ops::Range;

/// The number of bytes after a chunk's text that may be read, so that no load in its last window needs a
/// check.
pub(super) const PADDING: usize = READ_AHEAD;

/// The length in bytes of the longest line of JSON and of the longest stretch without a place to cut, where no limit of
/// memory gives a smaller one. A document of a gigabyte fits, also with escapes; a bomb ends here.
pub(crate) const MAX_STRETCH: u64 = 2 << 30;

/// How much of a corpus may be held in memory as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The length in bytes of the longest line of JSON, and of the longest stretch without a place to cut.
    pub max_stretch: u64,
    /// The length in bytes of the longest text of a table or an iterator.
    pub max_text: u64,
    /// The base-2 logarithm of the largest window of a zstd file, in bytes.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_stretch: MAX_STRETCH, max_text: u64::MAX, zstd_window_log: ZSTD_WINDOW_LOG }
    }
}

/// A place in the text of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The index of the file, from 0.
    pub source: usize,
    /// The offset in bytes; in a compressed file, in bytes of its text; in a table, in rows.
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
    /// line, and in a table the number of its row.
    pub offset: u64,
}

/// A buffer with one or more texts, or with a stretch of a text that is cut where no pretoken is split.
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
    /// Whether each text is a document of its own: a line of JSON, or a row of a table.
    pub has_documents: bool,
    /// The number of bad lines, or rows, that were left out.
    pub skipped_lines: u64,
    /// The JSON lines from which the texts are taken.
    pub(super) lines: Vec<u8>,
    pub(super) limits: Limits,
}

impl Chunk {
    /// A buffer into which nothing is read that is much longer than the limits.
    pub fn new(limits: Limits) -> Self {
        Chunk {
            bytes: Vec::new(),
            texts: Vec::new(),
            input_bytes: 0,
            number: 0,
            end: Place::default(),
            has_documents: false,
            skipped_lines: 0,
            lines: Vec::new(),
            limits,
        }
    }

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::cut::Cutter;
    use super::super::either::Corpus;
    use super::*;
    use crate::error::Error;
    use crate::job::Job;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use std::io::Write;
    use std::path::Path;

    const CHUNK_BYTES: usize = 10;
    const MAX_STRETCH: u64 = 20;

    /// Reads a file, and returns the number of bytes of its texts.
    fn read(path: &Path, pattern: &Pattern) -> Result<usize, Error> {
        let (special_tokens, job) = (SpecialTokens::default(), Job::default());
        let cutter = Cutter { pattern, special_tokens: &special_tokens, chunk_bytes: CHUNK_BYTES };
        let limits = Limits { max_stretch: MAX_STRETCH, ..Limits::default() };
        let (corpus, mut chunk) = (Corpus::open([path])?, Chunk::new(limits));
        corpus.begin()?;
        let mut num_bytes = 0;
        while corpus.next_chunk(cutter, &job, &mut chunk)? {
            num_bytes += chunk.texts.iter().map(|text| text.range.len()).sum::<usize>();
        }
        Ok(num_bytes)
    }

    #[test]
    fn what_cannot_be_cut_is_read_up_to_the_limit_and_refused_beyond_a_chunk_more() {
        let folder = tempfile::tempdir().unwrap();
        let without_cuts = Pattern::new("(?s).+").unwrap();
        for len in 1..70 {
            let letters = "x".repeat(len);
            let text = format!("ab cd {letters} ef gh ij");
            let lines = format!("{{\"text\":1}}\n{{\"text\":\"{letters}\"}}\n{{\"text\":\"b\"}}\n")
                .replace('1', "\"a\"");
            for (name, pattern, content, num_bytes, stretch) in [
                ("a.txt", &Pattern::Gpt2, &text, text.len(), len + 1),
                ("a.txt", &without_cuts, &letters, len, len),
                ("a.jsonl", &Pattern::Gpt2, &lines, len + 2, len + 12),
            ] {
                let (plain, packed) = (folder.path().join(name), folder.path().join(format!("{name}.gz")));
                std::fs::write(&plain, content).unwrap();
                let file = std::fs::File::create(&packed).unwrap();
                let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                packer.write_all(content.as_bytes()).unwrap();
                packer.finish().unwrap();
                for path in [plain, packed] {
                    match read(&path, pattern) {
                        Ok(found) => {
                            assert!(stretch <= 30, "{path:?} {len}");
                            assert_eq!(found, num_bytes, "{path:?} {len}");
                        }
                        Err(Error::TooLong { path: name, offset, limit: MAX_STRETCH, .. }) => {
                            assert!(stretch > 20 && offset <= 13, "{path:?} {len} {offset}");
                            assert_eq!(Path::new(&name), path);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

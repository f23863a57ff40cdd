/*!
Plain files: workers claim chunks by number, and find the cuts and read the chunks in parallel.

Why does no worker wait for the end of the chunk before its own? A cut is a function of the position in the
file: of the content near it, and of nothing that was read before. Chunk i reaches from the cut for position
i x C to the cut for position (i + 1) x C, where C is the nominal length of a chunk. So two workers find the
same cut, each on its own, by a read of four kilobytes. Claiming a chunk is counting.

The cut for a position is the last place to cut in the few kilobytes before it, or else the first place after
it. So cuts are in the same order as their positions. Where a long stretch has no place to cut, several
positions have the same cut, and the chunks between them are empty. That cut is stored, so that the stretch
is searched once and not once for each chunk.
*/

use super::cut::{Cuts, FIRST_WINDOW, growing_windows};
use crate::error::Error;
use crate::job::Job;
use crate::panics::lock;
use crate::sync::Mutex;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that several workers read, each at its own offset.
pub(super) struct SharedFile {
    file: File,
    path: PathBuf,
    len: u64,
    /// The places where reading begins and ends.
    start: u64,
    end: u64,
    /// Positions that have the same cut, which is the end of the range.
    same_cut: Mutex<Range<u64>>,
}

impl SharedFile {
    /// A file of `len` bytes, of which a range is read.
    pub fn new(file: File, path: PathBuf, len: u64, range: Range<u64>) -> Self {
        SharedFile { file, path, len, start: range.start, end: range.end, same_cut: Mutex::default() }
    }

    /// The border of two shards for a position: its cut, which depends on the file alone and not on the length of chunks.
    pub fn border(&self, position: u64, cuts: Cuts<'_>, job: &Job) -> Result<u64, Error> {
        let cut = self.cut(position, cuts.with_chunk_bytes(to_usize(FIRST_WINDOW)?), job)?;
        if matches!(cuts, Cuts::Pretokens(_)) && self.is_blank(cut, job)? { Ok(0) } else { Ok(cut) }
    }

    /// Whether the first `len` bytes are ASCII whitespace.
    fn is_blank(&self, len: u64, job: &Job) -> Result<bool, Error> {
        let (mut at, mut buffer) = (0, vec![0; to_usize(FIRST_WINDOW)?]);
        while at < len {
            let step = buffer.len().min(to_usize(len - at)?);
            self.read(&mut buffer[..step], at, job)?;
            if !buffer[..step].trim_ascii().is_empty() {
                return Ok(false);
            }
            at += step as u64;
        }
        Ok(true)
    }

    /// Fills `buffer` from an offset in the file.
    pub fn read(&self, buffer: &mut [u8], offset: u64, job: &Job) -> Result<(), Error> {
        let mut found = 0;
        while found < buffer.len() {
            job.check()?;
            match self.file.read_at(&mut buffer[found..], offset + found as u64) {
                Ok(0) => {
                    let (path, expected) = (self.path.clone(), buffer.len());
                    return Err(Error::FileChanged { path, offset, expected, found });
                }
                Ok(n) => found += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::corpus_file(&self.path, error)),
            }
        }
        Ok(())
    }

    /// The cut for a position.
    fn cut(&self, position: u64, cuts: Cuts<'_>, job: &Job) -> Result<u64, Error> {
        if position <= self.start || position >= self.len {
            return Ok(position.clamp(self.start, self.len));
        }
        let before = FIRST_WINDOW.min(cuts.chunk_bytes() as u64);
        let first = (self.start + 1).max(position.saturating_sub(before));
        if let Some(cut) = self.search((first, position), cuts, job, |found| found.next_back())? {
            return Ok(cut);
        }
        // The others wait, because they would search the same stretch.
        let mut same_cut = lock(&self.same_cut);
        if !same_cut.contains(&position) {
            *same_cut = position..self.cut_after(position, cuts, job)?;
        }
        Ok(same_cut.end)
    }

    /// The first place to cut after a position.
    fn cut_after(&self, position: u64, cuts: Cuts<'_>, job: &Job) -> Result<u64, Error> {
        for window in growing_windows(position).take_while(|&(first, _)| first < self.len) {
            if let Some(cut) = self.search(window, cuts, job, |found| found.next())? {
                return Ok(cut);
            }
        }
        Ok(self.len)
    }

    /// Chooses one of the places to cut from `first` to `last`.
    fn search(
        &self,
        (first, last): (u64, u64),
        cuts: Cuts<'_>,
        job: &Job,
        choose: impl FnOnce(&mut dyn DoubleEndedIterator<Item = u64>) -> Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let context = cuts.context() as u64;
        let last = last.min(self.len - 1);
        let from = first.saturating_sub(context);
        let mut window = vec![0; to_usize((last + context).min(self.len) - from)?];
        self.read(&mut window, from, job)?;
        let is_safe = |cut: &u64| to_usize(cut - from).is_ok_and(|at| cuts.is_safe(&window, at));
        Ok(choose(&mut (first..=last).filter(is_safe)))
    }
}

/// A plain file and the number of the next chunk to claim.
pub(super) struct Plain {
    file: Arc<SharedFile>,
    next: u64,
}

/// A chunk that a worker has claimed.
pub(super) struct Claim {
    pub file: Arc<SharedFile>,
    /// The two positions whose cuts are the chunk's ends.
    positions: (u64, u64),
    pub is_last: bool,
}

impl Plain {
    /// A file of which no chunk is claimed.
    pub fn new(file: SharedFile) -> Self {
        Plain { file: Arc::new(file), next: 0 }
    }

    /// Claims the next chunk. Whoever sees that it is the last one claims no more.
    pub fn claim(&mut self, cuts: Cuts<'_>) -> Claim {
        let chunk_bytes = if cuts.can_cut() { cuts.chunk_bytes() as u64 } else { u64::MAX };
        let position = |number: u64| self.file.start.saturating_add(number.saturating_mul(chunk_bytes));
        let positions = (position(self.next), position(self.next + 1));
        self.next += 1;
        Claim { file: Arc::clone(&self.file), positions, is_last: positions.1 >= self.file.end }
    }
}

impl Claim {
    /// The range of the chunk, which may be empty.
    pub fn range(&self, cuts: Cuts<'_>, job: &Job) -> Result<Range<u64>, Error> {
        let last = self.file.end;
        let start = self.file.cut(self.positions.0, cuts, job)?.min(last);
        Ok(start..if self.is_last { last } else { self.file.cut(self.positions.1, cuts, job)?.min(last) })
    }
}

/// Converts the length of a stretch, in bytes, to `usize`.
pub(super) fn to_usize(bytes: u64) -> Result<usize, Error> {
    usize::try_from(bytes)
        .map_err(|_| Error::Limit { what: "a stretch without a place to cut", limit: usize::MAX as u64 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::cut::Cutter;
    use super::*;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use std::io::Write;

    fn shared(bytes: &[u8], start: u64) -> SharedFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SharedFile::new(file, PathBuf::from("text"), bytes.len() as u64, start..bytes.len() as u64)
    }

    /// Texts with many places to cut, with few, and with none for a long time.
    fn texts() -> [Vec<u8>; 4] {
        let stretch = [&b"ab cd"[..], &[b'x'; 20_000], b" ef gh <|e> i ", &[b'y'; 9_000]].concat();
        let words = b"the cat's  12 dogs\n\n<|e><|e> a".repeat(300);
        [words.clone(), stretch.clone(), [words, stretch].concat(), vec![b'z'; 5_000]]
    }

    #[test]
    fn chunks_are_what_lies_between_places_to_cut_in_whatever_order_they_are_found() {
        let special_tokens = SpecialTokens::new(["<|e>"]).unwrap();
        let job = Job::default();
        for (text, chunk_bytes) in texts().iter().flat_map(|text| [1, 7, 100, 4096, 5000].map(|n| (text, n)))
        {
            let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes };
            for cuts in [Cuts::Pretokens(cutter), Cuts::Lines(chunk_bytes)] {
                let safe: Vec<u64> =
                    (1..text.len()).filter(|&at| cuts.is_safe(text, at)).map(|at| at as u64).collect();
                let start = safe.get(3).copied().unwrap_or(0);
                let (len, before) = (text.len() as u64, 4096.min(chunk_bytes as u64));
                let naive = |position: u64| match position {
                    _ if position <= start => start,
                    _ if position >= len => len,
                    _ => {
                        let near =
                            |cut: &&u64| **cut > start && **cut <= position && **cut + before >= position;
                        let after = safe.iter().find(|&&cut| cut > position);
                        safe.iter().rfind(near).or(after).copied().unwrap_or(len)
                    }
                };
                let mut plain = Plain::new(shared(text, start));
                let mut claims = Vec::new();
                loop {
                    claims.push(plain.claim(cuts));
                    if claims[claims.len() - 1].is_last {
                        break;
                    }
                }
                let mut ranges: Vec<_> =
                    claims.iter().rev().map(|claim| claim.range(cuts, &job).unwrap()).collect();
                ranges.reverse();
                let mut end = start;
                for (number, range) in (1..).zip(&ranges) {
                    assert_eq!(range.start, end);
                    assert_eq!(range.end, naive(start + number * chunk_bytes as u64));
                    assert!(range.start <= range.end);
                    end = range.end;
                }
                assert_eq!(end, len);
            }
        }
    }

    #[test]
    fn a_text_without_places_to_cut_is_one_chunk() {
        let (special_tokens, job) = (SpecialTokens::default(), Job::default());
        let pattern = Pattern::new(r"\S+|\s+").unwrap();
        let cutter = Cutter { pattern: &pattern, special_tokens: &special_tokens, chunk_bytes: 3 };
        let cuts = Cuts::Pretokens(cutter);
        let claim = Plain::new(shared(b"some words", 0)).claim(cuts);
        assert!(claim.is_last);
        assert_eq!(claim.range(cuts, &job).unwrap(), 0..10);
    }
}

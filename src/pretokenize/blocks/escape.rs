/*!
The scalar scanner, for the stretches of a text that the masks do not decide.

It begins at the last border before a rare place, which the masks got right, and goes from pretoken to pretoken. It ends
where the masks are right again, whatever came before: at an ASCII whitespace byte after an ASCII letter or digit, and
after a newline. Those are places where the text may be cut, and to the right of them the masks use only what is to the
right, and that one letter, digit or newline.
*/

use super::masks::{BLOCK, low_bits};
use super::scan::Text;

/// A stretch that the scalar scanner has not finished at the end of a block.
#[derive(Default)]
pub(super) struct Escape {
    /// Where its next pretoken begins; 0 if there is no such stretch.
    position: usize,
    /// The place of the last search for a special token, and of the one it found.
    searched: usize,
    special: usize,
}

impl Escape {
    /// Whether a stretch is unfinished.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        self.position != 0
    }

    /// Replaces the borders in the block that begins at `start` by those of the scalar scanner, where needed. The last
    /// border before the block is at `last`.
    #[inline(never)]
    pub fn decide(
        &mut self,
        text: &Text<'_>,
        start: usize,
        borders: u64,
        rare: u64,
        last: usize,
        pretoken_end: impl Fn(&[u8], usize) -> usize,
    ) -> u64 {
        let mut decided = borders;
        let mut done = 0;
        if self.is_open() {
            match self.scan(text, start, start, self.position, 0, &pretoken_end) {
                (scanned, Some(end)) => {
                    decided = scanned | borders & !low_bits(end);
                    done = end;
                }
                (scanned, None) => return scanned,
            }
        }
        loop {
            let rare = rare & !low_bits(done);
            if rare == 0 {
                return decided;
            }
            let place = rare.trailing_zeros() as usize;
            let before = decided & low_bits(place);
            let position = if before == 0 { last } else { start + before.ilog2() as usize };
            let kept = if before == 0 { 0 } else { before & !(1 << before.ilog2()) };
            match self.scan(text, start, start + place + 1, position, kept, &pretoken_end) {
                (scanned, Some(end)) => {
                    decided = scanned | borders & !low_bits(end);
                    done = end;
                }
                (scanned, None) => return scanned,
            }
        }
    }

    /// Adds the borders from `position` on to `borders`. Ends at the first place from `least` on where the masks are
    /// right again, and returns it relative to the block, or at the end of the block.
    fn scan(
        &mut self,
        text: &Text<'_>,
        start: usize,
        least: usize,
        mut position: usize,
        mut borders: u64,
        pretoken_end: impl Fn(&[u8], usize) -> usize,
    ) -> (u64, Option<usize>) {
        let block_end = text.end.min(start + BLOCK);
        while position < block_end {
            if position >= start {
                if position >= least && position > 0 && is_right_again(text.buffer, position) {
                    self.position = 0;
                    return (borders, Some(position - start));
                }
                borders |= 1 << (position - start);
            }
            position = match self.special_token_at(text, position) {
                (begins, Some(len)) if begins == position => position + len,
                (begins, _) => pretoken_end(&text.buffer[..begins], position),
            };
        }
        self.position = position;
        (borders, None)
    }

    /// The beginning of the first special token at or after `position`, or the text's end, and the token's length if
    /// it begins at `position`.
    fn special_token_at(&mut self, text: &Text<'_>, position: usize) -> (usize, Option<usize>) {
        if !(self.searched..=self.special).contains(&position) || self.special == 0 {
            self.special = text.special_tokens.next_start(text.buffer, position..text.end);
            self.searched = position;
        }
        let len = || text.special_tokens.len_at(text.buffer, position..text.end);
        (self.special, if self.special == position { len() } else { None })
    }
}

/// Whether the masks are right from `position` on, which is the beginning of a pretoken. The byte before it lies in the
/// text, because the stretch began earlier.
fn is_right_again(buffer: &[u8], position: usize) -> bool {
    let is_space = matches!(buffer[position], b' ' | b'\t'..=b'\r');
    match buffer[position - 1] {
        b'\r' | b'\n' => !is_space && buffer[position] != b'/',
        before => is_space && before.is_ascii_alphanumeric(),
    }
}

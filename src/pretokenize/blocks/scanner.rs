/*!
The scan itself: from the masks of each block to the borders of its pretokens.
*/

use super::masks::{BLOCK, Classify, Masks, low_bits};
use crate::isa::Isa;
use crate::pretokenize::borders::{Borders, WINDOW};
use crate::pretokenize::char_class::{CharClass, CharClasses};
use crate::special_tokens::SpecialTokens;
use std::ops::Range;

/// Finds the borders of a text's pretokens, a window at a time.
pub struct BlockScanner<'a> {
    pub(super) isa: Isa,
    classes: &'static CharClasses,
    special_tokens: &'a SpecialTokens,
    buffer: &'a [u8],
    /// The text's end in the buffer.
    pub(super) end: usize,
    /// The block whose borders come next: where it begins, its masks, and the masks of the block before.
    pub(super) start: usize,
    pub(super) current: Option<Masks>,
    previous: Masks,
    /// The borders in this block that a contraction in the block before added and removed.
    made: u64,
    unmade: u64,
    /// The class of the last character of the block classified last, and how many of its bytes lie in the
    /// next.
    spill: (CharClass, usize),
    /// The end of the last special token found.
    special_end: usize,
}

impl<'a> BlockScanner<'a> {
    /// A scanner of the text `buffer[range]`. Bytes outside the range have no influence on the borders. The
    /// scan is a little faster when the buffer has 64 more bytes after the range.
    pub fn new(isa: Isa, buffer: &'a [u8], range: Range<usize>, special_tokens: &'a SpecialTokens) -> Self {
        BlockScanner {
            isa,
            classes: CharClasses::get(),
            special_tokens,
            buffer,
            end: range.end,
            start: range.start,
            current: None,
            previous: Masks::default(),
            made: 0,
            unmade: 0,
            spill: (CharClass::Other, 0),
            special_end: range.start,
        }
    }

    /// Adds the borders of one window to `borders`.
    #[inline(always)]
    pub(super) fn fill<C: Classify>(&mut self, isa: C, borders: &mut Borders) {
        let mut current = match self.current {
            Some(masks) => masks,
            None => self.classify(isa, self.start),
        };
        let stop = self.end.min(self.start.saturating_add(WINDOW));
        while self.start < stop {
            let next_start = self.start + BLOCK;
            let next = if next_start < self.end { self.classify(isa, next_start) } else { Masks::default() };
            let bits = self.borders(&current, &next);
            #[allow(clippy::cast_possible_truncation)] // A position in a window.
            let at = (self.start - borders.base()) as u16;
            if let Some(room) = borders.room() {
                isa.list(bits, at, room);
            }
            borders.add(bits.count_ones() as usize);
            self.previous = current;
            current = next;
            self.start = next_start;
        }
        self.current = Some(current);
    }

    /// The borders in the current block.
    #[inline(always)]
    fn borders(&mut self, current: &Masks, next: &Masks) -> u64 {
        let after = |current: u64, previous: u64| current << 1 | previous >> (BLOCK - 1);
        let previous = &self.previous;
        let same_class = current.letters & after(current.letters, previous.letters)
            | current.numbers & after(current.numbers, previous.numbers)
            | current.others & after(current.others, previous.others);
        let text_starts = current.text() & !same_class & !after(current.blanks, previous.blanks);
        let space_starts = current.spaces & !after(current.spaces, previous.spaces);
        let text_follows = current.text() >> 1 | next.text() << (BLOCK - 1);
        let given_back = current.ascii_spaces & text_follows;
        let mut borders = text_starts | space_starts | given_back | current.forced;
        borders = borders & !self.unmade | self.made;
        (self.made, self.unmade) = (0, 0);
        let apostrophes = text_starts & current.apostrophes;
        if apostrophes != 0 {
            borders = self.contract(apostrophes, borders, current.letters, next.letters);
        }
        borders
    }

    /// Joins each apostrophe that begins a pretoken with the letters of its contraction, and puts a border
    /// after them.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // The halves of 128 bits.
    fn contract(&mut self, mut apostrophes: u64, borders: u64, letters: u64, next_letters: u64) -> u64 {
        let letters = u128::from(next_letters) << BLOCK | u128::from(letters);
        let (mut made, mut unmade) = (0u128, 0u128);
        while apostrophes != 0 {
            let i = apostrophes.trailing_zeros() as usize;
            apostrophes &= apostrophes - 1;
            let is_letter = |at: usize| letters >> at & 1 != 0;
            let length = match self.buffer[self.start + i + 1..] {
                [b's' | b'd' | b'm' | b't', ..] if is_letter(i + 1) => 2,
                [b'l', b'l', ..] | [b'v' | b'r', b'e', ..] if is_letter(i + 1) && is_letter(i + 2) => 3,
                _ => continue,
            };
            unmade |= 1 << (i + 1);
            made |= u128::from(is_letter(i + length)) << (i + length);
        }
        let halves = |bits: u128| (bits as u64, (bits >> BLOCK) as u64);
        let ((made, next_made), (unmade, next_unmade)) = (halves(made), halves(unmade));
        (self.made, self.unmade) = (next_made, next_unmade);
        borders & !unmade | made
    }

    /// The masks of the block that begins at `start`.
    #[inline(always)]
    fn classify<C: Classify>(&mut self, isa: C, start: usize) -> Masks {
        let tail;
        let block = match self.buffer[start..].first_chunk() {
            Some(block) => block,
            None => {
                tail = self.tail(start);
                &tail
            }
        };
        let ascii = isa.classify(block);
        let mut keep = low_bits(self.end - start) & !low_bits(self.special_end.saturating_sub(start));
        let mut masks = Masks::default();
        let special_bytes = self.special_tokens.first_bytes();
        let candidates = special_bytes.iter().fold(0, |bits, &byte| bits | isa.equal(block, byte)) & keep;
        if candidates != 0 {
            let covered;
            (masks.forced, covered) = self.find_special_tokens(start, candidates);
            keep &= !covered;
        }
        masks.letters = ascii.letters & keep;
        masks.numbers = ascii.digits & keep;
        masks.spaces = ascii.whitespace & keep;
        masks.ascii_spaces = masks.spaces;
        masks.blanks = ascii.blanks & keep;
        masks.apostrophes = ascii.apostrophes & keep;
        masks.others = keep & !(ascii.letters | ascii.digits | ascii.whitespace | ascii.beyond_ascii);
        if ascii.beyond_ascii & keep != 0 {
            self.decode(start, ascii.beyond_ascii & keep, &mut masks);
        }
        masks
    }

    /// The last bytes of a buffer that ends inside a block, padded with zeros.
    #[cold]
    fn tail(&self, start: usize) -> [u8; BLOCK] {
        let mut tail = [0; BLOCK];
        tail[..self.buffer.len() - start].copy_from_slice(&self.buffer[start..]);
        tail
    }

    /// Finds the special tokens that begin in a block. Returns the mask of their first bytes, and the mask of
    /// all their bytes.
    #[inline(never)]
    fn find_special_tokens(&mut self, start: usize, mut candidates: u64) -> (u64, u64) {
        let (mut first_bytes, mut all_bytes) = (0, 0);
        while candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            if let Some(len) = self.special_tokens.len_at(self.buffer, start + i..self.end) {
                first_bytes |= 1 << i;
                all_bytes |= low_bits(i + len) & !low_bits(i);
                candidates &= !low_bits(i + len);
                self.special_end = start + i + len;
            }
        }
        (first_bytes, all_bytes)
    }

    /// Gives the bytes of characters beyond ASCII their class.
    #[inline(never)]
    fn decode(&mut self, start: usize, mut bytes: u64, masks: &mut Masks) {
        let (class, spilled) = std::mem::replace(&mut self.spill, (CharClass::Other, 0));
        masks.add(class, low_bits(spilled));
        bytes &= !low_bits(spilled);
        while bytes != 0 {
            let i = bytes.trailing_zeros() as usize;
            let (class, len) = self.classes.first(&self.buffer[start + i..self.end]);
            masks.add(class, low_bits(i + len) & !low_bits(i));
            bytes &= !low_bits(i + len);
            if i + len > BLOCK {
                self.spill = (class, i + len - BLOCK);
            }
            if class == CharClass::Space && self.text_follows(start + i + len) {
                masks.forced |= 1 << i;
            }
        }
    }

    /// Whether there is a character at `at` that is neither whitespace nor the beginning of a special token.
    fn text_follows(&self, at: usize) -> bool {
        at < self.end
            && self.classes.first(&self.buffer[at..self.end]).0 != CharClass::Space
            && self.special_tokens.len_at(self.buffer, at..self.end).is_none()
    }
}

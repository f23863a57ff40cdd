/*!
The GPT-2 pattern by bit masks, 64 bytes at a time.

Why not go from pretoken to pretoken, as the scalar scanner does ([`super::gpt2`])? Because each step then waits for the
last, and most of it is a mispredicted branch at the end of a word. Nearly all of the pattern says only where the class of
a character changes. So a block of 64 bytes becomes one 64-bit mask per class, and shifts and ands of masks give the
borders of all its pretokens at once:

- a run of letters, numbers or other characters begins where the byte before has another class, unless that byte is a
  space, which joins what follows it;
- a run of whitespace begins where the byte before is none, and its last character stands alone if text follows, because
  `\s+(?!\S)` gives it back.

What is rare edits the masks: a character beyond ASCII is decoded and its bytes get its class; an apostrophe that begins
a pretoken is compared with the contractions; the first byte of a special token is compared with those. The bytes of a
special token have no class at all, which makes the text end before it and begin anew behind it; so it needs no pass and
no split of its own, and comes out as one more pretoken (that no other can equal, or it would have been split, too).

Only the classes of ASCII bytes depend on the machine: one small module for each instruction set ([`Isa`]), and one that
needs none.
*/

#![allow(clippy::cast_possible_truncation)] // Halves of 128 bits, and places in a window.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::borders::{Borders, WINDOW};
use super::char_class::{CharClass, CharClasses};
use crate::special_tokens::SpecialTokens;
use std::ops::Range;
use std::sync::OnceLock;

const BLOCK: usize = 64;

/// The instructions that a scanner uses. A value of it exists only where the machine has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(IsaName);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IsaName {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// All that this machine has, the fastest last.
    pub fn available() -> Vec<Isa> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut available = vec![Isa(IsaName::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let bits = is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("aes");
            if bits && is_x86_feature_detected!("avx2") {
                available.push(Isa(IsaName::Avx2));
            }
            if bits
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
            {
                available.push(Isa(IsaName::Avx512));
            }
        }
        available
    }

    /// The fastest.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa(IsaName::Portable)))
    }

    /// Whether the machine has AVX2, and AES.
    pub(crate) fn has_avx2(self) -> bool {
        self.0 != IsaName::Portable
    }

    /// "portable", "avx2" or "avx512".
    pub fn name(self) -> &'static str {
        match self.0 {
            IsaName::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => "avx512",
        }
    }
}

/// Which bytes of a block are what; bit `i` speaks of byte `i`.
#[derive(Clone, Copy, Default)]
struct AsciiMasks {
    letters: u64,
    digits: u64,
    /// `\t \n \v \f \r` and the space.
    whitespace: u64,
    /// The space alone.
    blanks: u64,
    apostrophes: u64,
    beyond_ascii: u64,
}

/// What an instruction set has to offer.
trait Classify: Copy {
    fn classify(self, block: &[u8; BLOCK]) -> AsciiMasks;
    fn equal(self, block: &[u8; BLOCK], byte: u8) -> u64;

    /// Writes `at` plus the number of each bit that is set. Eight at a time: how many there are cannot be predicted, and
    /// to write too many costs less than to guess wrong.
    #[inline(always)]
    fn list(self, mut bits: u64, at: u16, positions: &mut [u16; BLOCK]) {
        for eight in positions.as_chunks_mut::<8>().0 {
            for position in eight {
                *position = at + bits.trailing_zeros() as u16;
                bits &= bits.wrapping_sub(1);
            }
            if bits == 0 {
                break;
            }
        }
    }
}

/// A block's bytes by the class of their character. Bytes of special tokens, and those behind the text, have none.
#[derive(Clone, Copy, Default)]
struct Masks {
    letters: u64,
    numbers: u64,
    others: u64,
    spaces: u64,
    /// Whitespace of one byte.
    ascii_spaces: u64,
    blanks: u64,
    apostrophes: u64,
    /// Borders that the classes do not show: where special tokens begin, and last characters of whitespace that are
    /// longer than a byte.
    forced: u64,
}

impl Masks {
    #[inline(always)]
    fn text(&self) -> u64 {
        self.letters | self.numbers | self.others
    }

    fn add(&mut self, class: CharClass, bytes: u64) {
        match class {
            CharClass::Letter => self.letters |= bytes,
            CharClass::Number => self.numbers |= bytes,
            CharClass::Other => self.others |= bytes,
            CharClass::Space => self.spaces |= bytes,
        }
    }
}

/// Finds the borders of a text's pretokens, a window at a time.
pub struct BlockScanner<'a> {
    isa: Isa,
    classes: &'static CharClasses,
    special_tokens: &'a SpecialTokens,
    buffer: &'a [u8],
    /// The text's end in the buffer.
    end: usize,
    /// The block whose borders come next: where it begins, its masks and those of the block before.
    start: usize,
    current: Option<Masks>,
    previous: Masks,
    /// The borders in it that a contraction in the block before made and unmade.
    made: u64,
    unmade: u64,
    /// The class of the last character of the block classified last, and how many of its bytes lie in the next.
    spill: (CharClass, usize),
    /// The end of the last special token found.
    special_end: usize,
}

impl<'a> BlockScanner<'a> {
    /// A scanner of the text `buffer[range]`. What lies outside the range has no influence on the borders; it is a little
    /// faster when the buffer goes on for 64 bytes.
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

    /// Replaces what is in `borders` by the borders of the next window; `false` when the text has ended. In all they are
    /// the beginnings of the text's pretokens and special tokens, and its end.
    #[allow(unsafe_code)]
    pub fn next_window(&mut self, borders: &mut Borders) -> bool {
        if self.start >= self.end {
            return false;
        }
        match self.current {
            None => borders.begin(self.start),
            Some(_) => borders.go_on(self.start),
        }
        match self.isa.0 {
            IsaName::Portable => self.fill(portable::Portable, borders),
            // SAFETY: an `Isa` of this name is made only where `is_x86_feature_detected!` said that the machine has all
            // the features that `fill` enables. Worth: benches/record/2-scan-and-count.md.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => unsafe { avx2::fill(self, borders) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => unsafe { avx512::fill(self, borders) },
        }
        if self.start >= self.end {
            borders.push(self.end);
        }
        true
    }

    #[inline(always)]
    fn fill<C: Classify>(&mut self, isa: C, borders: &mut Borders) {
        let mut current = match self.current {
            Some(masks) => masks,
            None => self.classify(isa, self.start),
        };
        let stop = self.end.min(self.start.saturating_add(WINDOW));
        while self.start < stop {
            let next_start = self.start + BLOCK;
            let next = if next_start < self.end { self.classify(isa, next_start) } else { Masks::default() };
            let bits = self.borders(&current, &next);
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

    /// Joins each apostrophe that begins a pretoken with the letters of a contraction, and parts those from what
    /// follows.
    #[inline(never)]
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

    /// The last bytes of a buffer that ends inside a block.
    #[cold]
    fn tail(&self, start: usize) -> [u8; BLOCK] {
        let mut tail = [0; BLOCK];
        tail[..self.buffer.len() - start].copy_from_slice(&self.buffer[start..]);
        tail
    }

    /// Of the special tokens that begin in a block, the first byte, and all bytes.
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

/// The lowest `n` bits; all for 64 or more.
#[inline(always)]
fn low_bits(n: usize) -> u64 {
    if n < BLOCK { (1 << n) - 1 } else { u64::MAX }
}

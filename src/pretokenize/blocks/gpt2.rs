/*!
The borders of GPT-2's pattern from the masks of each block.
*/

use super::masks::{AsciiMasks, BLOCK, low_bits};
use super::pairs::{ClassPairs, PairRules, PairTables, class};
use super::scan::{BlockGrammar, Neighbours, Text};
use crate::pretokenize::borders::Borders;
use crate::pretokenize::char_class::{CharClass, CharClasses};
use crate::pretokenize::grammar::Contractions;

/// A block's bytes by the class of their character. Bytes of special tokens and bytes after the text have no
/// class.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    pub letters: u64,
    pub numbers: u64,
    pub others: u64,
    pub spaces: u64,
    /// Whitespace of one byte.
    pub ascii_spaces: u64,
    pub blanks: u64,
    pub apostrophes: u64,
    /// Borders that the classes do not show: the beginnings of special tokens, and of whitespace characters
    /// longer than a byte that end their run.
    pub forced: u64,
}

impl Masks {
    /// The bytes that have a class and are not whitespace.
    #[inline(always)]
    pub fn text(&self) -> u64 {
        self.letters | self.numbers | self.others
    }

    /// Gives bytes a class.
    pub fn add(&mut self, class: CharClass, bytes: u64) {
        match class {
            CharClass::Letter => self.letters |= bytes,
            CharClass::Number => self.numbers |= bytes,
            CharClass::Other => self.others |= bytes,
            CharClass::Space => self.spaces |= bytes,
        }
    }
}

/// The tables of pairs.
static PAIRS: PairTables = PairTables::new(&ClassPairs {
    joins: [
        class::LETTER | class::BLANK,
        class::LETTER | class::BLANK,
        class::NUMBER | class::BLANK,
        class::OTHER | class::BLANK,
        class::GAP | class::NEWLINE,
        class::GAP | class::NEWLINE,
    ],
    gives_back: [class::TEXT, class::TEXT],
});

/// What the scan of GPT-2's pattern remembers from block to block.
pub(super) struct Gpt2 {
    classes: &'static CharClasses,
    /// The masks of the block before.
    previous: Masks,
    /// The borders in this block that a contraction in the block before added and removed.
    made: u64,
    unmade: u64,
    /// The class of the last character of the block classified last, and how many of its bytes lie in the
    /// next.
    spill: (CharClass, usize),
}

impl Default for Gpt2 {
    fn default() -> Self {
        Gpt2 {
            classes: CharClasses::get(),
            previous: Masks::default(),
            made: 0,
            unmade: 0,
            spill: (CharClass::Other, 0),
        }
    }
}

impl BlockGrammar for Gpt2 {
    type Masks = Masks;

    #[inline(always)]
    fn classify(
        &mut self,
        text: &Text<'_>,
        start: usize,
        ascii: AsciiMasks,
        keep: u64,
        forced: u64,
    ) -> Masks {
        let mut masks = Masks {
            letters: ascii.letters & keep,
            numbers: ascii.digits & keep,
            others: keep & !(ascii.letters | ascii.digits | ascii.whitespace | ascii.beyond_ascii),
            spaces: ascii.whitespace & keep,
            ascii_spaces: ascii.whitespace & keep,
            blanks: ascii.blanks & keep,
            apostrophes: ascii.apostrophes & keep,
            forced,
        };
        if ascii.beyond_ascii & keep != 0 {
            self.decode(text, start, ascii.beyond_ascii & keep, &mut masks);
        }
        masks
    }

    #[inline(always)]
    fn borders(&mut self, text: &Text<'_>, start: usize, masks: Neighbours<'_, Masks>, _: &Borders) -> u64 {
        let Neighbours { current, next } = masks;
        let previous = std::mem::replace(&mut self.previous, *current);
        let after = |current: u64, previous: u64| current << 1 | previous >> (BLOCK - 1);
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
            borders = self.contract(text, start + 1, apostrophes, borders, current.letters, next.letters);
        }
        borders
    }

    fn pair_rules(&self) -> Option<PairRules> {
        Some(PairRules::new(&PAIRS, Contractions::Small, false, None))
    }

    fn is_settled(&self) -> bool {
        self.made | self.unmade == 0
    }

    fn forget(&mut self) {
        self.previous = Masks::default();
    }
}

impl Gpt2 {
    /// Joins each apostrophe that begins a pretoken with the letters of its contraction, and puts a border
    /// after them.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // The halves of 128 bits.
    fn contract(
        &mut self,
        text: &Text<'_>,
        from: usize,
        mut apostrophes: u64,
        borders: u64,
        letters: u64,
        next_letters: u64,
    ) -> u64 {
        let letters = u128::from(next_letters) << BLOCK | u128::from(letters);
        let (mut made, mut unmade) = (0u128, 0u128);
        while apostrophes != 0 {
            let i = apostrophes.trailing_zeros() as usize;
            apostrophes &= apostrophes - 1;
            let is_letter = |at: usize| letters >> at & 1 != 0;
            let length = match text.buffer[from + i..] {
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

    /// Gives the bytes of characters beyond ASCII their class.
    #[inline(never)]
    fn decode(&mut self, text: &Text<'_>, start: usize, mut bytes: u64, masks: &mut Masks) {
        let (class, spilled) = std::mem::replace(&mut self.spill, (CharClass::Other, 0));
        masks.add(class, low_bits(spilled));
        bytes &= !low_bits(spilled);
        while bytes != 0 {
            let i = bytes.trailing_zeros() as usize;
            let (class, len) = self.classes.first(&text.buffer[start + i..text.end]);
            masks.add(class, low_bits(i + len) & !low_bits(i));
            bytes &= !low_bits(i + len);
            if i + len > BLOCK {
                self.spill = (class, i + len - BLOCK);
            }
            if class == CharClass::Space {
                let next = text.class_at(self.classes, start + i + len);
                masks.forced |= u64::from(next.is_some_and(|next| next != CharClass::Space)) << i;
            }
        }
    }
}

/*!
The borders of the family's patterns ([`Grammar`]) from the masks of each block.

As for GPT-2, most borders are where the class of a character changes. The differences:

- A character that is not a letter, a number or a newline joins the letters after it. Whitespace before letters is
  always free to do so, as `\s+(?!\S)` gave it back. Of other characters only a single one is, without a space before it:
  a longer run is taken as such before the letters are reached.
- A space joins other characters, and letters, but no numbers. Numbers are taken in groups.
- Newlines after other characters belong to them. An addition finds them: it carries a bit from the beginning of a run
  of newlines to its end.
- Whitespace is split after its last newline. So a border after a newline holds unless another newline follows in the
  same run.
- Where words have cases, a word ends between a small letter and a capital, and a contraction belongs to the word before
  it.

Some text cannot be decided so: marks and Han beside other classes, a capital after a letter without case, whitespace
with several newlines and spaces in between. Its places are in the mask `rare`. There the scalar scanner takes over
([`super::escape`]). Every border before a rare place is right without it.
*/

use super::escape::Escape;
use super::masks::{AsciiMasks, BLOCK, low_bits};
use super::scan::{BlockGrammar, Neighbours, Text};
use crate::pretokenize::borders::Borders;
use crate::pretokenize::char_class::{CaseClass, CharClass, CharClasses, Class};
use crate::pretokenize::grammar::{AfterOthers, Contractions, Grammar};
use crate::pretokenize::runs::contraction_end;
use crate::pretokenize::{cased_words, letter_words};

/// A block's bytes by the class of their character. Bytes of special tokens and bytes after the text have no class.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    letters: u64,
    numbers: u64,
    others: u64,
    spaces: u64,
    /// Han, where it is apart from letters.
    han: u64,
    /// Letters that are capitals, and letters without case.
    capitals: u64,
    uncased: u64,
    /// Whitespace of one byte.
    ascii_spaces: u64,
    blanks: u64,
    newlines: u64,
    slashes: u64,
    apostrophes: u64,
    /// The bytes after the first of a character.
    continuations: u64,
    /// Borders that the classes do not show: the beginnings of special tokens, and of whitespace characters longer than
    /// a byte that end their run.
    forced: u64,
    /// Characters whose borders these masks do not decide.
    rare: u64,
}

impl Masks {
    /// The bytes that have a class and are not whitespace.
    #[inline(always)]
    fn text(&self) -> u64 {
        self.letters | self.numbers | self.others | self.han
    }

    #[inline(always)]
    fn small_letters(&self) -> u64 {
        self.letters & !self.capitals & !self.uncased
    }

    /// The whitespace that is no newline.
    #[inline(always)]
    fn gaps(&self) -> u64 {
        self.spaces & !self.newlines
    }
}

/// What a word is, to the scan.
pub(super) trait WordKind {
    type Class: Class;
    /// Whether words have cases, and contractions belong to them.
    const CASED: bool;

    fn classes(grammar: &Grammar) -> &'static CharClasses<Self::Class>;

    /// Gives the bytes of a character a class. `first` is the first of them, unless it lies in the block before.
    fn add(masks: &mut Masks, class: Self::Class, bytes: u64, first: u64);

    fn pretoken_end(
        grammar: &Grammar,
        classes: &CharClasses<Self::Class>,
        text: &[u8],
        start: usize,
    ) -> usize;
}

/// Words that are runs of letters.
pub(super) struct LetterWords;

impl WordKind for LetterWords {
    type Class = CharClass;
    const CASED: bool = false;

    fn classes(grammar: &Grammar) -> &'static CharClasses {
        letter_words::classes(grammar)
    }

    #[inline(always)]
    fn add(masks: &mut Masks, class: CharClass, bytes: u64, _: u64) {
        match class {
            CharClass::Letter => masks.letters |= bytes,
            CharClass::Number => masks.numbers |= bytes,
            CharClass::Other => masks.others |= bytes,
            CharClass::Space => masks.spaces |= bytes,
        }
    }

    fn pretoken_end(grammar: &Grammar, classes: &CharClasses, text: &[u8], start: usize) -> usize {
        letter_words::pretoken_end(grammar, classes, text, start)
    }
}

/// Words with cases.
pub(super) struct CasedWords;

impl WordKind for CasedWords {
    type Class = CaseClass;
    const CASED: bool = true;

    fn classes(grammar: &Grammar) -> &'static CharClasses<CaseClass> {
        cased_words::classes(grammar)
    }

    #[inline(always)]
    fn add(masks: &mut Masks, class: CaseClass, bytes: u64, first: u64) {
        match class {
            CaseClass::Upper => {
                masks.letters |= bytes;
                masks.capitals |= bytes;
            }
            CaseClass::Lower => masks.letters |= bytes,
            CaseClass::Uncased => {
                masks.letters |= bytes;
                masks.uncased |= bytes;
            }
            CaseClass::Mark => {
                masks.others |= bytes;
                masks.rare |= first;
            }
            CaseClass::Number => masks.numbers |= bytes,
            CaseClass::Other => masks.others |= bytes,
            CaseClass::Space => masks.spaces |= bytes,
            CaseClass::HanLetter => masks.han |= bytes,
            CaseClass::HanNumber | CaseClass::HanOther => {
                masks.han |= bytes;
                masks.rare |= first;
            }
        }
    }

    fn pretoken_end(grammar: &Grammar, classes: &CharClasses<CaseClass>, text: &[u8], start: usize) -> usize {
        cased_words::pretoken_end(grammar, classes, text, start)
    }
}

/// What the scan of a family's pattern remembers from block to block.
pub(super) struct Family<W: WordKind> {
    grammar: Grammar,
    classes: &'static CharClasses<W::Class>,
    /// The class of the last character of the block classified last, and how many of its bytes lie in the next.
    spill: (W::Class, usize),
    /// The borders in this block that a contraction in the block before added and removed.
    made: u64,
    unmade: u64,
    /// Where the last contraction ended.
    contracted_end: usize,
    /// Of the block before: single other characters that join letters, newlines that belong to other characters,
    /// whitespace without them, and the beginnings of groups of numbers.
    singles: u64,
    taken: u64,
    spaces: u64,
    groups: u64,
    escape: Escape,
}

/// The bits of a block, each moved to the byte after it.
#[inline(always)]
fn after(current: u64, previous: u64) -> u64 {
    current << 1 | previous >> (BLOCK - 1)
}

impl<W: WordKind> Family<W> {
    pub fn new(grammar: Grammar) -> Self {
        Family {
            grammar,
            classes: W::classes(&grammar),
            spill: (W::Class::OTHER, 0),
            made: 0,
            unmade: 0,
            contracted_end: 0,
            singles: 0,
            taken: 0,
            spaces: 0,
            groups: 0,
            escape: Escape::default(),
        }
    }

    /// Gives the bytes of characters beyond ASCII their class.
    #[inline(never)]
    fn decode(&mut self, text: &Text<'_>, start: usize, mut bytes: u64, masks: &mut Masks) {
        let (class, spilled) = std::mem::replace(&mut self.spill, (W::Class::OTHER, 0));
        W::add(masks, class, low_bits(spilled), 0);
        masks.continuations |= low_bits(spilled);
        bytes &= !low_bits(spilled);
        while bytes != 0 {
            let i = bytes.trailing_zeros() as usize;
            let (class, len) = self.classes.first(&text.buffer[start + i..text.end]);
            W::add(masks, class, low_bits(i + len) & !low_bits(i), 1 << i);
            masks.continuations |= low_bits(i + len) & !low_bits(i + 1);
            bytes &= !low_bits(i + len);
            if i + len > BLOCK {
                self.spill = (class, i + len - BLOCK);
            }
            if class == W::Class::SPACE && text.has_text_at(self.classes, start + i + len) {
                masks.forced |= 1 << i;
            }
        }
    }

    /// The beginnings of groups of numbers.
    #[inline(always)]
    fn number_starts(&self, current: &Masks, previous: &Masks) -> u64 {
        let numbers = current.numbers;
        let run_starts = numbers & !after(numbers, previous.numbers);
        match self.grammar.max_numbers {
            usize::MAX => run_starts,
            1 => numbers & !current.continuations,
            most => {
                let earlier = |distance: usize| numbers << distance | previous.numbers >> (BLOCK - distance);
                let more_than_two = numbers & earlier(1) & earlier(2);
                let long = if most == 2 { more_than_two } else { more_than_two & earlier(3) };
                if long == 0 { run_starts } else { self.group_numbers(most, current, previous) }
            }
        }
    }

    /// As [`Family::number_starts`], number by number.
    #[inline(never)]
    fn group_numbers(&self, most: usize, current: &Masks, previous: &Masks) -> u64 {
        // The numbers of the group that the block before left open.
        let open = if self.groups == 0 { 0 } else { self.groups.ilog2() as usize };
        let in_open = previous.numbers & !previous.continuations & !low_bits(open);
        let mut in_group = in_open.count_ones() as usize % most;
        let run_starts = current.numbers & !after(current.numbers, previous.numbers);
        let mut numbers = current.numbers & !current.continuations;
        let mut starts = 0;
        while numbers != 0 {
            let number = numbers & numbers.wrapping_neg();
            numbers &= numbers - 1;
            if run_starts & number != 0 {
                in_group = 0;
            }
            if in_group == 0 {
                starts |= number;
            }
            in_group = (in_group + 1) % most;
        }
        starts
    }

    /// The borders after newlines that do not hold, or may not: another newline follows in the same run of whitespace,
    /// or the text ends.
    #[inline(always)]
    fn doubtful_after_newlines(&self, after_newlines: u64, current: &Masks, next: &Masks) -> u64 {
        let gaps = current.gaps();
        let (sum, reaches_next) = gaps.overflowing_add(after_newlines);
        let ends = sum & !gaps;
        let mut is_doubtful = ends & current.newlines != 0 || reaches_next && next.spaces & 1 != 0;
        if self.grammar.keeps_last_whitespace {
            is_doubtful |= ends & !(current.text() | current.spaces) != 0;
            is_doubtful |= reaches_next && next.text() & 1 == 0;
        }
        if is_doubtful { after_newlines } else { 0 }
    }

    /// Changes borders around the apostrophes that begin a contraction. Words with cases take it; elsewhere it is a
    /// pretoken.
    #[inline(never)]
    #[allow(clippy::cast_possible_truncation)] // The halves of 128 bits.
    fn contract(
        &mut self,
        text: &Text<'_>,
        start: usize,
        mut apostrophes: u64,
        borders: u64,
        letters: u128,
    ) -> u64 {
        let (mut made, mut unmade) = (0u128, 0u128);
        let bits = |first: usize, end: usize| (1u128 << end) - (1 << first);
        while apostrophes != 0 {
            let i = apostrophes.trailing_zeros() as usize;
            apostrophes &= apostrophes - 1;
            let end = contraction_end(self.grammar.contractions, &text.buffer[..text.end], start + i);
            let Some(end) = end.map(|end| end - start) else { continue };
            let inside = bits(i + 1, end);
            if letters & inside != inside || W::CASED && self.contracted_end == start + i {
                continue;
            }
            made |= (letters >> end & 1) << end;
            if W::CASED {
                unmade |= bits(i, end);
                self.contracted_end = start + end;
            }
        }
        let halves = |bits: u128| (bits as u64, (bits >> BLOCK) as u64);
        let ((made, next_made), (unmade, next_unmade)) = (halves(made), halves(unmade));
        (self.made, self.unmade) = (next_made, next_unmade);
        borders & !unmade | made
    }
}

impl<W: WordKind> BlockGrammar for Family<W> {
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
            capitals: if W::CASED { ascii.capitals & keep } else { 0 },
            ascii_spaces: ascii.whitespace & keep,
            blanks: ascii.blanks & keep,
            newlines: ascii.newlines & keep,
            slashes: ascii.slashes & keep,
            apostrophes: ascii.apostrophes & keep,
            forced,
            ..Masks::default()
        };
        if ascii.beyond_ascii & keep != 0 {
            self.decode(text, start, ascii.beyond_ascii & keep, &mut masks);
        }
        masks
    }

    #[inline(always)]
    fn borders(
        &mut self,
        text: &Text<'_>,
        start: usize,
        masks: Neighbours<'_, Masks>,
        found: &Borders,
    ) -> u64 {
        let Neighbours { previous, current, next } = masks;
        let mut rare = current.rare;

        let other_starts = current.others
            & !after(current.others, previous.others)
            & !after(current.blanks, previous.blanks);
        let mut singles = other_starts;
        let longer = current.others & current.continuations;
        if longer != 0 {
            for _ in 0..3 {
                singles |= after(singles, self.singles) & longer;
            }
        }
        let letter_starts = current.letters
            & !after(current.letters, previous.letters)
            & !after(current.gaps(), previous.gaps())
            & !after(singles, self.singles);
        let number_starts = self.number_starts(current, previous);

        let first_taken =
            current.newlines & (after(current.others, previous.others) | self.taken >> (BLOCK - 1));
        let taken = current.newlines & !current.newlines.wrapping_add(first_taken);
        let spaces = current.spaces & !taken;
        let space_starts = spaces & !after(spaces, self.spaces);
        let after_newlines = current.gaps() & after(current.newlines, previous.newlines);
        if after_newlines != 0 {
            rare |= self.doubtful_after_newlines(after_newlines, current, next);
        }
        let text_follows = current.text() >> 1 | next.text() << (BLOCK - 1);
        let given_back = current.ascii_spaces & !current.newlines & text_follows;

        let mut borders = other_starts
            | letter_starts
            | number_starts
            | space_starts
            | after_newlines
            | given_back
            | current.forced;
        if self.grammar.after_others == AfterOthers::NewlinesAndSlashes {
            // The newlines of the block before count even if the slash is its neighbour.
            rare |= current.slashes & after(taken, self.taken);
        }
        if W::CASED {
            let capitals = current.capitals & !current.continuations;
            borders |= capitals & after(current.small_letters(), previous.small_letters());
            borders |= current.han & !after(current.han, previous.han);
            rare |= capitals & after(current.uncased, previous.uncased);
        }
        (self.singles, self.taken, self.spaces, self.groups) = (singles, taken, spaces, number_starts);

        borders = borders & !self.unmade | self.made;
        (self.made, self.unmade) = (0, 0);
        let words = if W::CASED { after(current.letters, previous.letters) } else { other_starts };
        let apostrophes = current.apostrophes & words;
        if apostrophes != 0 && self.grammar.contractions != Contractions::None {
            let letters = u128::from(next.letters) << BLOCK | u128::from(current.letters);
            borders = self.contract(text, start, apostrophes, borders, letters);
        }
        if rare != 0 || self.escape.is_open() {
            let pretoken_end = |text: &[u8], start| W::pretoken_end(&self.grammar, self.classes, text, start);
            borders = self.escape.decide(text, start, borders, rare, found.last(), pretoken_end);
        }
        borders
    }
}

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
- Where numbers and Han are split off first, as for DeepSeek, whitespace before them keeps its last character. Only a
  single sign of ASCII joins letters, and only those of ASCII. An addition finds where they end.

Some text cannot be decided so: marks and Han beside other classes, a capital after a letter without case, whitespace
with several newlines and spaces in between, and for DeepSeek control characters and symbols among kana. Its places are
in the mask `rare`. There the scalar scanner takes over ([`super::escape`]). Every border before a rare place is right
without it.

Few blocks have characters beyond ASCII. What only these need is in [`WideMasks`], and most blocks never read it.
A block without such characters leaves the last one's there, so `beyond_ascii` is asked first.
*/

use super::escape::Escape;
use super::masks::{AsciiMasks, BLOCK, low_bits};
use super::pairs::{ClassPairs, FamilyRules, PairRules, PairTables, class};
use super::scan::{BlockGrammar, Neighbours, Text};
use crate::pretokenize::borders::Borders;
use crate::pretokenize::char_class::{CaseClass, CharClass, CharClasses, Class, SplitClass};
use crate::pretokenize::grammar::{AfterOthers, Contractions, Grammar};
use crate::pretokenize::runs::contraction_end;
use crate::pretokenize::{cased_words, deepseek, letter_words};

/// A block's bytes by the class of their character. Bytes of special tokens and bytes after the text have no class.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    letters: u64,
    numbers: u64,
    others: u64,
    spaces: u64,
    /// What whitespace before it gives back its last character to: all that is not whitespace, and in a split of
    /// several no numbers and no Han.
    text: u64,
    blanks: u64,
    newlines: u64,
    /// Letters that are capitals.
    capitals: u64,
    slashes: u64,
    apostrophes: u64,
    /// Control characters, where they are apart from other characters.
    controls: u64,
    beyond_ascii: u64,
    /// Borders that the classes do not show: the beginnings of special tokens, and of whitespace characters longer than
    /// a byte that end their run.
    forced: u64,
}

impl Masks {
    #[inline(always)]
    fn whitespace(&self) -> Whitespace {
        Whitespace { spaces: self.spaces, newlines: self.newlines, text: self.text }
    }
}

/// A block's whitespace, its newlines, and what is not whitespace.
#[derive(Clone, Copy)]
struct Whitespace {
    spaces: u64,
    newlines: u64,
    text: u64,
}

/// The bytes of a block that are beyond ASCII by the class of their character, and what only these characters need.
#[derive(Clone, Copy, Default)]
pub(super) struct WideMasks {
    letters: u64,
    numbers: u64,
    others: u64,
    spaces: u64,
    capitals: u64,
    /// Han, where it is apart from letters.
    han: u64,
    /// Letters without case.
    uncased: u64,
    /// The bytes after the first of a character.
    continuations: u64,
    /// The beginnings of whitespace characters that end their run.
    forced: u64,
    /// Characters whose borders these masks do not decide.
    rare: u64,
}

/// What a word is, to the scan.
pub(super) trait WordKind {
    type Class: Class;
    /// Whether words have cases, and contractions belong to them.
    const CASED: bool;
    /// Whether numbers and Han are split off first, and only a sign of ASCII joins letters, those of ASCII.
    const SPLIT: bool;

    fn classes(grammar: &Grammar) -> &'static CharClasses<Self::Class>;

    /// Whether whitespace before a character of a class gives back its last character.
    fn is_text(class: Self::Class) -> bool {
        class != Self::Class::SPACE
    }

    /// Gives the bytes of a character a class. `first` is the first of them, unless it lies in the block before.
    fn add(masks: &mut WideMasks, class: Self::Class, bytes: u64, first: u64);

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
    const SPLIT: bool = false;

    fn classes(grammar: &Grammar) -> &'static CharClasses {
        letter_words::classes(grammar)
    }

    #[inline(always)]
    fn add(masks: &mut WideMasks, class: CharClass, bytes: u64, _: u64) {
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
    const SPLIT: bool = false;

    fn classes(grammar: &Grammar) -> &'static CharClasses<CaseClass> {
        cased_words::classes(grammar)
    }

    #[inline(always)]
    fn add(masks: &mut WideMasks, class: CaseClass, bytes: u64, first: u64) {
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

/// DeepSeek's words, between what is split off before.
pub(super) struct SplitWords;

impl WordKind for SplitWords {
    type Class = SplitClass;
    const CASED: bool = false;
    const SPLIT: bool = true;

    fn classes(_: &Grammar) -> &'static CharClasses<SplitClass> {
        CharClasses::of_splits()
    }

    fn is_text(class: SplitClass) -> bool {
        matches!(class, SplitClass::Letter | SplitClass::Symbol | SplitClass::Other)
    }

    #[inline(always)]
    fn add(masks: &mut WideMasks, class: SplitClass, bytes: u64, first: u64) {
        match class {
            SplitClass::Letter => masks.letters |= bytes,
            SplitClass::Symbol => masks.others |= bytes,
            SplitClass::Number => masks.numbers |= bytes,
            SplitClass::Space => masks.spaces |= bytes,
            SplitClass::Other => {
                masks.others |= bytes;
                masks.rare |= first;
            }
            SplitClass::CjkLetter => masks.han |= bytes,
            SplitClass::CjkSymbol | SplitClass::CjkOther => {
                masks.han |= bytes;
                masks.rare |= first;
            }
        }
    }

    fn pretoken_end(_: &Grammar, classes: &CharClasses<SplitClass>, text: &[u8], start: usize) -> usize {
        deepseek::pretoken_end(classes, text, start)
    }
}

/// What the scan of a family's pattern remembers from block to block.
pub(super) struct Family<W: WordKind> {
    grammar: Grammar,
    classes: &'static CharClasses<W::Class>,
    /// The class of the last character of the block classified last, and how many of its bytes lie in the next.
    spill: (W::Class, usize),
    /// The further masks of two neighbouring blocks, of which either may be without.
    wide: [WideMasks; 2],
    before: Before,
    /// The borders in this block that a contraction in the block before added and removed.
    made: u64,
    unmade: u64,
    /// Where the last contraction ended.
    contracted_end: usize,
    escape: Escape,
}

/// Masks of the block before.
#[derive(Default)]
struct Before {
    /// What other characters after it belong to: others and blanks.
    joins_others: u64,
    /// What letters after it belong to: letters, whitespace without newlines, and single other characters.
    joins_letters: u64,
    singles: u64,
    numbers: u64,
    /// Numbers after numbers, and the beginnings of groups of numbers, where groups have a limit above one.
    inside_numbers: u64,
    groups: u64,
    /// What newlines after it belong to: other characters, and newlines that belong to them.
    takes_newlines: u64,
    taken: u64,
    /// Whitespace without the newlines taken.
    spaces: u64,
    newlines: u64,
    /// Where words have cases, or are split.
    letters: u64,
    /// Where words have cases.
    small_letters: u64,
    beyond_ascii: u64,
    /// Zero if no byte is beyond ASCII.
    han: u64,
    uncased: u64,
    continuations: u64,
}

/// The bits of a block, each moved to the byte after it.
#[inline(always)]
fn after(current: u64, before: u64) -> u64 {
    moved(1, current, before)
}

/// The bits of a block, each moved by a number of bytes.
#[inline(always)]
fn moved(distance: usize, current: u64, before: u64) -> u64 {
    current << distance | before >> (BLOCK - distance)
}

impl<W: WordKind> Family<W> {
    pub fn new(grammar: Grammar) -> Self {
        Family {
            grammar,
            classes: W::classes(&grammar),
            spill: (W::Class::OTHER, 0),
            wide: Default::default(),
            before: Before::default(),
            made: 0,
            unmade: 0,
            contracted_end: 0,
            escape: Escape::default(),
        }
    }

    /// Makes the masks of the characters beyond ASCII.
    #[inline(never)]
    fn decode(&mut self, text: &Text<'_>, start: usize, mut bytes: u64) {
        let classes = self.classes;
        let masks = &mut self.wide[place(start)];
        let (class, spilled) = std::mem::replace(&mut self.spill, (W::Class::OTHER, 0));
        *masks = WideMasks { continuations: low_bits(spilled), ..WideMasks::default() };
        W::add(masks, class, low_bits(spilled), 0);
        bytes &= !low_bits(spilled);
        while bytes != 0 {
            let i = bytes.trailing_zeros() as usize;
            let (class, len) = classes.first(&text.buffer[start + i..text.end]);
            W::add(masks, class, low_bits(i + len) & !low_bits(i), 1 << i);
            masks.continuations |= low_bits(i + len) & !low_bits(i + 1);
            bytes &= !low_bits(i + len);
            if i + len > BLOCK {
                self.spill = (class, i + len - BLOCK);
            }
            if class == W::Class::SPACE && text.class_at(classes, start + i + len).is_some_and(W::is_text) {
                masks.forced |= 1 << i;
            }
        }
    }

    /// The beginnings of groups of numbers.
    #[inline(always)]
    fn number_starts(&mut self, numbers: u64, continuations: Option<u64>) -> u64 {
        let (most, before) = (self.grammar.max_numbers, &self.before);
        if most == 1 {
            return numbers & !continuations.unwrap_or(0);
        }
        let run_starts = numbers & !after(numbers, before.numbers);
        if most == usize::MAX {
            return run_starts;
        }
        let inside = numbers & !run_starts;
        let groups = if most == 3 && continuations.is_none() {
            // A number that three others precede begins a group if the first of these does.
            let fourth = inside & moved(2, inside, before.inside_numbers);
            let mut starts = run_starts | moved(3, run_starts, before.groups) & fourth;
            loop {
                let more = starts << 3 & fourth & !starts;
                if more == 0 {
                    break starts;
                }
                starts |= more;
            }
        } else if inside == 0 {
            run_starts
        } else {
            self.group_numbers(run_starts, numbers, continuations.unwrap_or(0))
        };
        (self.before.inside_numbers, self.before.groups) = (inside, groups);
        groups
    }

    /// As [`Family::number_starts`], number by number.
    #[inline(never)]
    fn group_numbers(&self, run_starts: u64, numbers: u64, continuations: u64) -> u64 {
        let (most, before) = (self.grammar.max_numbers, &self.before);
        // The numbers of the group that the block before left open.
        let open = if before.groups == 0 { 0 } else { before.groups.ilog2() as usize };
        let in_open = before.numbers & !before.continuations & !low_bits(open);
        let mut in_group = in_open.count_ones() as usize % most;
        let mut numbers = numbers & !continuations;
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

    /// Whether borders after newlines do not hold, or may not: another newline follows in the same run of whitespace,
    /// or the text ends.
    #[inline(never)]
    fn is_doubtful(&self, after_newlines: u64, current: Whitespace, next: Whitespace) -> bool {
        let gaps = current.spaces & !current.newlines;
        let (sum, reaches_next) = gaps.overflowing_add(after_newlines);
        let ends = sum & !gaps;
        let mut is_doubtful = ends & current.newlines != 0 || reaches_next && next.spaces & 1 != 0;
        if self.grammar.keeps_last_whitespace {
            is_doubtful |= ends & !(current.text | current.spaces) != 0;
            is_doubtful |= reaches_next && next.text & 1 == 0;
        }
        is_doubtful
    }

    /// What characters beyond ASCII change: the single other characters, further borders, and places that these masks do
    /// not decide.
    #[inline(never)]
    fn widen(&self, start: usize, others: u64, capitals: u64, singles: u64) -> Widened {
        let (before, wide) = (&self.before, &self.wide[place(start)]);
        let mut widened = Widened { singles, borders: 0, rare: wide.rare };
        let longer = others & wide.continuations;
        for _ in 0..3 {
            widened.singles |= after(widened.singles, before.singles) & longer;
        }
        widened.borders |= wide.han & !after(wide.han, before.han);
        widened.rare |= capitals & after(wide.uncased, before.uncased);
        widened
    }

    /// The same for words between splits. A sign and the letters of ASCII after it are a pretoken, so a letter beyond
    /// ASCII after them begins the next one.
    #[inline(never)]
    fn widen_split(
        &self,
        text: &Text<'_>,
        start: usize,
        letters: u64,
        singles: u64,
        found: &Borders,
    ) -> Widened {
        let (before, wide) = (&self.before, &self.wide[place(start)]);
        let singles = singles & !wide.others;
        let after_signs = after(singles, before.singles);
        let ascii_letters = letters & !wide.letters;
        // The last border is where the word began that the block before left open.
        let last = &text.buffer[found.last()..];
        let is_open = before.letters >> (BLOCK - 1) != 0
            && text.buffer[start - 1].is_ascii()
            && last[0].is_ascii_punctuation();
        let open = u64::from(is_open);
        let sum = ascii_letters.wrapping_add(ascii_letters & (after_signs | open));
        let ends = sum & !ascii_letters | after_signs | open;
        Widened {
            singles,
            borders: wide.letters & !wide.continuations & ends | wide.han & !after(wide.han, before.han),
            rare: wide.rare,
        }
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
        let (mut made, mut unmade) = (u128::from(self.made), u128::from(self.unmade));
        while apostrophes != 0 {
            let i = apostrophes.trailing_zeros() as usize;
            apostrophes &= apostrophes - 1;
            let end = contraction_end(self.grammar.contractions, &text.buffer[..text.end], start + i);
            let Some(len) = end.map(|end| end - (start + i)) else { continue };
            let after_apostrophe = (letters >> (i + 1)) as u64;
            let inside = low_bits(len - 1);
            if after_apostrophe & inside != inside || W::CASED && self.contracted_end == start + i {
                continue;
            }
            if after_apostrophe & (inside + 1) != 0 {
                made |= 1 << (i + len);
            }
            if W::CASED {
                unmade |= u128::from(low_bits(len)) << i;
                self.contracted_end = start + i + len;
            }
        }
        let halves = |bits: u128| (bits as u64, (bits >> BLOCK) as u64);
        let ((made, next_made), (unmade, next_unmade)) = (halves(made), halves(unmade));
        (self.made, self.unmade) = (next_made, next_unmade);
        borders & !unmade | made
    }
}

/// See [`Family::widen`].
struct Widened {
    singles: u64,
    borders: u64,
    rare: u64,
}

/// The tables of pairs, by whether words have cases, and by whether numbers stand alone or join each other.
static PAIRS: [[PairTables; 2]; 2] =
    [[pairs(false, 0), pairs(false, class::NUMBER)], [pairs(true, 0), pairs(true, class::NUMBER)]];

const fn pairs(is_cased: bool, numbers_join: u8) -> PairTables {
    let before_letters = class::CAPITAL | class::GAP | class::OTHER;
    PairTables::new(&ClassPairs {
        joins: [
            before_letters | class::SMALL,
            if is_cased { before_letters } else { before_letters | class::SMALL },
            numbers_join,
            class::OTHER | class::BLANK,
            class::GAP,
            class::GAP | class::NEWLINE | class::OTHER,
        ],
        gives_back: [class::TEXT, 0],
    })
}

/// The tables of words between splits: whitespace before numbers is whole, and control characters are rare.
static SPLIT_PAIRS: PairTables = {
    let mut tables = pairs(false, class::NUMBER);
    let mut byte = 0u8;
    while byte < 128 {
        tables.gives_back[byte as usize] &= !class::NUMBER;
        if byte.is_ascii_control() && class::of(byte) == class::OTHER {
            tables.leave(&[byte]);
        }
        byte += 1;
    }
    tables
};

/// Where the further masks of the block at `start` are.
#[inline(always)]
fn place(start: usize) -> usize {
    start / BLOCK % 2
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
        let not_space = keep & !ascii.whitespace;
        let mut masks = Masks {
            letters: ascii.letters & keep,
            numbers: ascii.digits & keep,
            others: not_space & !(ascii.letters | ascii.digits | ascii.beyond_ascii),
            spaces: ascii.whitespace & keep,
            text: if W::SPLIT { not_space & !ascii.digits } else { not_space },
            blanks: ascii.blanks & keep,
            newlines: ascii.newlines & keep,
            capitals: if W::CASED { ascii.capitals & keep } else { 0 },
            slashes: ascii.slashes & keep,
            apostrophes: ascii.apostrophes & keep,
            controls: if W::SPLIT { ascii.controls & not_space } else { 0 },
            beyond_ascii: ascii.beyond_ascii & keep,
            forced,
        };
        if masks.beyond_ascii != 0 {
            // Not `&mut masks`: masks whose address is taken are copied as vectors, which wait for the stores of their
            // parts. That took a third of the time.
            self.decode(text, start, masks.beyond_ascii);
            let wide = &self.wide[place(start)];
            masks.letters |= wide.letters;
            masks.numbers |= wide.numbers;
            masks.others |= wide.others;
            masks.spaces |= wide.spaces;
            masks.text &= !wide.spaces;
            if W::SPLIT {
                masks.text &= !(wide.numbers | wide.han);
            }
            masks.capitals |= wide.capitals;
            masks.forced |= wide.forced;
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
        let Neighbours { current, next } = masks;
        let (mut borders, mut rare) = (current.forced, current.controls);

        let joins_others = current.others | current.blanks;
        let other_starts = current.others & !after(joins_others, self.before.joins_others);
        let mut singles = other_starts;
        let number_starts;
        if current.beyond_ascii != 0 {
            let widened = if W::SPLIT {
                self.widen_split(text, start, current.letters, singles, found)
            } else {
                self.widen(start, current.others, current.capitals, singles)
            };
            singles = widened.singles;
            borders |= widened.borders;
            rare |= widened.rare;
            let WideMasks { han, uncased, continuations, .. } = self.wide[place(start)];
            number_starts = self.number_starts(current.numbers, Some(continuations));
            self.before.han = han;
            self.before.uncased = uncased;
            self.before.continuations = continuations;
        } else if self.before.beyond_ascii != 0 {
            rare |= current.capitals & after(0, self.before.uncased);
            number_starts = self.number_starts(current.numbers, Some(0));
            self.before.han = 0;
            self.before.uncased = 0;
            self.before.continuations = 0;
        } else {
            number_starts = self.number_starts(current.numbers, None);
        }
        let gaps = current.spaces & !current.newlines;
        let joins_letters = current.letters | gaps | singles;
        let letter_starts = current.letters & !after(joins_letters, self.before.joins_letters);

        let first_taken = current.newlines & after(current.others, self.before.takes_newlines);
        let taken = current.newlines & !current.newlines.wrapping_add(first_taken);
        let spaces = current.spaces & !taken;
        let space_starts = spaces & !after(spaces, self.before.spaces);
        let after_newlines = gaps & after(current.newlines, self.before.newlines);
        if after_newlines != 0 && self.is_doubtful(after_newlines, current.whitespace(), next.whitespace()) {
            rare |= after_newlines;
        }
        let text_follows = current.text >> 1 | next.text << (BLOCK - 1);
        let given_back = gaps & !current.beyond_ascii & text_follows;

        borders |= other_starts | letter_starts | number_starts | space_starts | after_newlines | given_back;
        if self.grammar.after_others == AfterOthers::NewlinesAndSlashes {
            // The newlines of the block before count even if the slash is its neighbour.
            rare |= current.slashes & after(taken, self.before.taken);
            self.before.taken = taken;
        }
        if W::CASED {
            let small_letters = current.letters & !current.capitals;
            borders |= current.capitals & after(small_letters, self.before.small_letters);
            self.before.small_letters = small_letters;
        }
        self.before.joins_others = joins_others;
        self.before.joins_letters = joins_letters;
        self.before.singles = singles;
        self.before.numbers = current.numbers;
        self.before.takes_newlines = current.others | taken;
        self.before.spaces = spaces;
        self.before.newlines = current.newlines;
        self.before.beyond_ascii = current.beyond_ascii;

        let mut apostrophes = current.apostrophes & other_starts;
        if apostrophes | self.made | self.unmade != 0 && self.grammar.contractions != Contractions::None {
            if W::CASED {
                apostrophes &= after(current.letters, self.before.letters);
            }
            let letters = u128::from(next.letters) << BLOCK | u128::from(current.letters);
            borders = self.contract(text, start, apostrophes, borders, letters);
        }
        if W::CASED || W::SPLIT {
            self.before.letters = current.letters;
        }
        if rare != 0 || self.escape.is_open() {
            let pretoken_end = |text: &[u8], start| W::pretoken_end(&self.grammar, self.classes, text, start);
            borders = self.escape.decide(text, start, borders, rare, found.last(), pretoken_end);
        }
        borders
    }

    fn pair_rules(&self) -> Option<PairRules> {
        let Grammar { max_numbers, contractions, after_others, .. } = self.grammar;
        let tables =
            if W::SPLIT { &SPLIT_PAIRS } else { &PAIRS[usize::from(W::CASED)][usize::from(max_numbers > 1)] };
        let family = FamilyRules {
            has_threes: max_numbers == 3,
            has_slashes: after_others == AfterOthers::NewlinesAndSlashes,
            joins_punctuation: !W::SPLIT,
        };
        matches!(max_numbers, 1 | 3 | usize::MAX)
            .then(|| PairRules::new(tables, contractions, W::CASED, Some(family)))
    }

    fn is_settled(&self) -> bool {
        self.made | self.unmade == 0 && !self.escape.is_open()
    }

    fn forget(&mut self) {
        self.before = Before::default();
    }
}

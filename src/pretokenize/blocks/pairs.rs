/*!
Borders of a block of ASCII from pairs of neighbours.

Why not masks of classes for every block? Most blocks of most texts are ASCII and touch no special token. There a border
depends on two pairs only: a byte and the one before it, which it may join, and a byte and the one after it, before which
whitespace gives its last character back. Three tables of 128 bytes know this of all pairs. Four lookups and two tests
tell the borders of 64 bytes at once, where the masks take some hundred steps and carry their last bits from block to
block. Measured gain: benches/record/7-limit-of-the-chip.md.

The family's patterns look one byte further back, as only a single sign joins the letters after it, and count the numbers
in a group. What depends on more is left to the masks: a run of numbers across the border of two blocks, a slash after a
newline, newlines with spaces in between.

Of the characters beyond ASCII, the dashes, quotation marks and dots of common text are three bytes of class other.

Other blocks go by masks ([`super::scan`]), and so do all where the machine has no such lookups.
*/

use super::masks::{BLOCK, Classify};
use crate::pretokenize::borders::Borders;
use crate::pretokenize::grammar::Contractions;
use std::ops::Range;

/// A block, the two bytes before it and the byte after it.
pub(super) type Around = [u8; BLOCK + 3];

/// The classes of ASCII bytes, a bit each.
pub(super) mod class {
    pub const SMALL: u8 = 1;
    pub const CAPITAL: u8 = 1 << 1;
    pub const NUMBER: u8 = 1 << 2;
    pub const OTHER: u8 = 1 << 3;
    /// The space.
    pub const BLANK: u8 = 1 << 4;
    /// `\t`, `\v` and `\f`.
    pub const TAB: u8 = 1 << 5;
    /// `\n` and `\r`.
    pub const NEWLINE: u8 = 1 << 6;
    /// The bit of a byte, and of a class, for which pairs do not tell the borders.
    pub const NOT_BY_PAIRS: u8 = 1 << 7;

    pub const LETTER: u8 = SMALL | CAPITAL;
    pub const TEXT: u8 = LETTER | NUMBER | OTHER;
    pub const GAP: u8 = BLANK | TAB;

    /// The class of an ASCII byte.
    pub const fn of(byte: u8) -> u8 {
        match byte {
            b'a'..=b'z' => SMALL,
            b'A'..=b'Z' => CAPITAL,
            b'0'..=b'9' => NUMBER,
            b' ' => BLANK,
            b'\n' | b'\r' => NEWLINE,
            b'\t'..=b'\r' => TAB,
            _ => OTHER,
        }
    }
}

/// What two classes beside each other mean.
pub(super) struct ClassPairs {
    /// The classes before them that small letters, capitals, numbers, other characters, gaps and newlines join.
    pub joins: [u8; 6],
    /// The classes after them before which gaps and newlines give their last character back.
    pub gives_back: [u8; 2],
}

/// What two ASCII bytes beside each other mean. A table has a byte for each ASCII byte.
#[derive(Clone, Copy)]
pub(super) struct PairTables {
    /// The class of a byte.
    pub class: [u8; 128],
    /// The classes before it that a byte joins.
    pub joins: [u8; 128],
    /// The classes after it before which whitespace gives the byte back, so that it begins a pretoken.
    pub gives_back: [u8; 128],
}

impl PairTables {
    pub const fn new(pairs: &ClassPairs) -> PairTables {
        let mut tables = PairTables { class: [0; 128], joins: [0; 128], gives_back: [0; 128] };
        let mut byte = 0;
        while byte < 128 {
            let class = class::of(byte);
            let (joins, gives_back) = match class {
                class::SMALL => (pairs.joins[0], 0),
                class::CAPITAL => (pairs.joins[1], 0),
                class::NUMBER => (pairs.joins[2], 0),
                class::OTHER => (pairs.joins[3], 0),
                class::NEWLINE => (pairs.joins[5], pairs.gives_back[1]),
                _ => (pairs.joins[4], pairs.gives_back[0]),
            };
            tables.class[byte as usize] = class;
            tables.joins[byte as usize] = joins;
            tables.gives_back[byte as usize] = gives_back;
            byte += 1;
        }
        tables
    }

    /// Leaves the blocks with these bytes to the masks, if they are ASCII.
    pub const fn leave(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            if bytes[i].is_ascii() {
                self.class[bytes[i] as usize] |= class::NOT_BY_PAIRS;
            }
            i += 1;
        }
    }
}

/// What the pairs of a pattern mean.
#[derive(Clone, Copy)]
pub(super) struct PairRules {
    pub tables: PairTables,
    /// Whether blocks may have punctuation beyond ASCII.
    pub has_punctuation: bool,
    pub contractions: Option<PairContractions>,
    /// Beyond GPT-2's rules.
    pub family: Option<FamilyRules>,
}

/// The contractions of a pattern.
#[derive(Clone, Copy)]
pub(super) struct PairContractions {
    /// The classes before its apostrophe.
    pub after: u8,
    /// Whether the word before takes it.
    pub joins_word: bool,
    /// The bit that makes capitals small, if they may be in it.
    pub fold: u8,
}

/// The bytes with which the punctuation beyond ASCII begins.
pub(super) const PUNCTUATION: [u8; 2] = [0xE2, 0x80];

impl PairRules {
    /// Rules of a pattern with these contractions. `joins_word` says whether the word before takes them.
    pub fn new(
        tables: &PairTables,
        contractions: Contractions,
        joins_word: bool,
        family: Option<FamilyRules>,
    ) -> Self {
        let fold = match contractions {
            Contractions::None => None,
            Contractions::Small => Some(0),
            Contractions::Ascii | Contractions::AnyCase => Some(0x20),
        };
        let after = if joins_word { class::LETTER } else { u8::MAX };
        let contractions = fold.map(|fold| PairContractions { after, joins_word, fold });
        PairRules { tables: *tables, has_punctuation: true, contractions, family }
    }

    /// Leaves the blocks with these bytes to the masks.
    pub fn leave(&mut self, bytes: &[u8]) {
        self.tables.leave(bytes);
        self.has_punctuation &= !bytes.contains(&PUNCTUATION[0]);
    }
}

/// The rules of the family. Letters join a single other character, but no longer run of them.
#[derive(Clone, Copy, Default)]
pub(super) struct FamilyRules {
    /// Whether numbers are grouped in threes. Otherwise the tables tell all.
    pub has_threes: bool,
    /// Whether slashes may follow the newlines that follow other characters.
    pub has_slashes: bool,
    /// Whether letters join punctuation beyond ASCII, too.
    pub joins_punctuation: bool,
}

/// What an instruction set with lookups in tables of 128 bytes provides.
pub(super) trait Pairs: Classify {
    /// Adds the borders of the blocks in a range of a buffer to `borders`, up to a block that pairs do not decide. Returns
    /// where that block begins. The range begins behind the buffer's second byte.
    fn run(self, buffer: &[u8], range: Range<usize>, rules: &PairRules, borders: &mut Borders) -> usize;
}

/*!
The class of a character: letter, number, whitespace or other. For some patterns also the case of a letter, marks,
symbols, and Han.

Why not a generated table in the source? It would be a second copy of Unicode, which could differ from the
regex engine's in the next release. Instead the classes are read from `regex-syntax`, the tables with which
`fancy-regex` matches, once in a process and in two milliseconds. So the scanner and its oracle cannot
disagree about a code point.

Why not `char::is_alphabetic`? Rust's `Alphabetic` is a different property from `\p{L}`, and its Unicode
version is that of the compiler.

A byte that does not decode is one character of class other. It is never an error and never lost.

Why several tables instead of one with the finest classes? Most runs would then be runs of several classes, which
takes one more step a character. A table takes 30 kB, and only the table that a pattern needs is built.
*/

use regex_syntax::hir::{self, HirKind};
use std::sync::OnceLock;

/// The class of a character, in one of the tables.
pub trait Class: Copy + PartialEq + 'static {
    /// Every character that no property names, and every byte that does not decode.
    const OTHER: Self;
    /// `\s`
    const SPACE: Self;
}

/// Patterns of one character and their classes. Where two of them match a character, the last one counts.
type Properties<C> = [(&'static str, C)];

/// The classes of the patterns in which a word is a run of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CharClass {
    /// None of the other classes, and every byte that does not decode.
    Other,
    /// `\p{L}`; for some patterns `[\p{L}\p{M}]`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
}
use CharClass::{Letter, Number, Other, Space};

impl Class for CharClass {
    const OTHER: Self = Other;
    const SPACE: Self = Space;
}

const LETTERS: &Properties<CharClass> = &[(r"\p{L}", Letter), (r"\p{N}", Number), (r"\s", Space)];
const LETTERS_AND_MARKS: &Properties<CharClass> =
    &[(r"[\p{L}\p{M}]", Letter), (r"\p{N}", Number), (r"\s", Space)];

/// The classes of the patterns in which a word depends on upper and lower case. Those of Han exist in a table
/// of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CaseClass {
    /// None of the other classes, and every byte that does not decode.
    Other,
    /// `[\p{Lu}\p{Lt}]`
    Upper,
    /// `\p{Ll}`
    Lower,
    /// `[\p{Lm}\p{Lo}]`
    Uncased,
    /// `\p{M}`
    Mark,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[\p{Han}&&\p{L}]`
    HanLetter,
    /// `[\p{Han}&&\p{N}]`
    HanNumber,
    /// The rest of `\p{Han}`: radicals, and a few marks.
    HanOther,
}

impl Class for CaseClass {
    const OTHER: Self = CaseClass::Other;
    const SPACE: Self = CaseClass::Space;
}

const CASES: &Properties<CaseClass> = &[
    (r"[\p{Lu}\p{Lt}]", CaseClass::Upper),
    (r"\p{Ll}", CaseClass::Lower),
    (r"[\p{Lm}\p{Lo}]", CaseClass::Uncased),
    (r"\p{M}", CaseClass::Mark),
    (r"\p{N}", CaseClass::Number),
    (r"\s", CaseClass::Space),
];
const HAN: &Properties<CaseClass> = &[
    (r"\p{Han}", CaseClass::HanOther),
    (r"[\p{Han}&&\p{L}]", CaseClass::HanLetter),
    (r"[\p{Han}&&\p{N}]", CaseClass::HanNumber),
];

/// The classes of DeepSeek's three splits. The second of them takes runs of Han and kana out of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SplitClass {
    /// None of the other classes, and every byte that does not decode.
    Other,
    /// `[\p{L}\p{M}]`
    Letter,
    /// `[\p{P}\p{S}]`
    Symbol,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `[\p{L}\p{M}]` in the second split.
    CjkLetter,
    /// `[\p{P}\p{S}]` in the second split.
    CjkSymbol,
    /// The rest of the second split.
    CjkOther,
}

impl Class for SplitClass {
    const OTHER: Self = SplitClass::Other;
    const SPACE: Self = SplitClass::Space;
}

const SPLITS: &Properties<SplitClass> = &[
    (r"[\p{L}\p{M}]", SplitClass::Letter),
    (r"[\p{P}\p{S}]", SplitClass::Symbol),
    (r"\p{N}", SplitClass::Number),
    (r"\s", SplitClass::Space),
    (r"[一-龥぀-ゟ゠-ヿ]", SplitClass::CjkOther),
    (r"[[一-龥぀-ゟ゠-ヿ]&&[\p{L}\p{M}]]", SplitClass::CjkLetter),
    (r"[[一-龥぀-ゟ゠-ヿ]&&[\p{P}\p{S}]]", SplitClass::CjkSymbol),
];

const BLOCK: usize = 256;
const NUM_BLOCKS: usize = 0x11_0000 / BLOCK;

/// The classes of all code points, in two stages: blocks of 256 code points, of which equal ones are stored
/// once.
pub struct CharClasses<C = CharClass> {
    ascii: [C; 256],
    block_of: Vec<u8>,
    blocks: Vec<[C; BLOCK]>,
}

/// Defines a function that returns a table, which is built once in a process.
macro_rules! table {
    ($(#[$about:meta])* $name:ident, $class:ty, $($properties:expr),+) => {
        impl CharClasses<$class> {
            $(#[$about])*
            pub fn $name() -> &'static Self {
                static TABLE: OnceLock<CharClasses<$class>> = OnceLock::new();
                TABLE.get_or_init(|| CharClasses::build(&[$($properties),+].concat()))
            }
        }
    };
}
table!(/** The table in which marks are of class other. */ get, CharClass, LETTERS);
table!(/** The table in which marks are letters. */ with_marks, CharClass, LETTERS_AND_MARKS);
table!(/** The table without Han. */ with_case, CaseClass, CASES);
table!(/** The table with Han. */ with_case_and_han, CaseClass, CASES, HAN);
table!(/** The table of DeepSeek's splits. */ of_splits, SplitClass, SPLITS);

impl<C: Class> CharClasses<C> {
    fn build(properties: &Properties<C>) -> CharClasses<C> {
        let mut flat: Vec<C> = std::iter::repeat_n(C::OTHER, NUM_BLOCKS * BLOCK).collect();
        for &(property, class) in properties {
            for (first, last) in ranges(property) {
                flat[first as usize..=last as usize].fill(class);
            }
        }
        let mut blocks: Vec<[C; BLOCK]> = Vec::new();
        let mut block_of = Vec::with_capacity(NUM_BLOCKS);
        let mut last = 0;
        for block in flat.as_chunks::<BLOCK>().0 {
            if blocks.get(last) != Some(block) {
                last = blocks.iter().position(|known| known == block).unwrap_or(blocks.len());
                if last == blocks.len() {
                    blocks.push(*block);
                }
            }
            block_of.push(
                u8::try_from(last).unwrap_or_else(|_| unreachable!("Unicode has some 80 kinds of block")),
            );
        }
        let mut ascii = [C::OTHER; 256];
        ascii[..128].copy_from_slice(&flat[..128]);
        CharClasses { ascii, block_of, blocks }
    }

    /// The class of an ASCII byte.
    #[inline]
    pub fn of_ascii(&self, byte: u8) -> C {
        self.ascii[byte as usize]
    }

    /// The class of a code point.
    #[inline]
    pub fn of(&self, code_point: u32) -> C {
        self.blocks[self.block_of[code_point as usize / BLOCK] as usize][code_point as usize % BLOCK]
    }

    /// The class and the length in bytes of the character at the start of `text`, which is not empty.
    #[inline(always)]
    pub fn first(&self, text: &[u8]) -> (C, usize) {
        if text[0] < 0x80 {
            return (self.of_ascii(text[0]), 1);
        }
        match decode(text) {
            Some((code_point, length)) => (self.of(code_point), length),
            None => (C::OTHER, 1),
        }
    }

    /// The class of the character that ends `text`, which is not empty.
    pub fn last(&self, text: &[u8]) -> C {
        for length in 1..=text.len().min(4) {
            let tail = &text[text.len() - length..];
            if tail[0] & 0xC0 != 0x80 {
                let (class, decoded) = self.first(tail);
                return if decoded == length { class } else { C::OTHER };
            }
        }
        C::OTHER
    }
}

/// Strict UTF-8 (no surrogates, no overlong forms) of a character beyond ASCII: code point and length.
#[inline]
pub(crate) fn decode(text: &[u8]) -> Option<(u32, usize)> {
    let continuation = |i: usize| text.get(i).filter(|&&b| b & 0xC0 == 0x80).map(|&b| u32::from(b & 0x3F));
    let lead = u32::from(text[0]);
    match lead {
        0xC2..=0xDF => Some(((lead & 0x1F) << 6 | continuation(1)?, 2)),
        0xE0..=0xEF => {
            let code_point = (lead & 0x0F) << 12 | continuation(1)? << 6 | continuation(2)?;
            (code_point >= 0x800 && !(0xD800..0xE000).contains(&code_point)).then_some((code_point, 3))
        }
        0xF0..=0xF4 => {
            let code_point =
                (lead & 0x07) << 18 | continuation(1)? << 12 | continuation(2)? << 6 | continuation(3)?;
            (0x1_0000..0x11_0000).contains(&code_point).then_some((code_point, 4))
        }
        _ => None,
    }
}

/// The ranges of code points that a one-character pattern matches.
fn ranges(property: &str) -> Vec<(u32, u32)> {
    let hir = regex_syntax::parse(property).unwrap_or_else(|_| unreachable!("a valid property"));
    match hir.into_kind() {
        HirKind::Class(hir::Class::Unicode(class)) => {
            class.iter().map(|range| (range.start() as u32, range.end() as u32)).collect()
        }
        _ => unreachable!("a Unicode class"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_agrees_with_the_standard_library() {
        for a in 0x80..=0xFF {
            for b in (0..=0xFF).step_by(3).chain([0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]) {
                for tail in [[0x80, 0x80], [0xBF, 0xBF], [0x41, 0x80], [0x80, 0x41]] {
                    let bytes = [a, b, tail[0], tail[1]];
                    let expected = (2..=4).find_map(|n| {
                        let text = std::str::from_utf8(&bytes[..n]).ok()?;
                        (text.chars().count() == 1).then(|| (text.chars().next().map_or(0, u32::from), n))
                    });
                    assert_eq!(decode(&bytes), expected, "{bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn the_last_character_is_the_one_that_reading_forward_ends_with() {
        let classes = CharClasses::get();
        for text in ["a", "1", " ", "é", "\u{a0}", "\u{3000}", "中", "😀", "x\u{2028}"] {
            let last = text.chars().next_back().map_or(0, u32::from);
            assert_eq!(classes.last(text.as_bytes()), classes.of(last), "{text:?}");
        }
        assert_eq!(classes.last(b"\xA0"), Other);
        assert_eq!(classes.last(b"\xC2\xA0\xA0"), Other);
        assert_eq!(classes.last(b"\x80\x80\x80\x80\x80"), Other);
    }

    #[test]
    fn the_finer_classes_are_parts_of_the_coarser() {
        let (coarse, fine) = (CharClasses::get(), CharClasses::with_case());
        for code_point in 0..0x11_0000 {
            let merged = match fine.of(code_point) {
                CaseClass::Upper | CaseClass::Lower | CaseClass::Uncased | CaseClass::HanLetter => Letter,
                CaseClass::Number | CaseClass::HanNumber => Number,
                CaseClass::Space => Space,
                CaseClass::Other | CaseClass::Mark | CaseClass::HanOther => Other,
            };
            assert_eq!(merged, coarse.of(code_point), "{code_point:x}");
        }
    }
}

//! The block scanner against the scalar one, with every instruction set that this machine has: the same borders for
//! every text, at every place in a block and a window, with special tokens on every cut.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::grammar::{AfterOthers, Contractions, Grammar, Words};
use bpe_lm::pretokenize::{Borders, Pattern};
use bpe_lm::special_tokens::SpecialTokens;
use common::Random;
use std::ops::Range;
use std::sync::LazyLock;

/// The beginnings of pretokens and special tokens according to the scalar scanner, and the end of the text.
fn scalar(pattern: &Pattern, text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) -> Vec<usize> {
    let mut borders = Vec::new();
    let end = range.end;
    special_tokens
        .split(text, range, |stretch, special| {
            let stretch_end = stretch.end;
            pattern.for_each_pretoken(text, stretch, &Job::default(), |pretoken| {
                borders.push(pretoken.start);
            })?;
            borders.extend(special.map(|_| stretch_end));
            Ok::<(), bpe_lm::error::Error>(())
        })
        .unwrap();
    borders.push(end);
    borders
}

fn blocks(
    isa: Isa,
    pattern: &Pattern,
    text: &[u8],
    range: Range<usize>,
    special_tokens: &SpecialTokens,
) -> Vec<usize> {
    let mut scanner = BlockScanner::new(isa, pattern, text, range.clone(), special_tokens).unwrap();
    let (mut borders, mut all) = (Borders::default(), Vec::new());
    while scanner.next_window(&mut borders) {
        for pretoken in borders.pretokens() {
            assert!(!pretoken.is_empty());
            assert_eq!(
                pretoken.start,
                all.last().copied().unwrap_or(range.start),
                "no gap between pretokens"
            );
            if all.is_empty() {
                all.push(pretoken.start);
            }
            all.push(pretoken.end);
        }
    }
    all
}

/// The patterns that have a name, and two with other parameters.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let unnamed = Grammar {
        words: Words::Letters,
        contractions: Contractions::Small,
        max_numbers: 2,
        after_others: AfterOthers::NewlinesAndSlashes,
        keeps_last_whitespace: false,
    };
    let with_cases = Grammar {
        words: Words::CasedBesideHan,
        contractions: Contractions::Ascii,
        max_numbers: usize::MAX,
        keeps_last_whitespace: true,
        ..unnamed
    };
    let named = Pattern::names().map(str::to_owned);
    let all = named.chain([unnamed, with_cases].map(|grammar| grammar.expression()));
    all.map(|pattern| Pattern::new(&pattern).unwrap()).collect()
});

fn check(text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) {
    for pattern in PATTERNS.iter() {
        check_pattern(pattern, text, range.clone(), special_tokens);
    }
}

fn check_pattern(pattern: &Pattern, text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) {
    let expected = scalar(pattern, text, range.clone(), special_tokens);
    for isa in Isa::available() {
        let found = blocks(isa, pattern, text, range.clone(), special_tokens);
        assert!(
            found == expected,
            "{} {}: {:?} {:?}\n   found {found:?}\nexpected {expected:?}",
            pattern.name(),
            isa.name(),
            special_tokens.as_slice(),
            String::from_utf8_lossy(&text[range])
        );
    }
}

const PIECES: [&str; 83] = [
    " ",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "a",
    "bc",
    "Hello",
    "straße",
    "don't",
    "'s",
    "'ll",
    "'ve",
    "'re",
    "'d",
    "'LL",
    "'l",
    "'v",
    "'",
    "''",
    "12",
    "½",
    "٣",
    "...",
    "—",
    "“",
    "中文",
    "한국",
    "\u{a0}",
    "\u{a0}\u{a0}",
    "\u{3000}",
    "\u{85}",
    "\u{200b}",
    "é",
    "e\u{301}",
    "😀",
    "\0",
    "\u{10ffff}",
    "ⅷ",
    "<|endoftext|>",
    "<|",
    "A",
    "HTTPServer",
    "iPhone",
    "don'T",
    "it'S've",
    "'ſ",
    "'lL",
    "ǅ",
    "ʰ",
    "中A",
    "中AB",
    "\u{301}",
    "\u{301}\u{302}",
    "हिन्दी",
    "МОСКВА",
    "Москва",
    "1234",
    "12345678901",
    "٣٣٣٣٣",
    "½½½½",
    "〇",
    "⺀",
    "々",
    "/",
    "\n/",
    ".\n/a",
    "\n \n",
    " \n  ",
    "\n    ",
    ".\n\n",
    "\r",
    ".net",
    "(été",
    "\"naïve",
    "…net",
    "ア・イ",
    "カタカナ",
    "\u{3099}",
    "\u{3040}",
];

/// Those that lie on borders in the test of every pair, which takes the square of their number.
const SOME_PIECES: [&str; 47] = [
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    "a",
    "A",
    "bc",
    "straße",
    "don't",
    "'s",
    "'ll",
    "'LL",
    "'l",
    "'",
    "''",
    "12",
    "12345",
    "٣٣٣",
    "...",
    "—",
    ".",
    "中文",
    "中",
    "\u{a0}",
    "\u{3000}",
    "é",
    "É",
    "\u{301}",
    "😀",
    "\0",
    "'ſ",
    "<|endoftext|>",
    "<|",
    "aB",
    "〇",
    "⺀",
    "/",
    "\n/",
    ".\n",
    "\n \n",
    " \n  ",
    "\n    ",
    ".net",
    "ア・",
    "\u{3040}",
];

fn special_token_sets() -> Vec<SpecialTokens> {
    let sets: [&[&str]; 10] = [
        &[],
        &["<|endoftext|>"],
        &["<|endoftext|>", "<|"],
        &["\u{2019}", "\u{201c}a"],
        &["s", "'"],
        &[" ", "\u{a0}"],
        &["ll", "l", "中"],
        &["\n", "\n\n", "a"],
        &["o", "on't", "'"],
        &["This special token is longer than a block of sixty-four bytes, and that by far; is it found? "],
    ];
    sets.map(|tokens| SpecialTokens::new(tokens.iter().copied()).unwrap()).into()
}

#[test]
fn this_machine_has_at_least_the_portable_path() {
    let names: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
    println!("instruction sets: {names:?}");
    assert_eq!(names[0], "portable");
    assert_eq!(Isa::best(), *Isa::available().last().unwrap());
}

#[test]
fn random_texts_at_every_place() {
    check_random_texts(1, 20_000, &PATTERNS[..1]);
    check_random_texts(3, 3_000, &PATTERNS[1..]);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_random_texts_at_every_place() {
    check_random_texts(2, 1_000_000, &PATTERNS);
}

/// Long stretches of ASCII, whose borders come by pairs of neighbours, with a little else in between.
#[test]
fn random_texts_of_mostly_ascii() {
    check_ascii_texts(4, 60_000, &PATTERNS[..1]);
    check_ascii_texts(5, 15_000, &PATTERNS[1..]);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_random_texts_of_mostly_ascii() {
    check_ascii_texts(6, 1_000_000, &PATTERNS);
}

const ALPHABETS: [&[u8]; 5] =
    [b"a bs.'1AS\n", b"aB 'slvre", b"12 a.3,4", b" \n\t\ra./", b"abcdefghijklmnopqrstuvwxyz "];
const PUNCTUATION: [&str; 7] = ["\u{2019}", "\u{2014}", " \u{201c}", "n\u{2019}t", "'ll", "x's", "y'VE"];

const BROKEN: [&[u8]; 7] = [b"\xE2", b"\xE2\x80", b"\x99", b"\xE1", b"\xFF", b"\x80\x99", b""];

fn check_ascii_texts(seed: u64, number: usize, patterns: &[Pattern]) {
    let mut random = Random(seed);
    let sets = special_token_sets();
    for _ in 0..number {
        let special_tokens = random.pick(&sets[..5]);
        let alphabet = *random.pick(&ALPHABETS);
        let mut text = Vec::new();
        while text.len() < 600 {
            match random.below(16) {
                0 => text.extend(random.pick(&PIECES).as_bytes()),
                1 | 2 => text.extend(random.pick(&PUNCTUATION).as_bytes()),
                3 => text.extend(*random.pick(&BROKEN)),
                _ => text.extend(random.bytes(30, alphabet)),
            }
        }
        let start = random.below(3);
        let whole_blocks = start + (text.len() - 1 - start) / 64 * 64;
        let end = if random.below(2) == 0 { whole_blocks } else { text.len() - random.below(3) };
        patterns.iter().for_each(|pattern| check_pattern(pattern, &text, start..end, special_tokens));
    }
}

fn check_random_texts(seed: u64, number: usize, patterns: &[Pattern]) {
    let mut random = Random(seed);
    let sets = special_token_sets();
    let long_token = sets.last().unwrap().as_slice()[0].clone();
    for _ in 0..number {
        let special_tokens = random.pick(&sets);
        let mut text = random.text(80, &PIECES).into_bytes();
        match random.below(4) {
            0 => text.extend(random.bytes(
                40,
                b"ab 1.\n'\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\x80\xC0\xED\xC2\xA0\xE2\x80\x83",
            )),
            1 => text.extend(long_token.as_bytes().repeat(1 + random.below(3))),
            _ => {}
        }
        text.extend(random.text(40, &PIECES).into_bytes());
        text.push(b'.');
        let start = random.below(text.len().min(70));
        let end = start + 1 + random.below(text.len() - start);
        for pattern in patterns {
            check_pattern(pattern, &text, start..end, special_tokens);
        }
    }
}

/// Every pair of pieces across the border of a block and of a window. Finding special tokens is the same for all patterns,
/// so most of them are tested with two sets.
#[test]
fn what_lies_on_the_border_of_a_block_or_window() {
    for (number, special_tokens) in special_token_sets().iter().enumerate() {
        check_pairs(&PIECES[..44], &PATTERNS[..1], special_tokens);
        if number < 2 {
            check_pairs(&SOME_PIECES, &PATTERNS[1..], special_tokens);
        }
    }
}

fn check_pairs(pieces: &[&str], patterns: &[Pattern], special_tokens: &SpecialTokens) {
    let check = |text: &str, end: usize| {
        patterns.iter().for_each(|pattern| check_pattern(pattern, text.as_bytes(), 0..end, special_tokens));
    };
    for border in [64, 4096] {
        for (before, after) in pieces.iter().flat_map(|a| pieces.iter().map(move |b| (a, b))) {
            for shift in 0..4 {
                let middle = format!("{before}{after} x");
                let filler = "y ".repeat(border / 2);
                let head = &filler[shift..border.saturating_sub(before.len())];
                let text = format!("{}{middle}", &head[..head.len().min(border - before.len())]);
                if border == 64 || shift == 0 {
                    check(&text, text.len());
                    check(&text, text.len() - 2);
                }
                if border == 64 {
                    let text = text + &filler.repeat(4);
                    check(&text, text.len());
                }
            }
        }
    }
}

#[test]
fn every_code_point_in_several_contexts() {
    let none = SpecialTokens::default();
    let mut text = String::new();
    for c in '\0'..=char::MAX {
        text.clear();
        text.extend(['a', c, '1', ' ', c, ' ', ' ', c, '\n', c, c, 'b', '\'', c, '.', c, '!', ' ']);
        check_pattern(&Pattern::Gpt2, text.as_bytes(), 0..text.len(), &none);
    }
    for pattern in PATTERNS.iter() {
        text.clear();
        for c in '\0'..=char::MAX {
            text.extend(['a', c, 'A', c, '1', ' ', c, 'a', '.', c, 'B', ' ', ' ', c, '.', 'a', c, ' ']);
            if text.len() > 4000 {
                check_pattern(pattern, text.as_bytes(), 0..text.len(), &none);
                text.clear();
            }
        }
    }
}

#[test]
fn every_string_of_five_from_the_characters_that_matter() {
    let none = SpecialTokens::default();
    let characters = [' ', '\n', 'a', 's', 'l', '1', '\'', '.', '\u{a0}', '中'];
    let mut text = Vec::new();
    for i in 0..10usize.pow(5) {
        text.clear();
        for digit in 0..5 {
            let c = characters[i / 10usize.pow(digit) % 10];
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        check(&text, 0..text.len(), &none);
    }
}

#[test]
fn runs_of_one_kind_through_whole_blocks() {
    let none = SpecialTokens::default();
    for unit in ["\n", " ", "1", "a", "A", ".", "'", "\u{2019}", ". "] {
        for (before, after) in
            [(".", "/a"), (".\n", "/"), ("1", "2a"), ("a", "'s"), (" ", "é"), ("\u{2019}", "a")]
        {
            for len in (55..75).chain(120..140).chain(185..200) {
                let text = format!("some words{before}{}{after} and more of them é", unit.repeat(len))
                    + &" words".repeat(40);
                check(text.as_bytes(), 0..text.len(), &none);
            }
        }
    }
}

/// What the first block leaves behind does not reach a later one.
#[test]
fn a_run_that_begins_with_a_block() {
    let none = SpecialTokens::default();
    for last in ["1", ".", "\n", "a", " "] {
        for (unit, after) in [("1", "é"), ("\n", "/é"), ("a", "É"), (".", "é")] {
            let (first, second) = ("x".repeat(63), "y ".repeat(32));
            let text = format!("{first}{last}{second}{}{after}", unit.repeat(64 * 3));
            check(text.as_bytes(), 0..text.len(), &none);
        }
    }
}

#[test]
fn megabytes_of_one_kind() {
    let none = SpecialTokens::default();
    let units = [
        "a",
        " ",
        "\n",
        "1",
        "'",
        "a ",
        " \n",
        "中",
        "\u{a0}",
        "'l",
        "'s",
        "é1",
        "\u{3000} ",
        "<|",
        "A",
        "aA",
        "Aa",
        "中A",
        "A中",
        "\u{301}",
        "\u{301}A",
        ".\u{301}",
        "ʰ",
        "⺀",
        "〇1",
        "'ſ",
        "s'S",
        "\n/",
        ".\n/",
        "\n \n ",
        "\n  a",
        ".\n",
        "٣",
        "\r\n \u{a0}",
        ".aé",
        "ア・",
        "\0",
    ];
    for unit in units {
        for (before, after, len) in [("", "", 300_000), ("中", ".", 30_000)] {
            let text = format!("{before}{}{after}", unit.repeat(len / unit.len()));
            check(text.as_bytes(), 0..text.len(), &none);
        }
    }
}

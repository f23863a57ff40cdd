//! The block scanner against the scalar one, with every instruction set that this machine has: the same borders for
//! every text, at every place in a block and a window, with special tokens on every cut.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::{Borders, Pattern};
use bpe_lm::special_tokens::SpecialTokens;
use common::Random;
use std::ops::Range;

/// The beginnings of pretokens and special tokens according to the scalar scanner, and the end of the text.
fn scalar(text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) -> Vec<usize> {
    let mut borders = Vec::new();
    let end = range.end;
    special_tokens
        .split(text, range, |stretch, special| {
            let stretch_end = stretch.end;
            Pattern::Gpt2.for_each_pretoken(text, stretch, &Job::default(), |pretoken| {
                borders.push(pretoken.start);
            })?;
            borders.extend(special.map(|_| stretch_end));
            Ok::<(), bpe_lm::error::Error>(())
        })
        .unwrap();
    borders.push(end);
    borders
}

fn blocks(isa: Isa, text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) -> Vec<usize> {
    let mut scanner = BlockScanner::new(isa, text, range.clone(), special_tokens);
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

fn check(text: &[u8], range: Range<usize>, special_tokens: &SpecialTokens) {
    let expected = scalar(text, range.clone(), special_tokens);
    for isa in Isa::available() {
        let found = blocks(isa, text, range.clone(), special_tokens);
        assert!(
            found == expected,
            "{}: {special_tokens:?} {:?}\n   found {found:?}\nexpected {expected:?}",
            isa.name(),
            text[range].escape_ascii().to_string()
        );
    }
}

const PIECES: [&str; 44] = [
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
];

fn special_token_sets() -> Vec<SpecialTokens> {
    let sets: [&[&str]; 9] = [
        &[],
        &["<|endoftext|>"],
        &["<|endoftext|>", "<|"],
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
    check_random_texts(1, 20_000);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_random_texts_at_every_place() {
    check_random_texts(2, 1_000_000);
}

fn check_random_texts(seed: u64, number: usize) {
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
        check(&text, start..end, special_tokens);
    }
}

/// Every pair of pieces across the border of a block and of a window.
#[test]
fn what_lies_on_the_border_of_a_block_or_window() {
    for special_tokens in special_token_sets() {
        for border in [64, 4096] {
            for (before, after) in PIECES.iter().flat_map(|a| PIECES.iter().map(move |b| (a, b))) {
                for shift in 0..4 {
                    let middle = format!("{before}{after} x");
                    let filler = "y ".repeat(border / 2);
                    let head = &filler[shift..border.saturating_sub(before.len())];
                    let text = format!("{}{middle}", &head[..head.len().min(border - before.len())]);
                    if border == 64 || shift == 0 {
                        check(text.as_bytes(), 0..text.len(), &special_tokens);
                        check(text.as_bytes(), 0..text.len() - 2, &special_tokens);
                    }
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
        check(text.as_bytes(), 0..text.len(), &none);
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
fn megabytes_of_one_kind() {
    let none = SpecialTokens::default();
    for unit in ["a", " ", "\n", "1", "'", "a ", " \n", "中", "\u{a0}", "'l", "'s", "é1", "\u{3000} ", "<|"]
    {
        let text = unit.repeat(300_000 / unit.len());
        check(text.as_bytes(), 0..text.len(), &none);
    }
}

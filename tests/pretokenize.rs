//! The hand-written scanner against `fancy-regex`, its oracle, on every code point in several contexts, on random
//! strings and on bytes that do not decode; and the properties that every pattern has.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::pretokenize::{GPT2_PATTERN, Pattern};
use common::Random;

fn regex_pretokens<'t>(regex: &RegexPretokenizer, text: &'t [u8]) -> Vec<&'t [u8]> {
    let mut pretokens = Vec::new();
    regex
        .for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |range| pretokens.push(&text[range]))
        .unwrap();
    pretokens
}

fn check(regex: &RegexPretokenizer, text: &str) {
    let scanned = Pattern::Gpt2.pretokens(text.as_bytes()).unwrap();
    assert_eq!(scanned, regex_pretokens(regex, text.as_bytes()), "{text:?}");
}

fn gpt2_regex() -> RegexPretokenizer {
    RegexPretokenizer::new(GPT2_PATTERN).unwrap()
}

#[test]
fn every_code_point_in_six_contexts() {
    let regex = gpt2_regex();
    let mut text = String::new();
    for c in '\0'..=char::MAX {
        // A letter and a number around, whitespace before and after, an apostrophe before, a run of two.
        text.clear();
        text.extend(['a', c, '1', ' ', c, ' ', ' ', c, '\n', c, c, 'b', '\'', c, '.', c, '!', ' ']);
        check(&regex, &text);
    }
}

#[test]
fn every_string_of_four_from_the_characters_that_matter() {
    let regex = gpt2_regex();
    let characters = [' ', '\n', '\t', 'a', 's', 'l', '1', '\'', '.', '中', '\u{a0}', '\u{301}', '²', '😀'];
    let n = characters.len();
    for i in 0..n.pow(4) {
        let text: String = (0..4).map(|digit| characters[i / n.pow(digit) % n]).collect();
        check(&regex, &text);
    }
}

#[test]
fn random_strings() {
    check_random_strings(1, 100_000);
}

#[test]
#[ignore = "takes minutes"]
fn ten_million_random_strings() {
    check_random_strings(2, 10_000_000);
}

fn check_random_strings(seed: u64, number: usize) {
    let regex = gpt2_regex();
    let mut random = Random(seed);
    let pieces = [
        " ",
        "  ",
        "\n",
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
        "'LL",
        "'",
        "''",
        "12",
        "½",
        "٣",
        "...",
        "—",
        "“",
        "中文",
        "日本",
        "한국",
        "\u{a0}",
        "\u{2003}",
        "\u{3000}",
        "\u{85}",
        "\u{200b}",
        "é",
        "e\u{301}",
        "😀",
        "👨‍👩‍👧",
        "\0",
        "\u{10ffff}",
        "supercalifragilistic",
        "ſ",
        "ⅷ",
    ];
    for _ in 0..number {
        check(&regex, &random.text(12, &pieces));
    }
}

/// A byte that does not decode is one character of class other. The oracle has no such rule, so each such byte becomes
/// a private-use character for it, which is of that class.
#[test]
fn bytes_that_do_not_decode_are_other_characters() {
    let regex = gpt2_regex();
    let mut random = Random(2);
    let alphabet =
        b"ab 1.\n'\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\x80\xC0\xED\xA0\xF5\xC2\xA0\xE2\x80\x83";
    for _ in 0..100_000 {
        let text = random.bytes(14, alphabet);
        let mut replaced = String::new();
        let mut original_len = Vec::new(); // By byte of `replaced`: how many bytes of `text` it stands for.
        for chunk in text.utf8_chunks() {
            replaced.push_str(chunk.valid());
            original_len.resize(replaced.len(), 1);
            for _ in chunk.invalid() {
                replaced.push('\u{e000}');
                original_len.extend([1, 0, 0]);
            }
        }
        let expected: Vec<usize> = regex_pretokens(&regex, replaced.as_bytes())
            .iter()
            .scan(0, |at, pretoken| {
                let lens = &original_len[*at..*at + pretoken.len()];
                *at += pretoken.len();
                Some(lens.iter().sum())
            })
            .collect();
        let scanned: Vec<usize> = Pattern::Gpt2.pretokens(&text).unwrap().iter().map(|p| p.len()).collect();
        assert_eq!(scanned, expected, "{text:x?}");
    }
}

#[test]
fn every_byte_is_in_exactly_one_pretoken() {
    let mut random = Random(3);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let patterns =
        ["gpt2", r"\p{L}+", "b*", ".", "(?=a)", r"\w+|[^\w\s]+", "", r"(?s).+", r"(.)\1|\s+(?!\S)"];
    for pattern in patterns.map(|pattern| Pattern::new(pattern).unwrap()) {
        for _ in 0..3000 {
            let alphabet = if random.below(2) == 0 { &all_bytes } else { &b"ab \n"[..] };
            let text = random.bytes(20, alphabet);
            let pretokens = pattern.pretokens(&text).unwrap();
            assert_eq!(pretokens.concat(), text, "{pattern:?}");
            assert!(pretokens.iter().all(|pretoken| !pretoken.is_empty()));
        }
    }
}

#[test]
fn what_a_pattern_leaves_unmatched_is_one_pretoken() {
    let pattern = Pattern::new("[0-9]+").unwrap();
    assert_eq!(pattern.pretokens(b"ab12cd, 3").unwrap(), [&b"ab"[..], b"12", b"cd, ", b"3"]);
    assert_eq!(pattern.pretokens(b"\xFF\xFE1\xFF").unwrap(), [&b"\xFF\xFE"[..], b"1", b"\xFF"]);
}

#[test]
fn the_pattern_of_gpt2_by_name_or_in_full_is_the_scanner() {
    assert!(matches!(Pattern::new(GPT2_PATTERN).unwrap(), Pattern::Gpt2));
}

#[test]
fn a_pattern_that_does_not_compile_or_gives_up_is_an_error() {
    assert!(matches!(Pattern::new("(a"), Err(Error::Pattern { .. })));
    let pattern = Pattern::new(r"x|(a*)*b\1").unwrap();
    let text = [&b"x"[..], &[b'a'; 200]].concat();
    let Err(Error::PatternLimit { offset, .. }) = pattern.pretokens(&text) else { panic!("should give up") };
    assert_eq!(offset, 1);
}

/// Time for twice the text must not be much more than twice the time; asserted by ending at all within a test's time.
#[test]
fn megabytes_of_one_kind_are_scanned_in_linear_time() {
    for unit in ["a", " ", "\n", "1", "'", "a ", " \n", "中", "\u{a0}", "'l", "é1"] {
        let text = unit.repeat(4_000_000 / unit.len());
        assert_eq!(Pattern::Gpt2.pretokens(text.as_bytes()).unwrap().concat().len(), text.len());
    }
}

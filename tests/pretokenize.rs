//! The hand-written scanners against `fancy-regex`, their oracle, on every code point in several contexts, on random
//! strings and on bytes that do not decode; and the properties that every pattern has.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::pretokenize::{CL100K_PATTERN, GPT2_PATTERN, O200K_PATTERN, Pattern, cl100k};
use common::Random;

fn regex_pretokens<'t>(regex: &RegexPretokenizer, text: &'t [u8]) -> Vec<&'t [u8]> {
    let mut pretokens = Vec::new();
    regex
        .for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |range| pretokens.push(&text[range]))
        .unwrap();
    pretokens
}

/// A scanner and its oracle.
struct Pair {
    scanner: Pattern,
    regex: RegexPretokenizer,
}

impl Pair {
    fn new(pattern: &str) -> Self {
        let scanner = Pattern::new(pattern).unwrap();
        assert!(!matches!(scanner, Pattern::Regex { .. }));
        Pair { scanner, regex: RegexPretokenizer::new(pattern).unwrap() }
    }

    fn all() -> [Pair; 3] {
        [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN].map(Pair::new)
    }

    fn check(&self, text: &str) {
        let scanned = self.scanner.pretokens(text.as_bytes()).unwrap();
        assert_eq!(
            scanned,
            regex_pretokens(&self.regex, text.as_bytes()),
            "{}: {text:?}",
            self.scanner.name()
        );
    }

    fn check_every_code_point(&self) {
        let is_assigned = |code_point| matches!(code_point, 0..0x4_0000 | 0xE_0000..0xE_1000);
        let mut text = String::new();
        for c in (0..=0x10_FFFF).filter(|&c| is_assigned(c)).filter_map(char::from_u32) {
            text.clear();
            // The contexts of a character: a letter and a number around it, whitespace before and after it,
            // an apostrophe before it, a run of two, both cases around it, newlines and slashes.
            text.extend(['a', c, '1', ' ', c, ' ', ' ', c, '\n', c, c, 'b', '\'', c, '.', c, '!', ' ']);
            text.extend(['A', c, 'A', '\t', c, 'A', 'a', '\'', c, '\r', c, '/', '\n', c]);
            self.check(&text);
        }
        // Code points without a character: in these contexts, a character of class other differs from all
        // other classes.
        for first in (0..=0x10_FFFF).step_by(256).filter(|&first| !is_assigned(first)) {
            let block = (first..first + 256).filter_map(char::from_u32);
            self.check(&block.clone().flat_map(|c| [c, '.']).collect::<String>());
            self.check(&block.flat_map(|c| [c, 'A']).collect::<String>());
        }
    }

    fn check_strings(&self, characters: &[char], length: u32) {
        let n = characters.len();
        for i in 0..n.pow(length) {
            let text: String = (0..length).map(|digit| characters[i / n.pow(digit) % n]).collect();
            self.check(&text);
        }
    }
}

#[test]
fn gpt2_on_every_code_point_in_contexts() {
    Pair::new(GPT2_PATTERN).check_every_code_point();
}

#[test]
fn cl100k_on_every_code_point_in_contexts() {
    Pair::new(CL100K_PATTERN).check_every_code_point();
}

#[test]
fn o200k_on_every_code_point_in_contexts() {
    Pair::new(O200K_PATTERN).check_every_code_point();
}

#[test]
fn every_string_of_up_to_four_from_the_characters_that_matter() {
    let characters = [
        ' ', '\n', '\r', '\t', '\u{a0}', 'a', 's', 'l', 'A', 'S', 'ſ', 'K', 'ǅ', 'ʰ', '中', '\u{301}', '1',
        '²', '\'', '.', '/', '😀',
    ];
    for pair in Pair::all() {
        for length in 0..=4 {
            pair.check_strings(&characters, length);
        }
    }
}

/// Strings on which o200k's first two alternatives backtrack.
#[test]
fn every_string_of_six_from_the_classes_that_overlap() {
    for pair in Pair::all() {
        pair.check_strings(&['a', 'A', '中', '\u{301}', '.', ' ', '\n'], 6);
    }
}

#[test]
fn every_contraction_in_every_case() {
    for pair in Pair::all() {
        for before in ["", " ", "a", "A", "中", "\u{301}", "1", ".", "'"] {
            for second in ["", "s", "S", "ſ", "d", "D", "m", "M", "t", "T", "l", "L", "v", "V", "r", "R", "e"]
            {
                for third in ["", "l", "L", "e", "E", "a", "ſ", "s", " ", "\n", "'"] {
                    pair.check(&format!("{before}'{second}{third}"));
                }
            }
        }
    }
}

#[test]
fn random_strings() {
    for pair in Pair::all() {
        check_random_strings(&pair, 1, 100_000);
    }
}

#[test]
#[ignore = "takes minutes"]
fn ten_million_random_strings() {
    for pair in Pair::all() {
        check_random_strings(&pair, 2, 10_000_000);
    }
}

/// The portable form is written to tokenizer.json.
#[test]
fn the_portable_form_of_cl100k_is_the_same_pattern() {
    let portable = Pair::new(cl100k::PORTABLE_PATTERN);
    check_random_strings(&portable, 4, 30_000);
    portable.check_strings(&['a', '1', ' ', '\n', '.', '\'', 's'], 5);
}

const PIECES: [&str; 58] = [
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
    "\r",
    "\n\n",
    "/",
    ".\n/",
    "A",
    "HTTPServer",
    "iPhone",
    "ǅ",
    "ʰ",
    "\u{301}",
    "\u{200d}",
    "'S",
    "'ſ",
    "'T",
    "K",
    "1234567",
    "हिन्दी",
    "МОСКВА",
];

fn check_random_strings(pair: &Pair, seed: u64, number: usize) {
    let mut random = Random(seed);
    for _ in 0..number {
        pair.check(&random.text(12, &PIECES));
    }
}

/// A byte that does not decode is one character of class other. The oracle has no such rule, so each such byte becomes
/// a private-use character for it, which is of that class.
#[test]
fn bytes_that_do_not_decode_are_other_characters() {
    for pair in Pair::all() {
        check_bytes_that_do_not_decode(&pair);
    }
}

fn check_bytes_that_do_not_decode(Pair { scanner, regex }: &Pair) {
    let mut random = Random(2);
    let alphabet =
        b"abAs 1./\n\r'\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\x80\xC0\xED\xA0\xF5\xC2\xA0\xE2\x80\x83\xCC\x81\xC5\xBF";
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
        let expected: Vec<usize> = regex_pretokens(regex, replaced.as_bytes())
            .iter()
            .scan(0, |at, pretoken| {
                let lens = &original_len[*at..*at + pretoken.len()];
                *at += pretoken.len();
                Some(lens.iter().sum())
            })
            .collect();
        let scanned: Vec<usize> = scanner.pretokens(&text).unwrap().iter().map(|p| p.len()).collect();
        assert_eq!(scanned, expected, "{text:x?}");
    }
}

#[test]
fn every_byte_is_in_exactly_one_pretoken() {
    let mut random = Random(3);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let patterns = [
        "gpt2",
        "cl100k",
        "o200k",
        r"\p{L}+",
        "b*",
        ".",
        "(?=a)",
        r"\w+|[^\w\s]+",
        "",
        r"(?s).+",
        r"(.)\1|\s+(?!\S)",
    ];
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
fn a_known_pattern_by_name_or_in_full_is_its_scanner() {
    let known = [
        ("gpt2", GPT2_PATTERN, &["gpt2"][..]),
        ("cl100k", CL100K_PATTERN, &["cl100k", "cl100k_base", cl100k::PORTABLE_PATTERN]),
        ("o200k", O200K_PATTERN, &["o200k", "o200k_base"]),
    ];
    for (name, source, spellings) in known {
        for spelling in spellings.iter().chain([&source]) {
            let pattern = Pattern::new(spelling).unwrap();
            assert!(!matches!(pattern, Pattern::Regex { .. }));
            assert_eq!((pattern.name(), pattern.source()), (name, source));
            assert!(pattern.has_safe_cuts());
        }
    }
}

#[test]
fn what_the_patterns_are_known_for() {
    let split = |pattern: &str, text: &str| -> Vec<String> {
        let pretokens = Pattern::new(pattern).unwrap();
        let pretokens = pretokens.pretokens(text.as_bytes()).unwrap();
        pretokens.iter().map(|pretoken| String::from_utf8_lossy(pretoken).into_owned()).collect()
    };
    let text = "DON'T  getHTTPResponse(12345)\n\n x...\n";
    let gpt2 = ["DON", "'", "T", " ", " getHTTPResponse", "(", "12345", ")", "\n\n", " x", "...", "\n"];
    assert_eq!(split("gpt2", text), gpt2);
    let cl100k = ["DON", "'T", " ", " getHTTPResponse", "(", "123", "45", ")\n\n", " x", "...\n"];
    assert_eq!(split("cl100k", text), cl100k);
    let o200k = ["DON'T", " ", " get", "HTTPResponse", "(", "123", "45", ")\n\n", " x", "...\n"];
    assert_eq!(split("o200k", text), o200k);
    assert_eq!(split("o200k", "中AB"), ["中", "AB"]);
    assert_eq!(split("o200k", "\u{301}AB"), ["\u{301}", "AB"]);
    assert_eq!(split("cl100k", "a\n  "), ["a", "\n  "]);
    assert_eq!(split("o200k", "a\n  "), ["a", "\n", "  "]);
}

/// Both sides of a safe cut, each scanned alone, have the pretokens of the whole.
#[test]
fn a_safe_cut_splits_no_pretoken_and_changes_none() {
    let mut random = Random(8);
    let mut pieces = PIECES.to_vec();
    pieces.extend([" "; 10]);
    pieces.extend(["\n"; 5]);
    for Pair { scanner, .. } in Pair::all() {
        let mut num_cuts = 0;
        for _ in 0..30_000 {
            let mut text = random.text(12, &pieces).into_bytes();
            if random.below(3) == 0 {
                text.extend(random.bytes(12, b"aA1 \n\r'l\xFF\x80\xC2\xA0\xCC\x81"));
            }
            let whole = scanner.pretokens(&text).unwrap();
            for at in (0..=text.len()).filter(|&at| scanner.is_safe_cut(&text, at)) {
                let mut parts = scanner.pretokens(&text[..at]).unwrap();
                parts.extend(scanner.pretokens(&text[at..]).unwrap());
                assert_eq!(parts, whole, "{} at {at}: {text:x?}", scanner.name());
                num_cuts += 1;
            }
        }
        assert!(num_cuts > 20_000, "{num_cuts}");
    }
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
    let units = [
        "a", " ", "\n", "1", "'", "a ", " \n", "中", "\u{a0}", "'l", "é1", "A", "aA", "Aa", "\u{301}", "ǅ",
        "ʰ", "中A", "A中", "A\u{301}", "\u{301}A", ".A", ".\u{301}", "A's", "/", "\n/", ".\n", "\r\n ",
        "\n\u{a0}", "\u{a0}a", "\u{e000}",
    ];
    for Pair { scanner, .. } in Pair::all() {
        for unit in units {
            for (before, after) in [("", ""), ("中", "."), (".", "a")] {
                let text = format!("{before}{}{after}", unit.repeat(1_000_000 / unit.len()));
                let mut num_bytes = 0;
                let visit = |pretoken: std::ops::Range<usize>| num_bytes += pretoken.len();
                scanner.for_each_pretoken(text.as_bytes(), 0..text.len(), &Job::default(), visit).unwrap();
                assert_eq!(num_bytes, text.len());
            }
        }
    }
}

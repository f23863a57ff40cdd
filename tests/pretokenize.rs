//! The hand-written scanners against `fancy-regex`, their oracle, on every code point in several contexts, on random
//! strings and on bytes that do not decode; and the properties that every pattern has.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::grammar::{AfterOthers, Contractions, Grammar, Words};
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::pretokenize::{
    CL100K_PATTERN, DEEPSEEK_V3_PATTERNS, GPT2_PATTERN, KIMI_K2_PATTERN, LLAMA3_PATTERN, O200K_PATTERN,
    Pattern, QWEN2_PATTERN, QWEN35_PATTERN, TEKKEN_PATTERN,
};
use common::row::{few_or, passed};
use common::{Random, regex_pretokens};

/// The published expressions, with the names of their scanners.
const PUBLISHED: [(&str, &[&str]); 9] = [
    ("gpt2", &[GPT2_PATTERN]),
    ("cl100k", &[CL100K_PATTERN]),
    ("llama3", &[LLAMA3_PATTERN]),
    ("qwen2", &[QWEN2_PATTERN]),
    ("qwen3.5", &[QWEN35_PATTERN]),
    ("o200k", &[O200K_PATTERN]),
    ("tekken", &[TEKKEN_PATTERN]),
    ("kimi_k2", &[KIMI_K2_PATTERN]),
    ("deepseek_v3", &DEEPSEEK_V3_PATTERNS),
];

/// A scanner and its oracle.
struct Pair {
    scanner: Pattern,
    splits: Vec<RegexPretokenizer>,
}

impl Pair {
    fn new(splits: &[&str]) -> Self {
        let scanner = Pattern::from_splits(splits).unwrap();
        assert!(scanner.has_scanner(), "{splits:?}");
        Pair { scanner, splits: splits.iter().map(|regex| RegexPretokenizer::new(regex).unwrap()).collect() }
    }

    fn named(name: &str) -> Self {
        Pair::new(PUBLISHED.iter().find(|known| known.0 == name).unwrap().1)
    }

    fn all() -> [Pair; 9] {
        PUBLISHED.map(|(_, splits)| Pair::new(splits))
    }

    fn check(&self, text: &str) {
        let scanned = self.scanner.pretokens(text.as_bytes()).unwrap();
        assert_eq!(
            scanned,
            regex_pretokens(&self.splits, text.as_bytes()),
            "{}: {text:?}",
            self.scanner.name()
        );
    }

    /// Each code point with other kinds of character around it.
    fn check_every_code_point_once(&self) {
        let mut text = String::new();
        for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
            text.extend(['a', c, 'A', c, c, ' ', c, '1']);
            if text.len() > 1000 {
                self.check(&text);
                text.clear();
            }
        }
        self.check(&text);
        passed("R9", 0x11_0000 - 0x800);
    }

    fn check_every_code_point(&self) {
        let is_assigned = |code_point| matches!(code_point, 0..0x4_0000 | 0xE_0000..0xE_1000);
        let mut text = String::new();
        for c in (0..=0x10_FFFF).filter(|&c| is_assigned(c)).filter_map(char::from_u32) {
            text.clear();
            // The contexts of a character: a letter and a number around it, whitespace before and after it,
            // an apostrophe before it, a run of two, both cases around it, newlines and slashes, Han.
            text.extend(['a', c, '1', ' ', c, ' ', ' ', c, '\n', c, c, 'b', '\'', c, '.', c, '!', ' ']);
            text.extend(['A', c, 'A', '\t', c, 'A', 'a', '\'', c, '\r', c, '/', '\n', c, '中', c, '中', 'a']);
            self.check(&text);
        }
        // Code points without a character: in these contexts, a character of class other differs from all
        // other classes.
        for first in (0..=0x10_FFFF).step_by(256).filter(|&first| !is_assigned(first)) {
            let block = (first..first + 256).filter_map(char::from_u32);
            self.check(&block.clone().flat_map(|c| [c, '.']).collect::<String>());
            self.check(&block.flat_map(|c| [c, 'A']).collect::<String>());
        }
        passed("R9", 0x11_0000 - 0x800);
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
    Pair::named("gpt2").check_every_code_point();
}

#[test]
fn cl100k_on_every_code_point_in_contexts() {
    Pair::named("cl100k").check_every_code_point();
}

#[test]
fn o200k_on_every_code_point_in_contexts() {
    Pair::named("o200k").check_every_code_point();
}

#[test]
fn all_patterns_on_every_code_point() {
    for pair in Pair::all() {
        pair.check_every_code_point_once();
    }
}

#[test]
#[ignore = "takes minutes"]
fn all_patterns_on_every_code_point_in_contexts() {
    for pair in Pair::all() {
        pair.check_every_code_point();
    }
}

#[test]
fn every_string_of_up_to_four_from_the_characters_that_matter() {
    let characters = [
        ' ', '\n', '\r', '\t', '\u{a0}', 'a', 's', 'l', 'A', 'S', 'ſ', 'K', 'ǅ', 'ʰ', '中', '\u{301}', '1',
        '²', '\'', '.', '/', '😀',
    ];
    for pair in ["gpt2", "cl100k", "o200k"].map(Pair::named) {
        for length in 0..=4 {
            pair.check_strings(&characters, length);
        }
    }
}

/// Those of above without relatives, and what is special in Han, kana, marks and characters without a class.
#[test]
fn every_string_of_up_to_three_from_many_scripts() {
    let characters = [
        ' ',
        '\n',
        '\u{a0}',
        'a',
        's',
        'A',
        'ſ',
        'é',
        'ǅ',
        'ʰ',
        '中',
        '々',
        '〇',
        '⺀',
        'ア',
        'ー',
        '・',
        '\u{3040}',
        '\u{3099}',
        '\u{30a0}',
        '\u{16ff0}',
        '\u{301}',
        '1',
        '²',
        '\'',
        '.',
        '/',
        '—',
        '+',
        '\0',
        '\u{200d}',
        '\u{e000}',
    ];
    for pair in Pair::all() {
        for length in 0..=3 {
            pair.check_strings(&characters, length);
        }
    }
}

/// Strings on which o200k's first two alternatives backtrack.
#[test]
fn every_string_of_six_from_the_classes_that_overlap() {
    for pair in Pair::all() {
        pair.check_strings(&['a', 'A', '中', '\u{301}', '.', ' ', '\n'], 5);
    }
    Pair::named("o200k").check_strings(&['a', 'A', '中', '\u{301}', '.', ' ', '\n'], 6);
}

/// Strings on which whitespace depends on what comes before and after.
#[test]
fn every_string_of_seven_from_newlines_spaces_and_what_they_join() {
    for pair in Pair::all() {
        pair.check_strings(&['a', '.', ' ', '\n', '/'], 7);
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
    let number = few_or(100_000, 1_200_000);
    for pair in Pair::all() {
        check_random_strings(&pair, number as u64, number);
        passed("R9", number);
    }
}

/// The portable form is written to tokenizer.json.
#[test]
fn the_portable_form_is_the_same_pattern() {
    for (name, _) in PUBLISHED {
        let scanner = Pattern::new(name).unwrap();
        let portable = scanner.portable_splits();
        let portable: Vec<&str> = portable.iter().map(String::as_str).collect();
        assert_eq!(Pattern::from_splits(&portable).unwrap().name(), name);
        let pair = Pair::new(&portable);
        check_random_strings(&pair, 4, 3_000);
        pair.check_strings(&['a', '1', ' ', '\n', '.', '\'', 's'], 4);
    }
}

fn all_grammars() -> Vec<Grammar> {
    let mut all = Vec::new();
    for words in [Words::Letters, Words::LettersAndMarks, Words::Cased, Words::CasedBesideHan] {
        for contractions in
            [Contractions::None, Contractions::Small, Contractions::Ascii, Contractions::AnyCase]
        {
            for max_numbers in [1, 2, 3, usize::MAX] {
                for after_others in [AfterOthers::Newlines, AfterOthers::NewlinesAndSlashes] {
                    for keeps_last_whitespace in [false, true] {
                        all.push(Grammar {
                            words,
                            contractions,
                            max_numbers,
                            after_others,
                            keeps_last_whitespace,
                        });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn every_combination_of_parameters_is_its_expression() {
    for (i, grammar) in (0..).zip(all_grammars()) {
        let expression = grammar.expression();
        assert_eq!(Grammar::recognize(&expression), Some(grammar), "{expression}");
        check_random_strings(&Pair::new(&[&expression]), 100 + i, 150);
    }
}

/// Expressions as others write them.
#[test]
fn other_spellings_of_the_family_get_a_scanner() {
    let others_and_tail = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let with_class = |contractions: &str| {
        format!(r"{contractions}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{others_and_tail}")
    };
    for (expression, name) in [
        (GPT2_PATTERN.to_owned(), "gpt2"),
        (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+".to_owned(), "gpt2"),
        (with_class("(?i:'s|'t|'re|'ve|'m|'ll|'d)"), "llama3"),
        (with_class("'(?i:[sdmt]|ll|ve|re)"), "llama3"),
        (format!("({})", with_class("'(?i:[sdmt]|ll|ve|re)")), "llama3"),
        (with_class("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"), ""),
        (with_class("'s|'t|'re|'ve|'m|'ll|'d"), ""),
        (with_class("'(?:[sdmt]|ll|ve|re)"), ""),
        (format!(r"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,2}}|{others_and_tail}"), ""),
        (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+".to_owned(), ""),
        (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?![\s\S])|\s*[\r\n]|\s+(?!\S)|\s".to_owned(), "cl100k"),
    ] {
        let pair = Pair::new(&[&expression]);
        assert_eq!(pair.scanner.name(), if name.is_empty() { &expression } else { name });
        assert_eq!(Pattern::new(pair.scanner.name()).unwrap().source(), pair.scanner.source());
        check_random_strings(&pair, 5, 3_000);
        pair.check_strings(&['a', 'S', '1', ' ', '\n', '.', '\'', 's'], 4);
    }
}

#[test]
fn what_only_looks_like_the_family_goes_to_the_regex_engine() {
    for (from, to) in [
        (r"\p{N}{1,3}", r"\p{N}{2,3}"),
        (r"\p{N}{1,3}", r"\p{N}{1,12}"),
        (r"\p{N}{1,3}", r"\p{N}*"),
        (r"\p{L}+", r"\p{L}*"),
        (r"\p{L}+", r"\p{Lu}+"),
        (r"[\r\n]*", r"[\r]*"),
        (r"|\s+(?!\S)", ""),
        (r"\s*[\r\n]+", r"\s?[\r\n]+"),
        (r"[^\r\n\p{L}\p{N}]?", r"[^\r\n\p{L}]?"),
        (r"'ll|", ""),
        (r"(?i:", r"(?x:"),
        (r" ?[^", r" [^"),
        (r"|\s+(?!", r"||\s+(?!"),
    ] {
        let expression = LLAMA3_PATTERN.replacen(from, to, 1);
        assert_ne!(expression, LLAMA3_PATTERN);
        assert!(!Pattern::new(&expression).unwrap().has_scanner(), "{expression}");
    }
    let mixed = QWEN35_PATTERN.replace(r"[^\s\p{L}\p{M}\p{N}]", r"[^\s\p{L}\p{N}]");
    assert!(!Pattern::new(&mixed).unwrap().has_scanner());
    let with_han = format!(r"[\p{{Han}}]+|{O200K_PATTERN}");
    assert!(!Pattern::new(&with_han).unwrap().has_scanner());
    let possessive = QWEN35_PATTERN.replacen("]?", "]?+", 1);
    assert!(!Pattern::new(&possessive).unwrap().has_scanner());
    let Err(Error::Pattern { reason, .. }) = Pattern::from_splits(&[r"\p{N}", "a"]) else {
        panic!("a chain that is not known")
    };
    assert!(reason.contains("DeepSeek"), "{reason}");
}

const PIECES: [&str; 70] = [
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
    "カタカナ",
    "ア・イ",
    "\u{3099}",
    "\u{3040}",
    "〇",
    "⺀",
    "々",
    "'été",
    "\u{0}\u{0}",
    "\u{ad}",
    "+",
    " \n ",
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

fn check_bytes_that_do_not_decode(Pair { scanner, splits }: &Pair) {
    let mut random = Random(2);
    let alphabet =
        b"abAs 1./\n\r'\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\x80\xC0\xED\xA0\xF5\xC2\xA0\xE2\x80\x83\xCC\x81\xC5\xBF";
    for _ in 0..40_000 {
        let text = random.bytes(14, alphabet);
        assert_eq!(scanner.pretokens(&text).unwrap(), regex_pretokens(splits, &text), "{text:x?}");
    }
}

#[test]
fn every_byte_is_in_exactly_one_pretoken() {
    let mut random = Random(3);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let others = [r"\p{L}+", "b*", ".", "(?=a)", r"\w+|[^\w\s]+", "", r"(?s).+", r"(.)\1|\s+(?!\S)"];
    for pattern in Pattern::names().chain(others).map(|pattern| Pattern::new(pattern).unwrap()) {
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
    let aliases = [
        ("gpt2", "gpt2"),
        ("cl100k", "cl100k_base"),
        ("o200k", "o200k_base"),
        ("o200k", "gpt-oss"),
        ("llama3", "glm4"),
        ("qwen2", "qwen3"),
        ("kimi_k2", "kimi"),
        ("deepseek_v3", "deepseek_r1"),
    ];
    let names: Vec<&str> = Pattern::names().collect();
    assert_eq!(names, PUBLISHED.map(|(name, _)| name));
    for (name, splits) in PUBLISHED {
        let aliases = aliases.iter().filter(|alias| alias.0 == name).map(|alias| alias.1);
        for spelling in aliases.chain([name, splits.join("\n").as_str()]) {
            let pattern = Pattern::new(spelling).unwrap();
            assert_eq!((pattern.name(), pattern.source()), (name, splits.join("\n").as_str()));
            assert_eq!(pattern.splits(), splits);
            assert!(pattern.has_scanner() && pattern.has_safe_cuts());
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
    assert_eq!(split("llama3", "a\n  "), ["a", "\n", "  "]);
    assert_eq!(split("llama3", "DON'T 1234"), ["DON", "'T", " ", "123", "4"]);
    assert_eq!(split("qwen2", "1234"), ["1", "2", "3", "4"]);
    assert_eq!(split("qwen2", "e\u{301}a"), ["e", "\u{301}a"]);
    assert_eq!(split("qwen3.5", "e\u{301}a"), ["e\u{301}a"]);
    assert_eq!(split("tekken", "DON'T 12"), ["DON", "'T", " ", "1", "2"]);
    assert_eq!(split("kimi_k2", "汉字abc 12〇"), ["汉字", "abc", " ", "12〇"]);
    assert_eq!(split("deepseek_v3", " 12  .net .été\n"), [" ", "12", " ", " .", "net", " .", "été", "\n"]);
    assert_eq!(split("deepseek_v3", " ア・イ!\n"), [" ", "ア", "・", "イ", "!\n"]);
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
                text.extend(random.bytes(12, b"aA1 \n\n\r'l./\xFF\x80\xC2\xA0\xCC\x81\xE4\xB8\xAD"));
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

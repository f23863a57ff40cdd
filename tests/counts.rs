//! Counting a corpus: the counts are the same for every chunk size, thread count and order of files, and
//! equal those of a plain map.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::{Corpus, Cutter};
use bpe_lm::counts::{HashSeed, Knobs, PretokenCounts, count_pretokens, count_with_knobs};
use bpe_lm::error::Error;
use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use common::Random;
use common::naive::Counts;
use common::row::passed;
use std::path::PathBuf;

/// Splits at special tokens by trying every token at every place, and counts in an ordered map.
fn naive_counts(texts: &[Vec<u8>], pattern: &Pattern, special_tokens: &[String]) -> Counts {
    let mut counts = Counts::new();
    for text in texts {
        let (mut start, mut at) = (0, 0);
        let mut stretches = Vec::new();
        while at < text.len() {
            let longest = special_tokens
                .iter()
                .filter(|token| text[at..].starts_with(token.as_bytes()))
                .max_by_key(|t| t.len());
            if let Some(token) = longest {
                stretches.push(&text[start..at]);
                at += token.len();
                start = at;
            } else {
                at += 1;
            }
        }
        stretches.push(&text[start..]);
        for stretch in stretches {
            for pretoken in pattern.pretokens(stretch).unwrap() {
                *counts.entry(pretoken.to_vec()).or_default() += 1;
            }
        }
    }
    counts
}

fn collect(counts: &PretokenCounts) -> Counts {
    let collected: Counts = counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect();
    assert_eq!(collected.len(), counts.len());
    collected
}

fn count(
    corpus: &Corpus,
    pattern: &Pattern,
    special: &SpecialTokens,
    chunk_bytes: usize,
    threads: usize,
) -> Counts {
    let cutter = Cutter { pattern, special_tokens: special, chunk_bytes };
    let knobs = Knobs { min_share: 1, ..Knobs::new(threads) };
    collect(&count_with_knobs(corpus, cutter, threads, &Job::default(), knobs).unwrap())
}

const PIECES: [&str; 34] = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "a",
    "word",
    " word",
    "don't",
    "'s",
    "'ll",
    "12",
    "...",
    "中",
    "é",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "<|endoftext|>",
    "<|end of text|>",
    "<|",
    "of",
    "|>",
    "x<x",
    "x",
    "averyveryverylongword",
    "\r\n",
    "...\n",
    "/",
    "Word",
    "HTTPServer",
    "'LL",
    "12345",
    "e\u{301}",
];

#[test]
fn chunks_threads_and_cuts_never_change_the_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(5);
    let patterns = ["gpt2", "cl100k", "o200k", r"\p{L}+|\s+", r"[^\s]+\s*"];
    let patterns = patterns.map(|pattern| Pattern::new(pattern).unwrap());
    let tokens: [&[&str]; 5] = [
        &[],
        &["<|endoftext|>"],
        &["<|endoftext|>", "<|end of text|>"],
        &["x<x", "<x"],
        &["x", "xx", "wo", " word", "a\n"],
    ];
    for case in 0..3500 {
        let pattern = &patterns[if case % 3 == 0 { random.below(5) } else { random.below(3) }];
        let special = SpecialTokens::new(random.pick(&tokens).iter().copied()).unwrap();
        let texts: Vec<Vec<u8>> = (0..1 + random.below(3))
            .map(|_| {
                let mut text = random.text(60, &PIECES).into_bytes();
                if random.below(4) == 0 {
                    text.extend(random.bytes(30, b"\xFF\x80\xC2\xA0\xE3\x80 a\n"));
                }
                text.push(*random.pick(b"a \n"));
                text
            })
            .collect();
        let mut paths: Vec<PathBuf> =
            (0..texts.len()).map(|i| folder.path().join(format!("{i}.txt"))).collect();
        for (path, text) in paths.iter().zip(&texts) {
            std::fs::write(path, text).unwrap();
        }
        let expected = naive_counts(&texts, pattern, special.as_slice());
        let (chunk_bytes, threads) = (1 + random.below(64), 1 + random.below(8));
        paths.rotate_left(random.below(texts.len()));
        let from_files = count(&Corpus::open(&paths).unwrap(), pattern, &special, chunk_bytes, threads);
        assert_eq!(from_files, expected, "case {case}: {special:?} {chunk_bytes} {texts:?}");
        let from_texts = count(&Corpus::from_texts(texts.clone()), pattern, &special, chunk_bytes, threads);
        assert_eq!(from_texts, expected, "case {case}: {special:?} {chunk_bytes} {texts:?}");
    }
    passed("R12", 2 * 3500);
}

/// Several windows a chunk, several batches a window, and words that many threads meet for the first time at once.
#[test]
fn a_megabyte_of_random_words_on_eight_threads_counts_as_a_map_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let special = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    for (case, alphabet) in [&b"abcdefghijklmnopqrstuvwxyz"[..], b"ab", b"\xC3\xA9z"].into_iter().enumerate()
    {
        let mut text = Vec::new();
        while text.len() < 1 << 20 {
            let longest = if random.below(50) == 0 { 300 } else { 12 };
            text.extend(random.bytes(longest, alphabet));
            text.extend_from_slice(random.pick(&[" ", " ", " ", "\n", ", ", "<|endoftext|>"]).as_bytes());
        }
        text.truncate(1 << 20);
        let path = folder.path().join(format!("{case}.txt"));
        std::fs::write(&path, &text).unwrap();
        for pattern in ["gpt2", "cl100k", "o200k"].map(|pattern| Pattern::new(pattern).unwrap()) {
            let expected = naive_counts(std::slice::from_ref(&text), &pattern, special.as_slice());
            for chunk_bytes in [1 << 10, 5000, 1 << 14, 1 << 16] {
                let found = count(&Corpus::open([&path]).unwrap(), &pattern, &special, chunk_bytes, 8);
                assert!(found == expected, "case {case}: {pattern:?} {chunk_bytes}");
            }
        }
    }
}

/// Settings under which tables are full after a dozen pretokens, and counts are carried over after a hundred.
fn small_knobs(random: &mut Random) -> Knobs {
    // A table of many lines is not searched for long pretokens after each of them, which would take minutes.
    let (max_lines, max_long): (&[_], &[_]) = match random.below(3) {
        0 => (&[1 << 12, 1 << 15], &[10_000, 1 << 22]),
        _ => (&[1, 2, 4, 8], &[0, 100, 10_000]),
    };
    Knobs {
        isa: *random.pick(&Isa::available()),
        min_share: *random.pick(&[1, 1 << 18]),
        max_lines: *random.pick(max_lines),
        num_shards: *random.pick(&[1, 2, 64, 256]),
        max_long: *random.pick(max_long),
        carry_after: *random.pick(&[1, 100, 5000, 1 << 31]),
        seed: *random.pick(&[HashSeed::of_process(), HashSeed::chosen(3, 1 << 60), HashSeed::chosen(0, 0)]),
        ..Knobs::new(1)
    }
}

/// Every eviction, every carry and every delivery to a shard is reached, by up to 32 threads.
#[test]
fn full_tables_and_any_number_of_shards_and_threads_count_as_a_map_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let mut random = Random(18);
    let special = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    for case in 0..12 {
        let mut text = Vec::new();
        while text.len() < 1 << 20 {
            let longest = *random.pick(&[3, 3, 6, 6, 12, 30, 200]);
            text.extend(random.bytes(longest, b"abcdefghij"));
            text.extend_from_slice(random.pick(&[" ", " ", " ", "\n", ", ", "<|endoftext|>"]).as_bytes());
            if random.below(5000) == 0 {
                text.extend(vec![b'z'; 4000 + random.below(200)]);
            }
        }
        std::fs::write(&path, &text).unwrap();
        let expected = naive_counts(std::slice::from_ref(&text), &Pattern::Gpt2, special.as_slice());
        for threads in [1, 2, 3, 8, 32] {
            let chunk_bytes = *random.pick(&[1 << 10, 5000, 1 << 14, 1 << 16]);
            let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special, chunk_bytes };
            let knobs = small_knobs(&mut random);
            let corpus = Corpus::open([&path]).unwrap();
            let found = count_with_knobs(&corpus, cutter, threads, &Job::default(), knobs).unwrap();
            assert!(collect(&found) == expected, "case {case}: {threads} {chunk_bytes} {knobs:?}");
        }
    }
    passed("R13", 12 * 5);
}

/// Pretokens around the lengths at which they are no longer their own key, and no longer kept in a table.
#[test]
fn long_pretokens_are_counted_with_every_bound_of_their_memory() {
    let mut random = Random(19);
    let words: Vec<Vec<u8>> = [14, 15, 16, 17, 300, 4095, 4096, 4097, 5000]
        .into_iter()
        .flat_map(|len| [vec![b'a'; len], [vec![b'a'; len - 1], vec![b'b']].concat()])
        .collect();
    let mut texts = Vec::new();
    for _ in 0..60 {
        let words: Vec<&[u8]> = (0..random.below(60)).map(|_| &random.pick(&words)[..]).collect();
        texts.push([&words.join(&b' ')[..], b"."].concat());
    }
    let special = SpecialTokens::default();
    let expected = naive_counts(&texts, &Pattern::Gpt2, &[]);
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special, chunk_bytes: 1000 };
    for _ in 0..40 {
        let threads = 1 + random.below(4);
        let knobs = small_knobs(&mut random);
        let corpus = Corpus::from_texts(texts.clone());
        let found = count_with_knobs(&corpus, cutter, threads, &Job::default(), knobs).unwrap();
        assert_eq!(collect(&found), expected, "{threads} {knobs:?}");
    }
}

/// Special tokens, one of them in another, begin and end at every place of chunks of 1 to 64 bytes.
#[test]
fn special_tokens_on_every_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let special = SpecialTokens::new(["<|endoftext|>", "<|end", " x "]).unwrap();
    for shift in 0..64 {
        let filler = &"two words, 12 numbers\n\n  and don't stop; it goes on and on and on "[..shift];
        let text =
            [filler, "<|endoftext|>", filler, " <|end", filler, " x x ", filler, "<|endoftext|>"].concat();
        std::fs::write(&path, &text).unwrap();
        for pattern in ["gpt2", "cl100k", "o200k"].map(|pattern| Pattern::new(pattern).unwrap()) {
            let expected = naive_counts(&[text.clone().into_bytes()], &pattern, special.as_slice());
            for chunk_bytes in 1..=64 {
                let corpus = Corpus::open([&path]).unwrap();
                let found = count(&corpus, &pattern, &special, chunk_bytes, 1 + chunk_bytes % 2);
                assert_eq!(found, expected, "{pattern:?} {chunk_bytes} {text:?}");
            }
        }
    }
}

#[test]
fn a_stretch_without_a_place_to_cut_makes_a_longer_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    for unit in ["a", "\n", "中", "\u{3000}"] {
        let text = format!("a b {} c d", unit.repeat(100_000));
        std::fs::write(&path, &text).unwrap();
        let special = SpecialTokens::default();
        let expected = naive_counts(&[text.into_bytes()], &Pattern::Gpt2, &[]);
        for chunk_bytes in [1, 1000, 1 << 20] {
            let corpus = Corpus::open([&path]).unwrap();
            assert_eq!(count(&corpus, &Pattern::Gpt2, &special, chunk_bytes, 2), expected, "{unit:?}");
        }
    }
}

#[test]
fn pretokens_of_every_length_are_told_apart() {
    let mut counts = PretokenCounts::default();
    let mut expected = Counts::new();
    let mut random = Random(6);
    for _ in 0..20_000 {
        let pretoken = random.bytes(40, b"a\0");
        let count = random.next() >> random.below(64);
        if !pretoken.is_empty() && count > 0 && count < 1 << 40 {
            counts.add(&pretoken, count).unwrap();
            *expected.entry(pretoken).or_default() += count;
        }
    }
    assert_eq!(collect(&counts), expected);
}

#[test]
fn what_occurs_never_or_is_empty_is_not_counted() {
    let mut counts = PretokenCounts::default();
    assert!(counts.is_empty());
    counts.add(b"", 5).unwrap();
    counts.add(b"a", 0).unwrap();
    assert!(counts.is_empty());
    assert_eq!(collect(&counts), Counts::new());
    counts.add(b"a", 2).unwrap();
    assert!(!counts.is_empty());
    assert_eq!(collect(&counts), Counts::from([(b"a".to_vec(), 2)]));
}

#[test]
fn the_bytes_of_a_corpus_include_its_special_tokens() {
    let special = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special, chunk_bytes: 10 };
    let texts = [&b"two words"[..], b"", b"<|endoftext|>", b" end<|endoftext|>"].map(<[u8]>::to_vec);
    let counts = count_pretokens(&Corpus::from_texts(texts), cutter, 2, &Job::default()).unwrap();
    assert_eq!(counts.num_bytes(), 9 + 13 + 17);
    assert_eq!(collect(&counts).into_keys().collect::<Vec<_>>(), [&b" end"[..], b" words", b"two"]);
    let only = Corpus::from_texts([b"<|endoftext|>".to_vec()]);
    assert!(count_pretokens(&only, cutter, 2, &Job::default()).unwrap().is_empty());
}

#[test]
fn bad_corpora_are_errors_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("text"), "text").unwrap();
    assert!(matches!(Corpus::open([path("missing")]), Err(Error::CorpusFile { .. })));
    assert!(matches!(Corpus::open([path("text"), path("empty")]), Err(Error::EmptyCorpus { .. })));
    assert!(matches!(Corpus::open([folder.path()]), Err(Error::NotAFile { .. })));
    assert!(matches!(Corpus::open(Vec::<PathBuf>::new()), Err(Error::EmptyCorpus { .. })));
}

#[test]
fn errors_in_the_middle_stop_all_workers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "word ".repeat(100_000)).unwrap();
    let special_tokens = SpecialTokens::default();
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 1000 };

    let knobs = Knobs { min_share: 1, ..Knobs::new(3) };
    let shrunk = Corpus::open([&path]).unwrap();
    std::fs::write(&path, "word").unwrap();
    let counted = count_with_knobs(&shrunk, cutter, 3, &Job::default(), knobs);
    assert!(matches!(counted, Err(Error::FileChanged { .. })));

    let job = Job::default();
    job.cancel();
    assert!(matches!(
        count_with_knobs(&Corpus::open([&path]).unwrap(), cutter, 3, &job, knobs),
        Err(Error::Cancelled)
    ));

    for empty in [vec![], vec![vec![]]] {
        let counted = count_pretokens(&Corpus::from_texts(empty), cutter, 2, &Job::default());
        assert!(matches!(counted, Err(Error::EmptyCorpus { .. })));
    }

    let pattern = Pattern::new(r"w|(a*)*b\1").unwrap();
    let cutter = Cutter { pattern: &pattern, ..cutter };
    let texts = vec![b"www".to_vec(), [&b"ww"[..], &[b'a'; 200]].concat()];
    let counted = count_pretokens(&Corpus::from_texts(texts), cutter, 2, &Job::default());
    let Err(Error::PatternLimit { text, offset, .. }) = counted else { panic!("should give up") };
    assert_eq!((text.as_str(), offset), ("text number 1 (from 0)", 2));
}

#[test]
fn a_panic_of_an_iterator_is_an_error_and_the_job_counts_again() {
    let job = Job::default();
    let (pattern, special) = (Pattern::Gpt2, SpecialTokens::default());
    let cutter = Cutter { pattern: &pattern, special_tokens: &special, chunk_bytes: 10 };
    let text = |n: usize| if n == 50 { panic!("text {n} on purpose") } else { b"some words".to_vec() };
    let error = count_pretokens(&Corpus::from_texts((0..100).map(text)), cutter, 4, &job).err().unwrap();
    assert!(matches!(&error, Error::Internal(message) if message == "text 50 on purpose"), "{error}");
    let counts = count_pretokens(&Corpus::from_texts((0..50).map(text)), cutter, 4, &job).unwrap();
    assert_eq!(collect(&counts), Counts::from([(b"some".to_vec(), 50), (b" words".to_vec(), 50)]));
}

#[test]
fn a_corpus_is_read_once() {
    let (pattern, special) = (Pattern::Gpt2, SpecialTokens::default());
    let corpus = Corpus::from_texts([b"some words".to_vec()]);
    assert_eq!(count(&corpus, &pattern, &special, 10, 1).len(), 2);
    let cutter = Cutter { pattern: &pattern, special_tokens: &special, chunk_bytes: 10 };
    let error = count_pretokens(&corpus, cutter, 1, &Job::default()).err().unwrap();
    assert!(error.to_string().contains("opened anew"), "{error}");
}

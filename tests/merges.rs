//! The merge learner against the oracle in `common/naive.rs`, with every option that changes only the time
//! and must not change the result.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::counts::PretokenCounts;
use bpe_lm::job::Job;
use bpe_lm::merges::{Learned, MergeOptions, Merges, Start, TieBreak, learn_merges, learn_more};
use common::naive::{Counts, Naive, NaiveStart, Token, apply};
use common::row::{few_or, passed};
use common::{Random, spell};
use std::collections::{BTreeSet, HashMap};

fn learn(counts: &Counts, options: MergeOptions) -> Vec<(Token, Token)> {
    spell(&learn_and_count(counts, options).merges)
}

fn learn_and_count(counts: &Counts, options: MergeOptions) -> Learned {
    learn_merges(table(counts), options, &Job::default()).unwrap()
}

fn table(counts: &Counts) -> PretokenCounts {
    let mut table = PretokenCounts::default();
    for (pretoken, &count) in counts {
        table.add(pretoken, count).unwrap();
    }
    table
}

fn naive(options: &MergeOptions) -> Naive {
    Naive {
        num_merges: options.num_merges,
        tie_break: options.tie_break,
        min_frequency: options.min_frequency,
        max_token_length: options.max_token_length,
    }
}

fn random_counts(random: &mut Random) -> Counts {
    let runs = [b'a', b'a', b'a', b'a', b'a', b'a', b'b'];
    let alphabets: [&[u8]; 6] = [b"ab", b"abc", &runs, b"\xFA\xFB\xFC\xFD\xFE\xFF", b"abcdefgh \x00", b"a"];
    let all_scales: [&[u64]; 5] = [&[1], &[1, 2], &[1, 2, 1 << 33], &[3, 5, 7, 11], &[1 << 31, 1 << 32]];
    let (alphabet, scales) = (*random.pick(&alphabets), *random.pick(&all_scales));
    let longest = *random.pick(&[3, 8, 20, 60]);
    (0..1 + random.below(30))
        .map(|_| (random.bytes(longest, alphabet), *random.pick(scales)))
        .filter(|(word, _)| !word.is_empty())
        .collect()
}

fn random_options(random: &mut Random) -> MergeOptions {
    MergeOptions {
        tie_break: *random.pick(&[TieBreak::Bytes, TieBreak::Hf]),
        min_frequency: *random.pick(&[1, 1, 1, 2, 5]),
        max_token_length: *random.pick(&[usize::MAX, usize::MAX, 2, 3, 7]),
        threshold_divisor: *random.pick(&[1, 2, 16, u64::MAX]),
        long_word: *random.pick(&[0, 1, 4, 128]),
        max_dead_sites: *random.pick(&[0, 1, 10, 1 << 16]),
        // Beyond 65,278 merges symbols are u32.
        num_merges: *random.pick(&[0, 1, 10, 200, 65_278, 65_279, 70_000]),
        min_share: *random.pick(&[1, 10, 100, 1 << 18]),
        min_sites: *random.pick(&[1, 2, 5, 1 << 13]),
        threads: *random.pick(&[1, 2, 3, 4, 8, 32]),
    }
}

/// The oracle merges no pair whose bytes are a token already. The learner looks only at tokens that no merge makes. In debug
/// builds it also checks that no count rises.
#[test]
fn incremental_merges_after_those_of_another_corpus_match_recounting() {
    let num_corpora = few_or(1000, 40_000);
    let mut random = Random(num_corpora as u64);
    let mut num_blocked = 0;
    for case in 0..num_corpora {
        let (old_counts, counts) = (random_counts(&mut random), random_counts(&mut random));
        // Half of the cases have the letters of the old corpus.
        let counts = if random.below(2) == 0 { counts } else { mixed(&old_counts, &mut random) };
        let old_options = random_options(&mut random);
        let num_merges = random.below(25);
        let old = learn_and_count(&old_counts, MergeOptions { num_merges, ..old_options }).merges;
        let words: Vec<&Vec<u8>> = counts.keys().filter(|word| word.len() > 1).collect();
        let part = |random: &mut Random| {
            let word = *random.pick(&words);
            let start = random.below(word.len() - 1);
            word[start..word.len().min(start + 2 + random.below(4))].to_vec()
        };
        let num_unmade = if words.is_empty() { 0 } else { random.below(6) };
        let merges = spell(&old);
        let is_made = |token: &Token| merges.iter().any(|(a, b)| [&a[..], b].concat() == *token);
        let start = NaiveStart {
            unmade: (0..num_unmade).map(|_| part(&mut random)).filter(|token| !is_made(token)).collect(),
            merges,
            takes_whole: random.below(2) == 0,
        };
        let options = random_options(&mut random);
        let case = format!("case {case}: {options:?} {start:?} {counts:?}");
        let expected = naive(&options).learn_more(&counts, &start);
        let learned = extend(&counts, &old, &start, options);
        let all = Merges::from_pairs([old.as_slice(), learned.merges.as_slice()].concat());
        assert_eq!(spell(&all)[old.len()..], expected.merges, "{case}");
        assert_eq!(learned.merge_counts, expected.merge_counts, "{case}");
        let mut uses = expected.token_uses;
        uses.retain(|token, _| !start.unmade.contains(token) || !start.takes_whole);
        assert_eq!(uses_by_token(&Learned { merges: all.clone(), ..learned }), uses, "{case}");
        // The longer list encodes each word as learning left it.
        let pairs: HashMap<_, _> = spell(&all).into_iter().zip(0..).collect();
        for (word, tokens) in counts.keys().zip(&expected.words) {
            assert!(tokens.len() == 1 || apply(word, &pairs).0 == *tokens, "{case} {word:?}");
        }
        let mut tokens: Vec<Token> = spell(&all).iter().map(|(a, b)| [&a[..], b].concat()).collect();
        tokens.sort();
        assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]), "{case}");
        if !start.takes_whole {
            let free = NaiveStart { unmade: BTreeSet::new(), ..start };
            num_blocked += usize::from(naive(&options).learn_more(&counts, &free).merges != expected.merges);
        }
    }
    assert!(num_blocked > num_corpora / 20, "{num_blocked} cases have a pair that may not be merged");
    passed("R10", num_corpora);
}

/// Words of the old corpus, put together anew.
fn mixed(old: &Counts, random: &mut Random) -> Counts {
    let words: Vec<&Vec<u8>> = old.keys().collect();
    if words.is_empty() {
        return Counts::new();
    }
    (0..1 + random.below(20))
        .map(|_| {
            let mut word = words[random.below(words.len())].clone();
            let middle = random.below(word.len());
            word.rotate_left(middle);
            word.extend(words[random.below(words.len())]);
            (word, 1 + random.next() % 5)
        })
        .collect()
}

fn extend(counts: &Counts, old: &Merges, start: &NaiveStart, options: MergeOptions) -> Learned {
    let pairs: HashMap<(Token, Token), usize> = start.merges.iter().cloned().zip(0..).collect();
    let made = start.merges.iter().map(|(a, b)| [&a[..], b].concat());
    let symbols: HashMap<Token, u32> = (0..=255).map(|byte| vec![byte]).chain(made).zip(0..).collect();
    let encode = |word: &[u8], _: u64, out: &mut Vec<u32>| {
        if !(start.takes_whole && start.unmade.contains(word)) {
            out.extend(apply(word, &pairs).0.iter().map(|token| symbols[token]));
        }
        Ok(())
    };
    let taken = start.unmade.iter().cloned().collect();
    let start = Start { merges: old.as_slice().to_vec(), taken, encode: Some(Box::new(encode)) };
    learn_more(table(counts), start, options, &Job::default()).unwrap()
}

#[test]
fn incremental_merges_match_recounting() {
    let num_corpora = few_or(2000, 10_000);
    let mut random = Random(num_corpora as u64);
    for case in 0..num_corpora {
        let (counts, options) = (random_counts(&mut random), random_options(&mut random));
        let learned = learn_and_count(&counts, options);
        let expected = naive(&options).learn_and_count(&counts);
        let case = format!("case {case}: {options:?} {counts:?}");
        assert_eq!(spell(&learned.merges), expected.merges, "{case}");
        assert_eq!(learned.merge_counts, expected.merge_counts, "{case}");
        assert_eq!(learned.token_uses.len(), 256 + expected.merges.len(), "{case}");
        assert_eq!(uses_by_token(&learned), expected.token_uses, "{case}");
    }
    passed("R10", num_corpora);
}

#[test]
fn every_number_of_threads_learns_the_same_merges() {
    let mut random = Random(18);
    // Words of parts that recur, as words of a language do, and some with a pair that occurs in them often.
    let parts: Vec<Vec<u8>> =
        (0..300).map(|_| random.bytes(4, b"abcdefghijklmnopqrstuvwxyz\xC3\xA9")).collect();
    let mut counts = Counts::new();
    for i in 0..20_000 {
        let word: Vec<u8> = (0..1 + random.below(4)).flat_map(|_| parts[random.below(300)].clone()).collect();
        let word = if i % 50 == 0 { word.repeat(1 + random.below(40)) } else { word };
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1 + random.next() % 30;
        }
    }
    let usual = MergeOptions::new(2000);
    let expected = learn_and_count(&counts, usual);
    assert_eq!(expected.merges.len(), 2000);
    for threads in [2, 3, 8, 32] {
        let few = MergeOptions { threads, min_share: 1000, min_sites: 50, max_dead_sites: 1000, ..usual };
        assert_eq!(learn_and_count(&counts, few), expected, "{threads} threads");
        let rescanned = MergeOptions { threshold_divisor: 2, long_word: 12, ..few };
        assert_eq!(learn_and_count(&counts, rescanned), expected, "{threads} threads");
    }
    passed("R13", 8);
}

/// The number of occurrences of each token that occurs.
fn uses_by_token(learned: &Learned) -> Counts {
    let merged = spell(&learned.merges).into_iter().map(|(a, b)| [a, b].concat());
    let tokens = (0..=255).map(|byte| vec![byte]).chain(merged);
    tokens.zip(learned.token_uses.iter().copied()).filter(|&(_, uses)| uses > 0).collect()
}

fn words(words: &[(&str, u64)]) -> Counts {
    words.iter().map(|&(word, count)| (word.as_bytes().to_vec(), count)).collect()
}

fn check_all_knobs(counts: &Counts) -> Vec<(Token, Token)> {
    let expected = naive(&MergeOptions::new(1000)).learn(counts);
    for threshold_divisor in [1, 2, 16, 1 << 40] {
        for long_word in [0, 2, 128] {
            let options = MergeOptions { threshold_divisor, long_word, ..MergeOptions::new(1000) };
            assert_eq!(learn(counts, options), expected, "{options:?}");
        }
    }
    expected
}

fn pair(a: &str, b: &str) -> (Token, Token) {
    (a.as_bytes().to_vec(), b.as_bytes().to_vec())
}

#[test]
fn the_greater_pair_of_byte_strings_wins_a_tie() {
    assert_eq!(check_all_knobs(&words(&[("ab", 5), ("cd", 5), ("zy", 5)]))[0], pair("z", "y"));
    // A pair is a tuple, not a concatenation: ("ab", "c") is greater than ("a", "bc").
    let merges =
        check_all_knobs(&words(&[("ab", 90), ("bc", 80), ("abx", 1), ("abc", 20), ("xabc", 7), ("axbc", 3)]));
    assert_eq!(merges[0], pair("a", "b"));
    // A token that is a prefix of another one is the smaller.
    let merges = check_all_knobs(&words(&[("ab", 9), ("abx", 4), ("ax", 4)]));
    assert_eq!(merges, [pair("a", "b"), pair("ab", "x"), pair("a", "x")]);
    // Equal in their first eight bytes, and with zero bytes where a shorter one ends.
    check_all_knobs(&words(&[("aaaaaaaaab", 2), ("aaaaaaaaac", 2), ("a\0\0", 2), ("a\0", 2), ("\0\0\0", 3)]));
}

#[test]
fn overlapping_pairs_are_merged_from_the_left() {
    for n in 1..40 {
        check_all_knobs(&words(&[(&"a".repeat(n), 3)]));
        check_all_knobs(&words(&[(&"ab".repeat(n), 3), (&"ba".repeat(n), 2)]));
        check_all_knobs(&words(&[(&"a".repeat(n), 3), (&"aab".repeat(n), 1), (&"abb".repeat(n), 1)]));
    }
}

#[test]
fn all_counts_equal() {
    let counts: Counts = (0..=255u8).map(|b| (vec![b, b.wrapping_add(1), b], 7)).collect();
    check_all_knobs(&counts);
}

#[test]
fn learning_ends_when_pairs_run_out() {
    assert_eq!(check_all_knobs(&Counts::new()), []);
    assert_eq!(check_all_knobs(&words(&[("a", 10), ("b", 1 << 40)])), []);
    assert_eq!(check_all_knobs(&words(&[("ab", 1)])), [pair("a", "b")]);
}

#[test]
fn words_of_one_symbol_count_as_uses() {
    let counts = words(&[("a", 10), ("ab", 3), ("abab", 2), ("b", 1 << 40)]);
    for (num_merges, uses) in [
        (0, [("a", 17), ("b", (1 << 40) + 7)].as_slice()),
        (1, &[("a", 10), ("ab", 7), ("b", 1 << 40)]),
        (9, &[("a", 10), ("ab", 3), ("abab", 2), ("b", 1 << 40)]),
    ] {
        for long_word in [0, 3, 128] {
            let options = MergeOptions { long_word, ..MergeOptions::new(num_merges) };
            let learned = learn_and_count(&counts, options);
            assert_eq!(uses_by_token(&learned), words(uses));
            assert_eq!(learned.merge_counts, [7, 2][..num_merges.min(2)]);
        }
    }
}

#[test]
fn counts_beyond_32_bits_are_summed_exactly() {
    for n in [1 << 31, (1 << 31) - 1, 1 << 32, (1 << 32) + 1, 1 << 59] {
        check_all_knobs(&words(&[("ab", n), ("abc", n - 1), ("bc", 1), ("cd", n + 1)]));
    }
    passed("R15", 5);
}

#[test]
fn counts_beyond_63_bits_are_an_error_not_a_wrong_vocabulary() {
    let overflows = |entries: &[(&str, u64)]| {
        let mut counts = PretokenCounts::default();
        let added: Result<(), _> = entries.iter().try_for_each(|(word, n)| counts.add(word.as_bytes(), *n));
        added.and_then(|()| learn_merges(counts, MergeOptions::new(9), &Job::default()).map(drop)).is_err()
    };
    assert!(overflows(&[("ab", 1 << 62)]));
    assert!(overflows(&[("ab", 1 << 61), ("cd", 1 << 61)]));
    assert!(overflows(&[("a", 1 << 63)]));
    assert!(overflows(&[("ab", u64::MAX - 1), ("ab", 1)]));
    assert!(overflows(&[("ab", u64::MAX - 1), ("ab", 5)]));
    assert!(!overflows(&[("ab", 1 << 61)]));
    passed("R15", 6);
}

#[test]
fn vocabularies_around_65536_agree_with_a_larger_one() {
    // Words of two bytes: more than 65,536 merges, none of which depends on another.
    let mut random = Random(7);
    let counts: Counts = (0..70_000u32)
        .map(|i| (vec![(i >> 16) as u8 + b'a', (i >> 8) as u8, i as u8], 1 + random.next() % 1000))
        .collect();
    let largest = learn(&counts, MergeOptions::new(70_000));
    assert!(largest.len() > 66_000, "{}", largest.len());
    let num_bytes: u64 = counts.iter().map(|(word, count)| word.len() as u64 * count).sum();
    for vocab_size in 65_534..65_538 {
        let learned = learn_and_count(&counts, MergeOptions::new(vocab_size - 256));
        assert!(spell(&learned.merges) == largest[..vocab_size - 256], "{vocab_size}");
        let uses = uses_by_token(&learned);
        assert_eq!(uses.iter().map(|(token, uses)| token.len() as u64 * uses).sum::<u64>(), num_bytes);
    }
    passed("R16", 4);
}

#[test]
fn tokens_are_unique_under_a_length_cap() {
    let mut random = Random(1);
    for _ in 0..300 {
        let counts = random_counts(&mut random);
        let options = MergeOptions { max_token_length: 2 + random.below(6), ..MergeOptions::new(500) };
        let mut tokens: Vec<Token> =
            learn(&counts, options).iter().map(|(a, b)| [&a[..], b].concat()).collect();
        assert!(tokens.iter().all(|token| token.len() <= options.max_token_length));
        let num_tokens = tokens.len();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), num_tokens);
    }
}

#[test]
fn a_cancelled_job_learns_nothing() {
    let mut counts = PretokenCounts::default();
    counts.add(b"ab", 1).unwrap();
    let job = Job::default();
    job.cancel();
    assert!(matches!(learn_merges(counts, MergeOptions::new(1), &job), Err(bpe_lm::error::Error::Cancelled)));
}

//! The whole pipeline against oracle and reference: the course's merges, the first 2 MB of each shared text, and the
//! same bytes for every thread count.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::merges::TieBreak;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::sample::{Split, write_sample};
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use common::naive::{Counts, Naive, Token};
use common::row::passed;
use common::{Random, shared, shared_text, spell};
use std::cmp::Reverse;

const END_OF_TEXT: &str = "<|endoftext|>";

fn options(vocab_size: usize) -> TrainOptions {
    TrainOptions { threads: 2, ..TrainOptions::new(vocab_size, SpecialTokens::new([END_OF_TEXT]).unwrap()) }
}

fn train(text: &[u8], options: &TrainOptions) -> Vec<(Token, Token)> {
    let corpus = Corpus::from_texts([text.to_vec()]);
    let (vocab, merges, _) = train_bpe(&corpus, options, &Job::default()).unwrap();
    let spelled = spell(&merges);
    let expected = (0..=255u8)
        .map(|byte| vec![byte])
        .chain(spelled.iter().map(|(a, b)| [&a[..], b].concat()))
        .chain([END_OF_TEXT.as_bytes().to_vec()]);
    assert!(vocab.iter().map(|(_, token)| token).eq(expected.collect::<Vec<_>>().iter().map(Vec::as_slice)));
    spelled
}

fn naive(text: &[u8], num_merges: usize, tie_break: TieBreak) -> Vec<(Token, Token)> {
    Naive { num_merges, tie_break, min_frequency: 1, max_token_length: usize::MAX }.learn(&naive_counts(text))
}

fn naive_counts(text: &[u8]) -> Counts {
    let mut counts = Counts::new();
    for document in String::from_utf8_lossy(text).split(END_OF_TEXT) {
        for pretoken in Pattern::Gpt2.pretokens(document.as_bytes()).unwrap() {
            *counts.entry(pretoken.to_vec()).or_default() += 1;
        }
    }
    counts
}

fn sample(num_bytes: u64) -> Vec<u8> {
    let mut text = Vec::new();
    write_sample(&mut text, num_bytes, 1, Split::Train).unwrap();
    text
}

#[test]
fn the_sample_matches_the_oracle() {
    let text = sample(300_000);
    for tie_break in [TieBreak::Bytes, TieBreak::Hf] {
        let options = TrainOptions { tie_break, ..options(257 + 400) };
        assert_eq!(train(&text, &options), naive(&text, 400, tie_break));
    }
}

#[test]
fn merges_are_the_same_for_every_thread_count() {
    let text = sample(3_000_000);
    let train_with = |threads| train(&text, &TrainOptions { threads, ..options(5_000) });
    let one = train_with(1);
    assert_eq!(one.len(), 5_000 - 257);
    for threads in [2, 3, 8] {
        assert!(train_with(threads) == one, "{threads} threads");
    }
    passed("R13", 3);
}

#[test]
fn training_tells_what_it_saw_for_every_thread_count() {
    let alphabet = ["a", "b", "ab ", "\n", "é", "aaaaaaaaaaaaaaaaaaaa", "<|endoftext|>", "0"];
    let text = Random(5).text(60_000, &alphabet) + "\n" + &"x".repeat(500);
    let counts = naive_counts(text.as_bytes());
    let longest: Vec<(usize, u64, Vec<u8>)> = {
        let mut longest: Vec<_> = counts.iter().collect();
        longest.sort_by_key(|(pretoken, _)| (Reverse(pretoken.len()), *pretoken));
        let start = |pretoken: &[u8]| pretoken[..pretoken.len().min(100)].to_vec();
        longest.into_iter().take(20).map(|(p, &count)| (p.len(), count, start(p))).collect()
    };
    assert_eq!((longest.len(), longest[0].0, &longest[0].2[..]), (20, 500, &[b'x'; 100][..]));
    for threads in [1, 2, 5] {
        let corpus = Corpus::from_texts([text.clone().into_bytes()]);
        let options = TrainOptions { threads, chunk_bytes: 4096, ..options(300) };
        let (vocab, merges, training) = train_bpe(&corpus, &options, &Job::default()).unwrap();
        assert_eq!(training.check_fits(merges.len()), Ok(()));
        assert!(training.check_fits(merges.len() + 1).is_err());
        assert_eq!(training.num_bytes, text.len() as u64);
        assert_eq!(training.num_pretokens, counts.values().sum::<u64>());
        assert_eq!(training.num_distinct_pretokens, counts.len());
        let naive = Naive {
            num_merges: 300 - 257,
            tie_break: TieBreak::Bytes,
            min_frequency: 1,
            max_token_length: usize::MAX,
        };
        assert_eq!(training.merge_counts, naive.learn_and_count(&counts).merge_counts);
        let bytes = training.token_uses.iter().zip(vocab.iter());
        let num_bytes: u64 = bytes.map(|(uses, (_, token))| uses * token.len() as u64).sum();
        assert_eq!(
            num_bytes,
            counts.iter().map(|(pretoken, count)| count * pretoken.len() as u64).sum::<u64>()
        );
        let found: Vec<_> =
            training.longest_pretokens.into_iter().map(|p| (p.length, p.count, p.start)).collect();
        assert_eq!(found, longest);
    }
}

#[test]
fn ten_megabytes_of_sample_reach_the_demos_vocabulary() {
    assert_eq!(train(&sample(10_000_000), &options(10_000)).len(), 10_000 - 257);
}

/// Whole characters only: the oracle reads the text as a string.
fn whole_characters(mut text: Vec<u8>) -> Vec<u8> {
    if let Err(error) = std::str::from_utf8(&text) {
        text.truncate(error.valid_up_to());
    }
    text
}

#[test]
fn the_first_2_mb_of_each_shared_text_match_the_oracle() {
    for name in ["tinystories", "childrens", "webtext", "multilingual"] {
        if let Some(text) = shared_text(name, 2_000_000).map(whole_characters) {
            assert_eq!(train(&text, &options(257 + 120)), naive(&text, 120, TieBreak::Bytes), "{name}");
        }
    }
}

#[test]
fn the_courses_reference_merges_are_ours() {
    let (Some(corpus), Some(reference)) =
        (shared("cs336/corpus.en"), shared("cs336/train-bpe-reference-merges.txt"))
    else {
        return;
    };
    let (_, merges, _) = train_bpe(&Corpus::open([corpus]).unwrap(), &options(500), &Job::default()).unwrap();
    let spaces = |token: &Token| String::from_utf8(token.clone()).unwrap().replace(' ', "Ġ");
    let lines: Vec<String> =
        spell(&merges).iter().map(|(a, b)| format!("{} {}", spaces(a), spaces(b))).collect();
    let reference = std::fs::read_to_string(reference).unwrap();
    assert_eq!(lines, reference.lines().collect::<Vec<_>>());
    assert_eq!(lines.len(), 243);
}

#[test]
fn special_tokens_never_merge_and_never_join_their_neighbours() {
    let text = format!("b{END_OF_TEXT}a").repeat(100);
    assert_eq!(train(text.as_bytes(), &options(300)), [(b"a".to_vec(), b"b".to_vec())]);
}

#[test]
fn options_that_no_corpus_can_satisfy_are_refused() {
    let refused = |options: TrainOptions| {
        train_bpe(&Corpus::from_texts([b"ab".to_vec()]), &options, &Job::default()).unwrap_err()
    };
    assert!(matches!(refused(options(256)), Error::VocabTooSmall { given: 256, minimum: 257 }));
    assert!(matches!(refused(options(1 << 40)), Error::VocabTooLarge { .. }));
    assert!(matches!(refused(TrainOptions { min_frequency: 0, ..options(300) }), Error::Option { .. }));
    assert!(matches!(
        refused(TrainOptions { max_token_length: Some(0), ..options(300) }),
        Error::Option { .. }
    ));
    for tokens in [vec![""], vec!["a", "b", "a"]] {
        assert!(matches!(SpecialTokens::new(tokens), Err(Error::SpecialToken { .. })));
    }
}

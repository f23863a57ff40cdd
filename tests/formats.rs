//! Tokenizer files: what is written reads back the same, appears whole or not at all, and bad files are named errors.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::error::Error;
use bpe_lm::formats::{self, gpt2, tokenizer_json};
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::tokenizer::Tokenizer;
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use common::Random;
use std::path::Path;

fn trained(special_tokens: &[&str], pattern: &str) -> Tokenizer {
    let mut random = Random(1);
    let texts: Vec<Vec<u8>> =
        (0..50).map(|_| random.bytes(200, b"the cat sat on \xC3\xA9\xFF\x00\n 12\xAD\"#")).collect();
    let special_tokens = SpecialTokens::new(special_tokens.iter().copied()).unwrap();
    let pattern = Pattern::new(pattern).unwrap();
    let options = TrainOptions { pattern: pattern.clone(), ..TrainOptions::new(600, special_tokens.clone()) };
    let (vocab, merges, _) = train_bpe(&Corpus::from_texts(texts), &options, &Job::default()).unwrap();
    Tokenizer::new(vocab, merges, special_tokens, pattern).unwrap()
}

fn assert_same(a: &Tokenizer, b: &Tokenizer) {
    assert_eq!(a.vocab(), b.vocab());
    assert_eq!(a.merges(), b.merges());
    assert_eq!(a.special_tokens().as_slice(), b.special_tokens().as_slice());
    assert_eq!(a.special_ids(), b.special_ids());
}

const SPECIAL: [&[&str]; 4] =
    [&[], &["<|endoftext|>"], &["<| a b |>", "<é>", "Ġ\n", "<|x|>"], &["zz", "a\u{1}"]];

#[test]
fn what_is_saved_loads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (i, special_tokens) in SPECIAL.iter().enumerate() {
        for pattern in ["gpt2", "cl100k", "o200k", r"\w+|\W"] {
            let saved = trained(special_tokens, pattern);
            let path = folder.path().join(format!("new/{i}/{}", pattern.replace('\\', "_")));
            formats::save(&saved, &path, false).unwrap();
            let loaded = tokenizer_json::load(&path.join("tokenizer.json")).unwrap();
            assert_same(&saved, &loaded);
            assert_eq!(saved.pattern().source(), loaded.pattern().source());
            assert_eq!(loaded.pattern().name(), pattern);
            assert_same(&saved, &gpt2::load(&path.join("vocab.json"), &path.join("merges.txt")).unwrap());
            assert_eq!(names(&path), ["merges.txt", "tokenizer.json", "vocab.json"]);
        }
    }
    assert!(names(folder.path()) == ["new"]);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_overwritten_unasked_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (trained(&[], "gpt2"), trained(&["<|x|>"], "gpt2"));
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    formats::save(&first, folder.path(), false).unwrap();
    assert!(matches!(formats::save(&second, folder.path(), false), Err(Error::Exists { .. })));
    let load = || tokenizer_json::load(&folder.path().join("tokenizer.json")).unwrap();
    assert_same(&first, &load());
    formats::save(&second, folder.path(), true).unwrap();
    assert_same(&second, &load());
    assert_eq!(names(folder.path()), ["merges.txt", "notes", "tokenizer.json", "vocab.json"]);
}

#[test]
fn a_failed_save_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let tokenizer = trained(&[], "gpt2");
    assert!(matches!(formats::save(&tokenizer, &file.join("below"), false), Err(Error::Io { .. })));
    std::fs::create_dir_all(folder.path().join("out/vocab.json/in the way")).unwrap();
    assert!(formats::save(&tokenizer, &folder.path().join("out"), true).is_err());
    assert_eq!(names(&folder.path().join("out")), ["vocab.json"]);
    assert_eq!(names(folder.path()), ["file", "out"]);
}

#[test]
fn tokens_that_would_be_written_alike_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for clash in ["a", "Ġ"] {
        let saved = formats::save(&trained(&[clash], "gpt2"), &folder.path().join("out"), false);
        let Err(Error::Tokenizer { reason }) = saved else { panic!("{clash} should clash") };
        assert!(reason.contains("would both be written as"), "{reason}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn bad_files_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    formats::save(&trained(&["<|x|>"], "gpt2"), &path, false).unwrap();
    let good = std::fs::read_to_string(path.join("tokenizer.json")).unwrap();
    let mut checked = 0;
    let mut expect = |from: &str, to: &str, complaint: &str| {
        assert!(good.contains(from), "{from}");
        let changed = path.join("changed.json");
        std::fs::write(&changed, good.replacen(from, to, 1)).unwrap();
        let error = tokenizer_json::load(&changed).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("changed.json"), "{error}");
        checked += 1;
    };
    expect("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", "normalizer");
    expect("\"byte_fallback\": false", "\"byte_fallback\": true", "byte_fallback");
    expect("\"ignore_merges\": false", "\"ignore_merges\": true", "ignore_merges");
    expect("\"dropout\": null", "\"dropout\": 0.1", "dropout");
    expect("\"lstrip\": false", "\"lstrip\": true", "lstrip");
    expect("\"add_prefix_space\": false", "\"add_prefix_space\": true", "pre-tokenizer");
    expect("\"type\": \"BPE\"", "\"type\": \"Unigram\"", "Unigram");
    expect("\"!\": 33", "\"!\": 34", "same id");
    expect("\"!\": 33", "\"!\": 9999", "no gap");
    expect("\"!\": 33", "\"!!\": 33", "byte 33");
    expect("{", "[", "not JSON");
    assert_eq!(checked, 11);

    let merges = path.join("merges.txt");
    let good = std::fs::read_to_string(&merges).unwrap();
    let first = good.lines().nth(1).unwrap();
    for (bad, complaint) in [
        ("one two three".to_owned(), "line 2 is not two tokens"),
        ("q".to_owned(), "line 2 is not two tokens"),
        ("q qqqq".to_owned(), "not in the vocabulary"),
        (format!("{first}\n{first}"), "a second time"),
    ] {
        std::fs::write(&merges, good.replacen(first, &bad, 1)).unwrap();
        let error = gpt2::load(&path.join("vocab.json"), &merges).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    assert!(matches!(gpt2::load(&path.join("missing"), &merges), Err(Error::Io { .. })));
    std::fs::write(&merges, b"\xFF").unwrap();
    assert!(matches!(gpt2::load(&path.join("vocab.json"), &merges), Err(Error::Format { .. })));
}

#[test]
fn added_tokens_are_the_special_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    formats::save(&trained(&["<|x|>"], "gpt2"), &path, false).unwrap();
    let good = std::fs::read_to_string(path.join("tokenizer.json")).unwrap();
    let load = |from: &str, to: &str| {
        assert!(good.contains(from));
        std::fs::write(path.join("changed.json"), good.replacen(from, to, 1)).unwrap();
        tokenizer_json::load(&path.join("changed.json"))
    };
    let unlisted = load("\"special\": true", "\"special\": true}, {\"id\": 97, \"content\": \"a\"").unwrap();
    assert_eq!(unlisted.special_tokens().as_slice(), ["a", "<|x|>"]);
    let added = good.find("\"added_tokens\": [").unwrap();
    let end = added + good[added..].find(']').unwrap();
    let error = load(&good[added..end], "\"added_tokens\": [").unwrap_err().to_string();
    assert!(error.contains("<|x|>") && error.contains("not named as a special token"), "{error}");
}

#[test]
fn gpt2s_own_files_load_and_save_the_same() {
    let (Some(vocab), Some(merges)) =
        (common::shared("cs336/gpt2_vocab.json"), common::shared("cs336/gpt2_merges.txt"))
    else {
        return;
    };
    let gpt2 = gpt2::load(&vocab, &merges).unwrap();
    assert_eq!((gpt2.vocab().len(), gpt2.merges().len()), (50_257, 50_000));
    assert_eq!(gpt2.special_tokens().as_slice(), ["<|endoftext|>"]);
    assert_eq!(gpt2.encode_naive(b"Hello, world!<|endoftext|>").unwrap(), [15496, 11, 995, 0, 50256]);
    let folder = tempfile::tempdir().unwrap();
    formats::save(&gpt2, &folder.path().join("gpt2"), false).unwrap();
    assert_same(&gpt2, &tokenizer_json::load(&folder.path().join("gpt2/tokenizer.json")).unwrap());
}

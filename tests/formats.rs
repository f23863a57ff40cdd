//! Tokenizer files: what is written reads back the same, appears whole or not at all, and bad files are named errors.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::error::Error;
use bpe_lm::formats::tokenizer_json::Nfc;
use bpe_lm::formats::{self, gpt2, tiktoken, tokenizer_json, training_json};
use bpe_lm::job::Job;
use bpe_lm::merges::{Merges, TieBreak};
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_id::TokenId;
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::training::{Init, LongPretoken, Training};
use bpe_lm::vocab::Vocab;
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

fn encode(tokenizer: &Tokenizer, text: &[u8]) -> Vec<TokenId> {
    tokenizer.encode(text, Special::Allow, &Job::default()).unwrap()
}

/// The same tokenizer with other ids.
fn renumbered(tokenizer: &Tokenizer, new_id: impl Fn(usize) -> usize) -> Tokenizer {
    let mut tokens = vec![Vec::new(); tokenizer.vocab().len()];
    for (id, token) in tokenizer.vocab().iter() {
        tokens[new_id(id as usize)] = token.to_vec();
    }
    let new = |id: TokenId| new_id(id as usize) as TokenId;
    let pairs = tokenizer.merges().as_slice().iter().map(|&(left, right)| (new(left), new(right)));
    let merges = Merges::from_pairs(pairs.collect());
    let vocab = Vocab::from_tokens(tokens).unwrap();
    Tokenizer::new(vocab, merges, tokenizer.special_tokens().clone(), tokenizer.pattern().clone()).unwrap()
}

fn training(num_merges: u64) -> Training {
    Training {
        version: "1".to_owned(),
        pattern: "gpt2".to_owned(),
        tie_break: TieBreak::Hf,
        min_frequency: 2,
        max_token_length: Some(9),
        skipped_lines: 3,
        num_bytes: u64::MAX,
        num_pretokens: 1,
        num_distinct_pretokens: 2,
        count_seconds: 0.1 + 0.2,
        merge_seconds: 1e-9,
        longest_pretokens: vec![LongPretoken { length: 1000, count: 3, start: (0..=255).collect() }],
        merge_counts: (0..num_merges).map(|i| u64::MAX - i).collect(),
        token_uses: (0..256 + num_merges).collect(),
        init: None,
    }
}

/// Loads a tokenizer.json, and asserts that nothing in it is left out.
fn load_json(path: &Path) -> Tokenizer {
    let (tokenizer, left_out) = tokenizer_json::load(path, Nfc::Refuse).unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
    tokenizer
}

fn assert_same(a: &Tokenizer, b: &Tokenizer) {
    assert_eq!(a.vocab(), b.vocab());
    assert_eq!(a.merges(), b.merges());
    assert_eq!(a.special_tokens().as_slice(), b.special_tokens().as_slice());
    assert_eq!(a.special_ids(), b.special_ids());
    if a.pattern().source() == b.pattern().source() {
        assert_eq!(a.hash(), b.hash());
    }
}

const FILES: [&str; 6] = [
    "merges.txt",
    "tokenizer.json",
    "tokenizer.tiktoken",
    "tokenizer.tiktoken.json",
    "tokenizer_config.json",
    "vocab.json",
];

const SPECIAL: [&[&str]; 4] =
    [&[], &["<|endoftext|>"], &["<| a b |>", "<é>", "Ġ\n", "<|x|>"], &["zz", "a\u{1}"]];

#[test]
fn what_is_saved_loads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (i, special_tokens) in SPECIAL.iter().enumerate() {
        for pattern in ["gpt2", "cl100k", "o200k", r"\p{L}+|\P{L}"] {
            let saved = trained(special_tokens, pattern);
            let path = folder.path().join(format!("new/{i}/{}", pattern.replace('\\', "_")));
            formats::save(&saved, None, &path, false).unwrap();
            let loaded = load_json(&path.join("tokenizer.json"));
            assert_same(&saved, &loaded);
            assert_eq!(saved.pattern().source(), loaded.pattern().source());
            assert_eq!(loaded.pattern().name(), pattern);
            let (vocab, merges) = (path.join("vocab.json"), path.join("merges.txt"));
            // A special "zz" could be a token whose line of merges.txt is missing.
            let named = special_tokens.contains(&"zz");
            if named {
                let found = gpt2::load(&vocab, &merges, None, Pattern::Gpt2);
                assert!(
                    matches!(found, Err(Error::Format { reason, .. }) if reason.contains("special_tokens"))
                );
            }
            let named = named.then(|| special_tokens.iter().map(|&token| token.to_owned()).collect());
            assert_same(&saved, &gpt2::load(&vocab, &merges, named, Pattern::Gpt2).unwrap());
            let loaded = tiktoken::load(&path.join("tokenizer.tiktoken"), None, None).unwrap();
            assert_same(&saved, &loaded);
            assert_eq!(saved.pattern().source(), loaded.pattern().source());
            assert_eq!(names(&path), FILES);
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
    formats::save(&first, None, folder.path(), false).unwrap();
    assert!(matches!(formats::save(&second, None, folder.path(), false), Err(Error::Exists { .. })));
    let load = || load_json(&folder.path().join("tokenizer.json"));
    assert_same(&first, &load());
    formats::save(&second, None, folder.path(), true).unwrap();
    assert_same(&second, &load());
    assert_eq!(names(folder.path()), [&["merges.txt", "notes"], &FILES[1..]].concat());
}

#[test]
fn the_training_is_saved_with_its_tokenizer_and_does_not_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = trained(&["<|x|>"], "gpt2");
    let training = training(tokenizer.merges().len() as u64);
    let path = folder.path().join("training.json");
    for replace in [false, true] {
        formats::save(&tokenizer, Some(&training), folder.path(), replace).unwrap();
        assert_eq!(training_json::load(&path).unwrap(), training);
    }
    formats::save(&tokenizer, None, folder.path(), true).unwrap();
    assert_eq!(names(folder.path()), FILES);

    let of_another = Training { merge_counts: vec![1], ..training };
    let error = formats::save(&tokenizer, Some(&of_another), folder.path(), true).unwrap_err().to_string();
    assert!(error.contains("training.json: merge_counts has 1 entries"), "{error}");
    assert_eq!(names(folder.path()), FILES);
}

#[test]
fn bad_training_files_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.json");
    let good = training_json::to_json(&training(2));
    for (from, to, complaint) in [
        ("{", "[", "not JSON"),
        ("\"hf\"", "\"coin\"", "tie_break"),
        ("\"num_bytes\"", "\"num_bits\"", "num_bytes is missing"),
        ("\"min_frequency\": 2", "\"min_frequency\": -2", "min_frequency is -2"),
        ("\"count\":3", "\"count\":3.5", "count is 3.5"),
        ("\"start\":\"", "\"start\":\" ", "alphabet"),
        ("\"merge_counts\": [", "\"merge_counts\": [\"1\", ", "merge_counts[0] is \"1\""),
        ("\"token_uses\": [", "\"token_uses\": 7, \"x\": [", "token_uses is 7, not a list"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = training_json::load(&path).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("training.json"), "{error}");
    }
    std::fs::write(&path, good).unwrap();
    assert_eq!(training_json::load(&path).unwrap(), training(2));
    std::fs::write(&path, training_json::to_json(&training(2)).replacen('{', "{\"init\": null,", 1)).unwrap();
    assert_eq!(training_json::load(&path).unwrap(), training(2));
    let init = Init { sha256: "0".repeat(64), num_merges: 7, num_ids: 300 };
    let extended = Training { init: Some(init), ..training(2) };
    let good = training_json::to_json(&extended);
    std::fs::write(&path, &good).unwrap();
    assert_eq!(training_json::load(&path).unwrap(), extended);
    std::fs::write(&path, good.replace("num_ids", "ids")).unwrap();
    let error = training_json::load(&path).unwrap_err().to_string();
    assert!(error.contains("init: num_ids is missing"), "{error}");
    assert!(extended.check_fits(6).is_err() && extended.check_fits(8).is_err());
}

#[test]
fn tiktoken_files_of_random_tokenizers_load_the_same_and_encode_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(9);
    let alphabets: [&[u8]; 4] = [b"ab", b"aaaaaab ", b"the cat\xC3\xA9\xFF ", b"a"];
    for case in 0..60 {
        let alphabet = *random.pick(&alphabets);
        let texts: Vec<Vec<u8>> = (0..20).map(|_| random.bytes(100, alphabet)).collect();
        let special_tokens = SpecialTokens::new(["<|y|>", "<|x|>"]).unwrap();
        let options = TrainOptions {
            tie_break: *random.pick(&[TieBreak::Bytes, TieBreak::Hf]),
            max_token_length: *random.pick(&[None, Some(3), Some(7)]),
            ..TrainOptions::new(258 + random.below(300), special_tokens.clone())
        };
        let (vocab, merges, _) = train_bpe(&Corpus::from_texts(texts), &options, &Job::default()).unwrap();
        let num_ids = vocab.len();
        let learned = Tokenizer::new(vocab, merges, special_tokens, Pattern::Gpt2).unwrap();
        // Special tokens first and bytes in reverse, as other trainers number them.
        let other = renumbered(&learned, |id| match id {
            0..256 => 2 + 255 - id,
            id if id >= num_ids - 2 => id + 2 - num_ids,
            id => id + 2,
        });
        for (name, tokenizer) in [("learned", &learned), ("other", &other)] {
            let path = folder.path().join(format!("{case} {name}"));
            formats::save(tokenizer, None, &path, false).unwrap();
            let loaded = tiktoken::load(&path.join("tokenizer.tiktoken"), None, None).unwrap();
            assert_eq!((loaded.vocab(), loaded.merges()), (tokenizer.vocab(), tokenizer.merges()));
            let text =
                [random.bytes(200, alphabet), b"<|x|><|y|>".to_vec(), random.bytes(200, alphabet)].concat();
            assert_eq!(encode(&loaded, &text), encode(tokenizer, &text));
        }
    }
}

#[test]
fn tiktoken_files_are_left_out_when_ids_are_not_in_the_order_of_merges() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = trained(&[], "gpt2");
    let last = tokenizer.vocab().len() - 1;
    let swapped = renumbered(&tokenizer, |id| match id {
        256 => last,
        id if id == last => 256,
        id => id,
    });
    formats::save(&tokenizer, None, folder.path(), false).unwrap();
    formats::save(&swapped, None, folder.path(), true).unwrap();
    assert_eq!(names(folder.path()), ["merges.txt", "tokenizer.json", "tokenizer_config.json", "vocab.json"]);
    assert_same(&swapped, &load_json(&folder.path().join("tokenizer.json")));
}

#[test]
fn what_a_tiktoken_file_leaves_out_comes_from_beside_it_or_from_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let saved = trained(&["<|x|>"], r"\w+|\W");
    formats::save(&saved, None, folder.path(), false).unwrap();
    let path = folder.path().join("bare.tiktoken");
    std::fs::copy(folder.path().join("tokenizer.tiktoken"), &path).unwrap();
    let complaint = |pattern, special| tiktoken::load(&path, pattern, special).unwrap_err().to_string();
    let special = || vec![("<|x|>".to_owned(), u64::from(saved.special_ids()[0]))];
    for (error, missing) in [
        (complaint(None, None), "pattern=\"gpt2\""),
        (complaint(None, Some(special())), "pattern=\"gpt2\""),
        (complaint(Some("gpt2"), None), "special_tokens={"),
    ] {
        assert!(error.contains(missing) && error.contains("bare.tiktoken.json does not exist"), "{error}");
    }
    let loaded = tiktoken::load(&path, Some(r"\w+|\W"), Some(special())).unwrap();
    assert_same(&saved, &loaded);
    let none = tiktoken::load(&path, Some("gpt2"), Some(Vec::new())).unwrap();
    assert_eq!(none.vocab().len(), saved.vocab().len() - 1);
    let unused = vec![("<|unused|>".to_owned(), none.vocab().len() as u64)];
    let replaced = tiktoken::load(&folder.path().join("tokenizer.tiktoken"), None, Some(unused)).unwrap();
    assert_eq!(replaced.special_tokens().as_slice(), ["<|unused|>"]);
    assert_eq!(replaced.pattern().source(), saved.pattern().source());
    for (side, complaint) in [
        ("{", "not JSON"),
        ("{}", "pattern is missing"),
        (r#"{"pattern": "gpt2"}"#, "special_tokens is missing"),
        (r#"{"pattern": "gpt2", "special_tokens": {"<|x|>": "5"}}"#, "has the id \"5\""),
    ] {
        std::fs::write(folder.path().join("bare.tiktoken.json"), side).unwrap();
        let error = tiktoken::load(&path, None, None).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("bare.tiktoken.json: "), "{error}");
    }
}

#[test]
fn bad_tiktoken_files_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.tiktoken");
    // Byte 97 is "YQ==", byte 98 "Yg=="; then "ab" is "YWI=" and "abab" is "YWJhYg==".
    let bytes: Vec<String> = (0..=255_u8).map(|byte| format!("{} {byte}\n", base64(&[byte]))).collect();
    let good = bytes.concat() + "YWI= 256\nYWJhYg== 257\n";
    let load = |text: &str, special: &[(&str, u64)]| {
        std::fs::write(&path, text).unwrap();
        let special = special.iter().map(|&(token, id)| (token.to_owned(), id)).collect();
        tiktoken::load(&path, Some("gpt2"), Some(special))
    };
    assert_eq!(load(&good, &[]).unwrap().merges().as_slice(), [(97, 98), (256, 256)]);
    assert_eq!(load(&good.replace('\n', "\r\n\r\n"), &[("<|x|>", 258)]).unwrap().special_ids(), [258]);
    for (from, to, special, complaint) in [
        ("YWI= 256", "YWI=", &[][..], "line 257 is not a token and a rank: \"YWI=\""),
        ("YWI= 256", "Y!I= 256", &[], "line 257: the token is not base64"),
        ("YWI= 256", "YWI 256", &[], "line 257: the token is not base64"),
        ("YWI= 256", " 256", &[], "line 257: the token is empty"),
        ("YWI= 256", "YWI= two", &[], "line 257: the rank is not a number"),
        ("YWI= 256", "YWI= -1", &[], "line 257: the rank is not a number"),
        ("YWI= 256", "YWI= 255", &[], "line 257 and line 256 have the same id 255"),
        (
            "YWI= 256",
            "YWI= 99999",
            &[],
            "line 257 has id 99999, but there are 258 ranks and 0 special tokens",
        ),
        ("YWI= 256", "YWI= 99999999999999999999", &[], "line 257: the rank is not a number"),
        ("YWI= 256", "YWI= 18446744073709551615", &[], "ids must be below"),
        ("YWI= 256", "YQ== 256", &[], "line 257: the token is that of line 98"),
        ("YQ== 97", "eHk= 97", &[], "byte 97 (YQ== in base64) has no rank"),
        (
            "YWI= 256\nYWJhYg== 257\n",
            "YWJhYg== 256\nYWI= 257\n",
            &[],
            "line 257: the token is made of tokens of higher rank",
        ),
        ("", "", &[("<|x|>", 257)], "special token \"<|x|>\" and line 258 have the same id 257"),
        (
            "",
            "",
            &[("<|x|>", 99_999)],
            "special token \"<|x|>\" has id 99999, but there are 258 ranks and 1 special",
        ),
        ("", "", &[("", 258)], "is empty"),
        ("", "", &[("<|x|>", 258), ("<|x|>", 259)], "is given twice"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = load(&good.replacen(from, to, 1), special).unwrap_err();
        assert!(matches!(error, Error::Format { .. }));
        let error = error.to_string();
        assert!(error.contains(complaint) && error.contains("bad.tiktoken: "), "{error} lacks {complaint}");
    }
    assert!(matches!(tiktoken::load(&folder.path().join("missing"), None, None), Err(Error::Io { .. })));
}

#[test]
fn a_rank_that_lower_ranks_do_not_make_is_the_token_of_a_whole_pretoken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.tiktoken");
    let bytes: Vec<String> = (0..=255_u8).map(|byte| format!("{} {byte}\n", base64(&[byte]))).collect();
    // "xy" is made of two bytes, and nothing makes "abab" and "xyz" before "ab" and "yz" have ranks.
    for (ranks, merges) in
        [("eHl6 256\nYWI= 257\n", vec![(97, 98)]), ("eHk= 256\nYWJhYg== 257\n", vec![(120, 121)])]
    {
        std::fs::write(&path, bytes.concat() + ranks).unwrap();
        let tokenizer = tiktoken::load(&path, Some("gpt2"), Some(Vec::new())).unwrap();
        assert_eq!(tokenizer.merges().as_slice(), merges);
        assert!(tokenizer.ignores_merges());
        let whole = if merges == [(97, 98)] { [256, 257] } else { [257, 256] };
        let texts = if merges == [(97, 98)] { ["xyz", "ab"] } else { ["abab", "xy"] };
        assert_eq!(texts.map(|text| encode(&tokenizer, text.as_bytes())), whole.map(|id| vec![id]));
        assert_eq!(
            encode(&tokenizer, b"xyzab"),
            if merges == [(97, 98)] { vec![120, 121, 122, 257] } else { vec![256, 122, 97, 98] }
        );
        let saved = folder.path().join(format!("{}", merges[0].0));
        formats::save(&tokenizer, None, &saved, false).unwrap();
        assert_eq!(
            names(&saved),
            ["tokenizer.json", "tokenizer.tiktoken", "tokenizer.tiktoken.json", "tokenizer_config.json"]
        );
        for loaded in [
            load_json(&saved.join("tokenizer.json")),
            tiktoken::load(&saved.join("tokenizer.tiktoken"), None, None).unwrap(),
        ] {
            assert_same(&tokenizer, &loaded);
        }
    }
}

fn base64(bytes: &[u8; 1]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (high, low) = (digits[usize::from(bytes[0] >> 2)], digits[usize::from(bytes[0] << 4 & 63)]);
    format!("{}{}==", char::from(high), char::from(low))
}

#[test]
fn a_failed_save_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let tokenizer = trained(&[], "gpt2");
    assert!(matches!(formats::save(&tokenizer, None, &file.join("below"), false), Err(Error::Io { .. })));
    std::fs::create_dir_all(folder.path().join("out/vocab.json/in the way")).unwrap();
    assert!(formats::save(&tokenizer, None, &folder.path().join("out"), true).is_err());
    assert_eq!(names(&folder.path().join("out")), ["vocab.json"]);
    assert_eq!(names(folder.path()), ["file", "out"]);
}

#[test]
fn tokens_that_would_be_written_alike_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for clash in ["a", "Ġ"] {
        let saved = formats::save(&trained(&[clash], "gpt2"), None, &folder.path().join("out"), false);
        let Err(Error::Tokenizer { reason }) = saved else { panic!("{clash} should clash") };
        assert!(reason.contains("would both be written as"), "{reason}");
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn bad_files_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    formats::save(&trained(&["<|x|>"], "gpt2"), None, &path, false).unwrap();
    let good = std::fs::read_to_string(path.join("tokenizer.json")).unwrap();
    let mut checked = 0;
    let mut expect = |from: &str, to: &str, complaint: &str| {
        assert!(good.contains(from), "{from}");
        let changed = path.join("changed.json");
        std::fs::write(&changed, good.replacen(from, to, 1)).unwrap();
        let error =
            tokenizer_json::load(&changed, Nfc::Refuse).map(|loaded| loaded.0).unwrap_err().to_string();
        assert!(error.contains(complaint) && error.contains("changed.json"), "{error}");
        checked += 1;
    };
    expect("\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", "normalizer");
    let unspelled = "\"ignore_merges\": true, \"vocab\": {\"中\": 600,";
    expect("\"ignore_merges\": false", "\"ignore_merges\": 1", "ignore_merges");
    assert!(good.contains("\"vocab\": {"));
    let changed = path.join("changed.json");
    std::fs::write(
        &changed,
        good.replace("\"ignore_merges\": false,", "").replace("\"vocab\": {", unspelled),
    )
    .unwrap();
    let error = tokenizer_json::load(&changed, Nfc::Refuse).map(|loaded| loaded.0).unwrap_err().to_string();
    assert!(error.contains("do not make token 600, \"中\""), "{error}");
    expect("\"dropout\": null", "\"dropout\": 0.1", "dropout");
    expect("\"lstrip\": false", "\"lstrip\": true", "lstrip");
    expect("\"add_prefix_space\": false", "\"add_prefix_space\": true", "pre-tokenizer");
    expect("\"type\": \"BPE\"", "\"type\": \"Unigram\"", "Unigram");
    expect("\"!\": 33", "\"!\": 34", "same id");
    expect("\"!\": 33", "\"!\": 999999", "must be below");
    expect("\"!\": 33", "\"!!\": 33", "byte 33");
    expect("{", "[", "not JSON");
    assert_eq!(checked, 10);

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
        let error =
            gpt2::load(&path.join("vocab.json"), &merges, None, Pattern::Gpt2).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    assert!(matches!(gpt2::load(&path.join("missing"), &merges, None, Pattern::Gpt2), Err(Error::Io { .. })));
    std::fs::write(&merges, b"\xFF").unwrap();
    assert!(matches!(
        gpt2::load(&path.join("vocab.json"), &merges, None, Pattern::Gpt2),
        Err(Error::Format { .. })
    ));
}

#[test]
fn added_tokens_are_the_special_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    formats::save(&trained(&["<|x|>"], "gpt2"), None, &path, false).unwrap();
    let good = std::fs::read_to_string(path.join("tokenizer.json")).unwrap();
    let load = |from: &str, to: &str| {
        assert!(good.contains(from));
        std::fs::write(path.join("changed.json"), good.replacen(from, to, 1)).unwrap();
        tokenizer_json::load(&path.join("changed.json"), Nfc::Refuse).map(|(tokenizer, _)| tokenizer)
    };
    let unlisted = load("\"special\": true", "\"special\": true}, {\"id\": 97, \"content\": \"a\"").unwrap();
    assert_eq!(unlisted.special_tokens().as_slice(), ["a", "<|x|>"]);
    let added = good.find("\"added_tokens\": [").unwrap();
    let end = added + good[added..].find(']').unwrap();
    let unnamed = load(&good[added..end], "\"added_tokens\": [").unwrap();
    assert!(unnamed.special_tokens().is_empty());
    assert_eq!(unnamed.decode([unnamed.greatest_id()]).unwrap(), b"<|x|>");
}

#[test]
fn gpt2s_own_files_load_and_save_the_same() {
    let (Some(vocab), Some(merges)) =
        (common::shared("cs336/gpt2_vocab.json"), common::shared("cs336/gpt2_merges.txt"))
    else {
        return;
    };
    let gpt2 = gpt2::load(&vocab, &merges, None, Pattern::Gpt2).unwrap();
    assert_eq!((gpt2.vocab().len(), gpt2.merges().len()), (50_257, 50_000));
    assert_eq!(gpt2.special_tokens().as_slice(), ["<|endoftext|>"]);
    assert_eq!(encode(&gpt2, b"Hello, world!<|endoftext|>"), [15496, 11, 995, 0, 50256]);
    let folder = tempfile::tempdir().unwrap();
    formats::save(&gpt2, None, &folder.path().join("gpt2"), false).unwrap();
    assert_same(&gpt2, &load_json(&folder.path().join("gpt2/tokenizer.json")));
    assert_same(&gpt2, &tiktoken::load(&folder.path().join("gpt2/tokenizer.tiktoken"), None, None).unwrap());
}

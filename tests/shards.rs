//! Shards: their ids and their documents, one shard after another, are those of the whole corpus.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, InputOptions, Shard};
use bpe_lm::encode_corpus::EncodeOptions;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{Manifest, TokenFileOptions, encode_file, verify};
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use common::Random;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn tokenizer(special_tokens: &[&str], pattern: &str) -> Tokenizer {
    let special_tokens = SpecialTokens::new(special_tokens.iter().copied()).unwrap();
    let text = b"the cat sat on the mat, the dog on the log\n\n".repeat(3);
    let options = TrainOptions::new(300, special_tokens.clone());
    let (vocab, merges, _) = train_bpe(&Corpus::from_texts([text]), &options, &Job::default()).unwrap();
    Tokenizer::new(vocab, merges, special_tokens, Pattern::new(pattern).unwrap()).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::create(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap();
        }
        "zst" => file.write_all(&zstd::encode_all(bytes, 1).unwrap()).unwrap(),
        _ => file.write_all(bytes).unwrap(),
    }
}

/// The manifest, the bytes of the ids, and the positions in the index.
fn encode(
    tokenizer: &Tokenizer,
    paths: &[PathBuf],
    out: &Path,
    options: &TokenFileOptions,
) -> (Manifest, Vec<u8>, Vec<u64>) {
    let input = InputOptions { bad_lines: BadLines::Skip, ..InputOptions::default() };
    let corpus = Corpus::open_with(paths, input).unwrap();
    let manifest = encode_file(tokenizer, corpus, out, options, &Job::default()).unwrap();
    assert_eq!(verify(out, Some(&tokenizer.hash()), &Job::default()).unwrap(), manifest);
    let index = fs::read(format!("{}.idx", out.display())).unwrap();
    let starts = index[40..].as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    (manifest, fs::read(out).unwrap(), starts)
}

/// The content of a file: a text of words, separators and whitespace, or JSON lines.
fn content(random: &mut Random, name: &str, separator: &str) -> Vec<u8> {
    let words = ["the", " cat", " dog", "\n", "\n\n", separator, "<|pad|>", "é", " ", "12", "\t"];
    let spaces = [" ", "\n", "\n\n", "  ", "\t"];
    if !name.contains("jsonl") {
        let (before, len) = (random.below(4), random.below(300));
        let text = match random.below(4) {
            0 => random.text(1 + len / 10, &spaces),
            1 => format!("{}{}{separator}", random.text(before, &spaces), random.text(len, &words)),
            _ => format!("{}{}", random.text(before, &spaces), random.text(len, &words)),
        };
        return format!("{text}{}\n", random.text(2, &spaces)).into_bytes();
    }
    let mut lines = String::new();
    for _ in 0..=random.below(8) {
        lines += &match random.below(5) {
            0 => "\n".to_owned(),
            1 => "bad\n".to_owned(),
            2 => "{\"text\": \"\"}\n".to_owned(),
            _ => format!("{}\n", serde_json::json!({"text": random.text(20, &words)})),
        };
    }
    lines.into_bytes()
}

const NAMES: [&str; 8] =
    ["a.txt", "b.txt", "c.jsonl", "d.txt.gz", "e.jsonl", "f.txt.zst", "g.jsonl.gz", "h.txt"];

fn shards_are_the_whole(rounds: u64) {
    let patterns = ["gpt2", "cl100k", r"\p{L}+|\P{L}+"];
    for round in 0..rounds {
        let mut random = Random(round + 31);
        let separator = ["<|endoftext|>", "\n<|end|>", "\n\n"][random.below(3)];
        let pattern = patterns[random.below(patterns.len())];
        let tokenizer = tokenizer(&[separator, "<|pad|>"], pattern);
        let folder = tempfile::TempDir::new().unwrap();
        let paths: Vec<PathBuf> = (0..=random.below(6))
            .map(|i| {
                let name = NAMES[random.below(NAMES.len())];
                let path = folder.path().join(format!("{i}-{name}"));
                write(&path, &content(&mut random, name, separator));
                path
            })
            .collect();
        let mut options = TokenFileOptions::new(EncodeOptions {
            chunk_bytes: [1, 7, 100, 1 << 20][random.below(4)],
            min_share: 1,
            separator: Some(separator.to_owned()),
            special: [None, Some(Special::Text), Some(Special::Allow)][random.below(3)],
            ..EncodeOptions::new(&tokenizer, 1 + random.below(3))
        });
        let input = InputOptions { bad_lines: BadLines::Skip, ..InputOptions::default() };
        let whole_path = folder.path().join("whole.bin");
        let corpus = Corpus::open_with(&paths, input).unwrap();
        match encode_file(&tokenizer, corpus, &whole_path, &options, &Job::default()) {
            Err(Error::EmptyCorpus { .. }) => continue,
            made => drop(made.unwrap()),
        }
        options.force = true;
        let (whole, ids, starts) = encode(&tokenizer, &paths, &whole_path, &options);
        for of in 1..=8 {
            let (mut all_ids, mut all_starts, mut text_bytes, mut skipped_lines) = (vec![], vec![], 0, 0);
            for index in 0..of {
                options.shard = Some(Shard::new(index, of).unwrap());
                let out = folder.path().join(format!("{index}-{of}.bin"));
                let (part, ids, starts) = encode(&tokenizer, &paths, &out, &options);
                let before = all_ids.len() as u64 / part.dtype.num_bytes();
                all_ids.extend(ids);
                all_starts.extend(starts.iter().map(|start| start + before));
                text_bytes += part.text_bytes;
                skipped_lines += part.skipped_lines;
            }
            let case = format!("round {round}, {of} shards, {pattern}, {separator:?}, {paths:?}");
            assert_eq!(all_ids, ids, "{case}");
            assert_eq!(all_starts, starts, "{case}");
            assert_eq!((text_bytes, skipped_lines), (whole.text_bytes, whole.skipped_lines), "{case}");
            options.shard = None;
        }
    }
}

#[test]
fn shards_one_after_another_are_the_whole_corpus() {
    shards_are_the_whole(8);
}

#[test]
#[ignore = "it takes minutes"]
fn shards_of_many_corpora_are_the_whole_corpora() {
    shards_are_the_whole(4000);
}

#[test]
fn a_border_far_from_any_place_to_cut_is_the_same_for_both_shards() {
    let tokenizer = tokenizer(&["<|endoftext|>"], "gpt2");
    let folder = tempfile::TempDir::new().unwrap();
    let long =
        [&b"the cat "[..], &[b'x'; 60_000], b" sat<|endoftext|>", &[b' '; 50_000], b"on the mat"].concat();
    let paths = [folder.path().join("a.txt"), folder.path().join("b.txt")];
    paths.iter().for_each(|path| write(path, &long));
    let encode_options =
        EncodeOptions { min_share: 1, chunk_bytes: 5000, ..EncodeOptions::new(&tokenizer, 2) };
    let mut options = TokenFileOptions::new(encode_options);
    let (_, ids, starts) = encode(&tokenizer, &paths, &folder.path().join("whole.bin"), &options);
    for of in [2, 3, 5, 16] {
        let (mut all_ids, mut all_starts) = (vec![], vec![]);
        for index in 0..of {
            options.shard = Some(Shard::new(index, of).unwrap());
            let out = folder.path().join(format!("{index}-{of}.bin"));
            let (part, ids, starts) = encode(&tokenizer, &paths, &out, &options);
            let before = all_ids.len() as u64 / part.dtype.num_bytes();
            all_ids.extend(ids);
            all_starts.extend(starts.iter().map(|start| start + before));
        }
        assert_eq!((all_ids == ids, &all_starts), (true, &starts), "{of} shards");
    }
}

#[test]
fn a_shard_of_what_has_no_length_is_refused() {
    let tokenizer = tokenizer(&["<|endoftext|>"], "gpt2");
    let folder = tempfile::TempDir::new().unwrap();
    let shard = Some(Shard::new(0, 2).unwrap());
    let options = TokenFileOptions { shard, ..TokenFileOptions::new(EncodeOptions::new(&tokenizer, 1)) };
    let corpus = Corpus::open(["-"]).unwrap();
    let out = folder.path().join("out.bin");
    let error = encode_file(&tokenizer, corpus, &out, &options, &Job::default()).unwrap_err();
    assert!(error.to_string().contains("standard input"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    for (index, of) in [(2, 2), (0, 0), (0, (1 << 20) + 1)] {
        assert!(Shard::new(index, of).unwrap_err().to_string().contains("i from 0 to n - 1"));
    }
}

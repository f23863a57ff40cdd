//! Mutated inputs for every parser: tokenizer files, corpora, token files, patterns. Whatever loads must encode any bytes
//! and give them back; everything else must be an error, and quickly.
//!
//! Why not cargo-fuzz? It needs a nightly compiler. Here files that are right are the seeds; a mutation flips a bit, cuts,
//! repeats, or writes in a piece of another seed or a token that parsers care about, several times over. Nothing measures
//! coverage, so rare paths are reached by number alone.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, Cutter, Format, InputOptions};
use bpe_lm::counts::count_pretokens;
use bpe_lm::encode_corpus::EncodeOptions;
use bpe_lm::formats::tokenizer_json::{self, Nfc};
use bpe_lm::formats::{self, gpt2, tiktoken, training_json};
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{TokenFileOptions, encode_file, open, verify};
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::training::Training;
use common::Random;
use common::row::{few_or, passed};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What parsers care about, between spaces.
const PIECES: &str =
    r#"" \ { } [ ] , : null -1 1e999 18446744073709551616 \u0000 \uD800 {"a": [[[[ (?<=a) * {9999} | Ġ é 中"#;

fn piece(random: &mut Random) -> Vec<u8> {
    let others = [&b"\xFF"[..], b"\xE4\xB8", b"\0", b"\n"];
    let pieces: Vec<&[u8]> = PIECES.split(' ').map(str::as_bytes).chain(others).collect();
    random.pick(&pieces).to_vec()
}

/// A seed that was changed in some places.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].repeat(1 + random.below(50));
                bytes.splice(at..at, part);
            }
            4 => {
                let other = random.pick(seeds);
                let start = random.below(other.len() + 1);
                let part = other[start..(start + random.below(80)).min(other.len())].to_vec();
                bytes.splice(at..end, part);
            }
            5 => drop(bytes.splice(at..end, random.bytes(9, b"0123456789"))),
            _ => drop(bytes.splice(at..at, piece(random))),
        }
    }
    bytes
}

/// Runs `work` on many mutations of the seeds. Each must end within ten seconds, on a busy machine too, without a panic.
fn fuzz(name: &str, few: usize, seeds: &[Vec<u8>], mut work: impl FnMut(&[u8])) {
    let cases = few_or(few, 40 * few);
    let mut random = Random(name.len() as u64 + cases as u64);
    for case in 0..cases {
        let bytes = mutated(&mut random, seeds);
        let start = Instant::now();
        let ends = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&bytes)));
        let what = format!("{name}, case {case}: {:?}", String::from_utf8_lossy(&bytes));
        assert!(ends.is_ok(), "a panic: {what}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {what}", start.elapsed());
    }
    passed("R21", cases);
}

fn small() -> (Tokenizer, Training) {
    let special = SpecialTokens::new(["<|endoftext|>", "<|pad|>"]).unwrap();
    let text = b"the cat sat on the mat, the cat that sat \xC3\xA9t\xC3\xA9 12 12\n".repeat(3);
    let options = TrainOptions::new(280, special.clone());
    let (vocab, merges, training) =
        train_bpe(&Corpus::from_texts([text]), &options, &Job::default()).unwrap();
    (Tokenizer::new(vocab, merges, special, Pattern::Gpt2).unwrap(), training)
}

/// Whatever is a tokenizer encodes any bytes, and gives them back.
fn use_tokenizer(tokenizer: &Tokenizer) {
    for text in [
        &b"the cat<|endoftext|> sat \xE4\xB8\xAD\xFF 12"[..],
        b"",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        if let Ok(ids) = tokenizer.encode(text, Special::Allow, &Job::default()) {
            assert_eq!(tokenizer.decode(ids).unwrap(), text);
        }
    }
}

fn saved(folder: &Path) -> PathBuf {
    let path = folder.join("tokenizer");
    let (tokenizer, training) = small();
    formats::save(&tokenizer, Some(&training), &path, false).unwrap();
    path
}

#[test]
fn tokenizer_files() {
    let folder = tempfile::tempdir().unwrap();
    let good = saved(folder.path());
    let path = |name: &str| folder.path().join(name);
    let seed = |name: &str| fs::read(good.join(name)).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).unwrap();
    fuzz("tokenizer.json", 500, &[seed("tokenizer.json")], |bytes| {
        put("tokenizer.json", bytes);
        if let Ok((tokenizer, _)) = tokenizer_json::load(&path("tokenizer.json"), Nfc::LeaveOut) {
            use_tokenizer(&tokenizer);
        }
    });
    for (mutant, other) in [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")] {
        put(other, &seed(other));
        fuzz(mutant, 250, &[seed(mutant)], |bytes| {
            put(mutant, bytes);
            let special = Some(vec!["<|endoftext|>".to_owned()]);
            if let Ok(tokenizer) =
                gpt2::load(&path("vocab.json"), &path("merges.txt"), special, Pattern::Gpt2)
            {
                use_tokenizer(&tokenizer);
            }
        });
    }
    for (mutant, other) in
        [("tokenizer.tiktoken", "tokenizer.tiktoken.json"), ("tokenizer.tiktoken.json", "tokenizer.tiktoken")]
    {
        put(other, &seed(other));
        fuzz(mutant, 250, &[seed(mutant)], |bytes| {
            put(mutant, bytes);
            if let Ok(tokenizer) = tiktoken::load(&path("tokenizer.tiktoken"), None, None) {
                use_tokenizer(&tokenizer);
            }
        });
    }
    fuzz("training.json", 250, &[seed("training.json")], |bytes| {
        put("training.json", bytes);
        let _ = training_json::load(&path("training.json"));
    });
}

#[test]
fn corpora() {
    let folder = tempfile::tempdir().unwrap();
    let lines =
        b"{\"text\": \"a b\\u00e9\", \"meta\": {\"text\": [1, null, NaN]}}\n{\"text\": \"\"}\n".repeat(3);
    let packed = {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&lines).unwrap();
        packer.finish().unwrap()
    };
    let special = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let count = |path: &Path, format: Format| {
        let input = InputOptions { format, bad_lines: BadLines::Skip, ..InputOptions::default() };
        let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special, chunk_bytes: 50 };
        let counted = Corpus::open_with([path], input)
            .map(|corpus| count_pretokens(&corpus, cutter, 1, &Job::default()));
        drop(counted);
    };
    let zstd = zstd::encode_all(&lines[..], 1).unwrap();
    let text = b"a text<|endoftext|> of \xE4\xB8\xAD words, 12 <|endoft".to_vec();
    for (name, seed) in [("a.jsonl", lines), ("a.jsonl.gz", packed), ("a.jsonl.zst", zstd), ("a.txt", text)] {
        let path = folder.path().join(name);
        fuzz(name, 500, &[seed], |bytes| {
            fs::write(&path, bytes).unwrap();
            count(&path, Format::ByName);
            count(&path, Format::Text);
        });
    }
}

#[test]
fn token_files() {
    let folder = tempfile::tempdir().unwrap();
    let (tokenizer, _) = small();
    let (text, out) = (folder.path().join("a.txt"), folder.path().join("a.npy"));
    fs::write(&text, "the cat sat\n".repeat(20)).unwrap();
    let options = TokenFileOptions::new(EncodeOptions::new(&tokenizer, 1));
    encode_file(&tokenizer, Corpus::open([&text]).unwrap(), &out, &options, &Job::default()).unwrap();
    for path in [out.clone(), PathBuf::from(format!("{}.json", out.display()))] {
        let seed = fs::read(&path).unwrap();
        fuzz("a token file", 500, std::slice::from_ref(&seed), |bytes| {
            fs::write(&path, bytes).unwrap();
            let is_open = open(&out, None, None).is_ok();
            let is_right = verify(&out, None, &Job::default()).is_ok();
            assert!(is_open || !is_right);
        });
        fs::write(&path, seed).unwrap();
    }
}

#[test]
fn patterns_and_texts() {
    let seeds =
        ["gpt2", "cl100k", "o200k"].map(|name| Pattern::new(name).unwrap().source().as_bytes().to_vec());
    let (tokenizer, _) = small();
    fuzz("a pattern", 500, &seeds, |bytes| {
        let Ok(pattern) = Pattern::new(&String::from_utf8_lossy(bytes)) else { return };
        let parts =
            (tokenizer.vocab().clone(), tokenizer.merges().clone(), tokenizer.special_tokens().clone());
        use_tokenizer(&Tokenizer::new(parts.0, parts.1, parts.2, pattern).unwrap());
    });
    let texts: Vec<Vec<u8>> =
        ["the cat's 12  \n\n sat<|endoftext|>", "\u{4e2d}\u{301}e\u{3000}\u{a0}\u{1F600}", "\r\n\t'LL a1"]
            .map(|text| text.as_bytes().repeat(3))
            .to_vec();
    fuzz("a text", 2000, &texts, |bytes| {
        let ids = tokenizer.encode(bytes, Special::Allow, &Job::default()).unwrap();
        assert_eq!(ids, common::naive::encode(&tokenizer, bytes, Special::Allow));
        assert_eq!(tokenizer.decode(ids).unwrap(), bytes);
    });
}

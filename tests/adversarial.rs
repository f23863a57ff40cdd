//! Texts that are made to be slow: megabytes of one kind of character, or of one line. Twice the text must
//! take about twice the time, of the processor and not of the clock, which other programs hardly change. The times are
//! printed, and the answers asserted. With `BPE_LM_CASES=many` the texts have full size, and the times are asserted as
//! well; small texts take a few ticks of the processor's clock, which says little, so they have a bound in seconds.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use common::Random;
use common::row::{few_or, passed};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

/// Seconds for two megabytes, of which they take a hundredth: square time would be hours.
const SOON: f64 = 5.0;

/// The time that all threads of the process have run, also those that have ended, in ticks of 10 ms; where the system does
/// not tell, the clock's.
fn seconds_of_processor() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let clock = START.get_or_init(Instant::now).elapsed().as_secs_f64();
    let ticks = || -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    ticks().map_or(clock, |ticks| ticks / 100.0)
}

/// Trains on a file, and checks that every byte is in the tokens that are left.
fn train(path: &Path, pattern: &str) -> f64 {
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let pattern = Pattern::new(pattern).unwrap();
    let options = TrainOptions { pattern, threads: 2, ..TrainOptions::new(300, special_tokens) };
    let start = seconds_of_processor();
    let (vocab, _, training) = train_bpe(&Corpus::open([path]).unwrap(), &options, &Job::default()).unwrap();
    let seconds = seconds_of_processor() - start;
    let num_bytes: u64 =
        vocab.iter().zip(&training.token_uses).map(|((_, token), uses)| token.len() as u64 * uses).sum();
    assert_eq!(num_bytes, std::fs::metadata(path).unwrap().len());
    seconds
}

#[test]
fn texts_made_to_be_slow() {
    let megabytes = few_or(2, 64);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let mut random = Random(21);
    let base64 = random.bytes(4096, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    let mixed = random.bytes(4096, b"aZ09+/");
    let units: [(&str, &[u8]); 14] = [
        ("a letter", b"a"),
        ("spaces", b" "),
        ("newlines", b"\n"),
        ("digits", b"7"),
        ("apostrophes", b"'"),
        ("letter, space", b"a "),
        ("space, newline", b" \n"),
        ("letter, digit", b"a1"),
        ("contractions", b"'s"),
        ("wide space, letter", "\u{3000}a".as_bytes()),
        ("Chinese", "中文字".as_bytes()),
        ("bytes that do not decode", b"\xFF\xC2"),
        ("one line of base64", &base64),
        ("half a special token", b"<|endoftext|"),
    ];
    for pattern in ["gpt2", "cl100k", "o200k"] {
        for (name, unit) in units.iter().copied().chain([("letters, digits, signs", &mixed[..])]) {
            let measure = || {
                let seconds = [megabytes / 2, megabytes].map(|megabytes| {
                    let text = unit.repeat((megabytes << 20) / unit.len());
                    std::fs::write(&path, text).unwrap();
                    train(&path, pattern)
                });
                let ratio = seconds[1] / seconds[0];
                println!(
                    "{pattern:>8} {name:>26} {megabytes:>4} MB {:8.3} s, {ratio:.2} times that of half",
                    seconds[1]
                );
                if megabytes < 64 { seconds[1] <= SOON } else { ratio <= 2.5 }
            };
            // On a busy machine a measurement may be wrong, so the least of three counts.
            let is_linear = measure() || measure() || measure();
            assert!(is_linear, "{pattern}, {name}: twice the text takes more than 2.5 times the time");
            passed("R14", 1);
        }
    }
}

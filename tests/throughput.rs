//! MB/s and peak memory of each stage, and each stage's answer against the slow path. It asserts answers, never times.
//!
//! `cargo test --release --test throughput -- --nocapture` runs on 20 MB of sample stories;
//! `BPE_LM_CORPUS=file BPE_LM_VOCAB_SIZE=32000` on a corpus of your own.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::corpus::{Corpus, Cutter};
use bpe_lm::counts::probe_one_line;
use bpe_lm::counts::{PretokenCounts, count_pretokens};
use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::merges::{MergeOptions, learn_merges};
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::{Borders, Pattern, regex::RegexPretokenizer};
use bpe_lm::sample::{Split, write_file};
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::threads::resolve_threads;
use common::naive::{Counts, Naive};
use std::path::{Path, PathBuf};
use std::time::Instant;

const FAST_BYTES: usize = 100_000_000;
const SLOW_BYTES: usize = 2_000_000;
const SLOW_MERGES: usize = 60;

#[test]
fn throughput() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = corpus_path(folder.path());
    let num_bytes = std::fs::metadata(&corpus).unwrap().len();
    let vocab_size: usize = std::env::var("BPE_LM_VOCAB_SIZE").map_or(10_000, |n| n.parse().unwrap());
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let threads = resolve_threads(None).unwrap();
    println!("{}: {:.1} MB, {threads} threads", corpus.display(), num_bytes as f64 / 1e6);

    let text = head(&corpus, FAST_BYTES);
    let scanners = ["gpt2", "cl100k", "o200k"].map(|name| Pattern::new(name).unwrap());
    for scanner in &scanners {
        timed(&format!("{}, 1 thread", scanner.name()), text.len() as u64, || count_only(scanner, &text));
    }
    let num_pretokens = count_only(&Pattern::Gpt2, &text);
    for isa in Isa::available() {
        let stage = format!("gpt2, masks, {}", isa.name());
        let found =
            timed(&stage, text.len() as u64, || windows(isa, &text, |borders| borders.pretokens().count()));
        assert_eq!(found, num_pretokens);
    }
    let mut line = [0; 16];
    let probe = |borders: &Borders| {
        probe_one_line(&text, borders, &mut line);
        0
    };
    timed("masks, keys, one line", text.len() as u64, || windows(Isa::best(), &text, probe));
    drop(text);
    let head = head(&corpus, SLOW_BYTES);
    for scanner in &scanners {
        let regex = RegexPretokenizer::new(scanner.source()).unwrap();
        let stage = format!("{}, regex", scanner.name());
        let slow = timed(&stage, head.len() as u64, || regex_pretokens(&regex, &head));
        if std::str::from_utf8(&head).is_ok() {
            // On bytes that do not decode the two differ by design.
            assert_eq!(scanner.pretokens(&head).unwrap(), slow);
            assert_eq!(count_only(scanner, &head), slow.len());
        }
    }

    let pattern = Pattern::Gpt2;
    let cutter = Cutter { pattern: &pattern, special_tokens: &special_tokens, chunk_bytes: 128 << 10 };
    let count = |threads| {
        count_pretokens(&Corpus::open([&corpus]).unwrap(), cutter, threads, &Job::default()).unwrap()
    };
    let one = timed("count, 1 thread", num_bytes, || count(1));
    let counts = timed(&format!("count, {threads} threads"), num_bytes, || count(threads));
    let slow = timed("count, ordered map", head.len() as u64, || slow_counts(&head, &special_tokens));
    let head_counts = count_pretokens(&Corpus::from_texts([head]), cutter, threads, &Job::default()).unwrap();
    assert_eq!(collect(&head_counts), slow);
    assert_eq!(collect(&one), collect(&counts));
    println!("{:>24} distinct pretokens", counts.len());
    drop(one);

    let options = MergeOptions { threads, ..MergeOptions::new(vocab_size - 257) };
    let learned = timed("merge", num_bytes, || learn_merges(counts, options, &Job::default()).unwrap());
    println!("{:>24} merges", learned.merges.len());
    let full_index = MergeOptions { threshold_divisor: u64::MAX, long_word: 3, ..options };
    assert_eq!(learned, learn_merges(count(threads), full_index, &Job::default()).unwrap());
    let options = MergeOptions::new(SLOW_MERGES);
    let fast = learn_merges(head_counts, options, &Job::default()).unwrap();
    let naive = Naive {
        num_merges: SLOW_MERGES,
        tie_break: options.tie_break,
        min_frequency: 1,
        max_token_length: usize::MAX,
    };
    assert_eq!(common::spell(&fast.merges), timed("merge, recounting", 0, || naive.learn(&slow)));
}

fn corpus_path(folder: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("BPE_LM_CORPUS") {
        return path.into();
    }
    let path = folder.join("sample.txt");
    write_file(&path, 20_000_000, 336, Split::Train, &Job::default()).unwrap();
    path
}

fn head(path: &Path, limit: usize) -> Vec<u8> {
    use std::io::Read;
    let mut head = Vec::new();
    std::fs::File::open(path).unwrap().take(limit as u64).read_to_end(&mut head).unwrap();
    let lines = head.iter().rposition(|&byte| byte == b'\n').map_or(head.len(), |newline| newline + 1);
    head.truncate(lines); // Not in the middle of a character, where the scanner and the regex differ.
    head
}

/// Windows of the block scanner, and the sum of what is made of them.
fn windows(isa: Isa, text: &[u8], mut visit: impl FnMut(&Borders) -> usize) -> usize {
    let special_tokens = SpecialTokens::default();
    let mut scanner = BlockScanner::new(isa, &Pattern::Gpt2, text, 0..text.len(), &special_tokens).unwrap();
    let (mut borders, mut sum) = (Borders::default(), 0);
    while scanner.next_window(&mut borders) {
        sum += visit(&borders);
    }
    sum
}

fn count_only(scanner: &Pattern, text: &[u8]) -> usize {
    let mut n = 0;
    scanner.for_each_pretoken(text, 0..text.len(), &Job::default(), |_| n += 1).unwrap();
    n
}

fn regex_pretokens<'t>(regex: &RegexPretokenizer, text: &'t [u8]) -> Vec<&'t [u8]> {
    let mut pretokens = Vec::new();
    regex
        .for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |range| pretokens.push(&text[range]))
        .unwrap();
    pretokens
}

fn slow_counts(text: &[u8], special_tokens: &SpecialTokens) -> Counts {
    let mut counts = Counts::new();
    special_tokens
        .split(text, 0..text.len(), |stretch, _| {
            for pretoken in Pattern::Gpt2.pretokens(&text[stretch])? {
                *counts.entry(pretoken.to_vec()).or_default() += 1;
            }
            Ok::<(), bpe_lm::error::Error>(())
        })
        .unwrap();
    counts
}

fn collect(counts: &PretokenCounts) -> Counts {
    counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect()
}

fn timed<T>(stage: &str, num_bytes: u64, work: impl FnOnce() -> T) -> T {
    let _ = std::fs::write("/proc/self/clear_refs", "5"); // The peak from here on, where the system can tell.
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    let speed =
        if num_bytes > 0 { format!("{:8.1} MB/s", num_bytes as f64 / 1e6 / seconds) } else { String::new() };
    println!("{stage:>24} {seconds:8.3} s {speed:>13} {}", peak_memory());
    result
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.map_or(String::new(), |kib| format!("peak {:.0} MB", kib.parse::<f64>().unwrap() * 1.024e-3))
}

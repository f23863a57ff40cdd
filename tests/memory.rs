//! Measures the memory of counting and encoding, and compares it with the figures of docs/memory.md. Counting
//! takes a + b x distinct pretokens + c x the longest pretoken. Each measurement has a process of its own,
//! and is skipped where the system does not report a process's peak. Corpora of 2.2 and 12 GB are a text of made-up stories
//! again and again, or with `BPE_LM_CORPORA` the files of that folder.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    missing_docs
)]

#[path = "common/row.rs"]
#[allow(dead_code)]
mod row;

use bpe_lm::corpus::{Corpus, Cutter};
use bpe_lm::count_corpus::{CountOptions, count_corpus};
use bpe_lm::counts::count_pretokens;
use bpe_lm::encode_corpus::EncodeOptions;
use bpe_lm::formats;
use bpe_lm::formats::tokenizer_json::{self, Nfc};
use bpe_lm::job::Job;
use bpe_lm::merges::Merges;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::sample::{END_OF_TEXT, Split, write_sample};
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{TokenFileOptions, encode_file};
use bpe_lm::tokenizer::Tokenizer;
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::vocab::Vocab;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHILD: &str = "BPE_LM_COUNT_AND_PRINT_PEAK";
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
/// The figures of docs/memory.md for counting: bytes for the process, for each thread, for the table of each
/// thread by the number of distinct pretokens, and for each distinct pretoken; and how often the longest pretoken
/// is held.
const FIXED: f64 = 3.0 * MIB;
const PER_THREAD: f64 = 1.0 * MIB;
const TABLES: [(usize, f64); 3] = [(8_000, 0.25 * MIB), (65_000, 2.25 * MIB), (usize::MAX, 18.25 * MIB)];
const PER_PRETOKEN: f64 = 48.0;
const COPIES: f64 = 1.2;
/// The figures of docs/memory.md for encoding, whatever is encoded.
const ENCODE_FIXED: f64 = 5.0 * MIB;
const ENCODE_PER_THREAD: f64 = 110.0 * MIB;
const ENCODE_COPIES: f64 = 15.0;

fn status(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * KIB)
}

/// Counts in a process of its own, because memory that one count has freed would hide the memory that the
/// next one takes. Returns the bytes by which the process's peak exceeds its memory before the count.
fn peak_of_counting(path: &Path, threads: usize, distinct: usize) -> Option<f64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "counting_takes_the_memory_that_readme_states", "--nocapture"]);
    child.env(CHILD, format!("{threads} {distinct}")).env("BPE_LM_TEXT", path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().find_map(|line| line.strip_prefix("peak "))?.parse().ok()
}

fn count_and_print_peak(arguments: &str) {
    let (threads, distinct) = arguments.split_once(' ').unwrap();
    let Some(before) = status("VmRSS:") else { return };
    let special_tokens = SpecialTokens::default();
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 128 << 10 };
    let corpus = Corpus::open([std::env::var_os("BPE_LM_TEXT").unwrap()]).unwrap();
    let counts = count_pretokens(&corpus, cutter, threads.parse().unwrap(), &Job::default()).unwrap();
    assert_eq!(counts.len(), distinct.parse::<usize>().unwrap());
    println!("\npeak {}", status("VmHWM:").unwrap() - before);
}

/// Encodes in a process of its own, and returns the same difference.
fn peak_of_encoding(path: &Path, threads: usize) -> Option<f64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "encoding_takes_the_memory_that_readme_states", "--nocapture"]);
    child.env(CHILD, threads.to_string()).env("BPE_LM_TEXT", path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    output.lines().find_map(|line| line.strip_prefix("peak "))?.parse().ok()
}

fn encode_and_print_peak(threads: &str) {
    let Some(before) = status("VmRSS:") else { return };
    let vocab = Vocab::from_tokens((0..=255).map(|byte| vec![byte]).collect()).unwrap();
    let tokenizer =
        Tokenizer::new(vocab, Merges::default(), SpecialTokens::default(), Pattern::Gpt2).unwrap();
    let path = std::env::var("BPE_LM_TEXT").unwrap();
    let encode = EncodeOptions::new(&tokenizer, threads.parse().unwrap());
    let options = TokenFileOptions { force: true, ..TokenFileOptions::new(encode) };
    let out = format!("{path}.{threads}.bin");
    let corpus = Corpus::open([&path]).unwrap();
    let manifest = encode_file(&tokenizer, corpus, Path::new(&out), &options, &Job::default()).unwrap();
    assert_eq!(manifest.count, std::fs::metadata(&path).unwrap().len());
    println!("\npeak {}", status("VmHWM:").unwrap() - before);
}

#[test]
fn encoding_takes_the_memory_that_readme_states() {
    if let Ok(threads) = std::env::var(CHILD) {
        return encode_and_print_peak(&threads);
    }
    let folder = tempfile::tempdir().unwrap();
    let check = |what: &str, name: &str, threads: usize, longest: usize| {
        let Some(peak) = peak_of_encoding(&folder.path().join(name), threads) else {
            println!("skipped: this system does not tell a process's peak");
            return;
        };
        let longest = ENCODE_COPIES * (threads * longest) as f64;
        let stated = ENCODE_FIXED + ENCODE_PER_THREAD * threads as f64 + longest;
        println!("{what}, {threads} threads: {:.1} MiB, stated {:.1} MiB", peak / MIB, stated / MIB);
        assert!(peak <= stated, "{what}, {threads} threads: {:.1} > {:.1} MiB", peak / MIB, stated / MIB);
        row::passed("R17", 1);
    };
    for (name, distinct) in [("words", 1_500_000), ("more", 5_000_000)] {
        write_words(&folder.path().join(name), distinct, 1);
        check(&format!("{distinct} words"), name, 1, 0);
        check(&format!("{distinct} words"), name, 3, 0);
    }
    // First the bytes of long words fill the memory for data stored aside, then the ids of short words do.
    let words = |len: usize, i: usize| -> String {
        let letters = |j: usize| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> (3 * j) & 15) as u8);
        format!(" {}", (0..len - 9).map(letters).collect::<String>() + &format!("{i:08}"))
    };
    let both: String =
        (0..1_000_000).map(|i| words(60, i)).chain((0..2_000_000).map(|i| words(14, i))).collect();
    std::fs::write(folder.path().join("both"), both).unwrap();
    check("long words, then short ones", "both", 1, 0);
    check("long words, then short ones", "both", 2, 0);
    let long = folder.path().join("long");
    std::fs::write(&long, "abcdefgh".repeat(12).replace('h', "h ").repeat(200_000)).unwrap();
    check("19 MB of words and blanks", "long", 2, 0);
    std::fs::write(&long, "a".repeat(32 << 20)).unwrap();
    check("a pretoken of 32 MiB", "long", 2, 32 << 20);
}

/// Counts a file within its memory and some MiB more, by two threads and in a process of its own. Returns by how much the
/// process's peak exceeds that limit, and the end of the error, if there is one.
fn count_within(mib: usize, path: &Path) -> Option<(f64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "counting_within_a_limit_of_memory_holds_no_more", "--nocapture"]);
    child.env(CHILD, mib.to_string()).env("BPE_LM_TEXT", path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let (excess, error) = output.lines().find_map(|line| line.strip_prefix("excess "))?.split_once(' ')?;
    Some((excess.parse().ok()?, error.to_owned()))
}

fn count_within_and_print_excess(mib: &str) {
    let path = PathBuf::from(std::env::var_os("BPE_LM_TEXT").unwrap());
    let corpus = Corpus::open([&path]).unwrap();
    let Some(before) = status("VmRSS:") else { return };
    let limit = before + mib.parse::<f64>().unwrap() * MIB;
    let options = CountOptions {
        threads: 2,
        memory_limit: Some(limit as u64),
        replace: true,
        ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default())
    };
    let counted = count_corpus(&corpus, &options, &path.with_extension("counts"), &Job::default());
    let error = counted.err().map_or_else(String::new, |error| error.to_string());
    println!("\nexcess {} {error}", status("VmHWM:").unwrap() - limit);
}

/// A text of lines, each a run of letters that differs from the others.
fn lines(number: usize, len: usize) -> Vec<u8> {
    let line =
        |n: usize| (0..len).map(move |i| b'a' + ((i * (n + 7) + i / 97 + n) % 26) as u8).chain([b'\n']);
    (0..number).flat_map(line).collect()
}

#[test]
fn counting_within_a_limit_of_memory_holds_no_more() {
    if let Ok(mib) = std::env::var(CHILD) {
        return count_within_and_print_excess(&mib);
    }
    let folder = tempfile::tempdir().unwrap();
    let packed = |text: &[u8], window: u32| {
        let mut packer = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        packer.window_log(window).unwrap();
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let words: Vec<u8> =
        (0..2_500_000).flat_map(|n| format!(" w{:x}", n * 7 % 2_000_003).into_bytes()).collect();
    for (what, content, mib, refused) in [
        ("long lines", lines(120, 500_000), 70, ""),
        ("lines of 4 KiB", lines(8000, 4000), 14, ""),
        ("lines that do not fit", lines(2, 5_000_000), 40, "is longer than"),
        ("a window of 2 MiB", packed(&words, 21), 40, ""),
        ("a window of 64 MiB", packed(&words, 26), 52, "and the limit is 4 MiB"),
    ] {
        let path = folder.path().join("text.txt");
        std::fs::write(&path, content).unwrap();
        let Some((excess, error)) = count_within(mib, &path) else {
            println!("skipped: this system does not tell a process's peak");
            return;
        };
        println!("{what}: {:.1} MiB beyond the limit; {error}", excess / MIB);
        assert!(excess <= 0.0, "{what}: {excess} bytes beyond the limit");
        assert!(error.contains(refused) && error.is_empty() == refused.is_empty(), "{what}: {error}");
    }
}

fn write_words(path: &Path, distinct: usize, repeats: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for _ in 0..repeats {
        for word in 0..distinct {
            let letters: String =
                (0..5).map(|i| char::from(b'a' + (word / 26usize.pow(i) % 26) as u8)).collect();
            write!(file, " {letters}").unwrap();
        }
    }
}

#[test]
fn counting_takes_the_memory_that_readme_states() {
    if let Ok(arguments) = std::env::var(CHILD) {
        return count_and_print_peak(&arguments);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().join("text");
    let check = |path: &Path, what: &str, threads: usize, distinct: usize, longest: usize| {
        let Some(peak) = peak_of_counting(path, threads, distinct) else {
            println!("skipped: this system does not tell a process's peak");
            return;
        };
        let (_, table) = TABLES.into_iter().find(|&(most, _)| distinct <= most).unwrap();
        let table = PER_PRETOKEN * distinct as f64 + table * threads as f64;
        let longest = COPIES * (threads + 1) as f64 * longest as f64;
        let stated = FIXED + PER_THREAD * threads as f64 + table + longest;
        println!("{what}, {threads} threads: {:.1} MiB, stated {:.1} MiB", peak / MIB, stated / MIB);
        assert!(peak <= stated, "{what}, {threads} threads: {:.1} > {:.1} MiB", peak / MIB, stated / MIB);
        row::passed("R17", 1);
    };
    // The length of the corpus does not matter: 2 MB, then 80 MB.
    for repeats in [1, 40] {
        write_words(&path, 300_000, repeats);
        check(&path, &format!("300,000 words {repeats} times"), 1, 300_000, 0);
        check(&path, &format!("300,000 words {repeats} times"), 4, 300_000, 0);
    }
    for distinct in [530_000, 1_100_000, 2_000_000] {
        write_words(&path, distinct, 1);
        check(&path, &format!("{distinct} words"), 2, distinct, 0);
    }
    std::fs::write(&path, "a".repeat(32 << 20)).unwrap();
    check(&path, "a pretoken of 32 MiB", 1, 1, 32 << 20);
    check(&path, "a pretoken of 32 MiB", 4, 1, 32 << 20);
    std::fs::write(&path, "a1".repeat(16 << 20)).unwrap();
    check(&path, "32 MiB without whitespace, but of two classes", 1, 2, 0);
    let line = format!("{{\"text\": \"{}\"}}\n", "word ".repeat(3 << 20));
    path.set_extension("jsonl");
    std::fs::write(&path, line.repeat(3)).unwrap();
    // docs/memory.md: three times the longest line, for each thread and once more.
    check(&path, "JSON lines of 15 MiB", 2, 3, 3 * line.len() * 10 / 12);
}

/// Counts or encodes a file so many times over, in a process of its own: its peak, and how many pretokens were distinct.
fn peak_of_corpus(job: &str, path: &Path, times: usize) -> Option<(f64, usize)> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "corpora_of_any_size_take_the_memory_that_readme_states", "--nocapture"]);
    child.env(CHILD, format!("{job} {times}")).env("BPE_LM_TEXT", path);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let (peak, distinct) = output.lines().find_map(|line| line.strip_prefix("peak "))?.split_once(' ')?;
    Some((peak.parse().ok()?, distinct.parse().ok()?))
}

fn take_corpus_and_print_peak(arguments: &str) {
    let (job, times) = arguments.split_once(' ').unwrap();
    let path = PathBuf::from(std::env::var_os("BPE_LM_TEXT").unwrap());
    let corpus = Corpus::open(vec![&path; times.parse().unwrap()]).unwrap();
    let special_tokens = SpecialTokens::new([END_OF_TEXT]).unwrap();
    let Some(before) = status("VmRSS:") else { return };
    let distinct = if job == "count" {
        let cutter =
            Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 128 << 10 };
        count_pretokens(&corpus, cutter, 2, &Job::default()).unwrap().len()
    } else {
        let folder = path.with_file_name("tokenizer");
        let (tokenizer, _) = tokenizer_json::load(&folder.join("tokenizer.json"), Nfc::Refuse).unwrap();
        let options =
            TokenFileOptions { force: true, ..TokenFileOptions::new(EncodeOptions::new(&tokenizer, 2)) };
        let out = folder.with_file_name("corpus.bin");
        encode_file(&tokenizer, corpus, &out, &options, &Job::default()).unwrap();
        0
    };
    println!("\npeak {} {distinct}", status("VmHWM:").unwrap() - before);
}

#[test]
fn corpora_of_any_size_take_the_memory_that_readme_states() {
    if let Ok(arguments) = std::env::var(CHILD) {
        return take_corpus_and_print_peak(&arguments);
    }
    let folder = tempfile::tempdir().unwrap();
    let part = row::few_or(4, 100);
    let path = folder.path().join("part.txt");
    let mut text = Vec::new();
    write_sample(&mut text, part as u64 * 1_000_000, 1, Split::Train).unwrap();
    std::fs::write(&path, &text).unwrap();
    let options =
        TrainOptions { threads: 2, ..TrainOptions::new(2000, SpecialTokens::new([END_OF_TEXT]).unwrap()) };
    let corpus = Corpus::from_texts(vec![text[..1_000_000].to_vec()]);
    let (vocab, merges, _) = train_bpe(&corpus, &options, &Job::default()).unwrap();
    let tokenizer = Tokenizer::new(vocab, merges, options.special_tokens, Pattern::Gpt2).unwrap();
    formats::save(&tokenizer, None, &folder.path().join("tokenizer"), true).unwrap();
    let check = |job: &str, path: &Path, times: usize| {
        let Some((peak, distinct)) = peak_of_corpus(job, path, times) else {
            println!("skipped: this system does not tell a process's peak");
            return;
        };
        let (_, table) = TABLES.into_iter().find(|&(most, _)| distinct <= most).unwrap();
        let stated = match job {
            "count" => FIXED + 2.0 * (PER_THREAD + table) + PER_PRETOKEN * distinct as f64,
            _ => ENCODE_FIXED + 2.0 * ENCODE_PER_THREAD,
        };
        let size = times as f64 * std::fs::metadata(path).unwrap().len() as f64 / 1e6;
        let found = format!("{job} {size:.0} MB: {:.1} MiB, stated {:.1} MiB", peak / MIB, stated / MIB);
        println!("{found}");
        assert!(peak <= 1.1 * stated, "{found}");
        row::passed("R17", 1);
    };
    let files: Vec<PathBuf> = std::env::var_os("BPE_LM_CORPORA").map_or_else(Vec::new, |folder| {
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
    });
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "txt")) {
        check("count", file, 1);
    }
    for times in [22, 120] {
        check("count", &path, times);
    }
    for times in [10, 80] {
        check("encode", &path, times);
    }
}

//! Measures learning merges alone, split into its phases, for several numbers of threads in turns.
//!
//! ```text
//! cargo bench --bench merge_phases -- count CORPUS COUNTS
//! cargo bench --bench merge_phases -- learn COUNTS [VOCAB_SIZE] [THREADS,...] [ROUNDS]
//! ```
//!
//! The first command keeps the counts of a corpus in a file, so that a large corpus is counted once. The second
//! one prints the median of each phase, and fails if two numbers of threads learn different merges.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use bpe_lm::corpus::{Corpus, Cutter};
use bpe_lm::counts::{PretokenCounts, count_pretokens};
use bpe_lm::job::Job;
use bpe_lm::merges::{MergeOptions, learn_merges};
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::threads::resolve_threads;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["count", corpus, counts] => count(corpus, counts),
        ["learn", counts, ref options @ ..] => learn(counts, options),
        _ => println!("merge_phases: see the top of benches/merge_phases.rs for its arguments"),
    }
}

fn count(corpus: &str, counts: &str) {
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 1 << 17 };
    let threads = resolve_threads(None).unwrap();
    let table = count_pretokens(&Corpus::open([corpus]).unwrap(), cutter, threads, &Job::default()).unwrap();
    let mut file = BufWriter::new(File::create(counts).unwrap());
    for (pretoken, count) in table.iter() {
        file.write_all(&u32::try_from(pretoken.len()).unwrap().to_le_bytes()).unwrap();
        file.write_all(&count.to_le_bytes()).unwrap();
        file.write_all(pretoken).unwrap();
    }
    file.flush().unwrap();
}

/// Reads the file that `count` writes: for each pretoken its length (u32), its count (u64) and its bytes.
fn read(path: &str) -> PretokenCounts {
    let mut file = BufReader::new(File::open(path).unwrap());
    let mut counts = PretokenCounts::default();
    let (mut len, mut count, mut pretoken) = ([0; 4], [0; 8], Vec::new());
    while file.read_exact(&mut len).is_ok() {
        file.read_exact(&mut count).unwrap();
        pretoken.resize(u32::from_le_bytes(len) as usize, 0);
        file.read_exact(&mut pretoken).unwrap();
        counts.add(&pretoken, u64::from_le_bytes(count)).unwrap();
    }
    counts
}

fn learn(path: &str, options: &[&str]) {
    let option = |i: usize, usual: &str| options.get(i).copied().unwrap_or(usual).to_owned();
    let vocab_size: usize = option(0, "32000").parse().unwrap();
    let threads: Vec<usize> = option(1, "1,2,4,8").split(',').map(|n| n.parse().unwrap()).collect();
    let rounds: usize = option(2, "3").parse().unwrap();
    let mut seconds: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    let mut phases = Vec::new();
    let mut expected = None;
    for _ in 0..rounds {
        for &threads in &threads {
            let counts = read(path);
            let job = Job::with_phases();
            let started = Instant::now();
            let options = MergeOptions { threads, ..MergeOptions::new(vocab_size - 257) };
            let learned = learn_merges(counts, options, &job).unwrap();
            seconds.entry(("all", threads)).or_default().push(started.elapsed().as_secs_f64());
            for (phase, elapsed) in job.phases() {
                seconds.entry((phase, threads)).or_default().push(elapsed.as_secs_f64());
                if !phases.contains(&phase) {
                    phases.push(phase);
                }
            }
            assert_eq!(expected.get_or_insert_with(|| learned.clone()), &learned, "{threads} threads");
        }
    }
    println!("{path}, {vocab_size} tokens, {rounds} rounds; median seconds, least in brackets\n");
    let columns: Vec<String> = threads.iter().map(|threads| format!("{threads} threads")).collect();
    println!("| phase | {} |", columns.join(" | "));
    println!("| --- |{}", " --- |".repeat(threads.len()));
    for phase in ["all"].into_iter().chain(phases) {
        let cells: Vec<String> = threads
            .iter()
            .map(|&threads| {
                let Some(runs) = seconds.get_mut(&(phase, threads)) else { return "-".to_owned() };
                runs.sort_by(f64::total_cmp);
                format!("{:.3} ({:.3})", runs[runs.len() / 2], runs[0])
            })
            .collect();
        println!("| {phase} | {} |", cells.join(" | "));
    }
}

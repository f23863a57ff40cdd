//! Measures masks alone. `cargo bench --bench masks -- FILE ARGUMENTS...`
//! - with numbers of threads: how well a machine's threads scale when they share nothing. It prints a line with the
//!   threads and MB/s for each number;
//! - with names of patterns: their time beside that of GPT-2's. It scans the first 8 MB with each in turns and prints a
//!   line for each with the name, MB/s, the median of the ratios, and the ratio of the least times.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use bpe_lm::isa::Isa;
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::{Borders, Pattern};
use bpe_lm::special_tokens::SpecialTokens;
use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

const RUNS: usize = 5;
const ROUNDS: usize = 101;
const COMPARED_BYTES: usize = 8_000_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // Without a file, as `cargo test --benches` runs it, there is nothing to measure.
    let Some(path) = arguments.next() else { return };
    let text = std::fs::read(path).unwrap();
    let (threads, names): (Vec<String>, Vec<String>) =
        arguments.partition(|argument| argument.parse::<usize>().is_ok());
    if !names.is_empty() {
        compare(&text[..text.len().min(COMPARED_BYTES)], &names);
    }
    if !threads.is_empty() {
        scale(&text, threads.iter().map(|threads| threads.parse().unwrap()));
    }
}

/// The time of some patterns beside that of GPT-2's, in turns.
fn compare(text: &[u8], names: &[String]) {
    let patterns: Vec<Pattern> = ["gpt2"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .map(|name| Pattern::new(name).unwrap())
        .collect();
    let mut seconds = vec![Vec::new(); patterns.len()];
    for _ in 0..ROUNDS {
        for (pattern, seconds) in patterns.iter().zip(&mut seconds) {
            let started = Instant::now();
            scan(pattern, text, 0..text.len(), first);
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (pattern, own) in patterns.iter().zip(&seconds) {
        let ratio = median(own.iter().zip(&seconds[0]).map(|(own, base)| own / base).collect());
        let speed = text.len() as f64 / 1e6 / median(own.clone());
        println!("{} {speed:.0} {ratio:.3} {:.3}", pattern.name(), least(own) / least(&seconds[0]));
    }
}

fn scale(text: &[u8], threads: impl Iterator<Item = usize>) {
    let expected = scan(&Pattern::Gpt2, text, 0..text.len(), count);
    for threads in threads {
        let mut seconds: Vec<f64> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                in_parts(text, threads, first);
                started.elapsed().as_secs_f64()
            })
            .collect();
        assert_eq!(in_parts(text, threads, count), expected);
        seconds.sort_by(f64::total_cmp);
        println!("{threads} {:.1}", text.len() as f64 / 1e6 / seconds[RUNS / 2]);
    }
}

fn first(borders: &Borders) -> usize {
    usize::from(black_box(borders).pretokens().next().is_some())
}

fn count(borders: &Borders) -> usize {
    borders.pretokens().count()
}

/// Scans one part of the text on each thread, and returns the sum of what `visit` returns for all windows. The
/// parts are cut before a newline that does not follow whitespace, where no pretoken is split.
fn in_parts(text: &[u8], threads: usize, visit: fn(&Borders) -> usize) -> usize {
    let cut = |part: usize| {
        let at = text.len() * part / threads;
        let safe = |pair: &[u8]| pair[1] == b'\n' && !pair[0].is_ascii_whitespace();
        if part == 0 { 0 } else { text[at..].windows(2).position(safe).map_or(text.len(), |i| at + i + 1) }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|part| {
                let range = cut(part)..if part + 1 < threads { cut(part + 1) } else { text.len() };
                scope.spawn(move || scan(&Pattern::Gpt2, text, range, visit))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn scan(pattern: &Pattern, text: &[u8], part: Range<usize>, visit: fn(&Borders) -> usize) -> usize {
    let special_tokens = SpecialTokens::default();
    let mut scanner = BlockScanner::new(Isa::best(), pattern, text, part, &special_tokens).unwrap();
    let (mut borders, mut sum) = (Borders::default(), 0);
    while scanner.next_window(&mut borders) {
        sum += visit(&borders);
    }
    sum
}

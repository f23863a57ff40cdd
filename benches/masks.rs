//! Measures masks alone on several threads: how well a machine's threads scale when they share nothing.
//! `cargo bench --bench masks -- FILE THREADS...` prints a line with the threads and MB/s for each number.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use bpe_lm::isa::Isa;
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::{Borders, Pattern};
use bpe_lm::special_tokens::SpecialTokens;
use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

const RUNS: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    // Without a file, as `cargo test --benches` runs it, there is nothing to measure.
    let Some(path) = arguments.next() else { return };
    let text = std::fs::read(path).unwrap();
    let expected = scan(&text, 0..text.len(), count);
    for threads in arguments.map(|argument| argument.parse::<usize>().unwrap()) {
        let mut seconds: Vec<f64> = (0..RUNS)
            .map(|_| {
                let started = Instant::now();
                in_parts(&text, threads, |borders| {
                    usize::from(black_box(borders).pretokens().next().is_some())
                });
                started.elapsed().as_secs_f64()
            })
            .collect();
        assert_eq!(in_parts(&text, threads, count), expected);
        seconds.sort_by(f64::total_cmp);
        println!("{threads} {:.1}", text.len() as f64 / 1e6 / seconds[RUNS / 2]);
    }
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
                scope.spawn(move || scan(text, range, visit))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn scan(text: &[u8], part: Range<usize>, visit: fn(&Borders) -> usize) -> usize {
    let special_tokens = SpecialTokens::default();
    let mut scanner = BlockScanner::new(Isa::best(), &Pattern::Gpt2, text, part, &special_tokens).unwrap();
    let (mut borders, mut sum) = (Borders::default(), 0);
    while scanner.next_window(&mut borders) {
        sum += visit(&borders);
    }
    sum
}

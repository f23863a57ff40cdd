//! Measures the scanners on the first 4 MB: bit masks with each instruction set, the scalar scanners, the
//! regex engine. "keys" is the limit of any table of counts: it makes masks, keys and hashes, and counts in a
//! single cache line.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::counts::probe_one_line;
use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::blocks::BlockScanner;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::pretokenize::{Borders, Pattern};
use bpe_lm::special_tokens::SpecialTokens;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const TEXT_BYTES: usize = 4_000_000;

fn masks(isa: Isa, text: &[u8], mut visit: impl FnMut(&Borders)) {
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let mut scanner = BlockScanner::new(isa, text, 0..text.len(), &special_tokens);
    let mut borders = Borders::default();
    while scanner.next_window(&mut borders) {
        visit(&borders);
    }
}

fn pretokenize(criterion: &mut Criterion) {
    let text = std::fs::read(common::Bench::new().path()).unwrap();
    let text = &text[..text.len().min(TEXT_BYTES)];
    let text = &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1)];
    let mut group = criterion.benchmark_group("pretokenize");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    for isa in Isa::available() {
        let mut end = 0;
        masks(isa, text, |borders| end = borders.pretokens().last().map_or(end, |last| last.end));
        assert_eq!(end, text.len());
        group.bench_function(BenchmarkId::new("masks", isa.name()), |bencher| {
            bencher.iter(|| masks(isa, text, |borders| _ = black_box(borders)));
        });
    }
    let mut line = [0; 16];
    group.bench_function("keys", |bencher| {
        bencher.iter(|| masks(Isa::best(), text, |borders| probe_one_line(text, borders, &mut line)));
    });
    for pattern in [Pattern::Gpt2, Pattern::Cl100k, Pattern::O200k] {
        let regex = RegexPretokenizer::new(pattern.source()).unwrap();
        let scan = || {
            let mut n = 0;
            pattern.for_each_pretoken(text, 0..text.len(), &Job::default(), |_| n += 1).unwrap();
            n
        };
        let search = || {
            let mut n = 0;
            regex.for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |_| n += 1).unwrap();
            n
        };
        assert_eq!(scan(), search());
        group.bench_function(BenchmarkId::new("scalar", pattern.name()), |bencher| bencher.iter(scan));
        group.bench_function(BenchmarkId::new("regex", pattern.name()), |bencher| bencher.iter(search));
    }
}

criterion_group!(benches, pretokenize);
criterion_main!(benches);

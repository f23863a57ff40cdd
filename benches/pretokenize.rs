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

fn masks(isa: Isa, pattern: &Pattern, text: &[u8], mut visit: impl FnMut(&Borders)) {
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let mut scanner = BlockScanner::new(isa, pattern, text, 0..text.len(), &special_tokens).unwrap();
    let mut borders = Borders::default();
    while scanner.next_window(&mut borders) {
        visit(&borders);
    }
}

fn num_pretokens_and_specials(pattern: &Pattern, text: &[u8]) -> usize {
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let mut n = 0;
    special_tokens
        .split(text, 0..text.len(), |stretch, special| {
            n += usize::from(special.is_some());
            pattern.for_each_pretoken(text, stretch, &Job::default(), |_| n += 1)
        })
        .unwrap();
    n
}

fn pretokenize(criterion: &mut Criterion) {
    let text = std::fs::read(common::Bench::new().path()).unwrap();
    let text = &text[..text.len().min(TEXT_BYTES)];
    let text = &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1)];
    let mut group = criterion.benchmark_group("pretokenize");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    for pattern in Pattern::names().map(|name| Pattern::new(name).unwrap()) {
        let n = num_pretokens_and_specials(&pattern, text);
        let is_first = matches!(pattern, Pattern::Gpt2);
        for isa in Isa::available().into_iter().filter(|&isa| is_first || isa == Isa::best()) {
            let mut found = 0;
            masks(isa, &pattern, text, |borders| found += borders.pretokens().count());
            assert_eq!(found, n);
            let id = BenchmarkId::new(format!("masks {}", pattern.name()), isa.name());
            group.bench_function(id, |bencher| {
                bencher.iter(|| masks(isa, &pattern, text, |borders| _ = black_box(borders)));
            });
        }
    }
    let mut line = [0; 16];
    group.bench_function("keys", |bencher| {
        bencher.iter(|| {
            masks(Isa::best(), &Pattern::Gpt2, text, |borders| probe_one_line(text, borders, &mut line))
        });
    });
    for pattern in
        ["gpt2", "cl100k", "o200k", "kimi_k2", "deepseek_v3"].map(|name| Pattern::new(name).unwrap())
    {
        let regex = match pattern.splits()[..] {
            [one] => Some(RegexPretokenizer::new(one).unwrap()),
            _ => None,
        };
        let scan = || {
            let mut n = 0;
            pattern.for_each_pretoken(text, 0..text.len(), &Job::default(), |_| n += 1).unwrap();
            n
        };
        group.bench_function(BenchmarkId::new("scalar", pattern.name()), |bencher| bencher.iter(scan));
        let Some(regex) = regex else { continue };
        let search = || {
            let mut n = 0;
            regex.for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |_| n += 1).unwrap();
            n
        };
        assert_eq!(scan(), search());
        group.bench_function(BenchmarkId::new("regex", pattern.name()), |bencher| bencher.iter(search));
    }
}

criterion_group!(benches, pretokenize);
criterion_main!(benches);

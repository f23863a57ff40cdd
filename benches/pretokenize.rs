//! The GPT-2 scanner beside the regex engine, on the first 4 MB.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::job::Job;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::pretokenize::{GPT2_PATTERN, Pattern};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TEXT_BYTES: usize = 4_000_000;

fn pretokenize(criterion: &mut Criterion) {
    let text = std::fs::read(common::Bench::new().path()).unwrap();
    let text = &text[..text.len().min(TEXT_BYTES)];
    let text = &text[..text.iter().rposition(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1)];
    let regex = RegexPretokenizer::new(GPT2_PATTERN).unwrap();
    let scan = || {
        let mut n = 0;
        Pattern::Gpt2.for_each_pretoken(text, 0..text.len(), &Job::default(), |_| n += 1).unwrap();
        n
    };
    let search = || {
        let mut n = 0;
        regex.for_each_pretoken(text, 0..text.len(), &Job::default(), &mut |_| n += 1).unwrap();
        n
    };
    assert_eq!(scan(), search());
    let mut group = criterion.benchmark_group("pretokenize");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    group.bench_function("scanner", |bencher| bencher.iter(scan));
    group.bench_function("regex", |bencher| bencher.iter(search));
}

criterion_group!(benches, pretokenize);
criterion_main!(benches);

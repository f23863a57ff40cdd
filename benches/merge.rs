//! Learning merges from counts, by the part of pairs that the index holds. `BPE_LM_VOCAB_SIZE` sets how many.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::job::{Job, resolve_threads};
use bpe_lm::merges::{MergeOptions, learn_merges};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn merge(criterion: &mut Criterion) {
    let bench = common::Bench::new();
    let threads = resolve_threads(None).unwrap();
    let vocab_size: usize = std::env::var("BPE_LM_VOCAB_SIZE").map_or(10_000, |n| n.parse().unwrap());
    let counts = || bench.count(threads, 1 << 17);
    let learn = |divisor, counts| {
        let options = MergeOptions { threshold_divisor: divisor, ..MergeOptions::new(vocab_size - 257) };
        learn_merges(counts, options, &Job::default()).unwrap()
    };
    let expected = learn(u64::MAX, counts());
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(10);
    for divisor in [4, 16, 64, u64::MAX] {
        assert_eq!(learn(divisor, counts()), expected);
        group.bench_function(BenchmarkId::new("threshold divisor", divisor), |bencher| {
            bencher.iter_batched(counts, |counts| learn(divisor, counts), BatchSize::PerIteration);
        });
    }
}

criterion_group!(benches, merge);
criterion_main!(benches);

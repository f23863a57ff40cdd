//! Measures learning merges from counts, for several thresholds of the pair index and numbers of threads.
//! `BPE_LM_VOCAB_SIZE` sets the size of the vocabulary.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::job::Job;
use bpe_lm::merges::{MergeOptions, learn_merges};
use bpe_lm::threads::resolve_threads;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn merge(criterion: &mut Criterion) {
    let bench = common::Bench::new();
    let all = resolve_threads(None).unwrap();
    let vocab_size: usize = std::env::var("BPE_LM_VOCAB_SIZE").map_or(10_000, |n| n.parse().unwrap());
    let counts = || bench.count(all, 1 << 17);
    let learn = |threads, divisor, counts| {
        let usual = MergeOptions::new(vocab_size - 257);
        let options = MergeOptions { threads, threshold_divisor: divisor, ..usual };
        learn_merges(counts, options, &Job::default()).unwrap()
    };
    let expected = learn(1, u64::MAX, counts());
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(10);
    for (threads, divisor) in [(1, 16), (all, 16), (all, 4), (all, 64), (all, u64::MAX)] {
        assert_eq!(learn(threads, divisor, counts()), expected);
        let name = BenchmarkId::new(format!("{threads} threads"), format!("threshold divisor {divisor}"));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(counts, |counts| learn(threads, divisor, counts), BatchSize::PerIteration);
        });
    }
}

criterion_group!(benches, merge);
criterion_main!(benches);

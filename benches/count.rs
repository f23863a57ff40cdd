//! Measures counting from a file, for several numbers of threads and chunk sizes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::threads::resolve_threads;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn count(criterion: &mut Criterion) {
    let bench = common::Bench::new();
    let all = resolve_threads(None).unwrap();
    let expected = bench.count(1, 1 << 20).len();
    let mut group = criterion.benchmark_group("count");
    group.throughput(Throughput::Bytes(bench.num_bytes())).sample_size(10);
    for (threads, kib) in [(1, 128), (all, 128), (all, 64), (all, 256), (all, 1024)] {
        assert_eq!(bench.count(threads, kib << 10).len(), expected);
        group.bench_function(
            BenchmarkId::new(format!("{threads} threads"), format!("{kib} KiB")),
            |bencher| {
                bencher.iter(|| bench.count(threads, kib << 10).len());
            },
        );
    }
}

criterion_group!(benches, count);
criterion_main!(benches);

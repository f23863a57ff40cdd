//! Measures attention and the loss of a training step: 16 texts of 256 tokens, 16 heads of 32 channels, a
//! vocabulary of 10,000 tokens. Here the threads are the crate's own; in a process with torch they are
//! torch's.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};

#[cfg(target_arch = "x86_64")]
fn kernels(criterion: &mut Criterion) {
    use bpe_lm::kernels::{Amx, Bf16, are_available};
    use bpe_lm::threads::resolve_threads;

    let threads = resolve_threads(None).unwrap();
    if are_available() {
        of_type::<f32>(criterion, "float32", threads, None);
        of_type::<Bf16>(criterion, "bfloat16", threads, None);
        if let Some(amx) = Amx::get() {
            of_type::<Bf16>(criterion, "bfloat16 on tiles", threads, Some(amx));
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn kernels(_: &mut Criterion) {}

#[cfg(target_arch = "x86_64")]
fn of_type<E: bpe_lm::kernels::Element>(
    criterion: &mut Criterion,
    name: &str,
    threads: usize,
    amx: Option<bpe_lm::kernels::Amx>,
) {
    use bpe_lm::kernels::attention::{backward, forward};
    use bpe_lm::kernels::cross_entropy::cross_entropy;
    use bpe_lm::kernels::{Angles, Shape};
    use criterion::BatchSize;

    let numbers = |len: usize| -> Vec<E> { (0..len).map(|i| E::narrow((i as f32 * 0.7).sin())).collect() };
    let shape = Shape { batch: 16, length: 256, heads: 16, width: 32, reach: 0 };
    let (values, rows) = (16 * 256 * 512, 16 * 16 * 256);
    let (qkv, outer) = (numbers(3 * values), numbers(values));
    let table: Vec<f32> = (0..256 * 16).map(|i| (i as f32).cos()).collect();
    let angles = Some(Angles { cos: &table, sin: &table });
    let (mut outputs, mut logs, mut gradient) = (numbers(values), vec![0.0; rows], numbers(3 * values));
    let mut group = criterion.benchmark_group(format!("kernels, {name}, {threads} threads"));
    group.sample_size(20);
    group.bench_function("attention, forward", |bencher| {
        bencher.iter(|| forward(shape, &qkv, angles, amx, threads, &mut outputs, &mut logs).unwrap());
    });
    group.bench_function("attention, backward", |bencher| {
        bencher.iter(|| {
            backward(shape, &outer, &qkv, angles, &outputs, &logs, amx, threads, &mut gradient).unwrap();
        });
    });
    let (logits, targets) = (numbers(1024 * 10_000), vec![7; 1024]);
    let mut losses = vec![0.0; 1024];
    group.bench_function("loss and gradient of 1,024 rows of 10,000 logits", |bencher| {
        bencher.iter_batched_ref(
            || logits.clone(),
            |logits| cross_entropy(logits, &targets, None, threads, true, &mut losses).unwrap(),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, kernels);
criterion_main!(benches);

//! Measures encoding from a file, with several numbers of threads and chunk sizes. The ids are dropped.
//! `BPE_LM_VOCAB_SIZE` sets the size of the vocabulary.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::encode_corpus::{EncodeOptions, count_tokens};
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::threads::resolve_threads;
use bpe_lm::tokenizer::Tokenizer;
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn encode(criterion: &mut Criterion) {
    let bench = common::Bench::new();
    let all = resolve_threads(None).unwrap();
    let vocab_size: usize = std::env::var("BPE_LM_VOCAB_SIZE").map_or(10_000, |n| n.parse().unwrap());
    let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
    let corpus = || Corpus::open([bench.path()]).unwrap();
    let options = TrainOptions::new(vocab_size, special_tokens.clone());
    let (vocab, merges, _) = train_bpe(&corpus(), &options, &Job::default()).unwrap();
    // Each run gets a new tokenizer, because a used tokenizer already knows the corpus's words.
    let new =
        || Tokenizer::new(vocab.clone(), merges.clone(), special_tokens.clone(), Pattern::Gpt2).unwrap();
    let count = |tokenizer: &Tokenizer, threads, kib: usize| {
        let options = EncodeOptions { chunk_bytes: kib << 10, ..EncodeOptions::new(tokenizer, threads) };
        count_tokens(tokenizer, corpus(), &options, &Job::default()).unwrap().tokens
    };
    let text = std::fs::read(bench.path()).unwrap();
    let ids = new().encode(&text, bpe_lm::tokenizer::Special::Allow, &Job::default()).unwrap();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(bench.num_bytes())).sample_size(10);
    for (threads, kib) in [(1, 512), (all, 512), (all, 128)] {
        assert_eq!(count(&new(), threads, kib), ids.len() as u64);
        let name = BenchmarkId::new(format!("{threads} threads"), format!("{kib} KiB"));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                new,
                |tokenizer| count(&tokenizer, threads, kib),
                criterion::BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);

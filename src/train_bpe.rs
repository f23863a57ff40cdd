/*!
The whole pipeline: corpus -> counts -> merges -> vocabulary. This module only calls the modules that compute.
*/

use crate::corpus::{Corpus, Cutter};
use crate::counts::count_pretokens;
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::merges::{Learned, MergeOptions, Merges, TieBreak, learn_merges};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::training::{Training, longest_pretokens};
use crate::vocab::Vocab;

/// The options of a training.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The size of the vocabulary: 256 bytes, the merges and the special tokens.
    pub vocab_size: usize,
    /// The special tokens, which get the last ids in this order.
    pub special_tokens: SpecialTokens,
    /// How texts are split into pretokens.
    pub pattern: Pattern,
    /// The rule for pairs of equal count.
    pub tie_break: TieBreak,
    /// Training stops at the first pair that occurs less often than this.
    pub min_frequency: u64,
    /// Pairs that would make a longer token, in bytes, are never merged.
    pub max_token_length: Option<usize>,
    /// The number of worker threads.
    pub threads: usize,
    /// The nominal size of a chunk in bytes. The default of 128 KiB leaves most of the second-level cache to
    /// the table (benches/record/).
    pub chunk_bytes: usize,
}

impl TrainOptions {
    /// The usual options for a vocabulary of this size.
    pub fn new(vocab_size: usize, special_tokens: SpecialTokens) -> Self {
        TrainOptions {
            vocab_size,
            special_tokens,
            pattern: Pattern::default(),
            tie_break: TieBreak::default(),
            min_frequency: 1,
            max_token_length: None,
            threads: 1,
            chunk_bytes: 256 << 10,
        }
    }

    /// Refuses options that no corpus could satisfy, before a corpus is opened.
    ///
    /// # Errors
    /// [`Error::VocabTooSmall`], [`Error::VocabTooLarge`], [`Error::Option`].
    pub fn check(&self) -> Result<(), Error> {
        let positive = |name, value: Option<u64>| match value {
            Some(0) => Err(Error::Option { name, value: "0".to_owned(), rule: "at least 1" }),
            _ => Ok(()),
        };
        positive("min_frequency", Some(self.min_frequency))?;
        positive("max_token_length", self.max_token_length.map(|length| length as u64))?;
        Vocab::num_merges(self.vocab_size, &self.special_tokens).map(drop)
    }
}

/// Trains a byte-level BPE tokenizer.
///
/// If the pairs run out, the vocabulary is smaller than requested; its ids are still contiguous.
///
/// # Errors
/// Every [`Error`] about the corpus, the size of the vocabulary or the pattern; [`Error::Cancelled`].
pub fn train_bpe(
    corpus: &Corpus,
    options: &TrainOptions,
    job: &Job,
) -> Result<(Vocab, Merges, Training), Error> {
    options.check()?;
    let TrainOptions { special_tokens, pattern, chunk_bytes, .. } = options;
    let num_merges = Vocab::num_merges(options.vocab_size, special_tokens)?;
    let cutter = Cutter { pattern, special_tokens, chunk_bytes: *chunk_bytes };
    let merge_options = MergeOptions {
        tie_break: options.tie_break,
        min_frequency: options.min_frequency,
        max_token_length: options.max_token_length.unwrap_or(usize::MAX),
        threads: options.threads,
        ..MergeOptions::new(num_merges)
    };
    let counts = job
        .stage(Stage::Count, corpus.num_bytes(), || count_pretokens(corpus, cutter, options.threads, job))?;
    let (longest_pretokens, num_distinct_pretokens) = (longest_pretokens(&counts), counts.len());
    let num_bytes = counts.num_bytes();
    let num_pretokens = counts.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(count));
    let Learned { merges, merge_counts, token_uses } =
        job.stage(Stage::Merge, Some(num_merges as u64), || learn_merges(counts, merge_options, job))?;
    let training = Training {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pattern: pattern.name().to_owned(),
        tie_break: options.tie_break,
        min_frequency: options.min_frequency,
        max_token_length: options.max_token_length,
        num_bytes,
        skipped_lines: corpus.skipped_lines(),
        num_pretokens,
        num_distinct_pretokens,
        count_seconds: job.last(Stage::Count).map_or(0.0, |stage| stage.seconds),
        merge_seconds: job.last(Stage::Merge).map_or(0.0, |stage| stage.seconds),
        longest_pretokens,
        merge_counts,
        token_uses,
    };
    Ok((Vocab::new(&merges, special_tokens), merges, training))
}

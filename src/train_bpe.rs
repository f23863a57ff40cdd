/*!
The whole pipeline: corpus -> counts -> merges -> vocabulary. This module only calls the modules that compute.
*/

use crate::corpus::{Corpus, Cutter};
use crate::count_file::{CountReader, FAN_IN, Header, Merged, Rules, Runs};
use crate::counts::{PretokenCounts, count_limited, count_pretokens, held_memory};
use crate::error::Error;
use crate::extension::{Extended, Extension, all_special_tokens};
use crate::job::{Job, Stage};
use crate::merges::{LONG_WORD, Learned, MergeOptions, Merges, TieBreak, learn_merges};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::tokenizer::Tokenizer;
use crate::training::{Training, longest_pretokens};
use crate::vocab::Vocab;
use std::sync::Arc;

/// The options of a training.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The size of the vocabulary: 256 bytes, the merges and the special tokens.
    pub vocab_size: usize,
    /// The special tokens, which get the last ids in this order. Those of a tokenizer that is extended keep their ids and
    /// come first here.
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
    /// The nominal size of a chunk in bytes. The default of 256 KiB leaves most of the second-level cache to
    /// the table (benches/record/).
    pub chunk_bytes: usize,
    /// The most memory in bytes that the process may hold. Counts that do not fit are sorted on the disk, in the folder for
    /// temporary files, and a limit that is too small for learning merges is an error before they are learned.
    pub memory_limit: Option<u64>,
    /// The tokenizer that is extended: its ids and its merges stay, and new ones are learned after them. `None` to begin
    /// with bytes.
    pub init: Option<Arc<Tokenizer>>,
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
            memory_limit: None,
            init: None,
        }
    }

    /// The same options for a training that extends a tokenizer, with its special tokens and those of `self` that it lacks.
    /// The pattern must be the tokenizer's.
    ///
    /// # Errors
    /// [`Error::SpecialToken`] for a new special token that is an ordinary token of the tokenizer.
    pub fn extending(self, tokenizer: Arc<Tokenizer>) -> Result<Self, Error> {
        let special_tokens = all_special_tokens(&tokenizer, &self.special_tokens)?;
        Ok(TrainOptions { special_tokens, init: Some(tokenizer), ..self })
    }

    fn extension(&self) -> Result<Option<Extension<'_>>, Error> {
        let new = |init| Extension::new(init, &self.special_tokens, &self.pattern);
        self.init.as_deref().map(new).transpose()
    }

    /// The number of merges to learn.
    fn num_merges(&self) -> Result<usize, Error> {
        match self.extension()? {
            None => Vocab::num_merges(self.vocab_size, &self.special_tokens),
            Some(extension) => extension.num_merges(self.vocab_size),
        }
    }

    /// Refuses options that no corpus could satisfy, before a corpus is opened.
    ///
    /// # Errors
    /// [`Error::VocabTooSmall`], [`Error::NotExtended`], [`Error::VocabTooLarge`], [`Error::Option`].
    pub fn check(&self) -> Result<(), Error> {
        let positive = |name, value: Option<u64>| match value {
            Some(0) => Err(Error::Option { name, value: "0".to_owned(), rule: "at least 1" }),
            _ => Ok(()),
        };
        positive("min_frequency", Some(self.min_frequency))?;
        positive("max_token_length", self.max_token_length.map(|length| length as u64))?;
        self.num_merges().map(drop)
    }
}

/// Trains a byte-level BPE tokenizer, or extends one ([`TrainOptions::init`]).
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
    let cutter = Cutter { pattern, special_tokens, chunk_bytes: *chunk_bytes };
    let Some(limit) = options.memory_limit else {
        let count = || count_pretokens(corpus, cutter, options.threads, job);
        let counts = job.stage(Stage::Count, corpus.num_bytes(), count)?;
        return learn(counts, corpus.skipped_lines(), options, job);
    };
    let runs = Runs::new(Rules::new(pattern, special_tokens), &std::env::temp_dir(), FAN_IN);
    let count = || count_limited(corpus, cutter, options.threads, limit, runs, job);
    let (runs, num_bytes) = job.stage(Stage::Count, corpus.num_bytes(), count)?;
    let counts = job.stage(Stage::Sum, None, || {
        let mut size = LearningSize::default();
        let reader = runs.into_one(&|amount| job.report(amount), |pretoken| size.add(pretoken))?;
        size.check(options)?;
        PretokenCounts::read(reader, job)
    })?;
    learn(counts.of_bytes(num_bytes), corpus.skipped_lines(), options, job)
}

/// Trains a tokenizer from the counts in a file. The result is that of [`train_bpe`] on the texts that were counted.
///
/// # Errors
/// [`Error::CountFile`] for a file that is damaged, or was counted with other special tokens or another pattern than
/// `options` has; those about the size of the vocabulary; [`Error::Cancelled`].
pub fn train_from_counts(
    reader: CountReader,
    options: &TrainOptions,
    job: &Job,
) -> Result<(Vocab, Merges, Training), Error> {
    options.check()?;
    let wanted = Rules::new(&options.pattern, &options.special_tokens);
    let Header { rules, num_distinct, skipped_lines, .. } = reader.header().clone();
    if let Some([found, wanted]) = rules.difference(&wanted) {
        let reason = format!(
            "it was counted with {found}; the training has {wanted}; train as it was counted, or count again"
        );
        return Err(Error::count_file(reader.path(), reason));
    }
    let read = || {
        if options.memory_limit.is_some() {
            let mut size = LearningSize::default();
            let check = |_| job.check();
            Merged::new(vec![reader.again()?], &check)?.for_each(|pretoken, _| {
                size.add(pretoken);
                Ok(())
            })?;
            size.check(options)?;
        }
        PretokenCounts::read(reader, job)
    };
    let counts = job.stage(Stage::Sum, Some(num_distinct), read)?;
    learn(counts, skipped_lines, options, job)
}

/// What the memory of learning merges depends on.
#[derive(Clone, Copy, Debug, Default)]
struct LearningSize {
    num_distinct: u64,
    num_bytes: u64,
    num_long_bytes: u64,
    longest: u64,
}

impl LearningSize {
    fn add(&mut self, pretoken: &[u8]) {
        self.num_distinct += 1;
        self.num_bytes += pretoken.len() as u64;
        self.longest = self.longest.max(pretoken.len() as u64);
        if pretoken.len() > LONG_WORD {
            self.num_long_bytes += pretoken.len() as u64;
        }
    }

    /// The bytes that learning takes at most (docs/memory.md).
    fn needed(self, options: &TrainOptions) -> u64 {
        let LearningSize { num_distinct, num_bytes, num_long_bytes, longest } = self;
        let symbol = if options.vocab_size < usize::from(u16::MAX) { 2 } else { 4 };
        let each_thread = (4 << 20) + 2 * num_bytes;
        // Three lists of the tokens of one pretoken, each twice as long for a moment while it grows.
        let encoding = if options.init.is_some() { 24 * longest } else { 0 };
        (12 << 20)
            + 24 * num_distinct
            + (5 + symbol) * num_bytes
            + 14 * num_long_bytes
            + encoding
            + options.threads as u64 * each_thread
    }

    /// Refuses a limit that is too small for learning.
    fn check(self, options: &TrainOptions) -> Result<(), Error> {
        let needed = self.needed(options) + held_memory().unwrap_or(0) as u64;
        match options.memory_limit {
            Some(limit) if limit < needed => {
                Err(Error::MemoryLimit { what: "learning merges from these counts", needed, limit })
            }
            _ => Ok(()),
        }
    }
}

/// Learns merges from counts, and records the training.
fn learn(
    counts: PretokenCounts,
    skipped_lines: u64,
    options: &TrainOptions,
    job: &Job,
) -> Result<(Vocab, Merges, Training), Error> {
    let TrainOptions { special_tokens, pattern, .. } = options;
    let (extension, num_merges) = (options.extension()?, options.num_merges()?);
    let merge_options = MergeOptions {
        tie_break: options.tie_break,
        min_frequency: options.min_frequency,
        max_token_length: options.max_token_length.unwrap_or(usize::MAX),
        threads: options.threads,
        ..MergeOptions::new(num_merges)
    };
    let (longest_pretokens, num_distinct_pretokens) = (longest_pretokens(&counts), counts.len());
    let num_bytes = counts.num_bytes();
    let num_pretokens = counts.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(count));
    let learned = job.stage(Stage::Merge, Some(num_merges as u64), || match &extension {
        None => learn_merges(counts, merge_options, job).map(|learned| from_bytes(learned, special_tokens)),
        Some(extension) => extension.learn(counts, merge_options, job),
    })?;
    let training = Training {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pattern: pattern.name().to_owned(),
        tie_break: options.tie_break,
        min_frequency: options.min_frequency,
        max_token_length: options.max_token_length,
        num_bytes,
        skipped_lines,
        num_pretokens,
        num_distinct_pretokens,
        count_seconds: job.last(Stage::Count).map_or(0.0, |stage| stage.seconds),
        merge_seconds: job.last(Stage::Merge).map_or(0.0, |stage| stage.seconds),
        longest_pretokens,
        merge_counts: learned.merge_counts,
        token_uses: learned.token_uses,
        init: extension.map(|extension| extension.init()),
    };
    Ok((learned.vocab, learned.merges, training))
}

/// The result of learning that began with bytes. Symbols are ids.
fn from_bytes(learned: Learned, special_tokens: &SpecialTokens) -> Extended {
    let Learned { merges, merge_counts, token_uses } = learned;
    Extended { vocab: Vocab::new(&merges, special_tokens), merges, merge_counts, token_uses }
}

/*!
The loop of learning: take the most frequent pair, merge it in all words, update the index.
*/

use super::list::Merges;
use super::neighbours::Neighbours;
use super::pair::{Pair, Symbol};
use super::pair_index::{Knobs, PairIndex};
use super::rewrite::{Merge, Workers};
use super::start::{Encode, Start};
use super::tie_break::{TieBreak, TokenOrder};
use super::totals::Limits;
use super::words::Words;
use crate::counts::PretokenCounts;
use crate::error::Error;
use crate::job::Job;
use crate::room::give_back_freed;
use crate::threads::with_threads;
use rayon::ThreadPool;
use std::ops::Range;

/// The number of distinct pretokens whose counts are worth giving back: some megabytes.
const WORTH_GIVING_BACK: usize = 1 << 17;

/// The result of learning: the new merges, and how often each merge and token occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The merges that were learned, in order, as pairs of symbols ([`Start`]).
    pub merges: Merges,
    /// The count of each merge's pair when it was merged. Overlapping pairs count too: `aaa` has `aa` twice.
    pub merge_counts: Vec<u64>,
    /// How often each symbol occurs in the corpus when all merges are applied.
    pub token_uses: Vec<u64>,
}

/// The usual length in bytes beyond which a pretoken is stored in another way ([`MergeOptions::long_word`]).
pub(crate) const LONG_WORD: usize = 128;

/// What to learn, and six knobs that change the time and never the result.
#[derive(Clone, Copy, Debug)]
pub struct MergeOptions {
    /// The maximum number of new merges. Fewer are learned when the pairs run out.
    pub num_merges: usize,
    /// The rule for pairs of equal count.
    pub tie_break: TieBreak,
    /// Learning stops at the first pair that occurs less often.
    pub min_frequency: u64,
    /// Pairs that would make a longer token, in bytes, are never merged.
    pub max_token_length: usize,
    /// The index holds the pairs whose count is at least the greatest count divided by this. 16 is fastest on
    /// web text (benches/record/).
    pub threshold_divisor: u64,
    /// Words with more symbols than this are stored as nodes.
    pub long_word: usize,
    /// The index is compacted when most of its sites, and more than this number, are dead.
    pub max_dead_sites: usize,
    /// A thread counts at least this number of symbols when the index is built.
    pub min_share: usize,
    /// A thread rewrites at least this number of words for one merge.
    pub min_sites: usize,
    /// The number of threads. A large vocabulary has many merges of few words, which one thread applies.
    pub threads: usize,
}

impl MergeOptions {
    /// The usual options for this many merges.
    pub fn new(num_merges: usize) -> Self {
        MergeOptions {
            num_merges,
            tie_break: TieBreak::Bytes,
            min_frequency: 1,
            max_token_length: usize::MAX,
            threshold_divisor: 16,
            long_word: LONG_WORD,
            max_dead_sites: 1 << 16,
            min_share: 1 << 18,
            min_sites: 1 << 12,
            threads: 1,
        }
    }
}

/// Learns merges from counts, beginning with bytes.
///
/// # Errors
/// Those of [`learn_more`].
pub fn learn_merges(counts: PretokenCounts, options: MergeOptions, job: &Job) -> Result<Learned, Error> {
    learn_more(counts, Start::default(), options, job)
}

/// Learns merges from counts, after those of a start.
///
/// # Errors
/// [`Error::Limit`] for counts beyond 2^63, or for more than 2^32 places where pairs may be merged;
/// [`Error::Cancelled`].
pub fn learn_more(
    counts: PretokenCounts,
    start: Start<'_>,
    options: MergeOptions,
    job: &Job,
) -> Result<Learned, Error> {
    let learn = |pool: &ThreadPool| {
        if start.merges.len().saturating_add(options.num_merges) < u16::MAX as usize - 256 {
            Learner::<u16>::new(counts, start, options, job)?.run(pool, job)
        } else {
            Learner::<u32>::new(counts, start, options, job)?.run(pool, job)
        }
    };
    // On a thread of the pool, which need not be woken for its part of a merge.
    with_threads(options.threads, |pool| pool.install(|| learn(pool)))
}

struct Learner<S> {
    options: MergeOptions,
    words: Words<S>,
    order: TokenOrder,
    neighbours: Neighbours<S>,
    merges: Merges,
    merge_counts: Vec<u64>,
}

impl<S: Symbol> Learner<S> {
    fn new(
        counts: PretokenCounts,
        start: Start<'_>,
        options: MergeOptions,
        job: &Job,
    ) -> Result<Self, Error> {
        let Start { merges, taken, encode } = start;
        let words = words(counts, encode, options, job)?;
        let mut order = TokenOrder::new(options.tie_break, taken);
        merges.into_iter().for_each(|(left, right)| order.push(Pair { left, right }));
        Ok(Learner {
            options,
            words,
            order,
            neighbours: Neighbours::new(),
            merges: Merges::default(),
            merge_counts: Vec::new(),
        })
    }

    fn run(mut self, pool: &ThreadPool, job: &Job) -> Result<Learned, Error> {
        let mut workers = Workers::new(pool, self.options.min_sites);
        while self.merges.len() < self.options.num_merges {
            let Some(mut index) = self.index(pool, job)? else { break };
            while self.merges.len() < self.options.num_merges {
                let next = job.phase("pop", || index.pop(&self.order));
                let Some((pair, count, sites)) = next else { break };
                self.merge_counts.push(count);
                self.merge(pair, sites, &mut index, &mut workers, job)?;
                job.advance(1);
            }
        }
        let token_uses = job.phase("uses", || self.words.uses(self.order.len(), &|| job.check()))?;
        Ok(Learned { merges: self.merges, merge_counts: self.merge_counts, token_uses })
    }

    fn index(&mut self, pool: &ThreadPool, job: &Job) -> Result<Option<PairIndex<S>>, Error> {
        if !self.merges.is_empty() {
            job.phase("compact", || self.words.compact(&|| job.check()))?;
        }
        let MergeOptions { threshold_divisor: divisor, max_dead_sites, min_share, .. } = self.options;
        let knobs = Knobs { divisor, max_dead_sites, min_share };
        PairIndex::new(&self.words, &self.order, self.limits(), knobs, pool, job)
    }

    fn limits(&self) -> Limits {
        Limits {
            min_frequency: self.options.min_frequency.max(1),
            max_token_length: self.options.max_token_length,
        }
    }

    fn merge(
        &mut self,
        pair: Pair,
        sites: Range<usize>,
        index: &mut PairIndex<S>,
        workers: &mut Workers<'_, S>,
        job: &Job,
    ) -> Result<(), Error> {
        let (a, b, new) = (S::from_id(pair.left), S::from_id(pair.right), S::from_id(self.order.next_id()));
        self.order.push(pair);
        self.merges.push((pair.left, pair.right));
        self.neighbours.resize(self.order.len());
        let (sites, merge) = (index.sites(sites), Merge { a, b, new });
        job.phase("rewrite", || {
            self.words.merge(sites, merge, &mut self.neighbours, workers, &|| job.check())
        })?;
        // A merged pair to the left of another: (b, a) became (new, new).
        let old_left = |x| if x == new { S::key(b, a) } else { S::key(x, a) };
        let Neighbours { left, right } = &mut self.neighbours;
        let check = || job.check();
        job.phase("update", || {
            index.update(left, &self.order, old_left, |x| S::key(x, new), &check)?;
            index.update(right, &self.order, |y| S::key(b, y), |y| S::key(new, y), &check)
        })
    }
}

/// The words of a corpus. The memory of their counts goes back to the system.
fn words<S: Symbol>(
    counts: PretokenCounts,
    encode: Option<Encode<'_>>,
    options: MergeOptions,
    job: &Job,
) -> Result<Words<S>, Error> {
    let words = job.phase("words", || Words::new(&counts, encode, options.long_word, &|| job.check()))?;
    let is_large = counts.len() >= WORTH_GIVING_BACK;
    drop(counts);
    if is_large {
        give_back_freed();
    }
    Ok(words)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merges::check::CHECK_EVERY;

    #[test]
    fn each_pass_over_a_long_word_checks_the_cancel_flag() {
        const PARTS: u64 = 8;
        let mut counts = PretokenCounts::default();
        counts.add(&b"ab".repeat(8 * CHECK_EVERY), 1).unwrap();
        let job = Job::default();
        let mut before = 0;
        let mut checked = |parts: u64, pass: &str| {
            let checks = job.touches() - before;
            assert!(
                (parts..10 * parts).contains(&checks),
                "{checks} checks in {pass}, which has {parts} parts"
            );
            before = job.touches();
        };
        let options = MergeOptions { max_dead_sites: 1, ..MergeOptions::new(1) };
        let mut learner = Learner::<u16>::new(counts, Start::default(), options, &job).unwrap();
        checked(2 * PARTS, "the making of the words");
        with_threads(1, |pool| {
            let mut workers = Workers::new(pool, options.min_sites);
            let mut index = learner.index(pool, &job)?.unwrap();
            checked(6 * PARTS, "the making of the index");
            let (pair, _, sites) = index.pop(&learner.order).unwrap();
            learner.merge(pair, sites, &mut index, &mut workers, &job)?;
            checked(3 * PARTS, "the merge and the update of the index");
            learner.words.compact(&|| job.check())?;
            checked(PARTS, "the closing of gaps");
            let uses = learner.words.uses(learner.order.len(), &|| job.check())?;
            assert_eq!(uses[256], PARTS * CHECK_EVERY as u64);
            checked(PARTS, "the counting of uses");
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn the_making_of_many_words_checks_the_cancel_flag_now_and_then() {
        const PARTS: usize = 3;
        let mut counts = PretokenCounts::default();
        (0..PARTS * CHECK_EVERY).for_each(|n| counts.add(format!("{n:0>6}").as_bytes(), 1).unwrap());
        let job = Job::default();
        Learner::<u16>::new(counts, Start::default(), MergeOptions::new(1), &job).unwrap();
        assert!(
            (2 * PARTS..4 * PARTS).contains(&usize::try_from(job.touches()).unwrap()),
            "{} checks",
            job.touches()
        );
    }
}

/*!
What training saw on its way: how often each merge and token occurred, and the figures of the corpus.

Why not look it up later? Counts are gone when training ends, and to find them again takes the corpus and as long as
training does. They are by-products here, and some 16 bytes a token in memory.
*/

use crate::counts::PretokenCounts;
use crate::merges::TieBreak;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The pretokens in [`Training::longest_pretokens`].
pub const NUM_LONGEST: usize = 20;

/// The bytes that are kept of each.
pub const MAX_START: usize = 100;

/// The record of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The version of this crate.
    pub version: String,
    /// What [`Pattern::new`](crate::pretokenize::Pattern::new) takes.
    pub pattern: String,
    /// The rule for pairs of equal count.
    pub tie_break: TieBreak,
    /// Training stopped at the first pair that occurs less often.
    pub min_frequency: u64,
    /// Pairs that would make a longer token were never merged.
    pub max_token_length: Option<usize>,
    /// The bytes of the corpus, special tokens included.
    pub num_bytes: u64,
    /// The lines of JSON that had no text and were left out.
    pub skipped_lines: u64,
    /// The pretokens of the corpus.
    pub num_pretokens: u64,
    /// How many of them are different.
    pub num_distinct_pretokens: usize,
    /// Wall seconds of pretokenizing and counting.
    pub count_seconds: f64,
    /// Wall seconds of learning merges.
    pub merge_seconds: f64,
    /// The longest pretokens; of equal length the first ones by their bytes.
    pub longest_pretokens: Vec<LongPretoken>,
    /// The count of each merge's pair when it was merged.
    pub merge_counts: Vec<u64>,
    /// How often each byte and merge, by id, occurs in the corpus when all merges are applied. Special tokens are not
    /// counted; they have the ids behind these.
    pub token_uses: Vec<u64>,
}

/// One of the longest pretokens of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongPretoken {
    /// Its length in bytes.
    pub length: usize,
    /// How often it occurs.
    pub count: u64,
    /// Its first bytes, [`MAX_START`] at most.
    pub start: Vec<u8>,
}

impl Training {
    /// Says what does not fit a tokenizer with this many merges.
    pub fn check_fits(&self, num_merges: usize) -> Result<(), String> {
        let fits = |name, len, expected: usize| match len {
            len if len == expected => Ok(()),
            len => {
                Err(format!("{name} has {len} entries, but the tokenizer {expected}: not of its training"))
            }
        };
        fits("merge_counts", self.merge_counts.len(), num_merges)?;
        fits("token_uses", self.token_uses.len(), 256 + num_merges)
    }
}

/// The longest pretokens, longest first.
pub(crate) fn longest_pretokens(counts: &PretokenCounts) -> Vec<LongPretoken> {
    let mut longest = BinaryHeap::new();
    for (pretoken, count) in counts.iter() {
        let entry = Reverse((pretoken.len(), Reverse(pretoken), count));
        if longest.len() < NUM_LONGEST {
            longest.push(entry);
        } else if longest.peek().is_some_and(|last| entry < *last) {
            longest.pop();
            longest.push(entry);
        }
    }
    let keep = |Reverse((length, Reverse(pretoken), count)): Reverse<(usize, Reverse<&[u8]>, u64)>| {
        LongPretoken { length, count, start: pretoken[..length.min(MAX_START)].to_vec() }
    };
    longest.into_sorted_vec().into_iter().map(keep).collect()
}

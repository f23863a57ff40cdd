/*!
The record of a training: how often each merge and token occurred, and the size of the corpus.

Why not compute it later? The counts are dropped when training ends. Computing them again takes the corpus and
as long as training does. During training they are a by-product that takes some 16 bytes a token.
*/

use crate::counts::PretokenCounts;
use crate::merges::TieBreak;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The maximum number of pretokens in [`Training::longest_pretokens`].
pub const NUM_LONGEST: usize = 20;

/// The maximum number of bytes in [`LongPretoken::start`].
pub const MAX_START: usize = 100;

/// The record of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The version of this crate.
    pub version: String,
    /// The name of the pattern, or its regular expression. [`Pattern::new`](crate::pretokenize::Pattern::new)
    /// accepts both.
    pub pattern: String,
    /// The rule for pairs of equal count.
    pub tie_break: TieBreak,
    /// Training stopped at the first pair that occurs less often.
    pub min_frequency: u64,
    /// Pairs that would make a longer token were never merged.
    pub max_token_length: Option<usize>,
    /// The size of the corpus in bytes, special tokens included.
    pub num_bytes: u64,
    /// The number of JSON lines that had no text and were skipped.
    pub skipped_lines: u64,
    /// The number of pretokens of the corpus.
    pub num_pretokens: u64,
    /// The number of distinct pretokens.
    pub num_distinct_pretokens: usize,
    /// Wall seconds of pretokenizing and counting.
    pub count_seconds: f64,
    /// Wall seconds of learning merges.
    pub merge_seconds: f64,
    /// The longest pretokens. Of several with the same length, the first ones in the order of their bytes.
    pub longest_pretokens: Vec<LongPretoken>,
    /// The count of the pair of each merge that was learned, when it was merged.
    pub merge_counts: Vec<u64>,
    /// How often each byte and each merged token, by id, occurs in the corpus when all merges are applied.
    /// Special tokens are not counted. Their ids come after these, except those of the tokenizer that was extended, whose
    /// entries are 0.
    pub token_uses: Vec<u64>,
    /// The tokenizer that was extended; `None` for one that began with bytes.
    pub init: Option<Init>,
}

/// The tokenizer with which a training began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Its hash ([`Tokenizer::hash`](crate::tokenizer::Tokenizer::hash)).
    pub sha256: String,
    /// The number of its merges, which were learned on other texts: they have no entry in [`Training::merge_counts`].
    pub num_merges: usize,
    /// The number of its ids.
    pub num_ids: usize,
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
    /// Checks that the record fits a tokenizer with `num_merges` merges. An error is a text for the user.
    pub fn check_fits(&self, num_merges: usize) -> Result<(), String> {
        let fits = |name, len, expected: usize| match len {
            len if len == expected => Ok(()),
            len => Err(format!(
                "{name} has {len} entries, but the tokenizer {expected}: it is the record of another training"
            )),
        };
        let (old_merges, old_ids) =
            self.init.as_ref().map_or((0, 256), |init| (init.num_merges, init.num_ids));
        let num_new = num_merges.checked_sub(old_merges);
        let num_new = num_new.ok_or_else(|| format!("init has {old_merges} merges, but the tokenizer {num_merges}: it is the record of another training"))?;
        fits("merge_counts", self.merge_counts.len(), num_new)?;
        fits("token_uses", self.token_uses.len(), old_ids.saturating_add(num_new))
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

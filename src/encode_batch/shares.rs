/*!
The shares of texts, from which workers take one after another.

A share is cut off when a worker takes it. So workers begin before all texts are there, and a long text is cut while
its beginning is encoded. A worker that takes a share while none is there waits for the next group, and those behind it
wait for the lock.
*/

use crate::corpus::{Cuts, Cutter, chunk_end};
use crate::error::Error;
use crate::job::Job;
use std::ops::Range;
use std::sync::Arc;

/// The nominal length of a share in bytes.
pub(crate) const SHARE_BYTES: usize = 1 << 17;
/// The fixed cost of a text, as a number of bytes that is added to its length.
pub(crate) const TEXT_COST: usize = 64;

/// A share of the work: some texts of a group, or a range of one text.
pub(super) struct Share<B> {
    /// The number of shares before it.
    pub number: usize,
    /// The number of texts before its group.
    pub before: usize,
    pub group: Arc<Vec<B>>,
    /// Its texts in the group.
    pub texts: Range<usize>,
    /// If the share is a range of its only text, that range in bytes.
    pub range: Option<Range<usize>>,
}

impl<B: AsRef<[u8]>> Share<B> {
    /// The bytes of the share, which has at most as many ids.
    pub fn num_bytes(&self) -> usize {
        self.range.as_ref().map_or_else(|| num_bytes(&self.group[self.texts.clone()]), Range::len)
    }
}

/// Groups of texts as they arrive, divided into shares.
pub(super) struct Shares<'a, B, I> {
    groups: I,
    cutter: Cutter<'a>,
    /// The group that is being divided.
    group: Arc<Vec<B>>,
    /// The number of texts before it.
    before: usize,
    /// Its first text of which a part is not in a share yet, and the byte at which this part begins.
    next: (usize, usize),
    num_shares: usize,
    /// The bytes of all texts that have arrived.
    num_bytes: usize,
}

impl<'a, B: AsRef<[u8]>, I: Iterator<Item = Arc<Vec<B>>>> Shares<'a, B, I> {
    /// The shares of texts. Waits for the first group.
    pub fn new(groups: I, cutter: Cutter<'a>) -> Self {
        let group = Arc::new(Vec::new());
        let mut shares =
            Shares { groups, cutter, group, before: 0, next: (0, 0), num_shares: 0, num_bytes: 0 };
        shares.receive();
        shares
    }

    /// The bytes of all texts that have arrived.
    pub fn num_bytes(&self) -> usize {
        self.num_bytes
    }

    /// The number of texts that have arrived.
    pub fn num_texts(&self) -> usize {
        self.before + self.group.len()
    }

    /// About as many shares as the group has, and at least one.
    pub fn num_in_group(&self) -> usize {
        let most = if Cuts::Pretokens(self.cutter).can_cut() { usize::MAX } else { SHARE_BYTES };
        let cost: usize = self.group.iter().map(|text| text.as_ref().len().min(most) + TEXT_COST).sum();
        1 + cost / SHARE_BYTES
    }

    /// Waits for the next group. Returns whether there is one.
    fn receive(&mut self) -> bool {
        let Some(group) = self.groups.next() else { return false };
        self.before += self.group.len();
        self.num_bytes += num_bytes(&group);
        (self.group, self.next) = (group, (0, 0));
        true
    }

    /// The next share, which is not empty of texts.
    ///
    /// # Errors
    /// Those of [`chunk_end`].
    pub fn take(&mut self, job: &Job) -> Result<Option<Share<B>>, Error> {
        while self.next.0 == self.group.len() {
            if !self.receive() {
                return Ok(None);
            }
        }
        let (first, begin) = self.next;
        let text = self.group[first].as_ref();
        let range = if is_long(text) {
            let end = chunk_end(text, begin, self.cutter, job)?;
            self.next = if end < text.len() { (first, end) } else { (first + 1, 0) };
            Some(begin..end)
        } else {
            self.next = (first + self.num_together(first), 0);
            None
        };
        let texts = first..self.next.0.max(first + 1);
        self.num_shares += 1;
        let (number, before, group) = (self.num_shares - 1, self.before, Arc::clone(&self.group));
        Ok(Some(Share { number, before, group, texts, range }))
    }

    /// The number of short texts from `first` on that are a share.
    fn num_together(&self, first: usize) -> usize {
        let mut cost = 0;
        let is_within = |text: &&B| {
            let fits = cost < SHARE_BYTES && !is_long(text.as_ref());
            cost += text.as_ref().len() + TEXT_COST;
            fits
        };
        self.group[first..].iter().take_while(is_within).count()
    }
}

/// Whether a text is cut.
fn is_long(text: &[u8]) -> bool {
    text.len() > 2 * SHARE_BYTES
}

fn num_bytes<B: AsRef<[u8]>>(texts: &[B]) -> usize {
    texts.iter().map(|text| text.as_ref().len()).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;

    const LONG: usize = 2 * SHARE_BYTES + 1;

    fn shares_of(pattern: &str, lens: &[&[usize]]) -> (usize, Vec<Share<Vec<u8>>>) {
        let (pattern, special_tokens) = (Pattern::new(pattern).unwrap(), SpecialTokens::default());
        let cutter = Cutter { pattern: &pattern, special_tokens: &special_tokens, chunk_bytes: SHARE_BYTES };
        let text = |&len: &usize| b"a word ".repeat(len / 7 + 1)[..len].to_vec();
        let groups = lens.iter().map(|lens| Arc::new(lens.iter().map(text).collect()));
        let mut shares = Shares::new(groups, cutter);
        let num_in_group = shares.num_in_group();
        let all = std::iter::from_fn(|| shares.take(Job::unwatched()).unwrap()).collect();
        assert_eq!(shares.num_texts(), lens.iter().copied().map(<[_]>::len).sum::<usize>());
        assert_eq!(shares.num_bytes(), lens.iter().copied().flatten().sum::<usize>());
        (num_in_group, all)
    }

    #[test]
    fn shares_are_all_of_the_texts_in_order_and_of_about_the_same_size() {
        let few = vec![100; 3];
        let many = vec![1000; 1000];
        for (pattern, lens) in [
            ("gpt2", vec![]),
            ("gpt2", vec![&[][..], &[0], &[], &[0, 0], &few]),
            ("gpt2", vec![&many[..], &few, &[LONG - 1, LONG, 5 * LONG, 7], &many]),
            ("llama3", vec![&[7, LONG][..], &[LONG], &[], &[3]]),
            (r"\w+|\W+", vec![&[3 * LONG, 7][..], &few]),
        ] {
            let can_cut = Pattern::new(pattern).unwrap().has_safe_cuts();
            let (_, shares) = shares_of(pattern, &lens);
            let all: Vec<usize> = lens.concat();
            let (mut text, mut byte) = (0, 0);
            for (number, share) in shares.iter().enumerate() {
                assert_eq!((share.number, share.before + share.texts.start), (number, text));
                let num_bytes: usize = match &share.range {
                    Some(range) => {
                        assert_eq!((range.start, share.texts.len()), (byte, 1));
                        byte = range.end % all[text];
                        assert!(!can_cut || range.len() < SHARE_BYTES + 7); // The cut is after a word.
                        range.len()
                    }
                    None => all[text..][..share.texts.len()].iter().sum(),
                };
                assert_eq!(share.num_bytes(), num_bytes);
                assert!(!can_cut || num_bytes < 3 * SHARE_BYTES);
                text += if byte == 0 { share.texts.len() } else { 0 };
            }
            assert_eq!((text, byte), (all.len(), 0));
            assert!(!shares.iter().any(|share| share.texts.is_empty()));
        }
    }

    #[test]
    fn the_first_group_tells_how_many_workers_have_a_share() {
        for (pattern, lens, expected) in [
            ("gpt2", vec![], 1),
            ("gpt2", vec![SHARE_BYTES / 3; 4], 2),
            ("gpt2", vec![0; 3 * SHARE_BYTES / TEXT_COST], 4),
            ("gpt2", vec![5 * LONG], 11),
            (r"\w+|\W+", vec![5 * LONG], 2),
        ] {
            let (num_in_group, shares) = shares_of(pattern, &[&lens, &[LONG]]);
            assert_eq!(num_in_group, expected, "{pattern} {}", lens.len());
            assert!(num_in_group <= shares.len() + 1);
        }
    }
}

/*!
The shares of texts, from which workers take one after another.

A share is cut off when a worker takes it. So workers begin before all texts are there, and a long text is cut while
its beginning is encoded. A worker that takes a share while none is there waits for the next group, and those behind it
wait for the lock.
*/

use crate::corpus::{Cutter, chunk_end};
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

    /// About as many shares as the texts have that have arrived, and at least one.
    pub fn num_arrived(&self) -> usize {
        1 + (self.num_bytes + TEXT_COST * self.num_texts()) / SHARE_BYTES
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

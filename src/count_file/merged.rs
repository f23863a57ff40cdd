/*!
Sorted counts from several places as one sorted list, with the counts of equal pretokens added.

A heap of the places, ordered by their next pretokens. The standard library's heap holds what it orders, and here the order
of a place changes as it is read, so the heap holds numbers.
*/

use crate::error::Error;

/// The numbers of pretokens, and of their bytes, between two reports of progress.
const REPORT_EVERY: u64 = 1 << 14;
const REPORT_EVERY_BYTES: usize = 1 << 24;

/// Pretokens in ascending order of their bytes, each once. A count of 0 adds nothing to a sum.
pub(crate) trait SortedCounts {
    /// Goes to the next pretoken, at first to the first one. Returns false at the end.
    fn advance(&mut self) -> Result<bool, Error>;
    /// The pretoken.
    fn pretoken(&self) -> &[u8];
    /// Its count.
    fn count(&self) -> u64;
}

/// A function that is told the number of entries that were read since it was last called, and may stop the work.
pub(crate) type Report<'a> = &'a dyn Fn(u64) -> Result<(), Error>;

/// The sum of several sorted lists, without pretokens whose sum is 0.
pub(crate) struct Merged<'a, S> {
    sources: Vec<S>,
    /// The numbers of the sources that have not ended. The one at position i is not before the one at (i - 1) / 2.
    heap: Vec<u32>,
    pretoken: Vec<u8>,
    count: u64,
    /// The number of entries that were read and not reported, and the bytes of their pretokens.
    num_new: u64,
    num_new_bytes: usize,
    report: Report<'a>,
}

impl<'a, S: SortedCounts> Merged<'a, S> {
    /// The sum of lists, none of which was read yet.
    ///
    /// # Errors
    /// Those of reading.
    #[allow(clippy::cast_possible_truncation)] // There are some thousand sources.
    pub fn new(mut sources: Vec<S>, report: Report<'a>) -> Result<Self, Error> {
        let mut heap = Vec::with_capacity(sources.len());
        for (number, source) in sources.iter_mut().enumerate() {
            if source.advance()? {
                heap.push(number as u32);
            }
        }
        let mut merged =
            Merged { sources, heap, pretoken: Vec::new(), count: 0, num_new: 0, num_new_bytes: 0, report };
        (0..merged.heap.len() / 2).rev().for_each(|at| merged.sift_down(at));
        Ok(merged)
    }

    /// The function that it reports to.
    pub fn report(&self) -> Report<'a> {
        self.report
    }

    /// Calls `visit` with each pretoken and its count, in order.
    ///
    /// # Errors
    /// Those of reading and of `visit`; [`Error::Limit`] when a count would pass 2^64 - 1; [`Error::Cancelled`].
    pub fn for_each(mut self, mut visit: impl FnMut(&[u8], u64) -> Result<(), Error>) -> Result<(), Error> {
        while self.advance()? {
            visit(&self.pretoken, self.count)?;
        }
        (self.report)(self.num_new)
    }

    fn first(&self) -> Option<&S> {
        self.heap.first().map(|&first| &self.sources[first as usize])
    }

    /// Reads the next entry of the first source.
    fn advance_first(&mut self) -> Result<(), Error> {
        self.num_new_bytes += self.first().map_or(0, |first| first.pretoken().len());
        if !self.sources[self.heap[0] as usize].advance()? {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        self.num_new += 1;
        if self.num_new >= REPORT_EVERY || self.num_new_bytes >= REPORT_EVERY_BYTES {
            self.num_new_bytes = 0;
            (self.report)(std::mem::take(&mut self.num_new))?;
        }
        Ok(())
    }

    /// Moves the number at a position down until neither of the two below it is smaller.
    fn sift_down(&mut self, mut at: usize) {
        let pretoken = |heap: &[u32], at: usize| self.sources[heap[at] as usize].pretoken();
        loop {
            let mut least = at;
            for below in [2 * at + 1, 2 * at + 2] {
                if below < self.heap.len() && pretoken(&self.heap, below) < pretoken(&self.heap, least) {
                    least = below;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

impl<S: SortedCounts> SortedCounts for Merged<'_, S> {
    fn advance(&mut self) -> Result<bool, Error> {
        while let Some(&first) = self.heap.first() {
            let first = &self.sources[first as usize];
            self.count = first.count();
            self.pretoken.clear();
            self.pretoken.extend_from_slice(first.pretoken());
            self.advance_first()?;
            while let Some(first) = self.first().filter(|first| first.pretoken() == self.pretoken) {
                let sum = self.count.checked_add(first.count());
                self.count = sum.ok_or(Error::Limit { what: "the count of a pretoken", limit: u64::MAX })?;
                self.advance_first()?;
            }
            if self.count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pretoken(&self) -> &[u8] {
        &self.pretoken
    }

    fn count(&self) -> u64 {
        self.count
    }
}

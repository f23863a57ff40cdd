/*!
The places where pretokens begin and end, for one window of the text at a time.

Why not an iterator of slices? The code that looks pretokens up runs in a loop that does nothing else. It
knows that all positions lie in one window, so a position takes two bytes and no access needs a bounds check
of its own.
*/

use std::ops::Range;

/// The size of a window in bytes. 4 KiB, so that its borders stay in the first-level cache.
pub(crate) const WINDOW: usize = 4096;

/// Ascending positions in a buffer. Two neighbouring positions are the beginning and the end of one pretoken.
pub struct Borders {
    /// The last border before those of the window.
    open: usize,
    /// Where the window begins.
    base: usize,
    /// Positions relative to `base`, at most [`WINDOW`] of them, and room for 64 that are written but not
    /// used.
    positions: Box<[u16; WINDOW + 64]>,
    len: usize,
}

impl Default for Borders {
    fn default() -> Self {
        Borders { open: 0, base: 0, positions: Box::new([0; _]), len: 0 }
    }
}

impl Borders {
    /// The ranges of the pretokens that end in this window.
    pub fn pretokens(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.inside().iter().map(|&end| self.base + usize::from(end));
        let starts = std::iter::once(self.open).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| start..end).skip_while(Range::is_empty)
    }

    /// The first of these pretokens, if it began before the window or at its start.
    pub(crate) fn first(&self) -> Option<Range<usize>> {
        self.pretokens().next().filter(|first| {
            self.inside().first().is_some_and(|&end| first.end == self.base + usize::from(end))
        })
    }

    /// Where the window begins.
    #[inline]
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// The borders in this window, relative to its beginning.
    #[inline]
    pub(crate) fn inside(&self) -> &[u16] {
        &self.positions[..self.len]
    }

    /// The last border: the end of the last pretoken, or the text's beginning.
    #[inline(always)]
    pub(super) fn last(&self) -> usize {
        self.inside().last().map_or(self.open, |&last| self.base + usize::from(last))
    }

    /// Starts the first window of a text.
    pub(super) fn begin(&mut self, start: usize) {
        (self.open, self.base, self.len) = (start, start, 0);
    }

    /// Starts the window that follows this one and begins at `base`.
    pub(super) fn go_on(&mut self, base: usize) {
        if let Some(&last) = self.inside().last() {
            self.open = self.base + usize::from(last);
        }
        (self.base, self.len) = (base, 0);
    }

    /// Adds a border if it belongs to this window; says whether it does.
    pub(super) fn push(&mut self, position: usize) -> bool {
        match u16::try_from(position - self.base) {
            Ok(inside) if usize::from(inside) <= WINDOW && self.len <= WINDOW => {
                self.positions[self.len] = inside;
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    /// Room for 64 positions. The caller writes them, then reports their number to [`Borders::add`].
    #[inline(always)]
    pub(super) fn room(&mut self) -> Option<&mut [u16; 64]> {
        self.positions[self.len..].first_chunk_mut()
    }

    /// Counts positions that were written into [`Borders::room`].
    #[inline(always)]
    pub(super) fn add(&mut self, written: usize) {
        self.len += written;
    }
}

/*!
Where pretokens begin and end, a window of the text at a time.

Why not an iterator of slices? Whoever looks pretokens up wants to do so in a loop that does nothing else, and knows all
positions to be in one window: then a position is two bytes, and no access needs a check of its own.
*/

use super::blocks::Isa;
use std::ops::Range;

/// The bytes of a window. 4 KiB: their borders stay in the first-level cache.
pub(crate) const WINDOW: usize = 4096;

/// Ascending positions in a buffer. Each two neighbours are the ends of one pretoken.
pub struct Borders {
    /// The instructions that find them.
    pub(super) isa: Isa,
    /// The last border before those of the window.
    open: usize,
    /// Where the window begins.
    base: usize,
    /// Positions from there on, at most [`WINDOW`], and room for those that are written in vain.
    positions: Box<[u16; WINDOW + 64]>,
    len: usize,
}

impl Default for Borders {
    fn default() -> Self {
        Borders::new(Isa::best())
    }
}

impl Borders {
    /// None yet.
    pub fn new(isa: Isa) -> Self {
        Borders { isa, open: 0, base: 0, positions: Box::new([0; _]), len: 0 }
    }

    /// The ranges of the pretokens that end in this window.
    pub fn pretokens(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.inside().iter().map(|&end| self.base + usize::from(end));
        let starts = std::iter::once(self.open).chain(ends.clone());
        starts.zip(ends).map(|(start, end)| start..end).skip_while(Range::is_empty)
    }

    /// The one of them that began before the window or at its start, if there is one.
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

    /// The borders in this window, from its beginning on.
    #[inline]
    pub(crate) fn inside(&self) -> &[u16] {
        &self.positions[..self.len]
    }

    /// The first window of a text.
    pub(super) fn begin(&mut self, start: usize) {
        (self.open, self.base, self.len) = (start, start, 0);
    }

    /// The window that begins at `base`, after this one.
    pub(super) fn go_on(&mut self, base: usize) {
        if let Some(&last) = self.inside().last() {
            self.open = self.base + usize::from(last);
        }
        (self.base, self.len) = (base, 0);
    }

    /// Adds a border if it belongs to this window.
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

    /// Room for 64 positions; [`Borders::add`] says how many were written.
    #[inline(always)]
    pub(super) fn room(&mut self) -> Option<&mut [u16; 64]> {
        self.positions[self.len..].first_chunk_mut()
    }

    #[inline(always)]
    pub(super) fn add(&mut self, written: usize) {
        self.len += written;
    }
}

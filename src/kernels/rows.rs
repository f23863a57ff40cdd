/*!
The rows of a head in a tensor of all heads: for reading, and for writing from several threads at once.

Rows of different heads alternate in memory, so safe code cannot hand them out to threads as slices. This is the one place
where threads share memory that they write.
*/

use std::marker::PhantomData;
use std::ops::Range;

/// The positions of a head's rows in a tensor.
#[derive(Clone, Copy)]
pub(super) struct RowLayout {
    /// The index of the first row's first number.
    pub start: usize,
    /// The distance from one row's first number to the next row's.
    pub stride: usize,
    /// The number of rows.
    pub length: usize,
    /// The number of elements in a row.
    pub width: usize,
}

impl RowLayout {
    fn row(self, number: usize) -> Range<usize> {
        assert!(number < self.length);
        let start = self.start + number * self.stride;
        start..start + self.width
    }
}

/// A head's rows, for reading.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, E> {
    all: &'a [E],
    layout: RowLayout,
}

impl<'a, E> Rows<'a, E> {
    pub(super) fn new(all: &'a [E], layout: RowLayout) -> Self {
        Rows { all, layout }
    }

    pub(super) fn row(&self, number: usize) -> &'a [E] {
        &self.all[self.layout.row(number)]
    }
}

/// A tensor that several threads write, each the rows of its own heads.
pub(super) struct Shared<'a, E> {
    start: *mut E,
    len: usize,
    all: PhantomData<&'a mut [E]>,
}

// SAFETY: the only operation on a `Shared` is to take rows of it, and the caller of that operation ensures
// that nobody else has the same rows.
#[allow(unsafe_code)]
unsafe impl<E: Send> Sync for Shared<'_, E> {}

impl<'a, E> Shared<'a, E> {
    pub(super) fn new(all: &'a mut [E]) -> Self {
        Shared { start: all.as_mut_ptr(), len: all.len(), all: PhantomData }
    }

    /// # Safety
    /// No other `RowsMut` may have a row in common with this one. (Rows of heads alternate, so safe code
    /// cannot hand them out as slices. Gathering them afterwards would read and write all of them once more.)
    #[allow(unsafe_code)]
    pub(super) unsafe fn rows(&self, layout: RowLayout) -> RowsMut<'_, E> {
        assert!(layout.row(layout.length - 1).end <= self.len);
        RowsMut { start: self.start, layout, all: PhantomData }
    }
}

/// A head's rows, for writing. Nobody else has any of them.
pub(super) struct RowsMut<'a, E> {
    start: *mut E,
    layout: RowLayout,
    all: PhantomData<&'a mut [E]>,
}

impl<E> RowsMut<'_, E> {
    /// The number of rows, and of elements in a row.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.layout.length, self.layout.width)
    }

    #[allow(unsafe_code)]
    pub(super) fn row(&mut self, number: usize) -> &mut [E] {
        let row = self.layout.row(number);
        // SAFETY: the row is not after the layout's last row, which ends within the tensor, and no other
        // `RowsMut` has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row.start), self.layout.width) }
    }
}

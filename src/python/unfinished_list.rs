/*!
A Python list that is being filled.

Why not `PyList::append`? A list that grows is copied again and again. The ids of 1 MiB, listed while another thread
encodes, take 2.1 times as long as an array of them, and 1.6 times if all places are made first. Why not a list of
`None`, whose places are then set? Each place is then written twice, which takes 1.95 times. (benches/record/7-limit-of-the-chip.md)

An empty place is a null pointer, on which Python code would crash. Others could reach the list only through the garbage
collector's list of all objects, so it is not there before it is finished.
*/

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

/// A list whose first `len` places are filled.
pub(super) struct UnfinishedList<'py> {
    list: Bound<'py, PyList>,
    len: usize,
    /// The number of places, unless more were filled.
    room: usize,
}

impl<'py> UnfinishedList<'py> {
    /// A list with room for `room` items.
    ///
    /// # Errors
    /// `MemoryError`.
    #[allow(unsafe_code)]
    pub fn new(py: Python<'py>, room: usize) -> PyResult<Self> {
        let places = ffi::Py_ssize_t::try_from(room)?;
        // SAFETY: the call returns a new list, or null with the error set, and the list is in the collector's hands.
        let list = unsafe {
            let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(places))?;
            ffi::PyObject_GC_UnTrack(list.as_ptr().cast());
            list.cast_into_unchecked()
        };
        Ok(UnfinishedList { list, len: 0, room })
    }

    /// The interpreter whose lock is held.
    pub fn py(&self) -> Python<'py> {
        self.list.py()
    }

    /// Adds an item.
    #[inline(always)]
    #[allow(unsafe_code, clippy::cast_possible_wrap)] // `room` fits.
    pub fn push(&mut self, item: Borrowed<'_, 'py, PyInt>) -> PyResult<()> {
        if self.len == self.room {
            return self.list.append(item);
        }
        // SAFETY: the list has more than `len` places, and takes over the reference that is made for it.
        unsafe {
            ffi::Py_IncRef(item.as_ptr());
            ffi::PyList_SetItem(self.list.as_ptr(), self.len as ffi::Py_ssize_t, item.as_ptr());
        }
        self.len += 1;
        Ok(())
    }

    /// The list of the items.
    #[allow(unsafe_code)]
    pub fn finish(self) -> PyResult<Bound<'py, PyList>> {
        if self.len < self.room {
            self.list.del_slice(self.len, self.room)?;
        }
        // SAFETY: all places are filled, and the list is not in the collector's hands.
        unsafe { ffi::PyObject_GC_Track(self.list.as_ptr().cast()) };
        Ok(self.list)
    }
}

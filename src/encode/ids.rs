/*!
Ids on their way out.

Why not a `Vec` that is pushed to? How many ids a pretoken has cannot be predicted, and to write three and count one costs
less than to guess wrong. So there is room beyond the end, and it is written to.
*/

use crate::pretokenize::WINDOW;
use crate::token_id::TokenId;
use std::borrow::Cow;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// A token id as it is written: u16 or u32.
pub trait Id: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// The greatest id.
    const MAX: TokenId;
    /// The id in this type; [`Id::MAX`] was compared with the vocabulary.
    fn new(id: TokenId) -> Self;
    /// The low bits of what may be an id.
    fn from_low(bits: u32) -> Self;
    /// The id as a number.
    fn get(self) -> TokenId;
    /// The bytes of ids, the lowest first.
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]>;
}

impl Id for u16 {
    const MAX: TokenId = u16::MAX as TokenId;
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // As the trait says.
    fn new(id: TokenId) -> Self {
        debug_assert!(id <= <Self as Id>::MAX);
        id as u16
    }
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // As the trait says.
    fn from_low(bits: u32) -> Self {
        bits as u16
    }
    #[inline(always)]
    fn get(self) -> TokenId {
        self.into()
    }
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(ids)),
            false => Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
        }
    }
}

impl Id for u32 {
    const MAX: TokenId = u32::MAX;
    #[inline(always)]
    fn new(id: TokenId) -> Self {
        id
    }
    #[inline(always)]
    fn from_low(bits: u32) -> Self {
        bits
    }
    #[inline(always)]
    fn get(self) -> TokenId {
        self
    }
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(ids)),
            false => Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
        }
    }
}

/// A multiple of every usual page.
const PAGE: usize = 1 << 16;
const WORTH_LARGE_PAGES: usize = 1 << 23;
/// Room that is there beyond what was asked for. Half of it is asked for without need, again and again.
const SLACK: usize = 2 * WINDOW;

/// Memory for ids that nobody has touched yet.
pub(super) fn zeroed<T: Id>(len: usize) -> Vec<T> {
    let zeros = vec![T::default(); len];
    advise_large_pages(&zeros);
    zeros
}

/// Asks the system to give memory in pages of two megabytes: to be given 200 MB in small ones takes longer than to fill them.
#[allow(unsafe_code)]
fn advise_large_pages<T>(items: &[T]) {
    #[cfg(target_os = "linux")]
    if size_of_val(items) >= WORTH_LARGE_PAGES {
        let start = items.as_ptr() as usize;
        let end = start + size_of_val(items);
        let whole = start.next_multiple_of(PAGE)..end / PAGE * PAGE;
        // SAFETY: the pages belong to `items`, and the advice changes nothing of what is in them.
        let advised = unsafe {
            rustix::mm::madvise(whole.start as *mut _, whole.len(), rustix::mm::Advice::LinuxHugepage)
        };
        let _ = advised; // Without it everything works, a little slower.
    }
}

/// Ids on their way out: a vector that is written beyond its length.
pub struct Ids<T> {
    pub(super) room: Vec<T>,
    pub(super) len: usize,
}

impl<T> Default for Ids<T> {
    fn default() -> Self {
        Ids { room: Vec::new(), len: 0 }
    }
}

impl<T: Id> Ids<T> {
    /// None, with room for so many.
    pub fn with_room(len: usize) -> Self {
        Ids { room: zeroed(len + SLACK), len: 0 }
    }

    /// Whether so many more fit.
    pub fn has_room(&self, more: usize) -> bool {
        self.room.len() - self.len >= more + SLACK
    }

    /// The ids.
    pub fn as_slice(&self) -> &[T] {
        &self.room[..self.len]
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Forgets the ids and keeps their memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds ids.
    #[inline(never)]
    pub fn extend(&mut self, ids: &[TokenId]) {
        self.reserve(ids.len());
        for &id in ids {
            self.room[self.len] = T::new(id);
            self.len += 1;
        }
    }

    /// Makes room for so many ids, and some more.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.len + more + SLACK / 2;
        if self.room.len() < needed {
            self.room.resize(needed.max(self.room.len() * 3 / 2), T::default());
        }
    }

    /// Adds the first `len` of three ids. All are written, whatever the others are.
    #[inline(always)]
    pub(super) fn push(&mut self, ids: &[TokenId; 3], len: usize) {
        self.room[self.len..][..3].copy_from_slice(&ids.map(T::from_low));
        self.len += len;
    }
}

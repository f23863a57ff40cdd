/*!
A vector of ids that is written beyond its length.

Why not a `Vec` and `push`? The number of a pretoken's ids cannot be predicted, and it costs less to write
three ids and count one than to mispredict a branch. So the memory always extends beyond the last id, and
surplus ids are written there.
*/

use crate::large_pages::advise_large_pages;
use crate::pretokenize::WINDOW;
use crate::token_id::TokenId;
use std::borrow::Cow;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// A token id as it is written: u16 or u32.
pub trait Id: sealed::Sealed + Copy + Default + Eq + Send + Sync + 'static {
    /// The greatest id.
    const MAX: TokenId;
    /// The id in this type. The caller has compared [`Id::MAX`] with the vocabulary.
    fn new(id: TokenId) -> Self;
    /// The low bits of a number that may be an id.
    fn from_low(bits: u32) -> Self;
    /// The id as a number.
    fn get(self) -> TokenId;
    /// The ids in this type. The caller has compared [`Id::MAX`] with the vocabulary.
    fn from_ids(ids: &[TokenId]) -> Cow<'_, [Self]>;
    /// The ids as little-endian bytes.
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
    fn from_ids(ids: &[TokenId]) -> Cow<'_, [Self]> {
        Cow::Owned(ids.iter().map(|&id| <Self as Id>::new(id)).collect())
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
    fn from_ids(ids: &[TokenId]) -> Cow<'_, [Self]> {
        Cow::Borrowed(ids)
    }
    fn bytes(ids: &[Self]) -> Cow<'_, [u8]> {
        match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(ids)),
            false => Cow::Owned(ids.iter().flat_map(|id| id.to_le_bytes()).collect()),
        }
    }
}

/// The spare room in ids. `reserve` asks for half of it beyond what it needs, so that it seldom has to grow.
const SLACK: usize = 2 * WINDOW;

/// Zeroed memory for ids, which the system provides only when it is touched.
pub(crate) fn zeroed<T: Id>(len: usize) -> Vec<T> {
    let zeros = vec![T::default(); len];
    advise_large_pages(&zeros);
    zeros
}

/// A vector of ids that is written beyond its length.
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
    /// No ids, with room for `len`.
    pub fn with_room(len: usize) -> Self {
        Ids { room: zeroed(len + SLACK), len: 0 }
    }

    /// Whether `more` ids fit without growing.
    pub fn has_room(&self, more: usize) -> bool {
        self.room.len() - self.len >= more + SLACK
    }

    /// The ids.
    pub fn as_slice(&self) -> &[T] {
        &self.room[..self.len]
    }

    /// The number of ids.
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

    /// Adds ids of this type.
    pub fn append(&mut self, ids: &[T]) {
        self.reserve(ids.len());
        self.room[self.len..][..ids.len()].copy_from_slice(ids);
        self.len += ids.len();
    }

    /// Makes room for `more` ids and some spare ones.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.len + more + SLACK / 2;
        if self.room.len() < needed {
            self.room.resize(needed.max(self.room.len() * 3 / 2), T::default());
        }
    }

    /// Adds the first `len` of three ids. All three are written.
    #[inline(always)]
    pub(super) fn push(&mut self, ids: &[TokenId; 3], len: usize) {
        self.room[self.len..][..3].copy_from_slice(&ids.map(T::from_low));
        self.len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Id + PartialEq + std::fmt::Debug>(max: TokenId, bytes: &[u8]) {
        let numbers = [0, 1, 0x1234, max];
        assert_eq!((T::MAX, T::new(max).get(), T::from_low(max).get()), (max, max, max));
        assert_eq!(T::from_low(0x1234).get(), 0x1234);
        let ids = T::from_ids(&numbers);
        assert!(ids.iter().map(|id| id.get()).eq(numbers));
        assert_eq!(*T::bytes(&ids), *bytes);
    }

    #[test]
    fn ids_are_numbers_of_16_or_32_bits() {
        check::<u16>(0xFFFF, &[0, 0, 1, 0, 0x34, 0x12, 0xFF, 0xFF]);
        check::<u32>(0xFFFF_FFFF, &[0, 0, 0, 0, 1, 0, 0, 0, 0x34, 0x12, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(u16::from_low(0xABCD_1234), 0x1234);
    }

    #[test]
    fn room_is_for_as_many_ids_as_were_asked_for() {
        let mut ids = Ids::<u32>::with_room(10);
        assert!(ids.has_room(0) && ids.has_room(10) && !ids.has_room(11));
        ids.extend(&[7, 8, 9, 10]);
        assert_eq!((ids.as_slice(), ids.len()), (&[7, 8, 9, 10][..], 4));
        assert!(ids.has_room(6) && !ids.has_room(7));
        ids.clear();
        assert_eq!((ids.as_slice(), ids.len(), ids.has_room(10)), (&[][..], 0, true));
    }

    #[test]
    fn memory_grows_seldom_and_always_has_spare_room() {
        let (mut ids, mut num_growths) = (Ids::<u16>::default(), 0);
        for n in 0..300_000 {
            let before = ids.room.len();
            ids.extend(&[n & 0xFFFF]);
            num_growths += usize::from(ids.room.len() > before);
            assert!(ids.room.len() >= ids.len() + SLACK / 2, "{n}");
            assert!(ids.room.len() <= ids.len() * 3 / 2 + SLACK, "{n}");
        }
        assert!((2..20).contains(&num_growths), "{num_growths}");
        ids.reserve(1_000_000);
        assert_eq!(ids.room.len(), 1_300_000 + SLACK / 2);
        assert!(ids.as_slice().iter().zip(0..).all(|(&id, n)| u32::from(id) == n & 0xFFFF));
    }

    #[test]
    fn appended_ids_follow_those_before() {
        let mut ids = Ids::<u16>::default();
        ids.append(&[1, 2]);
        ids.append(&[]);
        ids.append(&[3]);
        assert_eq!((ids.as_slice(), ids.len()), (&[1, 2, 3][..], 3));
    }
}

/*!
The lines of a table that is looked up at random, in large pages if they fill one.

Why not a vector of lines? The entries of frequent words are all over a table, so with small pages nearly every
lookup costs a walk through the page table. A large page begins at a multiple of its size, where no vector begins.
And a vector of empty lines is written as a whole, although the system has just cleared that memory. In
small pages that costs little. A large page is out of the cache by then. With both, web text is encoded in 0.93 of
the time; a vector in large pages took 1.15 times as long as one in small pages.
(benches/record/7-limit-of-the-chip.md)
*/

use crate::large_pages::{LARGE_PAGE, ask_for_large_pages};
use crate::room::capacity;
use bytemuck::Pod;
use std::hint::black_box;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// The number of lines in which a pretoken may be: the line where it belongs, and those whose number differs
/// from it only in the lowest bits.
pub(crate) const NEAR: usize = 4;
/// The size of a small page in bytes, or less.
const SMALL_PAGE: usize = 1 << 12;
/// The size in bytes of a word, as which memory is asked for.
const WORD: usize = size_of::<u128>();

/// Lines, all zero at first. Each begins at a multiple of its size, a power of two.
pub(crate) struct Lines<L> {
    words: Vec<u128>,
    /// The first word of the first line.
    start: usize,
    len: usize,
    lines: PhantomData<L>,
}

impl<L: Pod> Lines<L> {
    /// The number of words of a line.
    const WORDS: usize = size_of::<L>() / WORD;

    pub fn new(len: usize) -> Self {
        let num_words = Self::WORDS * len;
        let are_many = WORD * num_words >= LARGE_PAGE;
        let align = if are_many { LARGE_PAGE } else { size_of::<L>() } / WORD;
        let mut words = vec![0; capacity::<u128>(num_words + align - 1)];
        let start = (words.as_ptr().addr() / WORD).wrapping_neg() % align;
        let used = &mut words[start..][..num_words];
        if are_many {
            ask_for_large_pages(used);
        }
        // A page that is read before it is written is provided twice. Where large pages were not to be had, web text
        // took 1.6 times as long on two cores without this.
        used.iter_mut().step_by(SMALL_PAGE / WORD).for_each(|word| *black_box(word) = 0);
        Lines { words, start, len, lines: PhantomData }
    }
}

impl<L: Pod> Deref for Lines<L> {
    type Target = [L];

    #[inline]
    fn deref(&self) -> &[L] {
        bytemuck::cast_slice(&self.words[self.start..][..Self::WORDS * self.len])
    }
}

impl<L: Pod> DerefMut for Lines<L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [L] {
        bytemuck::cast_slice_mut(&mut self.words[self.start..][..Self::WORDS * self.len])
    }
}

/// The lines in which a pretoken may be, starting with the one where it belongs.
pub(crate) fn near(home: usize, num_lines: usize) -> impl Iterator<Item = usize> {
    (0..NEAR.min(num_lines)).map(move |i| home ^ i)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of two words.
    type Line = [u128; 2];

    #[test]
    fn lines_are_zero_and_each_has_a_place_of_its_own() {
        for len in [0, 1, 2, 3, 1000, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1 << 20] {
            let mut lines = Lines::<Line>::new(len);
            assert!(lines.len() == len && lines.iter().all(|line| *line == [0; 2]), "{len}");
            lines.iter_mut().zip(1..).for_each(|(line, number)| *line = [number, !number]);
            assert!(lines.iter().copied().eq((1..).take(len).map(|number| [number, !number])), "{len}");
        }
    }

    #[test]
    fn lines_begin_at_a_multiple_of_their_size_and_many_at_one_of_a_large_page() {
        let others: Vec<_> = (0..20).map(|len| vec![0_u128; len]).collect();
        for (len, multiple) in
            [(1, 32), (2, 32), (3, 32), ((1 << 16) - 1, 32), (1 << 16, 1 << 21), (1 << 20, 1 << 21)]
        {
            let all: Vec<_> = (0..20).map(|_| Lines::<Line>::new(len)).collect();
            assert!(all.iter().all(|lines| lines.as_ptr().addr() % multiple == 0), "{len}");
        }
        drop(others);
    }
}

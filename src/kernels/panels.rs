/*!
The operands of a matrix product, laid out in panels for the matrix unit.

A panel is 32 rows of the first operand, or 32 columns of the second. For each 32 terms of the sum it holds two tiles. The unit
wants the terms of the first operand along a row, and those of the second in pairs across rows (`amx.rs`). Either operand may lie
in memory with its terms along the rows or across them, in float32 or bfloat16. So there are two ways to read a tile, and each
operand needs a transposition after one of them.
*/

use super::amx::{SIDE, TILE};
use super::element::{Bf16, Element};
use super::lanes::{LANES, Lanes, interleaved, narrow, transpose};
use crate::prefetch::prefetch;
use std::arch::x86_64::*;

/// The number of terms of a sum in a tile.
pub(super) const TERMS: usize = 32;

/// The [`Lanes`] of a panel for each 32 terms.
pub(super) const STEP: usize = 2 * TILE;

/// The prefetch distance in rows, for rows that lie far apart.
const AHEAD: usize = 16;

/// The numbers of a matrix in row-major order, in either type.
#[derive(Clone, Copy)]
pub enum Numbers<'a> {
    /// float32, which is rounded to bfloat16 before the product.
    Wide(&'a [f32]),
    /// bfloat16.
    Narrow(&'a [Bf16]),
}

impl Numbers<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Numbers::Wide(numbers) => numbers.len(),
            Numbers::Narrow(numbers) => numbers.len(),
        }
    }
}

/// An operand of a product: `length` rows (of the second operand: columns) of `terms` numbers each.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// The numbers: (length, terms), or (terms, length) if `is_across`.
    pub numbers: Numbers<'a>,
    /// The number of rows of the first operand, or of columns of the second.
    pub length: usize,
    /// The number of terms of each sum.
    pub terms: usize,
    /// Whether the terms of a sum lie across the rows in memory.
    pub is_across: bool,
}

impl Matrix<'_> {
    /// The number of panels.
    pub(super) fn panels(&self) -> usize {
        self.length.div_ceil(SIDE)
    }

    /// Lays out the terms from `first` on of a panel, as many as `to` has place for. Terms and rows that the matrix lacks are 0.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn lay_out(&self, panel: usize, first: usize, is_second: bool, to: &mut [Lanes]) {
        match self.numbers {
            Numbers::Wide(numbers) => self.of(numbers, panel, first, is_second, to),
            Numbers::Narrow(numbers) => self.of(numbers, panel, first, is_second, to),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn of<E: Element>(&self, numbers: &[E], panel: usize, first: usize, is_second: bool, to: &mut [Lanes]) {
        for (step, two) in to.chunks_exact_mut(STEP).enumerate() {
            let term = first + step * TERMS;
            if self.is_across {
                self.read_across(numbers, panel * SIDE, term, two);
            } else {
                self.read_along(numbers, panel * SIDE, term, two);
            }
            if self.is_across != is_second {
                two.chunks_exact_mut(TILE).for_each(|tile| turn(tile));
            }
        }
    }

    /// Reads 32 rows of 32 terms each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn read_along<E: Element>(&self, numbers: &[E], start: usize, term: usize, two: &mut [Lanes]) {
        let width = self.terms.saturating_sub(term).min(TERMS);
        for (row, lanes) in (start..).zip(two) {
            if row < self.length {
                let at = row * self.terms + term.min(self.terms);
                lanes.set_units(load(&numbers[at..at + width]));
            } else {
                *lanes = Lanes::ZERO;
            }
        }
    }

    /// Reads 32 terms, each a row of 32 numbers, two rows at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn read_across<E: Element>(&self, numbers: &[E], start: usize, term: usize, two: &mut [Lanes]) {
        let width = (self.length - start).min(SIDE);
        let (left, right) = two.split_at_mut(TILE);
        for (pair, (left, right)) in left.iter_mut().zip(right).enumerate() {
            let [even, odd] = [term + 2 * pair, term + 2 * pair + 1].map(|row| {
                if row >= self.terms {
                    return _mm512_setzero_si512();
                }
                let at = row * self.length + start;
                prefetch(numbers, at + AHEAD * self.length);
                load(&numbers[at..at + width])
            });
            let [low, high] = interleaved(even, odd);
            left.set_units(low);
            right.set_units(high);
        }
    }
}

/// Transposes a tile in units of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(tile: &mut [Lanes]) {
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, lanes) in rows.iter_mut().zip(&*tile) {
        *row = lanes.units();
    }
    for (row, lanes) in transpose(rows).into_iter().zip(tile) {
        lanes.set_units(row);
    }
}

/// Loads up to 32 numbers as bfloat16, and zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn load<E: Element>(numbers: &[E]) -> __m512i {
    if let Some(whole) = numbers.first_chunk::<TERMS>() {
        return load_whole(whole);
    }
    let mut padded = [E::zeroed(); TERMS];
    padded[..numbers.len()].copy_from_slice(numbers);
    load_whole(&padded)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn load_whole<E: Element>(numbers: &[E; TERMS]) -> __m512i {
    let (lanes, _) = bytemuck::cast_slice::<E, u8>(numbers).as_chunks::<64>();
    let lanes = |number: usize| Lanes(bytemuck::cast(lanes[number]));
    if E::PER_UNIT == 2 {
        return lanes(0).units();
    }
    narrow(lanes(1).sums(), lanes(0).sums())
}

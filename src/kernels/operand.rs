/*!
A head's queries, keys, values or gradients in lanes: how they are read from a tensor and written back.
*/

use super::element::Element;
use super::lanes::*;
use super::rotation::Rotation;
use super::rows::{Rows, RowsMut};
use crate::prefetch::prefetch;
use std::f32::consts::LOG2_E;
use std::marker::PhantomData;

/// The number of queries, and of keys, in a block.
pub(super) const BLOCK: usize = 64;

/// The number of [`Lanes`] that hold a number for each row of a block.
pub(super) const W: usize = BLOCK / LANES;

/// The prefetch distance in rows. Each row is far from the next in memory.
const AHEAD: usize = 16;

/// The size of a head, and of its blocks in lanes and units.
#[derive(Clone, Copy)]
pub(super) struct Size<E> {
    pub length: usize,
    /// The number of channels, rounded up to a multiple of two lanes. The added channels are 0, which changes
    /// no result.
    pub width: usize,
    /// The factor of scores, 1 / sqrt(d).
    pub scale: f32,
    /// How many of the last keys a query sees, with its own.
    pub reach: usize,
    element: PhantomData<E>,
}

impl<E: Element> Size<E> {
    /// The size of a head with `length` rows of `width` channels. A `reach` of 0 is that of all keys.
    #[allow(clippy::cast_precision_loss)] // Heads are not that wide.
    pub(super) fn new(length: usize, width: usize, reach: usize) -> Self {
        let scale = (width as f32).sqrt().recip();
        let reach = if reach == 0 { usize::MAX } else { reach };
        Size { length, width: width.next_multiple_of(2 * LANES), scale, reach, element: PhantomData }
    }

    /// The first block with a key that a query of a block sees.
    pub(super) fn first_keys(self, block: usize) -> usize {
        (block * BLOCK + 1).saturating_sub(self.reach) / BLOCK
    }

    /// The block after the last one with a query that sees a key of a block.
    pub(super) fn end_of_queries(self, key_block: usize) -> usize {
        let end = (key_block * BLOCK + BLOCK - 1).saturating_add(self.reach);
        end.div_ceil(BLOCK).min(self.blocks())
    }

    /// Whether a key of a block is too old for a query of another.
    pub(super) fn hides_past(self, key_block: usize, block: usize) -> bool {
        (block - key_block) * BLOCK + BLOCK > self.reach
    }

    /// Blocks of a head.
    pub(super) fn blocks(self) -> usize {
        self.length.div_ceil(BLOCK)
    }

    /// Units of a row.
    pub(super) fn units(self) -> usize {
        self.width / E::PER_UNIT
    }

    /// Lanes of a row's units.
    pub(super) fn row(self) -> usize {
        self.units() / LANES
    }

    /// Lanes of a row's sums.
    pub(super) fn wide_row(self) -> usize {
        self.width / LANES
    }

    /// Lanes of a block of rows, in each layout.
    pub(super) fn block(self) -> usize {
        BLOCK * self.row()
    }

    /// Lanes of a block of scores, as units.
    pub(super) fn square(self) -> usize {
        BLOCK * W / E::PER_UNIT
    }

    /// Units of a sum over a block's rows.
    pub(super) fn terms(self) -> usize {
        BLOCK / E::PER_UNIT
    }

    /// The factor of scores that are exponents of 2.
    pub(super) fn factor(self) -> f32 {
        LOG2_E * self.scale
    }
}

/// A matrix in the layouts of [`super::lanes`]. Only the layouts that were made hold it.
pub(super) struct Operand {
    pub rows: Vec<Lanes>,
    pub columns: Vec<Lanes>,
    pub pairs: Vec<Lanes>,
    /// `pairs`, transposed in units: for each channel the rows of a block. Only the matrix unit reads it.
    pub turned: Vec<Lanes>,
}

impl Operand {
    pub(super) fn new(lanes: usize) -> Self {
        let zeros = || vec![Lanes::ZERO; lanes];
        Operand { rows: zeros(), columns: zeros(), pairs: zeros(), turned: Vec::new() }
    }

    /// Reads a head into `rows`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn load<E: Element>(&mut self, size: Size<E>, from: Rows<'_, E>, rotation: Option<&Rotation>) {
        for (i, row) in self.rows.chunks_exact_mut(size.row()).take(size.length).enumerate() {
            if i + AHEAD < size.length {
                prefetch(from.row(i + AHEAD), 0);
            }
            copy_row(from.row(i), row);
            if let Some(rotation) = rotation {
                let (cos, sin) = rotation.at(i);
                rotate::<E>(row, cos, sin, false);
            }
        }
        self.rows[size.length * size.row()..].fill(Lanes::ZERO);
    }

    /// Writes the first rows to the block of a head that begins with the head's row `start`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn store<E: Element>(
        &mut self,
        size: Size<E>,
        start: usize,
        rotation: Option<&Rotation>,
        to: &mut RowsMut<'_, E>,
    ) {
        for (i, row) in (start..size.length).zip(self.rows.chunks_exact_mut(size.row()).take(BLOCK)) {
            if let Some(rotation) = rotation {
                let (cos, sin) = rotation.at(i);
                rotate::<E>(row, cos, sin, true);
            }
            let to: &mut [u8] = bytemuck::cast_slice_mut(to.row(i));
            let (whole, rest) = to.as_chunks_mut();
            for (numbers, lanes) in whole.iter_mut().zip(&*row) {
                *numbers = bytemuck::cast::<_, [u8; 64]>(lanes.0);
            }
            if !rest.is_empty() {
                rest.copy_from_slice(&bytemuck::bytes_of(&row[whole.len()])[..rest.len()]);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn make_columns<E: Element>(&mut self, size: Size<E>) {
        columns_of_rows(&self.rows, size.units(), W, &mut self.columns);
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn make_pairs<E: Element>(&mut self, size: Size<E>) {
        pairs_of_rows::<E>(&self.rows, size.width, &mut self.pairs);
    }
}

impl Operand {
    /// Lays `pairs` out as `turned`.
    #[target_feature(enable = "avx512f")]
    pub(super) fn make_turned<E: Element>(&mut self, size: Size<E>) {
        self.turned.resize(self.pairs.len(), Lanes::ZERO);
        let blocks = self.turned.chunks_exact_mut(size.block()).zip(self.pairs.chunks_exact(size.block()));
        for (turned, pairs) in blocks {
            rows_of_columns(pairs, size.terms(), size.wide_row(), turned);
        }
    }
}

/// Copies a row lane by lane, because a call of `memcpy` takes as long as the row.
#[inline]
fn copy_row<E: Element>(from: &[E], row: &mut [Lanes]) {
    let (whole, rest) = bytemuck::cast_slice(from).as_chunks();
    for (lanes, numbers) in row.iter_mut().zip(whole) {
        lanes.0 = bytemuck::cast::<[u8; 64], _>(*numbers);
    }
    for lanes in &mut row[whole.len()..] {
        *lanes = Lanes::ZERO;
    }
    if !rest.is_empty() {
        bytemuck::bytes_of_mut(&mut row[whole.len()])[..rest.len()].copy_from_slice(rest);
    }
}

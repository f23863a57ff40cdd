/*!
Tiles of a product: a few rows of sums in registers, and the loops over them.
*/

use super::element::Element;
use super::lanes::*;
use super::operand::{BLOCK, Operand, Size, W};
use std::arch::x86_64::*;

/// The number of rows of sums that stay in registers. Of the 32 registers, sums take R x W, and a row of the
/// second operand takes W.
pub(super) const R: usize = 4;

/// A row of sums of a block.
pub(super) type Sums = [__m512; W];

/// Multiplies R keys (or values) of a block by all queries (or gradients) of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn block_product<E: Element>(
    size: Size<E>,
    keys: &Operand,
    key_block: usize,
    key: usize,
    queries: &Operand,
    block: usize,
) -> [Sums; R] {
    let units = bytemuck::cast_slice(&keys.rows[(key_block * BLOCK + key) * size.row()..]);
    let a = Units { units, row: size.units(), step: 1 };
    product::<E, R, W>(
        a,
        &queries.columns[block * size.block()..],
        W,
        size.units(),
        [[_mm512_setzero_ps(); W]; R],
    )
}

/// The units of a block's `pairs`. One term is `width` units after the other.
pub(super) fn units_of_pairs<E: Element>(size: Size<E>, operand: &Operand, block: usize) -> &[u32] {
    bytemuck::cast_slice(&operand.pairs[block * size.block()..(block + 1) * size.block()])
}

/// sums += A B, where A is a block of keys x queries, 0 before the diagonal, and B is a block of queries x
/// channels.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn add_over_queries<E: Element>(
    size: Size<E>,
    is_diagonal: bool,
    a: &Operand,
    b: &[Lanes],
    sums: &mut [Lanes],
) {
    if size.wide_row().is_multiple_of(4) {
        add_tiles::<E, 4, 4>(size, is_diagonal, a, b, sums);
    } else {
        add_tiles::<E, 8, 2>(size, is_diagonal, a, b, sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_tiles<E: Element, const ROWS: usize, const WIDTH: usize>(
    size: Size<E>,
    is_diagonal: bool,
    a: &Operand,
    b: &[Lanes],
    sums: &mut [Lanes],
) {
    let wide = size.wide_row();
    let units: &[u32] = bytemuck::cast_slice(&a.rows);
    for key in (0..BLOCK).step_by(ROWS) {
        let first = if is_diagonal { key / E::PER_UNIT } else { 0 };
        let depth = size.terms() - first;
        let a = Units { units: &units[key * size.terms() + first..], row: size.terms(), step: 1 };
        for at in (0..wide).step_by(WIDTH) {
            let sums = &mut sums[key * wide + at..];
            let tile = load_sums::<ROWS, WIDTH>(sums, wide);
            let tile = product::<E, ROWS, WIDTH>(a, &b[first * wide + at..], wide, depth, tile);
            save_sums(tile, sums, wide);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_sums<const ROWS: usize, const WIDTH: usize>(
    from: &[Lanes],
    row: usize,
) -> [[__m512; WIDTH]; ROWS] {
    let mut sums = [[_mm512_setzero_ps(); WIDTH]; ROWS];
    for (r, sums) in sums.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            *sum = from[r * row + w].sums();
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn save_sums<const ROWS: usize, const WIDTH: usize>(
    sums: [[__m512; WIDTH]; ROWS],
    to: &mut [Lanes],
    row: usize,
) {
    for (r, sums) in sums.into_iter().enumerate() {
        for (w, sum) in sums.into_iter().enumerate() {
            to[r * row + w].set_sums(sum);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn scale<const ROWS: usize>(tile: &mut [Sums; ROWS], factor: Sums) {
    for sums in tile {
        for w in 0..W {
            sums[w] = _mm512_mul_ps(sums[w], factor[w]);
        }
    }
}

/// Sets scores to `hidden` where the query is before the key. A query's lane is its number in the block;
/// `key` is the number of the first of R keys.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_possible_truncation)] // Sixteen bits.
pub(super) fn hide_future(mut tile: [Sums; R], key: usize, hidden: f32) -> [Sums; R] {
    for (r, sums) in tile.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            let before = (key + r).saturating_sub(w * LANES).min(LANES);
            let mask = ((1_u32 << before) - 1) as u16;
            *sum = _mm512_mask_blend_ps(mask, *sum, _mm512_set1_ps(hidden));
        }
    }
    tile
}

/// Sets scores to `hidden` where a key is too old for a query: the first of R keys, for the queries from `first_hidden` on,
/// counted from the first key of the keys' block. The lanes are queries from `first_query` on, counted likewise.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_possible_truncation)] // Sixteen bits.
pub(super) fn hide_past(
    mut tile: [Sums; R],
    first_hidden: usize,
    first_query: usize,
    hidden: f32,
) -> [Sums; R] {
    for (r, sums) in tile.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            let visible = (first_hidden + r).saturating_sub(first_query + w * LANES).min(LANES);
            let mask = !((1_u32 << visible) - 1) as u16;
            *sum = _mm512_mask_blend_ps(mask, *sum, _mm512_set1_ps(hidden));
        }
    }
    tile
}

/// Stores the sums of a block of rows, times `factor`, as the first of `rows`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn narrow_rows<E: Element>(sums: &[Lanes], factor: __m512, rows: &mut [Lanes]) {
    for (sums, rows) in sums.chunks_exact(2).zip(rows.chunks_exact_mut(2 / E::PER_UNIT)) {
        let two = [_mm512_mul_ps(sums[0].sums(), factor), _mm512_mul_ps(sums[1].sums(), factor)];
        store_rows::<E, 2>(two, rows);
    }
}

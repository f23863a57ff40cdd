/*!
One head of one text: softmax(Q K^T / sqrt(d)) V and its gradients, 64 queries and 64 keys at a time.

Why are scores transposed, keys down and queries across? Because a softmax then needs nothing from one lane for another:
maximum, sum and exponentials of a query stay in its lane, and the probabilities are where the next product wants them.
Causality costs nothing for the rows that only fill up a block: they are behind all others, so that as keys nobody sees
them, and as queries their gradient is 0.

Queries meet all keys up to their end once, and correct their sums when a larger score turns up (Milakov & Gimelshein
2018, arXiv:1805.02867). The backward pass makes the probabilities again from the logarithms of those sums (Dao et al.
2022, arXiv:2205.14135), and nothing else is kept: 4 bytes a query.
*/

use super::Element;
use super::attention::{Rotation, Rows, RowsMut};
use super::lanes::*;
use crate::prefetch::prefetch;
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;
use std::marker::PhantomData;

/// Queries, and keys, in a block.
const BLOCK: usize = 64;

/// Lanes of a block.
const W: usize = BLOCK / LANES;

/// Rows to be asked for before they are needed: from one to the next it is far.
const AHEAD: usize = 16;

/// Rows of sums in registers at a time. Of 32 registers, sums take R x W, and a row of the second operand W.
const R: usize = 4;

/// A row of sums of a block.
type Sums = [__m512; W];

/// What one thread needs for one head, used again for the next.
pub(super) struct Workspace<E> {
    size: Size<E>,
    queries: Operand,
    keys: Operand,
    values: Operand,
    /// Also what is on its way out.
    outputs: Operand,
    gradients: Operand,
    /// Of a block of keys and queries.
    scores: Vec<Lanes>,
    probabilities: Operand,
    score_gradients: Operand,
    /// Sums over keys: of outputs or of the gradients of queries, transposed.
    query_sums: Vec<Lanes>,
    /// Sums over queries, of a block: of the gradients of keys and of values.
    key_sums: Vec<Lanes>,
    value_sums: Vec<Lanes>,
    /// Of all queries: the logarithm to base 2 of the sum, and gradient times output.
    log_sums: Vec<Lanes>,
    inner: Vec<Lanes>,
}

/// A matrix in those layouts of [`super::lanes`] that are asked for.
struct Operand {
    rows: Vec<Lanes>,
    columns: Vec<Lanes>,
    pairs: Vec<Lanes>,
}

/// Queries, keys and values of a head, each (length, width).
pub(super) type Head<'a, E> = [Rows<'a, E>; 3];

#[derive(Clone, Copy)]
struct Size<E> {
    length: usize,
    /// Channels, up to a multiple of two lanes: 0 behind the last, they change nothing.
    width: usize,
    scale: f32,
    element: PhantomData<E>,
}

impl<E: Element> Size<E> {
    fn blocks(self) -> usize {
        self.length.div_ceil(BLOCK)
    }

    /// Units of a row.
    fn units(self) -> usize {
        self.width / E::PER_UNIT
    }

    /// Lanes of a row's units.
    fn row(self) -> usize {
        self.units() / LANES
    }

    /// Lanes of a row's sums.
    fn wide_row(self) -> usize {
        self.width / LANES
    }

    /// Lanes of a block of rows, in each layout.
    fn block(self) -> usize {
        BLOCK * self.row()
    }

    /// Lanes of a block of scores, as units.
    fn square(self) -> usize {
        BLOCK * W / E::PER_UNIT
    }

    /// Units of a sum over a block's rows.
    fn terms(self) -> usize {
        BLOCK / E::PER_UNIT
    }

    /// For scores that are exponents of 2.
    fn factor(self) -> f32 {
        LOG2_E * self.scale
    }
}

impl Operand {
    fn new(lanes: usize) -> Self {
        let zeros = || vec![Lanes::ZERO; lanes];
        Operand { rows: zeros(), columns: zeros(), pairs: zeros() }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn load<E: Element>(&mut self, size: Size<E>, from: Rows<'_, E>, rotation: Option<&Rotation>) {
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

    /// Writes the first rows, of a block that begins with row `start`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn store<E: Element>(
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
    fn make_columns<E: Element>(&mut self, size: Size<E>) {
        columns_of_rows(&self.rows, size.units(), W, &mut self.columns);
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn make_pairs<E: Element>(&mut self, size: Size<E>) {
        pairs_of_rows::<E>(&self.rows, size.width, &mut self.pairs);
    }
}

/// By lanes, as a call to copy a row takes as long as the row.
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

impl<E: Element> Workspace<E> {
    #[allow(clippy::cast_precision_loss)] // Heads are not that wide.
    pub fn new(length: usize, width: usize) -> Self {
        let scale = (width as f32).sqrt().recip();
        let width = width.next_multiple_of(2 * LANES);
        let size = Size::<E> { length, width, scale, element: PhantomData };
        let operand = || Operand::new(size.blocks() * size.block());
        let lanes = |number| vec![Lanes::ZERO; number];
        Workspace {
            size,
            queries: operand(),
            keys: operand(),
            values: operand(),
            outputs: operand(),
            gradients: operand(),
            scores: lanes(BLOCK * W),
            probabilities: Operand::new(size.square()),
            score_gradients: Operand::new(size.square()),
            query_sums: lanes(size.blocks() * width * W),
            key_sums: lanes(BLOCK * size.wide_row()),
            value_sums: lanes(BLOCK * size.wide_row()),
            log_sums: lanes(size.blocks() * W),
            inner: lanes(size.blocks() * W),
        }
    }

    /// Outputs, and the logarithm to base 2 of each query's sum of exponentials.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub fn forward(
        &mut self,
        [queries, keys, values]: Head<'_, E>,
        rotation: Option<&Rotation>,
        outputs: &mut RowsMut<'_, E>,
        log_sums: &mut [f32],
    ) {
        self.queries.load(self.size, queries, rotation);
        self.queries.make_columns(self.size);
        self.keys.load(self.size, keys, rotation);
        self.values.load(self.size, values, None);
        self.values.make_pairs(self.size);
        for (block, log_sums) in log_sums.chunks_mut(BLOCK).enumerate() {
            let logs = self.attend(block);
            log_sums.copy_from_slice(&bytemuck::cast_slice(&logs)[..log_sums.len()]);
            self.outputs.store(self.size, block * BLOCK, None, outputs);
        }
    }

    /// One block of queries to all keys before its end; leaves its outputs in the first rows of `outputs`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn attend(&mut self, block: usize) -> [Lanes; W] {
        let mut max = [_mm512_set1_ps(f32::MIN); W];
        let mut total = [_mm512_setzero_ps(); W];
        self.query_sums[..self.size.width * W].fill(Lanes::ZERO);
        for key_block in 0..=block {
            let correction = self.exponentials(key_block, block, &mut max, &mut total);
            self.add_values(key_block, correction);
        }
        let mut inverse = total;
        let mut logs = [Lanes::ZERO; W];
        for w in 0..W {
            inverse[w] = _mm512_div_ps(_mm512_set1_ps(1.0), total[w]);
            logs[w].set_sums(total[w]);
            for log in &mut logs[w].0 {
                *log = f32::from_bits(*log).log2().to_bits();
            }
            logs[w].set_sums(_mm512_add_ps(max[w], logs[w].sums()));
        }
        self.narrow_query_sums(0, inverse);
        logs
    }

    /// Scores of a block, as `pairs` of exponentials (to base 2) of their distance to the largest so far; the factor that brings
    /// sums made with an earlier maximum to the new one.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn exponentials(&mut self, key_block: usize, block: usize, max: &mut Sums, total: &mut Sums) -> Sums {
        let factor = _mm512_set1_ps(self.size.factor());
        let before = *max;
        for key in (0..BLOCK).step_by(R) {
            let mut scores = block_product(self.size, &self.keys, key_block, key, &self.queries, block);
            if key_block == block {
                scores = hide_future(scores, key, f32::NEG_INFINITY);
            }
            for (scores, kept) in scores.iter().zip(self.scores[key * W..].chunks_exact_mut(W)) {
                for w in 0..W {
                    let score = _mm512_mul_ps(scores[w], factor);
                    max[w] = _mm512_max_ps(max[w], score);
                    kept[w].set_sums(score);
                }
            }
        }
        let mut correction = before;
        for w in 0..W {
            correction[w] = exp2(_mm512_sub_ps(before[w], max[w]));
            total[w] = _mm512_mul_ps(total[w], correction[w]);
        }
        for key in (0..BLOCK).step_by(2) {
            let mut two = [[_mm512_setzero_ps(); W]; 2];
            for (r, exponentials) in two.iter_mut().enumerate() {
                for w in 0..W {
                    let score = self.scores[(key + r) * W + w].sums();
                    exponentials[w] = exp2(_mm512_sub_ps(score, max[w]));
                    total[w] = _mm512_add_ps(total[w], exponentials[w]);
                }
            }
            store_pairs::<E, W>(two[0], two[1], &mut self.probabilities.pairs[key / E::PER_UNIT * W..]);
        }
        correction
    }

    /// sums = sums * correction + V^T P^T, of a block of keys.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn add_values(&mut self, key_block: usize, correction: Sums) {
        let values = units_of_pairs(self.size, &self.values, key_block);
        for (channel, sums) in self.query_sums[..self.size.width * W].chunks_exact_mut(R * W).enumerate() {
            let mut tile = load_sums::<R, W>(sums, W);
            scale(&mut tile, correction);
            let a = Units { units: &values[channel * R..], row: 1, step: self.size.width };
            let tile = product::<E, R, W>(a, &self.probabilities.pairs, W, self.size.terms(), tile);
            save_sums(tile, sums, W);
        }
    }

    /// Gradients of queries, keys and values; `log_sums` as the forward pass gave them.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub fn backward(
        &mut self,
        [queries, keys, values]: Head<'_, E>,
        rotation: Option<&Rotation>,
        outputs: Rows<'_, E>,
        gradients: Rows<'_, E>,
        log_sums: &[f32],
        [to_queries, to_keys, to_values]: &mut [RowsMut<'_, E>; 3],
    ) {
        let size = self.size;
        self.queries.load(size, queries, rotation);
        self.queries.make_columns(size);
        self.queries.make_pairs(size);
        self.keys.load(size, keys, rotation);
        self.keys.make_pairs(size);
        self.values.load(size, values, None);
        self.outputs.load(size, outputs, None);
        self.outputs.make_columns(size);
        self.gradients.load(size, gradients, None);
        self.gradients.make_columns(size);
        self.gradients.make_pairs(size);
        self.make_inner();
        bytemuck::cast_slice_mut(&mut self.log_sums)[..size.length].copy_from_slice(log_sums);
        self.query_sums.fill(Lanes::ZERO);
        let one = [_mm512_set1_ps(1.0); W];
        let scale = [_mm512_set1_ps(size.scale); W];
        for key_block in 0..size.blocks() {
            self.key_sums.fill(Lanes::ZERO);
            self.value_sums.fill(Lanes::ZERO);
            for block in key_block..size.blocks() {
                self.probabilities_and_gradients(key_block, block);
                let pairs = block * size.block()..(block + 1) * size.block();
                let (gradients, queries) = (&self.gradients.pairs[pairs.clone()], &self.queries.pairs[pairs]);
                let is_diagonal = key_block == block;
                add_over_queries(size, is_diagonal, &self.probabilities, gradients, &mut self.value_sums);
                add_over_queries(size, is_diagonal, &self.score_gradients, queries, &mut self.key_sums);
                self.add_keys(key_block, block);
            }
            narrow_rows::<E>(&self.key_sums, scale[0], &mut self.outputs.rows);
            self.outputs.store(size, key_block * BLOCK, rotation, to_keys);
            narrow_rows::<E>(&self.value_sums, one[0], &mut self.outputs.rows);
            self.outputs.store(size, key_block * BLOCK, None, to_values);
        }
        for block in 0..size.blocks() {
            self.narrow_query_sums(block, scale);
            self.outputs.store(size, block * BLOCK, rotation, to_queries);
        }
    }

    /// sum over channels of gradient times output, for each query.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn make_inner(&mut self) {
        for block in 0..self.size.blocks() {
            let mut sums = [_mm512_setzero_ps(); W];
            let columns = block * self.size.block()..(block + 1) * self.size.block();
            let outputs = self.outputs.columns[columns.clone()].chunks_exact(W);
            for (outputs, gradients) in outputs.zip(self.gradients.columns[columns].chunks_exact(W)) {
                for w in 0..W {
                    sums[w] = dot::<E>(sums[w], outputs[w].units(), gradients[w].units());
                }
            }
            save_sums([sums], &mut self.inner[block * W..], W);
        }
    }

    /// P = exp(S - log sum), and dS = P (dO V^T - sum dO O).
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn probabilities_and_gradients(&mut self, key_block: usize, block: usize) {
        let factor = _mm512_set1_ps(self.size.factor());
        let row = W / E::PER_UNIT;
        let logs = load_sums::<1, W>(&self.log_sums[block * W..], W)[0];
        let inner = load_sums::<1, W>(&self.inner[block * W..], W)[0];
        for key in (0..BLOCK).step_by(R) {
            let mut tile = block_product(self.size, &self.keys, key_block, key, &self.queries, block);
            for scores in &mut tile {
                for w in 0..W {
                    scores[w] = exp2(_mm512_sub_ps(_mm512_mul_ps(scores[w], factor), logs[w]));
                }
            }
            if key_block == block {
                tile = hide_future(tile, key, 0.0);
            }
            for (r, probabilities) in tile.into_iter().enumerate() {
                store_rows::<E, W>(probabilities, &mut self.probabilities.rows[(key + r) * row..]);
            }
            save_sums(tile, &mut self.scores, W);
            let mut tile = block_product(self.size, &self.values, key_block, key, &self.gradients, block);
            for (r, gradients) in tile.iter_mut().enumerate() {
                for w in 0..W {
                    let probability = self.scores[r * W + w].sums();
                    gradients[w] = _mm512_mul_ps(probability, _mm512_sub_ps(gradients[w], inner[w]));
                }
                store_rows::<E, W>(*gradients, &mut self.score_gradients.rows[(key + r) * row..]);
            }
            for r in (0..R).step_by(2) {
                let pairs = &mut self.score_gradients.pairs[(key + r) / E::PER_UNIT * W..];
                store_pairs::<E, W>(tile[r], tile[r + 1], pairs);
            }
        }
    }

    /// sums += K^T dS^T, of a block of keys and a block of queries.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn add_keys(&mut self, key_block: usize, block: usize) {
        let width = self.size.width;
        let keys = units_of_pairs(self.size, &self.keys, key_block);
        let sums = &mut self.query_sums[block * width * W..(block + 1) * width * W];
        for (channel, sums) in sums.chunks_exact_mut(R * W).enumerate() {
            let a = Units { units: &keys[channel * R..], row: 1, step: width };
            let tile = load_sums::<R, W>(sums, W);
            let tile = product::<E, R, W>(a, &self.score_gradients.pairs, W, self.size.terms(), tile);
            save_sums(tile, sums, W);
        }
    }

    /// The sums of a block of queries times `factor`, as the first rows of `outputs`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn narrow_query_sums(&mut self, block: usize, factor: Sums) {
        let width = self.size.width;
        let sums = &self.query_sums[block * width * W..(block + 1) * width * W];
        let pairs = self.outputs.columns.chunks_exact_mut(2 / E::PER_UNIT * W);
        for (sums, pairs) in sums.chunks_exact(2 * W).zip(pairs) {
            let mut two = load_sums::<2, W>(sums, W);
            scale(&mut two, factor);
            store_pairs::<E, W>(two[0], two[1], pairs);
        }
        rows_of_columns(&self.outputs.columns, self.size.units(), W, &mut self.outputs.rows);
    }
}

/// R keys (or values) of a block times all queries (or gradients) of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn block_product<E: Element>(
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

/// Units of a block's `pairs`: from one term to the next are `width`.
fn units_of_pairs<E: Element>(size: Size<E>, operand: &Operand, block: usize) -> &[u32] {
    bytemuck::cast_slice(&operand.pairs[block * size.block()..(block + 1) * size.block()])
}

/// sums += A B, where A is a block of keys x queries, 0 before the diagonal, and B one of queries x channels.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn add_over_queries<E: Element>(
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
fn load_sums<const ROWS: usize, const WIDTH: usize>(from: &[Lanes], row: usize) -> [[__m512; WIDTH]; ROWS] {
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
fn save_sums<const ROWS: usize, const WIDTH: usize>(
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
fn scale<const ROWS: usize>(tile: &mut [Sums; ROWS], factor: Sums) {
    for sums in tile {
        for w in 0..W {
            sums[w] = _mm512_mul_ps(sums[w], factor[w]);
        }
    }
}

/// `hidden` where a query, whose number in the block is its lane, is before the key; `key` is the first of R.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(clippy::cast_possible_truncation)] // Sixteen bits.
fn hide_future(mut tile: [Sums; R], key: usize, hidden: f32) -> [Sums; R] {
    for (r, sums) in tile.iter_mut().enumerate() {
        for (w, sum) in sums.iter_mut().enumerate() {
            let before = (key + r).saturating_sub(w * LANES).min(LANES);
            let mask = ((1_u32 << before) - 1) as u16;
            *sum = _mm512_mask_blend_ps(mask, *sum, _mm512_set1_ps(hidden));
        }
    }
    tile
}

/// Sums of a block of rows times `factor`, as the first of `rows`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn narrow_rows<E: Element>(sums: &[Lanes], factor: __m512, rows: &mut [Lanes]) {
    for (sums, rows) in sums.chunks_exact(2).zip(rows.chunks_exact_mut(2 / E::PER_UNIT)) {
        let two = [_mm512_mul_ps(sums[0].sums(), factor), _mm512_mul_ps(sums[1].sums(), factor)];
        store_rows::<E, 2>(two, rows);
    }
}

/*!
One head of one text: softmax(Q K^T / sqrt(d)) V and its gradients, 64 queries and 64 keys at a time.

Why are scores transposed, with keys as rows and queries as columns? So that a softmax moves nothing between
lanes: the maximum, sum and exponentials of a query stay in its lane, and the probabilities already have the
layout that the next product needs. Rows that only pad a block need no mask of their own: as keys they lie in
every query's future, and as queries their gradient is zero.

A block of queries passes once over all keys up to its end, and corrects its sums when a larger score appears
(Milakov & Gimelshein 2018, arXiv:1805.02867). The backward pass computes the probabilities again from the
logarithms of those sums (Dao et al. 2022, arXiv:2205.14135). Only these logarithms are kept: 4 bytes per
query.

With a window, a query sees its last keys only. Pairs of blocks without a visible score are left out, and the scores that
a window hides in the others are masked as those of the future are.
*/

use super::amx::{Amx, Region, SIDE, TILE, Tiles};
use super::element::Element;
use super::lanes::*;
use super::operand::{BLOCK, Operand, Size, W};
use super::rotation::Rotation;
use super::rows::{Rows, RowsMut};
use super::shape::Shape;
use super::tiles::*;
use std::arch::x86_64::*;

/// The memory that one thread needs for one head. It is used again for the next head.
pub(super) struct Workspace<E> {
    size: Size<E>,
    /// The matrix unit, if it makes the products. Otherwise AVX-512 makes them.
    unit: Option<Region>,
    queries: Operand,
    keys: Operand,
    values: Operand,
    /// The outputs, and also other results before they are written.
    outputs: Operand,
    gradients: Operand,
    /// The scores of a block of keys and a block of queries.
    scores: Vec<Lanes>,
    /// The products of values and gradients of a block, likewise. Only the matrix unit writes them.
    products: Vec<Lanes>,
    probabilities: Operand,
    score_gradients: Operand,
    /// Sums over keys: of outputs or of the gradients of queries, transposed.
    query_sums: Vec<Lanes>,
    /// Sums over queries, of a block: of the gradients of keys and of values.
    key_sums: Vec<Lanes>,
    value_sums: Vec<Lanes>,
    /// For all queries: the logarithm to base 2 of the sum of exponentials, and gradient times output.
    log_sums: Vec<Lanes>,
    inner: Vec<Lanes>,
}

/// Queries, keys and values of a head, each (length, width).
pub(super) type Head<'a, E> = [Rows<'a, E>; 3];

impl<E: Element> Workspace<E> {
    pub fn new(shape: Shape, amx: Option<Amx>) -> Self {
        let unit = amx.filter(|_| E::PER_UNIT == 2).map(Amx::region);
        let size = Size::<E>::new(shape.length, shape.width, shape.reach);
        let operand = || Operand::new(size.blocks() * size.block());
        let lanes = |number| vec![Lanes::ZERO; number];
        Workspace {
            size,
            products: lanes(if unit.is_some() { BLOCK * W } else { 0 }),
            unit,
            queries: operand(),
            keys: operand(),
            values: operand(),
            outputs: operand(),
            gradients: operand(),
            scores: lanes(BLOCK * W),
            probabilities: Operand::new(size.square()),
            score_gradients: Operand::new(size.square()),
            query_sums: lanes(size.blocks() * size.width * W),
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
        if self.unit.is_some() {
            self.values.make_turned(self.size);
        }
        for (block, log_sums) in log_sums.chunks_mut(BLOCK).enumerate() {
            let logs = self.attend(block);
            log_sums.copy_from_slice(&bytemuck::cast_slice(&logs)[..log_sums.len()]);
            self.outputs.store(self.size, block * BLOCK, None, outputs);
        }
    }

    /// Computes the attention of one block of queries to the keys that they see. Leaves the outputs
    /// in the first rows of `outputs`, and returns the logarithms of the sums.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn attend(&mut self, block: usize) -> [Lanes; W] {
        let mut max = [_mm512_set1_ps(f32::MIN); W];
        let mut total = [_mm512_setzero_ps(); W];
        self.query_sums[..self.size.width * W].fill(Lanes::ZERO);
        for key_block in self.size.first_keys(block)..=block {
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

    /// Computes the scores of a block, and lays out as `pairs` the exponentials (to base 2) of each score
    /// minus the largest score so far. Returns the factor that converts sums made with the earlier maximum to
    /// the new one.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn exponentials(&mut self, key_block: usize, block: usize, max: &mut Sums, total: &mut Sums) -> Sums {
        let factor = _mm512_set1_ps(self.size.factor());
        let before = *max;
        if let Some(unit) = &self.unit {
            multiply_blocks(unit, self.size, &self.keys, key_block, &self.queries, block, &mut self.scores);
        }
        for key in (0..BLOCK).step_by(R) {
            let mut scores = if self.unit.is_some() {
                load_sums::<R, W>(&self.scores[key * W..], W)
            } else {
                block_product(self.size, &self.keys, key_block, key, &self.queries, block)
            };
            if key_block == block {
                scores = hide_future(scores, key, f32::NEG_INFINITY);
            }
            if self.size.hides_past(key_block, block) {
                let first_hidden = self.size.reach + key;
                scores = hide_past(scores, first_hidden, (block - key_block) * BLOCK, f32::NEG_INFINITY);
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
        if let Some(unit) = &self.unit {
            let sums = &mut self.query_sums[..self.size.width * W];
            for sums in sums.chunks_exact_mut(W) {
                let mut row = load_sums::<1, W>(sums, W);
                scale(&mut row, correction);
                save_sums(row, sums, W);
            }
            return add_turned(unit, self.size, &self.values, key_block, &self.probabilities, sums);
        }
        let values = units_of_pairs(self.size, &self.values, key_block);
        for (channel, sums) in self.query_sums[..self.size.width * W].chunks_exact_mut(R * W).enumerate() {
            let mut tile = load_sums::<R, W>(sums, W);
            scale(&mut tile, correction);
            let a = Units { units: &values[channel * R..], row: 1, step: self.size.width };
            let tile = product::<E, R, W>(a, &self.probabilities.pairs, W, self.size.terms(), tile);
            save_sums(tile, sums, W);
        }
    }

    /// Computes the gradients of queries, keys and values. `log_sums` are those of the forward pass.
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
        if self.unit.is_some() {
            self.keys.make_turned(size);
        }
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
            for block in key_block..size.end_of_queries(key_block) {
                self.probabilities_and_gradients(key_block, block);
                let pairs = block * size.block()..(block + 1) * size.block();
                let (gradients, queries) = (&self.gradients.pairs[pairs.clone()], &self.queries.pairs[pairs]);
                let is_diagonal = key_block == block;
                if let Some(unit) = &self.unit {
                    add_rows(unit, size, &self.probabilities, gradients, &mut self.value_sums);
                    add_rows(unit, size, &self.score_gradients, queries, &mut self.key_sums);
                } else {
                    add_over_queries(size, is_diagonal, &self.probabilities, gradients, &mut self.value_sums);
                    add_over_queries(size, is_diagonal, &self.score_gradients, queries, &mut self.key_sums);
                }
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

    /// Sums gradient times output over channels, for each query.
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
        if let Some(unit) = &self.unit {
            multiply_blocks(unit, self.size, &self.keys, key_block, &self.queries, block, &mut self.scores);
            let to = &mut self.products;
            multiply_blocks(unit, self.size, &self.values, key_block, &self.gradients, block, to);
        }
        for key in (0..BLOCK).step_by(R) {
            let mut tile = if self.unit.is_some() {
                load_sums::<R, W>(&self.scores[key * W..], W)
            } else {
                block_product(self.size, &self.keys, key_block, key, &self.queries, block)
            };
            for scores in &mut tile {
                for w in 0..W {
                    scores[w] = exp2(_mm512_sub_ps(_mm512_mul_ps(scores[w], factor), logs[w]));
                }
            }
            if key_block == block {
                tile = hide_future(tile, key, 0.0);
            }
            if self.size.hides_past(key_block, block) {
                tile = hide_past(tile, self.size.reach + key, (block - key_block) * BLOCK, 0.0);
            }
            for (r, probabilities) in tile.into_iter().enumerate() {
                store_rows::<E, W>(probabilities, &mut self.probabilities.rows[(key + r) * row..]);
            }
            // The unit's scores of these keys have been read.
            save_sums(tile, &mut self.scores, W);
            let mut tile = if self.unit.is_some() {
                load_sums::<R, W>(&self.products[key * W..], W)
            } else {
                block_product(self.size, &self.values, key_block, key, &self.gradients, block)
            };
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
        if let Some(unit) = &self.unit {
            return add_turned(unit, self.size, &self.keys, key_block, &self.score_gradients, sums);
        }
        for (channel, sums) in sums.chunks_exact_mut(R * W).enumerate() {
            let a = Units { units: &keys[channel * R..], row: 1, step: width };
            let tile = load_sums::<R, W>(sums, W);
            let tile = product::<E, R, W>(a, &self.score_gradients.pairs, W, self.size.terms(), tile);
            save_sums(tile, sums, W);
        }
    }

    /// Stores the sums of a block of queries times `factor` as the first rows of `outputs`.
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

/// sums = A B^T: the products of all keys (or values) of a block and all queries (or gradients) of a block.
fn multiply_blocks<E: Element>(
    unit: &Region,
    size: Size<E>,
    keys: &Operand,
    key_block: usize,
    queries: &Operand,
    block: usize,
    sums: &mut [Lanes],
) {
    let (row, keys) = (size.row(), &keys.rows[key_block * size.block()..]);
    let queries = &queries.columns[block * size.block()..];
    for key in (0..BLOCK).step_by(SIDE) {
        let a = Tiles { lanes: &keys[key * row..], row, next: TILE * row, step: 1 };
        for w in (0..W).step_by(2) {
            let b = Tiles { lanes: &queries[w..], row: W, next: 1, step: TILE * W };
            unit.multiply(row, a, b, &mut sums[key * W + w..], W, false);
        }
    }
}

/// sums += A B, where A is a block of `turned`, channels x keys, and B is a block of keys x queries.
fn add_turned<E: Element>(
    unit: &Region,
    size: Size<E>,
    a: &Operand,
    key_block: usize,
    b: &Operand,
    sums: &mut [Lanes],
) {
    let turned = &a.turned[key_block * size.block()..];
    for channel in (0..size.width).step_by(SIDE) {
        let a = Tiles { lanes: &turned[channel * W / 2..], row: W / 2, next: TILE * W / 2, step: 1 };
        for w in (0..W).step_by(2) {
            let b = Tiles { lanes: &b.pairs[w..], row: W, next: 1, step: TILE * W };
            unit.multiply(BLOCK / SIDE, a, b, &mut sums[channel * W + w..], W, true);
        }
    }
}

/// sums += A B, where A is a block of keys x queries, and B a block of queries x channels, laid out as `pairs`.
fn add_rows<E: Element>(unit: &Region, size: Size<E>, a: &Operand, b: &[Lanes], sums: &mut [Lanes]) {
    let wide = size.wide_row();
    for key in (0..BLOCK).step_by(SIDE) {
        let a = Tiles { lanes: &a.rows[key * W / 2..], row: W / 2, next: TILE * W / 2, step: 1 };
        for channel in (0..wide).step_by(2) {
            let b = Tiles { lanes: &b[channel..], row: wide, next: 1, step: TILE * wide };
            unit.multiply(BLOCK / SIDE, a, b, &mut sums[key * wide + channel..], wide, true);
        }
    }
}

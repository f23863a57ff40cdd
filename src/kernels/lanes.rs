/*!
Work on sixteen lanes at a time: the matrix product of attention, and the layouts of its operands.

Why not rows of one matrix times columns of another? A product by AVX-512 adds to sixteen sums at a time, and bfloat16's
instruction takes two neighbouring terms of each sum at once. So the second operand always has its sums in lanes, with a
*unit* of 32 bits for each: one float32, or two bfloat16 that are neighbours in the direction of the sum. The first operand
is read unit by unit, and each unit goes to all lanes. Three layouts suffice:

- `rows`: as in memory, a row of units; first operand of a sum along the row;
- `columns`: transposed in units, the rows of a block in lanes; second operand of the same sum;
- `pairs`: units across rows (for float32 the rows themselves); either operand of a sum over rows.
*/

use super::element::{Bf16, Element};
use std::arch::x86_64::*;

/// Sixteen units or sums, as a register holds them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [u32; 16]);

// SAFETY: it is 64 bytes without a gap, and each pattern of bits is a value.
#[allow(unsafe_code)]
unsafe impl bytemuck::Zeroable for Lanes {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl bytemuck::Pod for Lanes {}

pub(super) const LANES: usize = 16;

impl Lanes {
    pub const ZERO: Lanes = Lanes([0; 16]);

    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    pub fn units(&self) -> __m512i {
        // SAFETY: `self` is 64 bytes, aligned to 64. The kernels' gain: benches/record/4-language-model.md.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn sums(&self) -> __m512 {
        _mm512_castsi512_ps(self.units())
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    pub fn set_units(&mut self, units: __m512i) {
        // SAFETY: as above.
        unsafe { _mm512_store_si512(self.0.as_mut_ptr().cast(), units) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn set_sums(&mut self, sums: __m512) {
        self.set_units(_mm512_castps_si512(sums));
    }
}

/// The first operand of a product.
#[derive(Clone, Copy)]
pub(super) struct Units<'a> {
    pub units: &'a [u32],
    /// Units from one row of sums to the next.
    pub row: usize,
    /// Units from one term to the next.
    pub step: usize,
}

/// `sums[r][w] += sum over k of a[r][k] b[k][w]`, for `depth` units; row k of `b` begins at `k * b_row`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn product<E: Element, const R: usize, const W: usize>(
    a: Units<'_>,
    b: &[Lanes],
    b_row: usize,
    depth: usize,
    mut sums: [[__m512; W]; R],
) -> [[__m512; W]; R] {
    for k in 0..depth {
        let mut row = [_mm512_setzero_si512(); W];
        for (w, lanes) in row.iter_mut().enumerate() {
            *lanes = b[k * b_row + w].units();
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let unit = _mm512_set1_epi32(a.units[r * a.row + k * a.step].cast_signed());
            for (sum, lanes) in sums.iter_mut().zip(row) {
                *sum = dot::<E>(*sum, unit, lanes);
            }
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn dot<E: Element>(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
    if E::PER_UNIT == 2 {
        _mm512_dpbf16_ps(sums, as_bf16(a), as_bf16(b))
    } else {
        _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums)
    }
}

#[inline]
#[allow(unsafe_code)]
fn as_bf16(units: __m512i) -> __m512bh {
    // SAFETY: both types are 64 bytes, and every pattern of bits is a value.
    unsafe { std::mem::transmute(units) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(unsafe_code)]
pub(super) fn narrow(high: __m512, low: __m512) -> __m512i {
    // SAFETY: as above.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Stores the sums of a row as a row of `rows`, with its units along the lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn store_rows<E: Element, const W: usize>(sums: [__m512; W], rows: &mut [Lanes]) {
    if E::PER_UNIT == 2 {
        for (two, lanes) in sums.chunks_exact(2).zip(rows) {
            lanes.set_units(narrow(two[1], two[0]));
        }
    } else {
        for (sums, lanes) in sums.into_iter().zip(rows) {
            lanes.set_sums(sums);
        }
    }
}

/// Stores two rows of sums as a row of `pairs` (for float32 two rows), with units across the two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn store_pairs<E: Element, const W: usize>(
    even: [__m512; W],
    odd: [__m512; W],
    pairs: &mut [Lanes],
) {
    if E::PER_UNIT == 2 {
        for ((even, odd), lanes) in even.into_iter().zip(odd).zip(pairs) {
            lanes.set_units(_mm512_permutexvar_epi16(interleave(), narrow(odd, even)));
        }
    } else {
        for (sums, lanes) in even.into_iter().chain(odd).zip(pairs) {
            lanes.set_sums(sums);
        }
    }
}

/// Loads the two rows of 16 that [`store_pairs`] stored. From a row of `rows` it loads the even and the odd
/// numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn wide<E: Element>(pairs: &[Lanes]) -> [__m512; 2] {
    if E::PER_UNIT == 2 {
        let (units, high) = (pairs[0].units(), _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
        [
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(units)),
            _mm512_castsi512_ps(_mm512_and_si512(units, high)),
        ]
    } else {
        [pairs[0].sums(), pairs[1].sums()]
    }
}

/// The indices 0, 16, 1, 17, ...
#[inline]
#[target_feature(enable = "avx512f")]
fn interleave() -> __m512i {
    let low = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let high = _mm512_slli_epi32::<16>(_mm512_add_epi32(low, _mm512_set1_epi32(16)));
    _mm512_or_si512(low, high)
}

/// Lays out `rows` of `width` elements each as `pairs`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pairs_of_rows<E: Element>(rows: &[Lanes], width: usize, pairs: &mut [Lanes]) {
    if E::PER_UNIT == 1 {
        return pairs.copy_from_slice(rows);
    }
    let row = width / 2 / LANES;
    for (two, pairs) in rows.chunks_exact(2 * row).zip(pairs.chunks_exact_mut(2 * row)) {
        let (even, odd) = two.split_at(row);
        for ((even, odd), pairs) in even.iter().zip(odd).zip(pairs.chunks_exact_mut(2)) {
            let [low, high] = interleaved(even.units(), odd.units());
            pairs[0].set_units(low);
            pairs[1].set_units(high);
        }
    }
}

/// Returns the numbers of two rows of 32 bfloat16 alternately: the first 16 pairs, and the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn interleaved(even: __m512i, odd: __m512i) -> [__m512i; 2] {
    let low = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let low = _mm512_or_si512(low, _mm512_slli_epi32::<16>(_mm512_add_epi32(low, _mm512_set1_epi32(32))));
    let high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    [_mm512_permutex2var_epi16(even, low, odd), _mm512_permutex2var_epi16(even, high, odd)]
}

/// Lays out blocks of `block` lanes of rows, each row `units` long, as `columns`: for each unit the lanes of all rows.
#[target_feature(enable = "avx512f")]
pub(super) fn columns_of_rows(rows: &[Lanes], units: usize, block: usize, columns: &mut [Lanes]) {
    let row = units / LANES;
    let blocks = rows.chunks_exact(block * LANES * row).zip(columns.chunks_exact_mut(units * block));
    for (rows, columns) in blocks {
        for w in 0..block {
            for g in 0..row {
                let mut square = [_mm512_setzero_si512(); LANES];
                for (r, lanes) in square.iter_mut().enumerate() {
                    *lanes = rows[(w * LANES + r) * row + g].units();
                }
                for (u, lanes) in transpose(square).into_iter().enumerate() {
                    columns[(g * LANES + u) * block + w].set_units(lanes);
                }
            }
        }
    }
}

/// Lays out one block of `columns` as `rows`.
#[target_feature(enable = "avx512f")]
pub(super) fn rows_of_columns(columns: &[Lanes], units: usize, block: usize, rows: &mut [Lanes]) {
    let row = units / LANES;
    for w in 0..block {
        for g in 0..row {
            let mut square = [_mm512_setzero_si512(); LANES];
            for (u, lanes) in square.iter_mut().enumerate() {
                *lanes = columns[(g * LANES + u) * block + w].units();
            }
            for (r, lanes) in transpose(square).into_iter().enumerate() {
                rows[(w * LANES + r) * row + g].set_units(lanes);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    let mut pairs = rows;
    for k in 0..8 {
        pairs[2 * k] = _mm512_unpacklo_epi32(rows[2 * k], rows[2 * k + 1]);
        pairs[2 * k + 1] = _mm512_unpackhi_epi32(rows[2 * k], rows[2 * k + 1]);
    }
    // fours[4 k + c] holds, in each quarter q, column 4 q + c of rows 4 k .. 4 k + 4.
    let mut fours = pairs;
    for k in 0..4 {
        for c in 0..2 {
            fours[4 * k + 2 * c] = _mm512_unpacklo_epi64(pairs[4 * k + c], pairs[4 * k + 2 + c]);
            fours[4 * k + 2 * c + 1] = _mm512_unpackhi_epi64(pairs[4 * k + c], pairs[4 * k + 2 + c]);
        }
    }
    let mut columns = fours;
    for c in 0..4 {
        let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(fours[c], fours[4 + c]);
        let odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(fours[c], fours[4 + c]);
        let even_below = _mm512_shuffle_i32x4::<0b10_00_10_00>(fours[8 + c], fours[12 + c]);
        let odd_below = _mm512_shuffle_i32x4::<0b11_01_11_01>(fours[8 + c], fours[12 + c]);
        columns[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even, even_below);
        columns[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd, odd_below);
        columns[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even, even_below);
        columns[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd, odd_below);
    }
    columns
}

/// Rotates each pair (a, b) of a row to (a cos - b sin, a sin + b cos); with `is_back`, in the other
/// direction.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn rotate<E: Element>(row: &mut [Lanes], cos: &[Lanes], sin: &[Lanes], is_back: bool) {
    let sign = _mm512_set1_ps(if is_back { -1.0 } else { 1.0 });
    for ((row, cos), sin) in row.chunks_exact_mut(2 / E::PER_UNIT).zip(cos).zip(sin) {
        let (cos, sin) = (cos.sums(), _mm512_mul_ps(sin.sums(), sign));
        let [mut a, mut b] = wide::<E>(row);
        if E::PER_UNIT == 1 {
            let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (a, b) = (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
        }
        let turned_a = _mm512_fmsub_ps(a, cos, _mm512_mul_ps(b, sin));
        let turned_b = _mm512_fmadd_ps(a, sin, _mm512_mul_ps(b, cos));
        let (mut first, mut second) = (turned_a, turned_b);
        if E::PER_UNIT == 1 {
            let low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            first = _mm512_permutex2var_ps(turned_a, low, turned_b);
            second = _mm512_permutex2var_ps(turned_a, high, turned_b);
        }
        store_pairs::<E, 1>([first], [second], row);
    }
}

/// Returns 2^x for x that is not large, with a relative error of 2e-7: exactly 1 for 0, and 0 for minus infinity. The
/// polynomial approximates 2^f for f in -1/2 .. 1/2.
///
/// A result below the least normal number, 2^-126, is 0. To round it, Intel's processors stop for some hundred cycles, and half
/// of a diagonal block's scores are minus infinity: this was three quarters of the forward pass.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp2(x: __m512) -> __m512 {
    let least = _mm512_set1_ps(-126.0);
    // Also true for what is not a number, which stays what it is.
    let is_normal = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, least);
    let x = _mm512_max_ps(least, x);
    let whole = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(x);
    let f = _mm512_sub_ps(x, whole);
    let mut sum = _mm512_set1_ps(EXP2[0]);
    for coefficient in &EXP2[1..] {
        sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(*coefficient));
    }
    _mm512_maskz_scalef_ps(is_normal, sum, whole)
}

const EXP2: [f32; 6] =
    [0.001_326_472_7, 0.009_671_513, 0.055_507_336, 0.240_222_42, std::f32::consts::LN_2, 1.0];

/// The numbers that the functions below take at a time.
pub(super) const CHUNK: usize = 2 * LANES;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(numbers: &[f32; CHUNK]) -> [__m512; 2] {
    let lanes: [Lanes; 2] = bytemuck::cast(*numbers);
    [lanes[0].sums(), lanes[1].sums()]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(numbers: [__m512; 2], to: &mut [f32; CHUNK]) {
    let mut lanes = [Lanes::ZERO; 2];
    lanes[0].set_sums(numbers[0]);
    lanes[1].set_sums(numbers[1]);
    *to = bytemuck::cast(lanes);
}

/// Loads numbers in their order in memory.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn widen(numbers: &[Bf16; CHUNK]) -> [__m512; 2] {
    let halves: [__m256i; 2] = bytemuck::cast(*numbers);
    let wide = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    [wide(halves[0]), wide(halves[1])]
}

/// Rounds numbers, in their order in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn narrow_into(numbers: [__m512; 2], to: &mut [Bf16; CHUNK]) {
    let mut lanes = Lanes::ZERO;
    lanes.set_units(narrow(numbers[1], numbers[0]));
    *to = bytemuck::cast(lanes);
}

/*!
Products of large matrices in bfloat16 on the matrix unit, summed in float32.

Why not torch's product? It calls oneDNN, which reaches a third of the unit's speed, and less where the terms of a sum lie across
the rows in memory, as they do in the gradient of a weight. Here both operands are laid out for the unit first, in panels whose
tiles lie one after the other in memory, and are rounded to bfloat16 on the way. So no other operation copies them.

The second operand is laid out once, for all threads. A thread takes a block of the result. It lays out 32 rows of the first
operand at a time, and multiplies them by all panels of its block, which stay in the second cache.
Sums of more than 1,536 terms are made of parts, and the sums so far stay in the second cache too. The parts do not depend on the
number of threads, so neither does the result.
*/

use super::amx::{Amx, Region, SIDE, Square, Tiles};
use super::element::{Bf16, Element};
use super::lanes::{LANES, Lanes, store_rows};
use super::panels::{Matrix, STEP, TERMS};
use super::rows::{RowLayout, RowsMut, Shared};
use super::team;
use crate::error::Error;
use std::arch::x86_64::_mm512_add_ps;
use std::cell::RefCell;

/// The largest number of terms that are summed in one part: the panels of a block then fill 1.5 MiB.
const MOST_TERMS: usize = 256;

/// The number of terms of a part, where there are several.
const PART: usize = 256;

/// The largest number of panels of a block, of each operand.
const ROW_PANELS: usize = 8;
const COLUMN_PANELS: usize = 16;

/// The result of a product, (rows, columns).
pub enum Output<'a> {
    /// float32. The product is added to the numbers, or replaces them.
    Wide {
        /// The numbers.
        numbers: &'a mut [f32],
        /// Whether the product is added.
        adds: bool,
    },
    /// bfloat16.
    Narrow(&'a mut [Bf16]),
}

impl Output<'_> {
    fn len(&self) -> usize {
        match self {
            Output::Wide { numbers, .. } => numbers.len(),
            Output::Narrow(numbers) => numbers.len(),
        }
    }
}

/// Computes `to[i][j] = sum over k of a[i][k] b[j][k]`, with both operands rounded to bfloat16.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, threads: usize, to: Output<'_>) -> Result<(), Error> {
    let amx = check(a, b, &to)?;
    let plan = Plan::new(a, b, threads);
    let mut panels = PANELS.take();
    panels.resize(panels.len().max(plan.columns * plan.steps * STEP), Lanes::ZERO);
    let done = lay_out(plan, b, threads, &mut panels).and_then(|()| match to {
        Output::Wide { numbers, adds: true } => {
            multiply::<f32, true>(amx, plan, a, &panels, threads, numbers)
        }
        Output::Wide { numbers, .. } => multiply::<f32, false>(amx, plan, a, &panels, threads, numbers),
        Output::Narrow(numbers) => multiply::<Bf16, false>(amx, plan, a, &panels, threads, numbers),
    });
    PANELS.set(panels);
    done
}

thread_local! {
    /// The memory for the second operand's panels. A thread keeps it, because new memory costs a page fault for each 4 KiB.
    static PANELS: RefCell<Vec<Lanes>> = const { RefCell::new(Vec::new()) };
    /// The memory of a [`Worker`], likewise.
    static WORK: RefCell<Work> = const { RefCell::new(Work { rows: Vec::new(), sums: Vec::new() }) };
}

fn check(a: Matrix<'_>, b: Matrix<'_>, to: &Output<'_>) -> Result<Amx, Error> {
    let wrong = |name, value, rule| Err(Error::Option { name, value, rule });
    let Some(amx) = Amx::get() else {
        return wrong("machine", "one without AMX".to_string(), "one where amx_is_available() is true");
    };
    super::machine::check_machine()?;
    let sizes = [(a.length, a.terms, a.numbers.len()), (b.length, b.terms, b.numbers.len())];
    let fits = sizes.iter().all(|(length, terms, len)| length.checked_mul(*terms) == Some(*len) && *len > 0);
    if fits && a.terms == b.terms && a.length.checked_mul(b.length) == Some(to.len()) {
        return Ok(amx);
    }
    let value = format!("{sizes:?} and {} sums (length, terms, numbers)", to.len());
    wrong("shape", value, "two matrices with as many terms, at least one, and a place for each sum")
}

/// How a product is cut into blocks.
#[derive(Clone, Copy)]
struct Plan {
    /// Panels of the first and the second operand.
    rows: usize,
    columns: usize,
    /// The number of 32 terms: in all, and in a part.
    steps: usize,
    part: usize,
    /// Panels of a block.
    block_rows: usize,
    block_columns: usize,
}

impl Plan {
    fn new(a: Matrix<'_>, b: Matrix<'_>, threads: usize) -> Self {
        let (rows, columns, steps) = (a.panels(), b.panels(), a.terms.div_ceil(TERMS));
        let parts = if a.terms <= MOST_TERMS { 1 } else { a.terms.div_ceil(PART) };
        let block_columns = columns.div_ceil(columns.div_ceil(COLUMN_PANELS));
        let number = columns.div_ceil(block_columns);
        // At least two blocks for each thread, so that no thread waits long for the last.
        let most = ROW_PANELS.min((rows * number).div_ceil(2 * threads.max(1)));
        let block_rows = rows.div_ceil(rows.div_ceil(most.max(1)));
        Plan { rows, columns, steps, part: steps.div_ceil(parts), block_rows, block_columns }
    }

    /// The position of a panel of a part of the terms, in [`Lanes`]. The panels of a part lie one after the other.
    fn panel(&self, step: usize, panel: usize) -> std::ops::Range<usize> {
        let length = self.part.min(self.steps - step);
        let start = (step * self.columns + panel * length) * STEP;
        start..start + length * STEP
    }

    /// The blocks of the result: the first panel of rows, and of columns. Neighbours share the columns.
    fn blocks(&self) -> Vec<(usize, usize)> {
        let columns = (0..self.columns).step_by(self.block_columns);
        let rows = || (0..self.rows).step_by(self.block_rows);
        columns.flat_map(|column| rows().map(move |row| (row, column))).collect()
    }
}

/// Lays out the second operand.
#[allow(unsafe_code)]
fn lay_out(plan: Plan, b: Matrix<'_>, threads: usize, panels: &mut [Lanes]) -> Result<(), Error> {
    let mut rest = panels;
    let mut items = Vec::new();
    for step in (0..plan.steps).step_by(plan.part) {
        for panel in 0..plan.columns {
            let (first, after) = rest.split_at_mut(plan.panel(step, panel).len());
            items.push((panel, step, first));
            rest = after;
        }
    }
    team::for_each(
        threads,
        items.into_iter(),
        || (),
        |(), (panel, step, to)| {
            // SAFETY: `check` has found that the machine has the instructions.
            unsafe { b.lay_out(panel, step * TERMS, true, to) };
        },
    )
}

#[allow(unsafe_code)]
fn multiply<E: Element, const ADDS: bool>(
    amx: Amx,
    plan: Plan,
    a: Matrix<'_>,
    panels: &[Lanes],
    threads: usize,
    to: &mut [E],
) -> Result<(), Error> {
    let stride = to.len() / a.length;
    let to = Shared::new(to);
    let new_worker = || Worker::new(amx, plan);
    team::for_each(threads, plan.blocks().into_iter(), new_worker, |worker, (row, column)| {
        let (first, width) = (column * SIDE, (plan.block_columns * SIDE).min(stride - column * SIDE));
        let (start, length) = (row * SIDE, (plan.block_rows * SIDE).min(a.length - row * SIDE));
        let layout = RowLayout { start: start * stride + first, stride, length, width };
        // SAFETY: blocks have no number in common, and each is given to one thread, once.
        let mut rows = unsafe { to.rows(layout) };
        // SAFETY: `check` has found that the machine has the instructions.
        unsafe { worker.block::<E, ADDS>(plan, a, panels, (row, column), &mut rows) };
    })
}

/// The memory of a thread: a panel of the first operand, and the sums of a block.
#[derive(Default)]
struct Work {
    rows: Vec<Lanes>,
    sums: Vec<Square>,
}

struct Worker {
    region: Region,
    work: Work,
}

impl Worker {
    fn new(amx: Amx, plan: Plan) -> Self {
        let mut work = WORK.take();
        work.rows.resize(work.rows.len().max(plan.part * STEP), Lanes::ZERO);
        let squares = if plan.part < plan.steps { plan.block_rows * plan.block_columns } else { 1 };
        work.sums.resize(work.sums.len().max(squares), [Lanes::ZERO; SIDE * SIDE / LANES]);
        Worker { region: amx.region(), work }
    }

    /// Computes a block of the result.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn block<E: Element, const ADDS: bool>(
        &mut self,
        plan: Plan,
        a: Matrix<'_>,
        panels: &[Lanes],
        (row, column): (usize, usize),
        to: &mut RowsMut<'_, E>,
    ) {
        let Work { rows, sums } = &mut self.work;
        let has_parts = plan.part < plan.steps;
        let columns = column..(column + plan.block_columns).min(plan.columns);
        for step in (0..plan.steps).step_by(plan.part) {
            let depth = plan.part.min(plan.steps - step);
            let is_last = step + depth == plan.steps;
            for r in row..(row + plan.block_rows).min(plan.rows) {
                let first = &mut rows[..depth * STEP];
                a.lay_out(r, step * TERMS, false, first);
                for c in columns.clone() {
                    let number = (r - row) * plan.block_columns + c - column;
                    let sums = &mut sums[if has_parts { number } else { 0 }];
                    let second = Tiles::in_order(&panels[plan.panel(step, c)]);
                    self.region.multiply(depth, Tiles::in_order(first), second, sums, 2, step > 0);
                    if is_last {
                        write_square::<E, ADDS>(sums, (r - row) * SIDE, (c - column) * SIDE, to);
                    }
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        WORK.set(std::mem::take(&mut self.work));
    }
}

/// Writes the sums that the result has a place for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn write_square<E: Element, const ADDS: bool>(
    sums: &Square,
    row: usize,
    column: usize,
    to: &mut RowsMut<'_, E>,
) {
    let (rows, width) = to.size();
    let width = (column + SIDE).min(width);
    for (row, sums) in (row..rows).zip(sums.as_chunks::<2>().0) {
        let to = &mut to.row(row)[column..width];
        if let Some(whole) = to.first_chunk_mut::<SIDE>() {
            write_row::<E, ADDS>(sums, whole);
        } else {
            let mut padded = [E::zeroed(); SIDE];
            padded[..to.len()].copy_from_slice(to);
            write_row::<E, ADDS>(sums, &mut padded);
            to.copy_from_slice(&padded[..to.len()]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn write_row<E: Element, const ADDS: bool>(sums: &[Lanes; 2], to: &mut [E; SIDE]) {
    let (to, _) = bytemuck::cast_slice_mut::<E, u8>(to).as_chunks_mut::<64>();
    let mut lanes = [Lanes::ZERO; 2];
    if ADDS {
        for ((lanes, sums), to) in lanes.iter_mut().zip(sums).zip(&*to) {
            lanes.set_sums(_mm512_add_ps(Lanes(bytemuck::cast(*to)).sums(), sums.sums()));
        }
    } else {
        store_rows::<E, 2>([sums[0].sums(), sums[1].sums()], &mut lanes);
    }
    for (to, lanes) in to.iter_mut().zip(lanes) {
        *to = bytemuck::cast(lanes.0);
    }
}

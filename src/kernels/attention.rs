/*!
Causal self-attention with the rotation of queries and keys, and its gradients.

Why not torch's? Its kernel for CPUs makes the backward pass from products of 32 rows; and around it queries, keys, values
and their gradients are turned, copied and put together by operations that read and write all of them. Here one call goes
from the product that makes queries, keys and values to the one that takes the heads, and each head is turned, scored and
summed in the first two caches ([`super::head`]).
*/

use super::head::Workspace;
use super::lanes::{LANES, Lanes};
use super::{Element, check_machine, team};
use crate::error::Error;
use std::marker::PhantomData;
use std::ops::Range;

/// Queries, keys and values are (batch, length, 3, heads, width), outputs (batch, length, heads, width).
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Texts.
    pub batch: usize,
    /// Tokens of a text.
    pub length: usize,
    /// Heads of a token.
    pub heads: usize,
    /// Channels of a head; with a rotation an even number.
    pub width: usize,
}

/// cos and sin of each position's angles: (length, width / 2) each.
#[derive(Clone, Copy)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// Writes outputs, and for [`backward`] the logarithm to base 2 of each query's sum of exponentials: (batch, heads,
/// length).
#[allow(unsafe_code)]
pub fn forward<E: Element>(
    shape: Shape,
    qkv: &[E],
    angles: Option<Angles<'_>>,
    threads: usize,
    outputs: &mut [E],
    log_sums: &mut [f32],
) -> Result<(), Error> {
    shape.check(qkv.len(), outputs.len(), log_sums.len())?;
    let rotation = Rotation::new(shape, angles)?;
    let outputs = Shared::new(outputs);
    let log_sums = log_sums.chunks_exact_mut(shape.length);
    for_each_head(shape, threads, log_sums, |workspace: &mut Workspace<E>, text, head, log_sums| {
        let parts = [0, 1, 2].map(|part| Rows::new(qkv, shape.place(3, text, part, head)));
        // SAFETY: `for_each_head` gives each number to one thread, once, and `Shape::place` gives two heads no row in common.
        let mut outputs = unsafe { outputs.rows(shape.place(1, text, 0, head)) };
        // SAFETY: `check` looked whether the machine can.
        unsafe { workspace.forward(parts, rotation.as_ref(), &mut outputs, log_sums) };
    })
}

/// Writes the gradient of queries, keys and values, from that of the outputs; `outputs` and `log_sums` are what
/// [`forward`] gave.
#[allow(unsafe_code)]
#[allow(clippy::too_many_arguments)] // Tensors, all of them.
pub fn backward<E: Element>(
    shape: Shape,
    gradient: &[E],
    qkv: &[E],
    angles: Option<Angles<'_>>,
    outputs: &[E],
    log_sums: &[f32],
    threads: usize,
    qkv_gradient: &mut [E],
) -> Result<(), Error> {
    shape.check(qkv.len(), outputs.len(), log_sums.len())?;
    shape.check(qkv_gradient.len(), gradient.len(), log_sums.len())?;
    let rotation = Rotation::new(shape, angles)?;
    let qkv_gradient = Shared::new(qkv_gradient);
    let log_sums = log_sums.chunks_exact(shape.length);
    for_each_head(shape, threads, log_sums, |workspace: &mut Workspace<E>, text, head, log_sums| {
        let parts = [0, 1, 2].map(|part| Rows::new(qkv, shape.place(3, text, part, head)));
        let [outputs, gradient] =
            [outputs, gradient].map(|all| Rows::new(all, shape.place(1, text, 0, head)));
        // SAFETY: `for_each_head` gives each number to one thread, once, and `Shape::place` gives two heads, or two parts of
        // a head, no row in common.
        let mut gradients =
            [0, 1, 2].map(|part| unsafe { qkv_gradient.rows(shape.place(3, text, part, head)) });
        // SAFETY: `check` looked whether the machine can.
        unsafe { workspace.backward(parts, rotation.as_ref(), outputs, gradient, log_sums, &mut gradients) };
    })
}

/// Each head once, by one of the threads.
fn for_each_head<E: Element, T: Send>(
    shape: Shape,
    threads: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(&mut Workspace<E>, usize, usize, T) + Sync,
) -> Result<(), Error> {
    let workspace = || Workspace::new(shape.length, shape.width);
    team::for_each(threads, items.enumerate(), workspace, |workspace, (number, item)| {
        work(workspace, number / shape.heads, number % shape.heads, item);
    })
}

/// Where a head's rows are among all.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    stride: usize,
    length: usize,
    width: usize,
}

impl Place {
    fn row(self, number: usize) -> Range<usize> {
        assert!(number < self.length);
        let start = self.start + number * self.stride;
        start..start + self.width
    }
}

impl Shape {
    fn place(self, parts: usize, text: usize, part: usize, head: usize) -> Place {
        let row = self.heads * self.width;
        let stride = parts * row;
        let start = text * self.length * stride + part * row + head * self.width;
        Place { start, stride, length: self.length, width: self.width }
    }

    fn check(self, qkv: usize, outputs: usize, log_sums: usize) -> Result<(), Error> {
        check_machine()?;
        let product = |numbers: &[usize]| numbers.iter().try_fold(1, |all: usize, n| all.checked_mul(*n));
        let rows = product(&[self.batch, self.heads, self.length]);
        let numbers = product(&[self.batch, self.heads, self.length, self.width]);
        let all = product(&[self.batch, self.heads, self.length, self.width, 3]);
        let is_empty = numbers.is_none_or(|numbers| numbers == 0);
        if !is_empty && (all, numbers, rows) == (Some(qkv), Some(outputs), Some(log_sums)) {
            return Ok(());
        }
        Err(Error::Option {
            name: "shape",
            value: format!("{self:?} of {qkv}, {outputs} and {log_sums} numbers"),
            rule: "at least one number, and as many as it says",
        })
    }
}

/// A head's rows.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, E> {
    all: &'a [E],
    place: Place,
}

impl<'a, E> Rows<'a, E> {
    fn new(all: &'a [E], place: Place) -> Self {
        Rows { all, place }
    }

    pub(super) fn row(&self, number: usize) -> &'a [E] {
        &self.all[self.place.row(number)]
    }
}

/// What threads write into, each the rows of its heads.
struct Shared<'a, E> {
    start: *mut E,
    len: usize,
    all: PhantomData<&'a mut [E]>,
}

// SAFETY: nothing can be done with it but to take rows of it, and whoever takes them sees to it that nobody else does.
#[allow(unsafe_code)]
unsafe impl<E: Send> Sync for Shared<'_, E> {}

impl<'a, E> Shared<'a, E> {
    fn new(all: &'a mut [E]) -> Self {
        Shared { start: all.as_mut_ptr(), len: all.len(), all: PhantomData }
    }

    /// # Safety
    /// No other `RowsMut` may have a row in common with this one. (Rows of heads alternate, so that safe code cannot hand
    /// them out as slices; to gather them afterwards would read and write all of them once more.)
    #[allow(unsafe_code)]
    unsafe fn rows(&self, place: Place) -> RowsMut<'_, E> {
        assert!(place.row(place.length - 1).end <= self.len);
        RowsMut { start: self.start, place, all: PhantomData }
    }
}

/// A head's rows, of which nobody else has any.
pub(super) struct RowsMut<'a, E> {
    start: *mut E,
    place: Place,
    all: PhantomData<&'a mut [E]>,
}

impl<E> RowsMut<'_, E> {
    #[allow(unsafe_code)]
    pub(super) fn row(&mut self, number: usize) -> &mut [E] {
        let row = self.place.row(number);
        // SAFETY: it is before the place's last row, which ends within all numbers, and this is the only one who has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row.start), self.place.width) }
    }
}

/// Angles, laid out as rows of lanes.
pub(super) struct Rotation {
    cos: Vec<Lanes>,
    sin: Vec<Lanes>,
    row: usize,
}

impl Rotation {
    fn new(shape: Shape, angles: Option<Angles<'_>>) -> Result<Option<Self>, Error> {
        let Some(Angles { cos, sin }) = angles else { return Ok(None) };
        let numbers = shape.length * (shape.width / 2);
        if cos.len() != numbers || sin.len() != numbers || !shape.width.is_multiple_of(2) {
            return Err(Error::Option {
                name: "angles",
                value: format!("{} and {} numbers for {shape:?}", cos.len(), sin.len()),
                rule: "one for each position and two channels",
            });
        }
        let half = shape.width / 2;
        let row = half.div_ceil(LANES);
        let lanes = |numbers: &[f32]| {
            let mut lanes = vec![Lanes::ZERO; shape.length * row];
            for (lanes, numbers) in lanes.chunks_exact_mut(row).zip(numbers.chunks_exact(half)) {
                bytemuck::cast_slice_mut(lanes)[..half].copy_from_slice(numbers);
            }
            lanes
        };
        Ok(Some(Rotation { cos: lanes(cos), sin: lanes(sin), row }))
    }

    pub(super) fn at(&self, position: usize) -> (&[Lanes], &[Lanes]) {
        let row = position * self.row..(position + 1) * self.row;
        (&self.cos[row.clone()], &self.sin[row])
    }
}

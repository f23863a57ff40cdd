//! The kernels between matrix products, on numpy arrays of float32 and of the bits of bfloat16.

use super::error::{guarded, to_py};
use super::kernels::{InOrder, check_apart, narrow};
use crate::kernels::{Bf16, norm, squares, swiglu};
use numpy::{
    PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

type Vector<'py> = PyReadonlyArray1<'py, f32>;
type Wide<'py> = PyReadonlyArray2<'py, f32>;
type Narrow<'py> = PyReadonlyArray2<'py, u16>;
type VectorMut<'py> = PyReadwriteArray1<'py, f32>;
type WideMut<'py> = PyReadwriteArray2<'py, f32>;
type NarrowMut<'py> = PyReadwriteArray2<'py, u16>;

fn some<T: InOrder>(array: &Option<T>) -> Vec<&dyn InOrder> {
    array.iter().map(|array| array as &dyn InOrder).collect()
}

fn narrow_mut<'a>(array: &'a mut NarrowMut<'_>) -> PyResult<&'a mut [Bf16]> {
    Ok(bytemuck::cast_slice_mut(array.as_slice_mut()?))
}

/// The norm of x + branch. Arrays are (rows, width); `sums` is given if `branch` is.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub(super) fn norm_forward<'py>(
    py: Python<'py>,
    x: Wide<'py>,
    branch: Option<Narrow<'py>>,
    weight: Vector<'py>,
    eps: f32,
    threads: usize,
    mut sums: Option<WideMut<'py>>,
    mut outputs: NarrowMut<'py>,
    mut scales: VectorMut<'py>,
) -> PyResult<()> {
    guarded(|| {
        let written = [&[&outputs as &dyn InOrder, &scales], &some(&sums)[..]].concat();
        check_apart(&written, &[&[&x as &dyn InOrder, &weight], &some(&branch)[..]].concat())?;
        let branch = branch.as_ref().map(PyReadonlyArray2::as_slice).transpose()?;
        let (x, branch, weight) = (x.as_slice()?, branch.map(narrow), weight.as_slice()?);
        let sums = sums.as_mut().map(PyReadwriteArray2::as_slice_mut).transpose()?.unwrap_or_default();
        let (outputs, scales) = (narrow_mut(&mut outputs)?, scales.as_slice_mut()?);
        let (from, to) =
            (norm::Forward { x, branch, weight, eps }, norm::Normalized { sums, outputs, scales });
        py.detach(|| norm::forward(&from, threads, to)).map_err(to_py)
    })
}

/// The gradients of the norm of x + branch: of x, of the branch if it is given, and of the weight.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub(super) fn norm_backward<'py>(
    py: Python<'py>,
    gradient: Narrow<'py>,
    outer: Option<Wide<'py>>,
    sums: Wide<'py>,
    scales: Vector<'py>,
    weight: Vector<'py>,
    threads: usize,
    mut x_gradient: WideMut<'py>,
    mut branch_gradient: Option<NarrowMut<'py>>,
    mut weight_gradient: VectorMut<'py>,
) -> PyResult<()> {
    guarded(|| {
        let written =
            [&[&x_gradient as &dyn InOrder, &weight_gradient], &some(&branch_gradient)[..]].concat();
        let read: [&dyn InOrder; 4] = [&gradient, &sums, &scales, &weight];
        check_apart(&written, &[&read, &some(&outer)[..]].concat())?;
        let outer = outer.as_ref().map(PyReadonlyArray2::as_slice).transpose()?;
        let (gradient, sums) = (narrow(gradient.as_slice()?), sums.as_slice()?);
        let (scales, weight) = (scales.as_slice()?, weight.as_slice()?);
        let branch = branch_gradient.as_mut().map(narrow_mut).transpose()?.unwrap_or_default();
        let (x, weight_gradient) = (x_gradient.as_slice_mut()?, weight_gradient.as_slice_mut()?);
        let from = norm::Backward { gradient, outer, sums, scales, weight };
        let to = norm::Gradients { x, branch, weight: weight_gradient };
        py.detach(|| norm::backward(&from, threads, to)).map_err(to_py)
    })
}

/// silu(a) * b. Arrays are (2 rows, width), first the rows of a, and (rows, width).
#[pyfunction]
pub(super) fn swiglu_forward<'py>(
    py: Python<'py>,
    halves: Narrow<'py>,
    threads: usize,
    mut outputs: NarrowMut<'py>,
) -> PyResult<()> {
    guarded(|| {
        check_apart(&[&outputs], &[&halves])?;
        let width = halves.shape()[1];
        let (halves, outputs) = (narrow(halves.as_slice()?), narrow_mut(&mut outputs)?);
        py.detach(|| swiglu::forward(halves, width, threads, outputs)).map_err(to_py)
    })
}

/// The gradients of a and b side by side. Arrays are (rows, width), (2 rows, width) and (rows, 2 width).
#[pyfunction]
pub(super) fn swiglu_backward<'py>(
    py: Python<'py>,
    gradient: Narrow<'py>,
    halves: Narrow<'py>,
    threads: usize,
    mut halves_gradient: NarrowMut<'py>,
) -> PyResult<()> {
    guarded(|| {
        check_apart(&[&halves_gradient], &[&gradient, &halves])?;
        let width = halves.shape()[1];
        let (gradient, halves) = (narrow(gradient.as_slice()?), narrow(halves.as_slice()?));
        let to = narrow_mut(&mut halves_gradient)?;
        py.detach(|| swiglu::backward(gradient, halves, width, threads, to)).map_err(to_py)
    })
}

/// The sum of squares of all arrays.
#[pyfunction]
pub(super) fn sum_of_squares<'py>(
    py: Python<'py>,
    arrays: Vec<Vector<'py>>,
    threads: usize,
) -> PyResult<f64> {
    guarded(|| {
        let slices = arrays.iter().map(PyReadonlyArray1::as_slice).collect::<Result<Vec<_>, _>>()?;
        py.detach(|| squares::sum_of_squares(&slices, threads)).map_err(to_py)
    })
}

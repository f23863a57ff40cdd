//! Kernels on tensors, given as numpy arrays of float32 or of the bits of bfloat16.

use super::error::{guarded, new, to_py};
use crate::error::Error;
use crate::kernels;
use crate::kernels::product::{self, Output};
use crate::kernels::{Amx, Angles, Bf16, Matrix, Shape, attention, cross_entropy};
use numpy::ndarray::Dimension;
use numpy::{PyArrayMethods, PyReadonlyArray, PyReadwriteArray, PyUntypedArrayMethods};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyReadonlyArray4, PyReadonlyArray5};
use numpy::{PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArray3, PyReadwriteArray4, PyReadwriteArray5};
use pyo3::prelude::*;
use std::ops::Range;

type Table<'py> = PyReadonlyArray2<'py, f32>;

/// An array of float32, or of the bits of bfloat16.
#[derive(FromPyObject)]
pub(super) enum Numbers<W, N> {
    Wide(W),
    Narrow(N),
}

type Qkv<'py> = Numbers<PyReadonlyArray5<'py, f32>, PyReadonlyArray5<'py, u16>>;
type QkvMut<'py> = Numbers<PyReadwriteArray5<'py, f32>, PyReadwriteArray5<'py, u16>>;
type Heads<'py> = Numbers<PyReadonlyArray4<'py, f32>, PyReadonlyArray4<'py, u16>>;
type HeadsMut<'py> = Numbers<PyReadwriteArray4<'py, f32>, PyReadwriteArray4<'py, u16>>;
type Operand<'py> = Numbers<PyReadonlyArray2<'py, f32>, PyReadonlyArray2<'py, u16>>;
type Logits<'py> = Numbers<PyReadwriteArray2<'py, f32>, PyReadwriteArray2<'py, u16>>;

/// A contiguous array. No other array can be read as a slice.
pub(super) trait InOrder {
    fn addresses(&self) -> Range<usize>;
}

impl<T: numpy::Element, D: Dimension> InOrder for PyReadonlyArray<'_, T, D> {
    fn addresses(&self) -> Range<usize> {
        let start = self.data().addr();
        start..start + self.len() * size_of::<T>()
    }
}

impl<T: numpy::Element, D: Dimension> InOrder for PyReadwriteArray<'_, T, D> {
    fn addresses(&self) -> Range<usize> {
        let start = self.data().addr();
        start..start + self.len() * size_of::<T>()
    }
}

impl<W: InOrder, N: InOrder> InOrder for Numbers<W, N> {
    fn addresses(&self) -> Range<usize> {
        match self {
            Numbers::Wide(array) => array.addresses(),
            Numbers::Narrow(array) => array.addresses(),
        }
    }
}

/// Refuses an output array that shares memory with another array. The numpy crate distinguishes arrays by the
/// object that owns their memory, but two arrays that torch makes from one tensor have two such objects.
pub(super) fn check_apart(written: &[&dyn InOrder], read: &[&dyn InOrder]) -> PyResult<()> {
    for (i, to) in written.iter().map(|array| array.addresses()).enumerate() {
        let mut others = written[i + 1..].iter().chain(read).map(|array| array.addresses());
        if others.any(|other| to.start.max(other.start) < to.end.min(other.end)) {
            return Err(to_py(Error::Option {
                name: "arrays",
                value: format!("an output at addresses {to:?}, which another array has too"),
                rule: "apart: an output needs memory of its own",
            }));
        }
    }
    Ok(())
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub(super) fn attention_forward<'py>(
    py: Python<'py>,
    qkv: Qkv<'py>,
    angles: Option<(Table<'py>, Table<'py>)>,
    reach: usize,
    form: &str,
    threads: usize,
    outputs: HeadsMut<'py>,
    mut log_sums: PyReadwriteArray3<'py, f32>,
) -> PyResult<()> {
    guarded(|| {
        check_apart(&[&outputs, &log_sums], &[&[&qkv as &dyn InOrder], &tables(&angles)[..]].concat())?;
        let (angles, amx, log_sums) = (slices(&angles)?, unit(form)?, log_sums.as_slice_mut()?);
        match (qkv, outputs) {
            (Numbers::Wide(qkv), Numbers::Wide(mut outputs)) => {
                let (shape, qkv, outputs) =
                    (shape(qkv.shape(), reach), qkv.as_slice()?, outputs.as_slice_mut()?);
                py.detach(|| attention::forward::<f32>(shape, qkv, angles, amx, threads, outputs, log_sums))
            }
            (Numbers::Narrow(qkv), Numbers::Narrow(mut outputs)) => {
                let (shape, qkv) = (shape(qkv.shape(), reach), narrow(qkv.as_slice()?));
                let outputs = bytemuck::cast_slice_mut(outputs.as_slice_mut()?);
                py.detach(|| attention::forward::<Bf16>(shape, qkv, angles, amx, threads, outputs, log_sums))
            }
            _ => return Err(mixed()),
        }
        .map_err(to_py)
    })
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // Most of them are tensors.
pub(super) fn attention_backward<'py>(
    py: Python<'py>,
    gradient: Heads<'py>,
    qkv: Qkv<'py>,
    angles: Option<(Table<'py>, Table<'py>)>,
    outputs: Heads<'py>,
    log_sums: PyReadonlyArray3<'py, f32>,
    reach: usize,
    form: &str,
    threads: usize,
    qkv_gradient: QkvMut<'py>,
) -> PyResult<()> {
    guarded(|| {
        let read: [&dyn InOrder; 4] = [&gradient, &qkv, &outputs, &log_sums];
        check_apart(&[&qkv_gradient], &[&read, &tables(&angles)[..]].concat())?;
        let (angles, amx, sums) = (slices(&angles)?, unit(form)?, log_sums.as_slice()?);
        match (gradient, qkv, outputs, qkv_gradient) {
            (Numbers::Wide(gradient), Numbers::Wide(qkv), Numbers::Wide(outputs), Numbers::Wide(mut to)) => {
                let (shape, to) = (shape(qkv.shape(), reach), to.as_slice_mut()?);
                let (gradient, qkv, outputs) = (gradient.as_slice()?, qkv.as_slice()?, outputs.as_slice()?);
                let backward = attention::backward::<f32>;
                py.detach(|| backward(shape, gradient, qkv, angles, outputs, sums, amx, threads, to))
            }
            (
                Numbers::Narrow(gradient),
                Numbers::Narrow(qkv),
                Numbers::Narrow(outputs),
                Numbers::Narrow(mut to),
            ) => {
                let (shape, to) = (shape(qkv.shape(), reach), bytemuck::cast_slice_mut(to.as_slice_mut()?));
                let (gradient, qkv) = (narrow(gradient.as_slice()?), narrow(qkv.as_slice()?));
                let (outputs, backward) = (narrow(outputs.as_slice()?), attention::backward::<Bf16>);
                py.detach(|| backward(shape, gradient, qkv, angles, outputs, sums, amx, threads, to))
            }
            _ => return Err(mixed()),
        }
        .map_err(to_py)
    })
}

/// The matrix unit, if the form needs it.
fn unit(form: &str) -> PyResult<Option<Amx>> {
    let wrong = |rule| to_py(Error::Option { name: "form", value: form.to_string(), rule });
    match form {
        "amx" => Amx::get().map(Some).ok_or_else(|| wrong("\"avx512\": amx_is_available() is false")),
        "avx512" => Ok(None),
        _ => Err(wrong("\"amx\" or \"avx512\"")),
    }
}

pub(super) fn narrow(bits: &[u16]) -> &[Bf16] {
    bytemuck::cast_slice(bits)
}

fn shape(qkv: &[usize], reach: usize) -> Shape {
    Shape { batch: qkv[0], length: qkv[1], heads: qkv[3], width: qkv[4], reach }
}

fn tables<'a>(angles: &'a Option<(Table<'_>, Table<'_>)>) -> Vec<&'a dyn InOrder> {
    angles.iter().flat_map(|(cos, sin)| [cos as &dyn InOrder, sin]).collect()
}

fn slices<'a>(angles: &'a Option<(Table<'_>, Table<'_>)>) -> PyResult<Option<Angles<'a>>> {
    let Some((cos, sin)) = angles else { return Ok(None) };
    Ok(Some(Angles { cos: cos.as_slice()?, sin: sin.as_slice()? }))
}

fn mixed() -> PyErr {
    new("OptionError", "arrays of float32 and of bfloat16 together; give all of one type")
}

#[pyfunction]
#[pyo3(name = "cross_entropy")]
pub(super) fn of_logits<'py>(
    py: Python<'py>,
    logits: Logits<'py>,
    targets: PyReadonlyArray1<'py, i64>,
    cap: Option<f32>,
    threads: usize,
    wants_gradient: bool,
    mut losses: PyReadwriteArray1<'py, f32>,
) -> PyResult<()> {
    guarded(|| {
        check_apart(&[&logits, &losses], &[&targets])?;
        let (targets, losses) = (targets.as_slice()?, losses.as_slice_mut()?);
        match logits {
            Numbers::Wide(mut logits) => {
                let logits = logits.as_slice_mut()?;
                py.detach(|| {
                    cross_entropy::cross_entropy(logits, targets, cap, threads, wants_gradient, losses)
                })
            }
            Numbers::Narrow(mut logits) => {
                let logits: &mut [Bf16] = bytemuck::cast_slice_mut(logits.as_slice_mut()?);
                py.detach(|| {
                    cross_entropy::cross_entropy(logits, targets, cap, threads, wants_gradient, losses)
                })
            }
        }
        .map_err(to_py)
    })
}

/// The product of two matrices of any type, rounded to bfloat16: `to = a b^T`, or `to += a b^T`. An operand that lies across is
/// the transpose of the array.
#[pyfunction]
#[pyo3(name = "product")]
#[allow(clippy::too_many_arguments)] // Each is a part of the product.
pub(super) fn of_matrices<'py>(
    py: Python<'py>,
    a: Operand<'py>,
    a_is_across: bool,
    b: Operand<'py>,
    b_is_across: bool,
    threads: usize,
    adds: bool,
    to: Logits<'py>,
) -> PyResult<()> {
    guarded(|| {
        check_apart(&[&to], &[&a, &b])?;
        let (a, b) = (matrix(&a, a_is_across)?, matrix(&b, b_is_across)?);
        match to {
            Numbers::Wide(mut to) => {
                check_shape(to.shape(), a, b)?;
                let to = Output::Wide { numbers: to.as_slice_mut()?, adds };
                py.detach(|| product::product(a, b, threads, to))
            }
            Numbers::Narrow(_) if adds => {
                return Err(new("OptionError", "a product is added to float32 only"));
            }
            Numbers::Narrow(mut to) => {
                check_shape(to.shape(), a, b)?;
                let to = Output::Narrow(bytemuck::cast_slice_mut(to.as_slice_mut()?));
                py.detach(|| product::product(a, b, threads, to))
            }
        }
        .map_err(to_py)
    })
}

fn matrix<'a>(array: &'a Operand<'_>, is_across: bool) -> PyResult<Matrix<'a>> {
    let (numbers, shape) = match array {
        Numbers::Wide(array) => (kernels::Numbers::Wide(array.as_slice()?), array.shape()),
        Numbers::Narrow(array) => (kernels::Numbers::Narrow(narrow(array.as_slice()?)), array.shape()),
    };
    let (length, terms) = if is_across { (shape[1], shape[0]) } else { (shape[0], shape[1]) };
    Ok(Matrix { numbers, length, terms, is_across })
}

fn check_shape(to: &[usize], a: Matrix<'_>, b: Matrix<'_>) -> PyResult<()> {
    if to == [a.length, b.length] {
        return Ok(());
    }
    Err(to_py(Error::Option {
        name: "shape",
        value: format!("{to:?} for a product of {} rows and {} columns", a.length, b.length),
        rule: "an array of that many rows and columns",
    }))
}

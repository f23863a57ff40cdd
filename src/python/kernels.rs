//! Kernels of tensors, which come as arrays: of float32, or of the bits of bfloat16.

use super::error::{new, to_py};
use crate::kernels::attention::{self, Angles, Shape};
use crate::kernels::{Bf16, Element, cross_entropy};
use numpy::{
    PyReadonlyArray1, PyReadwriteArray1, PyReadwriteArray2, PyReadwriteArray3, PyReadwriteArray4,
    PyReadwriteArray5,
};
use numpy::{PyReadonlyArray2, PyReadonlyArray3, PyReadonlyArray4, PyReadonlyArray5, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Table<'py> = PyReadonlyArray2<'py, f32>;

/// Of float32, or the bits of bfloat16.
#[derive(FromPyObject)]
pub(super) enum Numbers<W, N> {
    Wide(W),
    Narrow(N),
}

type Qkv<'py> = Numbers<PyReadonlyArray5<'py, f32>, PyReadonlyArray5<'py, u16>>;
type QkvMut<'py> = Numbers<PyReadwriteArray5<'py, f32>, PyReadwriteArray5<'py, u16>>;
type Heads<'py> = Numbers<PyReadonlyArray4<'py, f32>, PyReadonlyArray4<'py, u16>>;
type HeadsMut<'py> = Numbers<PyReadwriteArray4<'py, f32>, PyReadwriteArray4<'py, u16>>;
type Logits<'py> = Numbers<PyReadwriteArray2<'py, f32>, PyReadwriteArray2<'py, u16>>;

#[pyfunction]
pub(super) fn attention_forward<'py>(
    py: Python<'py>,
    qkv: Qkv<'py>,
    angles: Option<(Table<'py>, Table<'py>)>,
    threads: usize,
    outputs: HeadsMut<'py>,
    mut log_sums: PyReadwriteArray3<'py, f32>,
) -> PyResult<()> {
    let log_sums = log_sums.as_slice_mut()?;
    match (qkv, outputs) {
        (Numbers::Wide(qkv), Numbers::Wide(mut outputs)) => {
            let shape = shape(qkv.shape());
            forward::<f32>(py, shape, qkv.as_slice()?, &angles, threads, outputs.as_slice_mut()?, log_sums)
        }
        (Numbers::Narrow(qkv), Numbers::Narrow(mut outputs)) => {
            let shape = shape(qkv.shape());
            let (qkv, outputs) = (bytemuck::cast_slice(qkv.as_slice()?), outputs.as_slice_mut()?);
            forward::<Bf16>(py, shape, qkv, &angles, threads, bytemuck::cast_slice_mut(outputs), log_sums)
        }
        _ => Err(mixed()),
    }
}

fn forward<E: Element>(
    py: Python<'_>,
    shape: Shape,
    qkv: &[E],
    angles: &Option<(Table<'_>, Table<'_>)>,
    threads: usize,
    outputs: &mut [E],
    log_sums: &mut [f32],
) -> PyResult<()> {
    let angles = slices(angles)?;
    py.detach(|| attention::forward(shape, qkv, angles, threads, outputs, log_sums)).map_err(to_py)
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // Tensors, all of them.
pub(super) fn attention_backward<'py>(
    py: Python<'py>,
    gradient: Heads<'py>,
    qkv: Qkv<'py>,
    angles: Option<(Table<'py>, Table<'py>)>,
    outputs: Heads<'py>,
    log_sums: PyReadonlyArray3<'py, f32>,
    threads: usize,
    qkv_gradient: QkvMut<'py>,
) -> PyResult<()> {
    let (angles, log_sums) = (slices(&angles)?, log_sums.as_slice()?);
    match (gradient, qkv, outputs, qkv_gradient) {
        (Numbers::Wide(gradient), Numbers::Wide(qkv), Numbers::Wide(outputs), Numbers::Wide(mut to)) => {
            let (shape, to) = (shape(qkv.shape()), to.as_slice_mut()?);
            let (gradient, qkv, outputs) = (gradient.as_slice()?, qkv.as_slice()?, outputs.as_slice()?);
            py.detach(|| {
                attention::backward::<f32>(shape, gradient, qkv, angles, outputs, log_sums, threads, to)
            })
            .map_err(to_py)
        }
        (
            Numbers::Narrow(gradient),
            Numbers::Narrow(qkv),
            Numbers::Narrow(outputs),
            Numbers::Narrow(mut to),
        ) => {
            let (shape, to) = (shape(qkv.shape()), bytemuck::cast_slice_mut(to.as_slice_mut()?));
            let [gradient, outputs] = [gradient.as_slice()?, outputs.as_slice()?].map(bytemuck::cast_slice);
            let qkv = bytemuck::cast_slice(qkv.as_slice()?);
            py.detach(|| {
                attention::backward::<Bf16>(shape, gradient, qkv, angles, outputs, log_sums, threads, to)
            })
            .map_err(to_py)
        }
        _ => Err(mixed()),
    }
}

fn shape(qkv: &[usize]) -> Shape {
    Shape { batch: qkv[0], length: qkv[1], heads: qkv[3], width: qkv[4] }
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
    threads: usize,
    wants_gradient: bool,
    mut losses: PyReadwriteArray1<'py, f32>,
) -> PyResult<()> {
    let (targets, losses) = (targets.as_slice()?, losses.as_slice_mut()?);
    match logits {
        Numbers::Wide(mut logits) => {
            let logits = logits.as_slice_mut()?;
            py.detach(|| cross_entropy::cross_entropy(logits, targets, threads, wants_gradient, losses))
        }
        Numbers::Narrow(mut logits) => {
            let logits: &mut [Bf16] = bytemuck::cast_slice_mut(logits.as_slice_mut()?);
            py.detach(|| cross_entropy::cross_entropy(logits, targets, threads, wants_gradient, losses))
        }
    }
    .map_err(to_py)
}

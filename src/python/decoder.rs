//! The logits of the next token of some texts, from weights and caches that are numpy arrays of float32 or of the bits of
//! bfloat16.

use super::error::{guarded, to_py};
use super::kernels::{InOrder, Numbers, check_apart};
use crate::decoder::{Activation, Block, Isa, Model, logits};
use crate::error::Error;
use crate::kernels::{Bf16, Element};
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyReadwriteArray5};
use pyo3::prelude::*;

type Wide<'py> = PyReadonlyArray2<'py, f32>;

/// The attributes of `bpe_lm.kernels.decoder.Block`.
#[derive(FromPyObject)]
pub(super) struct BlockArrays<'py, T: numpy::Element + 'static> {
    norm1: Option<PyReadonlyArray1<'py, f32>>,
    qkv: Vec<PyReadonlyArray2<'py, T>>,
    output: PyReadonlyArray2<'py, T>,
    norm2: Option<PyReadonlyArray1<'py, f32>>,
    up: Vec<PyReadonlyArray2<'py, T>>,
    down: PyReadonlyArray2<'py, T>,
}

/// The attributes of `bpe_lm.kernels.decoder.Model`.
#[derive(FromPyObject)]
pub(super) struct ModelArrays<'py, T: numpy::Element + 'static> {
    blocks: Vec<BlockArrays<'py, T>>,
    is_post_norm: bool,
    is_relu2: bool,
    norm_final: Option<PyReadonlyArray1<'py, f32>>,
    head: PyReadonlyArray2<'py, T>,
    angles: Option<(Wide<'py>, Wide<'py>)>,
    num_heads: usize,
    context: usize,
    eps: f32,
}

type Caches<'py, T> = (PyReadwriteArray5<'py, T>, PyReadwriteArray5<'py, T>);

#[pyfunction]
#[allow(clippy::too_many_arguments)] // All but two are tensors.
pub(super) fn next_logits<'py>(
    py: Python<'py>,
    model: Numbers<ModelArrays<'py, f32>, ModelArrays<'py, u16>>,
    caches: Numbers<Caches<'py, f32>, Caches<'py, u16>>,
    x: PyReadwriteArray2<'py, f32>,
    positions: Vec<usize>,
    threads: usize,
    logits: PyReadwriteArray2<'py, f32>,
) -> PyResult<()> {
    guarded(|| match (model, caches) {
        (Numbers::Wide(model), Numbers::Wide(caches)) => {
            run::<f32, f32>(py, &model, caches, x, &positions, threads, logits)
        }
        (Numbers::Narrow(model), Numbers::Narrow(caches)) => {
            run::<u16, Bf16>(py, &model, caches, x, &positions, threads, logits)
        }
        _ => Err(to_py(Error::Option {
            name: "arrays",
            value: "float32 and bfloat16 together".to_string(),
            rule: "of one type",
        })),
    })
}

fn run<T: numpy::Element + bytemuck::Pod + Sync, E: Element>(
    py: Python<'_>,
    arrays: &ModelArrays<'_, T>,
    (mut keys, mut values): Caches<'_, T>,
    mut x: PyReadwriteArray2<'_, f32>,
    positions: &[usize],
    threads: usize,
    mut to: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let mut written: Vec<&dyn InOrder> = vec![&keys, &values, &x, &to];
    check_apart(&written, &arrays.all())?;
    written.clear();
    let model = arrays.model::<E>()?;
    let (keys, values) =
        (bytemuck::cast_slice_mut(keys.as_slice_mut()?), bytemuck::cast_slice_mut(values.as_slice_mut()?));
    let (x, to) = (x.as_slice_mut()?, to.as_slice_mut()?);
    let isa = Isa::best().ok_or_else(|| {
        to_py(Error::Option {
            name: "machine",
            value: "one without AVX2".to_string(),
            rule: "one where decoder_is_available() is true; torch's operations do the same",
        })
    })?;
    py.detach(|| logits(isa, &model, keys, values, x, positions, threads, to)).map_err(to_py)
}

impl<'py, T: numpy::Element + bytemuck::Pod> ModelArrays<'py, T> {
    fn all(&self) -> Vec<&dyn InOrder> {
        let mut all: Vec<&dyn InOrder> = vec![&self.head];
        for block in &self.blocks {
            all.extend(block.qkv.iter().chain(&block.up).map(|matrix| matrix as &dyn InOrder));
            all.extend([&block.output as &dyn InOrder, &block.down]);
            all.extend(block.norm1.iter().chain(&block.norm2).map(|norm| norm as &dyn InOrder));
        }
        all.extend(self.norm_final.iter().map(|norm| norm as &dyn InOrder));
        all.extend(self.angles.iter().flat_map(|(cos, sin)| [cos as &dyn InOrder, sin]));
        all
    }

    fn model<E: Element>(&self) -> PyResult<Model<'_, E>> {
        let blocks = self.blocks.iter().map(BlockArrays::block).collect::<PyResult<_>>()?;
        let angles = match &self.angles {
            Some((cos, sin)) => Some((cos.as_slice()?, sin.as_slice()?)),
            None => None,
        };
        Ok(Model {
            blocks,
            is_post_norm: self.is_post_norm,
            activation: if self.is_relu2 { Activation::Relu2 } else { Activation::Silu },
            norm_final: slice(&self.norm_final)?,
            head: bytemuck::cast_slice(self.head.as_slice()?),
            angles,
            heads: self.num_heads,
            context: self.context,
            eps: self.eps,
        })
    }
}

impl<T: numpy::Element + bytemuck::Pod> BlockArrays<'_, T> {
    fn block<E: Element>(&self) -> PyResult<Block<'_, E>> {
        Ok(Block {
            norm1: slice(&self.norm1)?,
            qkv: slices(&self.qkv)?,
            output: bytemuck::cast_slice(self.output.as_slice()?),
            norm2: slice(&self.norm2)?,
            up: slices(&self.up)?,
            down: bytemuck::cast_slice(self.down.as_slice()?),
        })
    }
}

fn slice<'a>(norm: &'a Option<PyReadonlyArray1<'_, f32>>) -> PyResult<Option<&'a [f32]>> {
    Ok(match norm {
        Some(norm) => Some(norm.as_slice()?),
        None => None,
    })
}

fn slices<'a, T: numpy::Element + bytemuck::Pod, E: Element>(
    matrices: &'a [PyReadonlyArray2<'_, T>],
) -> PyResult<Vec<&'a [E]>> {
    matrices.iter().map(|matrix| Ok(bytemuck::cast_slice(matrix.as_slice()?))).collect()
}

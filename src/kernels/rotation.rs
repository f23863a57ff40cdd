/*!
The angles by which queries and keys are turned at each position.
*/

use super::lanes::{LANES, Lanes};
use super::shape::Shape;
use crate::error::Error;

/// cos and sin of each position's angles: (length, width / 2) each.
#[derive(Clone, Copy)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// Angles, laid out as rows of lanes.
pub(super) struct Rotation {
    cos: Vec<Lanes>,
    sin: Vec<Lanes>,
    row: usize,
}

impl Rotation {
    /// Lays the angles out; `None` if there are none.
    pub(super) fn new(shape: Shape, angles: Option<Angles<'_>>) -> Result<Option<Self>, Error> {
        let Some(Angles { cos, sin }) = angles else { return Ok(None) };
        let numbers = shape.length * (shape.width / 2);
        if cos.len() != numbers || sin.len() != numbers || !shape.width.is_multiple_of(2) {
            return Err(Error::Option {
                name: "angles",
                value: format!("{} and {} numbers for {shape:?}", cos.len(), sin.len()),
                rule: "one for each position and pair of channels",
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

    /// The cosines and sines of a position.
    pub(super) fn at(&self, position: usize) -> (&[Lanes], &[Lanes]) {
        let row = position * self.row..(position + 1) * self.row;
        (&self.cos[row.clone()], &self.sin[row])
    }
}

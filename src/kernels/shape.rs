/*!
The shape of attention's tensors, and where in them each head lies.
*/

use super::machine::check_machine;
use super::rows::RowLayout;
use crate::error::Error;

/// The sizes of attention's tensors. Queries, keys and values are (batch, length, 3, heads, width), outputs
/// (batch, length, heads, width).
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The number of texts.
    pub batch: usize,
    /// The number of tokens of a text.
    pub length: usize,
    /// The number of heads of a token.
    pub heads: usize,
    /// The number of channels of a head. With a rotation it is even.
    pub width: usize,
    /// How many of the last keys a query sees, with its own; 0 for all.
    pub reach: usize,
}

impl Shape {
    /// The positions of a head's rows in a tensor that holds `parts` parts of each head: queries, keys and
    /// values, or outputs alone. No two heads, and no two parts of a head, have a number in common.
    pub(super) fn rows_of(self, parts: usize, text: usize, part: usize, head: usize) -> RowLayout {
        let row = self.heads * self.width;
        let stride = parts * row;
        let start = text * self.length * stride + part * row + head * self.width;
        RowLayout { start, stride, length: self.length, width: self.width }
    }

    /// Refuses tensors of another shape, and a machine that cannot run the kernels.
    pub(super) fn check(self, qkv: usize, outputs: usize, log_sums: usize) -> Result<(), Error> {
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
            rule: "at least one number, and arrays as large as the shape",
        })
    }
}

/*!
What this crate does not open itself: tables (Parquet, Arrow), and files at an address such as s3://bucket/a.jsonl.

Why not by crates of this language? The one for Parquet takes minutes to compile and panics on damaged files, and each kind
of store has its own way to log in. The Python packages for both are what people of this field have installed. So whoever
opens a corpus may bring an [`Opener`], and this crate knows nothing but that trait.

Why a channel, and not a reader that a worker calls? A worker that waits for a network counts nothing, and cannot be
stopped. What an opener starts reads ahead, as far as the channel has room, and a worker waits for it with an eye on the
cancel flag. Dropping the channel is how the other side learns that nobody reads any more.
*/

use super::chunk::{PADDING, reserve};
use crate::error::{Cause, Error};
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::Receiver;

/// A format of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Apache Parquet.
    Parquet,
    /// Arrow's file format (Feather) or its stream format.
    Arrow,
}

/// The column of a table that has the texts.
#[derive(Clone, Debug)]
pub struct Column {
    /// The format of the table.
    pub format: TableFormat,
    /// Its name. `meta.text` is the column of that name, or else the field `text` of the column `meta`.
    pub name: String,
    /// Whether rows without a text are skipped. If not, they are an error.
    pub skips_nulls: bool,
}

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its length in bytes, if it is known.
    pub len: Option<u64>,
    /// A number that changes when the file does, such as the time of its last change.
    pub version: u64,
}

/// Opens what this crate does not.
pub trait Opener: Debug + Send + Sync {
    /// Looks at a file at an address, or at a table, of which it checks that it has the column.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    fn look(&self, path: &Path, column: Option<&Column>) -> Result<Look, Cause>;

    /// Starts to look again at a file at an address. What comes through the channel is a look.
    ///
    /// # Errors
    /// The reason why it cannot be looked at, if that is known at once.
    fn look_again(&self, path: &Path) -> Result<Receiver<Delivery>, Cause>;

    /// Starts to read. Bytes come from a file's beginning, the rows of a table from the given one on.
    ///
    /// # Errors
    /// The reason why it cannot be read, if that is known at once.
    fn open(&self, path: &Path, column: Option<&Column>, first_row: u64)
    -> Result<Receiver<Delivery>, Cause>;
}

/// What comes through the channel of an opener. After an error or the end nothing follows.
pub type Delivery = Result<Delivered, Cause>;

/// What an opener has read.
pub enum Delivered {
    /// What is known of a file.
    Look(Look),
    /// The next bytes of a file.
    Bytes(Vec<u8>),
    /// The next rows of a table.
    Rows(Rows),
    /// The end.
    End,
}

impl Delivered {
    /// The error for one thing in place of another.
    pub(super) fn in_place_of(&self, wanted: &str) -> Error {
        let found = match self {
            Delivered::Look(_) => "a look",
            Delivered::Bytes(_) => "bytes",
            Delivered::Rows(_) => "rows",
            Delivered::End => "the end",
        };
        Error::Internal(format!("an opener delivered {found} in place of {wanted}"))
    }
}

/// Some rows of a table. Rows without a text are left out, and counted.
pub struct Rows {
    /// The texts and the padding of a chunk.
    pub(super) bytes: Vec<u8>,
    /// The place of each text in `bytes`, and the number of its row.
    pub(super) texts: Vec<(Range<usize>, u64)>,
    /// The number of the row that follows the last one.
    pub(super) end: u64,
    pub(super) input_bytes: u64,
    pub(super) skipped: u64,
}

impl Rows {
    /// A buffer for `len` bytes of texts.
    pub fn buffer(len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        reserve(&mut bytes, len);
        bytes
    }

    /// Rows from number `first` on. Their texts lie one after another in a [`Rows::buffer`], and row i ends at `ends[i]`.
    /// The rows in `nulls`, ascending and counted from `first`, have no text. `input_bytes` is the rows' share of the
    /// file. `None` if the numbers contradict each other.
    pub fn new(
        bytes: Vec<u8>,
        ends: &[usize],
        first: u64,
        nulls: &[usize],
        input_bytes: u64,
    ) -> Option<Self> {
        let (mut start, mut nulls_left, mut texts) = (0, nulls, Vec::with_capacity(ends.len()));
        for (number, &end) in ends.iter().enumerate() {
            if end < start {
                return None;
            }
            match nulls_left.split_first() {
                Some((&null, rest)) if null == number => nulls_left = rest,
                _ => texts.push((start..end, first + number as u64)),
            }
            start = end;
        }
        let is_inside = start.checked_add(PADDING).is_some_and(|end| end <= bytes.len());
        let (end, skipped) = (first + ends.len() as u64, nulls.len() as u64);
        (is_inside && nulls_left.is_empty()).then_some(Rows { bytes, texts, end, input_bytes, skipped })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(ends: &[usize], nulls: &[usize]) -> Option<Rows> {
        Rows::new(Rows::buffer(5), ends, 10, nulls, 7)
    }

    #[test]
    fn rows_are_the_stretches_between_ends_without_those_that_have_no_text() {
        let found = rows(&[2, 2, 3, 5], &[0, 2]).unwrap();
        assert_eq!(found.texts, [(2..2, 11), (3..5, 13)]);
        assert_eq!((found.end, found.skipped, found.input_bytes), (14, 2, 7));
        assert_eq!(rows(&[], &[]).unwrap().texts, []);
    }

    #[test]
    fn numbers_that_contradict_each_other_are_no_rows() {
        let beyond = Rows::buffer(5).len() - PADDING + 1;
        for (ends, nulls) in
            [(&[3, 2][..], &[][..]), (&[beyond], &[]), (&[usize::MAX], &[]), (&[1], &[1]), (&[1, 2], &[1, 0])]
        {
            assert!(rows(ends, nulls).is_none(), "{ends:?} {nulls:?}");
        }
    }
}

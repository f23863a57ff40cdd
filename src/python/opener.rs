/*!
What Python opens for the core: tables (pyarrow) and addresses (fsspec).

A thread of Python reads, and puts what it has read into a [`Sink`], which waits without the interpreter's lock while the
workers have enough. The thread is a daemon, so that a network that does not answer does not keep the process from its
end. The end of the interpreter waits for the others (`sources.py`).

Why the buffers of an Arrow array by Python's buffer protocol, and not the array by Arrow's C interface? The C interface needs
`unsafe` and hands the same two buffers over. They are copied once, into a chunk, because the scanner reads a few bytes behind a
text and only a chunk has them. So the C interface would need that copy, too. (benches/record/9-past-one-machine.md)
*/

use super::error::guarded;
use crate::corpus::{
    BadLines, Column, Delivered, Delivery, Format, InputOptions, Look, Opener, Rows, TableFormat,
};
use crate::error::{Cause, Error};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The number of deliveries that may wait for the workers.
const AHEAD: usize = 4;

/// Opens by `bpe_lm.tokenizer.sources`.
#[derive(Debug)]
pub(super) struct PyOpener;

/// Opens a table that is an object of Python.
#[derive(Debug)]
pub(super) struct GivenTable(pub Py<PyAny>);

/// The options for reading files, which Python opens where the core does not.
pub(super) fn input_options(
    format: &str,
    json_field: String,
    bad_lines: &str,
) -> Result<InputOptions, Error> {
    Ok(InputOptions {
        format: Format::new(format)?,
        json_field,
        bad_lines: BadLines::new(bad_lines)?,
        opener: Some(Arc::new(PyOpener)),
    })
}

/// The arguments of Python's functions for a column: the format, the name, and whether rows without a text are skipped.
type PyColumn<'a> = (&'static str, &'a str, bool);

fn py_column(column: &Column) -> PyColumn<'_> {
    let format = match column.format {
        TableFormat::Parquet => "parquet",
        TableFormat::Arrow => "arrow",
    };
    (format, &column.name, column.skips_nulls)
}

impl Opener for PyOpener {
    fn look(&self, path: &Path, column: Option<&Column>) -> Result<Look, Cause> {
        let look = |py: Python<'_>| {
            let found = sources(py)?.call_method1("look", (as_text(py, path)?, column.map(py_column)))?;
            let (len, version) = found.extract()?;
            Ok(Look { len, version })
        };
        Python::attach(look).map_err(|error: PyErr| error.into())
    }

    fn look_again(&self, path: &Path) -> Result<Receiver<Delivery>, Cause> {
        start(|py, sink| sources(py)?.call_method1("start_look", (sink, as_text(py, path)?)))
    }

    fn open(
        &self,
        path: &Path,
        column: Option<&Column>,
        first_row: u64,
    ) -> Result<Receiver<Delivery>, Cause> {
        start(|py, sink| {
            sources(py)?.call_method1("start", (sink, as_text(py, path)?, column.map(py_column), first_row))
        })
    }
}

impl Opener for GivenTable {
    fn look(&self, path: &Path, _: Option<&Column>) -> Result<Look, Cause> {
        Err(format!("{} is not looked at", path.display()).into())
    }

    fn look_again(&self, path: &Path) -> Result<Receiver<Delivery>, Cause> {
        Err(format!("{} is not looked at", path.display()).into())
    }

    fn open(&self, _: &Path, column: Option<&Column>, _: u64) -> Result<Receiver<Delivery>, Cause> {
        start(|py, sink| {
            sources(py)?.call_method1("start_given", (sink, self.0.bind(py), column.map(py_column)))
        })
    }
}

fn sources(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("bpe_lm.tokenizer.sources")
}

/// The path as a str. A pathlib.Path would drop a slash of an address.
fn as_text<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyAny>> {
    Ok(path.as_os_str().into_pyobject(py)?.into_any())
}

/// Starts a thread of Python that fills a sink.
fn start(
    begin: impl for<'py> FnOnce(Python<'py>, Bound<'py, Sink>) -> PyResult<Bound<'py, PyAny>>,
) -> Result<Receiver<Delivery>, Cause> {
    let (sender, receiver) = sync_channel(AHEAD);
    Python::attach(|py| Bound::new(py, Sink { sender }).and_then(|sink| begin(py, sink)).map(drop))?;
    Ok(receiver)
}

/// Where a thread of Python puts what it reads.
#[pyclass(module = "bpe_lm._core", frozen)]
pub(super) struct Sink {
    sender: SyncSender<Delivery>,
}

#[pymethods]
impl Sink {
    /// Puts the length of a file, and the number that changes when the file does. Returns whether anybody waits for it.
    fn put_look(&self, py: Python<'_>, len: Option<u64>, version: u64) -> PyResult<bool> {
        guarded(|| Ok(self.put(py, Ok(Delivered::Look(Look { len, version })))))
    }

    /// Puts the next bytes of a file. Returns whether anybody still reads.
    fn put_bytes(&self, py: Python<'_>, bytes: &Bound<'_, PyBytes>) -> PyResult<bool> {
        guarded(|| Ok(self.put(py, Ok(Delivered::Bytes(bytes.as_bytes().to_vec())))))
    }

    /// Puts rows of a table from number `first` on. `data` has their texts. `offsets` has `width` bytes for each border
    /// between two texts, of which the first one is the beginning of `data`. Returns whether anybody still reads.
    #[allow(clippy::too_many_arguments)] // They are the parts of an Arrow array.
    fn put_rows(
        &self,
        py: Python<'_>,
        data: PyBuffer<u8>,
        offsets: PyBuffer<u8>,
        width: usize,
        first: u64,
        nulls: Vec<usize>,
        input_bytes: u64,
    ) -> PyResult<bool> {
        guarded(|| {
            let mut bytes = Rows::buffer(data.len_bytes());
            data.copy_to_slice(py, &mut bytes[..data.len_bytes()])?;
            let ends = ends(&offsets.to_vec(py)?, width, data.len_bytes());
            let rows = ends.and_then(|ends| Rows::new(bytes, &ends, first, &nulls, input_bytes));
            let damaged = || PyValueError::new_err("the offsets of the texts contradict each other");
            Ok(self.put(py, Ok(Delivered::Rows(rows.ok_or_else(damaged)?))))
        })
    }

    /// Tells that everything was put.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            self.put(py, Ok(Delivered::End));
            Ok(())
        })
    }

    /// Tells that reading failed.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            self.put(py, Err(PyErr::from_value(error).into()));
            Ok(())
        })
    }
}

impl Sink {
    fn put(&self, py: Python<'_>, delivery: Delivery) -> bool {
        py.detach(|| self.sender.send(delivery).is_ok())
    }
}

/// The ends of texts in the data, from offsets of 4 or 8 bytes. `None` if they are not those of the data.
fn ends(offsets: &[u8], width: usize, len: usize) -> Option<Vec<usize>> {
    let offset = |bytes: &[u8]| match width {
        4 => usize::try_from(i32::from_le_bytes(bytes.try_into().ok()?)).ok(),
        _ => usize::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok(),
    };
    let mut offsets = offsets.chunks(width);
    let start = offset(offsets.next()?)?;
    let ends: Vec<usize> = offsets.map(|bytes| offset(bytes)?.checked_sub(start)).collect::<Option<_>>()?;
    (ends.last().copied().unwrap_or(0) == len).then_some(ends)
}

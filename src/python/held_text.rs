/*!
The text argument of a call: a str or bytes whose content can be read without the interpreter's lock.
*/

use super::convert::wrong_type;
use super::error::new;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::PyString;

/// A text that stays at its address while the interpreter's lock is not held.
pub(super) enum Text {
    Str(PyBackedStr),
    Bytes(PyBackedBytes),
}

impl Text {
    pub fn new(text: Bound<'_, PyAny>) -> PyResult<Self> {
        let py = text.py();
        match text.cast_into::<PyString>() {
            Ok(text) => PyBackedStr::try_from(text).map(Text::Str).map_err(|error| {
                if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
                    return error; // No memory for a copy as UTF-8.
                }
                let remedy = "encode it to bytes yourself, with errors=\"replace\" or \"surrogatepass\"";
                new("TextError", &format!("a text is not valid Unicode: {error}; {remedy}"))
            }),
            Err(error) => {
                let other = error.into_inner();
                other.extract().map(Text::Bytes).map_err(|_| wrong_type("a text", &other, "str or bytes"))
            }
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Text::Str(text) => text.as_bytes(),
            Text::Bytes(text) => text,
        }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/*!
Reading a tokenizer's files as text or JSON.
*/

use crate::error::Error;
use crate::json;
use crate::output::kind_of;
use std::path::Path;

/// Reads a file of UTF-8. What is not a file is refused: opening a pipe waits for its other end, and a device may never end.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    if let Ok(kind) = std::fs::metadata(path).map(|found| found.file_type())
        && !kind.is_file()
        && !kind.is_dir()
    {
        return Err(Error::format(path, format!("is {}, not a file", kind_of(kind))));
    }
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::format(
            path,
            format!("byte {} is not UTF-8; is it a tokenizer file?", error.utf8_error().valid_up_to()),
        )
    })
}

/// Reads a JSON file.
pub(super) fn read_json(path: &Path) -> Result<serde_json::Value, Error> {
    json::parse(&read_text(path)?).map_err(|reason| Error::format(path, reason))
}

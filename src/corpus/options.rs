/*!
The options for reading files: their format, and how JSON lines are handled.
*/

use super::opener::{Column, Opener, TableFormat};
use crate::error::Error;
use std::sync::Arc;

/// The options for reading files. Compression needs no option, because it is detected from a file's first
/// bytes.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// The format of the files.
    pub format: Format,
    /// The field of a JSON object, or the column of a table, that holds the text. `meta.text` is the field of that name, or
    /// else the field `text` of the object in the field `meta`.
    pub json_field: String,
    /// What to do with a line of JSON, or a row of a table, that has no such text.
    pub bad_lines: BadLines,
    /// What opens tables and addresses. Without it they are refused.
    pub opener: Option<Arc<dyn Opener>>,
}

impl Default for InputOptions {
    fn default() -> Self {
        InputOptions {
            format: Format::ByName,
            json_field: "text".to_owned(),
            bad_lines: BadLines::Refuse,
            opener: None,
        }
    }
}

impl InputOptions {
    /// The column that has the texts of a table.
    pub(super) fn column(&self, format: TableFormat) -> Column {
        Column { format, name: self.json_field.clone(), skips_nulls: self.bad_lines == BadLines::Skip }
    }
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines if its name ends in `.jsonl`, `.ndjson` or `.json` (with or without `.gz`, `.zst` or
    /// `.zstd` after it), a table if it ends in `.parquet`, `.arrow` or `.feather`, else text. A file whose first bytes
    /// belong to another format is an error.
    ByName,
    /// One text, whatever its first bytes are.
    Text,
    /// One JSON object per line, each with a text.
    Jsonl,
    /// A table with a text in each row.
    Table(TableFormat),
}

impl Format {
    /// Reads the name `"auto"`, `"text"`, `"jsonl"`, `"parquet"` or `"arrow"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Format::ByName),
            "text" => Ok(Format::Text),
            "jsonl" => Ok(Format::Jsonl),
            "parquet" => Ok(Format::Table(TableFormat::Parquet)),
            "arrow" => Ok(Format::Table(TableFormat::Arrow)),
            _ => Err(Error::Option {
                name: "input_format",
                value: format!("{name:?}"),
                rule: "auto, text, jsonl, parquet or arrow",
            }),
        }
    }
}

/// What to do with a bad line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// Stop with an error.
    Refuse,
    /// Count it ([`Corpus::skipped_lines`](super::Corpus::skipped_lines)) and leave it out.
    Skip,
}

impl BadLines {
    /// Reads the name `"error"` or `"skip"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "error" => Ok(BadLines::Refuse),
            "skip" => Ok(BadLines::Skip),
            _ => Err(Error::Option { name: "bad_lines", value: format!("{name:?}"), rule: "error or skip" }),
        }
    }
}

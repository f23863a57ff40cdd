/*!
The content that a file's name promises: text, JSON lines or a table, and the compression.
*/

use super::compression::Compression;
use super::opener::TableFormat;
use super::options::Format;
use crate::error::is_address;
use std::path::Path;

/// The endings of a file's name. Upper and lower case are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub ending: Ending,
    /// The compression that .gz, .zst or .zstd promises.
    pub compression: Option<Compression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Txt,
    Json,
    JsonLines,
    Table(TableFormat),
    Other,
}

/// How the content of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Lines,
    Table(TableFormat),
}

impl Name {
    /// Reads the endings of a name, or of an address up to its question mark.
    pub fn of(path: &Path) -> Self {
        let address = path.to_str().filter(|_| is_address(path)).and_then(|path| path.split('?').next());
        let path = address.map_or(path, Path::new);
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let (name, compression) = match name.rsplit_once('.') {
            Some((name, "gz")) => (name, Some(Compression::Gzip)),
            Some((name, "zst" | "zstd")) => (name, Some(Compression::Zstd)),
            _ => (name.as_str(), None),
        };
        let ending = match name.rsplit_once('.') {
            Some((_, "txt")) => Ending::Txt,
            Some((_, "json")) => Ending::Json,
            Some((_, "jsonl" | "ndjson")) => Ending::JsonLines,
            Some((_, "parquet")) => Ending::Table(TableFormat::Parquet),
            Some((_, "arrow" | "feather")) => Ending::Table(TableFormat::Arrow),
            _ => Ending::Other,
        };
        Name { ending, compression }
    }

    /// How the file is read. A table is never compressed as a whole.
    pub fn content(self, format: Format) -> Content {
        match (format, self.ending) {
            (Format::ByName, Ending::Json | Ending::JsonLines) | (Format::Jsonl, _) => Content::Lines,
            (Format::ByName, Ending::Table(table)) if self.compression.is_none() => Content::Table(table),
            (Format::ByName | Format::Text, _) => Content::Text,
            (Format::Table(table), _) => Content::Table(table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_holds_in_letters_of_either_case() {
        let content = |name: &str| Name::of(name.as_ref()).content(Format::ByName);
        for name in ["a.jsonl", "a/b.JSON", "X.JSONL.GZ", "x.ndjson.zstd", "x.json.zst", "..json"] {
            assert_eq!(content(name), Content::Lines, "{name}");
        }
        for name in
            ["a.txt", "jsonl", "a.jsonl.txt", "a.json.bak", "json.gz", "x.jsonl.gz.gz", "a.parquet.gz", ""]
        {
            assert_eq!(content(name), Content::Text, "{name}");
        }
        for name in ["a.parquet", "s3://b/c.PARQUET", "https://h/a.parquet?key=a/b.txt", "a.jsonl.parquet"] {
            assert_eq!(content(name), Content::Table(TableFormat::Parquet), "{name}");
        }
        for name in ["a.arrow", "b.feather"] {
            assert_eq!(content(name), Content::Table(TableFormat::Arrow), "{name}");
        }
        assert_eq!(content("https://h/a.txt?b=c.jsonl"), Content::Text);
        assert_eq!(content("a.txt?b=c.jsonl"), Content::Lines);
        let compression = |name: &str| Name::of(name.as_ref()).compression;
        assert_eq!(compression("a.GZ"), Some(Compression::Gzip));
        assert_eq!(compression("a.txt.zstd"), Some(Compression::Zstd));
        assert_eq!(compression("gz"), None);
    }
}

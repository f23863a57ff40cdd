/*!
The content that a file's name promises: JSON lines or text, and the compression.
*/

use super::compression::Compression;
use super::options::Format;
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
    Other,
}

impl Name {
    /// Reads the endings of a name.
    pub fn of(path: &Path) -> Self {
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
            _ => Ending::Other,
        };
        Name { ending, compression }
    }

    /// Whether the file is read as JSON lines.
    pub fn is_jsonl(self, format: Format) -> bool {
        match format {
            Format::ByName => matches!(self.ending, Ending::Json | Ending::JsonLines),
            Format::Text => false,
            Format::Jsonl => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_holds_in_letters_of_either_case() {
        let is_jsonl = |name: &str| Name::of(name.as_ref()).is_jsonl(Format::ByName);
        for name in ["a.jsonl", "a/b.JSON", "X.JSONL.GZ", "x.ndjson.zstd", "x.json.zst", "..json"] {
            assert!(is_jsonl(name), "{name}");
        }
        for name in ["a.txt", "jsonl", "a.jsonl.txt", "a.json.bak", "json.gz", "x.jsonl.gz.gz", ""] {
            assert!(!is_jsonl(name), "{name}");
        }
        let compression = |name: &str| Name::of(name.as_ref()).compression;
        assert_eq!(compression("a.GZ"), Some(Compression::Gzip));
        assert_eq!(compression("a.txt.zstd"), Some(Compression::Zstd));
        assert_eq!(compression("gz"), None);
    }
}

/*!
What a file holds, as its name and its first bytes say.

The name decides how a file is read ([`Name`]). The first bytes can only refuse ([`check`]): what is no text, and JSON that
would be taken as text or that is not in lines. A guess that is wrong would give a vocabulary of braces or of compressed
bytes, and nobody would see it. Files named .txt may begin like JSON; who says `text` gets the bytes as they are.
*/

use super::Format;
use super::stream::Compression;
use serde::de::IgnoredAny;
use std::ops::Range;
use std::path::Path;

/// The first bytes of a text that are looked at.
pub(super) const HEAD_BYTES: usize = 4096;
/// The byte order mark of UTF-8. It is no part of a JSON text; in a text it is three bytes like any others.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What a file's name says, in letters of either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    ending: Ending,
    /// As .gz, .zst and .zstd say.
    pub compression: Option<Compression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Txt,
    Json,
    JsonLines,
    Other,
}

impl Name {
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

/// Why a file is not read, and what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub what: &'static str,
    pub remedy: &'static str,
}

/// Refuses what is not what it is to be read as. `is_all` says whether `head` is the whole text.
pub(super) fn check(head: &[u8], is_all: bool, name: Name, format: Format) -> Result<(), Refusal> {
    if format == Format::Text {
        return Ok(());
    }
    if let Some(signature) = SIGNATURES.iter().find(|signature| signature.is_in(head)) {
        return Err(signature.refusal);
    }
    let head = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
    if name.is_jsonl(format) { check_lines(head, is_all, name) } else { check_text(head, name) }
}

fn check_text(head: &[u8], name: Name) -> Result<(), Refusal> {
    let begins = |text: &[u8], first: &[u8]| {
        first.iter().try_fold(text, |text, byte| text.trim_ascii_start().strip_prefix(&[*byte])).is_some()
    };
    match name.ending {
        Ending::Txt => Ok(()),
        _ if begins(head, b"{\"") => Err(UNNAMED_LINES),
        _ if begins(head, b"[{\"") => Err(ARRAY),
        _ => Ok(()),
    }
}

fn check_lines(head: &[u8], is_all: bool, name: Name) -> Result<(), Refusal> {
    let end = memchr::memchr(b'\n', head);
    let (line, rest) = head.split_at(end.unwrap_or(head.len()));
    let parsed = serde_json::from_slice::<IgnoredAny>(line);
    let is_alone = is_all && rest.trim_ascii().is_empty();
    // A line that is longer than the head may still be whole.
    let is_cut_off = end.is_some() && parsed.as_ref().is_err_and(serde_json::Error::is_eof);
    match line.first() {
        Some(b'[') if is_alone || parsed.is_err() => Err(ARRAY),
        Some(b'{') if is_cut_off && (name.ending == Ending::Json || line.trim_ascii() == b"{") => Err(OBJECT),
        _ => Ok(()),
    }
}

/// Whether a text has so many NUL bytes that it is hardly one.
pub(super) fn has_many_nuls(head: &[u8]) -> bool {
    let nuls = memchr::memchr_iter(0, head).count();
    nuls >= 16 && nuls > head.len() / 16
}

const UNNAMED_LINES: Refusal = Refusal {
    what: "JSON by its first bytes, and has no name that says so",
    remedy: "have a text taken from each line (--input-format jsonl, input_format=\"jsonl\")",
};
const ARRAY: Refusal = Refusal {
    what: "one JSON array, not JSON lines",
    remedy: "write each element as a line of its own (jq -c '.[]')",
};
const OBJECT: Refusal = Refusal {
    what: "one JSON object over several lines, not JSON lines",
    remedy: "write each object as one line (jq -c .)",
};

struct Signature {
    offset: usize,
    bytes: &'static [u8],
    /// What are zeros besides.
    zeros: Range<usize>,
    refusal: Refusal,
}

impl Signature {
    fn is_in(&self, head: &[u8]) -> bool {
        let is_zero = |zeros: &[u8]| zeros.iter().all(|&byte| byte == 0);
        head.get(self.offset..).is_some_and(|head| head.starts_with(self.bytes))
            && head.get(self.zeros.clone()).is_some_and(is_zero)
    }
}

const DECOMPRESS: &str = "decompress it first";
const UNPACK: &str = "take the files out of it first";
const TABLE: &str = "write its texts as JSON lines first";
const CONVERT: &str = "convert it first (iconv -t UTF-8)";
const EXTRACT: &str = "extract its text first";

const fn at(offset: usize, bytes: &'static [u8], what: &'static str, remedy: &'static str) -> Signature {
    Signature { offset, bytes, zeros: 0..0, refusal: Refusal { what, remedy } }
}

/// What begins so is no text in UTF-8. UTF-32 comes before UTF-16, whose mark it begins with.
const SIGNATURES: [Signature; 31] = [
    at(0, b"\xFD7zXZ\0", "xz data", "decompress it first (xz -d)"),
    at(4, b"1AY&SY", "bzip2 data", "decompress it first (bzip2 -d)"),
    at(4, b"\x17\x72\x45\x38\x50\x90", "bzip2 data", "decompress it first (bzip2 -d)"),
    at(0, b"\x1F\x8B\x08", "gzip data in compressed data", DECOMPRESS),
    at(0, b"\x28\xB5\x2F\xFD", "zstd data in compressed data", DECOMPRESS),
    at(0, b"\x04\x22\x4D\x18", "lz4 data", "decompress it first (lz4 -d)"),
    at(0, b"\x1F\x9D", "data of compress", "decompress it first (gzip -d)"),
    at(0, b"\xFF\x06\0\0sNaPpY", "snappy data", DECOMPRESS),
    at(0, b"\x89LZO\0", "lzop data", DECOMPRESS),
    at(0, b"PK\x03\x04", "a zip archive", UNPACK),
    at(0, b"PK\x05\x06", "an empty zip archive", UNPACK),
    at(0, b"7z\xBC\xAF\x27\x1C", "a 7z archive", UNPACK),
    at(0, b"Rar!\x1A\x07", "a RAR archive", UNPACK),
    at(257, b"ustar", "a tar archive", UNPACK),
    // Behind the mark comes a struct whose first field is always the first, a number.
    at(0, b"PAR1\x15", "a Parquet file", TABLE),
    // Behind the mark comes a length below 65,536; PARENTS are text.
    Signature { zeros: 6..8, ..at(0, b"PARE", "an encrypted Parquet file", TABLE) },
    at(0, b"ARROW1\0\0", "an Arrow file", TABLE),
    at(0, b"\xFF\xFF\xFF\xFF", "an Arrow stream", TABLE),
    at(0, b"FEA1", "a Feather file", TABLE),
    at(0, b"Obj\x01", "an Avro file", TABLE),
    at(0, b"SQLite format 3\0", "an SQLite database", TABLE),
    at(0, b"\x89HDF\r\n\x1A\n", "an HDF5 file", TABLE),
    at(0, b"\x93NUMPY", "a numpy array", TABLE),
    at(0, b"\x7FELF", "a program", EXTRACT),
    at(0, b"%PDF-", "a PDF file", EXTRACT),
    at(0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an Office file", EXTRACT),
    at(0, b"\x89PNG\r\n\x1A\n", "a picture", EXTRACT),
    at(0, b"\xFF\xFE\0\0", "text in UTF-32", CONVERT),
    at(0, b"\0\0\xFE\xFF", "text in UTF-32", CONVERT),
    at(0, b"\xFF\xFE", "text in UTF-16", CONVERT),
    at(0, b"\xFE\xFF", "text in UTF-16", CONVERT),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str, name: &str, format: Format) -> Option<Refusal> {
        check(head.as_bytes(), true, Name::of(name.as_ref()), format).err()
    }

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

    #[test]
    fn json_is_in_lines_under_a_name_that_says_so_or_refused() {
        let auto = Format::ByName;
        for head in ["{\"text\": 1}", "\u{FEFF} \n{ \"a", "{\n  \"a\""] {
            assert_eq!(refused(head, "a", auto), Some(UNNAMED_LINES), "{head}");
            assert_eq!(refused(head, "a.txt", auto), None);
            assert_eq!(refused(head, "a", Format::Text), None);
        }
        assert_eq!(refused("[ {\"a\"", "a.dat", auto), Some(ARRAY));
        for head in ["{text}", "[1] a footnote", "{", "", "\"{\"", "a {\"b\": 1}"] {
            assert_eq!(refused(head, "a", auto), None, "{head}");
        }
        for head in ["[{\"text\": \"a\"}]", "[\n{\"text\": \"a\"}\n]", "[1, 2]\n\n", "[\"a\",\n", "["] {
            assert_eq!(refused(head, "a.json", auto), Some(ARRAY), "{head}");
            assert_eq!(refused(head, "-", Format::Jsonl), Some(ARRAY), "{head}");
        }
        for head in ["{\n  \"text\": \"a\"\n}", "{ \n\"a\": 1}"] {
            assert_eq!(refused(head, "a.jsonl", auto), Some(OBJECT), "{head}");
        }
        assert_eq!(refused("{\"a\": 1,\n\"b\": 2}", "a.json", auto), Some(OBJECT));
        for head in
            ["{\"a\": 1,\n{\"text\": 2}", "[1]\n{\"text\": \"a\"}", "{\"text\": \"a", "text", "\n\n", ""]
        {
            assert_eq!(refused(head, "a.jsonl", auto), None, "{head}");
        }
        let long = format!("{{\"text\": \"{}", "a".repeat(HEAD_BYTES));
        assert_eq!(check(&long.as_bytes()[..HEAD_BYTES], false, Name::of("a.json".as_ref()), auto), Ok(()));
    }

    #[test]
    fn what_merely_resembles_a_signature_is_text() {
        for text in [
            "BZh9 and more",
            "PAR1 of the file",
            "PK and so on",
            "7zip",
            "FEAST",
            "Object",
            "%PDF",
            "PARENTS",
        ] {
            assert_eq!(refused(text, "a", Format::ByName), None, "{text}");
        }
        assert!(refused("PARE\u{60}\0\0\0", "a", Format::ByName).is_some());
    }

    #[test]
    fn a_few_nul_bytes_are_no_cause_for_a_note() {
        assert!(!has_many_nuls(b"\0\0\0"));
        assert!(!has_many_nuls(&b"a name that find writes\0".repeat(100)));
        assert!(has_many_nuls(&b"t\0e\0x\0t\0".repeat(10)));
    }
}

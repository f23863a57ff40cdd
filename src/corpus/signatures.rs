/*!
The first bytes of formats that are not text, with the remedy for a file of each format.
*/

use std::ops::Range;

/// The reason why a file is refused as text, and the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub what: &'static str,
    pub remedy: &'static str,
}

/// Looks up the first bytes among the known formats that are not text.
pub(super) fn refusal(head: &[u8]) -> Option<Refusal> {
    SIGNATURES.iter().find(|signature| signature.is_in(head)).map(|signature| signature.refusal)
}

/// Bytes at a place in a file.
struct Signature {
    offset: usize,
    bytes: &'static [u8],
    /// A range of bytes that must be zeros too.
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
const PARQUET: &str =
    "read it as Parquet, uncompressed and through Python (--input-format parquet, input_format=\"parquet\")";
const ARROW: &str =
    "read it as Arrow, uncompressed and through Python (--input-format arrow, input_format=\"arrow\")";
const CONVERT: &str = "convert it first (iconv -t UTF-8)";
const EXTRACT: &str = "extract its text first";

const fn at(offset: usize, bytes: &'static [u8], what: &'static str, remedy: &'static str) -> Signature {
    Signature { offset, bytes, zeros: 0..0, refusal: Refusal { what, remedy } }
}

/// The known signatures. No text in UTF-8 begins with any of them. UTF-32 comes before UTF-16, because its
/// mark begins with the mark of UTF-16.
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
    // A struct follows the mark. Its first field is always field 1, a number.
    at(0, b"PAR1\x15", "a Parquet file", PARQUET),
    // A length below 65,536 follows the mark, so two of its bytes are zeros. "PARENTS" is text.
    Signature { zeros: 6..8, ..at(0, b"PARE", "an encrypted Parquet file", TABLE) },
    at(0, b"ARROW1\0\0", "an Arrow file", ARROW),
    at(0, b"\xFF\xFF\xFF\xFF", "an Arrow stream", ARROW),
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

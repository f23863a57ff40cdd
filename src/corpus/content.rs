/*!
A check of a file's first bytes against the format that the file is read as.

The name decides how a file is read (`name.rs`). The first bytes can only lead to a refusal ([`check`]): of
data that is not text, of JSON that would be read as text, and of JSON that is not in lines. A wrong guess
would give a vocabulary of braces or of compressed bytes, and nobody would see it. Files named .txt may begin
like JSON; with the format `text` the bytes are read as they are.
*/

use super::name::{Content, Ending, Name};
use super::options::Format;
use super::signatures::{self, Refusal};
use serde::de::IgnoredAny;

/// The number of bytes at a text's beginning that are checked.
pub(super) const HEAD_BYTES: usize = 4096;
/// The byte order mark of UTF-8. It is not part of a JSON text; in other text its three bytes are ordinary
/// bytes.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Refuses a text whose first bytes, `head`, contradict the format that the file is read as. `is_all` says
/// whether `head` is the whole text.
pub(super) fn check(head: &[u8], is_all: bool, name: Name, format: Format) -> Result<(), Refusal> {
    if format == Format::Text {
        return Ok(());
    }
    if let Some(refusal) = signatures::refusal(head) {
        return Err(refusal);
    }
    let head = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
    if name.content(format) == Content::Lines {
        check_lines(head, is_all, name)
    } else {
        check_text(head, name)
    }
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

/// Whether the first bytes contain too many NUL bytes to be plausible text.
pub(super) fn has_many_nuls(head: &[u8]) -> bool {
    let nuls = memchr::memchr_iter(0, head).count();
    nuls >= 16 && nuls > head.len() / 16
}

const UNNAMED_LINES: Refusal = Refusal {
    what: "JSON by its first bytes, but its name does not say so",
    remedy: "take a text from each line (--input-format jsonl, input_format=\"jsonl\")",
};
const ARRAY: Refusal = Refusal {
    what: "one JSON array, not JSON lines",
    remedy: "write each element as a line of its own (jq -c '.[]')",
};
const OBJECT: Refusal = Refusal {
    what: "one JSON object over several lines, not JSON lines",
    remedy: "write each object as one line (jq -c .)",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str, name: &str, format: Format) -> Option<Refusal> {
        check(head.as_bytes(), true, Name::of(name.as_ref()), format).err()
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

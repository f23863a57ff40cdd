/*!
JSON lines: each line is an object with a text in one field.

Why not parse each line into a value? Most of the value would be thrown away. The parser knows the name of the
one field that is wanted. It checks the syntax of all other fields and stores none of them. Bytes in the text
that are not UTF-8 stay as they are, as in any other text. An escaped surrogate without its other half becomes
three bytes, which are not UTF-8 either.

A line that has only whitespace is skipped, and so is a byte order mark before a line. Every other line
without such a text is bad: it is not JSON, not an object, has no such field, or the field is not a string.
*/

use super::content::BOM;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Calls `visit` for each line with its offset in `lines`, its number from 0, and its text or the reason why
/// it is bad.
pub(super) fn for_each_line<E>(
    lines: &[u8],
    field: &str,
    mut visit: impl FnMut(usize, u64, Result<&[u8], String>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut start, mut text) = (0, Vec::new());
    for (number, line) in (0..).zip(lines.split_inclusive(|&byte| byte == b'\n')) {
        let json = line.strip_prefix(BOM).unwrap_or(line);
        if !json.trim_ascii().is_empty() {
            let found = text_of(json, field, &mut text);
            visit(start, number, found.map(|()| &text[..]))?;
        }
        start += line.len();
    }
    Ok(())
}

fn text_of(line: &[u8], field: &str, text: &mut Vec<u8>) -> Result<(), String> {
    let parsed = parse(line, field, text).or_else(|error| match without_constants(line) {
        Some(line) => parse(&line, field, text),
        None => Err(error),
    });
    match parsed {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("there is no field {field:?} (--json-field, json_field)")),
        Err(error) => Err(error.to_string().replace(" at line 1 column ", " at column ")),
    }
}

/// Reads the field into `text`. Returns whether there is such a field.
fn parse(line: &[u8], field: &str, text: &mut Vec<u8>) -> Result<bool, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(line);
    let is_found = parser.deserialize_map(Object { field, path: field, text })?;
    parser.end()?;
    Ok(is_found)
}

/// Replaces NaN and Infinity in a line by numbers; `None` if it has neither. Python's `json.dumps` writes
/// these words, but they are not JSON. Each number is as long as the word that it replaces, so that columns
/// in errors stay right.
fn without_constants(line: &[u8]) -> Option<Vec<u8>> {
    let mut mended = line.to_vec();
    let (mut at, mut is_in_string, mut is_mended) = (0, false, false);
    while at < line.len() {
        match line[at] {
            b'"' => is_in_string = !is_in_string,
            b'\\' if is_in_string => at += 1,
            b'N' | b'I' if !is_in_string => {
                if let Some((word, number)) = CONSTANTS.iter().find(|(word, _)| is_value(line, at, word)) {
                    mended[at..at + word.len()].copy_from_slice(number);
                    is_mended = true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    is_mended.then_some(mended)
}

const CONSTANTS: [(&[u8], &[u8]); 2] = [(b"NaN", b"0.0"), (b"Infinity", b"0.000000")];

/// Whether a word is at a position where JSON allows a value.
fn is_value(line: &[u8], at: usize, word: &[u8]) -> bool {
    let is_between = |byte: &u8| byte.is_ascii_whitespace() || b",:[]}".contains(byte);
    let before = at.checked_sub(1).map(|before| line[before]);
    let after = line[at..].strip_prefix(word).map(<[u8]>::first);
    let is_signed = before == Some(b'-') && word[0] == b'I';
    (is_signed || before.as_ref().is_some_and(is_between))
        && after.is_some_and(|after| after.is_none_or(is_between))
}

/// The reader of an object whose text is in the field that a path names.
struct Object<'a> {
    /// The whole path.
    field: &'a str,
    /// The part of the path that begins at this object.
    path: &'a str,
    text: &'a mut Vec<u8>,
}

/// Values that are not objects have no fields.
impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with a field {:?}", self.field)
    }

    /// If several fields match, the field with the longest name counts, so a field whose own name is the
    /// whole path wins. Of fields with the same name, the last one counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut longest = None;
        while let Some(name) = map.next_key_seed(NameIn(self.path))? {
            match name.filter(|&len| longest <= Some(len)) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(len) if len == self.path.len() => {
                    map.next_value_seed(Text(self.text))?;
                    longest = name;
                }
                Some(len) => {
                    let path = &self.path[len + 1..];
                    if map.next_value_seed(Object { field: self.field, path, text: self.text })? {
                        longest = name;
                    }
                }
            }
        }
        Ok(longest.is_some())
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<bool, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

/// The number of bytes of a path that a field's name covers: all of them, or those before a dot.
struct NameIn<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for NameIn<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIn<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        let rest = self.0.strip_prefix(name);
        Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')).then_some(name.len()))
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        self.0.clear();
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        text_of(line, "text", &mut text).map(|()| text)
    }

    #[test]
    fn the_text_of_a_line() {
        assert_eq!(parse(br#"{"text": "a\nb"}"#).as_deref(), Ok(&b"a\nb"[..]));
        assert_eq!(
            parse(br#" {"meta": {"text": [1, null]}, "te\u0078t":"\u00e9", "n": 1e5} "#).as_deref(),
            Ok("é".as_bytes())
        );
        assert_eq!(parse(br#"{"text": "first", "text": "last"}"#).as_deref(), Ok(&b"last"[..]));
        assert_eq!(parse(b"{\"text\": \"\xFFx\"}").as_deref(), Ok(&b"\xFFx"[..]));
        assert_eq!(parse(br#"{"text": "\ud800"}"#).as_deref(), Ok(&b"\xED\xA0\x80"[..]));
        assert_eq!(parse(br#"{"text": ""}"#).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_path_names_a_field_in_a_field_unless_a_field_has_that_name() {
        let nested = |line: &str| {
            let mut text = Vec::new();
            text_of(line.as_bytes(), "meta.text.en", &mut text).map(|()| String::from_utf8(text).unwrap())
        };
        for line in [
            r#"{"meta": {"text": {"en": "a"}}}"#,
            r#"{"meta.text": {"en": "a"}}"#,
            r#"{"meta": {"text.en": "a"}}"#,
            r#"{"meta.text.en": "a", "meta": {"text.en": "b"}, "meta.text": {"en": "c"}}"#,
            r#"{"meta": {"text.en": "b"}, "meta.text.en": "a"}"#,
            r#"{"meta": {"text": {"en": "b"}, "text.en": "a"}, "meta.text": 5}"#,
            r#"{"meta": {"text": {"en": "b"}}, "meta": {"text": {"en": "a"}}}"#,
            r#"{"met": {}, "metadata": 1, "meta.": {}, "": 1, "meta": {"texts": [1, {}], "text": {"en": "a"}}}"#,
        ] {
            assert_eq!(nested(line).as_deref(), Ok("a"), "{line}");
        }
        for value in ["5", "-5", "0.5", "\"text\"", "null", "true", "[1, {}]", "{}", "{\"text\": []}"] {
            let found = nested(&format!("{{\"meta\": {value}}}")).unwrap_err();
            assert!(
                found.starts_with("there is no field \"meta.text.en\" (--json-field"),
                "{value}: {found}"
            );
        }
        assert!(
            nested(r#"{"meta": {"text": {"en": 5}}}"#).unwrap_err().contains("expected a string at column")
        );
    }

    #[test]
    fn numbers_that_json_does_not_know_are_read_as_python_writes_them() {
        for number in ["NaN", "Infinity", "-Infinity"] {
            for line in [
                format!("{{\"score\": {number}, \"text\": \"a\"}}"),
                format!("{{\"text\":\"a\",\"scores\":[{number},{number},[{number}]],\"x\":{number}}}"),
            ] {
                assert_eq!(parse(line.as_bytes()).as_deref(), Ok(&b"a"[..]), "{line}");
            }
            let quoted = format!("{{\"n\": {number}, \"text\": \": {number}, \\\\\", \"m\": {number}}}");
            assert_eq!(parse(quoted.as_bytes()).unwrap(), format!(": {number}, \\").as_bytes());
            let wanted = parse(format!("{{\"text\": {number}}}").as_bytes()).unwrap_err();
            assert!(wanted.contains("floating point") && wanted.contains("expected a string"), "{wanted}");
        }
        for value in ["1NaN", "-NaN", "NaNs", "nan", "infinity", "- Infinity", "xNaN", "NaN1", "\"NaN", "Inf"]
        {
            assert!(parse(format!("{{\"n\": {value}, \"text\": \"a\"}}").as_bytes()).is_err(), "{value}");
        }
        assert!(parse(b"NaN").is_err() && parse(br#"{NaN: 1, "text": "a"}"#).is_err());
        let located = parse(br#"{"n": NaN, "text": 5}"#).unwrap_err();
        assert!(located.ends_with("at column 20"), "{located}");
    }

    #[test]
    fn a_byte_order_mark_before_a_line_is_no_part_of_it() {
        let lines =
            "\u{FEFF}{\"text\": \"a\"}\n\u{FEFF}\n{\"text\": \"\u{FEFF}b\"}\n\u{FEFF}{\"text\": \"c\"}";
        let mut found = Vec::new();
        let visit = |start, number, text: Result<&[u8], String>| -> Result<(), String> {
            found.push((start, number, text?.to_vec()));
            Ok(())
        };
        for_each_line(lines.as_bytes(), "text", visit).unwrap();
        let expected = [(0, 0, "a"), (21, 2, "\u{FEFF}b"), (38, 3, "c")];
        assert_eq!(found, expected.map(|(start, number, text)| (start, number, text.as_bytes().to_vec())));
    }

    #[test]
    fn lines_without_a_text() {
        for (line, reason) in [
            (r#"{"text": "a""#, "EOF while parsing an object at column 12"),
            (r#"{"text": "a"} x"#, "trailing characters at column 15"),
            (r#"{"other": "a"}"#, "there is no field \"text\""),
            (r#"{"text": 5}"#, "invalid type: integer `5`, expected a string"),
            (r#"{"text": null}"#, "expected a string"),
            (r#"{"text": ["a"]}"#, "invalid type: sequence, expected a string"),
            (r#"["text"]"#, "invalid type: sequence, expected an object with a field \"text\""),
            ("text", "expected"),
        ] {
            let found = parse(line.as_bytes()).err().unwrap_or_default();
            assert!(found.contains(reason), "{line}: {found}");
        }
    }
}

/*!
Lines of JSON, each an object with a text in one field.

Why not parse each line into a value? Most of it is thrown away. The parser is told the one field that is wanted; it
checks all others and keeps nothing of them. Bytes in the text that do not decode stay as they are, as in any other text; so
do halves of surrogate pairs that are escaped alone, as three bytes each, which do not decode either.

A line of nothing but whitespace is no line. Whatever else has no such text is bad: not JSON, no object, no such field, no
string.
*/

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// Calls `visit` with each line's place in `lines`, its number from 0, and its text or what is wrong with it.
pub(super) fn for_each_line<E>(
    lines: &[u8],
    field: &str,
    mut visit: impl FnMut(usize, u64, Result<&[u8], String>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut start, mut text) = (0, Vec::new());
    for (number, line) in (0..).zip(lines.split_inclusive(|&byte| byte == b'\n')) {
        if !line.trim_ascii().is_empty() {
            let found = text_of(line, field, &mut text);
            visit(start, number, found.map(|()| &text[..]))?;
        }
        start += line.len();
    }
    Ok(())
}

fn text_of(line: &[u8], field: &str, text: &mut Vec<u8>) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_slice(line);
    let parsed = Object { field, text }.deserialize(&mut parser).and_then(|()| parser.end());
    parsed.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

struct Object<'a> {
    field: &'a str,
    text: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with a field {:?}", self.field)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_found = false;
        while let Some(is_text) = map.next_key_seed(IsField(self.field))? {
            if is_text {
                map.next_value_seed(Text(self.text))?;
                is_found = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_found { Ok(()) } else { Err(A::Error::custom(format!("there is no field {:?}", self.field))) }
    }
}

struct IsField<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsField<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsField<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
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

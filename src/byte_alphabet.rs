/*!
GPT-2's alphabet: one printable character for each byte, so that tokens can be keys of JSON and words in a
line.

A byte that is printable in Latin-1 is its own character. The 68 other bytes are the characters from U+0100
on, in order. So a space is `Ġ` and a newline is `Ċ`.
*/

use std::collections::HashMap;
use std::sync::LazyLock;

/// Whether a byte is its own character.
pub fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes in the order of their characters: the printable bytes, then the rest.
pub fn alphabet() -> impl Iterator<Item = u8> {
    (0..=255).filter(|&byte| is_printable(byte)).chain((0..=255).filter(|&byte| !is_printable(byte)))
}

/// The character of a byte.
fn to_char(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    let mut rest = ('\u{100}'..).zip((0..=255).filter(|&other| !is_printable(other)));
    rest.find(|&(_, other)| other == byte).map_or(char::REPLACEMENT_CHARACTER, |(character, _)| character)
}

/// Spells bytes as text of the alphabet.
pub fn to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| to_char(byte)).collect()
}

/// Returns the bytes that a text spells; `None` if a character is not in the alphabet.
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    static BYTES: LazyLock<HashMap<char, u8>> =
        LazyLock::new(|| (0..=255).map(|byte| (to_char(byte), byte)).collect());
    text.chars().map(|character| BYTES.get(&character).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let mut chars: Vec<char> = (0..=255).map(to_char).collect();
        assert_eq!((to_char(b' '), to_char(b'\n'), to_char(0xAD)), ('Ġ', 'Ċ', '\u{143}'));
        chars.sort_unstable();
        let ordered: Vec<char> = alphabet().map(to_char).collect();
        assert_eq!(chars, ordered);
        chars.dedup();
        assert_eq!(chars.len(), 256);
    }

    #[test]
    fn text_gives_the_bytes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_text(&to_text(&bytes)), Some(bytes));
        assert_eq!(from_text("a b"), None);
    }
}

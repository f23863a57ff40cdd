/*!
Patterns with another meaning in Oniguruma, the regex engine of Hugging Face's tokenizers, than in
`fancy-regex`.

In Oniguruma, `^` and `$` match at the ends of lines. `\w` and `\b` exclude joiners (U+200D), and letters that
are numbers or symbols. In a class, `[:alpha:]` covers all of Unicode, and `--` subtracts nothing. `{1,3}+`
repeats the repetition; in `fancy-regex` it is possessive. An empty match splits the text. If case is ignored,
ß matches SS.
*/

use fancy_regex::Regex;

/// Describes, as a verb phrase, the first part of a pattern that the two engines read differently.
pub(super) fn differs(pattern: &str) -> Option<String> {
    let found = find(pattern).map(|found| format!("has {found:?}"));
    let folded = || folded(pattern).map(|letter| format!("has {letter:?} in any case"));
    found.or_else(folded).or_else(|| matches_nothing(pattern).then(|| "matches nothing at all".to_owned()))
}

/// Whether a pattern has an empty match in a text with characters of many kinds.
pub(super) fn matches_nothing(pattern: &str) -> bool {
    const PROBE: &str = "aA1 .'\n中\u{301}";
    let Ok(regex) = Regex::new(pattern) else { return false };
    let is_empty = |text: &str, at: usize| matches!(regex.find_from_pos(text, at), Ok(Some(found)) if found.start() == found.end());
    is_empty("", 0) || PROBE.char_indices().any(|(at, _)| is_empty(PROBE, at))
}

/// Finds, in a pattern that ignores case, a letter that becomes several letters in the other case, or several
/// letters that become one.
fn folded(pattern: &str) -> Option<&str> {
    let is_several = |letter: &str| letter.chars().any(|letter| letter.to_uppercase().count() > 1);
    let letters = pattern.char_indices().map(|(at, letter)| &pattern[at..at + letter.len_utf8()]);
    let pairs = ["ss", "SS", "ff", "FF", "fi", "FI", "fl", "FL", "st", "ST"];
    let mut found = letters.filter(|letter| is_several(letter)).chain(pairs);
    found.find(|found| pattern.contains("(?i") && pattern.contains(found))
}

fn find(pattern: &str) -> Option<&str> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(first) = pattern[at..].chars().next() {
        let rest = &pattern[at..];
        let is_one_of = |words: &[&'static str]| words.iter().copied().find(|word| rest.starts_with(word));
        at += match first {
            '\\' => match is_one_of(&["\\w", "\\W", "\\b", "\\B", "\\K"]) {
                Some(escape) => return Some(escape),
                None => escape_len(rest),
            },
            '[' if depth > 0 && rest.starts_with("[:") => return rest.find(']').map(|end| &rest[..=end]),
            '[' => {
                depth += 1;
                // A bracket at the beginning of a class is a character.
                is_one_of(&["[^]", "[]", "[^"]).map_or(1, str::len)
            }
            ']' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ if depth > 0 => match is_one_of(&["--", "~~"]) {
                Some(operation) => return Some(operation),
                None => first.len_utf8(),
            },
            '^' | '$' => return Some(&rest[..1]),
            '(' => match flags(rest) {
                Some(flags) => return Some(flags),
                None => 1,
            },
            '{' => match repetition(rest) {
                Some(repetition) => return Some(repetition),
                None => 1,
            },
            _ => first.len_utf8(),
        };
    }
    None
}

/// The length in bytes of an escape such as `\n`, `\p{L}` or `\x{1F600}`.
fn escape_len(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(2);
    match characters.next() {
        Some((_, '{')) if matches!(rest.as_bytes()[1], b'p' | b'P' | b'x' | b'u') => {
            rest.find('}').map_or(rest.len(), |end| end + 1)
        }
        Some((end, _)) => end,
        None => rest.len(),
    }
}

/// Flags with an `m`, as in `(?m)` and `(?im:`. In Oniguruma they make the dot match newlines.
fn flags(rest: &str) -> Option<&str> {
    let flags = rest.strip_prefix("(?")?;
    let len = flags.find(|character: char| !character.is_ascii_alphabetic() && character != '-')?;
    (flags[..len].contains('m') && matches!(flags.as_bytes()[len], b':' | b')')).then(|| &rest[..len + 2])
}

/// A repetition such as `{1,3}+` or `{,3}`.
fn repetition(rest: &str) -> Option<&str> {
    let end = rest.find('}')?;
    let numbers = &rest[1..end];
    if numbers.is_empty() || !numbers.bytes().all(|byte| byte.is_ascii_digit() || byte == b',') {
        return None;
    }
    let is_possessive = rest[end + 1..].starts_with('+');
    (is_possessive || numbers.starts_with(',')).then(|| &rest[..=end + usize::from(is_possessive)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_otherwise_is_found_and_nothing_else() {
        for (pattern, found) in [
            (r"^a|\S", "has \"^\""),
            (r"a|\s+$|.", "has \"$\""),
            (r"\w+|\W", r#"has "\\w""#),
            (r"[\W]|\w", r#"has "\\W""#),
            (r"[[:alpha:]]+|.", "has \"[:alpha:]\""),
            (r"[^a-z--b]|.", "has \"--\""),
            (r"(?im:a.b)|.", "has \"(?im\""),
            (r"\p{N}{1,3}+|.", "has \"{1,3}+\""),
            (r"a{,3}b|.", "has \"{,3}\""),
            (r"[]^]|$", "has \"$\""),
            ("a*", "matches nothing at all"),
            ("(?<=a)|.", "matches nothing at all"),
            ("(?i:ß)|.", "has \"ß\" in any case"),
            ("(?i:ss)|.", "has \"ss\" in any case"),
        ] {
            assert_eq!(differs(pattern).as_deref(), Some(found), "{pattern}");
        }
        for pattern in [
            r"\p{N}{1,3}|.",
            r"[^\s$]+|\$|\^|\\|.",
            r"[]^$]|[^]]",
            r"\p{^L}+|\x{77}|.",
            r"'(?i:[sdmt]|ll)|[a-c&&[^b]]|{|\{,}|.",
            r"(?<=a)b|(?<m>x)|a++|\d+|\s+(?!\S)|\s",
            "[é^]é+|.",
            "\\é|ß|.",
        ] {
            assert_eq!(differs(pattern), None, "{pattern}");
        }
    }
}

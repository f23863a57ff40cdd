/*!
The GPT-2 pattern, matched by hand on bytes:

```text
'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
```

Why not a regex engine? `\s+(?!\S)` looks ahead, so only a backtracking engine can run it, and that is some
thirty times slower (benches/record/). But the first character nearly always decides. An apostrophe may begin
a contraction. A letter, number or other character, with or without one space before it, begins a run of its
class. All else is whitespace. One case needs care: of several whitespace characters before other text,
`\s+(?!\S)` gives the last one back, and if that is a space, it joins what follows.

Such an engine is the oracle instead: `tests/pretokenize.rs` checks this module against `fancy-regex` on every
code point in several contexts and on random strings.
*/

use super::char_class::{CharClass, CharClasses};
use CharClass::{Other, Space};

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub fn pretoken_end(classes: &CharClasses, text: &[u8], start: usize) -> usize {
    let letters = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, letters) {
        Some(end) if end > letters => end,
        _ => any_pretoken_end(classes, text, start),
    }
}

/// The end of the ASCII letters at `at`, if there are fewer than sixteen and another ASCII character follows.
#[inline(always)]
pub(super) fn ascii_word_end(text: &[u8], at: usize) -> Option<usize> {
    let bytes = text.get(at..)?.first_chunk::<16>()?;
    let (first, second) = bytes.split_at(8);
    let first = u64::from_le_bytes(*first.first_chunk()?);
    let end = not_ascii_letters(first).trailing_zeros() / 8;
    if end < 8 {
        return (first >> (8 * end) & 0x80 == 0).then_some(at + end as usize);
    }
    let second = u64::from_le_bytes(*second.first_chunk()?);
    let end = not_ascii_letters(second).trailing_zeros() / 8;
    (end < 8 && second >> (8 * end) & 0x80 == 0).then_some(at + 8 + end as usize)
}

/// Sets the high bit of each byte that is not an ASCII letter, and clears all other bits.
#[inline(always)]
fn not_ascii_letters(bytes: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let lower = (bytes | (ONES * 0x20)) & !HIGH;
    let from_a = lower + ONES * (0x80 - b'a' as u64);
    let beyond_z = lower + ONES * (0x7F - b'z' as u64);
    (!from_a | beyond_z | bytes) & HIGH
}

#[inline(never)]
fn any_pretoken_end(classes: &CharClasses, text: &[u8], start: usize) -> usize {
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    match (class, text[start]) {
        (Other, b'\'') => {
            contraction_end(text, after).unwrap_or_else(|| run_end(classes, text, after, Other))
        }
        (Space, b' ') if after < text.len() => match classes.first(&text[after..]) {
            (Space, _) => whitespace_end(classes, text, start),
            (class, length) => run_end(classes, text, after + length, class),
        },
        (Space, _) => whitespace_end(classes, text, start),
        _ => run_end(classes, text, after, class),
    }
}

/// The end of `s`, `d`, `m`, `t`, `ll`, `ve` or `re`, if one of them begins at `at`.
#[inline]
fn contraction_end(text: &[u8], at: usize) -> Option<usize> {
    match text[at..] {
        [b's' | b'd' | b'm' | b't', ..] => Some(at + 1),
        [b'l', b'l', ..] | [b'v', b'e', ..] | [b'r', b'e', ..] => Some(at + 2),
        _ => None,
    }
}

/// The end of a run of characters of one class that continues at `at`.
#[inline]
pub(super) fn run_end(classes: &CharClasses, text: &[u8], mut at: usize, class: CharClass) -> usize {
    while at < text.len() {
        let (next, length) = classes.first(&text[at..]);
        if next != class {
            break;
        }
        at += length;
    }
    at
}

/// The end of the whitespace pretoken at `start`. At the end of the text the pretoken is the whole run.
/// Elsewhere it is the run without its last character, or that character if it is alone.
fn whitespace_end(classes: &CharClasses, text: &[u8], start: usize) -> usize {
    let (mut last, mut end) = (start, start);
    while end < text.len() {
        let (class, length) = classes.first(&text[end..]);
        if class != Space {
            return if last > start { last } else { end };
        }
        (last, end) = (end, end + length);
    }
    end
}

/// Whether a text may be cut before `text[at]` without splitting a pretoken. That is so between a character
/// that is not whitespace and an ASCII whitespace byte. It is also so between two characters of different
/// classes, if neither is whitespace and the first is not an apostrophe. (A cut after whitespace is not
/// safe, even after a newline: the end of the run depends on the text that follows. A cut after an
/// apostrophe is not safe, because a contraction may begin there.)
pub fn is_safe_cut(classes: &CharClasses, text: &[u8], at: usize) -> bool {
    if at == 0 || at >= text.len() || text[at - 1] == b'\'' {
        return at > 0 && at < text.len() && text[at] < 0x80 && classes.of_ascii(text[at]) == Space;
    }
    let (before, after) = (classes.last(&text[..at]), classes.first(&text[at..]).0);
    before != Space && before != after && (after != Space || text[at] < 0x80)
}

/*!
The parts that all patterns of the family share: contractions, numbers and whitespace.

A run of whitespace is taken up to its last newline if it has one. Elsewhere its last character is given back if other
text follows, because of `\s+(?!\S)`.
*/

use super::char_class::{CharClass, CharClasses, Class};
use super::grammar::{AfterOthers, Contractions};

/// The end of the contraction that begins at `at`, if there is one: `'s`, `'d`, `'m`, `'t`, `'ll`, `'ve` or `'re`.
/// Without regard to case ſ is an s, too.
#[inline]
pub(super) fn contraction_end(contractions: Contractions, text: &[u8], at: usize) -> Option<usize> {
    const LONG_S: [u8; 2] = [0xC5, 0xBF]; // ſ
    let [b'\'', letters @ ..] = text.get(at..)? else { return None };
    let small_bit = match contractions {
        Contractions::None => return None,
        Contractions::Small => 0,
        Contractions::Ascii | Contractions::AnyCase => 0x20,
    };
    let second = letters.get(1).map(|second| second | small_bit);
    let length = match (letters.first()? | small_bit, second) {
        (b's' | b'd' | b'm' | b't', _) => 1,
        (b'l', Some(b'l')) | (b'v' | b'r', Some(b'e')) => 2,
        _ if contractions == Contractions::AnyCase && letters.starts_with(&LONG_S) => 2,
        _ => return None,
    };
    Some(at + 1 + length)
}

/// The end of the first `most` numbers, at least one, that begin at `start`.
pub(super) fn number_end<C: Class>(
    classes: &CharClasses<C>,
    most: usize,
    text: &[u8],
    start: usize,
    is_number: impl Fn(C) -> bool,
) -> usize {
    let mut end = start;
    for _ in 0..most {
        match text.get(end..).filter(|rest| !rest.is_empty()).map(|rest| classes.first(rest)) {
            Some((class, length)) if is_number(class) => end += length,
            _ => break,
        }
    }
    end
}

/// The end of a run of characters of some classes that continues at `at`.
#[inline]
pub(super) fn run_end<C: Class>(
    classes: &CharClasses<C>,
    text: &[u8],
    mut at: usize,
    is_in: impl Fn(C) -> bool,
) -> usize {
    while at < text.len() {
        let (class, length) = classes.first(&text[at..]);
        if !is_in(class) {
            break;
        }
        at += length;
    }
    at
}

/// The end of the characters that may follow other characters.
pub(super) fn after_others(after_others: AfterOthers, text: &[u8], at: usize) -> usize {
    let takes_slashes = after_others == AfterOthers::NewlinesAndSlashes;
    let is_taken = |byte: u8| is_newline(byte) || byte == b'/' && takes_slashes;
    at + text[at..].iter().take_while(|&&byte| is_taken(byte)).count()
}

#[inline]
pub(super) fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// A run of whitespace.
pub(super) struct Whitespace {
    start: usize,
    after_newline: usize,
    last: usize,
    pub(super) end: usize,
}

impl Whitespace {
    /// The end of the pretoken that begins with the run, by `\s*[\r\n]+|\s+(?!\S)|\s+`: behind the last newline, if
    /// there is one; else the end of the run, unless other text follows; else the beginning of the last character, or
    /// the end of a run of one character.
    pub(super) fn pretoken_end(&self, is_text_next: bool) -> usize {
        if self.after_newline > self.start {
            self.after_newline
        } else if is_text_next && self.last > self.start {
            self.last
        } else {
            self.end
        }
    }
}

/// The run of whitespace that begins at `start`.
pub(super) fn whitespace<C: Class>(classes: &CharClasses<C>, text: &[u8], start: usize) -> Whitespace {
    let mut run = Whitespace { start, after_newline: start, last: start, end: start };
    while run.end < text.len() {
        let (class, length) = classes.first(&text[run.end..]);
        if class != C::SPACE {
            break;
        }
        run.last = run.end;
        run.end += length;
        if is_newline(text[run.last]) {
            run.after_newline = run.end;
        }
    }
    run
}

/// Whether a text may be cut before `text[at]` without splitting a pretoken of the family or of DeepSeek. That is so
/// between a letter or number and an ASCII whitespace byte, and between a newline and a character that is neither
/// whitespace nor a slash.
pub(super) fn is_safe_cut(classes: &CharClasses, text: &[u8], at: usize) -> bool {
    if at == 0 || at >= text.len() {
        return false;
    }
    let next = classes.first(&text[at..]).0;
    if is_newline(text[at - 1]) {
        return next != CharClass::Space && text[at] != b'/';
    }
    next == CharClass::Space
        && text[at] < 0x80
        && matches!(classes.last(&text[..at]), CharClass::Letter | CharClass::Number)
}

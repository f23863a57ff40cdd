/*!
The cl100k pattern, matched by hand on bytes:

```text
'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s
```

Why not a regex engine? As for GPT-2, only a backtracking engine can run the pattern, and the first two
characters decide. An apostrophe may begin a contraction (`(?i)` folds as Unicode does: ſ is an s). A
character that is not a letter, a number or a newline joins the letters after it. Numbers are taken in threes
from the left. Other characters, with or without one space before them, form a run that includes the newlines
after it. All else is whitespace. `$` matches only at the very end of the text, so a run of whitespace that
ends the text is one pretoken. Elsewhere the pretoken is the run up to its last newline, or, without a
newline, the run without its last character, or that character if it is alone.

The time is linear. Only a run of whitespace is read beyond the end of its pretoken. The rest of that run has
no newline, so it is read once more; all of it except the last character is taken, and that character begins
the next pretoken.

Where may a text be cut? Between a letter or number and an ASCII whitespace byte. No pretoken spans that
border: by the alternatives in turn, whitespace occurs only before a pretoken's letters or other characters,
or as newlines after other characters, or makes up the whole pretoken. And the matching on either side does
not depend on the other side. Matching looks to the right only, so the right side is safe. On the left side, a
run of letters or numbers ends at the border as at the end of a text; `'l` before the border is no contraction
in either case; and a run of whitespace or other characters has ended before the letter or number. (A cut
between another character and whitespace is safe for GPT-2 and not here, because newlines join the characters
before them.)

Why does a tokenizer.json contain another pattern? The engine that reads it, Oniguruma, reads `{1,3}+` as any
number of numbers, and `$` also as the end of a line. [`PORTABLE_PATTERN`] has the same meaning for both
engines.
*/

use super::char_class::{CharClass, CharClasses, Partition};
use super::gpt2::{ascii_word_end, run_end};
use CharClass::{Letter, Number, Other, Space};

/// [`CL100K_PATTERN`](super::CL100K_PATTERN) without possessive quantifiers and `$`.
pub const PORTABLE_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?![\s\S])|\s*[\r\n]|\s+(?!\S)|\s";

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub fn pretoken_end(classes: &CharClasses, text: &[u8], start: usize) -> usize {
    let letters = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, letters) {
        Some(end) if end > letters => end,
        _ => any_pretoken_end(classes, text, start),
    }
}

#[inline(never)]
fn any_pretoken_end(classes: &CharClasses, text: &[u8], start: usize) -> usize {
    if let Some(end) = contraction_end(text, start) {
        return end;
    }
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    match (class, text.get(after..).filter(|rest| !rest.is_empty()).map(|rest| classes.first(rest))) {
        (Letter, _) => run_end(classes, text, after, Letter),
        (Number, _) => number_end(classes, text, start),
        (_, Some((Letter, length))) if !is_newline(text[start]) => {
            run_end(classes, text, after + length, Letter)
        }
        (Other, _) => others_end(classes, text, after),
        (Space, Some((Other, length))) if text[start] == b' ' => others_end(classes, text, after + length),
        (Space, _) => {
            let run = whitespace(classes, text, start);
            if run.end == text.len() { run.end } else { run.through_newlines().unwrap_or(run.but_last()) }
        }
    }
}

/// The end of `'s`, `'d`, `'m`, `'t`, `'ll`, `'ve` or `'re`, in upper or lower case, if one of them begins at
/// `at`.
#[inline]
pub(super) fn contraction_end(text: &[u8], at: usize) -> Option<usize> {
    const LONG_S: [u8; 2] = [0xC5, 0xBF]; // ſ
    let [b'\'', letters @ ..] = text.get(at..)? else { return None };
    let length = match *letters {
        [b's' | b'd' | b'm' | b't' | b'S' | b'D' | b'M' | b'T', ..] => 1,
        [b'l' | b'L', b'l' | b'L', ..] | [b'v' | b'V' | b'r' | b'R', b'e' | b'E', ..] => 2,
        [first, second, ..] if [first, second] == LONG_S => 2,
        _ => return None,
    };
    Some(at + 1 + length)
}

/// The end of the one to three numbers that begin at `start`.
pub(super) fn number_end<C: Partition>(classes: &CharClasses<C>, text: &[u8], start: usize) -> usize {
    let mut end = start;
    for _ in 0..3 {
        match text.get(end..).filter(|rest| !rest.is_empty()).map(|rest| classes.first(rest)) {
            Some((class, length)) if class == C::NUMBER => end += length,
            _ => break,
        }
    }
    end
}

/// The end of a run of other characters that continues at `at`, and of the newlines after it.
fn others_end(classes: &CharClasses, text: &[u8], at: usize) -> usize {
    let end = run_end(classes, text, at, Other);
    end + text[end..].iter().take_while(|&&byte| is_newline(byte)).count()
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
    /// The end of `\s*[\r\n]`: of the last newline of the run, if it has one.
    pub(super) fn through_newlines(&self) -> Option<usize> {
        (self.after_newline > self.start).then_some(self.after_newline)
    }

    /// The end of `\s+(?!\S)|\s` before other text: the beginning of the last character, or the end of a run
    /// of one character.
    pub(super) fn but_last(&self) -> usize {
        if self.last > self.start { self.last } else { self.end }
    }
}

/// The run of whitespace that begins at `start`.
pub(super) fn whitespace<C: Partition>(classes: &CharClasses<C>, text: &[u8], start: usize) -> Whitespace {
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

/// Whether a text may be cut before `text[at]` without splitting a pretoken. That is so between a letter or
/// number and an ASCII whitespace byte.
pub fn is_safe_cut(classes: &CharClasses, text: &[u8], at: usize) -> bool {
    at > 0
        && at < text.len()
        && text[at] < 0x80
        && classes.of_ascii(text[at]) == Space
        && matches!(classes.last(&text[..at]), Letter | Number)
}

/*!
The o200k pattern, matched by hand on bytes:

```text
P?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|P?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
P = [^\r\n\p{L}\p{N}]   U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]   L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
```

Why is this not cl100k with another class? Because `U` and `L` share uncased letters and marks, and `P` and both share
marks, so the engine backtracks, and the result is not what one would guess: of `中AB` the first pretoken is `中`, of
U+0301 followed by `AB` it is the mark alone. What backtracking finds can be said in one sentence, though. Take the longest
run of `U` from the start of the word, without `P`:

- if a small letter follows, the pretoken is the run and all of `L` that follows (`U*` keeps everything);
- else, if an uncased letter or mark is in the run, the pretoken ends behind the last one: `U*` gives back until `L+` has
  it, and behind it are capitals only, which `L+` does not take;
- else the run is of capitals, the first alternative fails, and the second takes it whole.

`P` is tried first with, then without. If it is whitespace or another character, it is no part of a word, so without it
nothing matches that did not with it. If it is a mark, both ways see the same run, but for the mark at its head: where
the rest holds neither small letter, uncased letter nor mark, only the way without matches the first alternative, and
takes the mark. That is what the sentence says of a word that begins with the mark. So a mark counts as the first
character of a word, never as `P`.

A contraction is looked for behind every word. Numbers, and whitespace up to its last newline, are as in cl100k; a run of
whitespace that ends the text is taken whole only where it has no newline. Slashes join the newlines behind other
characters, and marks the run of other characters.

The time is linear. A word is looked at beyond its pretoken's end only in the second case, and there capitals follow up to
where the look ended, with no small letter behind them: the next pretoken takes them all. For whitespace see cl100k.

Where may a text be cut? Where cl100k's may, for the same reasons: between a letter or number and an ASCII whitespace
byte. A word's run ends at whitespace as at the end of a text; whitespace stands before a pretoken's word or other
characters, behind other characters, or alone; a contraction is not cut short, for no whitespace completes one.
*/

use super::char_class::{CaseClass, CharClasses};
use super::cl100k::{contraction_end, is_newline, number_end, whitespace};
use super::gpt2::ascii_word_end;
use CaseClass::{Lower, Mark, Number, Other, Space, Uncased, Upper};

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub fn pretoken_end(classes: &CharClasses<CaseClass>, text: &[u8], start: usize) -> usize {
    let word = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, word) {
        Some(end) if end > word && text[end] != b'\'' && is_lower_or_title(text, word, end) => end,
        _ => any_pretoken_end(classes, text, start),
    }
}

/// Whether the ASCII letters of `text[word..end]`, one to fifteen, end in a small one and have no capital but the first.
#[inline(always)]
fn is_lower_or_title(text: &[u8], word: usize, end: usize) -> bool {
    const BIT_OF_SMALL: u128 = u128::MAX / 0xFF * 0x20;
    let Some(bytes) = text[word..].first_chunk::<16>() else { return false };
    let within = (1 << (8 * (end - word))) - 1;
    let capitals = !u128::from_le_bytes(*bytes) & BIT_OF_SMALL & within;
    capitals >> 8 == 0 && (capitals == 0 || end - word > 1)
}

#[inline(never)]
fn any_pretoken_end(classes: &CharClasses<CaseClass>, text: &[u8], start: usize) -> usize {
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    let word = match class {
        Number => return number_end(classes, text, start),
        Upper | Lower | Uncased | Mark => start,
        Other | Space => after,
    };
    if !is_newline(text[start])
        && let Some(end) = word_end(classes, text, word)
    {
        return contraction_end(text, end).unwrap_or(end);
    }
    if class != Space {
        return others_end(classes, text, after);
    }
    if text[start] == b' ' && after < text.len() && classes.first(&text[after..]).0 == Other {
        return others_end(classes, text, after);
    }
    let run = whitespace(classes, text, start);
    let rest = if run.end == text.len() { run.end } else { run.but_last() };
    run.through_newlines().unwrap_or(rest)
}

/// The end of `U*L+|U+L*` at `start`, if it matches there.
fn word_end(classes: &CharClasses<CaseClass>, text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut after_uncased) = (start, None);
    while at < text.len() {
        let (class, length) = classes.first(&text[at..]);
        match class {
            Upper => {}
            Uncased | Mark => after_uncased = Some(at + length),
            Lower => {
                return Some(run_end(classes, text, at + length, |c| matches!(c, Lower | Uncased | Mark)));
            }
            Other | Number | Space => break,
        }
        at += length;
    }
    after_uncased.or((at > start).then_some(at))
}

/// The end of `[^\s\p{L}\p{N}]*[\r\n/]*` at `at`.
fn others_end(classes: &CharClasses<CaseClass>, text: &[u8], at: usize) -> usize {
    let end = run_end(classes, text, at, |class| matches!(class, Other | Mark));
    end + text[end..].iter().take_while(|&&byte| is_newline(byte) || byte == b'/').count()
}

/// The end of the run of characters of some classes that goes on at `at`.
#[inline]
fn run_end(
    classes: &CharClasses<CaseClass>,
    text: &[u8],
    mut at: usize,
    is_in: impl Fn(CaseClass) -> bool,
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

/*!
The o200k pattern, matched by hand on bytes:

```text
P?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|P?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
P = [^\r\n\p{L}\p{N}]   U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]   L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
```

Why is this not cl100k with another class? `U` and `L` share uncased letters and marks, and `P` shares marks
with both, so the engine backtracks. The result is hard to guess: the first pretoken of `中AB` is `中`, and that
of U+0301 followed by `AB` is the mark alone. But the result of backtracking follows a short rule. Take the
longest run of `U` from the start of the word, without `P`:

- if a small letter follows, the pretoken is the run and all of `L` that follows (`U*` keeps everything);
- else, if the run has an uncased letter or mark, the pretoken ends after the last of them: `U*` gives
  characters back until `L+` gets that one, and only capitals follow it, which `L+` does not take;
- else the run consists of capitals, the first alternative fails, and the second takes the whole run.

The engine tries to match with `P` first, then without. If the character for `P` is whitespace or another
character, it is not part of a word, so the match without it cannot succeed if the match with it fails. If
that character is a mark, both attempts see the same run, except for the mark at its head. If the rest has no
small letter, uncased letter or mark, only the attempt without `P` matches the first alternative, and takes
the mark. That is also what the rule says about a word that begins with the mark. So a mark counts as the
first character of a word, never as `P`.

A contraction may follow every word. Numbers, and whitespace up to its last newline, are as in cl100k. A run
of whitespace that ends the text is taken whole only if it has no newline. Slashes join the newlines after
other characters, and marks join the run of other characters.

The time is linear. A word is read beyond the end of its pretoken only in the second case. There capitals
follow up to the last character read, and no small letter follows them, so the next pretoken takes them all.
For whitespace see cl100k.

Where may a text be cut? At the same positions as for cl100k, and for the same reasons: between a letter or
number and an ASCII whitespace byte. The run of a word ends at whitespace as at the end of a text. Whitespace
occurs before a pretoken's word or other characters, after other characters, or alone. A contraction is not
cut short, as no whitespace completes one.
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

/// Whether the ASCII letters of `text[word..end]`, one to fifteen, end in a small letter and have no capital
/// except the first.
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

/// The end of `U*L+|U+L*`, if it matches at `start`.
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

/// The end of a run of characters of some classes that continues at `at`.
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

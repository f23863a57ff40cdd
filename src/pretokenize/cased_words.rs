/*!
The patterns of the family in which a word depends on upper and lower case, matched by hand on bytes. The one of o200k:

```text
P?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|P?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
P = [^\r\n\p{L}\p{N}]   U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]   L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
```

Why is this not the scanner of letter words with another class? `U` and `L` share uncased letters and marks, and `P` shares marks
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

Kimi K2's pattern begins with an alternative for runs of Han, and takes Han out of `U` and `L`. Then Han ends a word
as punctuation does. But a Han number may follow other numbers, and a Han radical other characters.

A contraction may follow every word. Numbers, and whitespace up to its last newline, are as in cl100k. A run
of whitespace that ends the text is taken whole only if it has no newline. Slashes join the newlines after
other characters, and marks join the run of other characters.

The time is linear. A word is read beyond the end of its pretoken only in the second case. There capitals
follow up to the last character read, and no small letter follows them, so the next pretoken takes them all.
For whitespace see cl100k.

Where may a text be cut? At the same positions as for cl100k, and for the same reasons: between a letter or
number and an ASCII whitespace byte. The run of a word ends at whitespace as at the end of a text. Whitespace
occurs before a pretoken's word or other characters, after other characters, or alone. A contraction is not
cut short, as no whitespace completes one. And between a newline and a character that is neither whitespace nor a slash.
*/

use super::char_class::{CaseClass, CharClasses};
use super::gpt2::ascii_word_end;
use super::grammar::{Grammar, Words};
use super::runs::{after_others, contraction_end, is_newline, number_end, run_end, whitespace};
use CaseClass::{HanLetter, HanNumber, HanOther, Lower, Mark, Number, Other, Space, Uncased, Upper};

/// The classes of a grammar whose words depend on case.
pub(super) fn classes(grammar: &Grammar) -> &'static CharClasses<CaseClass> {
    match grammar.words {
        Words::CasedBesideHan => CharClasses::with_case_and_han(),
        _ => CharClasses::with_case(),
    }
}

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub(super) fn pretoken_end(
    grammar: &Grammar,
    classes: &CharClasses<CaseClass>,
    text: &[u8],
    start: usize,
) -> usize {
    let word = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, word) {
        Some(end) if end > word && text[end] != b'\'' && is_lower_or_title(text, word, end) => end,
        _ => any_pretoken_end(grammar, classes, text, start),
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
fn any_pretoken_end(grammar: &Grammar, classes: &CharClasses<CaseClass>, text: &[u8], start: usize) -> usize {
    let is_number = |class| matches!(class, Number | HanNumber);
    let is_other = |class| matches!(class, Other | Mark | HanOther);
    let others_end = |at| after_others(grammar.after_others, text, run_end(classes, text, at, is_other));
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    let word = match class {
        Number => return number_end(classes, grammar.max_numbers, text, start, is_number),
        HanLetter | HanNumber | HanOther => {
            return run_end(classes, text, after, |c| matches!(c, HanLetter | HanNumber | HanOther));
        }
        Upper | Lower | Uncased | Mark => start,
        Other | Space => after,
    };
    if !is_newline(text[start])
        && let Some(end) = word_end(classes, text, word)
    {
        return contraction_end(grammar.contractions, text, end).unwrap_or(end);
    }
    if class != Space {
        return others_end(after);
    }
    if text[start] == b' ' && after < text.len() && is_other(classes.first(&text[after..]).0) {
        return others_end(after);
    }
    let run = whitespace(classes, text, start);
    let is_last = run.end == text.len();
    if is_last && grammar.keeps_last_whitespace { run.end } else { run.pretoken_end(!is_last) }
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
            Other | Number | Space | HanLetter | HanNumber | HanOther => break,
        }
        at += length;
    }
    after_uncased.or((at > start).then_some(at))
}

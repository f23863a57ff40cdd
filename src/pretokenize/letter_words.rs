/*!
The patterns of the family in which a word is a run of letters, matched by hand on bytes. The one of cl100k:

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

The other patterns differ in their parameters: which contractions there are, how many numbers a pretoken has, and
whether the whitespace that ends a text is one pretoken although it has a newline. Marks may count as letters. Then the
engine tries a mark as the character before the word, too. If letters or marks follow, the result is the same run; if
not, the engine goes back, and the mark alone is the word.

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

Also between a newline and a character that is neither whitespace nor a slash. No pretoken continues after a newline,
except with whitespace, newlines and slashes. The whitespace or the newlines that end at the border are taken as far as
their last newline, which is the border, whether or not text follows. (For GPT-2 that is wrong: the last of several
newlines is given back.)
*/

use super::char_class::{CharClass, CharClasses};
use super::gpt2::ascii_word_end;
use super::grammar::{Grammar, Words};
use super::runs::{after_others, contraction_end, is_newline, number_end, run_end, whitespace};
use CharClass::{Letter, Number, Other, Space};

/// The classes of a grammar whose words are runs of letters.
pub(super) fn classes(grammar: &Grammar) -> &'static CharClasses {
    if grammar.words == Words::LettersAndMarks { CharClasses::with_marks() } else { CharClasses::get() }
}

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub(super) fn pretoken_end(grammar: &Grammar, classes: &CharClasses, text: &[u8], start: usize) -> usize {
    let letters = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, letters) {
        Some(end) if end > letters => end,
        _ => any_pretoken_end(grammar, classes, text, start),
    }
}

#[inline(never)]
fn any_pretoken_end(grammar: &Grammar, classes: &CharClasses, text: &[u8], start: usize) -> usize {
    if let Some(end) = contraction_end(grammar.contractions, text, start) {
        return end;
    }
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    let letters_end = |at| run_end(classes, text, at, |class| class == Letter);
    let others_end =
        |at| after_others(grammar.after_others, text, run_end(classes, text, at, |class| class == Other));
    match (class, text.get(after..).filter(|rest| !rest.is_empty()).map(|rest| classes.first(rest))) {
        (Letter, _) => letters_end(after),
        (Number, _) => number_end(classes, grammar.max_numbers, text, start, |class| class == Number),
        (_, Some((Letter, length))) if !is_newline(text[start]) => letters_end(after + length),
        (Other, _) => others_end(after),
        (Space, Some((Other, length))) if text[start] == b' ' => others_end(after + length),
        (Space, _) => {
            let run = whitespace(classes, text, start);
            let is_last = run.end == text.len();
            if is_last && grammar.keeps_last_whitespace { run.end } else { run.pretoken_end(!is_last) }
        }
    }
}

/*!
The patterns of DeepSeek V3, matched by hand on bytes. Three splits follow one another:

```text
\p{N}{1,3}
[一-龥぀-ゟ゠-ヿ]+
[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
```

The first two cut a text into stretches: numbers, runs of Han and kana, and the rest. Each stretch is a text of its own
for the third split. So a pretoken ends where its stretch ends, a run of whitespace before a number is whole, and a
space before Han joins nothing. A run of Han and kana holds letters, marks, symbols such as `・`, and code points without
a character, and the third split takes it apart.

The third split differs from the family of cl100k in three ways. A sign of ASCII that begins a pretoken joins the
ASCII letters after it, but no other letters. Symbols and punctuation are a class, so a control character or a
byte that does not decode belongs to none. And what no alternative matches is a pretoken up to the next match: such a
character joins the letters after it, and others like it stay together.

The time is linear, as for cl100k. For the cuts, too, the argument is the same ([`super::letter_words`]): the first
two splits look at single characters, and no stretch but the rest has whitespace.
*/

use super::char_class::{CharClasses, SplitClass};
use super::gpt2::ascii_word_end;
use super::grammar::{AfterOthers, Contractions, Grammar, Words};
use super::runs::{after_others, is_newline, number_end, run_end, whitespace};
use SplitClass::{CjkLetter, CjkOther, CjkSymbol, Letter, Number, Other, Space, Symbol};

/// What the pattern shares with the family of cl100k.
pub(super) const GRAMMAR: Grammar = Grammar {
    words: Words::LettersAndMarks,
    contractions: Contractions::None,
    max_numbers: 3,
    after_others: AfterOthers::Newlines,
    keeps_last_whitespace: false,
};

/// The end of the pretoken that begins at `text[start]`; `start` is less than `text.len()`.
#[inline(always)]
pub(super) fn pretoken_end(classes: &CharClasses<SplitClass>, text: &[u8], start: usize) -> usize {
    let letters = start + usize::from(text[start] == b' ');
    match ascii_word_end(text, letters) {
        Some(end) if end > letters => end,
        _ => any_pretoken_end(classes, text, start),
    }
}

#[inline(never)]
fn any_pretoken_end(classes: &CharClasses<SplitClass>, text: &[u8], start: usize) -> usize {
    let (class, length) = classes.first(&text[start..]);
    let after = start + length;
    let next = text.get(after..).filter(|rest| !rest.is_empty()).map(|rest| classes.first(rest).0);
    let end_of = |at, of: SplitClass| run_end(classes, text, at, |class| class == of);
    let symbols_end = |at| after_others(AfterOthers::Newlines, text, end_of(at, Symbol));
    match (class, next) {
        (Number, _) => number_end(classes, 3, text, start, |class| class == Number),
        (CjkLetter, _) | (CjkOther, Some(CjkLetter)) => end_of(after, CjkLetter),
        (CjkSymbol, _) => end_of(after, CjkSymbol),
        (CjkOther, _) => unmatched_end(classes, text, after, CjkOther, CjkLetter),
        (Letter, _) => end_of(after, Letter),
        (Symbol, _) if text[start] < 0x80 && text.get(after).is_some_and(u8::is_ascii_alphabetic) => {
            after + text[after..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count()
        }
        (Symbol, _) => symbols_end(after),
        (_, Some(Letter)) if !is_newline(text[start]) => end_of(after, Letter),
        (Space, Some(Symbol)) if text[start] == b' ' => symbols_end(after),
        (Space, _) => {
            let run = whitespace(classes, text, start);
            let rest = &text[run.end..];
            run.pretoken_end(!rest.is_empty() && matches!(classes.first(rest).0, Letter | Symbol | Other))
        }
        (Other, _) => unmatched_end(classes, text, after, Other, Letter),
    }
}

/// The end of a stretch without a match, which continues at `at`. The last character before letters is a part of their
/// match.
fn unmatched_end(
    classes: &CharClasses<SplitClass>,
    text: &[u8],
    mut at: usize,
    unmatched: SplitClass,
    letter: SplitClass,
) -> usize {
    while at < text.len() {
        let (class, length) = classes.first(&text[at..]);
        let next = text.get(at + length..).filter(|rest| !rest.is_empty());
        if class != unmatched || next.is_some_and(|rest| classes.first(rest).0 == letter) {
            break;
        }
        at += length;
    }
    at
}

/*!
The parameters of one family of patterns, and the regular expressions that they stand for.

The patterns of GPT-4 and of most models after it are one expression with a few variations. Its alternatives are, in
turn: a contraction, a word, numbers, other characters with the newlines after them, and whitespace. A [`Grammar`] says
which variation each alternative has. So one scanner serves all of these patterns, and a test can check every combination.

Why is an expression compared with known spellings, and not analyzed? Two expressions are equal to a reader long before
they are equal to a program, and a wrong guess would change ids without a word. Here an expression is split at its `|`,
and each alternative must be one that this file lists. Any other expression goes to the regex engine.
*/

/// A pattern of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grammar {
    /// What a word is.
    pub words: Words,
    /// Which contractions there are. Where words have cases a contraction belongs to the word before it; elsewhere it
    /// is a pretoken.
    pub contractions: Contractions,
    /// The largest number of numbers in a pretoken; `usize::MAX` for no limit.
    pub max_numbers: usize,
    /// What may follow a run of other characters.
    pub after_others: AfterOthers,
    /// Whether the whitespace that ends a text is one pretoken even if it has a newline.
    pub keeps_last_whitespace: bool,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// A run of letters.
    Letters,
    /// A run of letters and marks.
    LettersAndMarks,
    /// Capitals, then small letters. Letters without case and marks count as both.
    Cased,
    /// The same without Han, of which each run is a pretoken.
    CasedBesideHan,
}

/// Which contractions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contractions {
    /// None.
    None,
    /// `'s` and its like.
    Small,
    /// `'s` and `'S`.
    Ascii,
    /// `'s`, `'S` and `'ſ`.
    AnyCase,
}

/// What may follow a run of other characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterOthers {
    /// `[\r\n]*`
    Newlines,
    /// `[\r\n/]*`
    NewlinesAndSlashes,
}

const SMALL: &str = "'s|'t|'re|'ve|'m|'ll|'d";
const ASCII: &str = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
const PREFIX: &str = r"[^\r\n\p{L}\p{N}]?";
const CAPITALS: &str = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}";
const SMALL_LETTERS: &str = r"\p{Ll}\p{Lm}\p{Lo}\p{M}";
const NOT_HAN: &str = r"&&[^\p{Han}]";

impl Grammar {
    /// The grammar of a regular expression, if it is of the family.
    pub fn recognize(expression: &str) -> Option<Grammar> {
        let mut rest = alternatives(without_group(expression)).into_iter().peekable();
        let has_han =
            rest.next_if(|alternative| matches!(*alternative, r"[\p{Han}]+" | r"\p{Han}+")).is_some();
        let before = contractions_before(&mut rest);
        let first = rest.next()?;
        let (words, contractions) = match plain_word(first) {
            Some(words) => (words, before.unwrap_or(Contractions::None)),
            None if before.is_none() => cased_words(first, rest.next()?)?,
            None => return None,
        };
        if has_han != (words == Words::CasedBesideHan) {
            return None;
        }
        let max_numbers = numbers(rest.next()?)?;
        let after_others = others(rest.next()?, words)?;
        let tail: Vec<&str> = rest.collect();
        let keeps_last_whitespace = match tail[..] {
            [r"\s++$" | r"\s+(?![\s\S])", r"\s*[\r\n]" | r"\s*[\r\n]+", r"\s+(?!\S)", r"\s" | r"\s+"] => true,
            [r"\s*[\r\n]" | r"\s*[\r\n]+", r"\s+(?!\S)", r"\s" | r"\s+"] => false,
            _ => return None,
        };
        Some(Grammar { words, contractions, max_numbers, after_others, keeps_last_whitespace })
    }

    /// The regular expression, written so that `fancy-regex` and Oniguruma read it alike.
    pub fn expression(&self) -> String {
        let han = if self.words == Words::CasedBesideHan { NOT_HAN } else { "" };
        let contractions = match self.contractions {
            Contractions::None => String::new(),
            Contractions::Small => format!("(?:{SMALL})"),
            Contractions::Ascii => format!("(?:{ASCII})"),
            Contractions::AnyCase => format!("(?i:{SMALL})"),
        };
        let before = if contractions.is_empty() { String::new() } else { format!("{contractions}|") };
        let behind = if contractions.is_empty() { String::new() } else { format!("{contractions}?") };
        let words = match self.words {
            Words::Letters => format!(r"{before}{PREFIX}\p{{L}}+"),
            Words::LettersAndMarks => format!(r"{before}{PREFIX}[\p{{L}}\p{{M}}]+"),
            Words::Cased | Words::CasedBesideHan => {
                let first = if han.is_empty() { "" } else { r"[\p{Han}]+|" };
                let branch = |some, more| {
                    format!("{PREFIX}[{CAPITALS}{han}]{some}[{SMALL_LETTERS}{han}]{more}{behind}")
                };
                format!("{first}{}|{}", branch("*", "+"), branch("+", "*"))
            }
        };
        let numbers = match self.max_numbers {
            1 => r"\p{N}".to_owned(),
            usize::MAX => r"\p{N}+".to_owned(),
            most => format!(r"\p{{N}}{{1,{most}}}"),
        };
        let marks = if self.words == Words::LettersAndMarks { r"\p{M}" } else { "" };
        let slash = if self.after_others == AfterOthers::NewlinesAndSlashes { "/" } else { "" };
        let last = if self.keeps_last_whitespace { r"\s+(?![\s\S])|" } else { "" };
        format!(
            r"{words}|{numbers}| ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n{slash}]*|{last}\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    }
}

/// The contractions that are alternatives of their own, which are taken from `rest`.
fn contractions_before<'e>(
    rest: &mut std::iter::Peekable<impl Iterator<Item = &'e str>>,
) -> Option<Contractions> {
    match *rest.peek()? {
        "'(?i:[sdmt]|ll|ve|re)" | "(?i:'s|'t|'re|'ve|'m|'ll|'d)" => {
            rest.next();
            Some(Contractions::AnyCase)
        }
        "'(?:[sdmt]|ll|ve|re)" | "(?:'s|'t|'re|'ve|'m|'ll|'d)" => {
            rest.next();
            Some(Contractions::Small)
        }
        "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])" => {
            rest.next();
            Some(Contractions::Ascii)
        }
        "'s" => {
            let all = SMALL.split('|').all(|one| rest.next_if_eq(&one).is_some());
            all.then_some(Contractions::Small)
        }
        _ => None,
    }
}

/// Words that are runs of one class. Letters cannot be the character before the word, so possessive quantifiers change
/// nothing; marks can.
fn plain_word(alternative: &str) -> Option<Words> {
    match alternative.strip_prefix(PREFIX)? {
        r"\p{L}+" | r"\p{L}++" | r"+\p{L}+" | r"+\p{L}++" => Some(Words::Letters),
        r"[\p{L}\p{M}]+" | r"[\p{L}\p{M}]++" => Some(Words::LettersAndMarks),
        _ => None,
    }
}

fn cased_words(first: &str, second: &str) -> Option<(Words, Contractions)> {
    for words in [Words::Cased, Words::CasedBesideHan] {
        for contractions in
            [Contractions::None, Contractions::Small, Contractions::Ascii, Contractions::AnyCase]
        {
            let grammar = Grammar {
                words,
                contractions,
                max_numbers: 1,
                after_others: AfterOthers::Newlines,
                keeps_last_whitespace: false,
            };
            let expression = grammar.expression();
            let skipped = usize::from(words == Words::CasedBesideHan);
            if alternatives(&expression)[skipped..].starts_with(&[first, second]) {
                return Some((words, contractions));
            }
        }
    }
    None
}

/// The largest number of numbers in a pretoken.
fn numbers(alternative: &str) -> Option<usize> {
    match alternative.strip_prefix(r"\p{N}")? {
        "" => Some(1),
        "+" | "++" => Some(usize::MAX),
        count => {
            let count = count.strip_prefix("{1,")?;
            let count = count.strip_suffix("}+").or_else(|| count.strip_suffix('}'))?;
            count.parse().ok().filter(|&most: &usize| (1..10).contains(&most) && count.len() == 1)
        }
    }
}

fn others(alternative: &str, words: Words) -> Option<AfterOthers> {
    let class =
        if words == Words::LettersAndMarks { r" ?[^\s\p{L}\p{M}\p{N}]+" } else { r" ?[^\s\p{L}\p{N}]+" };
    let after = alternative.strip_prefix(class)?;
    match after.strip_prefix('+').unwrap_or(after) {
        r"[\r\n]*" | r"[\r\n]*+" => Some(AfterOthers::Newlines),
        r"[\r\n/]*" | r"[\r\n/]*+" => Some(AfterOthers::NewlinesAndSlashes),
        _ => None,
    }
}

/// An expression without a group around all of it.
fn without_group(expression: &str) -> &str {
    let inside = expression.strip_prefix("(?:").or_else(|| expression.strip_prefix('('));
    match inside.and_then(|inside| inside.strip_suffix(')')) {
        Some(inside) if !inside.starts_with('?') && is_balanced(inside) => inside,
        _ => expression,
    }
}

/// Whether each bracket that an expression closes was opened in it.
fn is_balanced(expression: &str) -> bool {
    let mut is_below = false;
    for_each_outside(expression, |_, depth| is_below |= depth < 0);
    !is_below
}

/// The alternatives of an expression: what its `|` outside all brackets separate.
fn alternatives(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for_each_outside(expression, |at, depth| {
        if depth == 0 && expression.as_bytes()[at] == b'|' {
            found.push(&expression[start..at]);
            start = at + 1;
        }
    });
    found.push(&expression[start..]);
    found
}

/// Calls `visit` with the position of each character of an expression that is not escaped and in no class, and with
/// the number of groups that are open after it.
fn for_each_outside(expression: &str, mut visit: impl FnMut(usize, i32)) {
    let (mut groups, mut classes, mut is_escaped) = (0, 0, false);
    for (at, character) in expression.bytes().enumerate() {
        match character {
            _ if is_escaped => {
                is_escaped = false;
                continue;
            }
            b'\\' => is_escaped = true,
            b'[' => classes += 1,
            b']' => classes -= 1,
            b'(' if classes == 0 => groups += 1,
            b')' if classes == 0 => groups -= 1,
            _ => {}
        }
        if classes == 0 {
            visit(at, groups);
        }
    }
}

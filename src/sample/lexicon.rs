/*!
The words of the stories, from lexicon.txt.
*/

use super::mistake::{Mistake, numbered_lines};
use super::spelling::{adverb, compared, verb_forms, with_s};

const TEXT: &str = include_str!("lexicon.txt");

/// Which pronouns a word takes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Gender {
    She,
    He,
    Either,
}

/// Nouns fill two of the forms (plural second), verbs four (-s, past, -ing), adjectives four (-er, -est, -ly).
pub(super) struct Word {
    pub forms: [String; 4],
    pub gender: Gender,
}

/// Words that can stand in the same place, the most frequent first.
pub(super) struct Class {
    name: String,
    /// Indices into [`Lexicon::words`].
    pub words: Vec<usize>,
}

/// All words and classes.
#[derive(Default)]
pub(super) struct Lexicon {
    pub words: Vec<Word>,
    pub classes: Vec<Class>,
}

/// A section of the file. It decides how its words get their forms.
#[derive(Clone, Copy)]
enum Section {
    Words,
    Nouns,
    Verbs,
    Adjectives,
    Numbers,
    Unions,
}

impl Section {
    fn new(name: &str) -> Option<Self> {
        Some(match name {
            "words" => Section::Words,
            "nouns" => Section::Nouns,
            "verbs" => Section::Verbs,
            "adjectives" => Section::Adjectives,
            "numbers" => Section::Numbers,
            "unions" => Section::Unions,
            _ => return None,
        })
    }

    /// The forms of a word. `other` are its irregular forms.
    fn forms(self, word: &str, other: &[&str]) -> [String; 4] {
        match self {
            Section::Nouns => {
                let plural = other.first().map_or_else(|| with_s(word), |plural| (*plural).to_owned());
                [word.into(), plural, String::new(), String::new()]
            }
            Section::Verbs => verb_forms(word, other),
            Section::Adjectives => [word.into(), compared(word, "er"), compared(word, "est"), adverb(word)],
            Section::Words | Section::Numbers | Section::Unions => only_form(word.into()),
        }
    }
}

fn only_form(text: String) -> [String; 4] {
    [text, String::new(), String::new(), String::new()]
}

impl Lexicon {
    /// Reads the embedded file.
    pub fn embedded() -> Result<Self, Mistake> {
        Lexicon::parse(TEXT)
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let mut lexicon = Lexicon::default();
        let (mut section, mut gender) = (None, Gender::Either);
        for (number, line) in numbered_lines(text) {
            let mistake = |what: String| Mistake { file: "lexicon.txt", line: number, what };
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let known =
                    Section::new(name).ok_or_else(|| mistake(format!("no section is called {name}")))?;
                if matches!(known, Section::Unions) {
                    lexicon.add_compounds();
                }
                section = Some(known);
                continue;
            }
            let section = section.ok_or_else(|| mistake("a class is in a section".into()))?;
            let words = if line.starts_with(' ') {
                line
            } else {
                let (head, words) = line
                    .split_once(':')
                    .ok_or_else(|| mistake("a class begins with its name and a colon".into()))?;
                let name;
                (name, gender) = match (head.strip_suffix(" (she)"), head.strip_suffix(" (he)")) {
                    (Some(name), _) => (name, Gender::She),
                    (_, Some(name)) => (name, Gender::He),
                    _ => (head, Gender::Either),
                };
                if lexicon.class(name).is_some() {
                    return Err(mistake(format!("there is a class {name} already")));
                }
                lexicon.classes.push(Class { name: name.into(), words: Vec::new() });
                words
            };
            lexicon.add_line(section, words, gender).map_err(mistake)?;
        }
        Ok(lexicon)
    }

    /// Adds a line of words to the last class.
    fn add_line(&mut self, section: Section, line: &str, gender: Gender) -> Result<(), String> {
        match section {
            Section::Numbers => {
                let (first, last) = line.trim().split_once(' ').ok_or("two numbers are wanted")?;
                let number = |text: &str| text.parse::<u32>().map_err(|error| format!("{text}: {error}"));
                for number in number(first)?..=number(last)? {
                    self.add_word(only_form(number.to_string()), gender)?;
                }
            }
            Section::Unions => {
                if self.classes.last().is_some_and(|union| !union.words.is_empty()) {
                    return Err("a union is one line".into());
                }
                let mut ranked: Vec<(usize, usize)> = Vec::new();
                for member in line.split_whitespace() {
                    let class = self.class(member).ok_or_else(|| format!("no class is called {member}"))?;
                    ranked.extend(self.classes[class].words.iter().copied().enumerate());
                }
                ranked.sort_unstable();
                let union = self.classes.last_mut().ok_or("words without a class")?;
                union.words = ranked.into_iter().map(|(_, word)| word).collect();
            }
            _ => {
                for entry in line.split_whitespace() {
                    let entry = entry.replace('_', " ");
                    let mut forms = entry.split('/');
                    let word = forms.next().unwrap_or_default();
                    let other: Vec<&str> = forms.collect();
                    self.add_word(section.forms(word, &other), gender)?;
                }
            }
        }
        Ok(())
    }

    fn add_word(&mut self, forms: [String; 4], gender: Gender) -> Result<(), String> {
        self.classes.last_mut().ok_or("a word without a class")?.words.push(self.words.len());
        self.words.push(Word { forms, gender });
        Ok(())
    }

    /// Adds the classes whose words are made of other words.
    fn add_compounds(&mut self) {
        let (heads, ends) = (self.texts("townhead"), self.texts("townend"));
        let towns = (0..heads.len() * ends.len()).filter_map(|i| {
            let (round, head) = (i / heads.len(), i % heads.len());
            let (head, end) = (heads.get(head)?, ends.get((round + head) % ends.len())?);
            (!head.to_lowercase().ends_with(end.as_str())).then(|| format!("{head}{end}"))
        });
        self.add_class("town", towns.collect(), Gender::Either);
        let surnames = self.texts("surname");
        self.add_class("lady", surnames.iter().map(|name| format!("Mrs {name}")).collect(), Gender::She);
        self.add_class("gentleman", surnames.iter().map(|name| format!("Mr {name}")).collect(), Gender::He);
    }

    fn add_class(&mut self, name: &str, texts: Vec<String>, gender: Gender) {
        let first = self.words.len();
        self.words.extend(texts.into_iter().map(|text| Word { forms: only_form(text), gender }));
        self.classes.push(Class { name: name.into(), words: (first..self.words.len()).collect() });
    }

    /// The number of a class.
    pub fn class(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class.name == name)
    }

    fn texts(&self, class: &str) -> Vec<String> {
        let words = self.class(class).map(|class| self.classes[class].words.as_slice()).unwrap_or_default();
        words.iter().map(|&word| self.words[word].forms[0].clone()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_lexicon_has_no_mistake() {
        let lexicon = Lexicon::embedded().unwrap_or_else(|mistake| panic!("{mistake}"));
        assert!(lexicon.words.len() > 5_000 && lexicon.classes.len() > 100);
        assert!(lexicon.classes.iter().all(|class| !class.words.is_empty()));
    }

    #[test]
    fn a_class_goes_on_in_indented_lines_and_its_words_have_forms() {
        let lexicon = Lexicon::parse(
            "# a comment\n\n[nouns]\npet (she): cat\n  mouse/mice ice_cream\n[unions]\nall: pet\n",
        );
        let lexicon = lexicon.unwrap();
        let class = |name| &lexicon.classes[lexicon.class(name).unwrap()].words[..];
        let forms = |word: usize| [0, 1].map(|form| &lexicon.words[word].forms[form][..]);
        assert_eq!([0, 1, 2].map(forms), [["cat", "cats"], ["mouse", "mice"], ["ice cream", "ice creams"]]);
        assert_eq!((class("pet"), class("all")), (&[0, 1, 2][..], &[0, 1, 2][..]));
        assert!(lexicon.words[2].gender == Gender::She);
    }

    #[test]
    fn a_mistake_names_its_line() {
        for (text, line, what) in [
            ("girl: Lily", 1, "a class is in a section"),
            ("[noun]", 1, "no section is called noun"),
            ("[nouns]\n# a comment\ncat dog", 3, "a class begins with its name and a colon"),
            ("[nouns]\npet: cat\npet: dog", 3, "there is a class pet already"),
            ("[nouns]\n  cat", 2, "a word without a class"),
            ("[numbers]\nage: 4", 2, "two numbers are wanted"),
            ("[numbers]\nage: 4 x", 2, "x: invalid digit found in string"),
            ("[unions]\nall: pet", 2, "no class is called pet"),
            ("[words]\npet: cat\n[unions]\nall: pet\n  pet", 5, "a union is one line"),
        ] {
            let mistake = Lexicon::parse(text).err().unwrap();
            assert_eq!((mistake.line, &mistake.what[..]), (line, what), "{text}");
        }
    }
}

/*!
The plots and templates of the stories, from grammar.txt.

The file is read once. The names of classes, forms, roles and pools become numbers, so that writing a story
looks up no names.
*/

use super::lexicon::Lexicon;
use super::mistake::{Mistake, numbered_lines};
use super::split::sentence_end;

const TEXT: &str = include_str!("grammar.txt");

/// Roles are the letters from A to Z.
pub(super) const NUM_ROLES: usize = 26;
/// The role `H`.
pub(super) const HERO: usize = 7;

/// The pronouns and nouns of a role. The first word of a row is its name; the second is for a woman and the
/// third for a man.
pub(super) const PRONOUNS: [[&str; 3]; 7] = [
    ["he", "she", "he"],
    ["him", "her", "him"],
    ["his", "her", "his"],
    ["himself", "herself", "himself"],
    ["lad", "girl", "boy"],
    ["person", "woman", "man"],
    ["heir", "daughter", "son"],
];

/// A part of a template. Classes, forms and roles are numbers.
pub(super) enum Token {
    Text(String),
    Article,
    /// A random word.
    Draw {
        class: usize,
        form: usize,
        title: bool,
    },
    /// The word of a role.
    Role {
        role: usize,
        form: usize,
    },
    /// A pronoun of a role, by its row in [`PRONOUNS`].
    Pronoun {
        role: usize,
        row: usize,
    },
    Choice(Vec<Vec<Token>>),
}

/// A sentence of a template. It is drawn again until it belongs to the story's split.
pub(super) struct Sentence {
    /// The character before the sentence, unless it is the first of its template.
    pub separator: char,
    /// Whether it begins with a capital letter.
    pub capital: bool,
    pub tokens: Vec<Token>,
    /// The maximum number of times that it is drawn.
    pub tries: usize,
}

/// Sentences that follow each other.
pub(super) type Template = Vec<Sentence>;

/// Templates that can stand in the same place.
pub(super) struct Pool {
    /// The pool's name; empty for the templates of a single step.
    name: String,
    pub templates: Vec<Template>,
}

/// A step of a plot. Pools are numbers.
pub(super) enum Step {
    Paragraph,
    Title(usize),
    Line { pool: usize, optional: bool },
}

/// The cast of a story and what happens in it.
pub(super) struct Plot {
    /// Each role, and the class from which it is cast.
    pub cast: Vec<(usize, usize)>,
    pub steps: Vec<Step>,
}

/// All plots and pools.
#[derive(Default)]
pub(super) struct Grammar {
    pub pools: Vec<Pool>,
    pub plots: Vec<Plot>,
}

impl Grammar {
    /// Reads the embedded file.
    pub fn embedded(lexicon: &Lexicon) -> Result<Self, Mistake> {
        Grammar::parse(TEXT, lexicon)
    }

    fn parse(text: &str, lexicon: &Lexicon) -> Result<Self, Mistake> {
        let mut parser = Parser { lexicon, grammar: Grammar::default(), shorthands: Vec::new() };
        for (number, line) in numbered_lines(text) {
            let read = match line.strip_prefix(' ') {
                Some(template) => parser.read_template(template.trim()),
                None => parser.read_command(line.trim()),
            };
            read.map_err(|what| Mistake { file: "grammar.txt", line: number, what })?;
        }
        Ok(parser.grammar)
    }
}

/// A grammar that is being read.
struct Parser<'a> {
    lexicon: &'a Lexicon,
    grammar: Grammar,
    /// Each shorthand's name, with its `%`, and its meaning.
    shorthands: Vec<(String, String)>,
}

impl Parser<'_> {
    /// Reads a line that is not a template.
    fn read_command(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with('%') {
            let line = self.expand(line);
            let (name, meaning) = line.split_once(" = ").ok_or("a shorthand is \"%name = ...\"")?;
            self.shorthands.push((name.into(), meaning.into()));
            return Ok(());
        }
        let (optional, command) = match line.strip_prefix("optional ") {
            Some(command) => (true, command),
            None => (false, line),
        };
        let (command, argument) = command.split_once(' ').unwrap_or((command, ""));
        match (command, argument, optional) {
            ("pool", name, false) if !name.is_empty() => {
                self.add_pool(name);
                Ok(())
            }
            ("plot", roles, false) => {
                let cast =
                    roles.split_whitespace().map(|role| self.casting(role)).collect::<Result<_, _>>()?;
                self.grammar.plots.push(Plot { cast, steps: Vec::new() });
                Ok(())
            }
            ("title", "", false) => {
                let pool = self.add_pool("");
                self.add_step(Step::Title(pool))
            }
            ("step", "", _) => {
                let pool = self.add_pool("");
                self.add_step(Step::Line { pool, optional })
            }
            ("step", name, _) => {
                let pool = self.grammar.pools.iter().position(|pool| pool.name == name);
                let pool = pool.ok_or_else(|| format!("no pool is called {name}"))?;
                self.add_step(Step::Line { pool, optional })
            }
            ("paragraph", "", false) => self.add_step(Step::Paragraph),
            _ => Err(format!("{line:?} is not a command, and a template begins with a space")),
        }
    }

    fn expand(&self, text: &str) -> String {
        self.shorthands.iter().fold(text.to_string(), |text, (name, meaning)| text.replace(name, meaning))
    }

    /// Reads `X=class`.
    fn casting(&self, text: &str) -> Result<(usize, usize), String> {
        let casting = text
            .split_once('=')
            .and_then(|(letter, class)| Some((role(letter)?, self.lexicon.class(class)?)));
        casting.ok_or_else(|| format!("{text} is not a role and the class that plays it"))
    }

    fn add_pool(&mut self, name: &str) -> usize {
        self.grammar.pools.push(Pool { name: name.into(), templates: Vec::new() });
        self.grammar.pools.len() - 1
    }

    fn add_step(&mut self, step: Step) -> Result<(), String> {
        self.grammar.plots.last_mut().ok_or("a step is in a plot")?.steps.push(step);
        Ok(())
    }

    fn read_template(&mut self, line: &str) -> Result<(), String> {
        let template = self.template(line)?;
        self.grammar.pools.last_mut().ok_or("a template is in a pool or a step")?.templates.push(template);
        Ok(())
    }

    fn template(&self, line: &str) -> Result<Template, String> {
        let line = self.expand(line);
        if line.contains('%') {
            return Err(format!("a shorthand in {line:?} is not known"));
        }
        let mut sentences: Template = Vec::new();
        let (mut separator, mut capital) = (' ', true);
        let mut rest = line.as_str();
        while !rest.is_empty() {
            let (sentence, next) = rest.split_at(sentence_end(rest));
            let mut text = sentence;
            let tokens = self.tokens(&mut text)?;
            if !text.is_empty() {
                return Err(format!("there is no choice open before {text:?}"));
            }
            let tries = variety(&tokens, self.lexicon).saturating_mul(2).clamp(2, 64);
            sentences.push(Sentence { separator, capital, tokens, tries });
            capital = !sentence.ends_with("!\"") && !sentence.ends_with("?\"");
            separator = if next.starts_with('~') { '\n' } else { ' ' };
            capital |= separator == '\n';
            rest = next.trim_start_matches([' ', '~']);
        }
        Ok(sentences)
    }

    /// Reads tokens up to the end of the text, or of the alternative that contains them.
    fn tokens(&self, text: &mut &str) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        while let Some(mark) = text.chars().next() {
            match mark {
                '{' => {
                    let (slot, rest) = text[1..].split_once('}').ok_or("a { is not closed")?;
                    *text = rest;
                    if slot == "a" {
                        *text = text.strip_prefix(' ').unwrap_or(text);
                    }
                    tokens.push(self.slot(slot).ok_or_else(|| format!("nothing is called {{{slot}}}"))?);
                }
                '[' => {
                    let mut alternatives = Vec::new();
                    while text.starts_with(['[', '|']) {
                        *text = &text[1..];
                        alternatives.push(self.tokens(text)?);
                    }
                    *text = text.strip_prefix(']').ok_or("a [ is not closed")?;
                    tokens.push(Token::Choice(alternatives));
                }
                '|' | ']' => break,
                _ => {
                    let end = text.find(['{', '[', '|', ']']).unwrap_or(text.len());
                    tokens.push(Token::Text(text[..end].into()));
                    *text = &text[end..];
                }
            }
        }
        Ok(tokens)
    }

    /// Reads the content of braces.
    fn slot(&self, slot: &str) -> Option<Token> {
        if slot == "a" {
            return Some(Token::Article);
        }
        if let Some(row) = pronoun(slot) {
            return Some(Token::Pronoun { role: HERO, row });
        }
        let (title, slot) = (slot.starts_with('^'), slot.trim_start_matches('^'));
        let (name, ending) = slot.split_once(':').unwrap_or((slot, ""));
        let form = match ending {
            "" => 0,
            "s" | "er" => 1,
            "d" | "est" => 2,
            "g" | "ly" => 3,
            _ => return Some(Token::Pronoun { role: role(name)?, row: pronoun(ending)? }),
        };
        if let Some(role) = role(name) {
            return Some(Token::Role { role, form });
        }
        let class = self.lexicon.class(name)?;
        let word = self.lexicon.classes[class].words.first()?;
        let has_form = !self.lexicon.words[*word].forms[form].is_empty();
        has_form.then_some(Token::Draw { class, form, title })
    }
}

/// The number of a role.
fn role(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    }
}

/// The row of a pronoun.
fn pronoun(name: &str) -> Option<usize> {
    PRONOUNS.iter().position(|row| row[0] == name)
}

/// The number of texts that the tokens can become, for a given cast.
fn variety(tokens: &[Token], lexicon: &Lexicon) -> usize {
    tokens.iter().fold(1_usize, |product, token| {
        product.saturating_mul(match token {
            Token::Draw { class, .. } => lexicon.classes[*class].words.len(),
            Token::Choice(alternatives) => alternatives
                .iter()
                .fold(0, |sum: usize, alternative| sum.saturating_add(variety(alternative, lexicon))),
            _ => 1,
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_grammar_has_no_mistake() {
        let lexicon = Lexicon::embedded().unwrap_or_else(|mistake| panic!("{mistake}"));
        let grammar = Grammar::embedded(&lexicon).unwrap_or_else(|mistake| panic!("{mistake}"));
        assert!(grammar.plots.len() > 10 && grammar.pools.len() > 100);
        assert!(grammar.pools.iter().all(|pool| !pool.templates.is_empty()));
    }

    #[test]
    fn a_mistake_names_its_line() {
        let lexicon = Lexicon::embedded().unwrap();
        let parse = |text: &str| Grammar::parse(text, &lexicon);
        assert!(parse("# a comment\n\n%x = [{animal}|{a} {sky} day]\npool open\n  %x. {He}").is_err());
        assert!(parse("%x = [{animal}|{a} {sky} day]\npool open\n  %x.~{he} {H:his} {^tree:s} {F}.").is_ok());
        for (text, line, what) in [
            ("pool open\n\n  the {anymal}", 3, "nothing is called {anymal}"),
            ("pool open\n  the {sky:s}", 2, "nothing is called {sky:s}"),
            ("pool open\n  the {animal", 2, "a { is not closed"),
            ("pool open\n  [a|b", 2, "a [ is not closed"),
            ("pool open\n  a|b", 2, "there is no choice open before \"|b\""),
            ("pool open\n  %day", 2, "a shorthand in \"%day\" is not known"),
            ("  a day", 1, "a template is in a pool or a step"),
            ("step", 1, "a step is in a plot"),
            ("plot H=child\nstep opening", 2, "no pool is called opening"),
            ("plot HH=child", 1, "HH=child is not a role and the class that plays it"),
            (
                "optional paragraph",
                1,
                "\"optional paragraph\" is not a command, and a template begins with a space",
            ),
            ("%day", 1, "a shorthand is \"%name = ...\""),
        ] {
            let mistake = parse(text).err().unwrap();
            assert_eq!((mistake.line, &mistake.what[..]), (line, what), "{text}");
        }
    }
}

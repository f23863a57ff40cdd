/*!
Writing stories: a plot, a cast for it, and for each step a template whose sentences belong to the split.
*/

use super::grammar::{Grammar, HERO, NUM_ROLES, PRONOUNS, Sentence, Step, Token};
use super::lexicon::{Gender, Lexicon};
use super::mistake::Mistake;
use super::random::{SplitMix64, mix};
use super::spelling::{capitalize, in_title_case, wants_an};
use super::split::Split;
use std::sync::OnceLock;

/// The words and plots of all stories.
struct Book {
    lexicon: Lexicon,
    grammar: Grammar,
}

impl Book {
    fn embedded() -> Result<Self, Mistake> {
        let lexicon = Lexicon::embedded()?;
        let grammar = Grammar::embedded(&lexicon)?;
        Ok(Book { lexicon, grammar })
    }
}

fn book() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    // Tests of the lexicon and of the grammar prove that the two embedded files have no mistake.
    BOOK.get_or_init(|| Book::embedded().unwrap_or_else(|mistake| panic!("{mistake}")))
}

/// An endless writer of stories.
pub struct StoryWriter {
    random: SplitMix64,
    split: Split,
    cast: [(usize, Gender); NUM_ROLES],
    line: String,
    article: bool,
    recent: [usize; 8],
    plot: usize,
}

impl StoryWriter {
    /// A writer whose stories depend on the seed and the split alone.
    pub fn new(seed: u64, split: Split) -> Self {
        let salt = match split {
            Split::Train => 0,
            Split::Validation => 0x5DEE_CE66,
        };
        StoryWriter {
            random: SplitMix64::new(mix(seed ^ salt)),
            split,
            cast: [(0, Gender::Either); NUM_ROLES],
            line: String::new(),
            article: false,
            recent: [usize::MAX; 8],
            plot: usize::MAX,
        }
    }

    /// Appends a story: its paragraphs, without a newline at the end.
    pub fn write_story(&mut self, out: &mut String) {
        let book = book();
        let mut plot = self.random.below(book.grammar.plots.len());
        if plot == self.plot {
            plot = self.random.below(book.grammar.plots.len());
        }
        self.plot = plot;
        let Some(plot) = book.grammar.plots.get(plot) else { return };
        self.cast = [(usize::MAX, Gender::Either); NUM_ROLES];
        for &(role, class) in &plot.cast {
            self.cast[role] = self.casting(book, class, role);
        }
        let start = out.len();
        let mut separator = ' ';
        for step in &plot.steps {
            match *step {
                Step::Paragraph => separator = '\n',
                Step::Line { optional: true, .. } if self.random.below(2) == 0 => {}
                Step::Title(pool) => {
                    if self.random.below(3) > 0 && self.write_step(out, start, book, pool, separator, true) {
                        separator = '\n';
                    }
                }
                Step::Line { pool, .. } => {
                    if self.write_step(out, start, book, pool, separator, false) {
                        separator = ' ';
                    }
                }
            }
        }
    }

    /// Draws a word for a role. It differs from the words of all other roles and from the hero's gender.
    fn casting(&mut self, book: &Book, class: usize, role: usize) -> (usize, Gender) {
        let rival = if role == HERO { Gender::Either } else { self.cast[HERO].1 };
        let mut choice = (0, Gender::Either);
        for _ in 0..24 {
            let word = self.draw(book, class);
            let coin = if self.random.below(2) == 0 { Gender::She } else { Gender::He };
            let gender = match (book.lexicon.words[word].gender, rival) {
                (Gender::Either, Gender::She) => Gender::He,
                (Gender::Either, Gender::He) => Gender::She,
                (Gender::Either, Gender::Either) => coin,
                (own, _) => own,
            };
            choice = (word, gender);
            let text = &book.lexicon.words[word].forms[0];
            let taken = |&(other, _): &(usize, Gender)| {
                book.lexicon.words.get(other).is_some_and(|word| word.forms[0] == *text)
            };
            if gender != rival && !self.cast.iter().any(taken) {
                break;
            }
        }
        choice
    }

    fn draw(&mut self, book: &Book, class: usize) -> usize {
        let words = &book.lexicon.classes[class].words;
        words.get(self.random.skewed_below(words.len())).copied().unwrap_or_default()
    }

    /// Writes a template of a pool whose sentences belong to the split. Returns whether such a template was
    /// found.
    fn write_step(
        &mut self,
        out: &mut String,
        start: usize,
        book: &'static Book,
        pool: usize,
        separator: char,
        title: bool,
    ) -> bool {
        let templates = &book.grammar.pools[pool].templates;
        let before = out.len();
        for _ in 0..24 {
            let Some(template) = templates.get(self.random.below(templates.len())) else {
                return false;
            };
            self.recent = [usize::MAX; 8];
            let mut complete = true;
            for (i, sentence) in template.iter().enumerate() {
                complete = (0..sentence.tries).any(|_| self.write_sentence(book, sentence, title));
                if !complete {
                    break;
                }
                if out.len() > start {
                    out.push(if i == 0 { separator } else { sentence.separator });
                }
                out.push_str(&self.line);
            }
            if complete {
                return true;
            }
            out.truncate(before);
        }
        false
    }

    /// Writes a sentence into `line`. Returns whether it belongs to the split.
    fn write_sentence(&mut self, book: &'static Book, sentence: &'static Sentence, title: bool) -> bool {
        self.line.clear();
        self.article = false;
        self.write_tokens(book, &sentence.tokens);
        if sentence.capital {
            capitalize(&mut self.line);
        }
        if title {
            self.line = in_title_case(&self.line);
        }
        self.split.has_all(&self.line)
    }

    fn write_tokens(&mut self, book: &'static Book, tokens: &'static [Token]) {
        for token in tokens {
            match token {
                Token::Text(text) => self.push(text),
                Token::Article => {
                    self.line.push_str("a ");
                    self.article = true;
                }
                &Token::Draw { class, form, title } => {
                    let mut word = self.draw(book, class);
                    for _ in 0..4 {
                        if !self.recent.contains(&word) {
                            break;
                        }
                        word = self.draw(book, class);
                    }
                    self.recent.rotate_right(1);
                    self.recent[0] = word;
                    if title {
                        let text = in_title_case(&book.lexicon.words[word].forms[form]);
                        self.push(&text);
                    } else {
                        self.push(&book.lexicon.words[word].forms[form]);
                    }
                }
                &Token::Role { role, form } => {
                    let word = self.cast[role].0;
                    if let Some(word) = book.lexicon.words.get(word) {
                        self.push(&word.forms[form]);
                    }
                }
                &Token::Pronoun { role, row } => {
                    let column = if self.cast[role].1 == Gender::She { 1 } else { 2 };
                    self.push(PRONOUNS[row][column]);
                }
                Token::Choice(alternatives) => {
                    if let Some(alternative) = alternatives.get(self.random.below(alternatives.len())) {
                        self.write_tokens(book, alternative);
                    }
                }
            }
        }
    }

    /// Appends a text, and decides whether an article before it is `a` or `an`.
    fn push(&mut self, text: &str) {
        if self.article && wants_an(text) {
            self.line.pop();
            self.line.push_str("n ");
        }
        self.article = false;
        self.line.push_str(text);
    }
}

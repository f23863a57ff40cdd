/*!
A writer of small children's stories: the text that demos, tests and benches train on.

Why not ship a file? A few megabytes of text would outweigh the rest of the repository, and a bench wants
as many bytes as it asks for. A seed and this module give the same bytes on every machine, for ever.

Why not random words? A tokenizer learns next to nothing from noise, and a model less. Here a story has a cast
that stays the same from its first line to its last, a plot (something is lost, feared, built, shared...) whose
steps follow from each other, and a lexicon large enough for thousands of different words. The common ones
come often and the rare ones seldom, as they do in books.

How are the splits kept apart? By the sentence. Every line passes one gate, which cuts it into sentences and
hashes each: one sentence in eight belongs to validation, the others to training, whatever the seed. What falls
on the wrong side is drawn again, first with fresh words and then from another template. Each of these loops
has a bound; a step that finds no sentence within it is left out of its story, so writing always ends. No text
can stand on both sides, because the side is a function of the text alone.
*/

mod grammar;
mod lexicon;

use crate::error::Error;
use crate::job::Job;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

/// Which of two sets of sentences a story is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Seven sentences in eight.
    Train,
    /// The others.
    Validation,
}

/// The line that ends each story.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Writes whole stories, each ended by a line `<|endoftext|>`, until `num_bytes` bytes or at most a story more
/// are written. Returns the bytes written.
pub fn write_sample(out: &mut impl Write, num_bytes: u64, seed: u64, split: Split) -> io::Result<u64> {
    write_until(out, num_bytes, seed, split, || Ok(()))
}

fn write_until(
    out: &mut impl Write,
    num_bytes: u64,
    seed: u64,
    split: Split,
    check: impl Fn() -> io::Result<()>,
) -> io::Result<u64> {
    let mut writer = StoryWriter::new(seed, split);
    let mut text = String::new();
    let mut written = 0;
    while written + (text.len() as u64) < num_bytes {
        writer.write_story(&mut text);
        text.push('\n');
        text.push_str(END_OF_TEXT);
        text.push('\n');
        if text.len() >= 1 << 16 {
            check()?;
            out.write_all(text.as_bytes())?;
            written += text.len() as u64;
            text.clear();
        }
    }
    out.write_all(text.as_bytes())?;
    Ok(written + text.len() as u64)
}

/// As [`write_sample`], into a file, which appears when it is whole.
///
/// # Errors
/// [`Error::Io`] with the path, [`Error::Cancelled`].
pub fn write_file(path: &Path, num_bytes: u64, seed: u64, split: Split, job: &Job) -> Result<u64, Error> {
    crate::output::check_file(path)?;
    let failed = |error| Error::io("write", path, error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let readable = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder).map_err(failed)?;
    let check = || job.check().map_err(io::Error::other);
    let written = write_until(&mut file, num_bytes, seed, split, check);
    job.check()?;
    let written = written.map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(written)
}

/// Splits a line after each `.`, `!` or `?` and the closing quote that may follow.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let sentence;
            (sentence, rest) = rest.split_at(sentence_end(rest));
            let sentence = sentence.trim();
            if !sentence.is_empty() {
                return Some(sentence);
            }
        }
        None
    })
}

fn sentence_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| matches!(byte, b'.' | b'!' | b'?')) {
        Some(stop) if bytes.get(stop + 1) == Some(&b'"') => stop + 2,
        Some(stop) => stop + 1,
        None => text.len(),
    }
}

/// The side that a sentence belongs to.
fn side(sentence: &str) -> Split {
    let mut hash = 0x9E37_79B9_7F4A_7C15 ^ sentence.len() as u64;
    for chunk in sentence.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word));
    }
    if hash >> 61 == 0 { Split::Validation } else { Split::Train }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        scale(self.next() >> 48, n)
    }

    /// Small numbers often, but one draw in four is even, so that no word is out of reach.
    fn skewed_below(&mut self, n: usize) -> usize {
        let x = self.next();
        let (a, b, c) = (x >> 48, (x >> 32) & 0xFFFF, (x >> 16) & 0xFFFF);
        scale(if x & 3 == 0 { a } else { a.min(b).min(c) }, n)
    }
}

/// Brings a number of 16 bits below `n`.
fn scale(x: u64, n: usize) -> usize {
    ((x * n as u64) >> 16) as usize
}

#[derive(Clone, Copy, PartialEq)]
enum Gender {
    She,
    He,
    Either,
}

/// Nouns fill two of the forms (plural second), verbs four (-s, past, -ing), adjectives four (-er, -est, -ly).
struct Word {
    forms: [String; 4],
    gender: Gender,
}

struct Class {
    name: String,
    words: Vec<usize>,
}

enum Token {
    Text(String),
    Article,
    Draw { class: usize, form: usize, title: bool, keep: Option<usize> },
    Kept { register: usize, form: usize },
    Pronoun { register: usize, row: usize },
    Choice(Vec<Vec<Token>>),
}

/// What is written and judged at a time; for most templates a sentence.
struct Piece {
    separator: char,
    capital: bool,
    tokens: Vec<Token>,
    tries: usize,
}

type Template = Vec<Piece>;

enum Step {
    Paragraph,
    Title(usize),
    Line { pool: usize, optional: bool },
}

struct Plot {
    cast: Vec<(usize, usize)>,
    steps: Vec<Step>,
}

#[derive(Default)]
struct Book {
    words: Vec<Word>,
    classes: Vec<Class>,
    pools: Vec<(String, Vec<Template>)>,
    plots: Vec<Plot>,
    macros: Vec<(String, String)>,
    mistakes: Vec<String>,
}

const REGISTERS: usize = 26;
const HERO: usize = 7;
const PRONOUNS: [[&str; 3]; 7] = [
    ["he", "she", "he"],
    ["him", "her", "him"],
    ["his", "her", "his"],
    ["himself", "herself", "himself"],
    ["lad", "girl", "boy"],
    ["person", "woman", "man"],
    ["heir", "daughter", "son"],
];

fn book() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    BOOK.get_or_init(|| {
        let mut book = Book::default();
        book.read_lexicon();
        book.read_grammar(grammar::GRAMMAR);
        book
    })
}

impl Book {
    fn read_lexicon(&mut self) {
        self.read_words(lexicon::PLAIN, |word, _| [word.into(), String::new(), String::new(), String::new()]);
        self.read_words(lexicon::NOUNS, |word, other| {
            [
                word.into(),
                other.first().map_or_else(|| with_s(word), |s| s.to_string()),
                String::new(),
                String::new(),
            ]
        });
        self.read_words(lexicon::VERBS, verb_forms);
        self.read_words(lexicon::ADJECTIVES, |word, _| {
            [word.into(), compared(word, "er"), compared(word, "est"), adverb(word)]
        });
        for &(name, first, last) in lexicon::NUMBERS {
            let digits = (first..=last).map(|number| number.to_string());
            self.add_class(name, digits.collect::<Vec<_>>(), Gender::Either);
        }
        let (heads, ends) = (self.texts("townhead"), self.texts("townend"));
        let towns = (0..heads.len() * ends.len()).filter_map(|i| {
            let (round, head) = (i / heads.len(), i % heads.len());
            let (head, end) = (heads.get(head)?, ends.get((round + head) % ends.len())?);
            (!head.to_lowercase().ends_with(end.as_str())).then(|| format!("{head}{end}"))
        });
        let towns = towns.collect();
        self.add_class("town", towns, Gender::Either);
        let surnames = self.texts("surname");
        self.add_class("lady", surnames.iter().map(|name| format!("Mrs {name}")).collect(), Gender::She);
        self.add_class("gentleman", surnames.iter().map(|name| format!("Mr {name}")).collect(), Gender::He);
        for line in lexicon::UNIONS.lines() {
            let Some((name, members)) = line.split_once(':') else {
                continue;
            };
            let mut ranked: Vec<(usize, usize)> = Vec::new();
            for class in members.split_whitespace().filter_map(|member| self.class(member)) {
                ranked.extend(self.classes[class].words.iter().copied().enumerate());
            }
            ranked.sort_unstable();
            let words = ranked.into_iter().map(|(_, word)| word).collect();
            self.classes.push(Class { name: name.trim().into(), words });
        }
    }

    fn read_words(&mut self, text: &str, forms: impl Fn(&str, &[&str]) -> [String; 4]) {
        for entry in text.split_whitespace() {
            if let Some(name) = entry.strip_suffix(':') {
                self.classes.push(Class { name: name.into(), words: Vec::new() });
                continue;
            }
            let entry = entry.replace('_', " ");
            let mut parts = entry.split('/');
            let word = parts.next().unwrap_or_default();
            let other: Vec<&str> = parts.collect();
            if let Some(class) = self.classes.last_mut() {
                let gender = match class.name.as_str() {
                    "girl" | "kinf" => Gender::She,
                    "boy" | "kinm" => Gender::He,
                    _ => Gender::Either,
                };
                class.words.push(self.words.len());
                self.words.push(Word { forms: forms(word, &other), gender });
            }
        }
    }

    fn add_class(&mut self, name: &str, texts: Vec<String>, gender: Gender) {
        let first = self.words.len();
        let plain = |text| Word { forms: [text, String::new(), String::new(), String::new()], gender };
        self.words.extend(texts.into_iter().map(plain));
        self.classes.push(Class { name: name.into(), words: (first..self.words.len()).collect() });
    }

    fn class(&self, name: &str) -> Option<usize> {
        self.classes.iter().position(|class| class.name == name)
    }

    fn texts(&self, class: &str) -> Vec<String> {
        let words = self.class(class).map(|class| self.classes[class].words.as_slice()).unwrap_or_default();
        words.iter().map(|&word| self.words[word].forms[0].clone()).collect()
    }

    /// See the head of `grammar.rs` for the notation.
    fn read_grammar(&mut self, text: &str) {
        let mut in_plot = false;
        for line in text.lines().map(str::trim) {
            let mut characters = line.chars();
            match characters.next() {
                None => {}
                Some('=') => {
                    in_plot = false;
                    self.pools.push((characters.as_str().trim().into(), Vec::new()));
                }
                Some('#') => {
                    in_plot = true;
                    let cast = self.read_cast(characters.as_str());
                    self.plots.push(Plot { cast, steps: Vec::new() });
                }
                Some('@') if in_plot => {
                    for name in line.split_whitespace() {
                        self.read_step(name);
                    }
                }
                Some(':') if in_plot => {
                    self.pools.push((String::new(), Vec::new()));
                    let pool = self.pools.len() - 1;
                    let step = match characters.as_str() {
                        "title" => Step::Title(pool),
                        kind => Step::Line { pool, optional: kind == "?" },
                    };
                    self.add_step(step);
                }
                Some('/') => self.add_step(Step::Paragraph),
                Some('%') if line.contains(" = ") => {
                    let line = self.expand(line);
                    let (name, meaning) = line.split_once(" = ").unwrap_or_default();
                    self.macros.push((name.into(), meaning.into()));
                }
                Some(_) => {
                    let template = self.read_template(line);
                    if let Some((_, pool)) = self.pools.last_mut() {
                        pool.push(template);
                    }
                }
            }
        }
    }

    fn expand(&self, text: &str) -> String {
        self.macros.iter().fold(text.to_string(), |text, (name, meaning)| text.replace(name, meaning))
    }

    fn read_cast(&mut self, text: &str) -> Vec<(usize, usize)> {
        let mut cast = Vec::new();
        for role in text.split_whitespace().filter(|role| role.contains('=')) {
            match role.split_once('=').and_then(|(name, class)| Some((register(name)?, self.class(class)?))) {
                Some(role) => cast.push(role),
                None => self.mistakes.push(role.into()),
            }
        }
        cast
    }

    fn read_step(&mut self, name: &str) {
        let (name, optional) = match name.strip_suffix('?') {
            Some(name) => (name, true),
            None => (name, false),
        };
        match self.pools.iter().position(|(pool, _)| name.strip_prefix('@') == Some(pool)) {
            Some(pool) => self.add_step(Step::Line { pool, optional }),
            None => self.mistakes.push(name.into()),
        }
    }

    fn add_step(&mut self, step: Step) {
        if let Some(plot) = self.plots.last_mut() {
            plot.steps.push(step);
        }
    }

    fn read_template(&mut self, line: &str) -> Template {
        let line = self.expand(line);
        let mut pieces: Template = Vec::new();
        let (mut separator, mut capital) = (' ', true);
        let mut rest = line.as_str();
        while !rest.is_empty() {
            let (piece, next) = rest.split_at(sentence_end(rest));
            let mut text = piece;
            let tokens = self.read_tokens(&mut text);
            let tries = variety(&tokens, self).saturating_mul(2).clamp(2, 64);
            pieces.push(Piece { separator, capital, tokens, tries });
            capital = !piece.ends_with("!\"") && !piece.ends_with("?\"");
            separator = if next.starts_with('~') { '\n' } else { ' ' };
            capital |= separator == '\n';
            rest = next.trim_start_matches([' ', '~']);
        }
        pieces
    }

    /// Reads up to the end of the text or of the alternative that it stands in.
    fn read_tokens(&mut self, text: &mut &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(mark) = text.chars().next() {
            match mark {
                '{' => {
                    let (slot, rest) = text[1..].split_once('}').unwrap_or((&text[1..], ""));
                    *text = rest;
                    if slot == "a" {
                        *text = text.strip_prefix(' ').unwrap_or(text);
                    }
                    match self.read_slot(slot) {
                        Some(token) => tokens.push(token),
                        None => self.mistakes.push(slot.into()),
                    }
                }
                '[' => {
                    let mut alternatives = Vec::new();
                    while text.starts_with(['[', '|']) {
                        *text = &text[1..];
                        alternatives.push(self.read_tokens(text));
                    }
                    *text = text.strip_prefix(']').unwrap_or(text);
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
        tokens
    }

    fn read_slot(&self, slot: &str) -> Option<Token> {
        if slot == "a" {
            return Some(Token::Article);
        }
        if let Some(row) = PRONOUNS.iter().position(|row| row[0] == slot) {
            return Some(Token::Pronoun { register: HERO, row });
        }
        let (title, slot) = (slot.starts_with('^'), slot.trim_start_matches('^'));
        let (name, ending) = slot.split_once(':').unwrap_or((slot, ""));
        let form = match ending {
            "" => 0,
            "s" | "er" => 1,
            "d" | "est" => 2,
            "g" | "ly" => 3,
            _ => {
                let row = PRONOUNS.iter().position(|row| row[0] == ending)?;
                return Some(Token::Pronoun { register: register(name)?, row });
            }
        };
        if let Some(register) = register(name) {
            return Some(Token::Kept { register, form });
        }
        let (keep, name) = match name.split_once('=') {
            Some((keep, name)) => (Some(register(keep)?), name),
            None => (None, name),
        };
        let class = self.class(name)?;
        let word = self.classes[class].words.first()?;
        if self.words[*word].forms[form].is_empty() {
            return None;
        }
        Some(Token::Draw { class, form, title, keep })
    }
}

fn register(name: &str) -> Option<usize> {
    match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    }
}

/// How many texts the tokens can become, the cast being given.
fn variety(tokens: &[Token], book: &Book) -> usize {
    tokens.iter().fold(1_usize, |product, token| {
        product.saturating_mul(match token {
            Token::Draw { class, .. } => book.classes[*class].words.len(),
            Token::Choice(parts) => {
                parts.iter().fold(0, |sum: usize, part| sum.saturating_add(variety(part, book)))
            }
            _ => 1,
        })
    })
}

fn is_vowel(byte: u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u')
}

fn ends_in_consonant_y(word: &str) -> bool {
    matches!(word.as_bytes(), [.., before, b'y'] if !is_vowel(*before))
}

fn with_s(word: &str) -> String {
    if ends_in_consonant_y(word) {
        return format!("{}ies", &word[..word.len() - 1]);
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    let extra_e = hisses || ["potato", "tomato", "mango", "mosquito", "domino"].contains(&word);
    format!("{word}{}", if extra_e { "es" } else { "s" })
}

/// `stop` to `stopp`: a short word of one vowel doubles its last letter.
fn doubled(word: &str) -> String {
    let short = match word.as_bytes() {
        [head @ .., vowel, last] => {
            let head = head.strip_suffix(b"qu").unwrap_or(head);
            is_vowel(*vowel)
                && !head.iter().any(|&byte| is_vowel(byte) || byte == b'y')
                && !is_vowel(*last)
                && !matches!(last, b'w' | b'x' | b'y')
        }
        _ => false,
    };
    let last = if short { &word[word.len() - 1..] } else { "" };
    format!("{word}{last}")
}

fn verb_forms(phrase: &str, other: &[&str]) -> [String; 4] {
    let (verb, tail) = phrase.split_at(phrase.find(' ').unwrap_or(phrase.len()));
    let stem = verb.strip_suffix('e').filter(|stem| !stem.ends_with(['e', 'o', 'i']));
    let past = match (verb.strip_suffix('e'), verb.strip_suffix('y')) {
        (Some(_), _) => format!("{verb}d"),
        (_, Some(stem)) if ends_in_consonant_y(verb) => format!("{stem}ied"),
        _ => format!("{}ed", doubled(verb)),
    };
    let going = stem.map_or_else(|| format!("{}ing", doubled(verb)), |stem| format!("{stem}ing"));
    let past = other.first().map_or_else(|| format!("{past}{tail}"), |past| past.to_string());
    let going = other.get(1).map_or_else(|| format!("{going}{tail}"), |going| going.to_string());
    let does = if verb.ends_with('o') { format!("{verb}es") } else { with_s(verb) };
    [phrase.into(), format!("{does}{tail}"), past, going]
}

fn compared(word: &str, ending: &str) -> String {
    match (word.strip_suffix('e'), word.strip_suffix('y')) {
        (Some(stem), _) => format!("{stem}{ending}"),
        (_, Some(stem)) if ends_in_consonant_y(word) && word.len() > 3 => format!("{stem}i{ending}"),
        _ => format!("{}{ending}", doubled(word)),
    }
}

fn adverb(word: &str) -> String {
    if let Some(stem) = word.strip_suffix('y').filter(|_| ends_in_consonant_y(word) && word.len() > 3) {
        return format!("{stem}ily");
    }
    match (word.strip_suffix("le"), word) {
        (_, "sole" | "pale") => format!("{word}ly"),
        (Some(stem), _) => format!("{stem}ly"),
        _ if word.ends_with("ll") => format!("{word}y"),
        _ if word.ends_with("ic") => format!("{word}ally"),
        _ => format!("{word}ly"),
    }
}

fn wants_an(text: &str) -> bool {
    let start = text.trim_start_matches('"');
    let sounds_like_you =
        ["uni", "use", "uku", "eu", "ewe", "one"].iter().any(|head| start.starts_with(head));
    let is_silent = ["hour", "honest", "8", "11", "18"].iter().any(|head| start.starts_with(head));
    let is_vowel = start.starts_with(['a', 'e', 'i', 'o', 'u', 'é', 'A', 'E', 'I', 'O', 'U', 'É']);
    is_silent || (is_vowel && !sounds_like_you)
}

/// An endless writer of stories.
pub struct StoryWriter {
    random: SplitMix64,
    split: Split,
    cast: [(usize, Gender); REGISTERS],
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
            random: SplitMix64(mix(seed ^ salt)),
            split,
            cast: [(0, Gender::Either); REGISTERS],
            line: String::new(),
            article: false,
            recent: [usize::MAX; 8],
            plot: usize::MAX,
        }
    }

    /// Appends a story: its paragraphs, without a newline at the end.
    pub fn write_story(&mut self, out: &mut String) {
        let book = book();
        let mut plot = self.random.below(book.plots.len());
        if plot == self.plot {
            plot = self.random.below(book.plots.len());
        }
        self.plot = plot;
        let Some(plot) = book.plots.get(plot) else { return };
        self.cast = [(usize::MAX, Gender::Either); REGISTERS];
        for &(register, class) in &plot.cast {
            self.cast[register] = self.casting(book, class, register);
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

    /// Draws a word for a role, unlike the other roles, and of the other gender than the hero for a friend.
    fn casting(&mut self, book: &Book, class: usize, register: usize) -> (usize, Gender) {
        let rival = if register == HERO { Gender::Either } else { self.cast[HERO].1 };
        let mut choice = (0, Gender::Either);
        for _ in 0..24 {
            let word = self.draw(book, class);
            let coin = if self.random.below(2) == 0 { Gender::She } else { Gender::He };
            let gender = match (book.words[word].gender, rival) {
                (Gender::Either, Gender::She) => Gender::He,
                (Gender::Either, Gender::He) => Gender::She,
                (Gender::Either, Gender::Either) => coin,
                (own, _) => own,
            };
            choice = (word, gender);
            let text = &book.words[word].forms[0];
            let taken = |&(other, _): &(usize, Gender)| {
                book.words.get(other).is_some_and(|word| word.forms[0] == *text)
            };
            if gender != rival && !self.cast.iter().any(taken) {
                break;
            }
        }
        choice
    }

    fn draw(&mut self, book: &Book, class: usize) -> usize {
        let words = &book.classes[class].words;
        words.get(self.random.skewed_below(words.len())).copied().unwrap_or_default()
    }

    fn write_step(
        &mut self,
        out: &mut String,
        start: usize,
        book: &'static Book,
        pool: usize,
        separator: char,
        title: bool,
    ) -> bool {
        let templates = &book.pools[pool].1;
        let before = out.len();
        for _ in 0..24 {
            let Some(template) = templates.get(self.random.below(templates.len())) else {
                return false;
            };
            self.recent = [usize::MAX; 8];
            let mut complete = true;
            for (i, piece) in template.iter().enumerate() {
                complete = (0..piece.tries).any(|_| self.write_piece(book, piece, title));
                if !complete {
                    break;
                }
                if out.len() > start {
                    out.push(if i == 0 { separator } else { piece.separator });
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

    fn write_piece(&mut self, book: &'static Book, piece: &'static Piece, title: bool) -> bool {
        self.line.clear();
        self.article = false;
        self.write_tokens(book, &piece.tokens);
        if piece.capital {
            capitalize(&mut self.line);
        }
        if title {
            self.line = in_title_case(&self.line);
        }
        self.line.lines().flat_map(sentences).all(|sentence| side(sentence) == self.split)
    }

    fn write_tokens(&mut self, book: &'static Book, tokens: &'static [Token]) {
        for token in tokens {
            match token {
                Token::Text(text) => self.push(text),
                Token::Article => {
                    self.line.push_str("a ");
                    self.article = true;
                }
                &Token::Draw { class, form, title, keep } => {
                    let mut word = self.draw(book, class);
                    for _ in 0..4 {
                        if !self.recent.contains(&word) {
                            break;
                        }
                        word = self.draw(book, class);
                    }
                    self.recent.rotate_right(1);
                    self.recent[0] = word;
                    if let Some(register) = keep {
                        self.cast[register] = (word, Gender::Either);
                    }
                    if title {
                        let text = in_title_case(&book.words[word].forms[form]);
                        self.push(&text);
                    } else {
                        self.push(&book.words[word].forms[form]);
                    }
                }
                &Token::Kept { register, form } => {
                    let word = self.cast[register].0;
                    if let Some(word) = book.words.get(word) {
                        self.push(&word.forms[form]);
                    }
                }
                &Token::Pronoun { register, row } => {
                    let column = if self.cast[register].1 == Gender::She { 1 } else { 2 };
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

    /// Appends text, and settles whether an article before it is `a` or `an`.
    fn push(&mut self, text: &str) {
        if self.article && wants_an(text) {
            self.line.pop();
            self.line.push_str("n ");
        }
        self.article = false;
        self.line.push_str(text);
    }
}

fn capitalize(text: &mut String) {
    let Some((at, first)) = text.char_indices().find(|(_, first)| *first != '"') else {
        return;
    };
    if first.is_lowercase() {
        let upper: String = first.to_uppercase().collect();
        text.replace_range(at..at + first.len_utf8(), &upper);
    }
}

fn in_title_case(text: &str) -> String {
    let mut title = String::with_capacity(text.len());
    for word in text.split(' ') {
        let mut word = word.to_string();
        let is_minor =
            ["a", "an", "and", "at", "by", "for", "in", "of", "on", "the", "to"].contains(&word.as_str());
        if !is_minor || title.is_empty() {
            capitalize(&mut word);
        }
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(&word);
    }
    title
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_grammar_has_no_mistakes() {
        assert_eq!(super::book().mistakes, Vec::<String>::new());
    }
}

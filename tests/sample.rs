//! The story writer: deterministic, rich, well formed, and its two splits apart.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout, missing_docs)]

use bpe_lm::sample::{END_OF_TEXT, Split, StoryWriter, write_sample};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt::Write;

fn sample(num_bytes: u64, seed: u64, split: Split) -> String {
    let mut bytes = Vec::new();
    let written = write_sample(&mut bytes, num_bytes, seed, split).unwrap();
    assert_eq!(written, bytes.len() as u64);
    String::from_utf8(bytes).unwrap()
}

/// Written independently of the module, so that the test does not rely on the code that it tests.
fn sentences(text: &str) -> HashSet<&str> {
    let mut found = HashSet::new();
    for line in text.lines().filter(|line| *line != END_OF_TEXT) {
        let mut start = 0;
        for (at, mark) in line.char_indices() {
            if ".!?".contains(mark) {
                let end = at + 1 + usize::from(line[at + 1..].starts_with('"'));
                found.insert(line[start..end].trim());
                start = end;
            }
        }
        found.insert(line[start..].trim());
    }
    found.remove("");
    found
}

/// The pieces of GPT-2's pattern, near enough for stories.
fn count_pretokens(text: &str) -> usize {
    let kind = |c: char| match c {
        c if c.is_whitespace() => 0,
        c if c.is_alphabetic() => 1,
        c if c.is_numeric() => 2,
        _ => 3,
    };
    let mut found = HashSet::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let space = usize::from(first == ' ');
        let body = &rest[space..];
        let end = match body.chars().next() {
            Some(head) => space + body.find(|c| kind(c) != kind(head)).unwrap_or(body.len()),
            None => rest.len(),
        };
        found.insert(&rest[..end]);
        rest = &rest[end..];
    }
    found.len()
}

#[test]
fn same_seed_same_bytes() {
    for split in [Split::Train, Split::Validation] {
        assert_eq!(sample(50_000, 7, split), sample(50_000, 7, split));
        assert!(sample(50_000, 7, split).starts_with(sample(20_000, 7, split).as_str()));
        assert_ne!(sample(50_000, 7, split), sample(50_000, 8, split));
    }
    assert_ne!(sample(50_000, 7, Split::Train), sample(50_000, 7, Split::Validation));
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// A change of the grammar or the lexicon changes these, and with them every result that was measured on a sample.
#[test]
fn a_seed_gives_the_bytes_that_it_always_gave() {
    for (num_bytes, seed, split, expected) in [
        (5_000_000, 336, Split::Train, "8308a0239a7815b8c32eae442409c810cb476538ba05b369cf6da2978cbae911"),
        (
            2_000_000,
            336,
            Split::Validation,
            "c32340085555ac06ab442865a34a2894b441736569791edf53a2cb787f8e81ba",
        ),
        (300_000, 1, Split::Train, "e6947c2281b56682a54351cc11482ee0ec7927e3499200adcc29a996a5583a77"),
        (300_000, 0, Split::Validation, "d1b8ef156fb45034fcf1f943252166444aa991cd072cd36503c223427f81c450"),
        (300_000, u64::MAX, Split::Train, "3dcd6f96546aaf4f1f03bbf880208f3178890a1759f7a33ffc8d680d57c62a43"),
    ] {
        assert_eq!(sha256(&sample(num_bytes, seed, split)), expected, "seed {seed}, {split:?}");
    }
}

#[test]
fn splits_share_no_sentence() {
    let train = sample(5_000_000, 1, Split::Train);
    let validation = sample(1_000_000, 1, Split::Validation);
    let other_validation = sample(200_000, 2, Split::Validation);
    let train = sentences(&train);
    assert!(train.len() > 40_000);
    for text in [&validation, &other_validation] {
        let shared: Vec<_> =
            sentences(text).into_iter().filter(|sentence| train.contains(sentence)).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}

#[test]
fn vocabulary_is_rich() {
    for seed in [336, 1] {
        let count = count_pretokens(&sample(10_000_000, seed, Split::Train));
        assert!(count >= 9_000, "{count} pretokens for seed {seed}");
    }
}

#[test]
fn sizes_are_as_asked() {
    assert_eq!(sample(0, 1, Split::Train), "");
    for num_bytes in [1, 1_000, 65_536, 300_000] {
        let text = sample(num_bytes, 3, Split::Train);
        assert!(text.len() as u64 >= num_bytes && text.len() as u64 <= num_bytes + 3_000);
        assert!(text.ends_with(&format!("\n{END_OF_TEXT}\n")));
    }
}

#[test]
fn stories_are_whole() {
    for split in [Split::Train, Split::Validation] {
        let text = sample(500_000, 5, split);
        for story in text.split_terminator(&format!("\n{END_OF_TEXT}\n")) {
            let num_words = story.split_whitespace().count();
            assert!((90..400).contains(&num_words), "{num_words} words: {story}");
            assert!(story.lines().count() > 3 && story.ends_with(['.', '!', '?', '"']), "{story}");
            assert!(story.lines().all(|line| !line.is_empty() && line == line.trim()), "{story}");
        }
    }
    let mut story = String::new();
    StoryWriter::new(u64::MAX, Split::Validation).write_story(&mut story);
    assert!(!story.contains(END_OF_TEXT) && !story.ends_with('\n'));
}

#[test]
fn spelling_is_clean() {
    let text = sample(2_000_000, 9, Split::Train) + &sample(300_000, 9, Split::Validation);
    for stain in ["{", "}", "[", "]", "  ", "~", "_", "%", "=", "@", " .", " ,", "..", ",,", "\n\n"] {
        let at = text.find(stain);
        assert!(
            at.is_none(),
            "{stain:?} in {:?}",
            at.map(|at| text[at..].chars().take(60).collect::<String>())
        );
    }
    let sounds_like_you = ["uni", "use", "uku", "eu", "ewe", "one", "once"];
    for line in text.lines().filter(|line| *line != END_OF_TEXT) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let next = pair[1].trim_start_matches('"').to_lowercase();
            let has_vowel = next.starts_with(['a', 'e', 'i', 'o', 'u', 'é']);
            let is_exception = sounds_like_you.iter().any(|head| next.starts_with(head));
            let is_silent = ["hour", "honest", "heir", "8"].iter().any(|head| next.starts_with(head));
            match pair[0].trim_start_matches('"').to_lowercase().as_str() {
                "a" => assert!((!has_vowel || is_exception) && !is_silent, "{pair:?}"),
                "an" => assert!((has_vowel && !is_exception) || is_silent, "{pair:?}"),
                _ => {}
            }
            let is_word = next.chars().all(char::is_alphabetic);
            assert!(!is_word || pair[0].to_lowercase() != next, "doubled word: {pair:?} in {line}");
        }
        let quotes = line.matches('"').count();
        assert!(quotes % 2 == 0, "{line}");
    }
}

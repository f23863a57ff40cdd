//! Helpers for several test files: the oracle, a small random generator, and the paths of shared data.
#![allow(dead_code, clippy::print_stderr)]

pub mod naive;
pub mod row;

use bpe_lm::job::Job;
use bpe_lm::merges::Merges;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use naive::Token;
use std::ops::Range;
use std::path::PathBuf;

/// SplitMix64, a small generator whose numbers never change.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn bytes(&mut self, max_len: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..self.below(max_len + 1)).map(|_| *self.pick(alphabet)).collect()
    }

    pub fn text(&mut self, max_len: usize, alphabet: &[&str]) -> String {
        (0..self.below(max_len + 1)).map(|_| *self.pick(alphabet)).collect()
    }
}

/// Each expression splits what the ones before left together. A byte that does not decode is one character of class
/// "other", which a regular expression cannot say, so it matches a private-use character in its place.
pub fn regex_pretokens<'t>(splits: &[RegexPretokenizer], text: &'t [u8]) -> Vec<&'t [u8]> {
    let mut replaced = String::new();
    let mut original_len = Vec::new(); // By byte of `replaced`: how many bytes of `text` it stands for.
    for chunk in text.utf8_chunks() {
        replaced.push_str(chunk.valid());
        original_len.resize(replaced.len(), 1);
        for _ in chunk.invalid() {
            replaced.push('\u{e000}');
            original_len.extend([1, 0, 0]);
        }
    }
    let mut ranges: Vec<Range<usize>> = (!text.is_empty()).then_some(0..replaced.len()).into_iter().collect();
    for regex in splits {
        let mut parts = Vec::new();
        for range in ranges {
            let part = &replaced.as_bytes()[range.clone()];
            let visit =
                &mut |found: Range<usize>| parts.push(range.start + found.start..range.start + found.end);
            regex.for_each_pretoken(part, 0..part.len(), &Job::default(), visit).unwrap();
        }
        ranges = parts;
    }
    let mut start = 0;
    let original = |range: Range<usize>| {
        let end = start + original_len[range].iter().sum::<usize>();
        let pretoken = &text[start..end];
        start = end;
        pretoken
    };
    ranges.into_iter().map(original).collect()
}

/// The first `limit` bytes of a shared text, or `None` if it does not exist.
pub fn shared_text(name: &str, limit: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    let path = shared(&format!("{name}.txt.zst"))?;
    let mut text = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    zstd::stream::read::Decoder::new(file).unwrap().take(limit as u64).read_to_end(&mut text).unwrap();
    Some(text)
}

/// A file of the shared data, if it exists.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: {name} is not there");
        return None;
    }
    Some(path)
}

/// Merges as bytes.
pub fn spell(merges: &Merges) -> Vec<(Token, Token)> {
    let mut tokens: Vec<Token> = (0..=255).map(|b| vec![b]).collect();
    let mut spelled = Vec::new();
    for &(a, b) in merges.as_slice() {
        let (a, b) = (tokens[a as usize].clone(), tokens[b as usize].clone());
        tokens.push([&a[..], &b].concat());
        spelled.push((a, b));
    }
    spelled
}

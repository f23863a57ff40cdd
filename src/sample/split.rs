/*!
Which split a sentence belongs to: a function of its text alone.
*/

use super::random::mix;

/// The set of sentences from which a story is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The training set: seven sentences in eight.
    Train,
    /// The validation set: one sentence in eight.
    Validation,
}

impl Split {
    /// The split of a sentence.
    fn of(sentence: &str) -> Split {
        let mut hash = 0x9E37_79B9_7F4A_7C15 ^ sentence.len() as u64;
        for chunk in sentence.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = mix(hash ^ u64::from_le_bytes(word));
        }
        if hash >> 61 == 0 { Split::Validation } else { Split::Train }
    }

    /// Whether each sentence of a text belongs to this split.
    pub(super) fn has_all(self, text: &str) -> bool {
        text.lines().flat_map(sentences).all(|sentence| Split::of(sentence) == self)
    }
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

/// Where a text's first sentence ends, in bytes.
pub(super) fn sentence_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| matches!(byte, b'.' | b'!' | b'?')) {
        Some(stop) if bytes.get(stop + 1) == Some(&b'"') => stop + 2,
        Some(stop) => stop + 1,
        None => text.len(),
    }
}

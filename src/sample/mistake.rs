/*!
Mistakes in grammar.txt or lexicon.txt, with their places.
*/

use std::fmt;

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub file: &'static str,
    /// The number of the line, from 1.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/sample/{}, line {}: {}", self.file, self.line, self.what)
    }
}

/// The lines of a file with their numbers, without comments and blank lines.
pub(super) fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

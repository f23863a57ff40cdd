/*!
The first bytes of a count file: what it is, how it was counted, and its totals.
*/

use super::rules::{Rules, hash};
use crate::error::Error;

/// The first bytes.
const MAGIC: &[u8; 8] = b"bpecount";
const VERSION: u32 = 1;
/// The number of bytes before the rules, and after them.
pub(super) const BEFORE_RULES: usize = 80;
pub(super) const AFTER_RULES: usize = 4;
/// The greatest number of bytes of a header. Half a million special tokens fit.
pub(super) const MAX_HEADER: usize = 16 << 20;

/// The description of a count file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it was counted.
    pub rules: Rules,
    /// The number of distinct pretokens.
    pub num_distinct: u64,
    /// The sum of all counts.
    pub num_pretokens: u64,
    /// The bytes of the texts that were counted, special tokens included. Weights leave it as it is.
    pub num_bytes: u64,
    /// The number of JSON lines that had no text and were skipped.
    pub skipped_lines: u64,
}

const RULES_TOO_LONG: Error =
    Error::Limit { what: "the length of the special tokens and the pattern", limit: MAX_HEADER as u64 };

/// Refuses rules that are too long for a header.
pub(crate) fn check_rules(rules: &Rules) -> Result<(), Error> {
    Header::new(rules.clone()).to_bytes().map(|_| ())
}

impl Header {
    /// The header of no counts.
    pub(super) fn new(rules: Rules) -> Self {
        Header { rules, num_distinct: 0, num_pretokens: 0, num_bytes: 0, skipped_lines: 0 }
    }

    /// The header's bytes. Their number depends on the rules alone.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let rules = self.rules.to_json();
        let len = BEFORE_RULES + rules.len() + AFTER_RULES;
        let len = u32::try_from(rules.len()).ok().filter(|_| len <= MAX_HEADER).ok_or(RULES_TOO_LONG)?;
        let mut bytes = Vec::with_capacity(BEFORE_RULES + rules.len() + AFTER_RULES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        for number in [self.num_distinct, self.num_pretokens, self.num_bytes, self.skipped_lines] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&hash(&rules));
        bytes.extend_from_slice(rules.as_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// The length of the rules, from the bytes before them. An error is a text for the user.
    pub(super) fn rules_len(before: &[u8; BEFORE_RULES]) -> Result<usize, String> {
        if &before[..8] != MAGIC {
            return Err(match before.iter().all(|&byte| byte == 0) {
                true => "its writer did not end; count again".to_owned(),
                false => "it is not a count file; bpe-lm count writes one".to_owned(),
            });
        }
        match u32_at(before, 8) {
            VERSION => Ok(u32_at(before, 12) as usize),
            other => Err(format!("it has version {other} of the format, and this program reads {VERSION}")),
        }
    }

    /// Reads a whole header. An error is a text for the user.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "its header is damaged; count again".to_owned();
        let (content, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).ok_or_else(damaged)?;
        if crc32fast::hash(content) != u32_at(crc, 0) {
            return Err(damaged());
        }
        let rules = content.get(BEFORE_RULES..).and_then(|rules| std::str::from_utf8(rules).ok());
        let rules = rules.ok_or_else(damaged)?;
        if content[48..BEFORE_RULES] != hash(rules) {
            return Err(damaged());
        }
        Ok(Header {
            rules: Rules::from_json(rules)?,
            num_distinct: u64_at(content, 16),
            num_pretokens: u64_at(content, 24),
            num_bytes: u64_at(content, 32),
            skipped_lines: u64_at(content, 40),
        })
    }
}

/// The number at an offset; 0 beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The number at an offset; 0 beyond the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/*!
How counts were counted: everything apart from the texts that they depend on.
*/

use crate::json::{self, Object};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What a byte of invalid UTF-8 is. The scanners and the regular expressions have no other rule.
const UTF8: &str = "a byte that does not decode is one character of class other";

/// The pattern, the special tokens and the rule for invalid UTF-8. Only counts with equal rules can be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The name of the pattern, or its regular expression.
    pub pattern: String,
    /// The special tokens in the order of their bytes. Counts do not depend on the order of their ids.
    pub special_tokens: Vec<String>,
}

impl Rules {
    /// The rules of counting with this pattern and these special tokens.
    pub fn new(pattern: &Pattern, special_tokens: &SpecialTokens) -> Self {
        let mut special_tokens = special_tokens.as_slice().to_vec();
        special_tokens.sort_unstable();
        Rules { pattern: pattern.name().to_owned(), special_tokens }
    }

    /// The bytes of memory that they take.
    pub(super) fn num_bytes(&self) -> usize {
        let text = |text: &String| size_of::<String>() + text.len();
        text(&self.pattern) + self.special_tokens.iter().map(text).sum::<usize>()
    }

    /// What differs from other rules, in words: what is here, and what is there. `None` if nothing does.
    pub fn difference(&self, other: &Rules) -> Option<[String; 2]> {
        if self.pattern != other.pattern {
            return Some([self, other].map(|rules| format!("the pattern {:?}", rules.pattern)));
        }
        let differ = self.special_tokens != other.special_tokens;
        differ.then(|| [self, other].map(|rules| format!("the special tokens {:?}", rules.special_tokens)))
    }

    /// The rules as they are written in a file.
    pub(crate) fn to_json(&self) -> String {
        json!({ "pattern": self.pattern, "special_tokens": self.special_tokens, "utf8": UTF8 }).to_string()
    }

    /// Reads what [`Rules::to_json`] wrote. An error is a text for the user.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let value = json::parse(text)?;
        let rules = Object::new(&value)?;
        let utf8 = rules.string("utf8")?;
        if utf8 != UTF8 {
            return Err(format!("it was counted with another rule for invalid UTF-8, {utf8:?}; count again"));
        }
        let token = |token: &serde_json::Value| token.as_str().map(str::to_owned);
        let special_tokens: Option<Vec<_>> = rules.list("special_tokens")?.iter().map(token).collect();
        let special_tokens = special_tokens.ok_or("a special token is not a text")?;
        if !special_tokens.is_sorted() {
            return Err("its special tokens are not in order".to_owned());
        }
        Ok(Rules { pattern: rules.string("pattern")?.to_owned(), special_tokens })
    }
}

/// The hash of the rules in a file.
pub(super) fn hash(json: &str) -> [u8; 32] {
    Sha256::digest(json.as_bytes()).into()
}

/*!
GPT-2's two files: `vocab.json`, names to ids, and `merges.txt`, one merge per line after a line with the
version.
*/

use super::from_names::{NamedTokens, from_names_to_the_end};
use super::read::{read_json, read_text};
use super::token_names::ids_of;
use crate::error::Error;
use crate::pretokenize::Pattern;
use crate::tokenizer::Tokenizer;
use serde_json::{Map, Value};
use std::path::Path;

const VERSION_LINE: &str = "#version: 0.2";

pub(super) fn vocab_json(names: &[String]) -> String {
    let vocab: Map<String, Value> = ids_of(names).map(|(name, id)| (name.clone(), id.into())).collect();
    Value::Object(vocab).to_string() + "\n"
}

pub(super) fn merges_txt(tokenizer: &Tokenizer, names: &[String]) -> String {
    let mut text = format!("{VERSION_LINE}\n");
    for &(left, right) in tokenizer.merges().as_slice() {
        text.extend([&names[left as usize], " ", &names[right as usize], "\n"]);
    }
    text
}

/// Reads the two files. They state neither the pattern nor the special tokens. By default, every token that
/// is neither a byte nor made by a merge is special.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] with the line or token that is wrong.
pub fn load(
    vocab_path: &Path,
    merges_path: &Path,
    special_tokens: Option<Vec<String>>,
    pattern: Pattern,
) -> Result<Tokenizer, Error> {
    let Value::Object(vocab) = read_json(vocab_path)? else {
        return Err(Error::format(vocab_path, "not a JSON object of tokens and ids"));
    };
    let entries: Vec<(String, u64)> = vocab
        .into_iter()
        .map(|(name, id)| {
            let number = id
                .as_u64()
                .ok_or_else(|| format!("token {name:?} has the id {id}, which is not a number"))?;
            Ok((name, number))
        })
        .collect::<Result<_, String>>()
        .map_err(|reason| Error::format(vocab_path, reason))?;
    let tokens = NamedTokens::new(entries).map_err(|reason| Error::format(vocab_path, reason))?;
    let text = read_text(merges_path)?;
    let lines = (1..)
        .zip(text.lines())
        .filter(|(n, line)| !(line.is_empty() || *n == 1 && line.starts_with("#version")));
    let merges: Vec<(String, &str, &str)> = lines
        .map(|(n, line)| match line.split(' ').collect::<Vec<_>>()[..] {
            [left, right] => Ok((format!("line {n}"), left, right)),
            _ => Err(Error::format(
                merges_path,
                format!("line {n} is not two tokens with a space between: {line:?}"),
            )),
        })
        .collect::<Result<_, _>>()?;
    from_names_to_the_end(&tokens, special_tokens, &merges, pattern)
        .map_err(|reason| Error::format(merges_path, reason))
}

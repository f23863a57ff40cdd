/*!
Tokenizers as files: GPT-2's pair (`vocab.json`, `merges.txt`), Hugging Face's `tokenizer.json`, tiktoken's
`tokenizer.tiktoken`; and `training.json`, what training saw.

The first two write bytes as text in GPT-2's alphabet ([`byte_alphabet`]) and special tokens as they are. tokenizer.json
lists the special ones; in GPT-2's pair a token that is neither a byte nor made by a merge is one. A .tiktoken file has
its special tokens in a file beside it.
*/

pub mod byte_alphabet;
pub mod gpt2;
mod publish;
pub mod tiktoken;
pub mod tokenizer_json;
pub mod training_json;

use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::training::Training;
use crate::vocab::{TokenId, max_ids};
use std::collections::HashMap;
use std::path::Path;

/// The names of the files in a saved tokenizer's folder.
pub const VOCAB_JSON: &str = "vocab.json";
/// GPT-2's merges, a line each.
pub const MERGES_TXT: &str = "merges.txt";
/// Hugging Face's single file.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
/// What Hugging Face's `AutoTokenizer` must know to leave tokenizer.json as it is.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// tiktoken's ranks.
pub const TIKTOKEN: &str = "tokenizer.tiktoken";
/// What tiktoken's ranks leave out: pattern and special tokens.
pub const TIKTOKEN_JSON: &str = "tokenizer.tiktoken.json";
/// What training saw.
pub const TRAINING_JSON: &str = "training.json";
/// All of them.
pub const FILE_NAMES: [&str; 7] =
    [VOCAB_JSON, MERGES_TXT, TOKENIZER_JSON, TOKENIZER_CONFIG, TIKTOKEN, TIKTOKEN_JSON, TRAINING_JSON];

/// Writes all formats into a folder, which is made if need be. The files appear whole or not at all. tiktoken's are left
/// out when ids are not in the order of the merges, `training.json` when nothing is known of the training; old ones of
/// another tokenizer are removed.
///
/// # Errors
/// [`Error::Exists`] unless `replace`; [`Error::Tokenizer`] when two tokens would be written alike; [`Error::Format`] when
/// the training is not this tokenizer's; [`Error::Io`].
pub fn save(
    tokenizer: &Tokenizer,
    training: Option<&Training>,
    folder: &Path,
    replace: bool,
) -> Result<(), Error> {
    let names = token_names(tokenizer)?;
    let mut files = vec![
        (VOCAB_JSON, gpt2::vocab_json(&names)),
        (MERGES_TXT, gpt2::merges_txt(tokenizer, &names)),
        (TOKENIZER_JSON, tokenizer_json::to_json(tokenizer, &names)),
        (TOKENIZER_CONFIG, tokenizer_json::config(tokenizer)),
    ];
    if let Some((ranks, side)) = tiktoken::to_text(tokenizer) {
        files.extend([(TIKTOKEN, ranks), (TIKTOKEN_JSON, side)]);
    }
    if let Some(training) = training {
        training
            .check_fits(tokenizer.merges().len())
            .map_err(|reason| Error::format(folder.join(TRAINING_JSON), reason))?;
        files.push((TRAINING_JSON, training_json::to_json(training)));
    }
    publish::publish(folder, &files, &FILE_NAMES, replace)
}

/// What each token is called in a file, by id; nothing where there is none.
fn token_names(tokenizer: &Tokenizer) -> Result<Vec<String>, Error> {
    let mut names = vec![String::new(); tokenizer.vocab().len()];
    for (id, token) in tokenizer.vocab().iter() {
        names[id as usize] = byte_alphabet::to_text(token);
    }
    for (token, &id) in tokenizer.special_tokens().as_slice().iter().zip(tokenizer.special_ids()) {
        names[id as usize].clone_from(token);
    }
    let mut ids = HashMap::new();
    for (name, id) in ids_of(&names) {
        if let Some(other) = ids.insert(name, id) {
            let reason =
                format!("tokens {other} and {id} would both be written as {name:?}; rename the special one");
            return Err(Error::Tokenizer { reason });
        }
    }
    Ok(names)
}

/// Names with their ids.
fn ids_of(names: &[String]) -> impl Iterator<Item = (&String, TokenId)> {
    names.iter().zip(0..).filter(|(name, _)| !name.is_empty())
}

/// A vocabulary as a file has it: names to ids.
struct NamedTokens {
    ids: HashMap<String, TokenId>,
    names: Vec<String>,
}

impl NamedTokens {
    fn new(entries: impl IntoIterator<Item = (String, u64)>) -> Result<Self, String> {
        let ids: HashMap<String, u64> = entries.into_iter().collect();
        let most = max_ids(ids.len());
        let greatest = ids.values().max().map_or(0, |&id| usize::try_from(id).unwrap_or(most));
        let mut names = vec![String::new(); greatest.saturating_add(1).min(most)];
        for (name, &id) in &ids {
            let place = usize::try_from(id).ok().and_then(|id| names.get_mut(id));
            let Some(place) = place else {
                return Err(format!(
                    "token {name:?} has id {id}; of {} tokens it must be below {most}",
                    ids.len()
                ));
            };
            if name.is_empty() {
                return Err(format!("token {id} is empty"));
            }
            if !place.is_empty() {
                return Err(format!("tokens {place:?} and {name:?} have the same id {id}"));
            }
            place.clone_from(name);
        }
        let ids = ids_of(&names).map(|(name, id)| (name.clone(), id)).collect();
        Ok(NamedTokens { ids, names })
    }

    fn id(&self, name: &str) -> Result<TokenId, String> {
        self.ids.get(name).copied().ok_or_else(|| format!("{name:?} is not in the vocabulary"))
    }
}

/// Builds a tokenizer from names. Without a list of special tokens, what no merge makes is one.
fn from_names<'a>(
    tokens: &NamedTokens,
    special: Option<Vec<String>>,
    merges: impl Iterator<Item = (String, &'a str, &'a str)>,
    pattern: crate::pretokenize::Pattern,
) -> Result<Tokenizer, String> {
    let mut bytes: Vec<Option<Vec<u8>>> = vec![None; tokens.names.len()];
    for byte in 0..=255 {
        let id =
            tokens.id(&byte_alphabet::to_text(&[byte])).map_err(|reason| format!("byte {byte}: {reason}"))?;
        bytes[id as usize] = Some(vec![byte]);
    }
    let mut pairs = Vec::new();
    for (place, left, right) in merges {
        let ids = |name| {
            let id = tokens.id(name)?;
            let made = bytes[id as usize].clone();
            Ok((id, made.ok_or_else(|| format!("{name:?} is used before a merge makes it"))?))
        };
        let located = |reason: String| format!("{place}: {reason}");
        let ((left_id, mut token), (right_id, tail)) =
            (ids(left).map_err(located)?, ids(right).map_err(located)?);
        token.extend(tail);
        let id = tokens.id(&format!("{left}{right}")).map_err(located)?;
        if bytes[id as usize].replace(token).is_some() {
            return Err(located(format!("{:?} is made a second time", tokens.names[id as usize])));
        }
        pairs.push((left_id, right_id));
    }
    let unmade =
        || bytes.iter().zip(&tokens.names).filter(|(token, name)| token.is_none() && !name.is_empty());
    let special = special.unwrap_or_else(|| unmade().map(|(_, name)| name.clone()).collect());
    let special_tokens =
        crate::special_tokens::SpecialTokens::new(special).map_err(|error| error.to_string())?;
    let spelled = bytes
        .into_iter()
        .zip(&tokens.names)
        .map(|(token, name)| token.unwrap_or_else(|| name.as_bytes().to_vec()));
    let vocab = crate::vocab::Vocab::from_tokens(spelled.collect()).map_err(|error| error.to_string())?;
    Tokenizer::new(vocab, crate::merges::Merges::from_pairs(pairs), special_tokens, pattern)
        .map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    String::from_utf8(bytes).map_err(|error| {
        Error::format(
            path,
            format!("byte {} is not UTF-8; is it a tokenizer file?", error.utf8_error().valid_up_to()),
        )
    })
}

fn parse_json(path: &Path) -> Result<serde_json::Value, Error> {
    parse_json_text(&read(path)?, path)
}

fn parse_json_text(text: &str, path: &Path) -> Result<serde_json::Value, Error> {
    serde_json::from_str(text).map_err(|error| Error::format(path, format!("not JSON: {error}")))
}

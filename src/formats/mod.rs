/*!
Tokenizers as files: GPT-2's pair (`vocab.json`, `merges.txt`), Hugging Face's `tokenizer.json`, tiktoken's
`tokenizer.tiktoken`; and `training.json`, what training saw.

The first two write bytes as text in GPT-2's alphabet ([`byte_alphabet`]) and special tokens as they are. tokenizer.json
lists the special ones; in GPT-2's pair a token that is neither a byte nor made by a merge is one. A .tiktoken file has
its special tokens in a file beside it.
*/

pub mod gpt2;
mod oniguruma;
mod publish;
pub mod tiktoken;
pub mod tokenizer_json;
pub mod training_json;

use crate::byte_alphabet;
use crate::error::Error;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::training::Training;
use crate::vocab::{Vocab, max_ids};
use std::collections::{HashMap, HashSet};
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

/// Refuses special tokens that could not be saved after training: those that are spelled as another token will be.
///
/// Such a token is a byte, or could be learned from UTF-8 text. (A special token's own bytes never are: text is split there.)
///
/// # Errors
/// [`Error::SpecialToken`].
pub fn check_special_tokens(special_tokens: &SpecialTokens) -> Result<(), Error> {
    for (index, token) in special_tokens.as_slice().iter().enumerate() {
        let Some(other) = byte_alphabet::from_text(token) else { continue };
        if other.len() == 1 || other != token.as_bytes() && may_be_in_text(&other) {
            let reason = "is how vocab.json and tokenizer.json spell another token, so it could not be saved; choose another text, such as <|name|>";
            return Err(Error::SpecialToken { token: token.clone(), index, reason });
        }
    }
    Ok(())
}

/// Whether bytes are a stretch of UTF-8, which may begin and end inside a character.
fn may_be_in_text(bytes: &[u8]) -> bool {
    let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
    let begun = bytes.iter().take(3).take_while(is_continuation).count();
    match str::from_utf8(&bytes[begun..]) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// What each token is called in a file, by id; nothing where there is none.
///
/// Bytes and what merges make are called by GPT-2's alphabet, special tokens by their text. What is neither is called by
/// the alphabet, or by its text where that name is taken; [`from_names`] reads each as it is written here.
fn token_names(tokenizer: &Tokenizer) -> Result<Vec<String>, Error> {
    let vocab = tokenizer.vocab();
    let made = made_ids(tokenizer);
    let mut names = Names::new(vocab.len());
    for (id, token) in vocab.iter().filter(|(id, _)| made.contains(id)) {
        names.give(id, byte_alphabet::to_text(token))?;
    }
    for (token, &id) in tokenizer.special_tokens().as_slice().iter().zip(tokenizer.special_ids()) {
        names.give(id, token.clone())?;
    }
    for (id, token) in vocab.iter() {
        if names.of(id).is_empty() {
            let name = byte_alphabet::to_text(token);
            let text = || str::from_utf8(token).ok().filter(|text| byte_alphabet::from_text(text).is_none());
            let free = if names.is_free(&name) { None } else { text() };
            names.give(id, free.map_or(name, str::to_owned))?;
        }
    }
    Ok(names.names)
}

/// Names that are given to ids, each once.
struct Names {
    names: Vec<String>,
    ids: HashMap<String, TokenId>,
}

impl Names {
    fn new(num_ids: usize) -> Self {
        Names { names: vec![String::new(); num_ids], ids: HashMap::with_capacity(num_ids) }
    }

    fn of(&self, id: TokenId) -> &str {
        &self.names[id as usize]
    }

    fn is_free(&self, name: &str) -> bool {
        !self.ids.contains_key(name)
    }

    fn give(&mut self, id: TokenId, name: String) -> Result<(), Error> {
        let refused = |reason| Err(Error::Tokenizer { reason });
        if let Some(&other) = self.ids.get(&name).filter(|&&other| other != id) {
            return refused(format!(
                "tokens {other} and {id} would both be written as {name:?}; rename the special one"
            ));
        }
        if !self.of(id).is_empty() && *self.of(id) != name {
            return refused(format!(
                "special token {name:?} has the id {id} of a token that is written as {:?}; give it an id of its own",
                self.of(id)
            ));
        }
        self.names[id as usize].clone_from(&name);
        self.ids.insert(name, id);
        Ok(())
    }
}

/// The ids of bytes and of what merges make.
pub(super) fn made_ids(tokenizer: &Tokenizer) -> HashSet<TokenId> {
    let (vocab, ids) = (tokenizer.vocab(), tokenizer.vocab().ids());
    let bytes = (0..=255_u8).map(|byte| vec![byte]);
    let merged = tokenizer
        .merges()
        .as_slice()
        .iter()
        .map(|&(left, right)| [left, right].map(|id| vocab.get(id).unwrap_or_default()).concat());
    bytes.chain(merged).filter_map(|token| ids.get(&token[..]).copied()).collect()
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
///
/// A special token has the id of its name; if there is none, a new one. What is neither special, a byte nor made is
/// text that no text becomes.
fn from_names<'a>(
    tokens: &NamedTokens,
    special: Option<Vec<String>>,
    merges: impl Iterator<Item = (String, &'a str, &'a str)>,
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    let (made, merges) = make(tokens, merges)?;
    let is_unmade = |id: TokenId| made[id as usize].is_none();
    let unmade: Vec<TokenId> = ids_of(&tokens.names).map(|(_, id)| id).filter(|&id| is_unmade(id)).collect();
    let name = |&id: &TokenId| tokens.names[id as usize].clone();
    let special = special.unwrap_or_else(|| unmade.iter().map(name).collect());
    let special_tokens = SpecialTokens::new(special).map_err(|error| error.to_string())?;
    let mut new_ids = tokens.names.len()..;
    let special_ids = special_tokens.as_slice().iter().map(|token| match tokens.ids.get(token) {
        Some(&id) => Ok(id),
        None => TokenId::try_from(new_ids.next().unwrap_or(usize::MAX)).map_err(|error| error.to_string()),
    });
    let special_ids = special_ids.collect::<Result<Vec<_>, _>>()?;
    let of_special: HashSet<TokenId> = special_ids.iter().copied().collect();
    let unmade_bytes = |(token, id): (Option<Vec<u8>>, TokenId)| {
        token.unwrap_or_else(|| {
            let name = &tokens.names[id as usize];
            let spelled = if of_special.contains(&id) { None } else { byte_alphabet::from_text(name) };
            spelled.unwrap_or_else(|| name.as_bytes().to_vec())
        })
    };
    let bytes: Vec<Vec<u8>> = made.into_iter().zip(0..).map(unmade_bytes).collect();
    let apart = apart(&bytes, &unmade);
    let vocab = Vocab::from_tokens(bytes).map_err(|error| error.to_string())?.with_apart(apart);
    Tokenizer::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
        .map_err(|error| error.to_string())
}

/// Those of some ids whose bytes another token has, or one before them.
fn apart(bytes: &[Vec<u8>], unmade: &[TokenId]) -> Vec<TokenId> {
    let of = |id: TokenId| &bytes[id as usize][..];
    let ids: HashSet<TokenId> = unmade.iter().copied().collect();
    let wanted: HashSet<&[u8]> = unmade.iter().map(|&id| of(id)).collect();
    let others = bytes.iter().zip(0..).filter(|(token, id)| wanted.contains(&token[..]) && !ids.contains(id));
    let mut known: HashSet<&[u8]> = others.map(|(token, _)| &token[..]).collect();
    unmade.iter().copied().filter(|&id| !known.insert(of(id))).collect()
}

/// By id the bytes of the tokens that are bytes or made by merges.
type Made = Vec<Option<Vec<u8>>>;

/// What merges make, and the merges.
fn make<'a>(
    tokens: &NamedTokens,
    merges: impl Iterator<Item = (String, &'a str, &'a str)>,
) -> Result<(Made, Merges), String> {
    let mut made: Made = vec![None; tokens.names.len()];
    for byte in 0..=255 {
        let id =
            tokens.id(&byte_alphabet::to_text(&[byte])).map_err(|reason| format!("byte {byte}: {reason}"))?;
        made[id as usize] = Some(vec![byte]);
    }
    // What is made twice is made of the same two only if the pair is known: seldom, so few files need the set.
    let (mut pairs, mut known) = (Vec::new(), None::<HashSet<(TokenId, TokenId)>>);
    for (place, left, right) in merges {
        let part = |name| {
            let id = tokens.id(name)?;
            let bytes = made[id as usize].as_deref();
            Ok((id, bytes.ok_or_else(|| format!("{name:?} is used before a merge makes it"))?))
        };
        let located = |reason: String| format!("{place}: {reason}");
        let ((left_id, head), (right_id, tail)) =
            (part(left).map_err(located)?, part(right).map_err(located)?);
        let token = [head, tail].concat();
        let id = tokens.id(&format!("{left}{right}")).map_err(located)?;
        if made[id as usize].is_some() && known.is_none() {
            known = Some(pairs.iter().copied().collect());
        }
        if known.as_mut().is_some_and(|known| !known.insert((left_id, right_id))) {
            return Err(located(format!(
                "{:?} is made of the same two a second time",
                tokens.names[id as usize]
            )));
        }
        made[id as usize] = Some(token);
        pairs.push((left_id, right_id));
    }
    Ok((made, Merges::from_pairs(pairs)))
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

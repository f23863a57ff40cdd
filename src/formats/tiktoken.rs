/*!
tiktoken's `NAME.tiktoken`: one token per line, with its bytes in base64 and its rank. The rank is both the
token's id and its place in the order of merges.

The format states neither the pattern nor the special tokens. They are in a file beside it,
`NAME.tiktoken.json`: `{"pattern": "gpt2", "special_tokens": {"<|endoftext|>": 50256}, "num_ranks": 50256}`, or the caller gives
them. A list of lines that is cut off between two of them is a shorter list, so the file beside it states their number too; the
lines alone cannot tell. The format does not state the merges either, but the ranks imply them (`recover_merges.rs`). Before it
merges, tiktoken looks a whole pretoken up, so a token that no merge makes is not out of reach.
*/

use super::oniguruma::matches_nothing;
use super::read::{read_json, read_text};
use super::recover_merges::{Recovered, recover_merges};
use super::token_names::MadeTokens;
use crate::error::Error;
use crate::json::Object;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::{Vocab, is_named, max_ids};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The number of characters of a bad line that an error shows.
const SHOWN: usize = 60;

/// Special tokens and their ids.
pub type SpecialIds = Vec<(String, u64)>;

/// The tokens of text with their ranks, which are their ids.
///
/// # Errors
/// The reason why ranks and one regular expression cannot express the tokenizer.
pub fn ranks(tokenizer: &Tokenizer) -> Result<Vec<(TokenId, &[u8])>, String> {
    if let Pattern::Regex { source, .. } = tokenizer.pattern()
        && matches_nothing(source)
    {
        return Err(format!("its pattern {source:?} has empty matches"));
    }
    ranked(tokenizer, &MadeTokens::new(tokenizer))
}

fn ranked<'t>(tokenizer: &'t Tokenizer, made: &MadeTokens<'_>) -> Result<Vec<(TokenId, &'t [u8])>, String> {
    let special: HashSet<TokenId> = tokenizer.special_ids().iter().copied().collect();
    let vocab = tokenizer.vocab();
    let ranked: Vec<(TokenId, &[u8])> =
        vocab.iter().filter(|(id, _)| made.contains(*id) || !special.contains(id)).collect();
    if let Some((id, _)) = ranked.iter().find(|(id, _)| vocab.apart().contains(id)) {
        return Err(format!("token {id} has the bytes of another token of text"));
    }
    let order = |id| format!("ids are not in the order of merges (token {id})");
    let Recovered { merges, unmade } = recover_merges(&ranked).map_err(order)?;
    if merges != *tokenizer.merges() {
        return Err("ids are not in the order of merges".to_owned());
    }
    match unmade.first() {
        Some(id) if !tokenizer.ignores_merges() => {
            Err(format!("no merge makes token {id}, and a pretoken with its bytes is other tokens"))
        }
        _ => Ok(ranked),
    }
}

/// The texts of the two files. `None` if the format cannot express the tokenizer.
pub(super) fn to_text(tokenizer: &Tokenizer, made: &MadeTokens<'_>) -> Option<(String, String)> {
    let ranked = ranked(tokenizer, made).ok()?;
    let mut text = String::new();
    for (id, token) in &ranked {
        STANDARD.encode_string(token, &mut text);
        text.push_str(&format!(" {id}\n"));
    }
    let special_ids = tokenizer.special_tokens().as_slice().iter().cloned();
    let special_ids: serde_json::Map<String, Value> =
        special_ids.zip(tokenizer.special_ids().iter().map(|&id| Value::from(id))).collect();
    let side = json!({
        "pattern": tokenizer.pattern().name(),
        "special_tokens": special_ids,
        "num_ranks": ranked.len(),
    });
    Some((text, format!("{side:#}\n")))
}

/// Reads a tokenizer. A pattern or special tokens that the caller does not give are read from the file beside it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] with the line that is wrong, or with the setting that neither the caller
/// nor a file states; [`Error::Pattern`].
pub fn load(
    path: &Path,
    pattern: Option<&str>,
    special_tokens: Option<SpecialIds>,
) -> Result<Tokenizer, Error> {
    let side_path = side_path(path);
    let ranks = read_text(path)?;
    let is_complete = pattern.is_some() && special_tokens.is_some();
    let side = if is_complete || !side_path.exists() { None } else { Some(read_json(&side_path)?) };
    let missing = |what: &str, remedy: &str| {
        let side_path = side_path.display();
        Error::format(
            path,
            format!("the file does not state the {what}, and {side_path} does not exist; {remedy}"),
        )
    };
    let pattern = match (pattern, &side) {
        (Some(pattern), _) => pattern.to_owned(),
        (None, Some(side)) => side_pattern(side).map_err(|reason| Error::format(&side_path, reason))?,
        (None, None) => return Err(missing("pattern", "pass one, such as pattern=\"gpt2\"")),
    };
    let special_tokens = match (special_tokens, &side) {
        (Some(special_tokens), _) => special_tokens,
        (None, Some(side)) => {
            side_special_tokens(side).map_err(|reason| Error::format(&side_path, reason))?
        }
        (None, None) => {
            let remedy = "pass them with their ids, such as special_tokens={\"<|endoftext|>\": 50256}, or {}";
            return Err(missing("special tokens", remedy));
        }
    };
    let pattern = Pattern::new(&pattern)?;
    let num_ranks = side.as_ref().map_or(Ok(None), side_num_ranks);
    let num_ranks = num_ranks.map_err(|reason| Error::format(&side_path, reason))?;
    parse(&ranks, num_ranks, &special_tokens, pattern).map_err(|reason| Error::format(path, reason))
}

fn side_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn side_pattern(side: &Value) -> Result<String, String> {
    Ok(Object::new(side)?.string("pattern")?.to_owned())
}

/// The number of lines, which files of other programs do not state.
fn side_num_ranks(side: &Value) -> Result<Option<u64>, String> {
    let side = Object::new(side)?;
    side.lenient("num_ranks").map(|_| side.number("num_ranks")).transpose()
}

fn side_special_tokens(side: &Value) -> Result<SpecialIds, String> {
    let entry = |(token, id): (&String, &Value)| {
        let number =
            id.as_u64().ok_or_else(|| format!("special token {token:?} has the id {id}, not a number"));
        Ok((token.clone(), number?))
    };
    Object::new(side)?.object("special_tokens")?.iter().map(entry).collect()
}

fn parse(
    text: &str,
    num_ranks: Option<u64>,
    special: &SpecialIds,
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    let lines = parse_lines(text)?;
    if let Some(stated) = num_ranks.filter(|&stated| stated != lines.len() as u64) {
        return Err(format!(
            "it has {} ranks, and the file beside it states {stated}: it is cut off or belongs to another tokenizer; save \
             or fetch both again",
            lines.len()
        ));
    }
    let tokens = by_id(&lines, special)?;
    let ranked = (0..).zip(&tokens).filter_map(|(id, token)| match token {
        Some((bytes, Origin::Line(_))) => Some((id, *bytes)),
        _ => None,
    });
    let ranked: Vec<(TokenId, &[u8])> = ranked.collect();
    let Recovered { merges, unmade } = recover_merges(&ranked).map_err(|id| {
        let origin = tokens[id as usize].map_or(String::new(), |(_, origin)| origin.to_string());
        format!("{origin}: the token is made of tokens of higher rank, which has no order of merges")
    })?;
    let mut special: Vec<(u64, &str)> = special.iter().map(|(token, id)| (*id, &token[..])).collect();
    special.sort_unstable();
    let special_tokens = SpecialTokens::new(special.iter().map(|&(_, token)| token));
    let special_tokens = special_tokens.map_err(|error| error.to_string())?;
    let special_ids = special.iter().map(|&(id, _)| TokenId::try_from(id)).collect::<Result<Vec<_>, _>>();
    let special_ids = special_ids.map_err(|error| error.to_string())?;
    let bytes = tokens.iter().map(|token| token.map_or(Vec::new(), |(bytes, _)| bytes.to_vec()));
    let vocab = Vocab::from_tokens(bytes.collect()).map_err(|error| error.to_string())?;
    let tokenizer = Tokenizer::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
        .map_err(|error| error.to_string())?;
    Ok(if unmade.is_empty() { tokenizer } else { tokenizer.with_ignored_merges() })
}

/// Puts tokens in the order of their ids. A special token may have the id of a line with its own bytes, or with the bytes that
/// its text spells in GPT-2's alphabet.
fn by_id<'t>(ranked: &'t [Ranked], special: &'t SpecialIds) -> Result<Vec<Option<FoundToken<'t>>>, String> {
    let mut table = IdTable::new(ranked.len(), special.len());
    let mut lines = HashMap::with_capacity(ranked.len());
    for (line, token, rank) in ranked {
        table.put(token, *rank, Origin::Line(*line))?;
        if let Some(other) = lines.insert(&token[..], line) {
            return Err(format!("line {line}: the token is that of line {other}"));
        }
    }
    for (token, id) in special {
        let line = usize::try_from(*id).ok().and_then(|id| *table.tokens.get(id)?);
        if !line.is_some_and(|(known, _)| is_named(known, token)) {
            table.put(token.as_bytes(), *id, Origin::Special(token))?;
        }
    }
    if let Some(byte) = (0..=255_u8).find(|&byte| !lines.contains_key(&[byte][..])) {
        let encoded = STANDARD.encode([byte]);
        return Err(format!("byte {byte} ({encoded} in base64) has no rank; every byte needs one"));
    }
    Ok(table.tokens)
}

/// A line's number, token and rank.
type Ranked = (usize, Vec<u8>, u64);

/// The lines that are not empty.
fn parse_lines(text: &str) -> Result<Vec<Ranked>, String> {
    let mut ranked = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        let shown = || line.chars().take(SHOWN).collect::<String>();
        let (token, rank) = line
            .split_once(' ')
            .ok_or_else(|| format!("line {number} is not a token and a rank: {:?}", shown()))?;
        let bytes = STANDARD
            .decode(token)
            .map_err(|error| format!("line {number}: the token is not base64 ({error}): {:?}", shown()))?;
        if bytes.is_empty() {
            return Err(format!("line {number}: the token is empty"));
        }
        let rank = rank
            .parse()
            .map_err(|error| format!("line {number}: the rank is not a number ({error}): {:?}", shown()))?;
        ranked.push((number, bytes, rank));
    }
    Ok(ranked)
}

/// The origin of a token, which errors name.
#[derive(Clone, Copy)]
enum Origin<'s> {
    Line(usize),
    Special(&'s str),
}

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Line(number) => write!(f, "line {number}"),
            Origin::Special(token) => write!(f, "special token {token:?}"),
        }
    }
}

/// A token's bytes and its origin.
type FoundToken<'t> = (&'t [u8], Origin<'t>);

/// Tokens by id, before they are a vocabulary.
struct IdTable<'t> {
    tokens: Vec<Option<FoundToken<'t>>>,
    max_len: usize,
    sizes: String,
}

impl<'t> IdTable<'t> {
    fn new(num_ranks: usize, num_special: usize) -> Self {
        let sizes = format!("{num_ranks} ranks and {num_special} special tokens");
        IdTable { tokens: Vec::new(), max_len: max_ids(num_ranks + num_special), sizes }
    }

    fn put(&mut self, token: &'t [u8], id: u64, origin: Origin<'t>) -> Result<(), String> {
        let Some(at) = usize::try_from(id).ok().filter(|&id| id < self.max_len) else {
            let (sizes, most) = (&self.sizes, self.max_len);
            return Err(format!("{origin} has id {id}, but there are {sizes}: ids must be below {most}"));
        };
        if at >= self.tokens.len() {
            self.tokens.resize(at + 1, None);
        }
        match self.tokens[at].replace((token, origin)) {
            Some((_, other)) => Err(format!("{origin} and {other} have the same id {id}")),
            None => Ok(()),
        }
    }
}

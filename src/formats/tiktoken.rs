/*!
tiktoken's `NAME.tiktoken`: a line a token, its bytes in base64 and its rank, which is its id and its place in the order
of merges at once.

The format knows neither the pattern nor the special tokens. They are in a file beside it, `NAME.tiktoken.json`:
`{"pattern": "gpt2", "special_tokens": {"<|endoftext|>": 50256}}`, or the caller says them.

Nor does it know the merges, but it implies them. When a token was learned, its bytes were two tokens, and what the
merges before it make of its bytes alone is the same two: no merge crosses the borders of what ends as one token
([`crate::merges`]). So BPE by the lower ranks splits a token into its pair. Where that leaves other than two parts, the
ranks are of no BPE tokenizer. Bytes may have any rank; no merge makes them.
*/

use super::{made_ids, parse_json, read};
use crate::error::Error;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::{Vocab, is_named, max_ids};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Stands where a part was merged away. No id is so great.
const GONE: TokenId = TokenId::MAX;

/// The characters of a bad line that an error shows.
const SHOWN: usize = 60;

/// Special tokens and their ids.
pub type SpecialIds = Vec<(String, u64)>;

/// The two files, or `None` when the order of ids is not that of the merges, or two tokens of text have the same bytes: the
/// format cannot say either.
pub(super) fn to_text(tokenizer: &Tokenizer) -> Option<(String, String)> {
    let special: HashSet<TokenId> = tokenizer.special_ids().iter().copied().collect();
    let made = made_ids(tokenizer);
    let vocab = tokenizer.vocab();
    let ranked: Vec<(TokenId, &[u8])> =
        vocab.iter().filter(|(id, _)| made.contains(id) || !special.contains(id)).collect();
    let is_twice = ranked.iter().any(|(id, _)| vocab.apart().contains(id));
    if is_twice || recover_merges(&ranked).ok()? != *tokenizer.merges() {
        return None;
    }
    let mut text = String::new();
    for (id, token) in ranked {
        STANDARD.encode_string(token, &mut text);
        text.push_str(&format!(" {id}\n"));
    }
    let special_ids = tokenizer.special_tokens().as_slice().iter().cloned();
    let special_ids: serde_json::Map<String, Value> =
        special_ids.zip(tokenizer.special_ids().iter().map(|&id| Value::from(id))).collect();
    let side = json!({"pattern": tokenizer.pattern().name(), "special_tokens": special_ids});
    Some((text, format!("{side:#}\n")))
}

/// Reads a tokenizer. Pattern and special tokens that are not given come from the file beside it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] with the line that is wrong, or with what is known from nowhere;
/// [`Error::Pattern`].
pub fn load(
    path: &Path,
    pattern: Option<&str>,
    special_tokens: Option<SpecialIds>,
) -> Result<Tokenizer, Error> {
    let side_path = side_path(path);
    let ranks = read(path)?;
    let is_complete = pattern.is_some() && special_tokens.is_some();
    let side = if is_complete || !side_path.exists() { None } else { Some(parse_json(&side_path)?) };
    let missing = |what: &str, remedy: &str| {
        let side_path = side_path.display();
        Error::format(
            path,
            format!("the file does not say the {what}, and {side_path} is not there; {remedy}"),
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
    parse(&ranks, &special_tokens, pattern).map_err(|reason| Error::format(path, reason))
}

fn side_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn side_pattern(side: &Value) -> Result<String, String> {
    let pattern = side["pattern"].as_str();
    Ok(pattern.ok_or_else(|| format!("pattern is {}, not a string", side["pattern"]))?.to_owned())
}

fn side_special_tokens(side: &Value) -> Result<SpecialIds, String> {
    let tokens =
        side["special_tokens"].as_object().ok_or("special_tokens is not an object of texts and ids")?;
    let entry = |(token, id): (&String, &Value)| {
        let number =
            id.as_u64().ok_or_else(|| format!("special token {token:?} has the id {id}, not a number"));
        Ok((token.clone(), number?))
    };
    tokens.iter().map(entry).collect()
}

fn parse(text: &str, special: &SpecialIds, pattern: Pattern) -> Result<Tokenizer, String> {
    let lines = parse_lines(text)?;
    let places = place(&lines, special)?;
    let ranked = (0..).zip(&places).filter_map(|(id, place)| match place {
        Some((token, Origin::Line(_))) => Some((id, *token)),
        _ => None,
    });
    let ranked: Vec<(TokenId, &[u8])> = ranked.collect();
    let merges = recover_merges(&ranked).map_err(|odd| {
        let origin = places[odd.id as usize].map_or(String::new(), |(_, origin)| origin.to_string());
        format!(
            "{origin}: the ranks below {} make {} parts of the token; in a BPE tokenizer they make two",
            odd.id, odd.num_parts
        )
    })?;
    let mut special: Vec<(u64, &str)> = special.iter().map(|(token, id)| (*id, &token[..])).collect();
    special.sort_unstable();
    let special_tokens = SpecialTokens::new(special.iter().map(|&(_, token)| token));
    let special_tokens = special_tokens.map_err(|error| error.to_string())?;
    let special_ids = special.iter().map(|&(id, _)| TokenId::try_from(id)).collect::<Result<Vec<_>, _>>();
    let special_ids = special_ids.map_err(|error| error.to_string())?;
    let bytes = places.iter().map(|place| place.map_or(Vec::new(), |(token, _)| token.to_vec()));
    let vocab = Vocab::from_tokens(bytes.collect()).map_err(|error| error.to_string())?;
    Tokenizer::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
        .map_err(|error| error.to_string())
}

/// Puts tokens in the order of their ids. A special token may have the id of a line with its bytes, or with the bytes that
/// its text spells in GPT-2's alphabet.
fn place<'t>(ranked: &'t [Ranked], special: &'t SpecialIds) -> Result<Vec<Option<Place<'t>>>, String> {
    let mut places = Places::new(ranked.len(), special.len());
    let mut lines = HashMap::with_capacity(ranked.len());
    for (line, token, rank) in ranked {
        places.put(token, *rank, Origin::Line(*line))?;
        if let Some(other) = lines.insert(&token[..], line) {
            return Err(format!("line {line}: the token is that of line {other}"));
        }
    }
    for (token, id) in special {
        let line = usize::try_from(*id).ok().and_then(|id| *places.tokens.get(id)?);
        if !line.is_some_and(|(known, _)| is_named(known, token)) {
            places.put(token.as_bytes(), *id, Origin::Special(token))?;
        }
    }
    if let Some(byte) = (0..=255_u8).find(|&byte| !lines.contains_key(&[byte][..])) {
        let encoded = STANDARD.encode([byte]);
        return Err(format!("byte {byte} ({encoded} in base64) has no rank; every byte needs one"));
    }
    Ok(places.tokens)
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

/// Where a token comes from, as errors call it.
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

/// A token, and where it comes from.
type Place<'t> = (&'t [u8], Origin<'t>);

/// Tokens on their way to a vocabulary, by id.
struct Places<'t> {
    tokens: Vec<Option<Place<'t>>>,
    max_len: usize,
    sizes: String,
}

impl<'t> Places<'t> {
    fn new(num_ranks: usize, num_special: usize) -> Self {
        let sizes = format!("{num_ranks} ranks and {num_special} special tokens");
        Places { tokens: Vec::new(), max_len: max_ids(num_ranks + num_special), sizes }
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

/// A token that is not made of two.
struct Odd {
    id: TokenId,
    num_parts: usize,
}

/// The merges behind tokens in ascending order of ids.
fn recover_merges(tokens: &[(TokenId, &[u8])]) -> Result<Merges, Odd> {
    let mut byte_ids = [GONE; 256];
    for &(id, token) in tokens {
        if let [byte] = *token {
            byte_ids[usize::from(byte)] = id;
        }
    }
    let mut pairs = Vec::new();
    let mut merged = HashMap::new();
    for &(id, token) in tokens.iter().filter(|(_, token)| token.len() > 1) {
        let parts = merge(token.iter().map(|&byte| byte_ids[usize::from(byte)]).collect(), &merged);
        let [left, right] = parts[..] else { return Err(Odd { id, num_parts: parts.len() }) };
        pairs.push((left, right));
        merged.insert((left, right), id);
    }
    Ok(Merges::from_pairs(pairs))
}

/// What BPE leaves of a token's bytes: the pair with the least rank first, the leftmost of equal ones. The pairs wait in
/// a heap, since a token can be long.
fn merge(mut ids: Vec<TokenId>, merged: &HashMap<(TokenId, TokenId), TokenId>) -> Vec<TokenId> {
    let end = ids.len();
    let mut next: Vec<usize> = (1..=end).collect();
    let mut previous: Vec<Option<usize>> = (0..=end).map(|at| at.checked_sub(1)).collect();
    let rank = |ids: &[TokenId], left: usize, right: usize| {
        let pair = (ids[left], *ids.get(right)?);
        Some(Reverse((*merged.get(&pair)?, left)))
    };
    let mut heap: BinaryHeap<_> = (0..end).filter_map(|at| rank(&ids, at, at + 1)).collect();
    while let Some(first) = heap.pop() {
        let Reverse((id, left)) = first;
        let right = next[left];
        if rank(&ids, left, right) != Some(first) {
            continue; // One of the two was merged with another since.
        }
        (ids[left], ids[right]) = (id, GONE);
        next[left] = next[right];
        previous[next[right]] = Some(left);
        heap.extend(previous[left].and_then(|before| rank(&ids, before, left)));
        heap.extend(rank(&ids, left, next[left]));
    }
    ids.retain(|&id| id != GONE);
    ids
}
